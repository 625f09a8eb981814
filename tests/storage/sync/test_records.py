"""What people change in the hub has history, a place in the change log, and reaches every lane."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from domain.errors import ConfigurationError, RecordRejectedError
from domain.ids import new_id
from storage import browsing, explaining, streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import conflicts, contested, records
from storage.sync.contested import NewConflict
from storage.sync.lanes import LaneKey
from storage.tables import association
from tests.support.rows import sample

CONNECTION = new_id()


@pytest.fixture
def key(db: Database, tenant_id: UUID) -> LaneKey:
    """A lane that pushes contacts."""
    with db.tenant(tenant_id) as conn:
        streams.put(conn, Stream(CONNECTION, "contacts", "contact", writes=("email", "phone", "account_id")))
    return LaneKey(tenant_id, CONNECTION, "contacts")


def _rows(conn: Connection, statement: str, **parameters: Any) -> list[Any]:
    return [tuple(row) for row in conn.execute(text(statement), parameters)]


def _changes(conn: Connection, record: UUID) -> list[Any]:
    statement = "SELECT kind, fields, version, detail FROM change WHERE entity_id = :id ORDER BY seq"
    return _rows(conn, statement, id=record)


def _lists(conn: Connection) -> dict[UUID, list[UUID]]:
    """The accounts of each contact."""
    return {r.id: r.fields["account_ids"] for r in browsing.list_records(conn, "contact")}


def _account(conn: Connection, record: UUID) -> dict[str, Any]:
    return dict(conn.execute(text("SELECT * FROM crm_account WHERE id = :id"), {"id": record}).one()._mapping)


def _due(conn: Connection) -> list[Any]:
    return [row[0] for row in _rows(conn, "SELECT entity_id FROM push_work ORDER BY token")]


def test_an_edit_is_logged_and_due(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    with db.tenant(tenant_id) as conn:
        record = records.create(conn, tenant_id, "contact", {"email": "a@example.com", "custom_fields.x": 1}, "ada")
    with db.tenant(tenant_id) as conn:
        changed = records.edit(
            conn,
            tenant_id,
            "contact",
            record,
            {"email": "b@example.com", "phone": None, "custom_fields.x": None},
            "bob",
        )
        assert changed == {"email", "custom_fields.x"}
        assert _changes(conn, record) == [
            ("created", None, 1, {"by": "ada"}),
            ("updated", ["custom_fields.x", "email"], 2, {"by": "bob"}),
        ]
        history = (
            "SELECT field, old, new, origin, rule, version FROM field_history WHERE entity_id = :id ORDER BY field"
        )
        assert _rows(conn, history, id=record) == [
            ("custom_fields.x", 1, None, "hub", "edited", 2),
            ("email", "a@example.com", "b@example.com", "hub", "edited", 2),
        ]
        assert _due(conn) == [record]


def test_an_edit_that_changes_nothing_leaves_no_trace(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    with db.tenant(tenant_id) as conn:
        record = records.create(conn, tenant_id, "contact", {"email": "a@example.com"}, "ada")
    with db.tenant(tenant_id) as conn:
        before = _rows(conn, "SELECT token FROM push_work")
        assert records.edit(conn, tenant_id, "contact", record, {"email": "a@example.com"}, "ada") == frozenset()
        assert len(_changes(conn, record)) == 1
        assert _rows(conn, "SELECT token FROM push_work") == before


def test_a_deleted_record_comes_back_with_all_that_hung_on_it(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    with db.tenant(tenant_id) as conn:
        account = records.create(conn, tenant_id, "account", {"name": "A", "custom_fields.x": [1]}, "ada")
        stays = records.create(conn, tenant_id, "contact", {"email": "a@example.com", "account_id": account}, "ada")
        moves = records.create(conn, tenant_id, "contact", {"email": "b@example.com", "account_id": account}, "ada")
        other = records.create(conn, tenant_id, "account", {"name": "B"}, "ada")
        ends = {"from_entity": "account", "from_id": account, "to_entity": "contact", "to_id": stays, "label": "key"}
        conn.execute(association.insert().values(sample(association, tenant_id, **ends)))
        before = _account(conn, account)
    with db.tenant(tenant_id) as conn:
        records.delete(conn, tenant_id, "account", account, "bob")
        assert _rows(conn, "SELECT account_id FROM crm_contact") == [(None,), (None,)]
        assert _rows(conn, "SELECT 1 FROM crm_association") == []
        assert _rows(conn, "SELECT rule, origin FROM field_history WHERE entity_id = :id", id=stays) == [
            ("reference_deleted", "hub")
        ]
        assert set(_due(conn)) == {stays, moves}
        records.edit(conn, tenant_id, "contact", moves, {"account_id": other}, "bob")
    with db.tenant(tenant_id) as conn:
        records.restore(conn, tenant_id, "account", account, "ada")
        after = _account(conn, account)
        assert after["updated_at"] > before["updated_at"]
        assert after | {"updated_at": 0} == before | {"updated_at": 0, "version": 2}
        assert dict(_rows(conn, "SELECT id, account_id FROM crm_contact")) == {stays: account, moves: other}
        assert _lists(conn) == {stays: [account], moves: sorted([account, other])}
        assert [c[0] for c in _changes(conn, account)] == ["created", "deleted", "restored"]
        assert _rows(conn, "SELECT 1 FROM tombstone") == []


def test_a_restored_record_refers_only_to_what_stands(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        account = records.create(conn, tenant_id, "account", {"name": "A"}, "ada")
        contact = records.create(conn, tenant_id, "contact", {"email": "a@example.com", "account_id": account}, "ada")
        records.delete(conn, tenant_id, "contact", contact, "ada")
        records.delete(conn, tenant_id, "account", account, "ada")
        records.restore(conn, tenant_id, "contact", contact, "ada")
        assert _rows(conn, "SELECT email, account_id FROM crm_contact") == [("a@example.com", None)]
        records.restore(conn, tenant_id, "account", account, "ada")
        assert _rows(conn, "SELECT account_id FROM crm_contact") == [(None,)]


@pytest.mark.parametrize(
    ("entity", "fields", "code"),
    [
        ("contact", {"shoe_size": 4}, "no_such_field"),
        ("account", {"domain": "example.com"}, "required_missing"),
        ("planet", {}, "no_such_entity"),
    ],
)
def test_what_the_hub_has_no_place_for_is_refused(
    db: Database, tenant_id: UUID, entity: str, fields: dict[str, Any], code: str
) -> None:
    with db.tenant(tenant_id) as conn, pytest.raises(RecordRejectedError) as refused:
        records.create(conn, tenant_id, entity, fields, "ada")
    assert refused.value.code == code


def test_what_is_gone_cannot_be_changed(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        record = records.create(conn, tenant_id, "contact", {"email": "a@example.com"}, "ada")
        with pytest.raises(RecordRejectedError, match="No contact"):
            records.restore(conn, tenant_id, "contact", record, "ada")
        with pytest.raises(RecordRejectedError, match="this id already"):
            records.create(conn, tenant_id, "contact", {}, "ada", record=record)
        records.delete(conn, tenant_id, "contact", record, "ada")
        for change in (lambda: records.delete(conn, tenant_id, "contact", record, "ada"),
                       lambda: records.edit(conn, tenant_id, "contact", record, {"email": None}, "ada")):  # fmt: skip
            with pytest.raises(RecordRejectedError, match="There is no contact"):
                change()


def test_another_tenant_cannot_touch_it(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        record = records.create(conn, tenant_id, "contact", {"email": "a@example.com"}, "ada")
    with db.tenant(other_tenant_id) as conn, pytest.raises(RecordRejectedError):
        records.edit(conn, other_tenant_id, "contact", record, {"email": None}, "eve")


# ---------------------------------------------------------------- answers to conflicts


def _contested(conn: Connection, key: LaneKey, field: str, base: str | None) -> tuple[UUID, UUID]:
    """A contact whose field says hub, while the vendor says vendor; returns it and the conflict."""
    record = records.create(conn, key.tenant_id, "contact", {"last_name": "A", field: "hub"}, "ada")
    conn.execute(
        text("""
        INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, base)
        VALUES (:t, :c, :o, '1', 'contact', :id, 'created', CAST(:base AS jsonb))"""),
        key.parameters | {"id": record, "base": base},
    )
    contested.store(conn, key, "contact", [NewConflict("1", record, field, "ask", None, "hub", "vendor")])
    conn.execute(text("DELETE FROM push_work"))
    (found,) = conflicts.list_conflicts(conn)
    return record, found.id


@pytest.mark.parametrize("base", [None, '{"last_name": "A", "email": "old", "custom_fields": {"x": "old", "y": 1}}'])
@pytest.mark.parametrize("field", ["email", "custom_fields.x"])
@pytest.mark.parametrize(
    ("choice", "stands"), [({"side": "hub"}, "hub"), ({"side": "vendor"}, "vendor"), ({"value": "third"}, "third")]
)
def test_an_answer_is_taken_by_the_hub_and_sent(
    db: Database, tenant_id: UUID, key: LaneKey, field: str, base: str | None, choice: dict[str, str], stands: str
) -> None:
    with db.tenant(tenant_id) as conn:
        record, conflict = _contested(conn, key, field, base)
        conflicts.resolve(conn, conflict, by="ada", **choice)
        value = "custom_fields->>'x'" if "." in field else field
        assert _rows(conn, f"SELECT {value}, last_name FROM crm_contact") == [(stands, "A")]  # noqa: S608  # our own names
        (link,) = _rows(conn, "SELECT base, revision FROM link")
        said = link[0]["custom_fields"]["x"] if "." in field else link[0][field]
        assert (said, link[0]["last_name"], link[1]) == ("vendor", "A", 1)
        assert link[0]["custom_fields"].get("y") == (None if base is None else 1)
        assert _due(conn) == [record]
        (found,) = conflicts.list_conflicts(conn, status=None)
        assert (found.status, found.winner, found.resolved_by) == ("resolved", choice.get("side"), "ada")
        assert conflicts.list_conflicts(conn) == []


def test_the_history_of_an_edit_or_answer_names_the_person(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    with db.tenant(tenant_id) as conn:
        record, conflict = _contested(conn, key, "email", None)
    with db.tenant(tenant_id) as conn:
        records.edit(conn, tenant_id, "contact", record, {"phone": "+15550100"}, "bob")
    with db.tenant(tenant_id) as conn:
        conflicts.resolve(conn, conflict, side="vendor", by="ada")
    with db.tenant(tenant_id) as conn:
        told = explaining.explain(conn, "contact", record)
    stories = {f.field: (f.value, f.by, f.rule) for f in told.fields}
    assert stories["email"] == ("vendor", "ada", "resolved")
    assert stories["phone"] == ("+15550100", "bob", "edited")
    assert [(c["status"], c["resolved_by"]) for c in told.conflicts] == [("resolved", "ada")]


def test_an_answer_is_given_once(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    with db.tenant(tenant_id) as conn:
        _, conflict = _contested(conn, key, "email", None)
        conflicts.resolve(conn, conflict, side="hub", by="ada")
        for unknown in (conflict, new_id()):
            with pytest.raises(ConfigurationError, match="no such open conflict"):
                conflicts.resolve(conn, unknown, side="vendor", by="bob")
        assert _rows(conn, "SELECT email FROM crm_contact") == [("hub",)]


def test_a_settled_conflict_is_told_once(db: Database, tenant_id: UUID, key: LaneKey) -> None:
    told = NewConflict("1", new_id(), "email", "hub_wins", "hub", "a", "b", revision=3)
    with db.tenant(tenant_id) as conn:
        contested.store(conn, key, "contact", [told, told])
        contested.store(conn, key, "contact", [told])
        (found,) = conflicts.list_conflicts(conn, status="settled")
        assert (found.winner, found.hub_value, found.vendor_value) == ("hub", "a", "b")
        assert conflicts.list_conflicts(conn, connection_id=new_id(), status=None) == []
