"""How activities are called: every signature can hold, fits the code behind it, and is what a workflow uses."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from temporalio.common import RetryPolicy

from activities import signatures, task_queues
from activities.signatures import Signature
from adapters.miner_client import FORECAST_REQUEST, KERCHUNK_REQUEST, RECEIPT
from adapters.transfer import TransferBudget
from miner.activities import MinerActivities
from tests.unit.test_house import no_collection  # noqa: F401 -- `ast` needs it in a long process
from tests.workflows import fake_audits, fake_scores, fake_weights, fakes
from tests.workflows.test_miner_job import FakeInference
from weather.faults import tree
from workers import wiring

ROOT = Path(__file__).parents[2]
QUEUES = {getattr(task_queues, name) for name in vars(task_queues) if name.isupper()}
SIGNATURES = {name: value for name, value in vars(signatures).items() if isinstance(value, Signature)}
RETRIES = {id(value) for value in vars(signatures).values() if isinstance(value, RetryPolicy)}
DOUBLES = (*(vars(module) for module in (fakes, fake_audits, fake_scores, fake_weights)), {"": FakeInference})


def activities_of(*scopes: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every activity of the classes that these scopes name."""
    classes = {one for scope in scopes for one in scope.values() if inspect.isclass(one)}
    found = [inspect.getmembers(one, lambda each: hasattr(each, signatures.MARK)) for one in classes]
    return sorted((pair for pairs in found for pair in pairs), key=lambda pair: pair[0])


REAL = activities_of(vars(wiring), {"": MinerActivities})


def mentions(tree: ast.AST) -> set[str]:
    return {ast.unparse(part) for part in ast.walk(tree) if isinstance(part, ast.Attribute)}


def workflow_modules() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted((ROOT / "workflows").glob("*.py"))]


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_signature_bears_the_name_of_its_activity_and_a_queue_that_is_there(name: str) -> None:
    assert SIGNATURES[name].name == name.lower()
    assert SIGNATURES[name].options["task_queue"] in QUEUES


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_times_of_a_signature_fit_into_each_other(name: str) -> None:
    options = SIGNATURES[name].options
    whole = options["start_to_close_timeout"]
    assert timedelta(0) < whole <= options.get("schedule_to_close_timeout", whole)
    assert options.get("heartbeat_timeout", timedelta(0)) <= whole / 3


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_retries_of_a_signature_are_named_and_without_a_bound_on_attempts(name: str) -> None:
    retry = SIGNATURES[name].options["retry_policy"]
    assert id(retry) in RETRIES
    assert set(retry.non_retryable_error_types or ()) <= set(tree())
    assert (retry.maximum_attempts == 0) is (name not in ("DELIVER_RECEIPT", "RUN_INFERENCE"))


@pytest.mark.parametrize(
    ("signature", "seconds"),
    [
        (signatures.REQUEST_FORECAST, FORECAST_REQUEST.seconds),
        (signatures.POLL_COMMITMENT, KERCHUNK_REQUEST.seconds),
        (signatures.DELIVER_RECEIPT, RECEIPT.seconds),
        (signatures.VERIFY_MANIFEST, TransferBudget().manifest_round_seconds),
        (signatures.FETCH_LEAD, TransferBudget().lead_round_seconds),
    ],
)
def test_an_attempt_outlives_what_a_miner_may_take(signature: Signature[Any, Any], seconds: float) -> None:
    assert signature.options["start_to_close_timeout"].total_seconds() > seconds


def test_every_activity_has_one_signature_and_one_place() -> None:
    assert [name for name, _ in REAL] == sorted(one.name for one in SIGNATURES.values())


@pytest.mark.parametrize(("name", "method"), REAL + activities_of(*DOUBLES))
def test_an_activity_and_its_double_take_and_give_what_the_signature_says(name: str, method: Any) -> None:
    signature, hints = SIGNATURES[name.upper()], get_type_hints(method)
    assert hints.pop("return") == signature.gives
    assert list(hints.values()) == [signature.takes]


def test_workflows_use_every_signature_and_no_activity_otherwise() -> None:
    used = set().union(*map(mentions, workflow_modules()))
    assert {name.partition(".")[2] for name in used if name.startswith("signatures.")} == set(SIGNATURES)
    assert {name for name in used if "activity" in name} == {"workflow.start_activity"}


def test_no_time_and_no_retry_is_written_at_a_call() -> None:
    calls = [
        node
        for module in workflow_modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "perform"
    ]
    assert len(calls) >= len(SIGNATURES) - 4
    assert [ast.unparse(call) for call in calls if re.search(r"timedelta\(|RetryPolicy\(", ast.unparse(call))] == []
    given = {word.arg for call in calls for word in call.keywords if word.arg}
    assert given == {"heartbeat_timeout", "schedule_to_close_timeout"}


def test_every_activity_with_a_heartbeat_time_out_heartbeats() -> None:
    beating = {one.name for one in SIGNATURES.values() if "heartbeat_timeout" in one.options}
    ours = [(name, method) for name, method in activities_of(vars(wiring)) if name in beating]
    assert [name for name, method in ours if "attempts." not in inspect.getsource(method)] == []
