"""Starting `syncline` as a process of its own, with a home of its own, as a user's shell would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from bootstrap.settings import Settings, variable_name
from domain.ids import new_id

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished process left behind."""

    arguments: Sequence[str]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> Outcome:
        """The same, if it ended well."""
        assert self.code == 0, f"syncline {' '.join(self.arguments)} ended with {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True, slots=True)
class Shell:
    """A user's shell: home folder, current folder, tenant, further variables."""

    home: Path
    cwd: Path
    tenant: str = field(default_factory=lambda: str(new_id()))
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        ours = {variable_name(name) for name in Settings.model_fields}
        inherited = {k: v for k, v in os.environ.items() if k not in ours}
        return {
            **inherited,
            "SYNCLINE_HOME": str(self.home),
            "SYNCLINE_TENANT": self.tenant,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **self.more,
        }

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *(str(a) for a in arguments)],
            cwd=self.cwd,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str | Path, timeout_s: float = TIMEOUT_S) -> Outcome:
        """Run a command to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"syncline {' '.join(map(str, arguments))} took longer than {timeout_s:.0f} s\n{out}\n{err}")
        return Outcome([str(a) for a in arguments], process.returncode, out, err)


def processes_of(home: Path) -> list[psutil.Process]:
    """Everything that still runs with this home folder on its command line or as its working directory."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.cwd()]
        except psutil.Error:
            continue
        if any(str(home) in word for word in words) and process.pid != os.getpid():
            found.append(process)
    return found


@pytest.fixture(scope="session")
def warm_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose embedded server the tests of this worker share, each with a tenant of its own."""
    home = tmp_path_factory.mktemp("home")
    yield home
    Shell(home, home).run("db", "stop").ok()
    assert processes_of(home) == []


@pytest.fixture
def shell(warm_home: Path, tmp_path: Path) -> Shell:
    """A tenant and a current folder of the test's own, on the shared server."""
    return Shell(warm_home, tmp_path)


@pytest.fixture
def cold_shell(tmp_path: Path) -> Iterator[Shell]:
    """A user who has never run Syncline: nothing exists yet, not even the home folder."""
    (tmp_path / "work").mkdir()
    fresh = Shell(tmp_path / "a new home", tmp_path / "work")
    yield fresh
    if fresh.home.exists():
        fresh.run("db", "stop")
    for left in processes_of(fresh.home):
        left.kill()
