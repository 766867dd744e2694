"""`RunRecords` on the ledger: a run is opened, sealed and closed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities import absence, attempts, documents, log_entries
from activities.closing import close
from activities.messages.run import (
    AbsenceSettled,
    AdvanceRun,
    CancelRun,
    CloseRun,
    CommitWindow,
    ForecastRunInput,
    ForecastRunResult,
    FreezeRoster,
    OpenCommitWindow,
    Roster,
    RosterMiner,
    Run,
    Sealed,
    SealRun,
    SettleAbsence,
)
from activities.signatures.runs import RunRecords
from adapters import instruments
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger import commitments, facts, log, roster, runs, secrets
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import FaultRecord, NewRun, Window
from adapters.object_store import ObjectStore
from protocol import names
from protocol.deadline import DeadlineRules, retain_until
from protocol.identity import PrivateKey
from protocol.messages import ForecastRequestData, InitMetadata
from protocol.receipt import RunOpened
from protocol.registry import Registry, RosterEntry
from protocol.registry import Roster as Admitted
from weather.cases import case_set, case_set_digest
from weather.faults import ConfigurationInvalid, InputsLate, RunLate


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
    heartbeat_timeout: timedelta
    round_pauses: tuple[timedelta, timedelta]
    attempt_pauses: tuple[timedelta, timedelta]
    hotkeys_per_address: int | None


class LedgerRunRecords(RunRecords):
    """Blocking: runs in the thread pool of `control`."""

    def __init__(  # noqa: PLR0913 -- the ports that a run's records stand on
        self,
        ledger: Ledger,
        store: ObjectStore,
        catalog: Catalog,
        registry: Callable[[], Registry],
        defaults: RunDefaults,
        clock: Clock,
        key: PrivateKey,
    ) -> None:
        self._ledger, self._store, self._catalog = ledger, store, catalog
        self._registry, self._defaults, self._clock, self._key = registry, defaults, clock, key

    @activity.defn
    def open_run(self, request: ForecastRunInput) -> Run:
        """Resolve every setting and store the row; again: the stored run."""
        run = self._resolve(request)
        rules = self._catalog.rules(run.grid)
        new = NewRun(
            **run.model_dump(include=set(NewRun.model_fields)),
            validator_hotkey=self._defaults.validator,
            case_set_digest=case_set_digest(case_set(rules)),
            config=run.model_dump(mode="json"),
        )
        with self._ledger.begin() as session:
            return Run.model_validate(runs.open_run(session, new).config)

    @activity.defn
    def freeze_roster(self, request: FreezeRoster) -> Roster:
        """Read the registry once; again: the first roster."""
        admitted = self._registry().roster(self._defaults.hotkeys_per_address)
        with self._ledger.begin() as session:
            rows = roster.freeze_roster(session, request.run.run_id, admitted.entries, admitted.digest)
            entries = tuple(
                RosterEntry(**{name: getattr(row, name) for name in RosterEntry.model_fields}) for row in rows
            )
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
                first = self._deadline_rules(run).first_scored_lead(run.init_time, now, leads)
                late = [self._late(run, h) for h in leads if first is None or h < first]
                facts.record_faults(session, late)
                instruments.FAULTS_RECORDED.tally(late, "code", "cause")
                if first is None:
                    return CommitWindow(requested_at=now, commit_deadline=now, first_lead_hours=None)
                call = self._call(request, now, first)
                row = runs.set_window(session, run.run_id, self._window(request, call))
                log.append_leaf(session, self._opened(request, call))
            return self._fixed(row)

    @activity.defn
    def advance_run(self, request: AdvanceRun) -> None:
        """Move the run's status along a legal edge."""
        with self._ledger.begin() as session:
            runs.reach_run(session, request.run_id, request.to, request.reason, request.at)

    @activity.defn
    def settle_absence(self, request: SettleAbsence) -> AbsenceSettled:
        """Prove every absence, or move the deadline for all; again: the same answer."""
        with self._ledger.begin() as session:
            return absence.settle(session, self._deadline_rules(request.run), request)

    @activity.defn
    def seal_run(self, request: SealRun) -> Sealed:
        """Close the commit window, with the secret of its audits; later commitments are refused."""
        with self._ledger.begin() as session:
            run = runs.reach_run(session, request.run_id, "initial_scoring_queued", "sealed", request.at)
            stored = commitments.commitments_of(session, request.run_id)
            secret_digest = secrets.draw_secret(session, self._key, request.run_id)
            log.append_leaf(session, log_entries.sealed(run, stored, secret_digest, self._clock.now()))
            deadline = _deadline(run)
        sealed = documents.SealedCommitments(
            {one.commitment.hotkey: documents.recorded(self._store, one, deadline) for one in stored}
        )
        return Sealed(
            commitments=documents.put_model(self._store, sealed),
            accepted=sum(1 for one in sealed.root.values() if one.in_time),
        )

    @activity.defn
    def cancel_run(self, request: CancelRun) -> None:
        """Tell that the run was cancelled; a restart adopts what is recorded."""
        with self._ledger.begin() as session:
            runs.record_cancelled(session, request.run_id, request.at)

    @activity.defn
    def close_run(self, request: CloseRun) -> ForecastRunResult:
        """Decide coverage, scores and ranks from the facts, once."""
        with attempts.beating_thread(), self._ledger.begin() as session:
            run = Run.model_validate(runs.changed_run(session, request.run_id).config)
            rules = self._catalog.pinned_rules(run.grid, run.score_spec_digest)
            result = close(session, run, rules, request)
            secret = secrets.secret_of(session, self._key, run.run_id)
            row = runs.changed_run(session, run.run_id)
            log.append_leaf(session, log_entries.closed(row, secret, self._clock.now()))
        instruments.FAULTS_RECORDED.tally(filter(None, [request.fault]), "code", "cause")
        instruments.RUNS_CLOSED.add(outcome=result.outcome)
        return result

    def _resolve(self, request: ForecastRunInput) -> Run:
        now, defaults = self._clock.now(), self._defaults
        _require_past(request.init_time, now)
        _require("network", request.network, defaults.network)
        grid = request.grid or defaults.grid
        layout, rules = self._catalog.layout(grid), self._catalog.rules(grid)
        _require("score spec", request.score_spec, rules.digest)
        last = request.init_time + timedelta(hours=max(rules.final_leads)) + defaults.truth_delay
        return Run(
            network=defaults.network,
            run_id=request.workflow_id,
            init_time=request.init_time,
            purpose=request.run_purpose,
            grid=grid,
            layout_digest=layout.digest,
            score_spec_digest=rules.digest,
            day1_lead_hours=rules.day1_qc.lead_time_hours,
            final_lead_hours=rules.final_leads,
            opened_at=now,
            close_by=max(last, now) + defaults.truth_budget,
            seal_grace=defaults.seal_grace,
            truth_delay=defaults.truth_delay,
            heartbeat_timeout=defaults.heartbeat_timeout,
            round_pauses=defaults.round_pauses,
            attempt_pauses=defaults.attempt_pauses,
        )

    def _deadline_rules(self, run: Run) -> DeadlineRules:
        defaults = self._defaults
        return DeadlineRules(
            hindcast=run.purpose == "hindcast",
            wait=defaults.wait,
            guard=defaults.guard,
            min_window=defaults.min_window,
        )

    def _late(self, run: Run, lead_hours: int) -> FaultRecord:
        latest = self._deadline_rules(run).latest(run.init_time, lead_hours)
        late = RunLate if run.opened_at + self._defaults.min_window > latest else InputsLate
        return FaultRecord(
            run_id=run.run_id,
            lead_hours=lead_hours,
            code=late.__name__,
            cause=late.cause,
            effect="V",
            detail=f"no miner could commit before {names.format_time(latest)}",
            recorded_at=run.opened_at,
        )

    def _call(self, request: OpenCommitWindow, requested_at: datetime, first: int) -> ForecastRequestData:
        run, layout = request.run, self._catalog.pinned_layout(request.run.grid, request.run.layout_digest)
        deadline = self._deadline_rules(run).deadline(run.init_time, requested_at, first)
        return ForecastRequestData(
            network=run.network,
            run_id=run.run_id,
            purpose=run.purpose,
            job_id=names.job_id(run.network, run.run_id, self._defaults.validator),
            gfs_init_time=run.init_time,
            gfs_init_metadata=InitMetadata.parse(self._store.get(request.inputs.objects.sha256)),
            input_data_hash=request.inputs.input_data_hash,
            forecast_step_hours=layout.lead_time_hours[0],
            inference_steps=len(layout.lead_time_hours),
            grid=run.grid,
            layout_digest=run.layout_digest,
            score_spec_digest=run.score_spec_digest,
            first_scored_lead_hours=first,
            requested_at=requested_at,
            commit_deadline=deadline,
            retain_until=retain_until(run.valid_time(max(run.final_lead_hours)), run.truth_delay, deadline),
        )

    def _window(self, request: OpenCommitWindow, call: ForecastRequestData) -> Window:
        return Window(
            requested_at=call.requested_at,
            commit_deadline=call.commit_deadline,
            first_lead_hours=call.first_scored_lead_hours,
            call_digest=call.call_digest,
            call_document=self._store.put(call.canonical),
            input_data_hash=call.input_data_hash,
            bundle_digest=request.inputs.bundle_digest,
        )

    def _fixed(self, row: ForecastRunRow) -> CommitWindow:
        assert row.requested_at is not None and row.call_document is not None
        return CommitWindow(
            requested_at=row.requested_at,
            commit_deadline=_deadline(row),
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


def _deadline(run: ForecastRunRow) -> datetime:
    assert run.commit_deadline is not None
    return run.commit_deadline
