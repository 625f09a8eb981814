"""For vendor SDKs built on requests: a Session that sends through the same gate as `http.VendorClient`.

Statuses that the kit retries (429, 503, ...) raise its errors once the retries are used up. Every other answer goes to the
SDK, which knows what to make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import rewind_body
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from connectors.kit.contract import Connection, Manifest
from connectors.kit.decode import ACCEPT_ENCODING, BodyCap, bounded
from connectors.kit.faults import Again
from connectors.kit.gate import Attempt, Call, Gate, Lost
from connectors.kit.hosts import foreign, origin_of, sandbox_is_local
from connectors.kit.http import USER_AGENT, Signed, Signer, Timeouts, require_sendable
from domain.errors import TransientError

Classify = Callable[[str, str], tuple[str, bool | None]]
"""(method, path) of an SDK's request -> (rate limit scope, whether it is idempotent; None: as its method usually is)."""

_NO_CONNECTION = (NewConnectionError, NameResolutionError, ProxyError, SSLError)


class KitSession(requests.Session):
    """Pass it to an SDK as its session.

    Every address is judged by the gate's allowlist, also when the SDK made it from what the vendor said; with a sandbox,
    the vendor's addresses (https, as SDKs hard-code it) are rewritten to the sandbox's origin. ``signer`` replaces the
    SDK's Authorization header by current credentials and renews them once after a 401.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        signer: Signer | None = None,
        classify: Classify | None = None,
        timeouts: Timeouts | None = None,
        cap: BodyCap | None = None,
    ) -> None:
        super().__init__()
        self.gate = gate
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": ACCEPT_ENCODING})
        self.auth = _as_given  # otherwise requests lets a netrc entry replace the Authorization header
        self.trust_env = not sandbox_is_local(gate.hosts)
        self.mount("https://", KitAdapter(gate, signer, classify, timeouts or Timeouts(), cap or BodyCap()))
        self.mount("http://", self.get_adapter("https://"))

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As Session. Raises ConfigurationError for headers that cannot be sent."""
        require_sendable({str(k): _text(v) for k, v in (request.headers or {}).items() if v is not None})
        return super().prepare_request(request)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Keep what is there: redirects stay within the origin, and netrc has no say."""

    @classmethod
    def of(cls, manifest: Manifest, connection: Connection, **kwargs: Any) -> KitSession:
        """A session with the default policies for ``connection``."""
        return cls(Gate.of(manifest, connection), **kwargs)


class KitAdapter(HTTPAdapter):
    """Sends prepared requests through a gate."""

    def __init__(
        self, gate: Gate, signer: Signer | None, classify: Classify | None, timeouts: Timeouts, cap: BodyCap
    ) -> None:
        super().__init__(pool_connections=10, pool_maxsize=50, max_retries=0)
        self._gate, self._signer, self._classify, self._cap = gate, signer, classify, cap
        self._timeout = (timeouts.connect_s, timeouts.read_s)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As HTTPAdapter. Raises ForeignHostError before anything is sent, and the kit's errors for what it retried in vain."""
        request.url = self._gate.hosts.resolve(request.url or "")
        call = self._call(request)
        options = {
            "stream": True,
            "timeout": timeout or self._timeout,
            "verify": verify,
            "cert": cert,
            "proxies": {} if sandbox_is_local(self._gate.hosts) else proxies,
        }
        attempt = self._run(call, request, options, stream)
        if attempt.value is None or (attempt.rule is not None and attempt.rule.again is not Again.NEVER):
            raise self._gate.error(call, attempt)
        self._check_redirect(attempt.value, request.url)
        return attempt.value

    def _call(self, request: requests.PreparedRequest) -> Call:
        url, method = request.url or "", (request.method or "GET").upper()
        scope, idempotent = (
            self._classify(method, request.path_url.split("?")[0]) if self._classify else ("default", None)
        )
        return Call(method, url, scope, idempotent)

    def _run(
        self, call: Call, request: requests.PreparedRequest, options: dict[str, Any], stream: bool
    ) -> Attempt[requests.Response]:
        signed = self._signer.sign() if self._signer else Signed()
        attempt = self._gate.run(call, lambda: self._attempt(request, signed, options, stream))
        if attempt.status == 401 and self._signer is not None and self._signer.renew(signed):
            renewed = self._signer.sign()
            attempt = self._gate.run(call, lambda: self._attempt(request, renewed, options, stream))
        return attempt

    def _attempt(
        self, request: requests.PreparedRequest, signed: Signed, options: dict[str, Any], stream: bool
    ) -> Attempt[requests.Response]:
        copy = request.copy()
        require_sendable(signed.headers)
        copy.headers.update(signed.headers)
        if isinstance(getattr(copy, "_body_position", None), int):
            rewind_body(copy)
        if signed.params:
            copy.prepare_url(request.url, dict(signed.params))
        lost: tuple[Lost, str]
        try:
            return self._answer(super().send(copy, **options), stream)
        except requests.RequestException as exc:
            lost = _how_lost(exc)
        except TransientError as exc:
            lost = (Lost.AMBIGUOUS, exc.message.rstrip(".").lower())
        return Attempt(lost=lost[0], why=lost[1])

    def _answer(self, response: requests.Response, stream: bool) -> Attempt[requests.Response]:
        encoding = response.headers.get("Content-Encoding", "")
        response.raw = _BoundedRaw(response.raw, encoding, self._cap)
        if not stream or response.status_code >= 400:
            _ = response.content  # read here, so that a reply cut short is an attempt that failed
        body = response.content if response.status_code >= 400 else b""
        return Attempt(value=response, status=response.status_code, headers=response.headers, error_body=body)

    def _check_redirect(self, response: requests.Response, url: str) -> None:
        if not response.is_redirect:
            return
        resolved = self._gate.hosts.resolve(response.headers["Location"], base=url)
        if origin_of(resolved) != origin_of(url):
            raise foreign(origin_of(resolved).partition("://")[2])


class _BoundedRaw:
    """What requests reads a body from: urllib3's response, decoded within the caps."""

    def __init__(self, raw: Any, encoding: str, cap: BodyCap) -> None:
        self._raw, self._encoding, self._cap = raw, encoding, cap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *_args: Any, **_kwargs: Any) -> Iterator[bytes]:
        """The body, decoded, in pieces of a size of our choice."""
        broken = False
        try:
            yield from bounded(self._raw.stream(64 << 10, decode_content=False), self._encoding, self._cap)
        except HTTPError:
            broken = True
        if broken:
            raise TransientError("The vendor's reply broke off.", code="bad_reply")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _how_lost(exc: requests.RequestException) -> tuple[Lost, str]:
    """Whether the vendor may have processed a request that raised ``exc``; and why, without the exception's own words."""
    causes = list(_causes(exc))
    if any(isinstance(c, _NO_CONNECTION) for c in causes):
        return Lost.NOT_SENT, "no connection could be made"
    if any(isinstance(c, (requests.ConnectTimeout, ConnectTimeoutError)) for c in causes):
        return Lost.NOT_SENT, "no connection in time"
    if isinstance(exc, requests.Timeout) or any(isinstance(c, ReadTimeoutError) for c in causes):
        return Lost.AMBIGUOUS, "it took too long"
    return Lost.AMBIGUOUS, "the connection broke"


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """The chain of urllib3's reasons below ``exc``."""
    while exc is not None:
        yield exc
        inner = getattr(exc, "reason", None) or next(iter(exc.args), None)
        exc = inner if isinstance(inner, BaseException) else None
