"""The one way to reach Temporal: data converter, tracing, sandbox and metrics are chosen here."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from temporalio.client import Client
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, ReplaySafeTracerProvider, create_tracer_provider
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from weather.faults import PlatformFault

CONNECT_BUDGET_SECONDS = 10.0
PASSTHROUGH = ("protocol", "weather", "activities")


async def connect(address: str, namespace: str, runtime: Runtime | None = None) -> Client:
    """A client that traces; its workers inherit the tracing, so they must not be given it again."""
    replay_safe_tracing()
    deadline = asyncio.get_running_loop().time() + CONNECT_BUDGET_SECONDS
    pause = 0.1
    while True:
        try:
            return await Client.connect(
                address,
                namespace=namespace,
                runtime=runtime,
                data_converter=pydantic_data_converter,
                plugins=[OpenTelemetryPlugin(add_temporal_spans=True)],
                connect_timeout=timedelta(seconds=5),
            )
        except RuntimeError as error:
            if asyncio.get_running_loop().time() + pause > deadline:
                raise PlatformFault(
                    f"Temporal at {address} did not answer within {CONNECT_BUDGET_SECONDS:.0f} s", found=error
                ) from error
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)


async def signal(client: Client, workflow_id: str, name: str, message: Any) -> None:
    """Signal a workflow; one that is closed or was never there is passed over."""
    try:
        await client.get_workflow_handle(workflow_id).signal(name, message)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


def replay_safe_tracing(service_name: str = "barograph") -> ReplaySafeTracerProvider:
    """The process's tracer provider, set by whoever asks first: only this kind keeps span ids over a replay."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, ReplaySafeTracerProvider):
        return provider
    # an evicted workflow's span is closed by the garbage collector, in a foreign context, which is logged as an error
    logging.getLogger("opentelemetry.context").setLevel(logging.CRITICAL)
    provider = create_tracer_provider(resource=Resource.create({"service.name": service_name}))
    trace.set_tracer_provider(provider)
    return provider


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox: what holds models is passed through (pydantic is by default), the rest is loaded anew each run."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSTHROUGH))


def runtime(metrics_port: int | None, host: str = "127.0.0.1") -> Runtime:
    """One a process, before any client and never across a fork; without a port no metrics are served."""
    if metrics_port is None:
        return Runtime(telemetry=TelemetryConfig())
    served = PrometheusConfig(
        bind_address=f"{host}:{metrics_port}", counters_total_suffix=True, durations_as_seconds=True, unit_suffix=True
    )
    return Runtime(telemetry=TelemetryConfig(metrics=served))
