"""Posting to chosen addresses: what may not be reached is refused before a byte is sent, whatever the name server says when."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import outward
from connectors.kit.outward import ANSWER_BYTES_MAX, AllowList, Poster, RefusedAddressError, judge, target_of
from domain.errors import ConfigurationError
from tests.support.certificates import Authority

NOBODY = AllowList()
LOCAL = AllowList.parse(["127.0.0.0/8"])
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "169.254.169.254",  # noqa: S104
    "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "192.0.2.1", "168.63.129.16", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
    "2002:a00:1::1", "::127.0.0.1", "2001:db8::1", "2001:0:7f00:1::", "64:ff9b:1::a00:1",
]  # fmt: skip
PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(RefusedAddressError):
        judge(ipaddress.ip_address(address), NOBODY)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address: str) -> None:
    judge(ipaddress.ip_address(address), NOBODY)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_there_is_refused_and_nothing_is_connected(address: str) -> None:
    answer = Poster(NOBODY, resolver=lambda *_: ["93.184.215.14", address]).post(
        "https://hooks.example.com/", b"{}", {}
    )
    assert (answer.status, answer.error) == (None, "address_refused")


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "ftp://hooks.example.com/", "file:///etc/passwd", "gopher://x.example/", "//x.example/",
        "hooks.example.com", "https://", "https://user@hooks.example.com/", "https://user:pass@hooks.example.com/",
        "https://hooks.example.com/#part", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
        "https://127.0.0.1./", "https://0x7f.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/", "https://[::ffff:7f00:1]/", "https://169.254.169.254/latest/meta-data/",
        "https://hooks.example.com:99999/", "https://hooks.example.com\\@127.0.0.1/", "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: evil", "https://höoks.example.com/", "https://１２７.0.0.1/", "https://-x.example/",
        "https://x..example/", "https://hooks.example.com/" + "a" * 2_000, "https://[::1", "https://0/", "https://00000177.1/",
    ],
)  # fmt: skip
def test_an_odd_url_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        target_of(url, NOBODY)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://Hooks.Example.com", "hooks.example.com", "/"),
        ("https://hooks.example.com:8443/a?b=c", "hooks.example.com:8443", "/a?b=c"),
        ("https://hooks.example.com./x", "hooks.example.com", "/x"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]", "/x"),
    ],
)
def test_a_plain_https_url_is_taken(url: str, authority: str, path: str) -> None:
    target = target_of(url, NOBODY)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "hooks.internal:80", "*.internal", "http://x", "127.1", ""])
def test_an_allow_list_that_cannot_be_understood_is_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AllowList.parse([entry])
    assert caught.value.code == "bad_setting"


# ---------------------------------------------------------------- over sockets

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(answer, heard)``: the port of a server that hands each connection to ``answer``, and notes what it was sent."""
    listening: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Callable[[socket.socket], None], heard: list[bytes] | None = None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        listening.append(server)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        first = connection.recv(65_536)
                        if heard is not None:
                            heard.append(first)
                        answer(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        threads.append(thread)
        return int(server.getsockname()[1])

    yield start
    for server in listening:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join(10)


def says(text: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(text)


def test_a_name_is_resolved_once_and_the_judged_address_is_connected(serve: Serve) -> None:
    port = serve(says(b"HTTP/1.1 204 No Content\r\n\r\n"))
    asked: list[str] = []

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    answer = Poster(LOCAL, resolver=rebinding).post(f"http://hooks.example.com:{port}/", b"{}", {})
    assert answer.ok
    assert asked == ["hooks.example.com"]


def test_a_name_that_turns_private_after_it_was_accepted_is_refused_when_it_is_sent_to(serve: Serve) -> None:
    reached: list[Any] = []
    port = serve(reached.append)
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    poster = Poster(NOBODY, resolver=lambda *_: next(answers))
    for address in poster.resolver("hooks.example.com", port):
        judge(ipaddress.ip_address(address), NOBODY)
    answer = poster.post(f"https://hooks.example.com:{port}/", b"{}", {})
    assert answer.error == "address_refused"
    assert reached == []


def test_the_host_header_is_the_name_although_the_address_was_connected(serve: Serve) -> None:
    heard: list[bytes] = []
    port = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), heard)
    got = Poster(LOCAL, resolver=lambda *_: ["127.0.0.1"]).post(
        f"http://hooks.example.com:{port}/p?q", b"{}", {"X-A": "b"}
    )
    assert (got.status, got.excerpt) == (200, "ok")
    lines = heard[0].split(b"\r\n")
    assert lines[0] == b"POST /p?q HTTP/1.1"
    assert {b"Host: hooks.example.com:%d" % port, b"X-A: b", b"Accept-Encoding: identity"} <= set(lines)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(serve: Serve, status: int) -> None:
    reached: list[Any] = []
    elsewhere = serve(reached.append)
    text = f"HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    answer = Poster(LOCAL).post(f"http://127.0.0.1:{serve(says(text.encode()))}/", b"{}", {})
    assert (answer.status, answer.ok, reached) == (status, False, [])


