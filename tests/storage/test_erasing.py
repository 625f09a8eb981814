"""After an erasure, no table holds anything of the person, nobody else lost anything, and the person does not come back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, LargeBinary, Table, Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from domain.errors import ConfigurationError, RecordRejectedError
from domain.ids import new_id
from domain.records import MappedBatch
from storage import blobs, dead_letters, erasing, persons, streams, suppression, sweeping
from storage.database import Database
from storage.erasing import Report
from storage.persons import Sought
from storage.streams import Stream
from storage.suppression import Mark
from storage.sync import records
from storage.sync.changing import Cause
from storage.tables import (
    association,
    conflict,
    entity_tables,
    inbox,
    job,
    link,
    metadata,
    migration_journal,
    migration_run,
    stage_tables,
    sync_intent,
)
from storage.vault import MasterKeys, Vault
from tests.support.rows import sample

HUBSPOT, OTHER = new_id(), new_id()
ADA = {
    "first_name": "Adaline",
    "last_name": "Lovelace-Byron",
    "email": "ada.byron@engine.example",
    "mobile_phone": "+442079460123",
    "phone": "+442079460999",
    "mailing_street": "12 St James's Square",
    "birth_date": datetime(1815, 12, 10, tzinfo=UTC).date(),
    "custom_fields.maiden name": "Gordon-Noel",
}
SECRETS = (
    "Adaline", "Lovelace-Byron", "ada.byron@engine.example", "ADA.BYRON", "442079460123", "St James", "Gordon-Noel", "1815-12-10",
    "old.ada@engine.example", "analytical engine talk", "passport scan",
)  # fmt: skip
"""Everything of Ada's that was ever written anywhere below."""

FORM = {"Id": "H1", "properties": {"Email": "ADA.BYRON@engine.example", "Name": "Adaline Lovelace-Byron"}}


@pytest.fixture(scope="module")
def vault() -> Vault:
    return Vault(MasterKeys.parse(["k:" + "A" * 43 + "="], "tests"))


def _everywhere(conn: Connection, words: tuple[str, ...] = SECRETS) -> list[tuple[str, str, str]]:
    """(table, column, word) wherever a word stands, in any text, list, JSON or bytes column of any table."""
    found = []
    for table in metadata.sorted_tables:
        columns = {c.name: shown for c in table.columns if (shown := _as_text(table, c.name)) is not None}
        for row in conn.execute(select(*(shown.label(name) for name, shown in columns.items()))) if columns else ():
            for name, shown in row._mapping.items():
                found += [(table.name, name, w) for w in words if shown and w.casefold() in shown.casefold()]
    return found


def _as_text(table: Table, name: str) -> Any:
    column = table.c[name]
    if isinstance(column.type, LargeBinary):
        return func.encode(column, "escape")
    return cast(column, Text) if isinstance(column.type, (Text, JSONB, ARRAY)) else None


def _put(conn: Connection, table: Table, tenant: UUID, **values: Any) -> None:
    conn.execute(table.insert().values(sample(table, tenant, **values)))


@pytest.fixture
def ada(db: Database, tenant_id: UUID) -> UUID:
    """A person who left traces in every table that can hold one, beside people whose own must stay."""
    with db.tenant(tenant_id) as conn:
        streams.put(conn, Stream(HUBSPOT, "contacts", "contact", writes=("email", "phone")))
        before = {**ADA, "email": "old.ada@engine.example"}
        record = records.create(conn, tenant_id, "contact", before, "tests")
        records.create(conn, tenant_id, "contact", {"last_name": "Babbage", "phone": ADA["phone"]}, "tests")
        call = {"kind": "call", "subject": "On Adaline's analytical engine talk", "contact_id": record}
        records.create(conn, tenant_id, "activity", call, "tests")
        deal = {"name": "Engine", "contact_id": record, "description": "Ask ada.byron@engine.example, she knows"}
        records.create(conn, tenant_id, "opportunity", deal, "tests")
    with db.tenant(tenant_id) as conn:
        records.edit(conn, tenant_id, "contact", record, {"email": ADA["email"]}, "tests")
        lead = {"last_name": "Lovelace-Byron", "email": ADA["email"], "company": "Engines"}
        records.delete(conn, tenant_id, "lead", records.create(conn, tenant_id, "lead", lead, "tests"), "tests")
        _traces(conn, tenant_id, record)
        content = blobs.write(conn, tenant_id, [b"passport scan of Adaline"]).sha256
        file = {"name": "Adaline.pdf", "sha256": content}
        attachment = records.create(conn, tenant_id, "attachment", file, "tests")
        ends = {"from_entity": "attachment", "from_id": attachment, "to_entity": "contact", "to_id": record}
        _put(conn, association, tenant_id, **ends)
    return record


