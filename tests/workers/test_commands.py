"""The commands as a service manager uses them: started, told to stop, and asked how they stand."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage.embedded import ServerUrls
from tests.cli.conftest import Syncline, home, syncline

__all__ = ["home", "syncline"]

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60


@pytest.fixture
def environment(fresh_database: ServerUrls, tmp_path: Path) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DATABASE_", "BROKER_"))}
    return {
        **kept, "SYNCLINE_HOME": str(tmp_path / "home"), "DATABASE_URL": fresh_database.app, "SYNCLINE_SWEEP_S": "0.1",
        "SYNCLINE_API_PORT": "0",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@contextmanager
def running(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "cli.main", *words]
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def first_line(process: subprocess.Popen[str]) -> Any:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_tells_how_it_stands_and_stops_in_order(environment: dict[str, str], number: int) -> None:
    with running(environment, "up", "--json", "--health-every", "0.2") as process:
        told = json.loads(first_line(process))
        assert told == {"role": "worker and scheduler", "under_way": 0, "counts": {}, "trouble": ""}
        assert json.loads(first_line(process))["trouble"] == ""
        process.send_signal(number)
        out, err = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, err
    assert json.loads(out) == {"finished": True, "counts": {}}


def test_people_get_a_line(environment: dict[str, str]) -> None:
    with running(environment, "up", "--threads", "2") as process:
        assert first_line(process).startswith("Listening on http://127.0.0.1:")
        assert first_line(process) == "worker and scheduler: well, 0 under way; nothing done yet\n"
        process.terminate()
        out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, out) == (0, "Stopped.\n"), err


class Relay(socketserver.StreamRequestHandler):
    """Hands one connection on to the database at ``server.to``, which listens on this machine."""

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.to)) as database:  # type: ignore[attr-defined]
            back = threading.Thread(target=self._copy, args=(database, self.connection), daemon=True)
            back.start()
            self._copy(self.connection, database)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while read := source.recv(65_536):
                target.sendall(read)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("words", [("up",), ("api",)])
def test_a_database_that_starts_later_is_waited_for(environment: dict[str, str], words: tuple[str, ...]) -> None:
    url = urlsplit(environment["DATABASE_URL"])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay, bind_and_activate=False) as relay:
        relay.to, relay.daemon_threads = url.port, True  # type: ignore[attr-defined]
        relay.server_bind()  # from here on the address is taken, and refuses connections until it listens
        here = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{relay.server_address[1]}"))
        with running(environment | {"DATABASE_URL": here.geturl()}, *words) as process:
            assert first_line(process).startswith("The database does not answer yet; waiting for it")
            relay.server_activate()
            threading.Thread(target=relay.serve_forever, daemon=True).start()
            lines = iter(process.stderr or ())
            assert any(line.startswith("Listening on http://127.0.0.1:") for line in lines)
        relay.shutdown()


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_alone_they_need_a_broker(syncline: Syncline, role: str) -> None:
    done = syncline(role, "--json")
    assert done.code == 78
    assert done.error["code"] == "no_broker"
    assert "syncline up" in done.error["remedy"]


def test_a_broker_that_does_not_answer_ends_the_start_without_its_password(
    syncline: Syncline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://:s3cret-word@127.0.0.1:1/0")
    done = syncline("worker", "--json")
    assert done.code == 75
    assert done.error["code"] == "broker_unreachable"
    assert "s3cret-word" not in done.out + done.err
