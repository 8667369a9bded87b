"""What is installed of Ion: its extras, the commit that it was made from, and its pages of documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ion.errors import NotFoundError

PACKAGE = "ion-workflows"
_EXTRA = re.compile(r"""^([\w.-]+).*; *extra *== *['"](\w+)['"]""")


def extras() -> dict[str, str | None]:
    """Each extra and the versions of its packages, None if one of them is missing."""
    try:
        required = distribution(PACKAGE).requires or []
    except PackageNotFoundError:  # run from its source, not installed
        return {}
    found: dict[str, list[str | None]] = {}
    for package, extra in (match.groups() for line in required if (match := _EXTRA.match(line))):
        found.setdefault(extra, []).append(_version_of(package))
    return {extra: ", ".join(map(str, versions)) if all(versions) else None for extra, versions in found.items()}


def commit() -> str | None:
    """The commit that Ion was installed from, or that its checkout is at; None if nothing tells."""
    try:
        origin = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return None
    if "vcs_info" in origin:
        return str(origin["vcs_info"]["commit_id"])[:10]
    if not origin.get("dir_info", {}).get("editable") or shutil.which("git") is None:
        return None
    folder = unquote(urlsplit(origin["url"]).path)
    asked = subprocess.run(
        ["git", "-C", folder, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def pages() -> dict[str, Path]:
    """The pages of the documentation by name: in the package, or in the checkout that it runs from."""
    package = Path(__file__).parents[1]
    folder = next((one for one in (package / "docs", package.parents[1] / "docs") if one.is_dir()), None)
    if folder is None:
        raise NotFoundError("this installation of Ion has no pages of documentation")
    return {file.stem: file for file in sorted(folder.glob("*.md"))}


def _version_of(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None
