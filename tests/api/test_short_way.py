"""Webhooks over real sockets: those that arrive whole take a short way, and nothing about them tells a sender so."""

from __future__ import annotations

import gc
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest

from api import intake as door
from api.intake import IntakeApp
from api.protocol import Whole
from api.serving import Serving, application, settle
from bootstrap.wiring import Hub
from domain.errors import TransientError
from storage.embedded import ServerUrls
from storage.intake import InboxWriter
from tests.api.intake_calls import Address, post

PATIENCE_S = 30.0
ACCEPTED = b'{"status":"accepted"}'


@dataclass
class Door:
    """A server that takes four kilobytes, its endpoint, and the bodies of what took the short way."""

    served: Serving
    address: Address
    short: list[bytes] = field(default_factory=list)

    def request(self, body: bytes, *more: str, version: str = "1.1", path: str | None = None) -> bytes:
        lines = [
            f"POST {path or self.address.path} HTTP/{version}",
            "Host: x",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.address.signed(body).items()),
            *more,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def served(hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    settings = hub.settings.model_copy(update={"api_port": 0, "webhook_body_max_bytes": 4_096})
    limited = hub.of(hub.tenant_id)
    monkeypatch.setattr(limited, "settings", settings)
    app = application(limited)
    made = Door(Serving(app, settings), address)
    take = IntakeApp.take

    def noted(self: IntakeApp, request: Whole, answer: Any) -> bool:
        taken = take(self, request, answer)
        if taken:
            made.short.append(request.body)
        return taken

    monkeypatch.setattr(IntakeApp, "take", noted)
    made.served.start()
    with ExitStack() as stack:
        line = stack.enter_context(socket.create_connection(("127.0.0.1", made.served.port), timeout=PATIENCE_S))
        line.sendall(made.request(post("known")))  # from now on the endpoint is known
        assert answers(line, 1) == [(202, ACCEPTED)]
        made.short.clear()
        yield made
    assert made.served.stop(PATIENCE_S)


@pytest.fixture
def address(hub: Hub, tenant_id: UUID) -> Address:
    return Address.make(hub, tenant_id)


@pytest.fixture
def connect(served: Door) -> Iterator[Callable[[], socket.socket]]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            socket.create_connection(("127.0.0.1", served.served.port), timeout=PATIENCE_S)
        )


def answers(line: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """So many answers, or those that come before the server closes: status and body."""
    heard, found = b"", list[tuple[int, bytes]]()
    while len(found) < count:
        head, end, rest = heard.partition(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head)
        if end and size and len(rest) >= int(size[1]):
            found.append((int(head[9:12]), rest[: int(size[1])]))
            heard = rest[int(size[1]) :]
            continue
        piece = line.recv(65_536)
        if not piece:
            return found
        heard += piece
    return found


def closed(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True


def test_a_webhook_that_arrives_whole_is_answered_as_any_other(
    served: Door, connect: Callable[[], socket.socket]
) -> None:
    short, long = connect(), connect()
    body, other = post("short"), post("long")
    short.sendall(served.request(body))
    head, content = short.recv(65_536).split(b"\r\n\r\n")
    request = served.request(other)
    long.sendall(request[:-5])
    time.sleep(0.1)
    long.sendall(request[-5:])
    told = b""
    while not told.endswith(ACCEPTED):
        told += long.recv(65_536)
    dates = re.compile(rb"date: [^\r]+")
    assert served.short == [body]
    assert content == ACCEPTED
    assert dates.search(head)
    assert dates.sub(b"", head) == dates.sub(b"", told.split(b"\r\n\r\n")[0])
    assert served.address.keys() == ["known", "short", "long"]


def test_requests_behind_one_another_are_answered_in_their_order(
    served: Door, connect: Callable[[], socket.socket]
) -> None:
    line = connect()
    wrong = served.request(post("b")).replace(b"sha256=", b"sha256=0", 1)
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    line.sendall(served.request(post("a")) + wrong + live + served.request(post("c")) + served.request(post("d")))
    assert [status for status, _ in answers(line, 5)] == [202, 401, 200, 202, 202]
    assert served.address.keys() == ["known", "a", "c", "d"]


def test_many_senders_at_once_each_hear_of_their_own(served: Door, connect: Callable[[], socket.socket]) -> None:
    lines = [connect() for _ in range(50)]
    for turn in range(5):
        for number, line in enumerate(lines):
            good = served.request(post(f"{turn}-{number}"))
            line.sendall(good if number % 10 else good.replace(b"sha256=", b"sha256=0", 1))
        found = [answers(line, 1)[0][0] for line in lines]
        assert found == [202 if number % 10 else 401 for number in range(50)]
    assert len(set(served.address.keys())) == 1 + 5 * 45
    assert len(served.short) > 100


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["Content-Encoding: gzip"], 415, "webhook_encoded"),
        (["X-Signature: sha256=00"], 400, "webhook_repeated_header"),
    ],
)
def test_what_is_refused_by_its_headers_is_refused_when_it_arrives_whole(
    served: Door, connect: Callable[[], socket.socket], more: list[str], status: int, code: str
) -> None:
    line = connect()
    line.sendall(served.request(post("a"), *more))
    [(got, body)] = answers(line, 1)
    assert (got, json.loads(body)["code"]) == (status, code)
    assert served.address.keys() == ["known"]
    assert len(served.short) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_body_that_is_too_large_is_refused_and_the_connection_closed(
    served: Door, connect: Callable[[], socket.socket], chunked: bool
) -> None:
    line, body = connect(), post("a", filler="x" * 5_000)
    request = served.request(body)
    if chunked:
        head = request[: -len(body)].replace(f"Content-Length: {len(body)}".encode(), b"Transfer-Encoding: chunked")
        request = head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    line.sendall(request)
    [(status, told)] = answers(line, 1)
    assert (status, json.loads(told)["code"]) == (413, "webhook_body_too_large")
    assert closed(line)
    assert served.address.keys() == ["known"]


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(
    served: Door, connect: Callable[[], socket.socket]
) -> None:
    line = connect()
    line.sendall(f"POST {served.address.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\nx".encode())
    assert [status for status, _ in answers(line, 1)] == [413]
    assert closed(line)


