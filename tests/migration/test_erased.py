"""A migration does not bring back who was erased, by address or by the source's own id, and keeps nothing of what it read."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from connectors.kit.contract import ReadRequest
from domain.ids import new_id
from domain.records import Page, Place, Reject
from migration import load
from migration.service import Migrations
from storage import erasing, persons, suppression
from storage.database import Database
from storage.embedded import ServerUrls
from storage.persons import Sought
from storage.sync.changing import Cause
from storage.vault import MasterKeys, Vault
from tests.migration.conftest import World
from tests.migration.source import ListSource
from tests.migration.test_resume import Killed, killed_at
from tests.migration.test_run import ACCOUNTS, USERS, contact

VAULT = Vault(MasterKeys.parse(["k:" + "A" * 43 + "="], "tests"))


def test_who_was_erased_is_not_migrated_again(
    world: World, db: Database, database_urls: ServerUrls, tenant_id: UUID
) -> None:
    people = [contact(1), contact(2), contact(3)]
    source = {"User": USERS, "Account": ACCOUNTS}
    world.migrate({**source, "Contact": people})
    with db.tenant(tenant_id) as conn:
        key = suppression.key_of(conn, VAULT, create=True)
        assert key is not None
        person = persons.find(conn, Sought(email="p2@x.example"))
        erasing.erase(conn, key, person, Cause(tenant_id, "hub", by="tests"), new_id())
    world.migrations = Migrations(
        db, database_urls.app, tenant_id, lambda _: world.source, processes=0, suppression_key=lambda: key
    )
    people[1] |= {"Email": "changed@x.example"}  # known by the source's id
    people.append(contact(4, Email="P2@x.example"))  # known by the address
    world.migrate({**source, "Contact": people})
    assert world.rows("SELECT email FROM crm_contact ORDER BY email") == [("p1@x.example",), ("p3@x.example",)]
    letters = world.rows("SELECT vendor_id, code, payload FROM dead_letter ORDER BY vendor_id")
    assert letters == [("0030002", "person_erased", None), ("0030004", "person_erased", None)]
    assert world.rows("SELECT 1 FROM stage_contact WHERE email LIKE '%p2%' OR email LIKE 'changed%'") == []


class Ragged(ListSource):
    """A source with pieces that are no records."""

    pieces: tuple[Reject, ...] = ()

    def read(self, request: ReadRequest) -> Iterator[Page]:
        for page in super().read(request):
            if request.object == "Contact" and page.last:
                page.rejects = list(self.pieces)
            yield page


def piece(row: int, *cells: str, vendor_id: str | None = None) -> Reject:
    raw = {"columns": ["Id", "Email"], "cells": list(cells)}
    return Reject("file_ragged_row", "More cells than columns.", Place("c.csv", row), raw, vendor_id)


def test_rows_that_cannot_be_read_are_not_kept_where_they_name_who_was_erased(
    world: World, db: Database, database_urls: ServerUrls, tenant_id: UUID
) -> None:
    with db.tenant(tenant_id) as conn:
        key = suppression.key_of(conn, VAULT, create=True)
        assert key is not None
        person = persons.find(conn, Sought(email="p2@x.example"))
        erasing.erase(conn, key, person, Cause(tenant_id, "hub", by="tests"), new_id())
    world.migrations = Migrations(
        db, database_urls.app, tenant_id, lambda _: world.source, processes=0, suppression_key=lambda: key
    )
    unmapped = [contact(2, Email="P2@x.example, p9@x.example"), contact(3, Email="no address")]
    world.source = Ragged({"User": USERS, "Account": ACCOUNTS, "Contact": [contact(1), *unmapped]})
    world.source.pieces = (
        piece(7, "1", "x", "P2@x.example"), piece(8, "2", "x", "p8@x.example"), piece(9, "3", vendor_id="p2@x.example"),
    )  # fmt: skip
    result = world.migrate()
    assert result.ledgers["Contact"].adds_up
    letters = world.rows("SELECT code, place, payload IS NULL FROM dead_letter WHERE code LIKE 'file%' ORDER BY place")
    assert [(row[0], row[2]) for row in letters] == [("file_ragged_row", gone) for gone in (True, False, True)]
    everywhere = world.rows("SELECT CAST(to_jsonb(d) AS text) FROM dead_letter d UNION ALL SELECT CAST(to_jsonb(c) AS text) FROM"
                            " migration_chunk c")  # fmt: skip
    assert not [row for row in everywhere if "p2@x.example" in row[0].lower()]


@pytest.mark.parametrize(("phase", "seq"), [("plan", 0), ("load", 1)])
def test_who_is_erased_while_a_migration_holds_what_it_read_is_not_loaded_and_the_ledger_adds_up(
    world: World,
    db: Database,
    database_urls: ServerUrls,
    tenant_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    seq: int,
) -> None:
    people = [contact(n) for n in range(1, 41)]
    source = {"User": USERS, "Account": ACCOUNTS, "Contact": people}
    world.source = ListSource(source)
    monkeypatch.setattr(load, "RANGE_ROWS", 16)
    with monkeypatch.context() as patched:
        killed_at("Contact", phase, seq, patched)
        with pytest.raises(Killed):
            world.migrate(source)
    loaded = world.count("crm_contact")
    assert loaded < len(people)
    chosen = [1, 40]  # of those that are loaded already, and of those that wait, where there are both
    with db.tenant(tenant_id) as conn:
        key = suppression.key_of(conn, VAULT, create=True)
        assert key is not None
        for n in chosen:
            person = persons.find(conn, Sought(email=f"p{n}@x.example"))
            erasing.erase(conn, key, person, Cause(tenant_id, "hub", by="tests"), new_id())
    before = world.source.pages_read
    world.migrations = Migrations(
        db, database_urls.app, tenant_id, lambda _: world.source, processes=0, suppression_key=lambda: key
    )
    result = world.migrations.resume(certificate=False)
    assert world.source.pages_read == before, "nothing has to be read again"
    ledger = result.ledgers["Contact"]
    assert ledger.adds_up
    left = {row[0] for row in world.rows("SELECT email FROM crm_contact")}
    assert left == {f"p{n}@x.example" for n in range(1, 41) if n not in chosen}
    assert ledger.rejects["person_erased"] == ledger.rejected == (2 if loaded == 0 else 1)
    assert world.rows("SELECT payload FROM dead_letter WHERE code = 'person_erased'") == [(None,)] * ledger.rejected