def _traces(conn: Connection, tenant: UUID, record: UUID) -> None:
    of_ada = {
        "connection_id": HUBSPOT,
        "object": "contacts",
        "entity": "contact",
        "entity_id": record,
        "vendor_id": "H1",
    }
    named = {
        "connection_id": HUBSPOT,
        "vendor_object": "contacts",
        "entity": "contact",
        "entity_id": record,
        "origin": "created",
    }
    _put(
        conn,
        link,
        tenant,
        **named,
        vendor_id="H1",
        base={"last_name": "Lovelace-Byron", "birth_date": "1815-12-10"},
        sent={"first_name": "Adaline"},
    )
    _put(conn, link, tenant, **named | {"vendor_object": "rows"}, vendor_id="ada.byron@engine.example")
    _put(
        conn, conflict, tenant, **of_ada, field="last_name", status="settled", hub_value="Gordon-Noel", vendor_value="x"
    )
    _put(
        conn,
        sync_intent,
        tenant,
        connection_id=HUBSPOT,
        object="contacts",
        entity_id=record,
        sent={"last_name": "Gordon-Noel"},
    )
    run = new_id()
    _put(conn, migration_run, tenant, id=run, connection_id=HUBSPOT, totals={"samples": ["ada.byron@engine.example"]})
    _put(
        conn,
        migration_journal,
        tenant,
        run_id=run,
        entity="contact",
        entity_id=record,
        before={"first_name": "Adaline"},
    )
    staged = {"run_id": run, "object": "contacts", "vendor_id": "H1", "last_name": "Lovelace-Byron"}
    _put(conn, stage_tables["contact"], tenant, **staged)
    by_mail = {
        "headers": {"From": "Adaline <ada.byron@engine.example>"},
        "body": b"name=Adaline&email=ada.byron%40engine.example",
    }
    _put(conn, inbox, tenant, **by_mail)
    _put(conn, job, tenant, params={"q": "Ada.Byron@engine.example"}, result={"rows": [FORM]})
    dead_letters.record(
        conn,
        tenant,
        [
            dead_letters.NewLetter(
                stage="map", code="bad_email", message="m", connection_id=HUBSPOT, object="contacts", vendor_id="H1",
                payload=FORM, mapped={"last_name": "Lovelace-Byron"},
            ),
            dead_letters.NewLetter(
                stage="map", code="bad_email", message="m", connection_id=OTHER, object="people", vendor_id="P7", payload=[FORM]
            ),
        ],
    )  # fmt: skip


def _erase(db: Database, tenant: UUID, vault: Vault, sought: Sought, *, policy: str = "refuse") -> Report:
    with db.tenant(tenant) as conn:
        key = suppression.key_of(conn, vault, create=True)
        assert key is not None
        person = persons.find(conn, sought)
        cause = Cause(tenant, "hub", by="privacy")
        return erasing.erase(conn, key, person, cause, new_id(), policy=policy)


BY_MAIL = Sought(email="Ada.Byron@engine.example")


@pytest.mark.parametrize("policy", suppression.POLICIES)
def test_nothing_of_an_erased_person_is_left_in_any_column_of_any_table(
    db: Database, tenant_id: UUID, vault: Vault, ada: UUID, policy: str
) -> None:
    with db.tenant(tenant_id) as conn:
        before = _everywhere(conn)
    assert {word for _, _, word in before} == set(SECRETS), (
        "every value has to be somewhere, or its absence proves nothing"
    )
    assert len({table for table, _, _ in before}) >= 16
    report = _erase(db, tenant_id, vault, BY_MAIL, policy=policy)
    with db.tenant(tenant_id) as conn:
        assert _everywhere(conn) == []
    assert not report.left
    assert report.records == {"contact": 1, "lead": 1}
    told = {a.object: a.outcome for a in report.at_vendors}
    assert told == dict.fromkeys(("contacts", "rows"), policy if policy != "delete" else "not_connected")
    assert set(report.searched) == {t.name for t in sweeping.tables()}
    assert set(report.searched) | set(report.not_searched) >= {t.name for t in metadata.sorted_tables}
    assert not any(report.searched.values())


