"""One run of real processes, seen from outside: one trace, lines that name it, metrics."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.ledger.engine import Ledger
from adapters.ledger.facts import faults_of
from adapters.ledger.log import entry_of
from adapters.ledger.tables.scores import FaultRecordRow
from protocol import names
from protocol.facts import FaultRecord, fault_document, faults_digest
from starter.embedded import Ports
from starter.ports import free_ports
from tests.stack import Stack, running
from weather.faults import tree
from weather.second_chances import effect_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

CALL_2 = "/trade-wind/weather-forecast-request"
ROAD = [
    ("barograph-miners", f"POST {CALL_2}"),
    ("barograph-hybrid", "POST"),
    ("barograph-hybrid", "RunActivity:request_forecast"),
    ("barograph-control", "StartActivity:request_forecast"),
    ("barograph-control", "RunWorkflow:MinerForecast"),
    ("barograph-control", "StartChildWorkflow:MinerForecast"),
    ("barograph-control", "RunWorkflow:ForecastRun"),
    ("barograph-cli", "StartWorkflow:ForecastRun"),
    ("barograph-cli", "barograph run start"),
]
BACK = {
    ("barograph-miners", "SignalWithStartWorkflow:MinerJob"),
    ("barograph-miners", "RunActivity:submit_commitment"),
    ("barograph-control", "POST /weather-commitment"),
    ("barograph-control", "SignalWorkflow:commitment_recorded"),
    ("barograph-hybrid", "RunActivity:fetch_lead"),
    ("barograph-miners", "GET /trade-wind/zarr/{job_id}/{path}"),
    ("barograph-control", "RunActivity:close_run"),
}


@dataclass(frozen=True)
class Span:
    where: tuple[str, str]
    trace_id: str
    span_id: bytes
    parent_id: bytes


@dataclass
class Collector:
    """What an OTLP collector was sent."""

    bodies: list[bytes] = field(default_factory=list)

    async def receive(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    def spans(self) -> Iterator[Span]:
        for body in self.bodies:
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                (service,) = [a.value.string_value for a in part.resource.attributes if a.key == "service.name"]
                for span in (span for scope in part.scope_spans for span in scope.spans):
                    yield Span((service, span.name), span.trace_id.hex(), span.span_id, span.parent_span_id)


@dataclass(frozen=True)
class Seen:
    """All that was told of one run."""

    run_id: str
    hotkeys: dict[str, str]
    spans: dict[bytes, Span]
    logs: dict[str, bytes]
    metrics: dict[str, str]
    faults: list[tuple[FaultRecord, str]]
    closed: dict[str, Any]

    @property
    def trace_id(self) -> str:
        (root,) = [span for span in self.spans.values() if span.where == ROAD[-1]]
        return root.trace_id

    def lines(self, *processes: str) -> list[dict[str, Any]]:
        return [json.loads(line) for name in processes for line in self.logs[name].splitlines()]


@asynccontextmanager
async def collecting() -> AsyncGenerator[tuple[str, Collector]]:
    collector, (port,) = Collector(), free_ports(1)
    app = Starlette(routes=[Route("/v1/traces", collector.receive, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    yield f"http://127.0.0.1:{port}", collector
    server.should_exit = True
    await serving


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        return asyncio.run(play(tmp_path_factory.mktemp("seen") / "state", patch))


async def play(root: Path, patch: pytest.MonkeyPatch) -> Seen:
    """A run, started on the command line; the collector outlives all processes."""
    async with collecting() as (endpoint, collector):
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with running(root, Ports.free(), {"WEATHER_VERIFICATION_WAIT_MINUTES": "0.1"}) as stack:
            run_id = await start(stack)
            async with httpx.AsyncClient(trust_env=False) as client:
                metrics = {name: (await client.get(url)).text for name, url in stack.embedded.metrics.items()}
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        faults = [(one, digest_of(session, one)) for one in faults_of(session, run_id)]
        closed = entry_of(session, run_id, "run_closed")
    return Seen(
        run_id=run_id,
        hotkeys={name: stack.hotkey(name) for name in ("babbler", "trade-wind")},
        spans={span.span_id: span for span in collector.spans()},
        logs={path.stem: path.read_bytes() for path in (root / "logs").iterdir()},
        metrics=metrics,
        faults=faults,
        closed=closed or {},
    )


def digest_of(session: Session, fault: FaultRecord) -> str:
    row, scope = FaultRecordRow, (fault.hotkey, fault.pass_, fault.lead_hours, fault.variable, fault.level)
    key = tuple_(row.hotkey, row.pass_, row.lead_hours, row.variable, row.level)
    return session.scalars(select(row.digest).where(row.run_id == fault.run_id, key == scope)).one()


async def start(stack: Stack) -> str:
    cycle = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
    arguments = ["run", "start", f"{cycle:%Y-%m-%dT%HZ}", "--campaign", "seen", "--wait", "--json"]
    environment = {**os.environ, **stack.embedded.environment("control")}
    command = await asyncio.create_subprocess_exec(sys.executable, "-m", "starter", *arguments, env=environment)
    assert await command.wait() == 0
    return names.run_id(cycle, "seen")


def test_one_trace_leads_from_the_command_line_to_the_miner(seen: Seen) -> None:
    (span,) = [span for span in seen.spans.values() if span.where == ROAD[0]]
    road = [span]
    while road[-1].parent_id:
        road.append(seen.spans[road[-1].parent_id])
    assert [span.where for span in road] == ROAD


def test_the_same_trace_leads_through_the_miners_job_back_to_the_validator(seen: Seen) -> None:
    assert {span.where for span in seen.spans.values() if span.trace_id == seen.trace_id} >= BACK


def test_what_the_command_asks_every_second_leaves_no_spans(seen: Seen) -> None:
    assert not [span for span in seen.spans.values() if "Query" in span.where[1]]


def test_each_line_of_an_activity_names_its_run_and_trace(seen: Seen) -> None:
    lines = [line for line in seen.lines("worker-control", "worker-hybrid", "miners") if "activity" in line]
    assert {line["activity"] for line in lines} >= {"close_run", "request_forecast", "fetch_lead", "run_inference"}
    for line in lines:
        assert (line["run"], line["trace_id"]) == (seen.run_id, seen.trace_id), line
        assert seen.spans[bytes.fromhex(line["span_id"])].where[1] == f"RunActivity:{line['activity']}"


def test_a_line_of_the_hybrid_worker_names_the_miner_and_what_it_did(seen: Seen) -> None:
    lines = seen.lines("worker-hybrid")
    asked = {line["miner"]: line for line in lines if line.get("activity") == "request_forecast"}
    refused = asked[seen.hotkeys["babbler"]]
    assert (refused["level"], refused["message"][:10], refused["workflow"]) == (
        "warning",
        "BadAnswer:",
        "MinerForecast",
    )
    assert asked[seen.hotkeys["trade-wind"]]["level"] == "info"
    assert seen.hotkeys["trade-wind"] in {line["miner"] for line in lines if line.get("activity") == "fetch_lead"}


def test_libraries_are_silent_when_nothing_is_wrong(seen: Seen) -> None:
    loggers = {line["logger"].partition(".")[0] for line in seen.lines("worker-control", "worker-hybrid", "miners")}
    assert loggers == {"barograph", "temporalio"}


@pytest.mark.parametrize(
    ("worker", "counted"),
    [
        ("control", 'barograph_miners_settled_total{activity_type="settle_miner",code="BadAnswer"'),
        ("control", 'barograph_facts_recorded_total{activity_type="record_scores",namespace="default",pass="day1_qc"'),
        ("control", 'barograph_faults_recorded_total{activity_type="settle_miner",cause="miner",code="BadAnswer"'),
        ("control", 'barograph_runs_closed_total{activity_type="close_run",namespace="default",outcome="closed"'),
        ("hybrid", "barograph_bytes_verified_total{"),
        ("hybrid", 'barograph_truth_ready_total{activity_type="ensure_truth",namespace="default",pass="era5_final"'),
        ("miners", "temporal_activity_execution_latency_seconds_count{"),
    ],
)
def test_each_worker_serves_the_metrics_of_temporal_and_ours(seen: Seen, worker: str, counted: str) -> None:
    values = dict(line.rsplit(" ", 1) for line in seen.metrics[worker].splitlines() if not line.startswith("#"))
    assert any(name.startswith(("temporal_workflow_", "temporal_activity_")) for name in values)
    assert next(float(value) for name, value in values.items() if name.startswith(counted)) > 0


def test_each_fault_has_one_code_what_was_found_and_a_digest_that_the_log_binds(seen: Seen) -> None:
    """AT-F4, F6."""
    assert {fault.code for fault, _ in seen.faults} >= {"BadAnswer", "ObjectDigestMismatch"}
    for fault, digest in seen.faults:
        assert (tree()[fault.code].cause, effect_of(fault.code)) == (fault.cause, fault.effect)
        assert fault.detail and fault.found
        assert digest == hashlib.sha256(fault_document(fault)).hexdigest()
    assert seen.closed["faults_digest"] == faults_digest(fault for fault, _ in seen.faults)
