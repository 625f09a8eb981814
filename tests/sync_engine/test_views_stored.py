"""Two objects over one vendor's records, in the database: what one commit must know of the other, and who may be made anew."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from domain.entities import ENTITIES
from storage.database import Database
from sync_engine.core.model import Rules
from sync_engine.ports import StaleError
from tests.sync_engine.contract.world import Worker, said
from tests.sync_engine.worlds import PostgresWorld

NAMES = frozenset({"last_name", "email", "is_converted", "converted_contact_id"})
LEAD = Rules("lead", NAMES, NAMES, match_keys=(("email",),), becomes=ENTITIES["lead"].becomes)


@pytest.fixture
def world(db: Database, tenant_id: object) -> PostgresWorld:
    return PostgresWorld(db, tenant_id)  # type: ignore[arg-type]


@pytest.fixture
def leads(world: PostgresWorld, contacts: Worker) -> Worker:
    """The leads among the contacts of the first connection."""
    return Worker(world, world.lane("contact_leads", "lead", connection=contacts.lane.connection_id), LEAD)


@pytest.fixture
def elsewhere(world: PostgresWorld, others: Worker) -> Worker:
    """Leads of the other connection."""
    return Worker(world, world.lane("Lead", "lead", connection=others.lane.connection_id), LEAD)


def test_a_record_is_not_linked_by_both_at_once_without_one_knowing(contacts: Worker, leads: Worker) -> None:
    leads.pull(said("7", last_name="Lovelace"))
    with pytest.raises(StaleError):
        contacts.pull(said("7", last_name="Lovelace"), beside=("contact_leads", frozenset()))
    assert contacts.link("7") is None
    contacts.pull(said("7", last_name="Lovelace"), beside=("contact_leads", frozenset({"7"})))
    assert [n.vendor_id for n in leads.store.notices(leads.lane, 10)] == ["7"], "the other one looks at it again"
    assert list(contacts.store.notices(contacts.lane, 10)) == []


def test_a_record_that_is_linked_already_makes_nobody_look(contacts: Worker, leads: Worker) -> None:
    contacts.pull(said("7", last_name="Lovelace"))
    leads.pull(said("7", last_name="Lovelace"))
    contacts.pull(said("7", "2", last_name="King"), beside=("contact_leads", frozenset()))
    assert list(leads.store.notices(leads.lane, 10)) == []


def test_a_contact_that_was_a_lead_is_joined_with_it_and_another_waits_until_leads_were_read(
    world: PostgresWorld, contacts: Worker, leads: Worker, others: Worker, elsewhere: Worker
) -> None:
    """New here: a contact of the other connection, whose leads nobody has read since, and one that a person made."""
    (came,) = others.pull(said("C", last_name="Lovelace"))
    made = world.create("contact", {"last_name": "Byron"})
    assert came.entity_id is not None
    asked = [came.entity_id, made]

    def joins() -> object:
        return world.store.joins(contacts.lane, "contact_leads", "lead", asked)

    assert joins() == {came.entity_id: None}
    with world.db.tenant(world.tenant_id) as conn:
        told = conn.execute(text("SELECT object FROM stream WHERE poll_asked_at IS NOT NULL")).scalars().all()
        assert told == ["Lead"], "so that nobody waits for long"
        conn.execute(text("UPDATE stream SET verified_at = clock_timestamp() WHERE object = 'Lead'"))
    assert joins() == {}
    leads.pull(said("7", last_name="Lovelace", is_converted=True, converted_contact_id=came.entity_id))
    assert joins() == {came.entity_id: "7"}
    contacts.pull(said("7", last_name="Byron"))
    assert joins() == {}, "HubSpot's contact is somebody else's"


@pytest.mark.parametrize("status", ["paused", "stopped", "braked", "reauth"])
def test_leads_that_nobody_reads_are_not_waited_for(
    world: PostgresWorld, contacts: Worker, others: Worker, elsewhere: Worker, status: str
) -> None:
    (came,) = others.pull(said("C", last_name="Lovelace"))
    assert came.entity_id is not None
    world.store.pause(elsewhere.lane, status, None)
    assert world.store.joins(contacts.lane, "contact_leads", "lead", [came.entity_id]) == {}
