"""What a workflow needs on this machine, checked before a run starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import cache

from ion.errors import MissingRuntimeError, UsageError
from ion.language.templates import templates_of
from ion.language.workflow import Bash, Loop, LoopGroup, Node, Script, Workflow


def require_runtimes(workflow: Workflow, env: Mapping[str, str]) -> None:
    """Raises `MissingRuntimeError`, which names each missing program, the nodes that need it, and what to install."""
    missing: dict[str, list[str]] = {}
    hints: dict[str, None] = {}
    has_bash = cache(lambda: shutil.which("bash", path=env.get("PATH")) is not None)
    for one in templates_of(workflow):
        try:
            _require(one.node, one.workflow, env, has_bash)
        except MissingRuntimeError as error:
            missing.setdefault(error.message, []).append(one.path)
            hints[error.hint] = None
    if missing:
        message = "; ".join(f"{what} (needed by {', '.join(nodes)})" for what, nodes in missing.items())
        raise MissingRuntimeError(message, hint="; ".join(hints))


def require_secrets(workflow: Workflow, env: Mapping[str, str]) -> None:
    """Raises `UsageError` (code `missing-secret`) with the names of the workflow's secrets that are missing or empty
    in `env`. Secrets of the settings are only masked where they are set: not every workflow needs them."""
    secrets = dict.fromkeys(name for flow in workflow.with_called for name in flow.secrets)
    missing = [name for name in secrets if not env.get(name)]
    if missing:
        names = ", ".join(missing)
        what = "the secret" if len(missing) == 1 else "the secrets"
        raise UsageError(
            f"{what} {names} of the workflow '{workflow.name}' {'is' if len(missing) == 1 else 'are'} not set",
            hint=f"set {names} in the environment of ion",
            code="missing-secret",
        )


def _require(node: Node, workflow: Workflow, env: Mapping[str, str], has_bash: Callable[[], bool]) -> None:
    body = node.body
    if isinstance(body, Script):
        from ion.nodes import runtimes

        entry = workflow.scripts[body.name].entry if body.name is not None else ""
        runtimes.find(body, env, entry)
        return
    needs_bash = isinstance(body, Bash) or (isinstance(body, Loop | LoopGroup) and body.until_bash is not None)
    if needs_bash and not has_bash():
        raise MissingRuntimeError("bash is not installed", hint="install bash")
