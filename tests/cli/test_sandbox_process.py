"""A sandbox that a command starts: there when needed, gone afterwards, however the command ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from cli.sandbox_process import SandboxProcess
from domain.errors import TransientError

SMALL = ["--contacts", "5", "--seed", "7"]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with SandboxProcess("salesforce", SMALL, tmp_path / "log") as sandbox:
        with urllib.request.urlopen(f"{sandbox.url}/services/data/") as reply:  # noqa: S310
            assert reply.status == 200
        port = sandbox.port
    assert not listens(port)


def test_it_is_gone_after_an_error(tmp_path: Path) -> None:
    port = 0
    with pytest.raises(ZeroDivisionError), SandboxProcess("salesforce", SMALL, tmp_path / "log") as sandbox:  # noqa: PT012
        port = sandbox.port
        raise ZeroDivisionError
    assert not listens(port)


def test_one_that_cannot_start_is_a_sentence_that_names_its_output(tmp_path: Path) -> None:
    with (
        pytest.raises(TransientError, match=r"ended while starting.*log"),
        SandboxProcess("salesforce", ["--nonsense"], tmp_path / "log"),
    ):
        pass
    assert "nonsense" in (tmp_path / "log").read_text()


PARENT = """
import os, signal, sys
from pathlib import Path
from cli.sandbox_process import SandboxProcess
with SandboxProcess("salesforce", ["--contacts", "5"], Path(sys.argv[1])) as sandbox:
    print(sandbox._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    try:
        child = psutil.Process(int(done.stdout))
    except psutil.NoSuchProcess:
        return
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
