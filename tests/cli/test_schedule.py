"""`ion schedule install`: the entry of the host that calls `ion tick`, as each target reads it."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ion.api.host_clock import HostClock, cron_line, launchd_plist, systemd_units, with_cron_line
from ion.errors import UsageError
from processes import until

from .kit import Ion, Project

ODD = [
    "plain",
    "a b",
    'q"q',
    "q'q",
    "50%",
    "%h %%",
    "$HOME",
    "${X}",
    "back\\slash",
    "tr\\",
    "`id`",
    "$(id)",
    "é漢",
    "#x",
    ";&|",
]
# A crontab that is a file; it says what cron says when there is none.
CRONTAB = """#!/bin/sh
table="$HOME/table"
case "$1" in
  -l) cat "$table" 2>/dev/null || { echo "no crontab for me" >&2; exit 1; };;
  -) cat > "$table";;
esac
"""


def clock(*words: str, **environment: str) -> HostClock:
    return HostClock("ion-x-0", words, environment)


@pytest.fixture
def host(ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that comes first on the PATH; the user's crontab is a file."""
    programs = project.folder / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    program(programs / "crontab", CRONTAB)
    return programs


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class TestEscaping:
    """What a path, a store or the PATH may hold arrives as it was, and means nothing."""

    def test_cron_runs_the_very_words(self, tmp_path: Path) -> None:
        says = tmp_path / "says"
        program(
            says, f"#!{sys.executable}\nimport json, os, sys\n" + 'print(json.dumps([sys.argv[1:], os.environ["X"]]))\n'
        )
        line = cron_line(clock(str(says), *ODD, X="$HOME 50% `id` 'q'"))
        schedule, command = line[:10], line[10:]
        assert schedule == "* * * * * "
        # what cron hands to the shell: `\\%` is a per cent sign, a bare one would end the command
        assert "%" not in command.replace("\\%", "")
        shell = command.replace("\\%", "%").replace(">/dev/null 2>&1", "")
        done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == [ODD, "$HOME 50% `id` 'q'"]

    @pytest.fixture
    def complaints(self, tmp_path: Path) -> Callable[[HostClock], list[str]]:
        """What systemd says of the units of a clock."""
        if shutil.which("systemd-analyze") is None:
            pytest.skip("systemd is not installed")

        def _complaints(made: HostClock) -> list[str]:
            for name, text in systemd_units(made).items():
                (tmp_path / name).write_text(text)
            env = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
            command = ["systemd-analyze", "verify", "--user", "--man=no", *map(str, tmp_path.glob("ion-x-0.*"))]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
            return [line for line in done.stderr.splitlines() if "ion-x-0" in line]

        return _complaints

    @pytest.mark.parametrize("word", [word for word in ODD if not set(word) & set("'\"\\")])
    def test_systemd_finds_the_very_program(
        self, word: str, tmp_path: Path, complaints: Callable[[HostClock], list[str]]
    ) -> None:
        (tmp_path / "bin").mkdir()
        program(tmp_path / "bin" / word, "#!/bin/sh\n")
        made = clock(str(tmp_path / "bin" / word), *ODD, PATH=f"/bin:{word}")
        assert complaints(made) == []
        (tmp_path / "bin" / word).unlink()
        assert str(tmp_path / "bin" / word) in complaints(made)[0], "so it was looked for"

    @pytest.mark.parametrize("word", ODD)
    def test_systemd_takes_what_the_words_and_the_environment_hold(
        self, word: str, complaints: Callable[[HostClock], list[str]]
    ) -> None:
        assert complaints(clock("/bin/sh", word, PATH=f"/bin:{word}")) == []

    def test_systemd_starts_no_program_with_quotes(self) -> None:
        with pytest.raises(UsageError, match="quotes or backslashes"):
            systemd_units(clock('/bin/a"b', PATH="/bin"))

    def test_the_words_of_a_unit(self) -> None:
        service = systemd_units(clock("/bin/x", "a b", "$X", "50%", 'q"', "b\\", PATH="/a:/$b%"))["ion-x-0.service"]
        assert 'ExecStart="/bin/x" "a b" "$$X" "50%%" "q\\"" "b\\\\"\n' in service
        assert 'Environment="PATH=/a:/$b%%"\n' in service
        assert "KillMode=process" in service, "what it leaves in the background outlives it"

    def test_launchd_reads_the_very_words(self) -> None:
        found = plistlib.loads(launchd_plist(clock("/bin/x", *ODD, "<&>]]>", PATH="/a & b")))
        assert found["ProgramArguments"] == ["/bin/x", *ODD, "<&>]]>"]
        assert found["EnvironmentVariables"] == {"PATH": "/a & b"}
        assert (found["StartInterval"], found["AbandonProcessGroup"]) == (60, True)

    @pytest.mark.parametrize("kind", ["systemd", "launchd", "cron"])
    @pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb"])
    def test_control_characters_are_refused(self, ion: Ion, tmp_path: Path, kind: str, name: str) -> None:
        folder = tmp_path / name
        (folder / ".ion").mkdir(parents=True)
        done = ion("schedule", "install", f"--{kind}", "--print", "--project", str(folder))
        assert (done.status, done.out) == (2, "")
        assert "has control characters" in done.err

    def test_control_characters_of_the_path_are_refused(self, ion: Ion) -> None:
        done = ion("schedule", "install", "--cron", "--print", PATH="/bin:/a\n* * * * * evil")
        assert (done.status, done.out) == (2, "")