def test_of_a_huge_answer_only_the_beginning_is_read(serve: Serve) -> None:
    sent: list[int] = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            connection.sendall(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")
            sent.append(1)

    answer = Poster(LOCAL).post(f"http://127.0.0.1:{serve(endless)}/", b"{}", {})
    assert (answer.status, len(answer.excerpt)) == (500, ANSWER_BYTES_MAX)
    assert len(sent) < 1_000


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1_000):
        connection.sendall(b"y")
        time.sleep(0.05)


def silence(connection: socket.socket) -> None:
    while connection.recv(4_096):
        pass


@pytest.mark.parametrize("answer", [drip, silence])
def test_a_slow_answer_ends_at_the_deadline(serve: Serve, answer: Callable[[socket.socket], None]) -> None:
    started = time.monotonic()
    got = Poster(LOCAL, total_s=0.5).post(f"http://127.0.0.1:{serve(answer)}/", b"{}", {})
    assert got.error == "timeout"
    assert 0.4 < time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("text", "error"), [(b"", "broken_off"), (b"nonsense\r\n\r\n", "no_http"), (b"HTTP/1.1 200 OK\r\n", "broken_off")]
)
def test_what_is_no_answer_is_told_in_a_word(serve: Serve, text: bytes, error: str) -> None:
    assert Poster(LOCAL).post(f"http://127.0.0.1:{serve(says(text))}/", b"{}", {}).error in (error, "no_http")


# ---------------------------------------------------------------- TLS to a pinned address

HOST = "hooks.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Secure:
    """A server with TLS on this machine; ``names``: what clients called it, ``heard``: what they sent once they trusted it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.names: list[str | None] = []
        self.heard: list[bytes] = []
        self._context = context
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    def __call__(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as line:
            heard = b""
            while not heard.endswith(b"{}"):  # to the end of the body: a connection closed before is reset
                if not (piece := line.recv(65_536)):
                    return
                heard += piece
            self.heard.append(heard)
            line.sendall(OK)


@pytest.fixture
def serve_tls() -> Iterator[Callable[[Secure], int]]:
    """``serve_tls(server)``: the port that ``server`` answers on."""
    listening: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(server: Secure) -> int:
        opened = socket.create_server(("127.0.0.1", 0))
        listening.append(opened)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    server(opened.accept()[0])

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return int(opened.getsockname()[1])

    yield start
    for opened in listening:
        opened.shutdown(socket.SHUT_RDWR)
        opened.close()
    for thread in threads:
        thread.join(10)


def test_the_certificate_is_the_names_while_the_connection_goes_to_the_judged_address(
    serve_tls: Callable[[Secure], int], tmp_path: Path
) -> None:
    authority = Authority()
    server = Secure(authority.server(tmp_path, HOST))
    port, asked = serve_tls(server), list[str]()

    def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    poster = Poster(LOCAL, resolver=rebinding, tls=authority.trusted)
    answer = poster.post(f"https://{HOST}:{port}/p", b"{}", {})
    assert (answer.status, answer.error, answer.excerpt) == (200, None, "ok")
    assert (asked, server.names) == ([HOST], [HOST])
    assert f"Host: {HOST}:{port}\r\n".encode() in server.heard[0]


@pytest.mark.parametrize("wrong", ["another name", "the address as a name", "another authority", "expired"])
def test_a_certificate_that_does_not_prove_the_name_is_refused_and_nothing_is_sent(
    serve_tls: Callable[[Secure], int], tmp_path: Path, wrong: str
) -> None:
    authority = Authority()
    shown = {"another name": "other.example.com", "the address as a name": "127.0.0.1"}.get(wrong, HOST)
    issuer = Authority() if wrong == "another authority" else authority
    server = Secure(issuer.server(tmp_path, shown, expired=wrong == "expired"))
    poster = Poster(LOCAL, resolver=lambda *_: ["127.0.0.1"], tls=authority.trusted)
    answer = poster.post(f"https://{HOST}:{serve_tls(server)}/", b"secret", {})
    assert (answer.status, answer.error) == (None, "tls")
    assert server.heard == []


# ---------------------------------------------------------------- names that take their time


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Set at the end: resolvers that wait for it are stuck until then."""
    event = threading.Event()
    yield event
    event.set()


