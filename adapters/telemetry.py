"""Traces and log lines of a process; nothing leaves the machine unless the OTLP variable says where to."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio import activity, workflow
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from adapters.temporal_client import replay_safe_tracing
from weather.faults import Fault

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LOG_FILE_BYTES = 10_000_000
LOG_FILE_COUNT = 5
FLUSH_SECONDS = 5
ONLY_WARNINGS = ("alembic", "httpx", "uvicorn")
SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/=]+"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(\w*(?:password|secret|token)\w*)=[^\s&\"',;]+"), r"\1=***"),
)
WORKFLOW_IDS = (
    re.compile(r"(?P<campaign>(?:campaign/[^/]+/)?)forecast/(?P<init>[^/]+)(?:/miner/(?P<miner>[^/]+))?"),
    re.compile(r"miner/(?P<miner>[^/]+)/(?P<campaign>(?:campaign/[^/]+/)?)(?P<init>[^/]+)"),
)
LONGEST_PATH = 200
log = logging.getLogger("barograph.activity")
_miner_at_hand: ContextVar[str | None] = ContextVar("miner", default=None)
_told: ContextVar[ApplicationError | None] = ContextVar("told", default=None)


@contextmanager
def telemetry(service_name: str, *, log_file: Path | None = None) -> Generator[ReplaySafeTracerProvider]:
    """Entered once, first thing in a process, and left last: what is kept is sent, for at most five seconds."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(log_file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILE_COUNT))
    provider = _tracing(service_name)
    _begin(handlers)
    try:
        yield provider
    finally:
        provider.force_flush(FLUSH_SECONDS * 1000)
        provider.shutdown()
        HTTPXClientInstrumentor().uninstrument()
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


def _begin(handlers: list[logging.Handler]) -> None:
    HTTPXClientInstrumentor().instrument()
    logging.getLogger().setLevel(logging.INFO)
    for name in ONLY_WARNINGS:
        logging.getLogger(name).setLevel(logging.WARNING)
    activity.logger.activity_info_on_message = False  # it stands in members of its own
    workflow.logger.workflow_info_on_message = False
    activity.logger.base_logger.addFilter(_is_news)
    for handler in handlers:
        handler.setFormatter(JsonLines())
        logging.getLogger().addHandler(handler)


@contextmanager
def command_span(name: str) -> Generator[None]:
    """The root of a trace that a person's command begins, sent before the command leaves; nothing is logged."""
    provider = _tracing("barograph-cli")
    try:
        with _tracer().start_as_current_span(name):
            yield
    finally:
        provider.force_flush(FLUSH_SECONDS * 1000)


@contextmanager
def untraced() -> Generator[None]:
    """For what is asked again every second: neither side keeps spans of it."""
    nobody = trace.SpanContext(trace_id=1, span_id=1, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(nobody)):
        yield


def about_miner(hotkey: str) -> None:
    """Name the miner in this activity's lines and span, where its workflow is about many."""
    _miner_at_hand.set(hotkey)
    trace.get_current_span().set_attribute("barograph.miner", hotkey)


def scrub(text: str) -> str:
    """The text without tokens, and without passwords in addresses."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


class TracedServer:
    """ASGI: a request continues its caller's trace; of the caller's headers only that of the trace is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        context = TraceContextTextMapPropagator().extract(headers, Context())
        method, path = scope["method"], scope["path"]
        attributes = {"http.request.method": method, "url.path": path[:LONGEST_PATH]}
        with _tracer().start_as_current_span(method, context, trace.SpanKind.SERVER, attributes) as span:

            async def answer(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, answer)
            if "endpoint" in scope:
                span.update_name(f"{method} {_route(path, scope['path_params'])}")


class ActivityLines(Interceptor):
    """One line for each attempt of an activity, inside its span; a traceback only for what nobody foresaw."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Told(next)


class _Told(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        began = time.monotonic()
        try:
            result = await self.next.execute_activity(input)
        except ApplicationError as error:
            level = logging.INFO if error.category == ApplicationErrorCategory.BENIGN else logging.WARNING
            cause = error.__cause__
            told, traceback = (cause, None) if isinstance(cause, Fault) else (error.message, cause)
            log.log(level, "%s: %s", error.type, told, exc_info=traceback)
            _told.set(error)
            raise
        log.info("done in %.3f s", time.monotonic() - began)
        return result


class JsonLines(logging.Formatter):
    """One JSON object a line; run and miner come from `extra`, or from the workflow that it is logged for."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
            **_subject(record),
            **_span(),
        }
        if record.exc_info:
            line["error"] = scrub(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _is_news(record: logging.LogRecord) -> bool:
    """The SDK tells each failure again, with a traceback."""
    told = _told.get()
    return told is None or not record.exc_info or record.exc_info[1] is not told


def _tracer() -> trace.Tracer:
    return trace.get_tracer(__name__)


def _route(path: str, parameters: dict[str, Any]) -> str:
    for name, value in parameters.items():
        path = path.replace(str(value), f"{{{name}}}")
    return path


def _tracing(service_name: str) -> ReplaySafeTracerProvider:
    provider = replay_safe_tracing(service_name)
    if os.environ.get(ENDPOINT):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=FLUSH_SECONDS)))
    return provider


def _subject(record: logging.LogRecord) -> dict[str, str | int]:
    found = _work()
    found |= {name: str(getattr(record, name)) for name in ("run", "miner") if hasattr(record, name)}
    return {name: value for name, value in found.items() if value}


def _work() -> dict[str, str | int | None]:
    if activity.in_activity():
        info = activity.info()
        types = {"workflow": info.workflow_type, "activity": info.activity_type, "attempt": info.attempt}
        return _run_and_miner(info.workflow_id or "") | types
    if workflow.in_workflow():
        return _run_and_miner(workflow.info().workflow_id) | {"workflow": workflow.info().workflow_type}
    return {}


def _run_and_miner(workflow_id: str) -> dict[str, str | int | None]:
    for pattern in WORKFLOW_IDS:
        if named := pattern.match(workflow_id):
            return {
                "run": f"{named['campaign']}forecast/{named['init']}",
                "miner": named["miner"] or _miner_at_hand.get(),
            }
    return {}


def _span() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
