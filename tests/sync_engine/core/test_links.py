"""Lists of associated records: sets of which a vendor may hold a part."""

from __future__ import annotations

from uuid import UUID

import pytest

from sync_engine.core.merge import Sides, merge_sides
from sync_engine.core.model import Hub, Incoming, Known, Link, ListKind, Outcome, Pushable, PushKind, Rules
from sync_engine.core.pull import plan_pull
from sync_engine.core.push import plan_push

A, B, C, D = (UUID(int=n) for n in range(1, 5))
HUB = UUID(int=99)
LISTS = {"contact_ids": ListKind.LINKS}
RULES = Rules(
    "opportunity",
    frozenset({"name", "contact_ids", "contact_id"}),
    frozenset({"name", "contact_ids"}),
    lists=LISTS,
    picks={"contact_id": "contact_ids"},
)


def ids(text: str) -> list[UUID]:
    return [{"a": A, "b": B, "c": C, "d": D}[letter] for letter in text]


@pytest.mark.parametrize(
    ("base", "hub", "seen", "vendor", "to_hub", "to_vendor"),
    [
        ("a", "a", "a", "ab", "ab", None),  # the vendor adds
        ("ab", "ab", "ab", "b", "b", None),  # the vendor removes
        ("a", "ab", "ab", "a", None, "ab"),  # the hub adds
        ("ab", "b", "b", "ab", None, "b"),  # the hub removes
        ("a", "ab", "ab", "ac", "abc", "abc"),  # both add
        ("abc", "ab", "ab", "bc", "b", "b"),  # both remove
        ("ac", "ab", "ab", "acd", "abd", "abd"),  # adds and removals of both
        ("a", "ad", "a", "ab", "abd", None),  # the vendor lacks d: it stays in the hub, and is not sent
        ("ab", "abd", "ab", "a", "ad", None),
        ("a", "ad", "a", "a", None, None),
        ("ab", "b", "b", "b", None, None),  # both removed the same
        ("ab", "", "", "", None, None),
    ],
)
def test_additions_and_removals_of_both_sides_arrive_on_the_other(
    base: str, hub: str, seen: str, vendor: str, to_hub: str | None, to_vendor: str | None
) -> None:
    name = "contact_ids"
    sides = Sides({name: ids(hub)}, {name: ids(vendor)}, {name: ids(base)}, {name: ids(seen)})
    merged = merge_sides(sides, lists=LISTS)
    assert merged.to_hub.get(name) == (None if to_hub is None else ids(to_hub))
    assert merged.to_vendor.get(name) == (None if to_vendor is None else ids(to_vendor))
    assert merged.conflicts == ()


def test_records_that_were_never_compared_keep_what_either_side_has() -> None:
    merged = merge_sides(Sides({"contact_ids": ids("a")}, {"contact_ids": ids("b")}), lists=LISTS)
    assert (merged.to_hub["contact_ids"], merged.to_vendor["contact_ids"]) == (ids("ab"), ids("ab"))


def _link(base: str) -> Link:
    return Link("1", HUB, {"name": "Sale", "contact_ids": ids(base)}, version="1", revision=1)


def _hub(values: str, **more: object) -> Hub:
    record = {"name": "Sale", "contact_ids": ids(values), **more}
    return Hub(HUB, 3, record, {n: v for n, v in record.items() if n != "contact_id"})


@pytest.mark.parametrize(("now", "outcome"), [("a", Outcome.DELETED), ("abc", Outcome.KEPT)])
def test_a_record_that_only_lost_associates_was_not_edited(now: str, outcome: Outcome) -> None:
    """The associated record may have been deleted; that must not bring back what the vendor deletes with it."""
    decision = plan_pull(
        [Incoming("1", deleted=True)], Known({"1": _link("ab")}, {HUB: _hub(now)}), RULES, lambda _: HUB
    )[0]
    assert decision.outcome is outcome


@pytest.mark.parametrize(("now", "outcome"), [("a", Outcome.SUPERSEDED), ("abc", Outcome.REVIVED)])
def test_nor_was_a_vendors_record_edited_that_only_lost_associates(now: str, outcome: Outcome) -> None:
    gone = Hub(HUB, 3, {"name": "Sale"}, deleted=True)
    said = Incoming("1", {"name": "Sale", "contact_ids": ids(now), "contact_id": A}, version="2")
    decision = plan_pull([said], Known({"1": _link("ab")}, {HUB: gone}), RULES, lambda _: HUB)[0]
    assert decision.outcome is outcome


