"""Calling addresses that customers choose, so that none of them leads into the operator's own network.

A name is resolved once, every address it has is judged, and the connection goes to a judged address: an answer of the name server
that changes in between changes nothing. TLS, certificate and ``Host`` are those of the name. Redirects are not followed, proxies of
the environment not used (they would resolve the name themselves), and the whole exchange has one deadline.

Built on httpcore, the transport of httpx, whose network backend is where a connection is made.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore

from domain.errors import ConfigurationError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

ANSWER_BYTES_MAX = 4_096
URL_LENGTH_MAX = 2_000
LOOKUPS_AT_ONCE = 64
_ADDRESSES_TRIED = 3
_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\uffff\\]")
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_NOT_FOR_US = (
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
)
"""Special ranges that Python counts as public, or did once: Azure's WireServer, protocol assignments (a cloud's metadata
service among them), the old 6to4 relays. https://www.iana.org/assignments/iana-ipv4-special-registry/
https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16"""


class RefusedAddressError(ConfigurationError):
    """The address is none that may be sent to; nothing was sent."""

    code = "address_refused"


@dataclass(frozen=True, slots=True)
class AllowList:
    """What an operator allows although it is not public: names, and networks. Plain http is allowed there, too."""

    names: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AllowList:
        """Of host names, addresses and networks (``10.1.0.0/16``). Raises ConfigurationError."""
        names, networks = set(), []
        for entry in (e.strip().lower() for e in entries):
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                if not _NAME.fullmatch(entry) or _ends_in_a_number(entry):
                    raise ConfigurationError(
                        "An entry of the list of allowed webhook addresses is neither a host name nor a network.",
                        remedy="Write names as hooks.internal and networks as 10.1.0.0/16.",
                        code="bad_setting",
                    ) from None
                names.add(entry)
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str) -> bool:
        return host in self.names

    def has(self, address: IPAddress) -> bool:
        return any(address.version == n.version and address in n for n in self.networks)


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart and found well-formed. ``literal``: the host is an IP address itself."""

    scheme: str
    host: str
    port: int
    path: str
    literal: IPAddress | None

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def target_of(url: str, allowed: AllowList) -> Target:
    """Take a URL apart. Raises RefusedAddressError for what may not be sent to whatever it resolves to."""
    if len(url) > URL_LENGTH_MAX or _UNSAFE.search(url):
        raise _refused("it has blanks, odd characters, or too many of them")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused("it cannot be read") from None
    host = (parts.hostname or "").lower().removesuffix(".")
    if parts.scheme not in ("https", "http") or not host:
        raise _refused("it is no web address")
    if "@" in parts.netloc or parts.fragment:
        raise _refused("it holds a user or a fragment")
    literal = None if "%" in host else _literal(host)
    if literal is None and (not _NAME.fullmatch(host) or _ends_in_a_number(host)):
        raise _refused("its host is no plain name")
    exempt = allowed.has_name(host) or (literal is not None and allowed.has(literal))
    if parts.scheme == "http" and not (exempt or (literal is None and allowed.networks)):
        raise _refused("it is not https")
    if literal is not None:
        judge(literal, allowed)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path, literal)


def judge(address: IPAddress, allowed: AllowList, *, plain: bool = False) -> None:
    """Raise RefusedAddressError unless the address is public, or allowed. ``plain``: http, which has to be allowed."""
    if allowed.has(address):
        return
    if plain:
        raise _refused("it is not https")
    if any(not _public(a) for a in (address, *_within(address))):
        raise _refused("it leads to an address that is not public")


def _public(address: IPAddress) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not site_local and not _special(address)


def _special(address: IPAddress) -> bool:
    return any(address in network for network in _NOT_FOR_US)


def _within(address: IPAddress) -> list[IPAddress]:
    """IPv4 addresses that an IPv6 one stands for: mapped, translated (NAT64) and tunnelled (6to4, Teredo) ones."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    teredo = address.teredo or ()
    found: list[IPAddress] = [a for a in (address.ipv4_mapped, address.sixtofour, *teredo) if a is not None]
    if any(address in network for network in _TRANSLATED) or int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _ends_in_a_number(host: str) -> bool:
    """Whether programs would take the name for an IPv4 address written in decimal, octal or hexadecimal."""
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _refused(why: str) -> RefusedAddressError:
    return RefusedAddressError(
        f"The address cannot be sent to: {why}.",
        remedy="Give a public https address; an operator may allow others with SYNCLINE_WEBHOOK_ALLOW.",
    )


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, by the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


_lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)


def _resolved(resolver: Resolver, host: str, port: int, within_s: float) -> Sequence[str]:
    """What ``resolver`` finds in time. Raises what it raises, and ConnectTimeout.

    A lookup by the system cannot be interrupted: one that takes too long is left behind in its thread, and only so many are.
    """
    deadline, room = time.monotonic() + within_s, _lookups
    if not room.acquire(timeout=within_s):
        raise httpcore.ConnectTimeout("too many names are being looked up")
    found: Future[Sequence[str]] = Future()

    def look_up() -> None:
        try:
            found.set_result(resolver(host, port))
        except Exception as error:
            found.set_exception(error)
        finally:
            room.release()

    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    try:
        return found.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        raise httpcore.ConnectTimeout("the name was not resolved in time") from None


# ---------------------------------------------------------------- sending


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``status`` None: nothing did, ``error`` says why in a word; ``excerpt``: the first few KB, as text."""

    status: int | None
    error: str | None = None
    excerpt: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


