"""Starting children; one that is already there is adopted, never an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities import signatures
from activities.messages.base import Message
from activities.messages.run import AdoptChild
from workflows.steps import perform

STARTS_AT_ONCE = 32

R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Child:
    """A child by its business id."""

    workflow: Any
    request: Message
    id: str
    summary: str
    search_attributes: TypedSearchAttributes


async def start_or_adopt(child: Child, result_type: type[R]) -> Awaitable[R]:
    """Start the child, or adopt the one under its id; answers when it is started, with its result to await."""
    try:
        return await _start(child)
    except WorkflowAlreadyStartedError:
        return asyncio.create_task(_adopt(child, result_type))


async def _start(child: Child) -> workflow.ChildWorkflowHandle[Any, Any]:
    return await workflow.start_child_workflow(
        child.workflow,
        child.request,
        id=child.id,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
        search_attributes=child.search_attributes,
        static_summary=child.summary,
    )


async def _adopt(child: Child, result_type: type[R]) -> R:
    adopted = await perform(signatures.ADOPT_CHILD, AdoptChild(workflow_id=child.id), f"adopt {child.id}")
    if adopted.result is None:
        return await (await _start(child))
    return result_type.model_validate(adopted.result)