@pytest.mark.parametrize(
    ("base", "hub", "main", "said", "picked", "expected"),
    [
        ("", "", None, "a", A, A),  # the first one that the vendor brings
        ("a", "a", A, "ab", B, None),  # the hub has a main one: the vendor has none to contest it with
        ("a", "ab", None, "a", A, None),  # the hub wants none of what stood there before
        ("ab", "b", None, "ab", A, None),  # what the hub parted from does not come back by another name
        ("a", "a", A, "b", B, B),  # the main one was parted from, and another one came
    ],
)
def test_a_vendor_without_main_records_names_one_only_where_the_hub_has_none(
    base: str, hub: str, main: UUID | None, said: str, picked: UUID, expected: UUID | None
) -> None:
    item = Incoming("1", {"name": "Sale", "contact_ids": ids(said), "contact_id": picked}, version="2")
    decision = plan_pull([item], Known({"1": _link(base)}, {HUB: _hub(hub, contact_id=main)}), RULES, lambda _: HUB)[0]
    assert decision.set_hub.get("contact_id") == expected
    assert decision.conflicts == ()


def test_a_new_record_is_associated_once_it_is_there() -> None:
    decision = plan_push([Pushable(HUB, _hub("ab"))], RULES)[0]
    assert (decision.kind, decision.fields, decision.more) == (PushKind.CREATE, {"name": "Sale"}, True)
    decision = plan_push([Pushable(HUB, _hub("ab"), Link("1", HUB, decision.fields))], RULES)[0]
    assert (decision.kind, decision.fields) == (PushKind.UPDATE, {"contact_ids": ids("ab")})


LED = Rules(
    "contact",
    frozenset({"account_id", "account_ids"}),
    frozenset({"account_id", "account_ids"}),
    lists={"account_ids": ListKind.LINKS},
    mains={"account_ids": "account_id"},
)


def _person(main: UUID, everyone: str) -> Hub:
    values = {"account_id": main, "account_ids": ids(everyone)}
    return Hub(HUB, 3, values, values)


@pytest.mark.parametrize(
    ("everyone", "created", "more"), [("a", ["account_id", "account_ids"], False), ("ab", ["account_id"], True)]
)
def test_a_main_record_alone_comes_with_the_new_one(everyone: str, created: list[str], more: bool) -> None:
    """So that a contact of one company costs no second write."""
    decision = plan_push([Pushable(HUB, _person(A, everyone))], LED)[0]
    assert (decision.kind, sorted(decision.fields), decision.more) == (PushKind.CREATE, created, more)
    after = plan_push([Pushable(HUB, _person(A, everyone), Link("1", HUB, decision.fields))], LED)[0]
    assert after.kind is (PushKind.UPDATE if more else PushKind.NOTHING)


@pytest.mark.parametrize(("everyone", "kind"), [("c", PushKind.NOTHING), ("", PushKind.UPDATE)])
def test_a_main_record_that_is_on_its_way_is_not_blank(everyone: str, kind: PushKind) -> None:
    """A vendor named a primary company that the hub does not have yet: sending blank would part the contact from it."""
    hub = Hub(HUB, 3, {"account_ids": ids(everyone)}, {} if everyone else {"account_ids": [], "account_id": None})
    link = Link("1", HUB, {"account_id": A, "account_ids": ids(everyone)}, version="1", revision=1)
    assert plan_push([Pushable(HUB, hub, link)], LED)[0].kind is kind


@pytest.mark.parametrize("seen", [{}, {"account_id": None}])
def test_nor_where_the_hub_says_outright_that_it_has_none(seen: dict[str, None]) -> None:
    hub = Hub(HUB, 3, {"account_id": None, "account_ids": ids("c")}, {"account_ids": ids("c"), **seen})
    link = Link("1", HUB, {"account_id": A, "account_ids": ids("c")}, version="1", revision=1)
    assert plan_push([Pushable(HUB, hub, link)], LED)[0].kind is PushKind.NOTHING
