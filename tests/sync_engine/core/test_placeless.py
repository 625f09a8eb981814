"""Values of the hub that have no place at a vendor: users, stages, pipelines of others, and what a vendor makes up itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from sync_engine.core.model import Failure, Hub, HubRef, Incoming, Known, Link, Outcome, Pushable, PushKind, Rules
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import plan_push

SALE, OURS, THEIRS, OTHER = (UUID(int=n) for n in range(1, 5))
NAMES = frozenset({"name", "owner_id", "account_id", "stage_id", "contact_id"})
RULES = Rules("opportunity", NAMES | {"probability"}, NAMES, required=frozenset({"stage_id", "account_id"}))
REFUSED = Failure("no_counterpart", "The stage has no counterpart.", "stage_id")


def pulled(link: Link, hub: dict[str, Any], seen: dict[str, Any], **said: Any) -> Any:
    known = Known({"1": link}, {SALE: Hub(SALE, 1, hub, seen)})
    (decision,) = plan_pull([Incoming("1", said, "2", fingerprint=b"2")], known, RULES, lambda _: SALE)
    return decision


MADE = Link("1", SALE, {"name": "Sale"}, origin="pushed")


def test_what_a_vendor_put_into_a_record_that_the_hub_made_is_no_edit() -> None:
    hub = {"name": "Sale", "owner_id": OURS, "probability": 10}
    found = pulled(MADE, hub, {"name": "Sale"}, name="Sale", owner_id=THEIRS, probability=40)
    assert (found.set_hub, found.conflicts, found.push) == ({}, (), False)
    assert found.base == {"name": "Sale", "owner_id": THEIRS, "probability": 40}


@pytest.mark.parametrize("again", [{"revision": 1}, {"origin": "matched"}])
def test_later_it_is_one(again: Any) -> None:
    hub = {"name": "Sale", "owner_id": OURS}
    found = pulled(replace(MADE, **again), hub, {"name": "Sale"}, name="Sale", owner_id=THEIRS)
    assert found.set_hub == {"owner_id": THEIRS}


def test_a_reference_that_only_waits_is_contested_as_ever() -> None:
    found = pulled(MADE, {"name": "Sale", "account_id": OURS}, {"name": "Sale"}, name="Sale", account_id=THEIRS)
    assert [c.field for c in found.conflicts] == ["account_id"]


def test_the_vendors_change_counts_where_the_hubs_value_has_no_place() -> None:
    link = Link("1", SALE, {"name": "Sale", "owner_id": THEIRS}, revision=3)
    hub = {"name": "Sale", "owner_id": OURS}
    assert pulled(link, hub, {"name": "Sale"}, name="Sale", owner_id=OTHER).set_hub == {"owner_id": OTHER}
    assert pulled(link, hub, {"name": "Sale"}, name="Sale", owner_id=THEIRS).set_hub == {}


def test_a_reference_that_went_with_its_record_does_not_keep_a_deleted_line() -> None:
    link = Link("1", SALE, {"name": "Sale", "account_id": THEIRS}, revision=3)
    known = Known({"1": link}, {SALE: Hub(SALE, 2, {"name": "Sale"}, {"name": "Sale", "account_id": None})})
    (found,) = plan_pull([Incoming("1", deleted=True)], known, RULES, lambda _: SALE)
    assert (found.outcome, found.conflicts) == (Outcome.DELETED, ())


def pushed(seen: dict[str, Any], link: Link | None = None, rules: Rules = RULES, **more: Any) -> Any:
    values = {n: v for n, v in seen.items() if v is not None}
    (decision,) = plan_push([Pushable(SALE, Hub(SALE, 2, values, seen), link, **more)], rules)
    return decision


def test_a_new_record_without_a_place_for_its_stage_is_refused_whole() -> None:
    found = pushed({"name": "Sale"}, failure=REFUSED, waits=(HubRef("account_id", "account", OURS),))
    assert (found.kind, found.failure) == (PushKind.REFUSE, REFUSED)


@pytest.mark.parametrize(("base", "kind"), [({"name": "Old"}, PushKind.UPDATE), ({"name": "Sale"}, PushKind.REFUSE)])
def test_of_a_known_one_the_rest_is_sent_and_the_failure_told(base: dict[str, Any], kind: PushKind) -> None:
    found = pushed({"name": "Sale"}, Link("1", SALE, base), failure=REFUSED)
    assert (found.kind, found.failure) == (kind, REFUSED)


def test_what_can_be_set_but_once_is_not_sent_again_and_a_needed_reference_is_not_blanked() -> None:
    link = Link("1", SALE, {"name": "Old", "contact_id": OURS, "account_id": OURS})
    rules = replace(RULES, once=frozenset({"contact_id"}))
    found = pushed({"name": "Sale", "contact_id": THEIRS, "account_id": None}, link, rules)
    assert found.fields == {"name": "Sale"}
    assert pushed({"contact_id": THEIRS}, None, rules).fields == {"contact_id": THEIRS}


def test_a_record_goes_only_where_one_of_its_values_is_taken() -> None:
    rules = replace(RULES, only={"name": frozenset({"Sale", "Deal"})})
    assert [pushed({"name": name}, None, rules).kind for name in ("Sale", "Lease")] == [
        PushKind.CREATE,
        PushKind.NOTHING,
    ]
