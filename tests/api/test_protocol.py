"""Callers who never finish, over real sockets: each is answered and let go, and holds up nobody."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from uuid import UUID

import httpx
import pytest

from api import bodies, protocol, reading
from api.serving import Serving, application
from bootstrap.wiring import Hub
from storage import api_keys
from storage.database import Database
from tests.api.samples import FACTORIES

WITHIN_S = 0.5
PATIENCE_S = 30.0


@pytest.fixture
def port(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The server, which waits for half a second."""
    monkeypatch.setattr(protocol, "HEADERS_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(bodies, "READ_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(reading, "READ_WITHIN_S", WITHIN_S)
    served = Serving(application(hub), hub.settings.model_copy(update={"api_port": 0}))
    served.start()
    yield served.port
    assert served.stop(PATIENCE_S)


@pytest.fixture
def connect(port: int) -> Iterator[Callable[[], socket.socket]]:
    """``connect()``: a connection to the server."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))


def heard(line: socket.socket) -> bytes:
    """All that comes until the server closes."""
    answer = b""
    with suppress(ConnectionError):
        while piece := line.recv(65_536):
            answer += piece
    return answer


def trickle(line: socket.socket, piece: bytes) -> bytes:
    """Send a little now and then until the server closes; what it said."""
    line.settimeout(WITHIN_S / 10)
    answer, until = b"", time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            line.sendall(piece)
        except OSError:
            return answer + heard(line)
        try:
            got = line.recv(65_536)
        except TimeoutError:
            continue
        except ConnectionError:
            return answer
        if not got:
            return answer
        answer += got
    raise AssertionError("the server listened on and on")


def test_headers_that_trickle_in_are_given_up(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
    answer = trickle(line, b"X-Slow: 1\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too_slow"' in answer
    assert b"connection: close" in answer


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(connect: Callable[[], socket.socket]) -> None:
    assert heard(connect()) == b""


def test_a_second_request_has_to_arrive_in_time_too(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
    line.sendall(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
    assert trickle(line, b"y").startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_between_requests_is_kept(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    for _ in range(2):
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
        line.settimeout(WITHIN_S * 2)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.settimeout(PATIENCE_S)


def test_headers_without_an_end_are_cut_off(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    sent = 0
    with suppress(ConnectionError):
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: ")
        while sent < 64 << 20:
            line.sendall(b"y" * 65_536)
            sent += 65_536
    assert sent < 64 << 20


def test_large_headers_are_refused(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
    line.sendall(b"X: " + b"y" * protocol.HEADERS_BYTES_MAX)
    assert heard(line).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_trickles_in_is_given_up_and_the_connection_closed(
    connect: Callable[[], socket.socket],
) -> None:
    line = connect()
    line.sendall(
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    answer = trickle(line, b" ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too_slow" in answer


@pytest.mark.parametrize("piece", [b"x", b""], ids=["trickles", "stops"])
def test_an_upload_that_trickles_in_or_stops_is_given_up(
    connect: Callable[[], socket.socket], db: Database, tenant_id: UUID, piece: bytes
) -> None:
    with db.tenant(tenant_id) as conn:
        _, key = api_keys.create(conn, name="t", role="tenant_admin", created_by="tests")
    line = connect()
    head = (
        f"POST /v1/webhooks/endpoints/{FACTORIES['endpoint_id'](db, tenant_id)}/preview HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n\r\n"
    )
    line.sendall(head.encode())
    assert trickle(line, piece).startswith(b"HTTP/1.1 408 ")


def test_callers_who_never_finish_take_no_place_for_long(port: int, connect: Callable[[], socket.socket]) -> None:
    lines = [connect() for _ in range(50)]
    for line in lines:
        line.sendall(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
    assert httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).status_code == 200
    assert {heard(line).split(b"\r\n", 1)[0] for line in lines} == {b"HTTP/1.1 408 Request Timeout"}
