"""The stand-in portal as one object: `HubSpotSandbox.handle` answers a request as the vendor would, without a socket."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sandbox.hubspot.auth import Auth, Credentials, Grant, missing_scopes
from sandbox.hubspot.data.generator import generate
from sandbox.hubspot.errors import CORRELATION_ID, ApiError, invalid, not_found
from sandbox.hubspot.faults import Fault
from sandbox.hubspot.limits import Limits, exceeded
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.routes import (
    account,
    associations,
    batches,
    control,
    files,
    labels,
    lists,
    oauth,
    owners,
    pipelines,
    properties,
    records,
    schemas,
)
from sandbox.hubspot.scopes import needed
from sandbox.hubspot.wire import Call, Route, Router, refusal
from sandbox.hubspot.write import Writer
from sandbox.kit import control as kit_control
from sandbox.kit.clock import Clock
from sandbox.kit.stand_in import StandIn
from sandbox.kit.wire import Reply, Request, WireError


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a new portal is like. ``contacts`` sets the size of everything else; 0 leaves owners and pipelines only.

    ``lag_s``: the least and the most seconds until a search sees a write. ``burst``: calls in ten seconds.
    """

    contacts: int = 1000
    seed: int = 1
    lag_s: tuple[float, float] = (2.0, 10.0)
    burst: int = 190
    daily_calls: int = 650_000
    searches: int = 5
    token_life: timedelta = timedelta(minutes=30)
    credentials: Credentials = field(default_factory=Credentials)


class HubSpotSandbox(StandIn[Clock, Fault]):
    """One portal with its data and quotas. The same options and clock give the same portal, ids included."""

    def __init__(self, options: SandboxOptions | None = None, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock(), Fault)
        self.options = options or SandboxOptions()
        self.portal = Portal(self.clock, self.options.seed)
        self.portal.lag.least_s, self.portal.lag.most_s = self.options.lag_s
        generate(self.portal, self.options.contacts, self.options.seed)
        self.portal.created = self.journal.created
        self.limits = Limits(self.clock, self.options.burst, self.options.daily_calls, self.options.searches)
        self.auth = Auth(self.clock, self.options.credentials, self.portal.id, self.options.token_life)
        self.router = build_router()
        self._refusals = 0

    # ------------------------------------------------------------ requests

    def answer(self, route: Route, path: Mapping[str, str], request: Request, struck: list[Fault]) -> Reply:
        """Meet the call's faults, check who asks, count it, check what they may, run it."""
        call = Call(self, request, path)
        for fault in struck:
            self._before(fault, call)
        if route.open:
            return route.handler(call)
        call.grant = self.auth.check(request.headers.get("authorization", ""))
        if not route.free:
            self._spend(route, call.grant)
        self.auth.require(call.grant, needed(self.portal, route.scope, path))
        reply = route.handler(call)
        if route.kind != "search":
            reply.headers |= self.limits.headers(call.grant.private)
        return reply

    def _spend(self, route: Route, grant: Grant) -> None:
        """Count the call. A refusal tells of the limits as an answer would."""
        try:
            self.limits.spend(route.kind == "search")
        except ApiError as limited:
            if route.kind != "search":
                limited.headers |= self.limits.headers(grant.private)
            raise

    def _before(self, fault: Fault, call: Call) -> None:
        """What a fault does before the call is carried out. Raises the ApiError that the call then answers with."""
        if fault.kind == "error":
            raise ApiError(fault.status, "INTERNAL_ERROR", "internal error")
        if fault.kind == "limit":
            limited = exceeded(fault.policy, fault.retry_after)
            limited.headers |= {} if fault.policy == "SECONDLY" else self.limits.headers(private=True)
            raise limited
        if fault.kind == "expire":
            self.auth.expire_all()
            raise self.auth.expired()
        if fault.kind == "scopes":
            raise missing_scopes(fault.scopes)
        if fault.kind == "reject":
            call.rejected += fault.records

    def worded(self, error: WireError) -> Reply:
        return refusal(error).reply()

    def uri_too_long(self) -> Reply:
        return Reply(
            414, body=b"<html><head><title>414 Request-URI Too Large</title></head></html>", content_type="text/html"
        )

    def finish(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        """Every refusal has an id of its own."""
        if isinstance(reply.json, dict) and reply.json.get("correlationId") == CORRELATION_ID:
            self._refusals += 1
            reply.json["correlationId"] = str(uuid.uuid5(uuid.UUID(CORRELATION_ID), str(self._refusals)))

    def spoil(self, reply: Reply, fault: Fault) -> None:
        super().spoil(reply, fault)
        if fault.kind == "foreign_next" and isinstance(reply.json, dict) and "paging" in reply.json:
            following = reply.json["paging"]["next"]
            following["link"] = fault.host + urlsplit(following.get("link", "")).path

    # ------------------------------------------------------------ controls

    def about(self) -> dict[str, Any]:
        known = self.auth.known
        signs_in = {"token": known.token, "client_id": known.client_id, "client_secret": known.client_secret}
        return self.portal.about_objects() | signs_in | {"now": self.clock.stamp()}

    def edit(self, edit: Mapping[str, Any]) -> dict[str, Any]:
        """As a user of the portal: ``merge`` is the id that disappears into ``id``; ``restore`` takes back an archived one."""
        portal, writer = self.portal, Writer(self.portal, "CRM_UI")
        item = portal.find_object(str(edit.get("object", "")))
        if item is None:
            raise invalid(f"there is no object {edit.get('object')!r}")
        if "id" not in edit:
            return {"id": writer.create(item, edit.get("properties") or {}, edit.get("associations") or ()).id}
        record = portal.find(item.name, str(edit["id"]))
        if record is not None and edit.get("restore"):
            writer.restore(item, record)
        if record is None or record.archived:
            raise not_found()
        if edit.get("properties"):
            writer.update(item, record, edit["properties"])
        if edit.get("merge"):
            writer.merge(item, record, portal.get(item, str(edit["merge"])))
        if edit.get("delete"):
            writer.archive(item, record)
        return {"id": record.id}


def build_router() -> Router:
    router = Router()
    kit_control.register(router)
    for module in (
        control, oauth, account, owners, properties, schemas, pipelines, lists, files, labels, associations, batches, records,
    ):  # fmt: skip
        module.register(router)
    return router
