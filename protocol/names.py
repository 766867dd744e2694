"""Names on which both sides agree: run, job and workflow ids, and instants as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid5

PROTOCOL = "barograph/1"

_JOBS = UUID("a51b26e1-5094-59b4-943d-47aead922984")
_CYCLE_FORMAT = "%Y-%m-%dT%HZ"
_CAMPAIGN = re.compile(r"[a-z0-9-]{3,29}")
_RUN = re.compile(r"(?:campaign/([a-z0-9-]{3,29})/)?forecast/(\d{4}-\d{2}-\d{2}T(?:00|06|12|18)Z)", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z", re.ASCII)


class RunName(NamedTuple):
    """What a run id says."""

    init_time: datetime
    campaign: str | None


def run_id(init_time: datetime, campaign: str | None = None) -> str:
    """Id of the `ForecastRun` workflow, `forecast/2026-11-22T18Z`; ValueError for no cycle or no campaign name."""
    if campaign is not None and not _CAMPAIGN.fullmatch(campaign):
        raise ValueError(f"campaign name {campaign!r} is not [a-z0-9-]{{3,29}}")
    prefix = "" if campaign is None else f"campaign/{campaign}/"
    return f"{prefix}forecast/{_cycle(init_time)}"


def parse_run_id(value: str) -> RunName:
    """Init time and campaign of a run id; ValueError if it is none."""
    if not (match := _RUN.fullmatch(value)):
        raise ValueError(f"{value!r} is not a run id")
    return RunName(datetime.strptime(match[2], _CYCLE_FORMAT).replace(tzinfo=UTC), match[1])


def job_id(network: str, run_id: str, hotkey: str) -> str:
    """Id of the one forecast of a miner for a run, equal for all validators of the network."""
    return str(uuid5(_JOBS, f"{network}|{run_id}|{hotkey}"))


def miner_workflow_id(run_id: str, hotkey: str, generation: int = 1) -> str:
    """Id of `MinerForecast`; a rerun ends in its generation, such as `/g2`."""
    return f"{run_id}/miner/{hotkey}" + _again(generation)


def pass_workflow_id(run_id: str, pass_: str, lead: int | None = None, generation: int = 1) -> str:
    """Id of `ScoringPass`: `<run_id>/score/day1_qc` or `<run_id>/score/era5_final/024h`; a rerun ends as above."""
    return f"{run_id}/score/{pass_}" + ("" if lead is None else f"/{lead:03d}h") + _again(generation)


def audits_workflow_id(run_id: str) -> str:
    """Id of `RetentionAudit`."""
    return f"{run_id}/audits"


def miner_job_workflow_id(hotkey: str, run_id: str) -> str:
    """Id of `MinerJob`: `miner/<hotkey>/<init>` or `miner/<hotkey>/campaign/<name>/<init>`."""
    init_time, campaign = parse_run_id(run_id)
    prefix = "" if campaign is None else f"campaign/{campaign}/"
    return f"miner/{hotkey}/{prefix}{_cycle(init_time)}"


def format_time(instant: datetime) -> str:
    """RFC 3339 in whole seconds, `2026-11-22T18:00:00Z`; ValueError if naive, or with a fraction of a second."""
    if instant.tzinfo is None or instant.microsecond:
        raise ValueError(f"{instant.isoformat()} is not an aware instant in whole seconds")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """The reverse of `format_time`; ValueError for any other spelling, or no such day."""
    return _parsed(text, "2026-11-22T18:00:00Z")


def format_stamp(instant: datetime) -> str:
    """RFC 3339 in milliseconds, rounded up: nothing after a whole second reads as that second; ValueError if naive."""
    milliseconds = -(-instant.microsecond // 1000)
    whole = instant.replace(microsecond=0)
    return format_time(whole + timedelta(seconds=milliseconds // 1000))[:-1] + f".{milliseconds % 1000:03d}Z"


def parse_stamp(text: str) -> datetime:
    """The reverse of `format_stamp`; ValueError for any other spelling, or no such day."""
    return _parsed(text, "2026-11-22T18:00:00.000Z")


def _parsed(text: str, example: str) -> datetime:
    if not _INSTANT.fullmatch(text) or len(text) != len(example):
        raise ValueError(f"{text!r} is not a time like {example}")
    return datetime.fromisoformat(text)


def _again(generation: int) -> str:
    return f"/g{generation}" if generation > 1 else ""


def _cycle(init_time: datetime) -> str:
    text = format_time(init_time)
    if text[11:13] not in ("00", "06", "12", "18") or text[13:] != ":00:00Z":
        raise ValueError(f"{text} is not a 00, 06, 12 or 18 UTC cycle")
    return text[:13] + "Z"
