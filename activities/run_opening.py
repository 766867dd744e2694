"""A run is opened: settings are resolved, the roster frozen, the call fixed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity

from activities import documents, outbox
from activities.messages.base import FaultNote, Purpose
from activities.messages.run import CommitWindow, ForecastRunInput, OpenCommitWindow, Roster, RosterMiner, Run
from adapters import instruments
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.egress import addresses_of
from adapters.ledger import facts, log, roster, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import FaultRecord
from adapters.object_store import ObjectStore
from protocol import names
from protocol.deadline import DeadlineRules, retain_until
from protocol.messages import ForecastRequestData, InitMetadata
from protocol.receipt import RunOpened
from protocol.registry import Registry, RosterEntry
from protocol.registry import Roster as Admitted
from weather.cases import case_set, case_set_digest
from weather.faults import ConfigurationInvalid, InputsLate, RosterExcluded, RunLate

Addresses = Callable[[Collection[str]], Mapping[str, Collection[str]]]


@dataclass(frozen=True)
class RunDefaults:
    """What a run is given unless its input says otherwise."""

    network: str
    validator: str
    grid: str
    wait: timedelta
    guard: timedelta
    min_window: timedelta
    seal_grace: timedelta
    truth_delay: timedelta
    truth_budget: timedelta
    second_chance: timedelta
    heartbeat_timeout: timedelta
    round_pauses: tuple[timedelta, timedelta]
    attempt_pauses: tuple[timedelta, timedelta]
    hotkeys_per_address: int | None
    round_backend: bool = False

    def deadline_rules(self, purpose: Purpose) -> DeadlineRules:
        """When the commitments of a run are due."""
        return DeadlineRules(
            hindcast=purpose == "hindcast", wait=self.wait, guard=self.guard, min_window=self.min_window
        )


class LedgerRunOpening:
    """Blocking: runs in the thread pool of `control`."""

    def __init__(  # noqa: PLR0913 -- the ports that a run is opened with
        self,
        ledger: Ledger,
        store: ObjectStore,
        catalog: Catalog,
        registry: Callable[[], Registry],
        defaults: RunDefaults,
        clock: Clock,
        addresses: Addresses = addresses_of,
    ) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog
        self._registry, self._defaults, self._clock = registry, defaults, clock
        self._addresses = addresses

    @activity.defn
    def open_run(self, request: ForecastRunInput) -> Run:
        """Resolve every setting and store the row; again: the stored run."""
        run = self._resolve(request)
        rules = self._catalog.rules(run.grid)
        new = ForecastRunRow(
            **run.model_dump(include={*runs.IDENTITY, "close_by", "opened_at"}),
            validator_hotkey=self._defaults.validator,
            case_set_digest=case_set_digest(case_set(rules)),
            config=run.model_dump(mode="json"),
        )
        with self._ledger.begin() as session:
            row = runs.open_run(session, new)
            return Run.model_validate(row.config | {"held_by": row.held_by})

    @activity.defn
    def freeze_roster(self, request: Run) -> Roster:
        """Read the registry once, and look up what is behind its names; again: the first roster."""
        admitted = self._admitted()
        with self._ledger.begin() as session:
            if runs.changed_run(session, request.run_id).roster_digest is None:
                facts.record_faults(session, [self._excluded(request, entry) for entry in admitted.excluded])
            entries = tuple(roster.freeze_roster(session, request.run_id, admitted.entries, admitted.digest))
        frozen = Admitted(entries, ())
        return Roster(
            entries=documents.put(self._store, frozen.document),
            roster_digest=frozen.digest,
            miners=tuple(RosterMiner(hotkey=entry.hotkey, name=entry.name) for entry in entries),
        )

    @activity.defn
    def open_commit_window(self, request: OpenCommitWindow) -> CommitWindow:
        """Fix the call and its deadline; again: the first window."""
        run, now = request.run, self._clock.now().replace(microsecond=0)
        with self._ledger.begin() as session:
            row = runs.changed_run(session, run.run_id)
            if row.call_document is None:
                leads = sorted({*run.day1_lead_hours, *run.final_lead_hours})
                first = self._defaults.deadline_rules(run.purpose).first_scored_lead(run.init_time, now, leads)
                late = [self._late(run, h) for h in leads if first is None or h < first]
                facts.record_faults(session, late)
                instruments.FAULTS_RECORDED.tally(late, "code", "cause")
                if first is None:
                    return CommitWindow(requested_at=now, commit_deadline=now, first_lead_hours=None)
                call = self._call(request, now, first)
                self._fix(row, request, call)
                log.append_leaf(session, self._opened(request, call))
                outbox.round_started(session, row, self._catalog.pinned_rules(run.grid, run.score_spec_digest))
            return self._fixed(row)

    def _admitted(self) -> Admitted:
        registry, limit = self._registry(), self._defaults.hotkeys_per_address
        return registry.roster(limit, {} if limit is None else self._addresses(registry.hosts))

    def _excluded(self, run: Run, entry: RosterEntry) -> FaultRecord:
        limit = f"at most {self._defaults.hotkeys_per_address}"
        excluded = RosterExcluded("too many hotkeys behind its address", found=entry.base_url, expected=limit)
        return FaultRecord(
            run_id=run.run_id,
            hotkey=entry.hotkey,
            effect="W",
            recorded_at=self._clock.now(),
            **FaultNote.of(excluded).model_dump(),
        )

    def _resolve(self, request: ForecastRunInput) -> Run:
        now, defaults = self._clock.now(), self._defaults
        _require_past(request.init_time, now)
        _require("network", request.network, defaults.network)
        grid = request.grid or defaults.grid
        layout, rules = self._catalog.layout(grid), self._catalog.rules(grid)
        _require("score spec", request.score_spec, rules.digest)
        given: dict[str, Any] = {name: value for name, value in vars(defaults).items() if name in Run.model_fields}
        given["grid"] = grid
        last = request.init_time + timedelta(hours=max(rules.final_leads)) + defaults.truth_delay
        if request.run_purpose == "hindcast":
            last = max(last, now)
            given.update(second_chance=timedelta(0), round_backend=False)
        return Run(
            **given,
            run_id=request.workflow_id,
            init_time=request.init_time,
            purpose=request.run_purpose,
            layout_digest=layout.digest,
            score_spec_digest=rules.digest,
            day1_lead_hours=rules.day1_qc.lead_time_hours,
            final_lead_hours=rules.final_leads,
            opened_at=now,
            close_by=last + defaults.truth_budget,
        )

    def _late(self, run: Run, lead_hours: int) -> FaultRecord:
        latest = self._defaults.deadline_rules(run.purpose).latest(run.init_time, lead_hours)
        late = RunLate if run.opened_at + self._defaults.min_window > latest else InputsLate
        note = FaultNote.of(late(f"no miner could commit before {names.format_time(latest)}"))
        return FaultRecord(
            run_id=run.run_id, lead_hours=lead_hours, effect="V", recorded_at=run.opened_at, **note.model_dump()
        )

    def _call(self, request: OpenCommitWindow, requested_at: datetime, first: int) -> ForecastRequestData:
        run, layout = request.run, self._catalog.pinned_layout(request.run.grid, request.run.layout_digest)
        deadline = self._defaults.deadline_rules(run.purpose).deadline(run.init_time, requested_at, first)
        return ForecastRequestData(
            **run.model_dump(include={"network", "run_id", "purpose", "grid", "layout_digest", "score_spec_digest"}),
            job_id=names.job_id(run.network, run.run_id, self._defaults.validator),
            gfs_init_time=run.init_time,
            gfs_init_metadata=InitMetadata.parse(self._store.get(request.inputs.objects.sha256)),
            input_data_hash=request.inputs.input_data_hash,
            forecast_step_hours=layout.lead_time_hours[0],
            inference_steps=len(layout.lead_time_hours),
            first_scored_lead_hours=first,
            requested_at=requested_at,
            commit_deadline=deadline,
            retain_until=retain_until(run.valid_time(max(run.final_lead_hours)), run.truth_delay, deadline),
        )

    def _fix(self, row: ForecastRunRow, request: OpenCommitWindow, call: ForecastRequestData) -> None:
        row.requested_at, row.commit_deadline = call.requested_at, call.commit_deadline
        row.first_lead_hours = call.first_scored_lead_hours
        row.call_digest, row.call_document = call.call_digest, self._store.put(call.canonical)
        row.input_data_hash, row.bundle_digest = call.input_data_hash, request.inputs.bundle_digest

    def _fixed(self, row: ForecastRunRow) -> CommitWindow:
        assert row.requested_at and row.commit_deadline and row.call_document
        return CommitWindow(
            requested_at=row.requested_at,
            commit_deadline=row.commit_deadline,
            first_lead_hours=row.first_lead_hours,
            call=documents.ref(self._store, row.call_document),
        )

    def _opened(self, request: OpenCommitWindow, call: ForecastRequestData) -> RunOpened:
        return RunOpened(
            network=call.network,
            run_id=call.run_id,
            call_digest=call.call_digest,
            roster_digest=request.roster_digest,
            commit_deadline=call.commit_deadline,
            recorded_at=self._clock.now(),
        )


def _require_past(init_time: datetime, now: datetime) -> None:
    if init_time > now:
        latest = names.format_time(now.replace(microsecond=0))
        found = names.format_time(init_time)
        raise ConfigurationInvalid("init time is in the future", found=found, expected=f"at most {latest}")


def _require(what: str, found: str | None, expected: str) -> None:
    if found is not None and found != expected:
        raise ConfigurationInvalid(f"this validator runs another {what}", found=found, expected=expected)
