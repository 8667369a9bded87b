"""Runs rewritten scripts in the real bash, the way a bash node does: script and values in files, nothing exported."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import convert, to_builtins

from ion.errors import UnreadableReferenceError
from ion.language.references import reference_text
from ion.language.shell import preamble, rewrite, unsafe_in_environment
from ion.language.shell.placing import place
from ion.language.workflow import Reference, Shell

CANARY = "CANARY"

# Each would do harm, or lose something, if it were pasted, split, globbed or expanded once more.
HOSTILE = {
    "empty": "",
    "blank": " ",
    "blanks": " a b  c ",
    "single-quote": "it's",
    "double-quotes": '"dq"',
    "substitution": f"$(touch {CANARY})",
    "backticks": f"`touch {CANARY}`",
    "commands": f"; touch {CANARY}; #",
    "newline": "a\nb",
    "trailing-newlines": "a\n\n\n",
    "only-newline": "\n",
    "star": "*",
    "glob": "[a-z]*?",
    "dash-n": "-n",
    "dash-e": "-e x",
    "dashes": "--",
    "backslash": "\\",
    "backslash-newline": "a\nb\\",
    "escaped-dollar": "\\$x",
    "crlf": "a\r\nb\r\n",
    "unicode": "é€😀",
    "bad-utf-8": "\udcff\udcfe\udc80",
    "delimiter": "EOF",
    "closes-heredoc": f"x\nEOF\ntouch {CANARY}\n",
    "references": "$HOME ${x} $a.output $ARGUMENTS",
    "tilde": "~",
    "tilde-path": "~/x",
    "braces": "{a,b}",
    "history": "!!",
    "comment": "#c",
    "ampersand": "&",
    "patsub": "a&b",
    "tab": "\tlead",
    "control": "\x01\x02\x7f\x1b[0m",
    "format": "%s %d\\x41",
    "equals": "=",
    "assignment": "a=b",
    "open": "(",
    "close": ")",
    "bang": "!",
    "redirect": "2>&1",
    "big": "x" * 200_000,
    "quotes": "'\"``$\\\n" * 20_000,
    "ansi": "$'\\n'",
    "joined-line": "\\\n",
    "closers": "])}",
    "brace": "}",
    "nbsp": "\u00a0",
    "subscript": f"a[$(touch {CANARY})]",
    "element": f"[$(touch {CANARY})]=1",
    "compound": f"($(touch {CANARY}))",
    "quoted-substitution": f"'\"$(touch {CANARY})\"'`touch {CANARY}`",
    "closes-all": f"'\"`)}}]]))\nEOF\n;;\nesac\n$(touch {CANARY})",
}
BIG = ("big", "quotes")
EVERY_RUN = (
    "empty",
    "blanks",
    "trailing-newlines",
    "backslash-newline",
    "bad-utf-8",
    "patsub",
    "tab",
    "star",
    "dash-n",
    "closes-all",
)


@dataclass
class Text:
    """A value that is wholly itself: no further path belongs to it. `asked` counts how often it was read."""

    text: str
    consumed: int = 0
    asked: int = 0

    def read(self) -> str:
        self.asked += 1
        return self.text


@dataclass
class Ran:
    stdout: str
    stderr: str
    status: int
    script: str = field(repr=False, default="")


def resolver(values: Mapping[str, str | Text]) -> dict[str, Text]:
    return {name: Text(value) if isinstance(value, str) else value for name, value in values.items()}


def placed(script: str) -> Shell:
    """The script with its references placed; no error may be among its problems."""
    result = place(script)
    errors = [problem for problem in result.problems if problem.severity == "error"]
    assert not errors, errors
    return convert(to_builtins(result.shell), Shell)


def run(
    script: str,
    values: Mapping[str, str | Text],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
) -> Ran:
    """Rewrite `script`, whose references have `values` (by their text), and run it in `folder`.

    Engine names go into the environment, all else through the data file.
    """
    known = resolver(values)

    def resolve(reference: Reference) -> Text:
        shown = reference_text(reference)
        if shown not in known:
            raise UnreadableReferenceError(f"no value for {shown}")
        return known[shown]

    rewritten = rewrite(placed(script), resolve)
    assert rewritten.text.count("\n") == script.count("\n")
    data, file = folder.parent / f"{folder.name}.data", folder.parent / f"{folder.name}.script"
    data.write_bytes(b"".join(encoded(value.text) + b"\0" for value in rewritten.variables.values()))
    text = preamble(rewritten.variables, str(data)) + rewritten.text
    file.write_bytes(encoded(text))
    names = {k[1:]: v.text for k, v in known.items() if "." not in k}
    return run_file(file, folder, {**names, **(env or {})}, text)


def run_file(file: Path, folder: Path, env: Mapping[str, str], text: str = "") -> Ran:
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    full = {name: value for name, value in {**base, **env}.items() if not unsafe_in_environment(name)}
    result = subprocess.run(
        ["bash", str(file)],
        check=False,
        cwd=folder,
        env=full,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert not (folder / CANARY).exists(), f"a value was executed by:\n{text}"
    return Ran(decoded(result.stdout), decoded(result.stderr), result.returncode, text)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
