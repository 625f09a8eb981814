"""The stand-in org as one object: `SalesforceSandbox.handle` answers a request as the vendor would, without a socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from sandbox.salesforce.auth import Auth, Credentials
from sandbox.salesforce.bulk import BulkJobs
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.cursors import Cursors
from sandbox.salesforce.data.generator import DataOptions, generate
from sandbox.salesforce.errors import ApiError, session_invalid
from sandbox.salesforce.faults import Fault, Faults
from sandbox.salesforce.journal import Journal
from sandbox.salesforce.limits import CONCURRENT, TOTAL, Limits, exceeded
from sandbox.salesforce.org import Org, Row
from sandbox.salesforce.relations import child_relation
from sandbox.salesforce.routes import collections, composite, control, jobs, login, queries, records, rest
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.tree import load_tree
from sandbox.salesforce.wire import Call, Reply, Request, Route, Router

DATA_PATH = re.compile(r"^/services/data/v(?P<version>[^/]+)")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a new org is like. ``tree`` is a folder with a data plan to load instead of generated records.

    ``bulk_duration`` is how long a bulk job takes; ``replication_lag`` how far getUpdated and getDeleted stay behind.
    """

    contacts: int = 1000
    seed: int = 1
    tree: Path | None = None
    daily_calls: int = 100_000
    session_life: timedelta = timedelta(hours=2)
    rotate_refresh_tokens: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    set_audit_fields: bool = True
    bulk_duration: timedelta = timedelta(milliseconds=300)
    replication_lag: timedelta = timedelta(0)
    jwt_public_key: str | None = None


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
        self.faults = Faults()
        self.cursors = Cursors(self.clock, self.org.ids)
        self.bulk = BulkJobs(self.org, self.clock, self.options.bulk_duration)
        self.auth = self._auth()
        self.router = build_router()
        if self.options.tree:
            load_tree(self.org, self.options.tree, self.auth.user_id)

    def _auth(self) -> Auth:
        users = self.org.tables["User"].values()
        known = self.options.credentials
        me = next(u["Id"] for u in users if u["Username"] == known.username)
        auth = Auth(self.clock, self.org.organization()["Id"], me, known, seed=self.options.seed)
        auth.lifetime = self.options.session_life
        auth.rotate_refresh_tokens = self.options.rotate_refresh_tokens
        if self.options.jwt_public_key:
            auth.jwt_keys[known.client_id] = self.options.jwt_public_key
        return auth

    def user(self) -> Row:
        """The user that every credential signs in as."""
        return self.org.tables["User"][self.auth.user_id]

    def instance_url(self, call: Call) -> str:
        return call.instance_url or call.request.base_url

    def child_relation(self, parent: ObjectType, name: str) -> tuple[ObjectType, Field]:
        return child_relation(self.org, parent, name)

    def spend_more(self, calls: int) -> None:
        """Further calls of the quota that one request costs."""
        if calls > 0:
            self.limits.spend(calls)
            self.journal.counted += calls

    # ------------------------------------------------------------ requests

    def handle(self, request: Request) -> Reply:
        """Answer one request: find its path, meet its faults, check the session, count the call, run it."""
        method = request.query.get("_HttpMethod", request.method) if request.method == "POST" else request.method
        request = replace(request, method=method.upper())
        kind, counted = "unknown", False
        struck: list[Fault] = []
        try:
            route, path = self.router.find(request.method, request.path)
            kind, counted = route.kind, not route.free
            struck = [] if kind == "control" else self.faults.strike(kind)
            reply = self._answer(route, path, request, struck)
        except ApiError as error:
            reply = Reply(error.status, error.body())
        reply = _spoiled(reply, struck)
        self.journal.add(kind, request.method, request.path, reply.status, counted)
        if request.path.startswith("/services/data/"):
            reply.headers.setdefault("Sforce-Limit-Info", self.limits.header())
        return reply

    def _answer(self, route: Route, path: Mapping[str, str], request: Request, struck: list[Fault]) -> Reply:
        call = Call(self, request, path)
        for fault in struck:
            if fault.kind == "reset":
                return Reply(effect="reset")
            self._before(fault, call)
        if not route.open:
            call.user_id = self.auth.check(request.headers.get("authorization", ""))
        version = DATA_PATH.match(request.path)
        if version:
            rest.check_version(version.group("version"))
        if not route.free:
            self.limits.spend()
        return route.handler(call)

    def _before(self, fault: Fault, call: Call) -> None:
        """What a fault does before the call is carried out. Raises the ApiError that the call then answers with."""
        if fault.kind == "error":
            raise _failure(fault.status)
        if fault.kind in {"limit", "concurrent"}:
            raise exceeded(TOTAL if fault.kind == "limit" else CONCURRENT)
        if fault.kind == "expire":
            self.auth.expire_all()
            raise session_invalid()
        if fault.kind == "lock":
            self.org.locks["*"] = self.org.locks.get("*", 0) + fault.records
        if fault.kind == "cursor_lost":
            self.cursors.open.clear()
        if fault.kind == "wrong_instance":
            call.instance_url = fault.host

    def dispatch(self, request: Request, user_id: str) -> Reply:
        """A request within a request (composite): no session of its own."""
        try:
            route, path = self.router.find(request.method, request.path)
            if route.open:
                raise ApiError("INVALID_INPUT", f"{request.path} can't be part of a composite request")
            return route.handler(Call(self, request, path, user_id))
        except ApiError as error:
            return Reply(error.status, error.body())


def _failure(status: int) -> ApiError:
    if status == 503:
        return ApiError("SERVER_UNAVAILABLE", "The service is temporarily unavailable. Try again later.", 503)
    message = "An unexpected error occurred. Please include this ErrorId if you contact support: 1751284800-1 (-1)"
    return ApiError("UNKNOWN_EXCEPTION", message, status)


def _spoiled(reply: Reply, struck: list[Fault]) -> Reply:
    """What faults do to an answer on its way out."""
    for fault in struck:
        if fault.kind == "lost_answer":
            reply.effect = "reset"
        elif fault.kind == "truncated":
            reply.effect = "truncated"
        elif fault.kind == "malformed":
            reply.body = b"<html><body>Down for maintenance</body></html>"
        elif fault.kind == "slow":
            reply.delay_s = fault.seconds
        elif fault.kind == "foreign_next" and isinstance(reply.json, dict) and "nextRecordsUrl" in reply.json:
            reply.json["nextRecordsUrl"] = fault.host + reply.json["nextRecordsUrl"]
    return reply


def build_router() -> Router:
    router = Router()
    for module in (login, control, rest, queries, composite, collections, jobs, records):
        module.register(router)
    return router
