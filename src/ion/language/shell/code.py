"""References in text that is code for another interpreter: the warning `reference-in-code`.

The value reaches that text unchanged, but Ion cannot control what the interpreter makes of it, so the author is warned
and shown how to pass the value as data. The tables say which argument of which program is code.
"""

from __future__ import annotations

import re
from itertools import pairwise

from msgspec import Struct

from ion.language.references import reference_text
from ion.language.shell.parts import HERE, HERE_QUOTED, ShellCommand, ShellFindings, Spot, Word
from ion.language.workflow import EngineReference, InputReference, Reference, variable_name

SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash"})
_EVAL_OPTION = {
    "shell": re.compile(r"-[a-zA-Z]*c[a-zA-Z]*"),
    "python": re.compile(r"-[a-zA-Z]*c"),
    "node": re.compile(r"-[a-zA-Z]*[ep]|--eval|--print"),
    "perl": re.compile(r"-[a-zA-Z0-9.]*[eE]"),
    "ruby": re.compile(r"-[a-zA-Z]*e"),
    "php": re.compile(r"-r"),
}
_ATTACHED = {
    "python": re.compile(r"-c."),
    "node": re.compile(r"--eval=|--print="),
    "perl": re.compile(r"-[eE]."),
    "sed": re.compile(r"-e.|--expression="),
}
_LANGUAGES = {
    **dict.fromkeys(SHELLS, "shell"),
    **dict.fromkeys(("python", "python3", "python2", "pypy3"), "python"),
    **dict.fromkeys(("node", "nodejs", "bun"), "node"),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), "awk"),
    **dict.fromkeys(("jq", "yq", "gojq", "jaq"), "jq"),
    "perl": "perl",
    "ruby": "ruby",
    "php": "php",
    "sed": "sed",
    "gsed": "sed",
    "ssh": "ssh",
}
# Options whose value is the next word, so that it is not taken for the program: letters, or whole words and how many.
_VALUES = {
    "awk": {"-F": 1, "-v": 1, "-i": 1, "-l": 1},
    "sed": {"-l": 1, "-E": 0, "-f": 1, "--file": 1},
    "jq": {"--arg": 2, "--argjson": 2, "--slurpfile": 2, "--rawfile": 2, "--indent": 1, "-L": 1},
    "ssh": {f"-{letter}": 1 for letter in "bcDEeFIiJLlmOopQRSWw"},
}
_SHELL_SETTING = re.compile(r"[-+][a-zA-Z]*[oO]|--rcfile|--init-file")
_FROM_FILE = {
    "awk": ("-f", "--file"),
    "sed": ("-f", "--file"),
    "jq": ("-f", "--from-file"),
}
_WRAPPERS = frozenset(
    {
        *("env", "sudo", "doas", "timeout", "nohup", "nice", "ionice", "stdbuf", "setsid", "xargs", "find", "exec"),
        *(
            "command",
            "time",
            "docker",
            "podman",
            "kubectl",
            "su",
            "flock",
            "parallel",
            "watch",
            "chroot",
            "uv",
            "poetry",
        ),
    }
)
_SAY_TEXT = frozenset({"cat", "echo", "printf", "tee"})
_DATA_FORM = {
    "shell": "bash -c '… \"${name}\" …'",
    "python": "python3 -c '… os.environ[\"{name}\"] …'",
    "node": "node -e '… process.env.{name} …'",
    "perl": "perl -e '… $ENV{{{name}}} …'",
    "ruby": "ruby -e '… ENV[\"{name}\"] …'",
    "php": "php -r '… getenv(\"{name}\") …'",
    "awk": "awk '… ENVIRON[\"{name}\"] …'",
    "jq": "jq '… env.{name} …'",
}


class _Program(Struct, frozen=True, gc=False):
    """What an interpreter is given: the words that are code, and whether it reads code from its standard input."""

    language: str
    code: list[Word]
    from_stdin: bool


def examine_code(command: ShellCommand, words: list[Word], notes: ShellFindings) -> None:
    """Record the references of a simple command that are in code."""
    name = words[0].literal or ""
    for word in _code_of_builtin(name, words[1:]):
        _note(_with_documents(word, notes), "shell", name, notes)
    if name in ("source", ".") and len(words) > 1 and words[1].raw == "/dev/stdin":
        notes.code.extend((spots, "shell", name) for spots in command.inputs)
    program = _program(words)
    if program is None:
        return
    for word in program.code:
        _note(_with_documents(word, notes), program.language, name, notes)
    if program.from_stdin:
        notes.code.extend((spots, program.language, name) for spots in command.inputs)


def pipes_code(source: ShellCommand, command: ShellCommand, notes: ShellFindings) -> None:
    """Record the references that `source` writes as text to an interpreter that reads its code from there."""
    program = _program(command.words)
    if program is None or not program.from_stdin or not source.words or source.words[0].raw not in _SAY_TEXT:
        return
    name = command.words[0].raw
    for spots in (*source.inputs, *(word.spots for word in source.words)):
        notes.code.append((spots, program.language, name))


