"""From a text or a file to a `Workflow` and all of its problems.

The steps are in `_parse`: YAML to values, values to drafts, rules, references, lowering. A later step runs even if an
earlier one found errors, as far as its input exists, so that one load shows all problems. pydantic, PyYAML and
jsonschema are imported only when a text is really parsed; `load_workflow` first asks the cache.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from ion.errors import NotFoundError, Problem
from ion.language import cache
from ion.language.library import Library, Loaded, Opened
from ion.language.named import SOP_SUFFIX, declared_name
from ion.language.problems import sort_problems
from ion.language.resources import Listings, Resources, find_project, resources_for, user_config_folder
from ion.language.source import decode, read_file

if TYPE_CHECKING:
    from ion.language.include import Block


def parse_workflow(text: str, *, file: str = "", resources: Resources | None = None) -> Loaded:
    """Parse the text of a workflow file. Never raises because of the text.

    `file` is the name in problems; one that ends in `.sop.md` holds an SOP, every other one YAML. Without `resources`,
    command and script files are not looked up, and references in them are not checked.
    """
    return Library(_read, resources).read(text, file).loaded


def _read(text: str, file: str, library: Library) -> Opened:
    if file.endswith(SOP_SUFFIX):
        return _read_sop(text, file)
    from ion.language.problems import Report
    from ion.language.yaml import read_yaml

    document = read_yaml(text, file)
    report = Report(document, file)
    block = _parse(document.value, report, library) if document.complete else None
    workflow = None if block is None else block.workflow
    loaded = Loaded(workflow, report.result(), declared_name(document.value))
    return Opened(loaded, block, library.includes, library.calls)


def _parse(value: Any, report: Any, library: Library) -> Block | None:
    from ion.language.check import check_references
    from ion.language.lower import lower
    from ion.language.problems import TooManyProblemsError
    from ion.language.rules import check_rules
    from ion.language.shape import read_shape

    try:
        shape = read_shape(value, report)
        if shape is None:
            return None
        check_rules(shape, report)
        findings = check_references(shape, library, report)
        return None if report.errors else lower(shape, findings, report)
    except TooManyProblemsError:
        return None


def _read_sop(text: str, file: str) -> Opened:
    from ion.language.include import block_of
    from ion.language.sop import parse_sop, sop_name, to_workflow

    parsed = parse_sop(text, file=file)
    workflow = to_workflow(parsed.sop) if parsed.sop else None
    loaded = Loaded(workflow, parsed.problems, parsed.sop.name if parsed.sop else sop_name(file))
    return Opened(loaded, None if workflow is None else block_of(workflow))


def load_workflow(
    path: Path,
    *,
    project: Path | None = None,
    user_config: Path | None = None,
    use_cache: bool = True,
    files: bool = True,
) -> Loaded:
    """Load a workflow file with the command and script files that it uses.

    `project` is by default the one that contains the file, `user_config` the user's (`$XDG_CONFIG_HOME`). What was
    loaded once is taken from `<project>/.ion/cache` as long as all its files are unchanged. Without `files`, command
    and script files are not looked for. Raises `NotFoundError` if the file does not exist.
    """
    path = Path(os.path.normpath(Path(path).absolute()))
    project = find_project(path.parent) if project is None else project
    place = LoadContext.of(project, user_config, use_cache=use_cache and files)
    return load_from(path, structs.replace(place, files=files))


class LoadContext(Struct, frozen=True, gc=False):
    """Where workflow files are loaded from; folders are listed once for all of them. `cache` None: do not use a
    cache; `files` as in `load_workflow`."""

    project: Path
    user_config: Path
    cache: Path | None
    listings: Listings
    files: bool = True

    @classmethod
    def of(cls, project: Path, user_config: Path | None = None, *, use_cache: bool = True) -> LoadContext:
        """The context of this project; `user_config` as in `load_workflow`."""
        project = Path(project).absolute()
        user_config = user_config_folder() if user_config is None else Path(user_config).absolute()
        return cls(project, user_config, cache.folder_of(project) if use_cache else None, {})


def load_from(path: Path, place: LoadContext) -> Loaded:
    """`load_workflow` for a file whose path is absolute and normal. Raises `NotFoundError`."""
    if not path.exists():
        raise NotFoundError(f"the file {path} does not exist", hint="ion list shows the workflows of this project")
    data, problem = read_file(path)
    if problem is not None:
        return Loaded(None, (problem,))
    resources = functools.cache(
        lambda: structs.replace(
            resources_for(path, place.project, place.user_config, place.listings), files=place.files
        )
    )
    entry = cache.Entry.of(place.cache, path, data) if place.cache is not None else None
    found = entry.read(resources, Loaded.from_json) if entry else None
    if found is not None:
        return found
    loaded = _load(data, str(path), resources())
    if entry:
        entry.write(loaded.to_json(), resources())
    return loaded


def _load(data: bytes, file: str, resources: Resources) -> Loaded:
    if file.endswith(".md") and not file.endswith(SOP_SUFFIX):
        message = f"the name of an SOP's file ends in '{SOP_SUFFIX}'"
        hint = f"call it {Path(file).stem}{SOP_SUFFIX}, if it is one"
        return Loaded(None, (Problem("not-a-workflow", message, file=file, line=1, column=1, hint=hint),))
    text, problem = decode(data, file)
    if problem is not None:
        return Loaded(None, (problem,))
    return parse_workflow(text, file=file, resources=resources)


def all_problems(loaded: Sequence[Loaded]) -> list[Problem]:
    """The problems of several files, sorted, each once: two may use one command file, or include one that is among
    them."""
    found = dict.fromkeys(problem for one in loaded for problem in one.problems)
    return sort_problems(one for one in found if not one.way or one._replace(way="") not in found)
