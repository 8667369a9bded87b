"""YAML to values with places: the 1.2 core schema, what is refused and where, hostile texts, places of scalars."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from ion.errors import Problem
from ion.language import yaml
from ion.language.document import Document
from ion.language.source import BLANKS, Source, decode, trim
from ion.language.yaml import read_yaml


@pytest.fixture(params=["C", "pure"])
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test with PyYAML's C parser and with the pure one, which is there where no wheel is."""
    if request.param == "C" and not pyyaml.__with_libyaml__:
        pytest.fail("this PyYAML has no C parser")
    monkeypatch.setattr(yaml, "_LOADER", pyyaml.CSafeLoader if request.param == "C" else pyyaml.SafeLoader)


both_loaders = pytest.mark.usefixtures("_loader")


def problem_of(text: str) -> Problem:
    problems = read_yaml(text).problems
    assert len(problems) == 1, problems
    return problems[0]


def place(document: Document, *path: str | int, key: bool = False) -> tuple[int, int]:
    return document.source.place(document.span(path, key=key)[0])


# Values


@both_loaders
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1e3x", "1e3x"),
        ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"),
        ("0b11", "0b11"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("null", None),
        ("nil", "nil"),
        ("010", 10),
        ("-7", -7),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".", "."),
        ("-", None),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("! 12", "12"),
        ("v1.0", "v1.0"),
        ("１２", "１２"),
    ],
)
def test_scalars_follow_the_core_schema(written: str, value: object) -> None:
    """`on`, `no`, `12:30` and `1e3x` are texts; only true and false are booleans."""
    text = f"a: {written}\n" if written != "-" else "a: ~\n"
    document = read_yaml(text)
    assert (document.problems, document.value) == ([], {"a": value})
    assert type(document.value["a"]) is type(value)


@both_loaders
def test_block_and_flow_styles() -> None:
    """Literal, folded and flow styles give what YAML says they give."""
    document = read_yaml("a: |\n  x\n\n   y\nb: >-\n  x\n  y\nc: [1, {d: 'e'}]\nf: &g {h: 1}\ni: *g\n")
    assert document.problems == []
    assert document.value == {"a": "x\n\n y\n", "b": "x y", "c": [1, {"d": "e"}], "f": {"h": 1}, "i": {"h": 1}}


@both_loaders
def test_nothing_is_a_document_too() -> None:
    """An empty text, a comment and a lone marker hold no value and no problem."""
    for text in ("", "# nothing\n", "---\n"):
        document = read_yaml(text)
        assert (document.value, document.problems) == (None, [])


# Places


@both_loaders
def test_every_key_and_value_has_its_place() -> None:
    """Places count lines and columns from 1, for keys and for values, in blocks and in flows."""
    document = read_yaml("name: x\nnodes:\n  - id: a\n    deps: [b, 'c']\n  - {id: d}\n")
    assert place(document, "name", key=True) == (1, 1)
    assert place(document, "name") == (1, 7)
    assert place(document, "nodes", 0) == (3, 5)
    assert place(document, "nodes", 0, "id") == (3, 9)
    assert place(document, "nodes", 0, "deps", key=True) == (4, 5)
    assert place(document, "nodes", 0, "deps", 1) == (4, 15)
    assert place(document, "nodes", 1, "id") == (5, 10)


@both_loaders
def test_a_place_that_is_not_there_is_that_of_its_parent() -> None:
    """A missing field is shown at the mapping that lacks it."""
    document = read_yaml("nodes:\n  - id: a\n")
    assert place(document, "nodes", 0, "bash") == (2, 5)
    assert place(document, "nowhere", 3, "x") == (1, 1)


def test_lines_are_those_of_an_editor() -> None:
    """CRLF, a lone CR and wide characters count as an editor counts; U+2028 begins no line."""
    assert place(read_yaml("a: 1\r\nb: 2\r\n"), "b") == (2, 4)
    assert place(read_yaml("é: '😀' \nb: 2\n"), "b") == (2, 4)
    assert place(read_yaml("a: 'x\u2028y'\nb: 2\n"), "b") == (2, 4)
    assert Source("a\rb").place(2) == (2, 1)


def test_a_byte_order_mark_is_no_column() -> None:
    """A byte order mark is passed over, in the text and in the places."""
    document = read_yaml("\ufeffa: 1\n")
    assert document.value == {"a": 1}
    assert place(document, "a", key=True) == (1, 1)