def test_a_name_that_is_not_resolved_in_time_ends_the_exchange(stuck: threading.Event) -> None:
    def resolver(*_: Any) -> list[str]:
        stuck.wait(60)
        return ["127.0.0.1"]

    started = time.monotonic()
    answer = Poster(LOCAL, resolver=resolver, connect_s=0.3).post("https://hooks.example.com/", b"{}", {})
    assert (answer.status, answer.error) == (None, "timeout")
    assert 0.2 < time.monotonic() - started < 5


def test_only_so_many_lookups_are_left_behind(stuck: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outward, "_lookups", threading.BoundedSemaphore(2))
    asked: list[int] = []

    def resolver(*_: Any) -> list[str]:
        asked.append(1)
        stuck.wait(60)
        return []

    poster = Poster(LOCAL, resolver=resolver, connect_s=0.05)
    assert {poster.post("https://hooks.example.com/", b"{}", {}).error for _ in range(5)} == {"timeout"}
    assert len(asked) == 2


def test_room_for_lookups_is_given_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outward, "_lookups", threading.BoundedSemaphore(1))
    port = serve(says(OK))
    poster = Poster(LOCAL, resolver=lambda *_: ["127.0.0.1"], connect_s=2)
    assert [poster.post(f"http://hooks.example.com:{port}/", b"{}", {}).status for _ in range(3)] == [200] * 3


def test_fetching_reads_as_much_as_is_asked_for(serve: Serve) -> None:
    heard: list[bytes] = []
    port = serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9_000), heard)
    answer = Poster(LOCAL).get(f"http://127.0.0.1:{port}/keys", {"Accept": "application/json"}, 8_000)
    assert (answer.status, len(answer.excerpt)) == (200, 8_000)
    assert heard[0].startswith(b"GET /keys HTTP/1.1\r\n")
    assert Poster(NOBODY).get(f"https://127.0.0.1:{port}/keys", {}, 8_000).error == "address_refused"


def test_a_server_without_tls_is_told_as_such(serve: Serve) -> None:
    answer = Poster(LOCAL).post(f"https://127.0.0.1:{serve(says(b'HTTP/1.1 400 Bad'))}/", b"{}", {})
    assert answer.error == "tls"


def test_a_name_that_nobody_knows_is_told_as_such() -> None:
    def unknown(*_: Any) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert Poster(NOBODY, resolver=unknown).post("https://hooks.example.com/", b"{}", {}).error == "name_unknown"


def test_a_proxy_of_the_environment_is_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[Any] = []
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{serve(reached.append)}")
    port = serve(says(b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert Poster(LOCAL).post(f"http://127.0.0.1:{port}/", b"{}", {}).ok
    assert reached == []
