"""The portal without a socket."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.model import HubSpotSandbox, SandboxOptions
from sandbox.hubspot.write import Writer
from sandbox.kit.clock import ANCHOR, Clock
from sandbox.kit.wire import Reply, Request


class InProcess:
    """A portal that answers without HTTP. ``call("GET", "contacts/1")`` is signed in; time stands still until told."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock(ANCHOR)
        self.sandbox = HubSpotSandbox(SandboxOptions(**{"burst": 10_000, "searches": 10_000, **options}), self.clock)
        self.portal = self.sandbox.portal
        self.token = self.sandbox.auth.known.token

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Reply:
        url = path if path.startswith("/") else f"/crm/v3/objects/{path}"
        return self.sandbox.handle(Request.of(method, url, body, {"Authorization": f"Bearer {token or self.token}"}))

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.call(method, path, body)
        assert reply.status < 207, reply.json
        return reply.json

    def refused(self, method: str, path: str, body: Any = None, status: int = 400) -> dict[str, Any]:
        reply = self.call(method, path, body)
        assert reply.status == status, reply.json
        return dict(reply.json)

    def create(self, kind: str, **properties: Any) -> str:
        return str(self.ok("POST", kind, {"properties": properties})["id"])

    def get(self, kind: str, record_id: str, *names: str) -> dict[str, Any]:
        return dict(self.ok("GET", f"{kind}/{record_id}?properties={','.join(names)}")["properties"])

    def search(self, kind: str, **body: Any) -> list[str]:
        return [hit["id"] for hit in self.ok("POST", f"{kind}/search", body)["results"]]

    def unique_property(self, kind: str = "contacts", name: str = "syncline_id") -> None:
        group = next(iter(self.portal.objects[kind].groups))
        text = {"name": name, "label": name, "type": "string", "fieldType": "text", "groupName": group}
        self.ok("POST", f"/crm/v3/properties/{kind}", text | {"hasUniqueValue": True})

    def person(self) -> Writer:
        return Writer(self.portal, "CRM_UI")