@both_loaders
@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("a: |\n  first\n  second $x\n", "$x"),
        ("a: |\n\n\n  first\n    second $x\n", "$x"),
        ("a: |2\n    first\n  second $x\n", "$x"),
        ("a: |-  # why\n  $x\n", "$x"),
        ("a: |+\r\n  first\r\n  $x\r\n", "$x"),
        ("- - |\n   x\n   é $x\n", "$x"),
        ("a: plain $x\n", "$x"),
        ("a: 'quoted $x'\n", "$x"),
        ('a: "quoted $x"\n', "$x"),
        ("a: &anchor 'quoted $x'\n", "$x"),
        ("a: !!str $x\n", "$x"),
    ],
)
def test_a_character_of_a_text_has_its_exact_place(text: str, needle: str) -> None:
    """An offset into a block or a one-line scalar leads to the character in the file."""
    document = read_yaml(text)
    path: tuple[str | int, ...] = (0, 0) if text.startswith("-") else ("a",)
    value: Any = document.value
    for part in path:
        value = value[part]
    assert document.index_in(path, value, value.index(needle)) == text.index(needle)


@both_loaders
@pytest.mark.parametrize("text", ['a: "x\\ty $x"\n', "a: >\n  folded\n  $x\n", "a: plain\n  $x\n", "a: 'it''s $x'\n"])
def test_behind_escapes_and_folds_no_place_is_invented(text: str) -> None:
    """Where YAML changed the text, the exact place is unknown, and the caller falls back on the value's."""
    document = read_yaml(text)
    assert document.index_in(("a",), document.value["a"], document.value["a"].index("$x")) is None


@given(st.lists(st.text(st.sampled_from("ab $é😀\t:#'\""), max_size=8), min_size=1, max_size=6), st.integers(1, 4))
def test_each_character_of_a_literal_block_is_found_again(lines: list[str], indent: int) -> None:
    """For any literal block, every offset of its value leads to that very character."""
    lines = ["x", *(line.rstrip() for line in lines), "end"]
    text = "a: |\n" + "".join(f"{' ' * indent}{line}\n" if line.strip() else "\n" for line in lines)
    document = read_yaml(text)
    assert document.problems == []
    value = document.value["a"]
    for offset, character in enumerate(value):
        index = document.index_in(("a",), value, offset)
        assert index is not None
        assert text[index] == character


# What is refused