def hint(language: str, reference: Reference) -> str:
    """How to pass the value as data."""
    shown = reference_text(reference)
    name, setting = "VALUE", f"VALUE={shown} "
    if isinstance(reference, EngineReference):
        name, setting = reference.name, ""
    elif isinstance(reference, InputReference) and not reference.path:
        name, setting = variable_name(reference.name), ""
    if language in _DATA_FORM:
        return f"pass the value as data: {setting}{_DATA_FORM[language].format(name=name)}"
    if language == "ssh":
        return f"send the value as data: printf %s {shown} | ssh host 'cat > file'"
    return f"work on the value with bash itself, or in a script node, as in value={shown}; value=${{value//old/new}}"


def _note(spots: list[Spot], language: str, name: str, notes: ShellFindings) -> None:
    if spots:
        notes.code.append((spots, language, name))


def _with_documents(word: Word, notes: ShellFindings) -> list[Spot]:
    """The references of a word and of the here-documents within it, as in `python3 -c "$(cat <<'EOF' … )"`."""
    inside, own = notes.spots[word.first : word.last], set(word.spots)
    return [spot for spot in inside if spot in own or spot.position in (HERE, HERE_QUOTED)]


def _code_of_builtin(name: str, arguments: list[Word]) -> list[Word]:
    if name in ("eval", "alias", "compgen", "complete"):
        return arguments
    if name == "trap":
        first = [word for word in arguments if word.raw == "-" or not word.raw.startswith("-")][:1]
        return [word for word in first if word.raw != "-"]
    if name == "su":
        return [word for before, word in pairwise(arguments) if before.raw == "-c"]
    if name == "env":
        return [word for before, word in pairwise(arguments) if before.raw == "-S"]
    return []


def _program(words: list[Word]) -> _Program | None:
    """The interpreter that a command starts, directly or through a wrapper such as `sudo` or `xargs`."""
    first = words[0].literal if words else None
    if first is None:
        return None
    for index, word in enumerate(words):
        language = _LANGUAGES.get((word.literal or "").rpartition("/")[2])
        if language is not None:
            return _arguments(language, words[index + 1 :])
        if index == 0 and first.rpartition("/")[2] not in _WRAPPERS:
            return None
    return None


def _arguments(language: str, words: list[Word]) -> _Program:
    if language == "ssh":
        return _ssh(words)
    if language in _FROM_FILE:
        return _filter(language, words)
    option, attached = _EVAL_OPTION[language], _ATTACHED.get(language)
    if language == "shell":
        words = _without_settings(words)
    for index, word in enumerate(words):
        if option.fullmatch(word.raw):
            return _Program(language, words[index + 1 : index + 2], from_stdin=False)
        if attached and attached.match(word.raw):
            return _Program(language, [word], from_stdin=False)
        if not word.raw.startswith("-") or word.raw == "-":
            return _Program(language, [], from_stdin=word.raw in ("-", "/dev/stdin"))
        if language == "shell" and re.fullmatch(r"-[a-z]*s", word.raw):
            return _Program(language, [], from_stdin=True)
    return _Program(language, [], from_stdin=True)


def _without_settings(words: list[Word]) -> list[Word]:
    """A shell's words without options such as `-o pipefail` and their values."""
    kept: list[Word] = []
    for word in words:
        if kept and _SHELL_SETTING.fullmatch(kept[-1].raw):
            kept.pop()
        else:
            kept.append(word)
    return kept


def _operands(language: str, words: list[Word]) -> list[Word]:
    """The words that are neither options nor their values."""
    operands: list[Word] = []
    skip = 0
    for word in words:
        if skip:
            skip -= 1
        elif word.raw.startswith("-") and word.raw != "-":
            skip = _VALUES[language].get(word.raw, 0)
        else:
            operands.append(word)
    return operands


def _filter(language: str, words: list[Word]) -> _Program:
    """awk, sed and jq: the first operand is the program, unless an option provides it."""
    for before, word in pairwise(words):
        if before.raw in _FROM_FILE[language]:
            return _Program(language, [], from_stdin=word.raw in ("-", "/dev/stdin"))
    if language == "sed":
        given = [w for before, w in pairwise(words) if before.raw in ("-e", "--expression", "-ne")]
        given += [word for word in words if _ATTACHED["sed"].match(word.raw)]
        if given:
            return _Program(language, given, from_stdin=False)
    return _Program(language, _operands(language, words)[:1], from_stdin=False)


def _ssh(words: list[Word]) -> _Program:
    remote = _operands("ssh", words)[1:]
    reads = not remote or (remote[0].literal or "").rpartition("/")[2] in SHELLS
    return _Program("ssh", remote, from_stdin=reads)
