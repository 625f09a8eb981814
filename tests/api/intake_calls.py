"""Endpoints to post to, and requests as the server hands them to the intake: byte by byte where a test wants it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from api.intake import IntakeApp
from api.serving import application
from bootstrap.wiring import Hub
from storage import inbox
from webhooks.inbound import endpoints
from webhooks.inbound.addresses import PREFIX, ref_of

T = TypeVar("T")
SETTINGS: dict[str, Any] = {
    "proof": {"kind": "hmac", "header": "x-signature", "prefix": "sha256="},
    "idempotency_path": "$.id",
}


@dataclass
class Address:
    """A generic endpoint, and what its sender has to know."""

    hub: Hub
    tenant_id: UUID
    id: UUID
    secret: str
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = PREFIX + ref_of(self.tenant_id, self.id)

    @classmethod
    def make(cls, hub: Hub, tenant_id: UUID, name: str = "forms", **settings: Any) -> Address:
        with hub.db.tenant(tenant_id) as conn:
            made, shown = endpoints.add(conn, hub.vault, name=name, scheme_name="generic", settings=SETTINGS | settings)
        return cls(hub, tenant_id, made.id, shown["secret"])

    def signed(self, body: bytes, secret: str | None = None) -> dict[str, str]:
        digest = hmac.new((secret or self.secret).encode(), body, hashlib.sha256).hexdigest()
        return {"x-signature": f"sha256={digest}", "content-type": "application/json"}

    def rotated(self, overlap: timedelta) -> str:
        with self.hub.db.tenant(self.tenant_id) as conn:
            return endpoints.rotate(conn, self.hub.vault, self.id, overlap=overlap)[1]["secret"]

    def keys(self) -> list[str]:
        """What is stored of it, in the order of arrival."""
        with self.hub.db.tenant(self.tenant_id) as conn:
            found = inbox.entries(conn, endpoint_id=self.id, limit=100_000)
        return [entry.dedupe_key.removeprefix("id:") for entry in reversed(found)]


def post(key: str, **more: Any) -> bytes:
    return json.dumps({"id": key, **more}).encode()


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


async def send(
    app: IntakeApp,
    path: str,
    pieces: Iterable[bytes] = (b"",),
    headers: dict[str, str] | None = None,
    method: str = "POST",
    pause_s: float = 0,
    read: list[int] | None = None,
) -> Answer:
    """One request whose body comes in ``pieces``, with a pause between; ``read`` hears how many bytes the intake took."""
    answer = Answer()
    waiting = list(pieces)

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        await asyncio.sleep(pause_s)
        piece = waiting.pop(0)
        if read is not None:
            read.append(len(piece))
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def reply(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {n.decode(): v.decode() for n, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    raw, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": raw, "raw_path": raw.encode(), "query_string": query.encode(),
        "headers": [(n.lower().encode(), v.encode()) for n, v in (headers or {}).items()],
    }  # fmt: skip
    await app(scope, receive, reply)
    return answer


def with_app(hub: Hub, work: Callable[[IntakeApp], Awaitable[T]], **options: Any) -> T:
    """Run ``work`` on an application that is closed in order afterwards."""

    async def run() -> T:
        app = application(hub, **options)
        try:
            return await work(app)
        finally:
            await app.close()

    return asyncio.run(run())