@both_loaders
@pytest.mark.parametrize(
    ("text", "code", "line", "column", "hint"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", 3, 1, "remove"),
        ("x:\n  'a': 1\n  a: 3\n", "duplicate-key", 3, 3, "remove"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "merge-key", 3, 3, "write the fields out"),
        ("1: x\n", "key-not-text", 1, 1, "quotes"),
        ("true: x\n", "key-not-text", 1, 1, "quotes"),
        ("? [a, b]\n: c\n", "key-not-text", 1, 3, "plain text"),
        ("a: {{ticket}}\n", "key-not-text", 1, 5, "quote this value"),
        ("a: !custom x\n", "custom-tag", 1, 4, "quote this value"),
        ("a: !!python/object:os.system x\n", "custom-tag", 1, 4, "quote this value"),
        ("a: !!set {x, y}\n", "custom-tag", 1, 4, "quote this value"),
        ("a: 1\n---\nb: 2\n", "second-document", 2, 1, "file of its own"),
        ("a: *nowhere\n", "unknown-alias", 1, 4, "quote this value"),
        ("a: &x [*x]\n", "unknown-alias", 1, 8, ""),
        ("a: .inf\n", "bad-number", 1, 4, "quotes"),
        ("a: 1e999\n", "bad-number", 1, 4, "quotes"),
        (f"a: {'9' * 5000}\n", "bad-number", 1, 4, "quotes"),
        ("a:\n\tb: 1\n", "yaml-tab", 2, 1, "spaces"),
        ("a: @x\n", "yaml-syntax", 1, 4, "quote this value"),
        ("a: %x\n", "yaml-syntax", 1, 4, "quote this value"),
        ("a: `x`\n", "yaml-syntax", 1, 4, "quote this value"),
        ("a: * x\n", "yaml-syntax", 1, 4, "quote this value"),
        ("a: b: c\n", "yaml-syntax", 1, 5, "quote a value"),
        ("a: 'x\nb: 2\n", "yaml-syntax", 1, 4, "close it"),
        ("a: [1, 2\nb: 3\n", "yaml-syntax", 1, 4, "quote a value"),
        ('a: "b" c\n', "yaml-syntax", 1, 8, "quote the whole value"),
        ('a: "\\q"\n', "yaml-syntax", 1, 0, "quote"),
        ("a: x\nb\n", "yaml-syntax", 2, 1, "':'"),
        ("a: | x\n", "yaml-syntax", 1, 6, "next line"),
        ("a: \0b\n", "control-character", 1, 4, "remove"),
        ("a: \x1b[31m\n", "control-character", 1, 4, "escape"),
        ("a: \ud800\n", "control-character", 1, 4, ""),
        ('a: "\\0"\n', "control-character", 1, 4, "remove the escape"),
    ],
)
def test_refused_with_its_place_and_a_hint(text: str, code: str, line: int, column: int, hint: str) -> None:
    """Each thing that Ion does not read has one problem at its place, and says what to do."""
    problem = problem_of(text)
    assert (problem.code, problem.line) == (code, line)
    assert not column or problem.column == column
    assert hint in problem.hint
    assert problem.severity == "error"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("nodes:\n- id: a\n- id: b\n  id: c\n", "nodes[1].id"),
        ("nodes:\n- id: a\n- {prompt: !x y}\n", "nodes[1].prompt"),
        ("nodes:\n- id: a\n- prompt: @x\n", "nodes[1].prompt"),
        ("nodes:\n- id: a\n  prompt: {{x}}\n", "nodes[0].prompt"),
        ("nodes:\n- id: a\n  env: {1: x}\n", "nodes[0].env['1']"),
        ("nodes: [a, *b]\n", "nodes[1]"),
        ("a: {<<: {b: 1}}\n", "a['<<']"),
    ],
)
def test_what_is_refused_has_its_path(text: str, path: str) -> None:
    """Also what YAML itself complains of is told with its path in the document."""
    assert problem_of(text).path == path


def test_a_duplicate_key_names_the_first() -> None:
    """Both places of a duplicate are named, and the first value stays."""
    document = read_yaml("a: 1\nb: 2\na: 3\n")
    assert document.problems[0].message == "'a' is given twice; the first is in line 1"
    assert document.value == {"a": 1, "b": 2}


def test_several_mistakes_are_told_at_once() -> None:
    """What can be read is still read: three mistakes, three problems."""
    document = read_yaml("a: 1\na: 2\n3: x\nb: !t x\nc: ok\n")
    assert [problem.code for problem in document.problems] == ["duplicate-key", "key-not-text", "custom-tag"]
    assert document.value["c"] == "ok"
    assert document.complete


def test_after_a_syntax_error_the_document_is_not_complete() -> None:
    """What was read before a syntax error is there, marked as incomplete."""
    document = read_yaml("name: x\nnodes: @\n")
    assert not document.complete
    assert document.value == {"name": "x"}


def test_one_cause_is_told_once() -> None:
    """`{{x}} y` breaks YAML twice in one line; the first problem is the one that says what to do."""
    assert "quote this value" in problem_of("a: {{x}} y\n").hint


# Hostile texts


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@both_loaders
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 50_000, "too-deep"),
        ("{a: " * 50_000, "too-deep"),
        ("- " * 50_000, "too-deep"),
        ("? " * 50_000, "too-deep"),
        ("\n".join(" " * i + "a:" for i in range(200)), "too-deep"),
        ("a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 20 + "*a" + "]" * 20, "too-deep"),
        (bomb(12), "alias-expansion"),
        ("a: &a [1, 2, 3]\nb: [" + "*a, " * 10_000 + "]", "alias-expansion"),
        ("a" * 5_000_000, "file-too-large"),
        ("é" * 2_500_000, "file-too-large"),
    ],
    ids=lambda value: value[:12],
)
def test_hostile_texts_end_soon_in_a_problem(text: str, code: str) -> None:
    """Depth, size and expansion have limits, and reaching one is a placed problem, at once."""
    document = read_yaml(text)
    assert document.problems[-1].code == code
    assert len(document.problems) <= 2
    assert document.problems[0].line >= 1
    assert not document.complete