class TestPrinting:
    @pytest.mark.parametrize("kind", ["systemd", "launchd", "cron"])
    def test_it_is_absolute_and_has_the_path_of_now(self, ion: Ion, project: Project, kind: str) -> None:
        done = ion("schedule", "install", f"--{kind}", "--print", PATH="/one/bin:relative:.::/two/bin")
        assert done.status == 0
        for wanted in (sys.executable, "ion.cli", "tick", str(project.folder.resolve()), "/one/bin:/two/bin"):
            assert wanted in done.out
        assert "relative" not in done.out

    @pytest.mark.parametrize("kind", ["systemd", "launchd", "cron"])
    def test_it_holds_no_secret(self, ion: Ion, kind: str) -> None:
        shown = ion(
            "schedule", "install", f"--{kind}", "--print", TOKEN="s3cret", PGPASSWORD="pw1", ION_STORE="x://a:b@c/d"
        )
        assert not [word for word in ("s3cret", "pw1", "x://") if word in shown.out]
        store = "postgresql://me:hidden@host/db"
        refused = ion("schedule", "install", f"--{kind}", "--print", "--store", store)
        assert refused.status == 2
        assert "hidden" not in refused.out + refused.err

    def test_it_finds_the_seal_and_the_settings_of_this_user(self, ion: Ion, tmp_path: Path) -> None:
        state = str(tmp_path / "state")
        assert f"XDG_STATE_HOME={state}" in ion("schedule", "install", "--cron", "--print", XDG_STATE_HOME=state).out

    def test_two_projects_have_two_names(self, ion: Ion, tmp_path: Path) -> None:
        names = set()
        for folder in (tmp_path / "a" / "same", tmp_path / "b" / "same"):
            (folder / ".ion").mkdir(parents=True)
            out = ion("schedule", "install", "--systemd", "--print", "--project", str(folder)).out
            names.add(out.splitlines()[0])
        assert len(names) == 2

    @pytest.mark.parametrize("flags", [[], ["--cron", "--systemd"]])
    def test_one_target_is_named(self, ion: Ion, flags: list[str]) -> None:
        done = ion("schedule", "install", *flags)
        assert done.status == 2
        assert "name one of --systemd, --launchd and --cron" in done.err

    def test_printing_writes_nothing(self, ion: Ion, project: Project) -> None:
        before = sorted(project.folder.rglob("*"))
        for kind in ("systemd", "launchd", "cron"):
            ion("schedule", "install", f"--{kind}", "--print")
        assert sorted(project.folder.rglob("*")) == before


