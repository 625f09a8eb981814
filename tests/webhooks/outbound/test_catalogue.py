"""Every event that is told is what its schema says, and every schema is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from domain.entities import ENTITIES, Kind
from domain.ids import new_id
from migration import service as migrations
from migration.ledger import ObjectLedger
from storage import connection_alerts, connections, dead_letters, events, payloads, streams, subscriptions
from storage.database import Connection
from storage.dead_letters import NewLetter
from storage.sync import contested, deleting, lanes, records
from storage.sync.changing import Cause
from storage.sync.contested import NewConflict
from storage.sync.lanes import LaneKey
from tests.webhooks.outbound.conftest import Endpoint, Hooks
from webhooks.outbound.catalogue import EVENTS, unknown_types

SAMPLES: dict[Kind, Any] = {
    Kind.INTEGER: 7,
    Kind.DECIMAL: Decimal("12345678901234567890.000000000123456789"),
    Kind.BOOLEAN: True,
    Kind.DATE: date(2026, 3, 1),
    Kind.TIMESTAMP: datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    Kind.JSON: {"a": [None, 1]},
    Kind.TEXT_LIST: ["a", "b"],
}
URL = "https://hooks.example.com/in"


def told(hooks: Hooks) -> list[dict[str, Any]]:
    """The body of every delivery, in order, each of them held to its schema."""
    hooks.tell()
    ids = [row[0] for row in hooks.rows("SELECT event_id FROM webhook_delivery ORDER BY seq")]
    with hooks.db.tenant(hooks.tenant_id) as conn:
        bodies = payloads.bodies(conn, ids)
    found = [json.loads(bodies[i][1], parse_float=Decimal) for i in ids]
    for body in found:
        validator = Draft202012Validator(
            EVENTS[body["type"]].schema(), format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        assert [e.message for e in validator.iter_errors(body)] == [], body["type"]
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_every_schema_is_valid_and_strict(name: str) -> None:
    schema = EVENTS[name].schema()
    Draft202012Validator.check_schema(schema)
    assert not Draft202012Validator(schema).is_valid({"id": "x", "type": name})
    assert schema["properties"]["data"]["additionalProperties"] is False


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_record_with_every_field_is_what_its_schema_says(hooks: Hooks, entity: str) -> None:
    hooks.subscribe(URL, f"{entity}.*")
    fields: dict[str, Any] = {
        name: SAMPLES.get(f.kind, "text")
        for name, f in ENTITIES[entity].all_fields.items()
        if f.kind is not Kind.REFERENCE
    }
    with hooks.db.tenant(hooks.tenant_id) as conn:
        needed = {
            f.name: records.create(conn, hooks.tenant_id, f.refers_to or "", _least(f.refers_to or ""), "tests")
            for f in ENTITIES[entity].references
            if f.required
        }
        made = records.create(conn, hooks.tenant_id, entity, fields | needed | {"custom_fields.x": [1, {}]}, "tests")
        records.delete(conn, hooks.tenant_id, entity, made, "tests")
        records.restore(conn, hooks.tenant_id, entity, made, "tests")
    bodies = [b for b in told(hooks) if b["data"]["id"] == str(made)]
    assert [b["type"].partition(".")[2] for b in bodies] == ["created", "deleted", "restored"]
    shown = bodies[0]["data"]["record"]["fields"]
    assert set(shown) == set(fields | needed)
    decimals = [n for n, f in ENTITIES[entity].all_fields.items() if f.kind is Kind.DECIMAL]
    assert all(shown[n] == str(SAMPLES[Kind.DECIMAL]) for n in decimals)


def _least(entity: str) -> dict[str, Any]:
    return {n: "text" for n, f in ENTITIES[entity].all_fields.items() if f.required}


def test_merges_and_moves_between_stages_are_what_their_schemas_say(hooks: Hooks) -> None:
    hooks.subscribe(URL, "opportunity.*", "contact.*")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        tenant = hooks.tenant_id
        stage = records.create(conn, tenant, "stage", {"name": "Won"}, "tests")
        deal = records.create(conn, tenant, "opportunity", {"name": "D", "amount": Decimal("1.10")}, "tests")
        changes = {"stage_id": stage, "amount": Decimal("2.50"), "name": "E"}
        records.edit(conn, tenant, "opportunity", deal, changes, "tests")
        loser, survivor = (
            records.create(conn, tenant, "contact", {"last_name": n}, "tests") for n in ("Loser", "Survivor")
        )
        deleting.merge(conn, Cause(tenant, "hub", by="tests"), "contact", {loser: survivor})
    bodies = {b["type"]: b["data"] for b in told(hooks)}
    moved = bodies["opportunity.stage_changed"]
    assert (moved["old_stage"], moved["new_stage"]["name"]) == ({"id": None, "name": None}, "Won")
    assert moved["changed"]["amount"] == {"old": "1.10", "new": "2.50"}
    assert bodies["contact.merged"]["merged_into"] == str(survivor)


@pytest.fixture
def connected(hooks: Hooks) -> Callable[[Connection], LaneKey]:
    """A connection with one stream."""

    def make(conn: Connection) -> LaneKey:
        made = connections.create(conn, new_id(), vendor="hubspot", name="Hub", status="ok")
        key = LaneKey(hooks.tenant_id, made.id, "contacts")
        hooks.db.raw(conn).execute(
            "INSERT INTO stream (tenant_id, connection_id, object, entity) VALUES (%s, %s, 'contacts', 'contact')",
            [hooks.tenant_id, made.id],
        )
        return key

    return make


def test_a_connection_tells_how_it_fares(hooks: Hooks, connected: Callable[[Connection], LaneKey]) -> None:
    hooks.subscribe(URL, "connection.*")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        key = connected(conn)
        lanes.set_status(conn, key, "reauth", {"code": "reauth_required"})
        connections.update(conn, key.connection_id, status="reauth")
        connections.update(conn, key.connection_id, status="ok")
        streams.set_status(conn, key.connection_id, [key.object], "idle")
        connection_alerts.look(conn, datetime.now(UTC), timedelta(days=1))
        lanes.set_status(conn, key, "stopped", {"code": "permission_missing"})
        connections.delete(conn, key.connection_id)
    kinds = [(b["type"].partition(".")[2], b["data"].get("reason"), b["data"].get("reasons")) for b in told(hooks)]
    assert [(kind, reason, [r["code"] for r in reasons or ()]) for kind, reason, reasons in kinds] == [
        ("connected", None, []),
        ("reauth_required", "reauth_required", []),  # that the connection says so, too, is not told within the hour
        ("unhealthy", None, ["reauth_required"]),
        ("recovered", None, []),
        ("unhealthy", None, ["permission_missing"]),
        ("disconnected", None, []),
    ]


def test_dead_letters_are_told_by_cause_and_only_when_they_appear(hooks: Hooks) -> None:
    hooks.subscribe(URL, "sync.failed")
    letters = [NewLetter("map", "bad_email", "No address.", vendor_id=str(n), object="c") for n in range(300)]
    other = NewLetter("push", "too_long", "Too long.", entity_id=new_id(), object="c", field="name")
    for _ in range(2):
        with hooks.db.tenant(hooks.tenant_id) as conn:
            dead_letters.record(conn, hooks.tenant_id, [*letters, other])
    bodies = told(hooks)
    assert sorted((b["data"]["code"], b["data"]["letters"]) for b in bodies) == [("bad_email", 300), ("too_long", 1)]
    assert len(hooks.rows("SELECT 1 FROM event")) == 2, "letters that were open already are no news"


def test_an_open_conflict_is_told_once_and_a_settled_one_not(
    hooks: Hooks, connected: Callable[[Connection], LaneKey]
) -> None:
    hooks.subscribe(URL, "conflict.*")
    record = new_id()
    with hooks.db.tenant(hooks.tenant_id) as conn:
        key = connected(conn)
        open_ = NewConflict("v1", record, "email", "ask", None, "a", "b")
        settled = NewConflict("v1", record, "phone", "newest", "hub", "a", "b")
        for _ in range(2):
            contested.store(conn, key, "contact", [open_, settled])
    (body,) = told(hooks)
    (stored,) = hooks.rows("SELECT id FROM conflict WHERE status = 'open'")
    assert body["data"]["conflict_id"] == str(stored[0])
    assert (body["data"]["field"], body["data"]["entity_id"]) == ("email", str(record))


def test_migrations_and_endpoints_tell_what_their_schemas_say(hooks: Hooks, endpoint: Endpoint) -> None:
    run, connection = new_id(), new_id()
    listener = hooks.subscribe(endpoint.url, "migration.*", "webhook_endpoint.*")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        events.emit(
            conn,
            migrations._event("started", run, connection),
            migrations._event("failed", run, connection, code="vendor_unavailable"),
            migrations._completed(run, connection, {"c": ObjectLedger("c", created=3, updated=1)}),
            migrations._event("undone", run, connection, partly=False),
        )
    hooks.tell()
    endpoint.fails(1, 410)
    hooks.send(listener)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        subscriptions.enable(conn, listener.id, hooks.clock())
    bodies = told(hooks)
    assert [b["type"] for b in bodies] == [
        "migration.started", "migration.failed", "migration.completed", "migration.undone", "webhook_endpoint.disabled",
    ]  # fmt: skip
    assert bodies[2]["data"]["created"] == 3
    assert UUID(bodies[0]["data"]["run_id"]) == run


def test_names_that_no_event_has_are_told() -> None:
    assert unknown_types(["*", "contact.*", "contact.created", "contact.made", "people.*", "con*"]) == [
        "contact.made", "people.*", "con*",
    ]  # fmt: skip
