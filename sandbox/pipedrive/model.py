"""The stand-in company as one object: `PipedriveSandbox.handle` answers a request as Pipedrive would, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.kit.clock import Clock
from sandbox.kit.stand_in import StandIn
from sandbox.kit.wire import Call, Reply, Request, Route, WireError
from sandbox.pipedrive.auth import Auth, Credentials
from sandbox.pipedrive.errors import ApiError, Firewalled, unauthorized
from sandbox.pipedrive.faults import Fault
from sandbox.pipedrive.limits import Limits
from sandbox.pipedrive.routes import build_router, marker, unmarked
from sandbox.pipedrive.seed import Seeder
from sandbox.pipedrive.store import Store

API_DOMAIN = "https://sandbox.pipedrive.com"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a new company is like. ``burst``: calls in two seconds; ``index_lag``: how long a search does not know a change."""

    contacts: int = 200
    seed: int = 1
    daily_tokens: int = 210_000
    burst: int = 20
    index_lag: timedelta = timedelta(seconds=5)
    credentials: Credentials = field(default_factory=Credentials)


class PipedriveSandbox(StandIn[Clock, Fault]):
    """One company with its users, records, fields and limits. The same options and clock give the same company."""

    def __init__(self, options: SandboxOptions | None = None, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock(), Fault)
        self.options = options or SandboxOptions()
        self.store = Store(self.clock, index_lag=self.options.index_lag, created=self.journal.created)
        self.auth = Auth(self.clock, self.options.credentials)
        self.limits = Limits(self.clock, self.options.daily_tokens, self.options.burst)
        self.api_domain = API_DOMAIN
        self._salt = 1
        self.router = build_router()
        Seeder(self.store, self.options.contacts, self.options.seed).run()

    # ------------------------------------------------------------ requests

    def answer(self, route: Route[Any], path: Mapping[str, str], request: Request, struck: list[Fault]) -> Reply:
        """Meet the call's faults, check who asks, count it, run it."""
        for fault in struck:
            self._before(fault)
        if not route.open:
            self.auth.check(request)
        if not route.free:
            self.limits.spend(int(route.scope or 1), search=route.kind == "search")
        return route.handler(Call(self, request, path))

    def _before(self, fault: Fault) -> None:
        if fault.kind == "error":
            raise ApiError(fault.status, "Internal server error")
        if fault.kind == "rate_limited":
            raise self.limits.refuse()
        if fault.kind == "abuse":
            raise Firewalled
        if fault.kind == "expire":
            self.auth.tokens.clear()
            raise unauthorized()
        if fault.kind == "cursor_lost":
            self._salt += 1
        if fault.kind == "foreign_domain":
            self.api_domain = "https://pipedrive.attacker.example"

    def worded(self, error: WireError) -> Reply:
        return ApiError(404 if "nothing answers" in str(error) else 400, str(error)).reply()

    def uri_too_long(self) -> Reply:
        return Reply(414, {"success": False, "error": "URI Too Long"})

    def finish(self, request: Request, reply: Reply) -> None:
        if request.path.startswith("/api/"):
            for name, value in self.limits.headers().items():
                reply.headers.setdefault(name, value)

    def mark(self, place: list[Any]) -> str:
        """A page token for what comes after ``place``."""
        return marker(place, self._salt)

    def unmark(self, text: str | None) -> list[Any] | None:
        """The place that a page token names. Raises ApiError."""
        return unmarked(text, self._salt) if text else None

    # ------------------------------------------------------------ the sandbox's own

    def about(self) -> dict[str, Any]:
        known = self.auth.known
        return {
            "records": {name: len(self.store.live(name)) for name in self.store.tables},
            "api_token": known.api_token,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "now": self.clock.stamp(),
        }

    def edit(self, edit: Mapping[str, Any]) -> dict[str, Any]:
        """As a person in the browser: ``merge`` names the survivor."""
        name, row_id = str(edit.get("object", "")), str(edit.get("id", ""))
        if "merge" in edit:
            return {"id": str(self.store.merge(name, row_id, str(edit["merge"]))["id"])}
        if edit.get("delete"):
            self.store.delete(name, row_id)
            return {"id": row_id}
        values = edit.get("properties") or {}
        row = self.store.update(name, row_id, values) if row_id else self.store.create(name, values, by_call=False)
        return {"id": str(row["id"])}