def test_a_body_that_stops_is_given_up(
    served: Door, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BODY_WITHIN_S", 0.3)
    line = connect()
    line.sendall(served.request(post("a"))[:-3])
    [(status, told)] = answers(line, 1)
    assert (status, json.loads(told)["code"]) == (408, "webhook_too_slow")
    assert closed(line)


def test_chunks_that_are_none_end_the_connection_and_nothing_is_stored(
    served: Door, connect: Callable[[], socket.socket]
) -> None:
    line = connect()
    line.sendall(
        f"POST {served.address.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX\r\n".encode()
    )
    assert b"".join(iter(lambda: line.recv(65_536), b"")).startswith(b"HTTP/1.1 400 ")
    assert served.short == []


def test_a_sender_that_asks_to_be_told_to_go_on_is_told(served: Door, connect: Callable[[], socket.socket]) -> None:
    line, body = connect(), post("a")
    request = served.request(body, "Expect: 100-continue")
    line.sendall(request[: -len(body)])
    assert line.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    line.sendall(body)
    assert answers(line, 1) == [(202, ACCEPTED)]
    line.sendall(served.request(post("b"), "Expect: 100-continue"))  # and did not wait for it
    assert line.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answers(line, 1) == [(202, ACCEPTED)]


@pytest.mark.parametrize(("more", "version"), [(["Connection: close"], "1.1"), ([], "1.0")])
def test_a_sender_that_wants_no_more_is_let_go(
    served: Door, connect: Callable[[], socket.socket], more: list[str], version: str
) -> None:
    line = connect()
    line.sendall(served.request(post("a"), *more, version=version))
    answer = b"".join(iter(lambda: line.recv(65_536), b""))
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(ACCEPTED)
    assert len(served.short) == 1


@pytest.mark.parametrize("path", ["/hooks/", "/hooks/nobody", "/%68ooks/nobody", "/hooks/a%2fb?c=d"])
def test_an_address_that_is_none_is_not_found(served: Door, connect: Callable[[], socket.socket], path: str) -> None:
    line = connect()
    line.sendall(served.request(post("a"), path=path))
    [(status, told)] = answers(line, 1)
    assert (status, json.loads(told)["code"]) == (404, "no_such_endpoint")


def test_one_who_hangs_up_before_the_commit_is_stored_and_disturbs_nobody(
    served: Door, connect: Callable[[], socket.socket], database_urls: ServerUrls
) -> None:
    gone, stays = connect(), connect()
    with psycopg.connect(database_urls.admin) as admin:
        admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        gone.sendall(served.request(post("a")))
        stays.sendall(served.request(post("b")) + served.request(post("c")))
        time.sleep(0.2)
        gone.close()
        time.sleep(0.2)
    assert answers(stays, 2) == [(202, ACCEPTED)] * 2
    assert sorted(served.address.keys()) == ["a", "b", "c", "known"]


def test_what_waits_for_its_commit_when_the_server_is_told_to_stop_is_answered(
    hub: Hub, address: Address, served: Door, connect: Callable[[], socket.socket], database_urls: ServerUrls
) -> None:
    line = connect()
    with psycopg.connect(database_urls.admin) as admin:
        admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        line.sendall(served.request(post("a")))
        time.sleep(0.2)
        served.served.server.should_exit = True
        time.sleep(0.5)
    answer = b"".join(iter(lambda: line.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert served.short == [post("a")]
    assert address.keys() == ["known", "a"]


def test_a_bug_is_answered_by_the_server_and_the_next_one_goes_well(
    served: Door, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(RuntimeError):
        pass

    def broken(*_: object) -> None:
        raise Broken

    line = connect()
    with monkeypatch.context() as patch:
        patch.setattr("webhooks.inbound.schemes.generic.Generic.verify", broken)
        line.sendall(served.request(post("a")))
        assert [status for status, _ in answers(line, 1)] == [500]
    assert closed(line)
    line = connect()
    line.sendall(served.request(post("b")))
    assert answers(line, 1) == [(202, ACCEPTED)]


@pytest.mark.parametrize("short", [True, False], ids=["short way", "long way"])
def test_a_503_to_a_request_that_was_read_whole_keeps_its_connection_for_the_next_try(
    served: Door, connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    line, body = connect(), post("a")
    if not short:
        monkeypatch.setattr(IntakeApp, "take", lambda *_: False)
    put = InboxWriter.put

    def refuse(*_: Any) -> None:
        raise TransientError("It does not answer.", code="database_unavailable", retry_after_s=1)

    monkeypatch.setattr(InboxWriter, "put", refuse)
    line.sendall(served.request(body))
    [(status, _)] = answers(line, 1)
    monkeypatch.setattr(InboxWriter, "put", put)
    line.sendall(served.request(body))
    assert (status, answers(line, 1)) == (503, [(202, ACCEPTED)])
    assert served.short == [body, body] * short


def test_what_the_start_left_is_in_no_later_collection(served: Door) -> None:
    everything = len(gc.get_objects())
    try:
        settle()
        assert len(gc.get_objects()) < everything / 10
    finally:
        gc.unfreeze()
