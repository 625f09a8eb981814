"""Posts that are applied together end as if they had been applied one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.entities import ENTITIES
from domain.errors import RecordRejectedError
from domain.ids import new_id
from storage import inbound_endpoints, tenants
from storage.database import Database
from storage.inbound_endpoints import Endpoint
from storage.sync import records
from tests.webhooks.test_processing import LEADS, Inbox, contacts, lead
from webhooks.inbound import posted
from webhooks.inbound.posted import Post, Reading

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ("Lovelace", "LOVELACE", "Ｌovelace", "İnan", "inan", "Straße", "strasse", None)
EMAILS = ("ada@example.com", "bo@example.com", None)

posts = st.lists(
    st.tuples(
        st.sampled_from(EMAILS),
        st.sampled_from(NAMES),
        st.sampled_from(("+442079460958", "+442079460959", None)),
        st.integers(0, 3),
    ),
    max_size=12,
)


def reading(entity: str, email: str | None, name: str | None, phone: str | None) -> Reading:
    said = {"email": email, "last_name": name, "phone": phone}
    return Reading(entity, {field: value for field, value in said.items() if value is not None})


class Place:
    """A tenant of its own with an endpoint, and two contacts that cannot be told apart."""

    def __init__(self, db: Database) -> None:
        self.db, self.tenant_id = db, new_id()
        with db.tenant(self.tenant_id) as conn:
            tenants.ensure(conn, self.tenant_id, "Together")
            self.endpoint: Endpoint = inbound_endpoints.create(conn, name="form", scheme="generic", settings=LEADS)
            for _ in range(2):
                records.create(conn, self.tenant_id, "contact", {"email": "bo@example.com", "last_name": "Inan"}, "t")

    def apply(self, given: list[Post]) -> list[str]:
        with self.db.tenant(self.tenant_id) as conn:
            return [_said(one) for one in posted.apply_all(conn, self.tenant_id, self.endpoint, given)]

    def stands(self) -> list[Any]:
        """Contacts as they stand, with how often each was changed, what its history says, and what the change log tells."""
        with self.db.tenant(self.tenant_id) as conn:
            rows = conn.execute(
                text("""
                SELECT c.email, c.last_name, c.phone, c.version,
                    ARRAY(SELECT concat(f.field, ':', f.old, '>', f.new) FROM field_history f
                          WHERE f.tenant_id = c.tenant_id AND f.entity_id = c.id ORDER BY f.version, f.field) AS told,
                    (SELECT count(*) FROM change g WHERE g.tenant_id = c.tenant_id AND g.entity_id = c.id) AS logged,
                    (SELECT p.occurred_at FROM posted_record p WHERE p.tenant_id = c.tenant_id AND p.entity_id = c.id) AS until
                FROM crm_contact c""")
            )
            return sorted((tuple(row) for row in rows), key=repr)


def _said(outcome: Any) -> str:
    return outcome.code if isinstance(outcome, RecordRejectedError) else str(outcome)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(posts)
def test_together_is_one_after_the_other(db: Database, said: list[tuple[Any, Any, Any, int]]) -> None:
    one_by_one, together = Place(db), Place(db)
    given = [Post(reading("contact", *values), NOON + timedelta(hours=hour)) for *values, hour in said]
    assert together.apply(given) == [outcome for post in given for outcome in one_by_one.apply([post])]
    assert together.stands() == one_by_one.stands()


def test_posts_that_turn_out_to_mean_one_record_are_applied_one_after_the_other(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the database takes for the same, also where the posts look as if they had nothing in common."""
    place = Place(db)
    with db.tenant(place.tenant_id) as conn:
        known = records.create(conn, place.tenant_id, "contact", {"email": "ada@example.com", "last_name": "A"}, "t")
    monkeypatch.setattr(posted, "_matches", lambda *given: dict.fromkeys(given[-1], known))
    given = [
        Post(reading("contact", "ada@example.com", None, "+442079460958"), NOON),
        Post(
            reading("contact", "\N{CYRILLIC SMALL LETTER A}da@example.com", "Lovelace", None), NOON + timedelta(hours=1)
        ),
        Post(reading("contact", "bo@example.com", "King", None), NOON - timedelta(hours=1)),
    ]
    assert place.apply(given) == ["applied", "applied", "superseded"]
    [(email, name, phone, *_)] = [row for row in place.stands() if row[0] != "bo@example.com"]
    assert (email, name, phone) == (given[1].reading.values["email"], "Lovelace", "+442079460958")


def test_posts_of_different_records_take_few_statements(db: Database) -> None:
    def statements(number: int) -> int:
        place, counted = Place(db), 0
        given = [Post(reading("contact", f"c{n}@example.com", "Inan", None), NOON) for n in range(number)]
        with db.tenant(place.tenant_id) as conn:
            execute = conn.execute

            def counting(*args: Any, **more: Any) -> Any:
                nonlocal counted
                counted += 1
                return execute(*args, **more)

            conn.execute = counting  # type: ignore[method-assign]
            posted.apply_all(conn, place.tenant_id, place.endpoint, given)
        return counted

    assert statements(40) == statements(2)


def test_one_bug_among_many_holds_up_none_of_the_others(
    db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Inbox(db, tenant_id, "generic", LEADS)
    right = posted.apply_all

    def wrong(conn: Any, tenant: UUID, endpoint: Any, given: Any) -> Any:
        outcomes = right(conn, tenant, endpoint, given)
        if any(post.reading.values.get("email") == "bug@example.com" for post in given):
            conn.execute(text("SELECT 1 / 0"))
        return outcomes

    monkeypatch.setattr(posted, "apply_all", wrong)
    box.receive(*(lead(n, email="bug@example.com" if n == 11 else f"a{n}@example.com") for n in range(30)))
    assert box.process() == {"applied": 29}
    assert len(contacts(db, tenant_id)) == 29
    assert (box.ledger().received, box.ledger().pending) == (30, 1)


def test_where_there_are_several_keys_each_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = reading("contact", "ada@example.com", "A", None), reading("contact", "ada@example.com", "B", None)
    assert not posted._identities(one) & posted._identities(other)
    two = replace(ENTITIES["contact"], match_keys=(("email",), ("last_name", "phone")))
    monkeypatch.setattr(posted, "ENTITIES", {**ENTITIES, "contact": two})
    assert posted._identities(one) & posted._identities(other)
