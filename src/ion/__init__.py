"""Ion: a portable workflow engine for agent and shell work.

This is the public API. Names are loaded when they are first used, so that `import ion` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ion.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from ion import errors as errors
    from ion.agents.base import Agent as Agent
    from ion.agents.base import AgentError as AgentError
    from ion.agents.base import Permission as Permission
    from ion.agents.base import PromptRequest as PromptRequest
    from ion.agents.base import PromptResult as PromptResult
    from ion.agents.base import UnpermittedError as UnpermittedError
    from ion.api.engine import Engine as Engine
    from ion.api.preparing import RunSpec as RunSpec
    from ion.api.project import Project as Project
    from ion.api.project import open as open  # noqa: A004
    from ion.api.result import NodeResult as NodeResult
    from ion.api.result import RunResult as RunResult
    from ion.api.result import WaitingFor as WaitingFor
    from ion.api.run import AnsweredGates as AnsweredGates
    from ion.api.run import Run as Run
    from ion.api.sops import load_sop as load_sop
    from ion.api.sops import read_sop as read_sop
    from ion.api.sops import sop_to_workflow as sop_to_workflow
    from ion.api.sops import sop_to_yaml as sop_to_yaml
    from ion.api.verbs import answer_each as answer_each
    from ion.api.verbs import approve as approve
    from ion.api.verbs import cancel as cancel
    from ion.api.verbs import create_store as create_store
    from ion.api.verbs import discover_workflows as discover_workflows
    from ion.api.verbs import execute_workflow as execute_workflow
    from ion.api.verbs import execute_workflow_sync as execute_workflow_sync
    from ion.api.verbs import follow as follow
    from ion.api.verbs import get_events as get_events
    from ion.api.verbs import get_logs as get_logs
    from ion.api.verbs import get_run as get_run
    from ion.api.verbs import list_runs as list_runs
    from ion.api.verbs import next_prompts as next_prompts
    from ion.api.verbs import parse_workflow as parse_workflow
    from ion.api.verbs import raise_budget as raise_budget
    from ion.api.verbs import reject as reject
    from ion.api.verbs import rerun_workflow as rerun_workflow
    from ion.api.verbs import rerun_workflow_sync as rerun_workflow_sync
    from ion.api.verbs import respond as respond
    from ion.api.verbs import resume_workflow as resume_workflow
    from ion.api.verbs import resume_workflow_sync as resume_workflow_sync
    from ion.api.verbs import signal as signal
    from ion.api.verbs import submit as submit
    from ion.api.verbs import validate as validate
    from ion.core import events as events
    from ion.core.events import Failure as Failure
    from ion.core.events import Recorded as Recorded
    from ion.core.state import NodeState as NodeState
    from ion.core.state import RunState as RunState
    from ion.engine.observe import Observer as Observer
    from ion.engine.options import RunOptions as RunOptions
    from ion.language.sop.model import Sop as Sop
    from ion.language.workflow import Workflow as Workflow
    from ion.stores.base import WorkflowRun as WorkflowRun
    from ion.stores.base import WorkflowStore as WorkflowStore

_MODULES = {"errors": "ion.errors", "events": "ion.core.events"}
_NAMES = {
    "ion.agents.base": "Agent AgentError Permission PromptRequest PromptResult UnpermittedError",
    "ion.api.verbs": """
        answer_each approve cancel create_store discover_workflows execute_workflow execute_workflow_sync follow
        get_events get_logs get_run list_runs next_prompts parse_workflow raise_budget reject rerun_workflow
        rerun_workflow_sync respond resume_workflow resume_workflow_sync signal submit validate
    """,
    "ion.api.engine": "Engine",
    "ion.api.project": "Project open",
    "ion.api.run": "AnsweredGates Run",
    "ion.api.result": "NodeResult RunResult WaitingFor",
    "ion.api.preparing": "RunSpec",
    "ion.engine.options": "RunOptions",
    "ion.api.sops": "load_sop read_sop sop_to_workflow sop_to_yaml",
    "ion.core.events": "Failure Recorded",
    "ion.core.state": "NodeState RunState",
    "ion.engine.observe": "Observer",
    "ion.language.sop.model": "Sop",
    "ion.language.workflow": "Workflow",
    "ion.stores.base": "WorkflowRun WorkflowStore",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = ["__version__", *_MODULES, *_HOMES]  # noqa: PLE0604 the names are plain strings


if not TYPE_CHECKING:  # so that a wrong name is an error to a type checker

    def __getattr__(name: str) -> Any:
        import importlib

        if name in _MODULES:
            return importlib.import_module(_MODULES[name])
        if name not in _HOMES:
            raise AttributeError(f"module 'ion' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
