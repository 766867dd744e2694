"""One trace from the client over the workflow and the activity to the HTTP call and its server."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id, get_current_span, get_tracer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from temporalio import activity
from temporalio.client import Client
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider
from temporalio.worker import Worker

from adapters import temporal_server
from adapters.telemetry import (
    TracedServer,
    command_span,
    telemetry,
    untraced,
)
from adapters.temporal_client import connect, workflow_runner
from starter.ports import free_ports
from starter.supervisor import Process, supervise
from tests.activities.asking import AskOverHttp, AskTwice

RUN = "campaign/demo/forecast/2026-11-22T18Z"


@activity.defn(name="ask")
async def ask(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    logging.getLogger("ask").info("asked %s", url)
    return answer.text


@pytest.fixture
def provider(tmp_path: Path) -> Generator[ReplaySafeTracerProvider]:
    with telemetry("test", log_file=tmp_path / "logs" / "test.log") as provider:
        yield provider


@pytest.fixture
def spans(provider: ReplaySafeTracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
async def echo_url() -> AsyncGenerator[str]:
    """A server that answers with the `traceparent` that it was sent."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        sent = next(line.partition(": ")[2] for line in head if line.lower().startswith("traceparent:"))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(sent)}\r\nConnection: close\r\n\r\n{sent}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://user:hunter2@127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def server(folder: Path) -> AsyncGenerator[Client]:
    (port,) = free_ports(1)
    argv = temporal_server.start_command(folder / "temporal.db", port, durable=False)

    async def answers(_pid: int) -> None:
        await temporal_server.wait_until_ready(await connect(f"127.0.0.1:{port}", "default"))

    async with supervise([Process("temporal", argv, folder / "log", folder / "pid", ready=answers)]):
        yield await connect(f"127.0.0.1:{port}", "default")


def worker(client: Client) -> Worker:
    workflows = [AskOverHttp, AskTwice]
    return Worker(client, task_queue="q", workflows=workflows, activities=[ask], workflow_runner=workflow_runner())


def lines(telemetry_folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (telemetry_folder / "logs" / "test.log").read_text().splitlines()]


@pytest.mark.server
async def test_one_trace_runs_from_the_client_to_the_http_call(
    spans: InMemorySpanExporter, echo_url: str, tmp_path: Path
) -> None:
    async with (
        server(tmp_path) as client,
        worker(client),
    ):
        with get_tracer("test").start_as_current_span("submission") as submission:
            sent = await client.execute_workflow(AskOverHttp.run, echo_url, id=f"{RUN}/miner/ab12", task_queue="q")
    trace_id = format_trace_id(submission.get_span_context().trace_id)
    of_trace = [span.name for span in spans.get_finished_spans() if format_trace_id(span.context.trace_id) == trace_id]
    assert {"submission", "RunWorkflow:AskOverHttp", "RunActivity:ask", "GET"} <= set(of_trace)
    assert sent.split("-")[1] == trace_id
    asking, logged = [line for line in lines(tmp_path) if line["message"].startswith("ask")]
    assert (asking["run"], asking["miner"], asking["trace_id"]) == (RUN, "ab12", trace_id)
    assert (asking["message"], asking["workflow"]) == ("asking", "AskOverHttp")
    assert (logged["run"], logged["miner"], logged["trace_id"]) == (RUN, "ab12", trace_id)
    assert "hunter2" not in logged["message"] and all(
        "hunter2" not in str(s.attributes) for s in spans.get_finished_spans()
    )


@pytest.mark.server
async def test_a_run_started_without_a_trace_has_one_trace_that_outlives_its_worker(
    provider: ReplaySafeTracerProvider, echo_url: str, tmp_path: Path
) -> None:
    async with server(tmp_path) as client:
        untraced = await Client.connect(client.service_client.config.target_host)
        handle = await untraced.start_workflow(AskTwice.run, echo_url, id=RUN, task_queue="q")
        async with worker(client):
            await handle.execute_update("asked")
        async with worker(client):
            await handle.signal(AskTwice.proceed)
            first, second = await handle.result()
    assert first.split("-")[1] == second.split("-")[1] != "0" * 32


async def serve_object(request: Request) -> JSONResponse:
    inside = get_current_span().get_span_context()
    return JSONResponse({"trace_id": format_trace_id(inside.trace_id), "baggage": dict(baggage.get_all())})


@pytest.fixture
async def served() -> AsyncGenerator[httpx.AsyncClient]:
    routes = [Mount("/calm", routes=[Route("/zarr/{job_id}/{path:path}", serve_object)])]
    transport = httpx.ASGITransport(TracedServer(Starlette(routes=routes)))
    async with httpx.AsyncClient(transport=transport, base_url="http://miner", trust_env=False) as client:
        yield client


async def test_a_server_continues_its_callers_trace_and_takes_nothing_else(
    spans: InMemorySpanExporter, served: httpx.AsyncClient
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "baggage": "run=mine"}
    assert (await served.get("/calm/zarr/j1/t/c/0", headers=headers)).json() == {"trace_id": trace_id, "baggage": {}}
    assert (await served.get("/nowhere")).status_code == 404
    found, absent = spans.get_finished_spans()
    assert (found.name, found.parent and found.parent.span_id) == ("GET /calm/zarr/{job_id}/{path}", 0xB7AD6B7169203331)
    assert found.attributes == {
        "http.request.method": "GET",
        "url.path": "/calm/zarr/j1/t/c/0",
        "http.response.status_code": 200,
    }
    assert (absent.name, absent.parent) == ("GET", None)


async def test_headers_that_are_no_text_and_no_trace_begin_a_new_one(
    spans: InMemorySpanExporter, served: httpx.AsyncClient
) -> None:
    headers = {b"traceparent": b"00-\xff\\x-01", b"user-agent": b"\xff\\x"}
    assert (await served.get("/calm/zarr/j1/t", headers=headers)).status_code == 200
    (span,) = spans.get_finished_spans()
    assert span.parent is None


def test_a_command_is_the_root_of_a_trace_and_what_it_repeats_leaves_none(spans: InMemorySpanExporter) -> None:
    tracer = get_tracer("test")
    with command_span("barograph run start"):
        tracer.start_span("StartWorkflow").end()
        with untraced():
            tracer.start_span("QueryWorkflow").end()
    begun, root = spans.get_finished_spans()
    assert (begun.name, root.name, root.parent) == ("StartWorkflow", "barograph run start", None)
    assert begun.parent and begun.parent.span_id == root.context.span_id


def test_spans_are_sent_only_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of other workflows of this process end when the collector of garbage finds them, and are sent too."""
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        for endpoint in ("", f"http://127.0.0.1:{collector.server_port}"):
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            with telemetry("test"):
                get_tracer("test").start_span("of this test").end()
            assert [path for path, body in received if b"of this test" in body] == (["/v1/traces"] if endpoint else [])
            assert endpoint or not received
        collector.shutdown()