def test_too_many_values_are_a_problem() -> None:
    """A file within the limit of size may still not hold more values than fit in reasonable time."""
    document = read_yaml("[" + "1," * 600_000 + "]")
    assert [problem.code for problem in document.problems] == ["too-many-values"]


def test_depth_and_aliases_within_the_limits_are_fine() -> None:
    """Fifty levels and some aliases are nothing unusual."""
    assert read_yaml("[" * 50 + "]" * 50).problems == []
    assert len(read_yaml("a: &a [1, 2, 3]\nb: [" + "*a, " * 1000 + "]").value["b"]) == 1000


def test_many_control_characters_do_not_flood() -> None:
    """A binary file has twenty problems, not a million."""
    assert len(read_yaml("\0" * 100_000).problems) == 20


def test_many_mistakes_do_not_flood_either() -> None:
    """After a thousand of them the rest is not read."""
    document = read_yaml("a: 1\n" * 500_000)
    assert (len(document.problems), document.complete) == (1000, False)


@both_loaders
@example("a: \ud83d")
@example('"\\ud83d\\ude00": x')
@example("\ufeff\ufeffa: 1")
@example("a: ! &x !y 1")
@given(st.text(st.characters() | st.sampled_from("\n\t :-[]{}'\"|>&*!%@`#?,.~\0\ufeff\u2028"), max_size=60))
def test_no_text_raises(text: str) -> None:
    """Whatever the text: values, or placed problems within it."""
    document = read_yaml(text, "f.yaml")
    lines = Source(text).place(len(text))[0]
    assert document.complete or document.problems
    assert all(1 <= problem.line <= lines + 1 and problem.column >= 1 for problem in document.problems)
    assert all(problem.file == "f.yaml" and problem.message for problem in document.problems)


yamlish = st.lists(
    st.sampled_from(
        ["a", "b: ", ": ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "'", '"', "|", ">", "# c"]
    )
    | st.sampled_from(["&x ", "*x", "!t ", "<<: ", "? ", "1", "~", "\t", "---\n", "é"]),
    max_size=25,
).map("".join)


@given(yamlish)
def test_both_parsers_read_the_same(text: str) -> None:
    """Where both are content, the C parser and the pure one give the same values, with keys at the same places."""
    documents = []
    with pytest.MonkeyPatch.context() as patch:
        for loader in (pyyaml.CSafeLoader, pyyaml.SafeLoader):
            patch.setattr(yaml, "_LOADER", loader)
            documents.append(read_yaml(text))
    first, second = documents
    if not first.problems and not second.problems:
        assert first.value == second.value
        assert first.keys == second.keys
        assert first.values.keys() == second.values.keys()


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.sampled_from("abc-_. 1~é"), min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@both_loaders
@given(plain_json)
def test_json_is_yaml(value: Any) -> None:
    """Any JSON value comes back as it is."""
    document = read_yaml(json.dumps({"v": value}, ensure_ascii=False))
    assert document.problems == []
    assert document.value == {"v": value}


@given(plain_json)
def test_every_value_that_is_read_has_a_place(value: Any) -> None:
    """The map of places has an entry for each value of the tree, and no other."""
    document = read_yaml(json.dumps({"v": value}, ensure_ascii=False, indent=1))
    expected = set()
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document.value)]
    while waiting:
        path, item = waiting.pop()
        expected.add(path)
        pairs = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        waiting += [((*path, key), inner) for key, inner in pairs]
    assert set(document.values) == expected


# Bytes


def test_bytes_that_are_no_utf8_have_a_place() -> None:
    """The first wrong byte is shown by its line and column, counted in characters."""
    text, problem = decode("é: 1\nb: ".encode() + b"\xff\n", "f")
    assert text == ""
    assert problem is not None
    assert (problem.code, problem.line, problem.column) == ("not-utf8", 2, 4)


def test_utf16_is_recognised() -> None:
    """A file saved as UTF-16 is told so."""
    problem = decode("a: 1".encode("utf-16"), "f")[1]
    assert problem is not None
    assert "UTF-16" in problem.hint


def test_trim_is_that_of_javascript() -> None:
    """Archon trims with JavaScript: no-break space and byte order mark go, a NUL stays."""
    assert trim(f"{BLANKS}x y{BLANKS}") == "x y"
    assert trim("\ufeff\xa0 x") == "x"
    assert trim("\0x\x1f") == "\0x\x1f"
