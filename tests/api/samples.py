"""What the walk over every route needs to know: a real id for each path parameter, and an example for each body.

A new path parameter gets an entry in `FACTORIES`: a function that makes such a thing in a tenant and returns its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Table

from api.app import describe
from api.document_webhooks import DOOR
from domain.access import ROLES
from domain.ids import new_id
from storage import api_keys, connections, inbound_endpoints, members, subscriptions, tenants
from storage.database import Database
from storage.tables import entity_tables, metadata
from tests.support.rows import sample

UNSAFE = {"post", "put", "patch", "delete"}
PUBLIC = {
    "health_live": "for load balancers",
    "health_ready": "for load balancers",
    "finish_oauth": "the state of a sign-in is its key",
    "get_metrics": "lets in the operator alone, by a token of its own, too: tests/api/test_metrics.py",
}
"""Operations that anybody may call, or that see to it themselves who may, and why."""
NO_PERMISSION = {"get_me": "tells callers what they may do"}
"""Operations that anybody who is signed in may call, and why."""


Factory = Callable[[Database, UUID], str]


def _key(db: Database, tenant_id: UUID) -> str:
    with db.tenant(tenant_id) as conn:
        return str(api_keys.create(conn, name="sample", role="read_only", created_by="tests")[0].id)


def _member(db: Database, tenant_id: UUID) -> str:
    with db.tenant(tenant_id) as conn:
        email = f"{uuid4().hex}@example.com"
        return str(members.invite(conn, email=email, name="", role="read_only", invited_by="tests").id)


def _tenant(db: Database, _tenant_id: UUID) -> str:
    tenant_id = new_id()
    with db.tenant(tenant_id) as conn:
        tenants.ensure(conn, tenant_id, "Sample")
    return str(tenant_id)


def _row(table: Table, **given: Any) -> Factory:
    """A row of ``table`` by which a foreign id is known from one that does not exist."""

    def make(db: Database, tenant_id: UUID) -> str:
        made = new_id()
        with db.tenant(tenant_id) as conn:
            conn.execute(table.insert().values(sample(table, tenant_id, id=made, **given)))
        return str(made)

    return make


def _connection(db: Database, tenant_id: UUID) -> str:
    made = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, made, vendor="files", name=f"Sample {made}")
    return str(made)


def _endpoint(db: Database, tenant_id: UUID) -> str:
    settings = {"proof": {"kind": "api_key"}, "entity": "lead", "fields": {"last_name": "$.name"}}
    with db.tenant(tenant_id) as conn:
        name = f"Sample {uuid4().hex}"
        return str(inbound_endpoints.create(conn, name=name, scheme="generic", settings=settings).id)


def _letter(db: Database, tenant_id: UUID) -> str:
    table = metadata.tables["dead_letter"]
    given = {"entity": "contact", "stage": "map", "status": "open", "payload": {"Email": "x"}}
    return _row(table, **given, key=uuid4().hex)(db, tenant_id)


def _subscription(db: Database, tenant_id: UUID) -> str:
    with db.tenant(tenant_id) as conn:
        made = subscriptions.create(conn, created_by="tests", name="Sample", url="https://a.example/x", types=["*"])
        return str(made.id)


FACTORIES: dict[str, Factory] = {
    "key_id": _key,
    "member_id": _member,
    "tenant_id": _tenant,
    "name": lambda _db, _tenant_id: "salesforce",
    "entity": lambda _db, _tenant_id: "contact",
    "connection_id": _connection,
    "vendor": lambda _db, _tenant_id: "hubspot",
    "object_name": lambda _db, _tenant_id: "contacts",
    "version": lambda _db, _tenant_id: "1",
    "record_id": _row(entity_tables["contact"]),
    "letter_id": _letter,
    "conflict_id": _row(metadata.tables["conflict"], entity="contact", status="open"),
    "run_id": _row(metadata.tables["migration_run"], kind="run", status="done", options={"objects": []}),
    "job_id": _row(metadata.tables["job"], status="queued", created_by={"kind": "key", "id": "sample", "name": ""}),
    "endpoint_id": _endpoint,
    "delivery_id": _row(metadata.tables["inbox"]),
    "subscription_id": _subscription,
    "event_id": _row(metadata.tables["event"]),
    "plan_id": _row(metadata.tables["migration_plan"]),
    "erasure_id": _row(metadata.tables["erasure"], status="done", vendors="keep"),
    "consent_id": _row(metadata.tables["consent"]),
    "kind": lambda _db, _tenant_id: "history",
}
SHARED = {
    "tenant_id": "administrators of the system see every tenant",
    "name": "connectors belong to nobody",
    "entity": "entities are the same for all",
    "kind": "kinds of data are the same for all",
    "vendor": "mappings that come with the product belong to nobody",
    "object_name": "names of objects are the vendor's",
}
"""Path parameters whose things belong to no tenant: for them an id that does not exist takes the place of a foreign one."""
_VENDOR = "needs a vendor to sign in to"
_STREAM = "needs a stream of the connection"
NOT_ALONE: dict[str, str] = {
    "give_consent": "the example names a connection that is not there",
    **dict.fromkeys(
        ("create_connection", "reconnect", "start_oauth", "add_streams", "finish_oauth_by_ticket"), _VENDOR
    ),
    **dict.fromkeys(("change_stream", "remove_stream", "pause_stream", "resume_stream", "allow_deletes"), _STREAM),
    **dict.fromkeys(("run_stream", "compare_stream", "change_mapping", "validate_mapping", "preview_mapping"), _STREAM),
    **dict.fromkeys(("restore_mapping", "apply_mapping"), _STREAM),
    "resolve_conflict": "the record and link of the sample conflict do not stand",
    "upload_file": "the sample connection has no folder",
    "audit_source": "the example names a connection that is not there",
    "propose_plan": "the example names a connection that is not there",
    "edit_plan": "the text of the example is no whole plan",
    "approve_plan": "the example's checksum is another plan's",
    "dry_run": "the example names a plan that is not there",
    "start_run": "the example names a plan that is not there",
    "restore_record": "the sample record was not deleted",
}
"""Unsafe operations whose example cannot succeed with nothing but the samples around it, and why."""

FREE = {"preview_webhook": "its body is whatever a sender would post"}
"""Operations whose bodies have no fields of ours, and why."""
ENDLESS = {"stream_changes": "it goes on until the caller leaves: tests/api/test_changes.py"}
"""Operations whose answers have no end, and why."""
BODILESS = {
    **dict.fromkeys(("test_connection", "test_webhook_subscription"), "everything it needs is stored"),
    **dict.fromkeys(("pause_connection", "resume_connection", "pause_stream", "resume_stream"), "a switch"),
    **dict.fromkeys(("close_tenant", "reopen_tenant"), "a switch"),
    **dict.fromkeys(("enable_webhook_subscription", "disable_webhook_subscription"), "a switch"),
    **dict.fromkeys(("run_stream", "compare_stream", "allow_deletes", "apply_mapping"), "the stream says it all"),
    **dict.fromkeys(("cancel_job", "withdraw_consent", "restore_record", "replay_delivery"), "the id says it all"),
    "purge_dead_letters": "how old is a parameter of the query",
    "cut_over": "the run says it all",
}
"""Operations of POST, PUT or PATCH that take no body, and why."""


@dataclass(frozen=True)
class Operation:
    """One operation of the OpenAPI document."""

    method: str
    path: str
    described: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.described["operationId"])

    @property
    def permission(self) -> str | None:
        return self.described.get("x-permission")

    @property
    def role(self) -> str:
        """The least mighty administrator who may call it."""
        return "tenant_admin" if self.permission is None or self.permission in ROLES["tenant_admin"] else "system_admin"

    @property
    def parameters(self) -> list[str]:
        return [p["name"] for p in self.described.get("parameters", ()) if p["in"] == "path"]

    @property
    def body(self) -> dict[str, Any] | None:
        """The schema of its JSON body."""
        content = self.described.get("requestBody", {}).get("content", {})
        return content["application/json"]["schema"] if "application/json" in content else None

    @property
    def query(self) -> dict[str, str]:
        """Something for every parameter of the query that it needs."""
        return {
            p["name"]: "2026-01-01T00:00:00Z" if p["schema"].get("format") == "date-time" else "x"
            for p in self.described.get("parameters", ())
            if p["in"] == "query" and p.get("required")
        }

    def address(self, ids: dict[str, str]) -> str:
        return self.path.format(**ids)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of the application. Nothing is connected to."""
    return describe()


def operations() -> Iterator[Operation]:
    """Those of the API. The door for webhooks is none: no key opens it, and whatever is not signed gets the same refusal, so that
    neither walking nor fuzzing it would come further; tests/api/test_document_webhooks.py holds the document to its answers."""
    for path, methods in document()["paths"].items():
        if path in DOOR:
            continue
        for method, described in methods.items():
            yield Operation(method, path, described)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def example(schema: dict[str, Any]) -> Any:
    """The example of a schema: its own, or one put together from those of its properties. KeyError where there is none."""
    schema = resolved(schema)
    if "examples" in schema:
        return schema["examples"][0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object" and "properties" in schema:
        required = schema.get("required", ())
        given = {n: p for n, p in schema["properties"].items() if n in required or "examples" in resolved(p)}
        return {name: example(part) for name, part in given.items()}
    if schema.get("type") == "array":
        return [example(schema["items"])]
    if schema.get("type") == "boolean":
        return True
    raise KeyError(f"no example for {schema}")
