"""A scripted HTTP server on loopback: answers come from a queue, what arrived is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass(frozen=True)
class Arrived:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Answer:
    """What to answer. ``drop``: close the socket after reading the request; ``cut``: promise more bytes than are sent."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    cut: int = 0


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, orjson.dumps(value), {"Content-Type": "application/json", **headers})


class StubVendor:
    """``script`` is used up first; then ``otherwise`` answers."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.otherwise: Callable[[Arrived], Answer] = lambda _request: Answer()
        self.arrived: list[Arrived] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Arrived) -> Answer:
        with self._lock:
            self.arrived.append(request)
            scripted = self.script.pop(0) if self.script else None
        return scripted or self.otherwise(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = vendor.answer(Arrived(self.command, self.path, dict(self.headers), body))
                if answer.drop:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + answer.cut))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                self.close_connection = self.close_connection or answer.cut > 0

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

            def log_message(self, *_args: Any) -> None:
                """Stay quiet."""

        return Handler
