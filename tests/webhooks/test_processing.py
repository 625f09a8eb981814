"""From the inbox to what it means: every delivery ends once, in order, and the ledger adds up."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from connectors.kit.contract import Notice, Signal
from domain.access import SYSTEM_TENANT
from domain.ids import new_id
from storage import connections, dead_letters, inbound_endpoints, inbox, routes, scheduling, streams
from storage.database import Connection, Database
from storage.inbox import Became
from storage.streams import Stream
from storage.sync import queueing, records
from storage.sync.lanes import LaneKey
from storage.tables import inbox as inbox_table
from webhooks.inbound import posted, processing
from webhooks.inbound.processing import Processing
from webhooks.inbound.replaying import PostedReplays

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEADS = {
    "proof": {"kind": "api_key"},
    "idempotency_path": "$.id",
    "entity": "contact",
    "fields": {
        "email": "$.email",
        "last_name": "$.name.last",
        "phone": "$.phone",
        "custom_fields.campaign": "$.utm",
    },
}


class Inbox:
    """An endpoint of a tenant, and its inbox as the intake leaves it."""

    def __init__(
        self, db: Database, tenant_id: UUID, scheme: str, settings: dict[str, Any], connection: UUID | None = None
    ) -> None:
        self.db, self.tenant_id = db, tenant_id
        with db.tenant(tenant_id) as conn:
            self.endpoint = inbound_endpoints.create(
                conn, name=f"{scheme} {new_id()}", scheme=scheme, settings=settings, connection_id=connection
            )

    def receive(self, *bodies: Any, at: list[datetime] | None = None) -> None:
        rows = [
            {
                "tenant_id": self.tenant_id,
                "id": new_id() if at is None else UUID(int=new_id().int),
                "endpoint_id": self.endpoint.id,
                "dedupe_key": str(new_id()),
                "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
                "occurred_at": None if at is None else at[place],
            }
            for place, body in enumerate(bodies)
        ]
        for row, key in zip(rows, sorted(row["id"] for row in rows), strict=True):
            row["id"] = key
        with self.db.tenant(self.tenant_id) as conn:
            conn.execute(inbox_table.insert(), rows)

    def process(self, clock: datetime = NOW) -> dict[str, int]:
        done = Processing(self.db, clock=lambda: clock).process(self.tenant_id, self.endpoint.id)
        return {str(k): v for k, v in done.items()}

    def ledger(self) -> inbox.Ledger:
        with self.db.tenant(self.tenant_id) as conn:
            return inbox.ledger(conn, self.endpoint.id)

    def reasons(self) -> list[str | None]:
        with self.db.tenant(self.tenant_id) as conn:
            return [e.reason for e in reversed(inbox.entries(conn, endpoint_id=self.endpoint.id))]

    def letters(self) -> list[dead_letters.Letter]:
        with self.db.tenant(self.tenant_id) as conn:
            return dead_letters.list_letters(conn, stage="webhook")


@pytest.fixture
def leads(db: Database, tenant_id: UUID) -> Inbox:
    return Inbox(db, tenant_id, "generic", LEADS)


def contacts(db: Database, tenant_id: UUID) -> list[Any]:
    with db.tenant(tenant_id) as conn:
        query = "SELECT email, last_name, phone, version, custom_fields->>'campaign' AS campaign FROM crm_contact"
        return list(conn.execute(text(query + " ORDER BY email")))


def lead(key: object = "1", email: str = "ada@example.com", **more: Any) -> dict[str, Any]:
    return {"id": str(key), "email": email, "name": {"last": "Lovelace"}, **more}


# ---------------------------------------------------------------- posted data


def test_a_post_of_an_erased_person_is_refused_and_nothing_of_it_is_kept(leads: Inbox) -> None:
    def erased_among(_conn: Connection, entity: str, records: Sequence[Mapping[str, Any]]) -> list[int]:
        return [n for n, r in enumerate(records) if (entity, r["email"]) == ("contact", "ada@example.com")]

    leads.receive(lead(1, utm="spring"), lead(2, email="bo@example.com"))
    Processing(leads.db, clock=lambda: NOW, erased_among=erased_among).process(leads.tenant_id, leads.endpoint.id)
    assert [row.email for row in contacts(leads.db, leads.tenant_id)] == ["bo@example.com"]
    assert [(a.code, a.payload) for a in leads.letters()] == [("person_erased", None)]
    with leads.db.tenant(leads.tenant_id) as conn:
        bodies = conn.execute(text("SELECT body FROM inbox ORDER BY id")).scalars().all()
    assert [b"ada@" in bytes(body) for body in bodies] == [False, False]
    assert bytes(bodies[1])


def test_a_post_becomes_a_record_with_its_values_normalised(leads: Inbox) -> None:
    leads.receive(lead(email=" Ada@Example.COM ", phone="+44 20 7946 0958", utm="spring"))
    assert leads.process() == {"applied": 1}
    [found] = contacts(leads.db, leads.tenant_id)
    assert (found.email, found.phone, found.campaign) == ("ada@example.com", "+442079460958", "spring")


def test_a_post_about_a_known_record_changes_it_and_blanks_nothing(leads: Inbox) -> None:
    leads.receive(lead(1, phone="+442079460958"), lead(2, email="ADA@example.com", phone=None, utm="autumn"))
    assert leads.process() == {"applied": 2}
    [found] = contacts(leads.db, leads.tenant_id)
    assert (found.phone, found.campaign) == ("+442079460958", "autumn")


def test_a_post_older_than_what_stands_is_superseded(leads: Inbox) -> None:
    leads.receive(lead(1, utm="new"), lead(2, utm="old"), at=[NOW, NOW - timedelta(minutes=1)])
    assert leads.process() == {"applied": 1, "superseded": 1}
    assert [c.campaign for c in contacts(leads.db, leads.tenant_id)] == ["new"]


def test_posts_of_the_same_moment_apply_in_the_order_of_their_arrival(leads: Inbox) -> None:
    leads.receive(*(lead(n, utm=str(n)) for n in range(250)), at=[NOW] * 250)
    assert leads.process() == {"applied": 250}
    assert [c.campaign for c in contacts(leads.db, leads.tenant_id)] == ["249"]


def test_thousands_of_posts_shuffled_and_processed_by_several_at_once_have_one_effect_each(
    db: Database, tenant_id: UUID
) -> None:
    box = Inbox(db, tenant_id, "generic", LEADS)
    people, states = 60, 20
    posts = [(p, s) for p in range(people) for s in range(states)]
    random.Random(7).shuffle(posts)
    bodies = [lead(f"{p}-{s}", email=f"p{p:03}@example.com", utm=str(s)) for p, s in posts]
    box.receive(*bodies, at=[NOW + timedelta(seconds=s) for _, s in posts])
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: box.process(), range(3)))
    box.process()
    ledger = box.ledger()
    assert (ledger.received, ledger.pending, ledger.balanced) == (people * states, 0, True)
    assert set(ledger.by_outcome) == {"applied", "superseded"}
    assert [c.campaign for c in contacts(db, tenant_id)] == [str(states - 1)] * people


def twins(leads: Inbox, last_name: str = "Lovelace") -> None:
    """Two records that a post about one of them matches."""
    with leads.db.tenant(leads.tenant_id) as conn:
        for _ in range(2):
            records.create(
                conn, leads.tenant_id, "contact", {"email": "twin@example.com", "last_name": last_name}, "tests"
            )


def test_what_cannot_be_applied_is_a_letter_with_the_post_and_the_others_go_on(leads: Inbox) -> None:
    twins(leads)
    leads.receive(lead(1), lead(2, email="twin@example.com"), lead(3, email="b@example.com"))
    assert leads.process() == {"applied": 2, "dead": 1}
    [letter] = leads.letters()
    assert (letter.code, letter.entity, letter.payload["email"]) == ("ambiguous_match", "contact", "twin@example.com")
    assert "twin@example.com" not in letter.message


def test_a_preview_tells_values_that_are_no_texts_and_custom_ones_from_changes(leads: Inbox) -> None:
    known = {
        "email": "a@example.com",
        "last_name": "Byron",
        "birth_date": date(1990, 1, 2),
        "custom_fields.campaign": "x",
    }
    with leads.db.tenant(leads.tenant_id) as conn:
        records.create(conn, leads.tenant_id, "contact", known, "ada")
        found = posted.preview(conn, leads.tenant_id, leads.endpoint, posted.Reading("contact", known))
    assert (found.outcome, found.changes) == ("unchanged", {})


def test_a_mended_letter_is_replayed_once_however_often(leads: Inbox) -> None:
    twins(leads)
    leads.receive(lead(2, email="twin@example.com"))
    leads.process()
    replays = PostedReplays(leads.db, leads.tenant_id)
    [letter] = leads.letters()
    assert replays.replay(letter)[0] == "still open"
    with leads.db.tenant(leads.tenant_id) as conn:
        dead_letters.edit(conn, letter.id, {**letter.payload, "name": {"last": "Xu"}})
    [mended] = leads.letters()
    assert replays.preview(mended).outcome == "created"
    assert [replays.replay(mended)[0] for _ in range(2)] == ["applied", "applied"]
    found = [(c.last_name, c.version) for c in contacts(leads.db, leads.tenant_id)]
    assert sorted(found) == [("Lovelace", 1), ("Lovelace", 1), ("Xu", 1)]


def test_a_body_that_cannot_be_read_is_a_letter_that_processes_the_delivery_again(leads: Inbox) -> None:
    leads.receive(b"no json")
    assert leads.process() == {"dead": 1}
    [letter] = leads.letters()
    assert letter.code == "webhook_body_not_json"
    assert PostedReplays(leads.db, leads.tenant_id).replay(letter)[0] == "sent again"
    assert leads.ledger().pending == 1


def test_a_post_without_a_mapping_is_kept(db: Database, tenant_id: UUID) -> None:
    box = Inbox(db, tenant_id, "generic", {"proof": {"kind": "api_key"}})
    box.receive(lead())
    assert box.process() == {"kept": 1}
    assert contacts(db, tenant_id) == []


def test_a_filtered_post_says_why_nothing_came_of_it(db: Database, tenant_id: UUID) -> None:
    box = Inbox(db, tenant_id, "generic", LEADS | {"filters": [{"path": "$.test", "op": "exists", "value": False}]})
    box.receive(lead(test=True))
    assert (box.process(), box.reasons()) == ({"ignored": 1}, ["filtered"])


def test_a_paused_endpoint_keeps_what_waits(leads: Inbox) -> None:
    leads.receive(lead())
    with leads.db.tenant(leads.tenant_id) as conn:
        inbound_endpoints.update(conn, leads.endpoint.id, status="paused")
    assert (leads.process(), leads.ledger().pending) == ({}, 1)
    with leads.db.tenant(leads.tenant_id) as conn:
        inbound_endpoints.update(conn, leads.endpoint.id, status="active")
    assert leads.process() == {"applied": 1}


def test_a_bug_holds_one_delivery_back_and_ends_as_a_letter(leads: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    right = posted.apply_all

    def wrong(conn: Any, tenant: UUID, endpoint: Any, posts: Any) -> Any:
        if any(post.reading.values["email"] == "bug@example.com" for post in posts):
            conn.execute(text("SELECT 1 / 0"))
        return right(conn, tenant, endpoint, posts)

    monkeypatch.setattr(processing.posted, "apply_all", wrong)
    leads.receive(lead(1, email="bug@example.com"), lead(2))
    assert leads.process(NOW) == {"applied": 1}
    assert leads.process(NOW) == {}
    later = NOW
    for _ in range(processing.ATTEMPTS_MOST - 1):
        later += timedelta(hours=1)
        outcome = leads.process(later)
    assert outcome == {"dead": 1}
    assert [(a.code, a.fault) for a in leads.letters()] == [("bug", "ours")]
    assert leads.ledger().balanced


def test_a_process_that_dies_leaves_everything_to_the_next(leads: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    leads.receive(*(lead(n, utm=str(n)) for n in range(5)))
    with monkeypatch.context() as patch:
        patch.setattr(processing.inbox, "finish", _die)
        with pytest.raises(KeyboardInterrupt):
            leads.process()
    assert (leads.ledger().pending, contacts(leads.db, leads.tenant_id)) == (5, [])
    assert leads.process() == {"applied": 5}
    assert len(contacts(leads.db, leads.tenant_id)) == 1


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------- notices


def connect(db: Database, tenant_id: UUID, objects: tuple[str, ...] = ("contacts",), account: str = "42") -> UUID:
    connection = new_id()
    with db.tenant(tenant_id) as conn:
        connections.create(conn, connection, vendor="hubspot", name=str(connection), remote_account=account)
        for name in objects:
            streams.put(conn, Stream(connection, name, "contact"))
            conn.execute(
                text("UPDATE stream SET verified_at = :now, polled_at = :now WHERE connection_id = :c"),
                {"now": NOW, "c": connection},
            )
    return connection


def hubspot(*ids: int, account: int = 42, kind: str = "contact.propertyChange") -> list[dict[str, Any]]:
    return [
        {
            "eventId": new_id().int % 10**9, "subscriptionId": 1, "portalId": account, "appId": 1, "occurredAt": 1_772_000_000_000,
            "subscriptionType": kind, "attemptNumber": 0, "objectId": one, "propertyName": "email", "propertyValue": "x",
        }
        for one in ids
    ]  # fmt: skip


def hints(db: Database, tenant_id: UUID, connection: UUID) -> list[str]:
    with db.tenant(tenant_id) as conn:
        return [row[1] for row in queueing.notices(conn, LaneKey(tenant_id, connection, "contacts"), 10_000)]


def test_ten_thousand_notices_about_one_record_are_one_hint(db: Database, tenant_id: UUID) -> None:
    connection = connect(db, tenant_id)
    box = Inbox(db, tenant_id, "hubspot", {}, connection)
    box.receive(*(hubspot(*[7] * 100) for _ in range(100)))
    assert box.process() == {"noted": 100}
    assert hints(db, tenant_id, connection) == ["7"]


def test_notices_that_no_stream_follows_say_so(db: Database, tenant_id: UUID) -> None:
    box = Inbox(db, tenant_id, "hubspot", {}, connect(db, tenant_id, ()))
    box.receive(hubspot(7))
    assert (box.process(), box.reasons()) == ({"ignored": 1}, ["no_stream"])


def test_notices_of_a_whole_app_reach_every_tenant_that_connected_the_account_and_no_other(
    db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    account = str(new_id().int % 10**12)
    mine, theirs = connect(db, tenant_id, account=account), connect(db, other_tenant_id, account=account + "0")
    for tenant in (tenant_id, other_tenant_id):
        routes.keep(db, tenant)
    box = Inbox(db, SYSTEM_TENANT, "hubspot", {})
    box.receive(hubspot(7, 8, account=int(account)))
    assert box.process() == {"noted": 1}
    assert hints(db, tenant_id, mine) == ["7", "8"]
    assert hints(db, other_tenant_id, theirs) == []


def test_a_notice_of_an_account_that_nobody_connected_stays_visible(db: Database, tenant_id: UUID) -> None:
    account = new_id().int % 10**12
    connection = connect(db, tenant_id, account=str(account))
    routes.keep(db, tenant_id)
    with db.tenant(tenant_id) as conn:
        connections.delete(conn, connection)
    routes.keep(db, tenant_id)
    box = Inbox(db, SYSTEM_TENANT, "hubspot", {})
    box.receive(hubspot(7, account=account))
    assert box.process() == {"unroutable": 1}
    assert box.reasons() == [f"account {account}"]


@pytest.mark.parametrize(
    ("notice", "due"),
    [
        (Notice("contacts", ""), "overdue"),
        (Notice("contacts", "sub", signal=Signal.MISSED), "compare"),
        (Notice("", "sub", signal=Signal.REAUTHORIZE), "compare"),
        (Notice("contacts", "7"), "hinted"),
        (Notice("contacts", "sub", signal=Signal.STARTED), None),
    ],
)
def test_what_a_vendor_says_makes_the_lane_due(db: Database, tenant_id: UUID, notice: Notice, due: str | None) -> None:
    connection = connect(db, tenant_id)
    day, now = timedelta(days=1), datetime.now(UTC)
    with db.tenant(tenant_id) as conn:
        conn.execute(
            text("UPDATE stream SET verified_at = now(), polled_at = now(), compare_at = now() + interval '1 h'")
        )
    with db.tenant(tenant_id) as conn:
        assert scheduling.waiting(conn, now + timedelta(seconds=2), day, day) == []
        processing.follow(conn, tenant_id, connection, [notice])
        found = scheduling.waiting(conn, now + timedelta(seconds=2), day, day)
    shown = [name for lane in found for name in ("overdue", "compare", "hinted") if getattr(lane, name)]
    assert shown == ([] if due is None else [due])


def test_what_a_vendor_says_of_records_reaches_the_stream_of_a_part_of_them_too(db: Database, tenant_id: UUID) -> None:
    connection = connect(db, tenant_id, ("contacts", "companies"))
    with db.tenant(tenant_id) as conn:
        streams.put(conn, Stream(connection, "contact_leads", "lead", settings={"of": "contacts"}))
        said = [Notice("contacts", "7"), Notice("companies", "8"), Notice("contacts", "9", deleted=True)]
        assert processing.follow(conn, tenant_id, connection, said) == [(Became.NOTED, None)] * 3
        lanes = {name: LaneKey(tenant_id, connection, name) for name in ("contacts", "contact_leads", "companies")}
        found = {name: {(v, d) for _, v, d in queueing.notices(conn, key, 9)} for name, key in lanes.items()}
    of_contacts = {("7", False), ("9", True)}
    assert found == {"contacts": of_contacts, "contact_leads": of_contacts, "companies": {("8", False)}}


# ---------------------------------------------------------------- keeping account


def test_endpoints_with_something_to_do_are_told_once_until_the_hint_is_lost(leads: Inbox) -> None:
    leads.receive(lead())
    with leads.db.tenant(leads.tenant_id) as conn:
        assert inbox.tell_due(conn, NOW) == [leads.endpoint.id]
        assert inbox.tell_due(conn, NOW + timedelta(seconds=1)) == []
        assert inbox.tell_due(conn, NOW + timedelta(minutes=1)) == [leads.endpoint.id]
    leads.process()
    with leads.db.tenant(leads.tenant_id) as conn:
        assert inbox.tell_due(conn, NOW + timedelta(hours=1)) == []


def test_the_ledger_adds_up_also_over_what_was_deleted_by_age(leads: Inbox) -> None:
    leads.receive(lead(1), lead(2, email="b@example.com"), b"no json")
    leads.process(NOW)
    leads.receive(lead(3))
    with leads.db.tenant(leads.tenant_id) as conn:
        assert inbox.purge(conn, NOW) == 0
        assert inbox.purge(conn, NOW + timedelta(seconds=1)) == 3
    ledger = leads.ledger()
    assert (ledger.received, ledger.pending, ledger.by_outcome) == (4, 1, {"applied": 2, "dead": 1})
    assert ledger.balanced


def test_replaying_a_delivery_changes_nothing_that_stands(leads: Inbox) -> None:
    leads.receive(lead(1, utm="old"), lead(2, utm="new"), at=[NOW, NOW + timedelta(seconds=1)])
    leads.process()
    with leads.db.tenant(leads.tenant_id) as conn:
        first = inbox.entries(conn)[-1]
        assert inbox.replay(conn, [first.id]) == 1
    assert leads.process() == {"superseded": 1}
    assert [c.campaign for c in contacts(leads.db, leads.tenant_id)] == ["new"]