_WHY: tuple[tuple[type[Exception], str], ...] = (
    (RefusedAddressError, "address_refused"),
    (httpcore.TimeoutException, "timeout"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "name_unknown"),
    (httpcore.ConnectError, "no_connection"),
    (httpcore.ProtocolError, "no_http"),
    (httpcore.NetworkError, "broken_off"),
    (OSError, "no_connection"),
)


@dataclass(frozen=True, slots=True)
class Poster:
    """Calls chosen addresses. ``total_s``: for the whole exchange; ``connect_s``: for one connection, or to resolve the name."""

    allowed: AllowList = AllowList()
    resolver: Resolver = resolve
    connect_s: float = 5.0
    total_s: float = 15.0
    tls: Callable[[], ssl.SSLContext] = _tls

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send once and read the beginning of the answer. Raises nothing that a receiver or its name server can cause."""
        length = {"Content-Length": str(len(body))}
        return self._call("POST", url, {**headers, **length}, body, ANSWER_BYTES_MAX)

    def get(self, url: str, headers: Mapping[str, str], bytes_max: int) -> Answer:
        """Fetch, of the answer ``bytes_max`` at most (its ``excerpt``). Raises as little as `post`."""
        return self._call("GET", url, headers, b"", bytes_max)

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes, bytes_max: int) -> Answer:
        started = time.monotonic()
        try:
            return self._exchange(method, target_of(url, self.allowed), headers, body, bytes_max, started)
        except (
            RefusedAddressError,
            OSError,
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
        ) as e:
            why = _why(e)
        return Answer(None, why, duration_s=time.monotonic() - started)

    def _exchange(
        self, method: str, target: Target, headers: Mapping[str, str], body: bytes, bytes_max: int, started: float
    ) -> Answer:
        backend = _Pinned(self, target, started + self.total_s)
        request_headers = {**headers, "Host": target.authority, "Accept-Encoding": "identity", "Connection": "close"}
        with (
            closing(httpcore.ConnectionPool(ssl_context=self.tls(), network_backend=backend, http2=False)) as pool,
            pool.stream(
                method,
                httpcore.URL(
                    scheme=target.scheme.encode(),
                    host=target.host.encode(),
                    port=target.port,
                    target=target.path.encode(),
                ),
                headers=[(name.encode(), value.encode()) for name, value in request_headers.items()],
                content=body,
                extensions={"timeout": {"connect": self.connect_s, "read": self.total_s, "write": self.total_s}},
            ) as response,
        ):
            received = _beginning(response.iter_stream(), bytes_max)
            return Answer(
                response.status,
                None,
                received.decode("utf-8", "replace"),
                {k.decode("latin-1").title(): v.decode("latin-1") for k, v in response.headers},
                time.monotonic() - started,
            )


def _beginning(pieces: Iterable[bytes], bytes_max: int) -> bytes:
    """At most so many bytes. A body that breaks off says what it said: status and headers were there."""
    found = b""
    try:
        for piece in pieces:
            found += piece[: bytes_max - len(found)]
            if len(found) >= bytes_max:
                break
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        pass
    return found


def _why(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return "tls"
        seen = seen.__cause__ or seen.__context__
    return next(word for kind, word in _WHY if isinstance(error, kind))


class _Pinned(httpcore.NetworkBackend):
    """Connects to addresses that were judged, and lets nothing last longer than the exchange may."""

    def __init__(self, poster: Poster, target: Target, deadline: float) -> None:
        self._poster, self._target, self._deadline = poster, target, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002  # where to connect was decided before
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        last: Exception = httpcore.ConnectError("no address")
        for address in self._addresses()[:_ADDRESSES_TRIED]:
            try:
                within = _left(self._deadline, timeout)
                made = self._sockets.connect_tcp(str(address), port, within, local_address, socket_options)
                return _Bounded(made, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    def _addresses(self) -> list[IPAddress]:
        """Every address of the name, each of them judged: one bad address among good ones refuses them all."""
        target, allowed = self._target, self._poster.allowed
        if target.literal is not None:
            return [target.literal]
        within = _left(self._deadline, self._poster.connect_s)
        resolved = _resolved(self._poster.resolver, target.host, target.port, within)
        found = [ipaddress.ip_address(a) for a in resolved]
        if not allowed.has_name(target.host):
            for address in found:
                judge(address, allowed, plain=target.scheme == "http")
        return found


class _Bounded(httpcore.NetworkStream):
    """A stream whose every step ends by the deadline, so that a receiver who sends a byte now and then holds nobody."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Bounded(
            self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline, timeout)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the exchange took too long")
    return left if timeout is None else min(left, timeout)
