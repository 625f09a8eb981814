"""Who was erased does not come back by what somebody posted before: neither by a letter nor by a delivery."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.access import SYSTEM_TENANT
from domain.ids import new_id
from storage import dead_letters, erasing, inbox, persons, routes, suppression
from storage.database import Connection, Database
from storage.persons import Sought
from storage.sync.changing import Cause
from storage.vault import MasterKeys, Vault
from tests.webhooks.test_processing import LEADS, NOW, Inbox, connect, contacts, hubspot, lead, twins
from webhooks.inbound import erasing as erasing_shared
from webhooks.inbound.erasing import Emptied
from webhooks.inbound.processing import Processing
from webhooks.inbound.replaying import PostedReplays

VAULT = Vault(MasterKeys.parse(["k:" + "A" * 43 + "="], "tests"))
TWIN, MOBILE = "twin@example.com", "+442079460123"
SPELT = "+44 (20) 7946-0123"
"""The same number, as no search for it finds it."""


def screen(conn: Connection, entity: str, values: Any) -> None:
    suppression.refuse(conn, VAULT, entity, values)


def screen_all(conn: Connection, entity: str, records: Any) -> frozenset[int]:
    return suppression.erased_among(conn, VAULT, entity, records)


def screen_raw(conn: Connection, data: Any) -> bool:
    return suppression.names_erased(conn, VAULT, data)


class Erasable(Inbox):
    def process(self, clock: Any = NOW) -> dict[str, int]:
        processing = Processing(self.db, clock=lambda: clock, erased_among=screen_all, names_erased=screen_raw)
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


# ---------------------------------------------------------------- the installation's own inbox


def of_portal(account: int, email: str) -> dict[str, Any]:
    return hubspot(7, account=account)[0] | {"propertyName": "email", "propertyValue": email}


def pubsub(mailbox: str) -> dict[str, Any]:
    data = base64.b64encode(json.dumps({"emailAddress": mailbox, "historyId": 7}).encode()).decode()
    return {"message": {"data": data, "messageId": str(new_id())}}


def connected(db: Database, tenant_id: UUID) -> int:
    account = int(new_id().int % 10**12)
    connect(db, tenant_id, account=str(account))
    routes.keep(db, tenant_id)
    return account


def bodies(box: Inbox) -> list[bytes]:
    with box.db.tenant(box.tenant_id) as conn:
        query = text("SELECT body FROM inbox WHERE endpoint_id = :e ORDER BY id")
        return [bytes(body) for body in conn.scalars(query, {"e": box.endpoint.id})]


def test_the_installations_inbox_keeps_nothing_of_an_erased_person_but_what_is_another_tenants(
    db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    mine, theirs, nobodys = connected(db, tenant_id), connected(db, other_tenant_id), int(new_id().int % 10**12)
    box = Inbox(db, SYSTEM_TENANT, "hubspot", {})
    name = f"{new_id()}@example.com"
    box.receive(
        [of_portal(mine, name.upper())], [of_portal(theirs, name)], [of_portal(nobodys, name)], [of_portal(mine, "b@example.com")],
        [of_portal(mine, name), of_portal(theirs, name)], f'{{"broken": "{name}'.encode(),
    )  # fmt: skip
    assert box.process() == {"noted": 4, "unroutable": 1, "dead": 1}
    before = bodies(box)
    assert erasing_shared.empty(db, tenant_id, [name]) == Emptied(erased=4, left=0)
    assert bodies(box) == [b"", before[1], b"", before[3], b"", b""]
    with db.tenant(SYSTEM_TENANT) as conn:
        [letter] = dead_letters.list_letters(conn, stage="webhook", object=box.endpoint.name, status=None)
    assert (letter.status, letter.resolution, letter.payload, letter.vendor_id) == ("resolved", "erased", None, None)
    assert erasing_shared.empty(db, tenant_id, [name]) == Emptied()
    assert box.ledger().balanced


def test_what_waits_in_the_installations_inbox_for_another_tenant_too_is_left_and_told(
    db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    mine, theirs = connected(db, tenant_id), connected(db, other_tenant_id)
    box = Inbox(db, SYSTEM_TENANT, "hubspot", {})
    name = f"{new_id()}@example.com"
    box.receive([of_portal(mine, name), of_portal(theirs, name)], [of_portal(mine, name)])
    assert erasing_shared.empty(db, tenant_id, [name]) == Emptied(erased=1, left=1)
    assert [bool(body) for body in bodies(box)] == [True, False]
    assert box.process() == {"noted": 1}


def test_a_mailbox_that_a_notice_names_in_base64_is_found(db: Database, tenant_id: UUID) -> None:
    settings = {"audience": "https://hub.example/in", "service_account": "push@project.iam.gserviceaccount.com"}
    box = Inbox(db, SYSTEM_TENANT, "google_pubsub", settings)
    name = f"{new_id()}@example.com"
    box.receive(pubsub(name), pubsub("b@example.com"))
    assert erasing_shared.empty(db, tenant_id, [name]) == Emptied(erased=1)
    assert [bool(body) for body in bodies(box)] == [False, True]


# ---------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize(
    "body",
    [f'{{"email": "{TWIN}"', f"email={TWIN.replace('@', '%40')}&x", f'[{{"mail":"{TWIN.upper()}"}}]', f"Ann|{TWIN}|7"],
    ids=["cut off", "a form", "a list", "a line"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_body_that_cannot_be_read_is_not_kept_where_it_names_who_was_erased(
    leads: Erasable, body: str, encoding: str
) -> None:
    leads.erase(Sought(email=TWIN))
    leads.receive(body.encode(encoding), body.replace("twin", "nobody").replace("TWIN", "nobody").encode(encoding))
    assert leads.process() == {"dead": 2}
    assert [bool(kept) for kept in bodies(leads)] == [False, True]
    named = {str(row[0]) for row in leads.rows("SELECT id FROM inbox WHERE octet_length(body) = 0")}
    assert [a.vendor_id in named for a in leads.letters()] == [True, False]
    assert leads.ledger().balanced
