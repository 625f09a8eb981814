"""Who was erased does not come back by what somebody posted before: neither by a letter nor by a delivery."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.ids import new_id
from storage import erasing, inbox, persons, suppression
from storage.database import Connection, Database
from storage.persons import Sought
from storage.sync.changing import Cause
from storage.vault import MasterKeys, Vault
from tests.webhooks.test_processing import LEADS, NOW, Inbox, contacts, lead, twins
from webhooks.inbound.processing import Processing
from webhooks.inbound.replaying import PostedReplays

VAULT = Vault(MasterKeys.parse(["k:" + "A" * 43 + "="], "tests"))
TWIN, MOBILE = "twin@example.com", "+442079460123"
SPELT = "+44 (20) 7946-0123"
"""The same number, as no search for it finds it."""


def screen(conn: Connection, entity: str, values: Any) -> None:
    suppression.refuse(conn, VAULT, entity, values)


def screen_raw(conn: Connection, data: Any) -> bool:
    return suppression.names_erased(conn, VAULT, data)


class Erasable(Inbox):
    def process(self, clock: Any = NOW) -> dict[str, int]:
        processing = Processing(self.db, clock=lambda: clock, refuse=screen, names_erased=screen_raw)
        return {str(k): v for k, v in processing.process(self.tenant_id, self.endpoint.id).items()}

    @property
    def replays(self) -> PostedReplays:
        return PostedReplays(self.db, self.tenant_id, refuse=screen)

    def erase(self, sought: Sought) -> None:
        with self.db.tenant(self.tenant_id) as conn:
            key = suppression.key_of(conn, VAULT, create=True)
            assert key is not None
            erasing.erase(conn, key, persons.find(conn, sought), Cause(self.tenant_id, "hub", by="t"), new_id())

    def rows(self, statement: str) -> list[Any]:
        with self.db.tenant(self.tenant_id) as conn:
            return [tuple(row) for row in conn.execute(text(statement))]

    def replay(self) -> int:
        with self.db.tenant(self.tenant_id) as conn:
            return inbox.replay(conn, [UUID(str(i)) for (i,) in conn.execute(text("SELECT id FROM inbox"))])


@pytest.fixture
def leads(db: Database, tenant_id: UUID) -> Erasable:
    return Erasable(db, tenant_id, "generic", LEADS)


@pytest.mark.parametrize(
    ("post", "sought"),
    [
        (lead(1, email=TWIN), Sought(email=TWIN)),
        (lead(1, email=TWIN, phone=SPELT), Sought(phone=MOBILE)),
    ],
    ids=["named as it is searched for", "named in another spelling"],
)
def test_a_letter_from_before_the_erasure_brings_nobody_back(leads: Erasable, post: Any, sought: Sought) -> None:
    twins(leads)
    leads.receive(post)
    assert leads.process() == {"dead": 1}
    [letter] = leads.letters()
    leads.rows("DELETE FROM crm_contact RETURNING 1")  # so that the post is ambiguous no more
    leads.erase(sought)
    assert leads.replays.preview(letter).outcome == "erased"
    assert leads.replays.replay(letter)[0] == "erased"
    assert contacts(leads.db, leads.tenant_id) == []
    assert leads.rows("SELECT payload, mapped, original FROM dead_letter") == [(None, None, None)]


def test_a_letter_that_named_the_person_is_closed_by_the_erasure(leads: Erasable) -> None:
    twins(leads)
    leads.receive(lead(1, email=TWIN), lead(2, email="other@example.com", name={"last": ""}))
    leads.process()
    leads.erase(Sought(email=TWIN))
    found = leads.rows("SELECT status, resolution, payload IS NULL FROM dead_letter ORDER BY id")
    assert found[0] == ("resolved", "erased", True)
    assert ("open", None, False) in found[1:] or len(found) == 1


@pytest.mark.parametrize(
    ("post", "sought", "again"),
    [
        (lead(1, email=TWIN), Sought(email=TWIN), 0),
        (lead(1, email="", phone=SPELT), Sought(phone=MOBILE), 1),
    ],
    ids=["emptied by the erasure", "named in another spelling"],
)
def test_a_delivery_from_before_the_erasure_brings_nobody_back(
    leads: Erasable, post: Any, sought: Sought, again: int
) -> None:
    leads.receive(post)
    assert leads.process() == {"applied": 1}
    leads.erase(sought)
    assert leads.replay() == again
    leads.process()
    assert contacts(leads.db, leads.tenant_id) == []
    assert leads.rows("SELECT octet_length(body), headers FROM inbox") == [(0, None)]
    assert [a.payload for a in leads.letters()] == [None] * again
    assert leads.ledger().balanced


def test_an_erasure_ends_no_delivery_that_has_no_body_to_begin_with(leads: Erasable) -> None:
    leads.receive(b"", lead(1, email=TWIN))
    leads.erase(Sought(email=TWIN))
    assert leads.rows("SELECT status, reason FROM inbox ORDER BY id") == [("pending", None), ("done", "erased")]


def test_what_cannot_be_read_is_not_kept_of_an_erased_person_either(leads: Erasable) -> None:
    leads.erase(Sought(email=TWIN))
    leads.receive(lead(1, email=TWIN, name={"last": ""}), lead(2, email="b@example.com", name={"last": ""}))
    leads.process()
    kept = {a.code: a.payload for a in leads.letters()}
    assert TWIN not in str(kept)
    assert TWIN not in str(leads.rows("SELECT convert_from(body, 'UTF8') FROM inbox"))
    assert len(contacts(leads.db, leads.tenant_id)) + sum(p is not None for p in kept.values()) == 1


def test_keys_of_posts_that_are_addresses_are_not_kept(db: Database, tenant_id: UUID) -> None:
    box = Erasable(db, tenant_id, "generic", {**LEADS, "idempotency_path": "$.email"})
    box.erase(Sought(email=TWIN))
    box.receive(lead(1, email=TWIN), lead(2, email="b@example.com"))
    box.rows(
        "UPDATE inbox SET dedupe_key = 'twin@example.com' WHERE strpos(encode(body, 'escape'), 'twin@') > 0 RETURNING 1"
    )
    box.process()
    everywhere = ("SELECT dedupe_key FROM inbox", "SELECT vendor_id, place FROM dead_letter")
    assert TWIN not in str([box.rows(statement) for statement in everywhere])
    assert [c.email for c in contacts(db, tenant_id)] == ["b@example.com"]
    assert [a.code for a in box.letters()] == ["person_erased"]
