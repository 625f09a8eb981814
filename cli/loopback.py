"""A browser's way back to the command line: one address on 127.0.0.1 that waits for one answer (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import queue
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from domain.errors import ConfigurationError, TransientError

HOSTS = ("localhost", "127.0.0.1")
_SOCKET_TIMEOUT_S = 10.0  # a browser opens connections ahead of time and says nothing on them
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Syncline</title>'
    '<body style="font:1.1rem system-ui;max-width:36rem;margin:4rem auto;padding:0 1rem"><h1>{}</h1><p>{}</p>'
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the code
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


def query_of(address: str) -> dict[str, str]:
    """The query of ``address`` by name; a name given twice counts with its first value."""
    pairs = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    return dict(reversed(pairs))


class Loopback:
    """Listens at ``callback`` while used as a context manager. Port 0 takes a free one; `url` then holds the real one.

    Raises ConfigurationError for an address that is not plain http on this machine, or whose port is taken.
    """

    def __init__(self, callback: str) -> None:
        host, port, self._path = _parts(callback)
        try:
            self._server = ThreadingHTTPServer((HOSTS[1], port), _handler(self))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} of this machine cannot be listened on ({error.strerror}).",
                remedy="Register another callback address with the app and give it with --callback, or use --no-browser.",
                code="callback_unusable",
            ) from None
        self.url = f"http://{host}:{self._server.server_port}{self._path}"
        self._answers: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        self._state = ""
        self._refused: Callable[[], None] = lambda: None

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def expect(self, state: str, refused: Callable[[], None]) -> None:
        """Take only answers that carry ``state``. ``refused`` is told of each other one."""
        self._state, self._refused = state, refused

    def wait(self, timeout_s: float) -> Mapping[str, str]:
        """The query of the answer. Raises TransientError when none came in time."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                return self._answers.get(timeout=min(left, 0.5))  # short waits, so that Ctrl-C works on every system
            except queue.Empty:
                continue
        raise TransientError(
            f"Nobody signed in within {timeout_s:,.0f} seconds.",
            remedy="Start again. If the browser is on another machine, add --no-browser.",
            code="sign_in_timeout",
        )

    def take(self, target: str) -> tuple[int, str, str]:
        """What to show for a request for ``target``: status, title, text."""
        if urlsplit(target).path != self._path:
            return 404, "Nothing here", "This address only waits for a sign-in."
        answer = query_of(target)
        given = answer.get("state", "")
        if not self._state or not hmac.compare_digest(given.encode(), self._state.encode()):
            self._refused()
            return 400, "Not this sign-in", "This answer belongs to another sign-in. Use the newest window."
        self._answers.put(answer)
        if "error" in answer or not answer.get("code"):
            return 200, "Not connected", "The sign-in was declined. You can close this window."
        return 200, "Signed in", "Go back to the terminal; you can close this window."


def _parts(callback: str) -> tuple[str, int, str]:
    parts = urlsplit(callback)
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme != "http" or parts.hostname not in HOSTS or port is None or not plain:
        raise ConfigurationError(
            "The callback address is not one of this machine.",
            remedy="Use http://localhost:PORT/PATH, as registered with the app; with --no-browser any address does.",
            code="callback_unusable",
        )
    return parts.hostname, port, parts.path or "/"


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SOCKET_TIMEOUT_S
        server_version, sys_version = "Syncline", ""

        def do_GET(self) -> None:
            status, title, text = loopback.take(self.path)
            body = _PAGE.format(title, text).encode()
            self.send_response(status)
            for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: the request line holds the code."""

    return Handler
