"""The stand-in org as one object: `SalesforceSandbox.handle` answers a request as the vendor would, without a socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.kit import control as kit_control
from sandbox.kit.stand_in import StandIn
from sandbox.kit.wire import BadControl, Reply, Request, WireError
from sandbox.salesforce import shared
from sandbox.salesforce.auth import Auth, Credentials
from sandbox.salesforce.bulk import BulkJobs
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.convert import convert
from sandbox.salesforce.cursors import Cursors
from sandbox.salesforce.data.generator import DataOptions, generate
from sandbox.salesforce.derive import RELATION
from sandbox.salesforce.errors import ApiError, session_invalid
from sandbox.salesforce.faults import Fault
from sandbox.salesforce.limits import CONCURRENT, TOTAL, Limits, exceeded
from sandbox.salesforce.org import Org, Row
from sandbox.salesforce.relations import child_relation
from sandbox.salesforce.routes import collections, composite, control, jobs, login, queries, records, rest
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.tree import load_tree
from sandbox.salesforce.wire import Call, Route, Router, refusal
from sandbox.salesforce.write import Writer

DATA_PATH = re.compile(r"^/services/data/v(?P<version>[^/]+)")


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What a new org is like. ``tree`` is a folder with a data plan to load instead of generated records.

    ``bulk_duration`` is how long a bulk job takes; ``replication_lag`` how far getUpdated and getDeleted stay behind.
    ``several_accounts``: contacts may be related to several accounts; ``shared_activities``: tasks and events to several contacts.
    Both are off in a new org of the vendor's, too.
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
    several_accounts: bool = False
    shared_activities: bool = False


class SalesforceSandbox(StandIn[Clock, Fault]):
    """One org with its users, data, quotas and jobs. The same options and clock give the same org, ids included."""

    def __init__(self, options: SandboxOptions | None = None, clock: Clock | None = None) -> None:
        super().__init__(clock or Clock(), Fault)
        self.options = options or SandboxOptions()
        self.org = Org(self.clock)
        self.org.permissions.set_audit_fields = self.options.set_audit_fields
        if not self.options.several_accounts:
            self.org.remove_object(RELATION)
        if not self.options.shared_activities:
            shared.switch_off(self.org)
        contacts = 0 if self.options.tree else self.options.contacts
        generate(self.org, DataOptions(contacts, self.options.seed, self.options.credentials.username))
        self.limits = Limits(self.clock, self.options.daily_calls)
        self.cursors = Cursors(self.clock, self.org.ids)
        self.bulk = BulkJobs(self.org, self.clock, self.options.bulk_duration)
        self.auth = self._auth()
        self.router = build_router()
        if self.options.tree:
            load_tree(self.org, self.options.tree, self.auth.user_id)
        self.org.created = self.journal.created

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
        """Answer one request; a POST may name the method it stands for."""
        method = request.query.get("_HttpMethod", request.method) if request.method == "POST" else request.method
        return super().handle(replace(request, method=method.upper()))

    def answer(self, route: Route, path: Mapping[str, str], request: Request, struck: list[Fault]) -> Reply:
        """Meet the call's faults, check its session, count it, run it."""
        call = Call(self, request, path)
        for fault in struck:
            self._before(fault, call)
        if not route.open:
            call.user_id = self.auth.check(request.headers.get("authorization", ""))
        version = DATA_PATH.match(request.path)
        if version:
            rest.check_version(version.group("version"))
        if not route.free:
            self.limits.spend()
        return route.handler(call)

    def worded(self, error: WireError) -> Reply:
        return refusal(error).reply()

    def uri_too_long(self) -> Reply:
        """A long SOQL query in a URL meets this before it meets the limit on SOQL: send it through composite instead."""
        return Reply(414, [{"message": "URI Too Long", "errorCode": "URI_TOO_LONG"}])

    def finish(self, request: Request, reply: Reply) -> None:
        if request.path.startswith("/services/data/"):
            reply.headers.setdefault("Sforce-Limit-Info", self.limits.header())

    def long_call(self, change: int) -> None:
        self.limits.long_running += change

    def clear_faults(self) -> None:
        super().clear_faults()
        self.org.locks.clear()

    def about(self) -> dict[str, Any]:
        known, org = self.auth.credentials, self.org
        return {
            "records": {name: len(org.live(name)) for name in org.tables if org.tables[name]},
            "username": known.username,
            "password": known.password,
            "security_token": known.security_token,
            "client_id": known.client_id,
            "client_secret": known.client_secret,
            "now": self.clock.stamp(),
        }

    def edit(self, edit: Mapping[str, Any]) -> dict[str, Any]:
        """As the org's user in their browser: ``properties`` are fields; without an id a record is created."""
        writer, kind = Writer(self.org, self.auth.user_id, by_call=False), str(edit.get("object", ""))
        if "merge" in edit:
            raise BadControl("records of this sandbox can't be merged")
        if edit.get("delete"):
            return {"id": writer.delete(kind, str(edit["id"]))}
        if "convert" in edit:
            return {"id": convert(writer, str(edit["id"]), (edit["convert"] or {}).get("contact"))}
        values = edit.get("properties") or {}
        if "id" in edit:
            return {"id": writer.update(kind, str(edit["id"]), values)}
        return {"id": writer.insert(kind, values)}

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
            return error.reply()
        except WireError as error:
            return refusal(error).reply()

    def spoil(self, reply: Reply, fault: Fault) -> None:
        super().spoil(reply, fault)
        if fault.kind == "foreign_next" and isinstance(reply.json, dict) and "nextRecordsUrl" in reply.json:
            reply.json["nextRecordsUrl"] = fault.host + reply.json["nextRecordsUrl"]


def _failure(status: int) -> ApiError:
    if status == 503:
        return ApiError("SERVER_UNAVAILABLE", "The service is temporarily unavailable. Try again later.", 503)
    message = "An unexpected error occurred. Please include this ErrorId if you contact support: 1751284800-1 (-1)"
    return ApiError("UNKNOWN_EXCEPTION", message, status)


def build_router() -> Router:
    router = Router()
    kit_control.register(router)
    for module in (login, control, rest, queries, composite, collections, jobs, records):
        module.register(router)
    return router
