"""Traces and log lines of a process; nothing leaves the machine unless the OTLP variable says where to."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from temporalio import activity, workflow
from temporalio.contrib.opentelemetry import ReplaySafeTracerProvider

from adapters.temporal_client import replay_safe_tracing

LOG_FILE_BYTES = 10_000_000
LOG_FILE_COUNT = 5
FLUSH_MILLISECONDS = 5_000
SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/=]+"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(\w*(?:password|secret|token)\w*)=[^\s&\"',;]+"), r"\1=***"),
)
RUN = re.compile(r"(?:campaign/[^/]+/)?forecast/[^/]+")
MINER = re.compile(r"(?:^|/)miner/([^/]+)")


@dataclass(frozen=True)
class Telemetry:
    provider: ReplaySafeTracerProvider
    handlers: tuple[logging.Handler, ...]

    def shutdown(self) -> None:
        """Send what is kept, for at most five seconds, and give the root logger back."""
        self.provider.force_flush(FLUSH_MILLISECONDS)
        self.provider.shutdown()
        HTTPXClientInstrumentor().uninstrument()
        for handler in self.handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


def configure(service_name: str, *, log_file: Path | None = None) -> Telemetry:
    """To be called once, first thing in a process, and shut down last."""
    provider = replay_safe_tracing(service_name)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    HTTPXClientInstrumentor().instrument()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(log_file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILE_COUNT))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for handler in handlers:
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
    return Telemetry(provider, tuple(handlers))


def scrub(text: str) -> str:
    """The text without tokens, and without passwords in addresses."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


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


def _subject(record: logging.LogRecord) -> dict[str, str]:
    workflow_id = _workflow_id()
    run, miner = RUN.search(workflow_id), MINER.search(workflow_id)
    found = {"run": run and run[0], "miner": miner and miner[1]}
    found |= {name: str(getattr(record, name)) for name in found if hasattr(record, name)}
    return {name: value for name, value in found.items() if value}


def _workflow_id() -> str:
    if activity.in_activity():
        return activity.info().workflow_id or ""
    return workflow.info().workflow_id if workflow.in_workflow() else ""


def _span() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
