"""The one HTTP client of connectors: blocking, over httpx, behind the policies of `gate`.

Nothing of httpx's comes out of here: its requests, responses and exceptions hold the Authorization header.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import httpx
import orjson

from connectors.kit.contract import Connection, Manifest
from connectors.kit.decode import ACCEPT_ENCODING, BodyCap, bounded
from connectors.kit.gate import Attempt, Call, Gate, Lost
from connectors.kit.hosts import foreign, origin_of, sandbox_is_local
from connectors.kit.quiet import silence_http_libraries
from domain.errors import ConfigurationError, TransientError

silence_http_libraries()

USER_AGENT = "Syncline/0.1"
ERROR_BODY_BYTES_MAX = 64 << 10
REDIRECTS_MAX = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

T = TypeVar("T")
Params = Mapping[str, Any]
Content = bytes | Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``read_s`` is the longest silence, not the whole reply (`BodyCap.total_s`)."""

    connect_s: float = 10.0
    read_s: float = 120.0
    write_s: float = 60.0
    pool_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Signed:
    """What proves who is calling: added to one request, shown to nobody."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str | None = field(default=None, repr=False)


class Signer(Protocol):
    """Signs requests and, after a 401, finds better credentials: `auth.Authenticator`."""

    def sign(self) -> Signed:
        """The current credentials, renewed first when they are about to expire."""

    def renew(self, refused: Signed) -> bool:
        """Get credentials other than ``refused``. False where there is no way to. Raises ReauthRequiredError."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read completely. ``headers`` ignores case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. Raises TransientError (code ``bad_reply``) when it is none, as from a proxy's error page."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            pass
        raise TransientError("The vendor's reply is not the JSON it should be.", code="bad_reply")

    @property
    def text(self) -> str:
        """The body as UTF-8, damaged characters replaced."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """An answer whose body is still on the wire; usable inside the ``with`` only."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    pieces: Iterator[bytes] = field(repr=False)


def require_sendable(headers: Mapping[str, str]) -> None:
    """Refuse what HTTP libraries would refuse with an exception that repeats the credential. Raises ConfigurationError."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"The header {name} would hold characters that HTTP does not allow.",
                remedy="Enter the credential again, without line breaks or typographic characters.",
                code="bad_credential",
            )


class VendorClient:
    """Talks to one vendor for one connection. Thread-safe; close it when done.

    ``base``: what relative addresses are relative to. Further clients made by `signed_by` share the sockets.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        base: str | None = None,
        signer: Signer | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        cap: BodyCap | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.gate = gate
        self.base = gate.hosts.resolve(base) if base else gate.hosts.sandbox
        self._signer = signer
        self._headers = {"User-Agent": USER_AGENT, **(headers or {}), "Accept-Encoding": ACCEPT_ENCODING}
        self._cap = cap or BodyCap()
        self._http = _httpx_client(gate, timeouts or Timeouts(), transport)

    @classmethod
    def of(cls, manifest: Manifest, connection: Connection, *, base: str | None = None, **kwargs: Any) -> VendorClient:
        """A client with the default policies for ``connection``."""
        return cls(Gate.of(manifest, connection), base=base, **kwargs)

    def signed_by(self, signer: Signer | None, base: str | None = None) -> VendorClient:
        """The same client (same sockets), signing with ``signer`` and perhaps with another base address."""
        other = object.__new__(VendorClient)
        other.__dict__.update(self.__dict__)
        other._signer = signer
        if base is not None:
            other.base = self.gate.hosts.resolve(base)
        return other

    def request(
        self,
        method: str,
        address: str,
        *,
        scope: str = "default",
        idempotent: bool | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: Content | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Container[int] = (),
    ) -> Reply:
        """Send and read the whole answer.

        ``address``: a path or a complete URL on an allowed host. ``idempotent`` None: GET, HEAD, PUT, DELETE and OPTIONS
        are. ``content`` is bytes, or a function that begins the body anew for each attempt. ``accept``: error statuses
        that the caller handles itself; a redirect among them is answered and not followed.

        Raises ForeignHostError before anything is sent; TransientError with ``context["ambiguous"]`` True when a write may
        have happened although no answer was seen; whatever the gate's error table says for other answers.
        """
        sending = self._prepared(method, address, json, form, content, params, headers)
        sending = replace(sending, kept=frozenset(s for s in _REDIRECTS if s in accept))
        call = Call(method.upper(), sending.url, scope, idempotent)
        attempt = self._run(call, sending, self._read)
        if attempt.status in accept and isinstance(attempt.refusal, Reply):
            return attempt.refusal
        return self.gate.settle(call, attempt)

    @contextmanager
    def stream(
        self,
        method: str,
        address: str,
        *,
        scope: str = "default",
        idempotent: bool | None = None,
        json: Any = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        cap: BodyCap | None = None,
    ) -> Iterator[StreamedReply]:
        """Send, and give the body in pieces of at most 1 MiB. Errors before the first piece as `request`.

        A body that breaks off raises TransientError from ``pieces``; nothing is repeated by itself then.
        """
        sending = self._prepared(method, address, json, None, None, params, headers)
        call = Call(method.upper(), sending.url, scope, idempotent)
        attempt = self._run(call, sending, lambda response: response)
        try:
            response = self.gate.settle(call, attempt)
            pieces = _pieces(response, cap or BodyCap(bytes_max=1 << 40, total_s=6 * 3600.0))
            yield StreamedReply(response.status_code, response.headers, pieces)
        finally:
            if attempt.value is not None:
                attempt.value.close()

    def close(self) -> None:
        """Close the sockets, also those of clients made by `signed_by`."""
        self._http.close()

    # ------------------------------------------------------------ one attempt

    def _run(self, call: Call, sending: _Sending, take: Callable[[httpx.Response], T]) -> Attempt[T]:
        signed = self._signer.sign() if self._signer else Signed()
        attempt = self.gate.run(call, lambda: self._attempt(sending, signed, take))
        renews = self.gate.errors.asks_to_renew(attempt.status, attempt.fault)
        if renews and self._signer is not None and self._signer.renew(signed):
            renewed = self._signer.sign()
            attempt = self.gate.run(call, lambda: self._attempt(sending, renewed, take))
        return attempt

    def _attempt(self, sending: _Sending, signed: Signed, take: Callable[[httpx.Response], T]) -> Attempt[T]:
        lost: tuple[Lost, str] | None = None
        response: httpx.Response | None = None
        attempt: Attempt[T] = Attempt()
        try:
            response = self._follow(sending, signed)
            attempt = self._answer(response, take)
        except httpx.TransportError as exc:
            lost = _how_lost(exc)
        except TransientError as exc:
            lost = (Lost.AMBIGUOUS, exc.message.rstrip(".").lower())
        if lost is None:
            return attempt
        if response is not None:
            response.close()
        return Attempt(lost=lost[0], why=lost[1])

    def _answer(self, response: httpx.Response, take: Callable[[httpx.Response], T]) -> Attempt[T]:
        attempt: Attempt[T] = Attempt(status=response.status_code, headers=response.headers)
        if response.status_code < 300:
            attempt.value = take(response)
        else:
            attempt.refusal = self._read(response)
            attempt.error_body = attempt.refusal.content[:ERROR_BODY_BYTES_MAX]
        return attempt

    def _read(self, response: httpx.Response) -> Reply:
        try:
            content = b"".join(_raw_pieces(response, self._cap))
        finally:
            response.close()
        return Reply(response.status_code, response.headers, content)

    def _follow(self, sending: _Sending, signed: Signed) -> httpx.Response:
        """Send, following redirects within the origin only."""
        url = httpx.URL(sending.url).copy_merge_params(signed.params)
        for _ in range(REDIRECTS_MAX + 1):
            response = self._http.send(self._request(sending, url, signed), stream=True)
            followed = _REDIRECTS - sending.kept
            target = response.headers.get("Location") if response.status_code in followed else None
            if target is None or not (sending.method in ("GET", "HEAD") or response.status_code in (307, 308)):
                return response
            response.close()
            url = httpx.URL(self._same_origin(str(url), target))
        raise ConfigurationError(f"{self.gate.errors.vendor} redirects in circles.", code="request_refused")

    def _request(self, sending: _Sending, url: httpx.URL, signed: Signed) -> httpx.Request:
        headers = {**self._headers, **sending.headers, **signed.headers}
        require_sendable(headers)
        body = sending.content() if callable(sending.content) else sending.content
        return self._http.build_request(sending.method, url, headers=headers, content=body)

    def _same_origin(self, current: str, target: str) -> str:
        resolved = self.gate.hosts.resolve(target, base=current)
        if origin_of(resolved) != origin_of(current):
            raise foreign(httpx.URL(resolved).host)
        return resolved

    def _prepared(
        self,
        method: str,
        address: str,
        json: Any,
        form: Mapping[str, str] | None,
        content: Content | None,
        params: Params | None,
        headers: Mapping[str, str] | None,
    ) -> _Sending:
        url = httpx.URL(self.gate.hosts.resolve(address, self.base))
        if params:
            url = url.copy_merge_params(params)
        kind: dict[str, str] = {}
        if json is not None:
            content, kind = orjson.dumps(json), {"Content-Type": "application/json"}
        elif form is not None:
            content, kind = urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        return _Sending(method.upper(), str(url), {**kind, **(headers or {})}, content)


