"""Short ways for tests of SOPs: a document around the part under test, and what is said about it.

The numbers of facts in these tests are those of the list of conformance facts for SOPs that the language refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any

from ion import PromptRequest, PromptResult
from ion.errors import Problem
from ion.language.sop import Parameter, ParsedSop, Sop, Step, parse_sop

THREE_STEPS = """
# Pay a bill

## Overview

From a bill to a payment.

## Parameters

- **bill** (required): The file of the bill
- **account** (optional, default: "main"): Where the money is
- **limit** (optional, default: 100): The most that may be paid
- **urgent** (optional, default: false): Pay today
- **receipt** (optional, default: "{folder}/{account}.pdf"): Where the receipt goes
- **folder** (optional): Where files go

## Rules

Never pay twice; "$ARGUMENTS" and $BASE_BRANCH are only words here.

## Steps

### 1. Read the bill

Read {bill}.

**Constraints:**
- You MUST read all of it

### 2. Check it

Is it under {limit}?

**Constraints:**
- You MUST compare

### 3. Pay

Pay from {account}, receipt to {receipt}.

**Constraints:**
- You MUST pay once
"""
STEP = "### 1. A\n\nbody\n\n**Constraints:**\n- You MUST x\n"


@dataclass
class Recorder:
    """An agent that keeps its requests. `sessions` are what it says its sessions are called, one for each prompt."""

    sessions: list[str | None] = field(default_factory=list)
    asked: list[PromptRequest] = field(default_factory=list)

    def __call__(self, request: PromptRequest) -> PromptResult:
        self.asked.append(request)
        session = self.sessions[len(self.asked) - 1] if len(self.asked) <= len(self.sessions) else None
        return PromptResult(f"did {request.node}", session=session)

    @property
    def prompts(self) -> list[str]:
        return [request.prompt for request in self.asked]


def document(*, parameters: str | None = "None", steps: str = STEP, overview: str | None = "o", more: str = "") -> str:
    """An SOP with these sections; None leaves one out."""
    parts = ["# T\n"]
    if overview is not None:
        parts.append(f"## Overview\n\n{overview}\n")
    if parameters is not None:
        parts.append(f"## Parameters\n\n{dedent(parameters).strip(chr(10))}\n")
    parts.append(f"## Steps\n\n{dedent(steps).strip(chr(10))}\n")
    if more:
        parts.append(dedent(more).strip("\n") + "\n")
    return "\n".join(parts)


def good(text: str, *, file: str = "t.sop.md") -> Sop:
    """The SOP; it must load without any error."""
    parsed = parse_sop(text, file=file)
    assert parsed.sop is not None, shown(parsed)
    return parsed.sop


def codes(text: str, severity: str = "") -> list[str]:
    """The codes of the problems of a text, in the order of the file."""
    return [one.code for one in parse_sop(text, file="t.sop.md").problems if severity in ("", one.severity)]


def only(text: str, code: str) -> Problem:
    """The one problem with that code."""
    parsed = parse_sop(text, file="t.sop.md")
    found = [one for one in parsed.problems if one.code == code]
    assert len(found) == 1, shown(parsed)
    return found[0]


def shown(parsed: ParsedSop) -> str:
    return "\n".join(f"{p.line}:{p.column} {p.severity}[{p.code}] {p.message} | {p.hint}" for p in parsed.problems)


def parameters(lines: str) -> tuple[Parameter, ...]:
    """The parameters that these lines declare."""
    return good(document(parameters=lines)).parameters


def parameter(line: str) -> Parameter:
    """The only one of these lines."""
    (found,) = parameters(line)
    return found


def default(line: str) -> Any:
    """The default of the parameter, which must have one."""
    found = parameter(line)
    assert found.has_default
    return found.default


def steps(text: str) -> tuple[Step, ...]:
    """The steps of a text below `## Steps`."""
    return good(document(steps=text)).steps


def at(text: str, problem: Problem) -> str:
    """The rest of the line that the problem stands at."""
    return text.split("\n")[problem.line - 1][problem.column - 1 :]