def test_what_is_not_the_persons_stays(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(tenant_id) as conn:
        assert conn.execute(select(entity_tables["contact"].c.last_name, entity_tables["contact"].c.phone)).all() == [
            ("Babbage", ADA["phone"])
        ]
        deal = entity_tables["opportunity"]
        assert conn.execute(select(deal.c.name, deal.c.contact_id, deal.c.description)).one() == (
            "Engine", None, "Ask [erased], she knows",
        )  # fmt: skip
        assert conn.scalar(select(entity_tables["activity"].c.kind)) == "call"
        assert conn.scalar(select(func.count()).select_from(job)) == 1


def test_another_tenants_person_of_the_same_address_stays(
    db: Database, tenant_id: UUID, other_tenant_id: UUID, vault: Vault, ada: UUID
) -> None:
    with db.tenant(other_tenant_id) as conn:
        records.create(conn, other_tenant_id, "contact", ADA, "tests")
    _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(other_tenant_id) as conn:
        assert conn.scalar(select(entity_tables["contact"].c.email)) == ADA["email"]
        assert suppression.key_of(conn, vault) is None


def test_an_erased_record_cannot_be_restored(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    with pytest.raises(RecordRejectedError, match="erased") as refused, db.tenant(tenant_id) as conn:
        records.restore(conn, tenant_id, "contact", ada, "tests")
    assert refused.value.code == "person_erased"


@pytest.mark.parametrize(
    ("vendor_id", "email", "refused"),
    [("N9", "ADA.byron@engine.example", True), ("H1", None, True), ("N9", "someone@engine.example", False)],
    ids=["by address", "by the vendor's id", "somebody else"],
)
def test_a_listing_that_brings_the_person_back_is_refused(
    db: Database, tenant_id: UUID, vault: Vault, ada: UUID, vendor_id: str, email: str | None, refused: bool
) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    batch = MappedBatch("contact", [vendor_id], {"email": [email], "last_name": ["L"]}, {}, [{}])
    screened = suppression.Guard(db, lambda: vault, tenant_id, HUBSPOT, "contacts")(batch)
    assert [p.code for p in screened.problems if p.rejects] == (["person_erased"] if refused else [])


@pytest.mark.parametrize("vendor_id", ["ada.byron@engine.example", "+442079460123", "lovelace-byron-7"])
def test_a_refused_record_is_not_called_by_what_names_its_person(
    db: Database, tenant_id: UUID, vault: Vault, ada: UUID, vendor_id: str
) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    columns = {"email": [ADA["email"]] * 2, "last_name": [ADA["last_name"]] * 2}
    batch = MappedBatch("contact", [vendor_id, "N9"], columns, {}, [{}, {}])
    screened = [
        suppression.Guard(db, lambda: vault, tenant_id, HUBSPOT, "contacts")(batch).vendor_ids for _ in range(2)
    ]
    assert screened[0] == screened[1]
    assert screened[0][0].startswith("erased:")
    assert vendor_id not in screened[0][0]
    assert screened[0][1] == "N9", "who is to delete it there has to find it"


def test_letters_called_by_an_address_are_called_so_no_more(
    db: Database, tenant_id: UUID, vault: Vault, ada: UUID
) -> None:
    named = dead_letters.NewLetter(
        stage="map", code="c", message="m", connection_id=OTHER, object="rows", vendor_id=str(ADA["email"])
    )
    with db.tenant(tenant_id) as conn:
        dead_letters.record(conn, tenant_id, [named])
    _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(tenant_id) as conn:
        rows = conn.execute(text("SELECT vendor_id, key FROM dead_letter WHERE object = 'rows'")).all()
    assert [(row.vendor_id, row.key == named.key) for row in rows] == [(None, False)]


def test_a_lifted_suppression_lets_the_person_back_in(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(tenant_id) as conn:
        with pytest.raises(RecordRejectedError):
            suppression.refuse(conn, vault, "contact", ADA)
        assert suppression.lift(conn, suppression.key_of(conn, vault), [Mark("email", "eve@engine.example")]) == 0
        assert suppression.lift(conn, suppression.key_of(conn, vault), [Mark("email", str(ADA["email"]))]) > 0
        suppression.refuse(conn, vault, "contact", ADA)


def test_suppressions_hold_under_a_new_master_key(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    newer = Vault(MasterKeys.parse(["n:" + "B" * 43 + "=", "k:" + "A" * 43 + "="], "tests"))
    alone = Vault(MasterKeys.parse(["n:" + "B" * 43 + "="], "tests"))
    with db.tenant(tenant_id) as conn:
        assert (suppression.reseal(conn, newer), suppression.reseal(conn, newer)) == (1, 0)
        with pytest.raises(RecordRejectedError):
            suppression.refuse(conn, alone, "contact", ADA)


@pytest.mark.parametrize(
    "sought", [Sought(phone="+442079460123"), BY_MAIL, None], ids=["by phone", "by address", "by record"]
)
def test_a_person_is_found_by_each_of_their_names(
    db: Database, tenant_id: UUID, ada: UUID, sought: Sought | None
) -> None:
    with db.tenant(tenant_id) as conn:
        found = persons.find(conn, sought or Sought(record_id=ada))
    assert (list(found.records), found.records["contact"]) == (["contact", "lead"], [ada])
    assert "+442079460999" not in found.needles, "a switchboard's number names nobody"
    assert {"+442079460123", "old.ada@engine.example"} <= set(found.needles)


def test_nobody_is_sought_by_two_names_or_by_none() -> None:
    with pytest.raises(ConfigurationError):
        Sought()
    with pytest.raises(ConfigurationError):
        Sought(email="a@b.example", phone="+4420")


def test_every_table_is_swept_or_is_kept_for_a_reason() -> None:
    assert {t.name for t in sweeping.tables()} | set(sweeping.KEPT) >= {t.name for t in metadata.sorted_tables}
    assert {"inbox", "job", "link", "crm_contact", "field_history", "change"} <= {t.name for t in sweeping.tables()}


def test_what_names_a_person_in_json_takes_its_object_along() -> None:
    given: dict[str, Any] = {
        "to": [{"name": "Ada", "mail": "A@b.example", "n": 1}, {"name": "Eve"}],
        "note": "see a@b.example!",
    }
    assert sweeping.cleaned({"x": given["to"], "y": [given["note"]]}, ["a@b.example"]) == {
        "x": [{"name": "[erased]", "mail": "[erased]", "n": None}, {"name": "Eve"}],
        "y": ["see [erased]!"],
    }


@pytest.mark.parametrize(
    ("body", "needle"),
    [
        ("to ada@b.example".encode("utf-16"), "ada@b.example"),
        ("An Jörg@b.example".encode(), "jörg@b.example"),
        (json.dumps({"to": "jörg@b.example"}).encode(), "jörg@b.example"),
        (b"to=j%C3%B6rg%40b.example", "jörg@b.example"),
        (rb"c:\ada@b.example", r"c:\ada@b.example"),
    ],
    ids=["utf-16", "utf-8", "json in ascii", "a form", "a backslash"],
)
def test_bytes_are_searched_in_whatever_way_they_write_an_address(
    db: Database, tenant_id: UUID, body: bytes, needle: str
) -> None:
    with db.tenant(tenant_id) as conn:
        _put(conn, inbox, tenant_id, body=body, dedupe_key="1")
        _put(conn, inbox, tenant_id, body=body.replace(b"e", b"x"), dedupe_key="2")
        assert len(list(sweeping.hits(conn, inbox, [needle]))) == 1


def test_every_spelling_of_what_is_suppressed_is(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    spelt = [Mark("email", str(ADA["email"])), Mark("email", str(ADA["email"]).upper())]
    with db.tenant(tenant_id) as conn:
        key = suppression.key_of(conn, vault)
        assert key is not None
        assert suppression.suppressed(conn, key, spelt).keys() == set(spelt)
        assert suppression.naming(conn, key, [{"a": [m.value]} for m in spelt] + [b"eve@engine.example", None]) == {
            0,
            1,
        }


def test_erasing_twice_changes_nothing(db: Database, tenant_id: UUID, vault: Vault, ada: UUID) -> None:
    _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(tenant_id) as conn:
        before = conn.execute(text("SELECT count(*), max(version) FROM crm_opportunity")).one()
    again = _erase(db, tenant_id, vault, BY_MAIL)
    with db.tenant(tenant_id) as conn:
        assert conn.execute(text("SELECT count(*), max(version) FROM crm_opportunity")).one() == before
    assert (again.left, again.records) == ({}, {})
