"""What a person is asked, whole: the same text wherever a question is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ion.cli.formatting import wrapped
from ion.core.events import ApprovalRequested, ApprovalResolved
from ion.errors import IonError
from ion.records import dataclass

if TYPE_CHECKING:
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen
    from ion.core.events import Recorded
    from ion.core.state import RunState
    from ion.language.workflow import Workflow

# Node → decision → its label.
Labels: TypeAlias = Mapping[str, Mapping[str, str]]


NO_LABELS: Labels = {}


@dataclass(frozen=True)
class Answered:
    """A question of a node with the answer that a person gave to it (`at` in ms since the epoch)."""

    request: str
    message: str
    decision: str
    comment: str
    by: dict[str, Any]
    at: int


def answers_of(events: Iterable[Recorded], node: str) -> tuple[Answered, ...]:
    """What was answered to the questions of a node, in the order of the answers."""
    asked: dict[str, str] = {}
    found = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, ApprovalRequested) and event.node == node:
            asked[event.request] = event.message
        elif isinstance(event, ApprovalResolved) and event.node == node:
            message = asked.get(event.request, "")
            found.append(Answered(event.request, message, event.decision, event.comment, event.by, event.at))
    return tuple(found)


def frozen_labels(workspace: Workspace, result: RunResult) -> Labels:
    """The labels of the gates that are open in a run; none of a run whose workflow cannot be read any more."""
    if not any(node.gate is not None and node.gate.decisions for node in result.state.nodes.values()):
        return NO_LABELS
    return labels_in(workspace, result.run_id, result.state)


def labels_in(workspace: Workspace, run_id: str, state: RunState) -> Labels:
    """The labels of all gates of a run; none if its workflow cannot be read any more."""
    from ion.api.reading import read_frozen

    try:
        return labels_of(read_frozen(workspace, run_id, state))
    except IonError:
        return NO_LABELS


def labels_of(workflow: Workflow | None) -> Labels:
    """The labels that a workflow gives to the decisions of its gates."""
    from ion.language.workflow import Approval

    nodes = workflow.nodes if workflow is not None else ()
    return {
        node.id: {decision.id: decision.label or "" for decision in node.body.decisions}
        for node in nodes
        if isinstance(node.body, Approval)
    }


def message_lines(screen: Screen, message: str, *, indent: int, first: int = 0) -> list[str]:
    """The lines of a message for a place that is indented so far; its first line has `first` columns less."""
    return list(wrapped(message, max(screen.width - indent - 1, 20), first=first, shown=screen.plain)) or [""]
