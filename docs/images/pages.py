"""Makes docs/images/serve-runs.png and serve-run.png, the pictures of the page, from real runs in a real browser.

    uv run docs/images/pages.py

Needs Debian's chromium, as the tests of the page do, whose browser it drives.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from cli.kit import Project  # noqa: E402
from processes import until  # noqa: E402
from web.browser import Tab, browsing  # noqa: E402
from web.kit import Server, make_project, serving  # noqa: E402

FIX = """
name: fix-issue
description: Understand an issue, fix it, check it, ask before publishing.
inputs: {issue: {required: true}}
nodes:
  - {id: fetch, bash: 'sleep 0.6; echo "{\\"type\\": \\"bug\\"}"'}
  - {id: plan, depends_on: [fetch], when: "$fetch.output.type == 'feature'", bash: echo planned}
  - {id: investigate, depends_on: [fetch], prompt: "Find the cause of issue $INPUTS.issue."}
  - {id: implement, depends_on: [investigate], prompt: "Fix it."}
  - id: checks
    depends_on: [implement]
    fan_out: {items: [src/api.py, src/pay.py, src/legacy/tax.py, src/auth.py], join: all_done, max_parallel: 2}
    bash: 'sleep 0.7; test "$INPUTS.item" != src/legacy/tax.py'
  - id: review
    depends_on: [checks]
    approval:
      message: |
        Publish the change?

        3 files changed, 41 insertions(+), 7 deletions(-)
        One check failed: src/legacy/tax.py, which the change does not touch.
  - {id: publish, depends_on: [review], bash: echo published}
"""
RELEASE = """
name: release
description: Build, sign and publish.
nodes:
  - {id: build, bash: sleep 0.3}
  - {id: sign, depends_on: [build], bash: 'touch signing; while [ ! -e signed ]; do sleep 0.1; done'}
  - {id: upload, depends_on: [sign], bash: echo uploaded}
"""
NIGHTLY = """
name: nightly
description: Runs every test.
nodes:
  - {id: clone, bash: sleep 0.2}
  - {id: tests, depends_on: [clone], bash: 'sleep 1; echo "3 tests failed" >&2; exit 1'}
"""
# Answers as Claude's command does, with what it cost.
AGENT = """#!/bin/bash
cat > /dev/null
sleep 2
echo '{"type": "result", "result": "Changed the expiry check in src/auth.py.", "total_cost_usd": 0.21,
       "usage": {"input_tokens": 30500, "output_tokens": 4100}, "session_id": "s1"}'
"""
SETTINGS = "agent: claude\nagents: {claude: {command: [./agent], parser: claude-json}}\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "shop")
        for name, text in (("fix-issue", FIX), ("release", RELEASE), ("nightly", NIGHTLY)):
            project.write(name, text)
        agent = project.folder / "agent"
        agent.write_text(AGENT, encoding="utf-8")
        agent.chmod(0o755)
        (project.folder / ".ion" / "config.yaml").write_text(SETTINGS, encoding="utf-8")
        draw(project)
        shutil.rmtree(f"{project.folder}-state", ignore_errors=True)


def draw(project: Project) -> None:
    """Run what the pictures show, and take them."""
    fix = ("run", "fix-issue", "--input", "issue=42", "--quiet", "--run-id")
    assert project.run("run", "nightly", "--run-id", "n4x8qt2mcd", "--quiet").status == 1
    assert project.run(*fix, "h2v9rk3wzp").status == 3
    assert project.run("approve", "h2v9rk3wzp", "--quiet").status == 0
    assert project.run(*fix, "k7m2q9d4xa").status == 3
    home = str(project.folder.parent)  # so that it is shown as ~/shop
    release = project.start("run", "release", "--run-id", "r5t1bw8yne", "--quiet")
    try:
        until((project.folder / "signing").exists)
        with serving(project, "--allow-answers", enter=False, HOME=home) as server, browsing() as browser:
            tab = browser.tab(1100, 470)
            tab.open(server.address)
            take(tab, server, "/", "serve-runs.png")
            tab = browser.tab(1100, 930, dark=True)
            take(tab, server, "/r/k7m2q9d4xa", "serve-run.png")
    finally:
        (project.folder / "signed").touch()
        release.communicate()


def take(tab: Tab, server: Server, path: str, name: str) -> None:
    tab.wait("location.pathname === '/' || location.href === 'about:blank'")
    tab.open(f"http://{server.host}{path}")
    tab.wait(f"location.pathname === '{path}' && document.readyState === 'complete'")
    tab.screenshot(ROOT / "docs" / "images" / name)


if __name__ == "__main__":
    main()
