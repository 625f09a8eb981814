"""The benchmark of latencies under faults: its client counts what nobody answers, and its judge sees what was lost."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.intake import client, faults
from benchmarks.intake.client import Heard
from benchmarks.intake_latency import judged, run


def test_an_acknowledged_delivery_that_is_not_stored_is_found() -> None:
    heard = [
        Heard(0, "202", 1.0, 1.1),
        Heard(1, "202", 2.0, 2.2),
        Heard(2, "503", 3.0, 3.9),
        Heard(3, "broken", 4.0, 9.0),
    ]
    told = judged(heard, {"id:a", "id:b"}, {"id:b", "id:c"}, 2.5, 3.5)
    assert (told["false_202"], told["unheard"]) == (1, 1)
    assert (told["202"], told["503"], told["other"], told["answers"]) == (2, 1, {"broken": 1}, 3)
    assert told["max_ms"] == 900, "what was not answered has no latency"
    assert told["back_s"] == 5.5


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
CLOSING = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


def loaded(tmp_path: Path, serve: Serve, count: int) -> client.Load:
    """Post so many requests, by one client, to a server that does as ``serve`` says."""
    path = tmp_path / "requests"
    path.write_bytes(b"".join(len(r).to_bytes(4, "big") + r for r in [b"x" * 10] * count))

    async def work() -> client.Load:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await client.main("127.0.0.1", port, path, 1, 5.0, 200.0)
        finally:
            server.close()

    return asyncio.run(work())


def test_an_answer_that_closes_leads_to_a_new_connection_and_a_broken_one_is_counted(tmp_path: Path) -> None:
    answers, connections = [OK, CLOSING, OK, b"", OK], 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(10):
            answer = answers.pop(0)
            writer.write(answer)
            if answer in (CLOSING, b""):
                break
        writer.close()

    load = loaded(tmp_path, serve, len(answers))
    assert [h.status for h in load.answers] == ["202", "503", "202", "broken", "202"]
    assert connections == 3
    assert [h.number for h in load.answers] == list(range(5))


def test_latency_counts_from_the_moment_a_request_was_due(tmp_path: Path) -> None:
    """The first answer comes so late that all others are late, too, although each is answered at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        await asyncio.sleep(0.2)
        writer.write(OK)
        while await reader.read(10):
            writer.write(OK)
        writer.close()

    load = loaded(tmp_path, serve, 10)
    took = [h.at - h.due for h in load.answers]
    assert len(took) == 10
    assert min(took) > 0.1
    assert took[0] > took[-1]


def test_a_refused_connection_is_counted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path = tmp_path / "requests"
    path.write_bytes((1).to_bytes(4, "big") + b"x")
    load = asyncio.run(client.main("127.0.0.1", port, path, 1, 5.0, 200.0))
    assert [h.status for h in load.answers] == ["refused"]


@pytest.mark.timeout(600)
def test_a_locked_inbox_is_answered_503_and_everything_acknowledged_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("rabbitmq-server") is None:
        pytest.skip("rabbitmq-server is not installed: the run has a broker of its own")
    monkeypatch.setattr(faults, "LOCKED_S", 2.0)
    told = run(tmp_path, 8, 8, 100, ["inbox_locked"])["faults"]["inbox_locked"]
    assert told["false_202"] == 0
    assert told["202"] > 0
    assert told["503"] > 0
    assert (told["other"], told["died"]) == ({}, {})