@dataclass(frozen=True, slots=True)
class _Sending:
    method: str
    url: str
    headers: Mapping[str, str]
    content: Content | None
    kept: frozenset[int] = frozenset()


@cache
def _tls(trust_env: bool) -> ssl.SSLContext:
    """The certificates that are trusted. Reading them takes longer than many a call, so all clients share them."""
    return httpx.create_ssl_context(trust_env=trust_env)


def _httpx_client(gate: Gate, timeouts: Timeouts, transport: httpx.BaseTransport | None) -> httpx.Client:
    trust_env = not sandbox_is_local(gate.hosts)
    return httpx.Client(
        verify=_tls(trust_env),
        transport=transport,
        timeout=httpx.Timeout(
            connect=timeouts.connect_s, read=timeouts.read_s, write=timeouts.write_s, pool=timeouts.pool_s
        ),
        limits=httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=15.0),
        follow_redirects=False,
        trust_env=trust_env,
    )


def _raw_pieces(response: httpx.Response, cap: BodyCap) -> Iterator[bytes]:
    return bounded(response.iter_raw(), response.headers.get("Content-Encoding", ""), cap)


def _pieces(response: httpx.Response, cap: BodyCap) -> Iterator[bytes]:
    broken = False
    try:
        yield from _raw_pieces(response, cap)
    except httpx.TransportError:
        broken = True
    if broken:
        raise TransientError("The vendor's reply broke off.", code="bad_reply")


def _how_lost(exc: httpx.TransportError) -> tuple[Lost, str]:
    """Whether the vendor may have processed a request that raised ``exc``; and why, without the exception's own words."""
    if isinstance(exc, httpx.ConnectTimeout):
        return Lost.NOT_SENT, "no connection in time"
    if isinstance(exc, httpx.PoolTimeout):
        return Lost.NOT_SENT, "all connections were busy"
    if isinstance(exc, (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol)):
        return Lost.NOT_SENT, "no connection could be made"
    if isinstance(exc, httpx.TimeoutException):
        return Lost.AMBIGUOUS, "it took too long"
    return Lost.AMBIGUOUS, "the connection broke"
