"""The stand-in org as one object: `SalesforceSandbox.handle` answers a request as the vendor would, without a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.salesforce.auth import Auth, Credentials
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.cursors import Cursors
from sandbox.salesforce.data.generator import DataOptions, generate
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.journal import Journal
from sandbox.salesforce.limits import Limits
from sandbox.salesforce.org import Org, Row
from sandbox.salesforce.routes import login, queries, rest
from sandbox.salesforce.wire import Call, Reply, Request, Route, Router

DATA_PATH = re.compile(r"^/services/data/v(?P<version>[^/]+)")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a new org is like. ``tree`` is a folder with a data plan to load instead of generated records."""

    contacts: int = 1000
    seed: int = 1
    tree: Path | None = None
    daily_calls: int = 100_000
    session_life: timedelta = timedelta(hours=2)
    rotate_refresh_tokens: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    set_audit_fields: bool = True


class SalesforceSandbox:
    """One org with its users, data, quotas and jobs. The same options and clock give the same org, ids included."""

    def __init__(self, options: SandboxOptions | None = None, clock: Clock | None = None) -> None:
        self.options = options or SandboxOptions()
        self.clock = clock or Clock()
        self.org = Org(self.clock)
        self.org.permissions.set_audit_fields = self.options.set_audit_fields
        contacts = 0 if self.options.tree else self.options.contacts
        generate(self.org, DataOptions(contacts, self.options.seed, self.options.credentials.username))
        self.limits = Limits(self.clock, self.options.daily_calls)
        self.journal = Journal()
        self.cursors = Cursors(self.clock, self.org.ids)
        self.auth = self._auth()
        self.router = build_router()

    def _auth(self) -> Auth:
        users = self.org.tables["User"].values()
        me = next(u["Id"] for u in users if u["Username"] == self.options.credentials.username)
        return Auth(
            self.clock, self.org.organization()["Id"], me, self.options.credentials, self.options.session_life,
            self.options.rotate_refresh_tokens, seed=self.options.seed,
        )  # fmt: skip

    def user(self) -> Row:
        """The user that every credential signs in as."""
        return self.org.tables["User"][self.auth.user_id]

    def instance_url(self, call: Call) -> str:
        return call.request.base_url

    # ------------------------------------------------------------ requests

    def handle(self, request: Request) -> Reply:
        """Answer one request: find its path, check the session, count the call, run it."""
        kind, counted = "unknown", False
        try:
            route, path = self.router.find(request.method, request.path)
            kind, counted = route.kind, not route.free
            reply = self._answer(route, path, request)
        except ApiError as error:
            reply = Reply(error.status, error.body())
        self.journal.add(kind, request.method, request.path, reply.status, counted)
        if request.path.startswith("/services/data/"):
            reply.headers.setdefault("Sforce-Limit-Info", self.limits.header())
        return reply

    def _answer(self, route: Route, path: Any, request: Request) -> Reply:
        call = Call(self, request, path)
        if not route.open:
            call.user_id = self.auth.check(request.headers.get("authorization", ""))
        version = DATA_PATH.match(request.path)
        if version:
            rest.check_version(version.group("version"))
        if not route.free:
            self.limits.spend()
        return route.handler(call)

    def dispatch(self, request: Request, user_id: str) -> Reply:
        """A request within a request (composite): no session of its own, no call of its own."""
        try:
            route, path = self.router.find(request.method, request.path)
            return route.handler(Call(self, request, path, user_id))
        except ApiError as error:
            return Reply(error.status, error.body())


def build_router() -> Router:
    router = Router()
    for module in (login, rest, queries):
        module.register(router)
    return router
