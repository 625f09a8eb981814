"""Which of two objects holds a vendor's record, and what it says of itself to the other one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.entities import ENTITIES
from sync_engine.core.edits import vendor_edits
from sync_engine.core.model import Hub, Incoming, Known, Link, Outcome, Pushable, PushKind, Rules
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import plan_push
from sync_engine.views import Membership, placed

LEAD, CONTACT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
BECOMES = ENTITIES["lead"].becomes
LEADS = Membership("stage", frozenset({"lead", "sql"}), True, "contacts", "contact", (("email",),), "lead", "deal")
CONTACTS = Membership("stage", frozenset({"lead", "sql"}), False, "leads", "lead", (("email",),), "deal")
NAMES = frozenset({"last_name", "email", "custom_fields"})
LEAD_RULES = Rules(
    "lead",
    NAMES | {"is_converted", "converted_contact_id"},
    NAMES | {"converted_contact_id"},
    match_keys=(("email",),),
    becomes=BECOMES,
    part=True,
)
CONTACT_RULES = Rules("contact", NAMES, NAMES, match_keys=(("email",),))
SAID: dict[str, Any] = {"last_name": "Lovelace", "email": "ada@example.com", "custom_fields.colour": "red"}


def item(stage: str, membership: Membership = LEADS, **more: Any) -> Incoming:
    fields = {"version": "2", "fingerprint": b"print", **more}
    return Incoming("7", dict(SAID), outside=membership.outside(stage), **fields)


def link(hub: UUID = LEAD, **more: Any) -> Link:
    return Link("7", hub, **{"base": dict(SAID), "version": "1", "fingerprint": b"old", **more})


def known(*, linked: Link | None = None, elsewhere: UUID | None = None, hub: dict[str, Any] | None = None) -> Known:
    entity_id = linked.entity_id if linked else LEAD
    return Known(
        {"7": linked} if linked else {},
        {entity_id: Hub(entity_id, 1, {**SAID, **(hub or {})}, {**SAID})} if linked else {},
        elsewhere={"7": elsewhere} if elsewhere else {},
    )


def one(membership: Membership, record: Incoming, what: Known, others: tuple[str, ...] = ()) -> Incoming:
    (found,) = placed(membership, BECOMES, [record], what, others)
    return found


@pytest.mark.parametrize(("stage", "lead", "contact"), [
    ("lead", False, True), ("sql", False, True), ("deal", True, False), (" lead ", False, True), ("", None, None),
])  # fmt: skip
def test_a_stage_says_whose_a_record_is_and_a_blank_one_nothing(stage: Any, lead: Any, contact: Any) -> None:
    assert (LEADS.outside(stage), CONTACTS.outside(stage)) == (lead, contact)


HELD = {"nobody": (None, None), "leads": (link(), None), "contacts": (None, CONTACT), "both": (link(), CONTACT)}


@pytest.mark.parametrize("stage", ["lead", "deal", ""])
@pytest.mark.parametrize("held", list(HELD))
def test_every_record_is_taken_in_by_exactly_one_of_the_two(stage: str, held: str) -> None:
    """New ones by their stage, linked ones by their link; a contact stays one."""
    lead_link, contact = HELD[held]
    of_leads = one(LEADS, item(stage), known(linked=lead_link, elsewhere=contact))
    contact_link = link(CONTACT) if contact else None
    of_contacts = one(
        CONTACTS, item(stage, CONTACTS), known(linked=contact_link, elsewhere=LEAD if lead_link else None)
    )
    expected = {
        ("lead", "nobody"): "lead", ("deal", "nobody"): "contact", ("", "nobody"): "contact",
        ("lead", "leads"): "lead", ("deal", "leads"): "contact", ("", "leads"): "lead",
    }.get((stage, held), "contact")  # fmt: skip
    assert (of_leads.outside, of_contacts.outside) == ((False, True) if expected == "lead" else (True, False))


@pytest.mark.parametrize(
    ("membership", "rules", "stage"), [(LEADS, LEAD_RULES, "deal"), (CONTACTS, CONTACT_RULES, "lead")]
)
@pytest.mark.parametrize("buried", [False, True])
def test_what_the_other_one_holds_is_not_made_a_second_time(
    membership: Membership, rules: Rules, stage: str, buried: bool
) -> None:
    what = known(linked=link(OTHER, tombstoned=True)) if buried else Known()
    (decision,) = plan_pull([one(membership, item(stage, membership), what)], what, rules, lambda _: OTHER)
    assert (decision.outcome, decision.base) == (Outcome.SKIPPED, None)


def test_who_matches_a_contact_of_the_hub_is_no_lead() -> None:
    assert one(LEADS, item("lead"), Known(), ("7",)).outside is True
    assert one(LEADS, item("lead"), known(linked=link()), ("7",)).outside is False, "who is a lead already stays one"


def test_a_record_that_left_says_only_what_it_is_now_and_takes_nothing_back() -> None:
    what = known(linked=link(), elsewhere=CONTACT)
    moved = one(LEADS, replace(item("deal"), values={**SAID, "last_name": "King"}), what)
    assert moved.values == {"is_converted": True, "converted_contact_id": CONTACT}
    (decision,) = plan_pull([moved], what, LEAD_RULES, lambda _: OTHER)
    assert decision.set_hub == moved.values
    assert decision.base == {**SAID, **moved.values}


def test_a_record_that_left_for_nobody_knows_where_yet_waits_and_is_read_again() -> None:
    moved = one(LEADS, item("deal"), known(linked=link()))
    assert (moved.values, moved.fingerprint) == ({"is_converted": True}, b"")
    assert [(w.field, w.objects, w.vendor_id) for w in moved.waits] == [("converted_contact_id", ("contacts",), "7")]


def test_a_record_that_came_back_before_anybody_took_it_in_is_what_it_was() -> None:
    what = known(linked=link(base={**SAID, "is_converted": True}), hub={"is_converted": True})
    back = one(LEADS, item("lead"), what)
    (decision,) = plan_pull([back], what, LEAD_RULES, lambda _: OTHER)
    assert decision.set_hub == {"is_converted": None}


@pytest.mark.parametrize("of_hub", [None, False])
def test_nobody_contests_that_a_record_turned_into_another(of_hub: bool | None) -> None:
    what = known(linked=link(), elsewhere=CONTACT, hub={"is_converted": of_hub})
    (decision,) = plan_pull([one(LEADS, item("deal"), what)], what, LEAD_RULES, lambda _: OTHER)
    assert (decision.set_hub["is_converted"], decision.conflicts) == (True, ())
    told = Incoming("L", {"is_converted": False}, version="2", fingerprint=b"x")
    there = Known({"L": replace(link(base=None), vendor_id="L")}, {LEAD: Hub(LEAD, 1, {"is_converted": True})})
    (other,) = plan_pull([told], there, replace(LEAD_RULES, part=False), lambda _: OTHER)
    assert (other.set_hub, other.conflicts) == ({}, ()), "who has not heard of it takes nothing back"


def test_the_stage_lags_behind_only_where_the_hub_knows_what_the_lead_became() -> None:
    turned = {"is_converted": True, "converted_contact_id": CONTACT}
    elsewhere = one(LEADS, item("lead"), known(linked=link(), elsewhere=CONTACT, hub=turned))
    assert elsewhere.values == {"is_converted": True}
    matched = one(LEADS, item("lead"), known(linked=link(), elsewhere=CONTACT))
    assert matched.values == turned


def pushed(hub: dict[str, Any], linked: Link | None, rules: Rules = LEAD_RULES, **more: Any) -> Any:
    seen = {n: v for n, v in hub.items() if rules.writes_field(n)}
    (decision,) = plan_push(
        [Pushable(LEAD, Hub(LEAD, 2, hub, seen, deleted=more.pop("deleted", False)), linked, **more)], rules
    )
    return decision


def test_a_converted_lead_is_sent_nowhere_but_for_what_it_became() -> None:
    turned = {**SAID, "last_name": "King", "is_converted": True, "converted_contact_id": CONTACT}
    assert pushed(turned, None).kind is PushKind.NOTHING
    assert pushed(turned, link()).fields == {"converted_contact_id": CONTACT}
    salesforce = replace(LEAD_RULES, part=False, writes=NAMES)
    assert pushed(turned, link(), salesforce).kind is PushKind.NOTHING
    assert pushed({**turned, "is_converted": False}, link(), salesforce).fields == {"last_name": "King"}


@pytest.mark.parametrize("more", [{"elsewhere": True}, {"current": replace(item("deal"), outside=True)}])
def test_a_deleted_lead_is_not_deleted_where_it_is_a_contact_by_now(more: dict[str, Any]) -> None:
    assert pushed(SAID, link(), deleted=True, **more).kind is PushKind.PART
    assert pushed(SAID, link(), deleted=True).kind is PushKind.DELETE


def test_a_deleted_contact_leaves_the_lead_that_it_was() -> None:
    gone = Incoming("7", deleted=True)
    for converted, outcome in ((True, Outcome.KEPT), (False, Outcome.DELETED)):
        (decision,) = plan_pull(
            [gone], known(linked=link(), hub={"is_converted": converted}), LEAD_RULES, lambda _: OTHER
        )
        assert (decision.outcome, decision.tombstone_link) == (outcome, True)


def test_a_lead_merged_into_a_contact_became_that_one() -> None:
    merged = Incoming("7", merged_into="8")
    what = replace(known(linked=link()), elsewhere={"8": CONTACT})
    (decision,) = plan_pull([merged], what, LEAD_RULES, lambda _: OTHER)
    assert decision.set_hub == {"is_converted": True, "converted_contact_id": CONTACT}
    assert (decision.delete, decision.tombstone_link) == (False, True)


def test_what_the_mapping_refuses_is_a_letter_of_one_stream_alone() -> None:
    refused = replace(item("deal"), error=("bad", "It is bad.", None))
    assert one(LEADS, refused, Known()).error is None
    assert one(CONTACTS, replace(refused, outside=False), Known()).error is not None


def test_no_blank_is_an_edit_of_what_left() -> None:
    moved = one(LEADS, item("deal"), known(linked=link(), elsewhere=CONTACT))
    assert vendor_edits(LEAD_RULES, link(base={**SAID, **moved.values}), moved) == {}


def test_a_lead_merged_into_what_the_contacts_have_not_taken_in_waits_for_that() -> None:
    merged = one(LEADS, Incoming("7", merged_into="8"), known(linked=link()))
    assert [(w.field, w.objects, w.vendor_id) for w in merged.waits] == [("converted_contact_id", ("contacts",), "8")]
    survivor = Incoming("8", {"last_name": "Byron"}, "3", outside=True)
    waiting, _ = plan_pull([merged, survivor], known(linked=link()), LEAD_RULES, lambda _: OTHER)
    assert (waiting.outcome, waiting.waits, waiting.tombstone_link) == (Outcome.SKIPPED, merged.waits, False)
    taken_in = replace(known(linked=link()), elsewhere={"8": CONTACT})
    (now,) = plan_pull([one(LEADS, Incoming("7", merged_into="8"), taken_in)], taken_in, LEAD_RULES, lambda _: OTHER)
    assert (now.outcome, now.set_hub) == (Outcome.MERGED, {"is_converted": True, "converted_contact_id": CONTACT})


def test_a_contact_merged_into_a_lead_goes_on_as_a_contact() -> None:
    """What became of a lead does not become a lead again; the lead's object then hears that it has turned into the contact."""
    links = {"7": link(CONTACT)}
    hubs = {CONTACT: Hub(CONTACT, 1, dict(SAID), dict(SAID))}
    batch = [Incoming("7", merged_into="8"), Incoming("8", dict(SAID), "3", outside=True)]
    gone, found = plan_pull(batch, Known(links, hubs), CONTACT_RULES, lambda _: OTHER)
    assert (gone.outcome, gone.delete, found.outcome, found.entity_id) == (
        Outcome.MERGED,
        False,
        Outcome.MATCHED,
        CONTACT,
    )
