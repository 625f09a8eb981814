"""The org without a socket, and a session that leads the vendor's client library to the one with."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from sandbox.kit.clock import ANCHOR
from sandbox.kit.wire import Reply, Request
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.model import SalesforceSandbox, SandboxOptions


class LocalSession(requests.Session):
    """Sends every request to one address, whatever host the library writes into the URL."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(url)
        options.setdefault("timeout", 30)
        return super().request(
            method, f"{self.base}{parts.path}" + (f"?{parts.query}" if parts.query else ""), **options
        )


class InProcess:
    """An org that answers without HTTP. ``call("GET", "query?q=…")`` is signed in and versioned."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock(ANCHOR)
        self.sandbox = SalesforceSandbox(SandboxOptions(**options), self.clock)
        self.token = self.sandbox.auth.open_session()
        self.org = self.sandbox.org

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        url = path if path.startswith("/") else f"/services/data/v59.0/{path}"
        return self.sandbox.handle(
            Request.of(method, url, body, {"Authorization": f"Bearer {self.token}"} | (headers or {}))
        )

    def soql(self, query: str, resource: str = "query") -> list[dict[str, Any]]:
        reply = self.sandbox.handle(
            Request("GET", f"/services/data/v59.0/{resource}", {"q": query}, {"authorization": f"Bearer {self.token}"})
        )
        assert reply.status == 200, reply.json
        return list(reply.json["records"])

    def refusal(self, query: str) -> dict[str, Any]:
        reply = self.sandbox.handle(
            Request("GET", "/services/data/v59.0/query", {"q": query}, {"authorization": f"Bearer {self.token}"})
        )
        assert reply.status == 400, reply.json
        return dict(reply.json[0])

    def create(self, kind: str, **values: Any) -> str:
        """The id of a new record. Fails with the vendor's refusal."""
        reply = self.call("POST", f"sobjects/{kind}", values)
        assert reply.status == 201, reply.json
        return str(reply.json["id"])

    def first(self, kind: str) -> str:
        return next(iter(self.org.tables[kind]))
