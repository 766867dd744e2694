"""How activities are called: every policy can hold, and every call names one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from temporalio.common import RetryPolicy

from activities import policies, task_queues
from adapters.miner_client import FORECAST_REQUEST, KERCHUNK_REQUEST, RECEIPT
from adapters.transfer import TransferBudget
from weather.faults import tree

ROOT = Path(__file__).parents[2]
QUEUES = {getattr(task_queues, name) for name in vars(task_queues) if name.isupper()}
NAMED = {
    name: value
    for name, value in vars(policies).items()
    if name.isupper() and hasattr(value, "keys") and "start_to_close_timeout" in value
}
CALLS = {"execute_activity", "execute_activity_method", "start_activity", "start_activity_method"}
INFERENCE = {task_queues.INFERENCE: {"InferenceActivities"}}


class Call(NamedTuple):
    """One mention of an activity in a workflow, and the policies that are named for it."""

    activity: str
    policies: frozenset[str]


def parsed(folder: str) -> dict[str, ast.Module]:
    return {str(path): ast.parse(path.read_text()) for path in sorted((ROOT / folder).glob("*.py"))}


def signatures() -> dict[str, str]:
    """`Class.method` of each abstract activity, with its class."""
    classes = [node for tree in parsed("activities/signatures").values() for node in classes_of(tree)]
    return {f"{cls.name}.{method.name}": cls.name for cls in classes for method in methods(cls) if is_activity(method)}


def classes_of(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def methods(cls: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_activity(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator) == "activity.defn" for decorator in method.decorator_list)


def attributes(node: ast.AST) -> set[str]:
    return {ast.unparse(part) for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def named_in(node: ast.AST) -> frozenset[str]:
    words = (name.removeprefix("policies.") for name in attributes(node) if name.startswith("policies."))
    return frozenset(words) & NAMED.keys()


def functions() -> Iterator[ast.AST]:
    for module in parsed("workflows").values():
        yield from (n for n in ast.walk(module) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def calls() -> list[Call]:
    """A policy stands in the call itself, or else in the function around it."""
    known, found = signatures(), []
    for function in functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                given = {ast.unparse(arg) for arg in node.args} & known.keys()
                found += [Call(activity, named_in(node) or named_in(function)) for activity in given]
    return found


def queue_of_signature() -> dict[str, str]:
    """Which queue's worker has the methods of an abstract class."""
    wiring = ast.parse((ROOT / "workers/wiring.py").read_text())
    bodies = {node.name: node for node in wiring.body if isinstance(node, ast.FunctionDef)}
    served = {queue: named(bodies[f"_{queue}"]) for queue in QUEUES if f"_{queue}" in bodies}
    return {
        word.rpartition(".")[2]: queue
        for queue, words in (served | INFERENCE).items()
        for word in words
        if word.rpartition(".")[2] in signatures().values()
    }


def named(node: ast.AST) -> set[str]:
    return attributes(node) | {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("timedelta", "RetryPolicy")


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_times_of_a_policy_fit_into_each_other(name: str) -> None:
    options: dict[str, Any] = dict(NAMED[name])
    whole = options["start_to_close_timeout"]
    assert timedelta(0) < whole <= options.get("schedule_to_close_timeout", whole)
    assert options.get("heartbeat_timeout", timedelta(0)) <= whole / 3
    assert options["task_queue"] in QUEUES


@pytest.mark.parametrize("name", sorted(NAMED))
def test_the_retries_of_a_policy_are_named_and_without_a_bound_on_attempts(name: str) -> None:
    retry = NAMED[name]["retry_policy"]
    shared = {id(value) for value in vars(policies).values() if isinstance(value, RetryPolicy)}
    assert id(retry) in shared
    assert set(retry.non_retryable_error_types or ()) <= set(tree())
    assert (retry.maximum_attempts == 0) is (name not in ("DELIVER_RECEIPT", "RUN_INFERENCE"))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("CALL_MINER", max(FORECAST_REQUEST.seconds, KERCHUNK_REQUEST.seconds)),
        ("DELIVER_RECEIPT", RECEIPT.seconds),
        ("VERIFY_MANIFEST", TransferBudget().manifest_round_seconds),
        ("FETCH_LEAD", TransferBudget().lead_round_seconds),
    ],
)
def test_an_attempt_outlives_what_a_miner_may_take(name: str, seconds: float) -> None:
    assert NAMED[name]["start_to_close_timeout"].total_seconds() > seconds


def test_a_changed_time_leaves_the_policy_itself_as_it_is() -> None:
    before = dict(policies.FETCH_LEAD)
    policies.beating(policies.until(policies.FETCH_LEAD, timedelta(hours=-1)), timedelta(seconds=1))
    assert dict(policies.FETCH_LEAD) == before
    assert policies.until(policies.RECORD, timedelta(hours=-1))["schedule_to_close_timeout"] == timedelta(seconds=1)


def test_every_activity_is_called_by_a_workflow_with_one_named_policy() -> None:
    assert {call.activity for call in calls()} == set(signatures())
    assert [call for call in calls() if len(call.policies) != 1] == []


def test_every_policy_is_used() -> None:
    assert {name for call in calls() for name in call.policies} == set(NAMED)


def test_an_activity_is_called_on_the_queue_whose_worker_has_it() -> None:
    queues = queue_of_signature()
    asked = {call.activity: {NAMED[name]["task_queue"] for name in call.policies} for call in calls()}
    assert asked == {activity: {queues[cls]} for activity, cls in signatures().items()}


def test_no_time_and_no_retry_is_written_at_a_call() -> None:
    found = [
        ast.unparse(node)
        for function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in CALLS
        for part in ast.walk(node)
        if literal(part)
    ]
    assert found == []


def test_every_activity_with_a_heartbeat_time_out_heartbeats() -> None:
    beating = {call.activity for call in calls() if any("heartbeat_timeout" in NAMED[name] for name in call.policies)}
    ours = {name.partition(".")[2] for name in beating if not name.startswith("InferenceActivities.")}
    bodies = [method for tree in parsed("activities").values() for cls in classes_of(tree) for method in methods(cls)]
    silent = [
        method.name
        for method in bodies
        if method.name in ours and not any(name.startswith("attempts.") for name in attributes(method))
    ]
    assert silent == []
