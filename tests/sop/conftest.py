"""A project with SOPs in it, and agents that keep what they were asked."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ion import PromptRequest, PromptResult

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ion" / "workflows").mkdir(parents=True)
    return folder


@pytest.fixture
def write(project: Path) -> Callable[..., Path]:
    """Write an SOP into the project; gives its path."""

    def _write(text: str = THREE_STEPS, name: str = "pay") -> Path:
        place = project / ".ion" / "workflows" / f"{name}.sop.md"
        place.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return place

    return _write
