"""The one place that resolves the references of a turn when it starts (language.md §5).

`Values` knows every name: outputs of nodes, inputs and `with:` bindings, and the engine's own. `render` fills in
prompts, messages and `env` values; bash and the environment take the same values from here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ion.core.events import Content
from ion.core.state import NodeState
from ion.core.values import end_value, outcome_value
from ion.errors import UnreadableReferenceError
from ion.foreign import loads
from ion.language.patterns import pattern
from ion.language.references import Resolved, end_of, find_references, path_of, reference_text, render
from ion.language.templates import Template
from ion.language.values import canonical, describe, select
from ion.language.workflow import (
    Binding,
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    RunReference,
    variable_name,
)
from ion.nodes.base import Context, Turn
from ion.nodes.given import inputs_of, parsed
from ion.process.survivors import runs_around

# Halves of surrogate pairs that stand for no byte.
_HALF = pattern("[\ud800-\udc7f\udd00-\udfff]")
# A NUL, and half of a surrogate pair: a byte that was no UTF-8 (PEP 383).
_NO_TEXT = pattern("[\0\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` with U+FFFD for what people and agents cannot be given."""
    return _NO_TEXT.sub("\ufffd", text)


def exact(text: str) -> str:
    """`text` as the bytes that `os.fsencode` makes of it: the bytes of an output come back unchanged."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


@lru_cache(maxsize=64)
def _seen_from(cwd: Path, folder: Path) -> str:
    return f"{folder.relative_to(cwd) if folder.is_relative_to(cwd) else folder}/"


class Values:
    """The values of one turn. Every method that reads one raises `UnreadableReferenceError` if it cannot be read."""

    def __init__(self, turn: Turn, context: Context) -> None:
        self._turn = turn
        self._context = context

    def render(self, text: str) -> str:
        """A prompt, a message or another text for people and agents, filled in."""
        return render(text, self.resolve)

    def resolve(self, reference: Reference) -> Resolved:
        """The text that replaces a reference. Bytes that are not text become U+FFFD."""
        value, consumed = self.value(reference)
        return Resolved(printable(canonical(value)), consumed)

    def splice(self, code: str) -> str:
        """Inline code with its node references replaced by raw text, as the Archon dialect does; all else stays."""
        parts, done = [], 0
        for found in find_references(code, escapes=False):
            if isinstance(found.reference, NodeReference):
                resolved = self.resolve(found.reference)
                parts.append(code[done : found.start] + resolved.text)
                done = end_of(found, resolved.consumed)
        return "".join(parts) + code[done:]

    def value(self, reference: Reference) -> tuple[Any, int]:
        """The JSON value of a reference, and how many elements of its path it took to get there."""
        match reference:
            case NodeReference():
                return self._node_value(reference)
            case PreviousReference() if self._turn.around.iteration:
                return self._previous_value(reference)
            case InputReference(name, path):
                return self._field(name, self._input(name), path)
            case OutcomeReference(node, name):
                return self._outcome(node, name), 0
            case RunReference(name) if self._turn.around.ending is not None:
                return end_value(self._turn.around.ending, name), 0
            case EngineReference(name) if name in self._engine:
                return self._engine[name](), 0
        return reference_text(reference), len(path_of(reference))  # a name outside of its place is text

    def whole(self, reference: Reference) -> Content | None:
        """The content behind a reference that, like `$plan.output`, is the whole output of a node; None for others."""
        if not isinstance(reference, NodeReference) or reference.path or reference.node == self._turn.node.id:
            return None
        if self._is_blank(reference):
            return None
        return self._readable(reference).output

    def outer(self, value: Any) -> Any:
        """JSON with its texts filled in, as in `with:`; it does not see the bindings of the node."""
        return self._filled(value)

    @cached_property
    def bindings(self) -> dict[str, Any]:
        """The node's `with:` by name, as JSON."""
        return {name: self._bound(binding) for name, binding in self._turn.node.bindings.items()}

    @cached_property
    def given(self) -> tuple[dict[str, Any], str]:
        """The inputs around the node, by name, and the text for `$ARGUMENTS`."""
        return inputs_of(self._turn, self._context)

    def variables(self) -> dict[str, str]:
        """All names as environment variables, the engine's last and so strongest; `BASE_BRANCH` is not among them."""
        found = {declared.variable: "" for declared in self._turn.template.workflow.inputs}
        for name, value in (self.given[0] | self.bindings).items():
            found[variable_name(name)] = exact(canonical(value))
        found |= {name: exact(read()) for name, read in self._engine.items() if name != "BASE_BRANCH"}
        found["ION_RUN_ID"] = self._context.run_id
        found["ION_NODE_ID"] = self._turn.address
        found["ION_IDEMPOTENCY_KEY"] = self._context.idempotency_key(self._turn.address, self._turn.iteration)
        return found | runs_around(self._context.environ)

    def _read(self, content: Content | None) -> str:
        return "" if content is None else self._context.read(content)

    # ------------------------------------------------------------------ one kind of name each

    def _node_value(self, reference: NodeReference) -> tuple[Any, int]:
        if reference.node == self._turn.node.id or self._is_blank(reference):
            return "", len(reference.path)
        node = self._readable(reference)
        if node.output is None:
            return "", 0
        return self._selected(node.output, reference, self._turn.template.named(reference.node, inside=True))

    def _is_blank(self, reference: NodeReference) -> bool:
        """Whether it is read in `finally`, and its node has no output."""
        if self._turn.around.ending is None:
            return False
        found = self._turn.find(reference.node, self._context)
        return found is not None and not found.succeeded

    def _outcome(self, node: str, name: str) -> str | int:
        if node == self._turn.node.id:
            return ""
        return outcome_value(self._context.nodes, self._turn.find(node, self._context), name)

    def _selected(
        self, output: Content, reference: NodeReference | PreviousReference, template: Template | None
    ) -> tuple[Any, int]:
        declared = template.output_format if template is not None else None
        try:
            selected = select(self._context.read(output), reference.path, declared)
        except UnreadableReferenceError as error:
            raise UnreadableReferenceError(f"{reference_text(reference)}: {error.message}", hint=error.hint) from error
        return selected.value, selected.consumed

    def _readable(self, reference: NodeReference) -> NodeState:
        """The state of a node whose output may be read in this form: completed, or skipped and read as a whole."""
        written, node = reference_text(reference), self._turn.find(reference.node, self._context)
        if node is None:
            raise UnreadableReferenceError(f"{written} cannot be read: unknown node '{reference.node}'")
        if node.status == "skipped" and reference.path:
            raise UnreadableReferenceError(
                f"{written} cannot be read: '{node.id}' was skipped, so it has no fields",
                hint="pass it by with: {name: {from: …, if_skipped: …}}, or give this node a when: too",
            )
        if not node.succeeded and node.status != "skipped":
            how = {"failed": "failed", "cancelled": "was stopped"}.get(node.status, "has not ended")
            raise UnreadableReferenceError(
                f"{written} cannot be read: '{node.id}' {how}",
                hint="only nodes that completed, or may fail (allow_failure), have outputs",
            )
        return node

    def _previous_value(self, reference: PreviousReference) -> tuple[Any, int]:
        """Of a node of the loop around, in the iteration before; '' in the first one."""
        around = self._turn.around
        before = self._context.nodes.get(f"{around.previous}{reference.node}") if around.iteration > 1 else None
        if before is None or before.output is None:
            return "", len(reference.path)
        template = self._turn.template.named_before(reference.node)
        return self._selected(before.output, reference, template)

    def _input(self, name: str) -> Any:
        if name in self.bindings:
            return self.bindings[name]
        return self._run_input(name)

    def _run_input(self, name: str) -> Any:
        if name in self.given[0]:
            return self.given[0][name]
        names = {declared.name: declared.placeholder for declared in self._turn.template.workflow.inputs}
        if (placeholder := names.get(name)) is not None:
            return placeholder
        if name in names:
            raise UnreadableReferenceError(
                f"$INPUTS.{name} was not given", hint=f"give it with --input {name}=…, or a default in the workflow"
            )
        known = sorted({*names, *self._turn.node.bindings})
        shown = f"there are {', '.join(known)}" if known else "the workflow declares no inputs"
        raise UnreadableReferenceError(f"$INPUTS.{name} is not declared: {shown}", hint="declare it under inputs:")

    @cached_property
    def _engine(self) -> dict[str, Callable[[], str]]:
        turn, context, around = self._turn, self._context, self._turn.around
        values: dict[str, Callable[[], str]] = {
            "ARGUMENTS": lambda: self.given[1],
            "USER_MESSAGE": lambda: self.given[1],
            "WORKFLOW_ID": lambda: context.run_id,
            "ARTIFACTS_DIR": lambda: str(context.folders.artifacts),
            "STATE_DIR": lambda: str(context.folders.state),
            "DOCS_DIR": self._docs,
            "BASE_BRANCH": self._base_branch,
            "CONTEXT": lambda: context.external_context,
            "EXTERNAL_CONTEXT": lambda: context.external_context,
            "ISSUE_CONTEXT": lambda: context.external_context,
            "LOOP_ITERATION": lambda: str(turn.iteration or around.iteration or ""),
            "LOOP_OUTPUT": lambda: self._read(turn.judged),
            "LOOP_PREV_OUTPUT": lambda: self._read(turn.previous or around.output),
            "LOOP_USER_INPUT": lambda: turn.user_input or around.user_input,
            "REJECTION_REASON": lambda: turn.rejection_reason or around.rejection_reason,
            "REWORK": lambda: self._read(turn.rework),
        }
        if around.item_index is not None:
            values["ITEM_INDEX"] = lambda: str(around.item_index)
            values["ITEM_COUNT"] = lambda: str(around.item_count)
        return values

    def _docs(self) -> str:
        """`docs/` relative to the working directory, or the absolute path if it is elsewhere."""
        return _seen_from(self._context.cwd, self._context.folders.docs)

    def _base_branch(self) -> str:
        branch = self._context.base_branch()
        if branch is None:
            raise UnreadableReferenceError(
                "$BASE_BRANCH cannot be read: the default branch was not found",
                hint="in a git checkout, 'git remote set-head origin --auto' records what its remote says",
            )
        return branch

    # ------------------------------------------------------------------ with:

    def _bound(self, binding: Binding) -> Any:
        if binding.has_default and self._names_skipped(binding.value):
            return binding.if_skipped
        return self._filled(binding.value)

    def _names_skipped(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        nodes = [found.reference.node for found in find_references(value) if isinstance(found.reference, NodeReference)]
        return any((state := self._turn.find(node, self._context)) and state.status == "skipped" for node in nodes)

    def _filled(self, value: Any) -> Any:
        """JSON with its texts filled in; a text that is one whole reference becomes the value itself, of any type."""
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if not isinstance(value, str):
            return value
        found = find_references(value)
        if len(found) == 1 and (found[0].start, found[0].end) == (0, len(value)):
            reference = found[0].reference
            result, consumed = self._outer(reference)
            if isinstance(reference, NodeReference) and not reference.path:
                return self._structured(reference.node, result)
            if consumed == len(path_of(reference)):
                return result
        return render(value, self._outer_text)

    def _structured(self, node: str, output: Any) -> Any:
        """A whole output as JSON, if the node promised JSON."""
        template = self._turn.template.named(node)
        promised = template is not None and template.output_format is not None
        return loads(output) if promised and output else output

    def _outer_text(self, reference: Reference) -> Resolved:
        value, consumed = self._outer(reference)
        return Resolved(canonical(value), consumed)

    def _outer(self, reference: Reference) -> tuple[Any, int]:
        """The value of a reference in `with:`, where `$INPUTS` are the run's inputs and not the bindings themselves."""
        if isinstance(reference, InputReference):
            return self._field(reference.name, self._run_input(reference.name), reference.path)
        return self.value(reference)

    def _field(self, name: str, value: Any, path: tuple[str, ...]) -> tuple[Any, int]:
        """A field of an input. An item that is not an object, where others of the list are, has none."""
        if path and not isinstance(value, dict) and name not in self._turn.node.bindings:
            items = next((given for given in self._turn.around.given if given.name == name), None)
            if items is not None and any(isinstance(one, dict) for one in parsed(items.content, self._context)):
                raise UnreadableReferenceError(
                    f"$INPUTS.{name}.{'.'.join(path)} cannot be read: this item is {describe(value)}, not an object",
                    hint="other items of the list are objects; the list should give all items the same shape",
                )
        return _within(value, path)


def _within(value: Any, path: tuple[str, ...]) -> tuple[Any, int]:
    """A field of an input, read as far as there are objects."""
    for depth, name in enumerate(path):
        if not isinstance(value, dict):
            return value, depth
        if name not in value:
            raise UnreadableReferenceError(
                f"the input has no field '{'.'.join(path[: depth + 1])}'", hint=f"it has: {', '.join(list(value)[:20])}"
            )
        value = value[name]
    return value, len(path)