class TestCron:
    def test_other_lines_stay_and_it_stands_there_once(self, ion: Ion, project: Project, host: Path) -> None:
        table = project.folder / "table"
        table.write_text("MAILTO=me\n0 4 * * * backup\n")
        for _ in range(2):
            assert ion("schedule", "install", "--cron").status == 0
        first, second, own = table.read_text().splitlines()
        assert (first, second) == ("MAILTO=me", "0 4 * * * backup")
        assert " tick " in own
        assert ion("schedule", "uninstall", "--cron").status == 0
        assert table.read_text() == "MAILTO=me\n0 4 * * * backup\n"
        assert ion("schedule", "uninstall", "--cron").status == 2

    def test_a_user_without_a_crontab_gets_one(self, ion: Ion, project: Project, host: Path) -> None:
        assert ion("schedule", "install", "--cron").status == 0
        assert len((project.folder / "table").read_text().splitlines()) == 1

    def test_a_crontab_that_cannot_be_read_is_not_written_over(self, ion: Ion, project: Project, host: Path) -> None:
        program(host / "crontab", '#!/bin/sh\n[ "$1" = - ] && touch "$HOME/written"\necho "you may not" >&2; exit 1\n')
        done = ion("schedule", "install", "--cron")
        assert done.status == 1
        assert "you may not" in done.err
        assert not (project.folder / "written").exists()

    def test_the_line_of_another_project_stays(self) -> None:
        other, own = HostClock("ion-a-1", ("/x",), {}), HostClock("ion-a-12", ("/x",), {})
        table = with_cron_line(with_cron_line("", other, installed=True), own, installed=True)
        assert with_cron_line(table, own, installed=False) == with_cron_line("", other, installed=True)

    def test_what_cron_runs_continues_what_is_due(self, ion: Ion, project: Project, host: Path) -> None:
        """With the little that cron has in its environment."""
        project.write("gate", "name: gate\ndescription: x\nnodes: [{id: ask, approval: {message: Go?}}]\n")
        ion("run", "gate", "--run-id", "mine")
        ion("approve", "mine", "--no-resume")
        ion("schedule", "install", "--cron")
        line = (project.folder / "table").read_text().strip()
        command = line.removeprefix("* * * * * ").replace("\\%", "%")
        environment = {"HOME": str(project.folder), "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "LOGNAME": "x"}
        subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, check=True)
        until(lambda: ion("show", "mine", "--json").json()["status"] == "completed")

    def test_a_host_without_cron(self, ion: Ion, tmp_path: Path) -> None:
        done = ion("schedule", "install", "--cron", PATH=str(tmp_path))
        assert done.status == 1
        assert "crontab is not installed here" in done.err


class TestUnits:
    @pytest.fixture
    def called(self, host: Path, project: Project) -> Path:
        """The calls of systemctl, launchctl and loginctl, one a line."""
        file = project.folder / "called"
        for name in ("systemctl", "launchctl"):
            program(host / name, f'#!/bin/sh\necho {name} "$@" >> "{file}"\n')
        program(host / "loginctl", "#!/bin/sh\necho Linger=no\n")
        return file

    def test_systemd(self, ion: Ion, project: Project, called: Path) -> None:
        done = ion("schedule", "install", "--systemd")
        assert done.status == 0
        assert "loginctl enable-linger" in done.err
        units = sorted((project.folder / "user-config" / "systemd" / "user").iterdir())
        assert [unit.suffix for unit in units] == [".service", ".timer"]
        timer = units[1].name
        assert called.read_text().splitlines() == [
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {timer}",
        ]
        assert ion("schedule", "uninstall", "--systemd").status == 0
        assert not any(unit.exists() for unit in units)
        assert f"systemctl --user disable --now {timer}" in called.read_text()
        assert ion("schedule", "uninstall", "--systemd").status == 2

    def test_launchd(self, ion: Ion, project: Project, called: Path) -> None:
        assert ion("schedule", "install", "--launchd").status == 0
        (file,) = (project.folder / "Library" / "LaunchAgents").iterdir()
        assert plistlib.loads(file.read_bytes())["Label"] == file.stem
        assert f"launchctl bootstrap gui/{os.getuid()} {file}" in called.read_text()
        assert ion("schedule", "uninstall", "--launchd").status == 0
        assert not file.exists()

    def test_a_systemd_that_refuses_is_quoted(self, ion: Ion, host: Path) -> None:
        program(host / "systemctl", "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
        done = ion("schedule", "install", "--systemd")
        assert done.status == 1
        assert "Failed to connect to bus" in done.err
