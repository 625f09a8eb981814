"""The command line, as someone who tries it sees it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from sandbox.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"kind": "error", "calls": "limits", "status": 503}]')
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "salesforce",
        "--port",
        "0",
        "--contacts",
        "50",
        "--faults",
        str(faults),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        shown = ""
        while "Ctrl-C" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        yield process, re.findall(r"http://127\.0\.0\.1:\d+", shown)[0], shown
        process.kill()


def test_it_says_where_it_is_answers_there_and_ctrl_c_ends_it_in_peace(
    running: tuple[subprocess.Popen[str], str, str],
) -> None:
    process, url, shown = running
    username, password = (re.findall(rf"{name}\s+(\S+)", shown)[0] for name in ("username", "password"))
    secrets = {
        name: re.findall(rf"{name.replace('_', ' ')}\s+(\S+)", shown)[0] for name in ("client_id", "client_secret")
    }
    form = {"grant_type": "password", "username": username, "password": password, **secrets}
    token = httpx.post(f"{url}/services/oauth2/token", data=form).json()["access_token"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        assert (
            client.get("/services/data/v60.0/query", params={"q": "SELECT COUNT() FROM Contact"}).json()["totalSize"]
            == 50
        )
        assert [client.get("/services/data/v60.0/limits").status_code for _ in range(2)] == [503, 200]
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "Sandbox stopped.\n")


def test_a_port_in_use_is_a_plain_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = CliRunner().invoke(app, ["salesforce", "--port", str(taken.getsockname()[1]), "--contacts", "0"])
    assert outcome.exit_code == 2
    assert "can't be used" in outcome.output
    assert "--port" in outcome.output


@pytest.mark.parametrize(
    ("content", "message"), [("[{", "is not a list of faults"), ('[{"kind": "x"}]', "there is no fault of kind 'x'")]
)
def test_bad_faults_are_a_plain_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "faults.json"
    file.write_text(content)
    outcome = CliRunner().invoke(app, ["salesforce", "--port", "0", "--contacts", "0", "--faults", str(file)])
    assert outcome.exit_code == 2
    assert message in outcome.output


def test_a_folder_without_sample_data_is_a_plain_sentence(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["salesforce", "--port", "0", "--org", str(tmp_path)])
    assert outcome.exit_code == 2
    assert "can't be loaded" in outcome.output
