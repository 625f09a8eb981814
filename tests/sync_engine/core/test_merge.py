"""Three-way merge: the table of what each side did, and the laws that hold for any three sides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.records import MISSING
from sync_engine.core.merge import Conflict, Merge, Policy, Side, Sides, is_blank, merge, merge_sides

A, B, C = "agreed", "hub's", "vendor's"


@pytest.mark.parametrize(
    ("base", "hub", "vendor", "to_hub", "to_vendor"),
    [
        pytest.param(A, A, A, None, None, id="nobody changed it"),
        pytest.param(A, A, C, C, None, id="the vendor changed it"),
        pytest.param(A, B, A, None, B, id="the hub changed it"),
        pytest.param(A, B, B, None, None, id="both changed it to the same"),
        pytest.param(A, A, None, (None,), None, id="the vendor blanked it"),
        pytest.param(A, None, A, None, (None,), id="the hub blanked it"),
        pytest.param(None, None, C, C, None, id="the vendor filled a blank"),
        pytest.param(None, B, None, None, B, id="the hub filled a blank"),
        pytest.param("", None, [], None, None, id="blanks of different kinds are the same"),
    ],
)
def test_one_side_changed_and_its_value_stands(base: Any, hub: Any, vendor: Any, to_hub: Any, to_vendor: Any) -> None:
    merged = merge({"f": base}, {"f": hub}, {"f": vendor})
    unwrap = lambda v: v[0] if isinstance(v, tuple) else v  # noqa: E731
    assert merged == Merge(
        {} if to_hub is None else {"f": unwrap(to_hub)}, {} if to_vendor is None else {"f": unwrap(to_vendor)}
    )


@pytest.mark.parametrize("base", [{"f": A}, None], ids=["with a base", "never compared"])
@pytest.mark.parametrize(
    ("policy", "winner"),
    [(Policy.HUB_WINS, Side.HUB), (Policy.VENDOR_WINS, Side.VENDOR), (Policy.PREFER_NONBLANK, Side.HUB)],
)
def test_both_changed_and_the_policy_decides(base: Any, policy: Policy, winner: Side) -> None:
    merged = merge(base, {"f": B}, {"f": C}, policy)
    won, lost = (B, C) if winner is Side.HUB else (C, B)
    assert merged.conflicts == (Conflict("f", winner, policy, won, lost),)
    assert (merged.to_hub, merged.to_vendor) == (({}, {"f": B}) if winner is Side.HUB else ({"f": C}, {}))


@pytest.mark.parametrize(("hub", "vendor", "stands"), [(None, C, C), (B, None, B), ("", C, C), (B, [], B)])
def test_prefer_nonblank_takes_the_value_of_whoever_has_one(hub: Any, vendor: Any, stands: str) -> None:
    merged = merge({"f": A}, {"f": hub}, {"f": vendor}, Policy.PREFER_NONBLANK)
    assert {**{"f": hub}, **merged.to_hub}["f"] == stands
    assert [c.winning_value for c in merged.conflicts] == [stands]


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize(
    ("hub", "vendor", "to_hub", "to_vendor"), [(None, C, {"f": C}, {}), (B, None, {}, {"f": B}), (None, "", {}, {})]
)
def test_never_compared_a_value_fills_a_blank_under_any_policy(
    policy: Policy, hub: Any, vendor: Any, to_hub: Any, to_vendor: Any
) -> None:
    assert merge(None, {"f": hub}, {"f": vendor}, policy) == Merge(to_hub, to_vendor)


def test_a_field_missing_from_a_base_was_blank_while_no_base_knows_nothing() -> None:
    hub, vendor = {"f": B}, {"f": None}
    assert merge({}, hub, vendor).to_vendor == {"f": B}
    assert merge(None, hub, vendor).to_vendor == {"f": B}
    with_base, without = merge({"f": B}, hub, vendor), merge(None, hub, vendor)
    assert with_base.to_hub == {"f": None}
    assert without.to_hub == {}
    assert merge({}, {"f": B}, {"f": C}).conflicts
    assert merge({"f": B}, {"f": B}, {"f": C}).conflicts == ()


def test_a_policy_of_a_field_beats_the_policy_of_all() -> None:
    merged = merge({}, {"f": B, "g": B}, {"f": C, "g": C}, Policy.HUB_WINS, {"g": Policy.VENDOR_WINS})
    assert merged.to_hub == {"g": C}
    assert merged.to_vendor == {"f": B}


@pytest.mark.parametrize("value", [0, False, Decimal(0), "0", " ", [""], {"": ""}])
def test_zero_false_and_space_are_values(value: Any) -> None:
    assert not is_blank(value)
    assert merge({"f": 7}, {"f": 7}, {"f": value}).to_hub == {"f": value}


@pytest.mark.parametrize("value", [None, "", [], {}, MISSING])
def test_blanks(value: Any) -> None:
    assert is_blank(value)


def test_true_is_not_one() -> None:
    """A custom field that turns from the number 1 into a tick did change."""
    assert merge({"f": 1}, {"f": 1}, {"f": True}).to_hub == {"f": True}
    assert merge({"f": 0}, {"f": 0}, {"f": False}).to_hub == {"f": False}
    assert merge({"f": 1}, {"f": 1}, {"f": Decimal("1.0")}).to_hub == {}
    assert merge({"f": {"a": [1]}}, {"f": {"a": [1]}}, {"f": {"a": [True]}}).to_hub == {"f": {"a": [True]}}


# ---------------------------------------------------------------- laws

NAMES = ("a", "b", "c", "d")
VALUES = st.sampled_from([None, "", [], {}, 0, 1, True, False, "x", "y", ["x"], {"k": 1}, Decimal("1.5")])
RECORDS = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))
BASES = st.none() | st.dictionaries(st.sampled_from(NAMES), VALUES)
VENDORS = st.dictionaries(st.sampled_from(NAMES), VALUES | st.just(MISSING))
POLICIES = st.sampled_from(Policy)
ANSWERING = st.sampled_from([p for p in Policy if p is not Policy.ASK])


def same(left: Any, right: Any) -> bool:
    return (is_blank(left) and is_blank(right)) or (repr(left) == repr(right))


def apply(record: dict[str, Any], changes: Any) -> dict[str, Any]:
    return {**record, **changes}


@given(BASES, RECORDS, VENDORS, ANSWERING)
def test_merging_after_both_sides_took_it_merges_nothing(base: Any, hub: Any, vendor: Any, policy: Policy) -> None:
    first = merge(base, hub, vendor, policy)
    hub, vendor = apply(hub, first.to_hub), apply(vendor, first.to_vendor)
    assert merge(vendor, hub, vendor, policy) == Merge()
    assert merge(base, hub, vendor, policy) == Merge(), "even if the new base was lost"


@given(BASES, RECORDS, VENDORS, ANSWERING)
def test_merging_again_before_the_vendor_took_it_changes_the_hub_no_more(
    base: Any, hub: Any, vendor: Any, policy: Policy
) -> None:
    first = merge(base, hub, vendor, policy)
    hub = apply(hub, first.to_hub)
    again = merge(vendor, hub, vendor, policy)
    assert (again.to_hub, again.conflicts) == ({}, ())
    assert again.to_vendor == first.to_vendor


@given(BASES, RECORDS, POLICIES)
def test_our_own_write_read_back_changes_nothing(base: Any, hub: Any, policy: Policy) -> None:
    assert merge(base, hub, dict(hub), policy) == Merge()


@given(RECORDS, st.data(), POLICIES)
def test_edits_of_different_fields_all_survive(base: Any, data: st.DataObject, policy: Policy) -> None:
    ours = data.draw(st.sets(st.sampled_from(NAMES)))
    theirs = set(NAMES) - ours
    hub = {n: data.draw(VALUES) if n in ours else base[n] for n in NAMES}
    vendor = {n: data.draw(VALUES) if n in theirs else base[n] for n in NAMES}
    merged = merge(base, hub, vendor, policy)
    assert merged.conflicts == ()
    after, there = apply(hub, merged.to_hub), apply(vendor, merged.to_vendor)
    for name in NAMES:
        edited = hub[name] if name in ours else vendor[name]
        assert same(after[name], edited)
        assert same(there[name], edited)


@given(BASES, RECORDS, VENDORS, POLICIES)
def test_every_value_that_is_lost_stands_in_a_conflict(base: Any, hub: Any, vendor: Any, policy: Policy) -> None:
    """Lost: replaced, not blank, and not what both sides had agreed on."""
    merged = merge(base, hub, vendor, policy)
    told = {c.field: c.losing_value for c in merged.conflicts}
    sides = [(hub, n, v) for n, v in merged.to_hub.items()] + [(vendor, n, v) for n, v in merged.to_vendor.items()]
    for record, name, _ in sides:
        value = record.get(name)
        agreed = base is not None and same(base.get(name), value)
        if not is_blank(value) and not agreed:
            assert same(told[name], value)
    assert len(told) == len(merged.conflicts)


@given(BASES, RECORDS, VENDORS, POLICIES)
def test_only_what_the_vendor_speaks_of_is_considered(base: Any, hub: Any, vendor: Any, policy: Policy) -> None:
    merged = merge(base, hub, vendor, policy)
    spoken = {n for n, v in vendor.items() if v is not MISSING}
    assert {*merged.to_hub, *merged.to_vendor} <= spoken
    assert not {*merged.to_hub} & {*merged.to_vendor}


def followed(base: Any, hub: Any, vendor: Any, **more: Any) -> Merge:
    """A stage and the probability that follows it, each side as (stage, probability); ``base`` None: never compared."""
    sides = [
        None if side is None else dict(zip(("stage", "chance"), side, strict=True)) for side in (hub, vendor, base)
    ]
    return merge_sides(Sides(*sides, **more), follows={"chance": "stage"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "hub", "vendor", "to_hub"),
    [
        pytest.param(
            (A, 1), (A, 2), (C, 3), {"stage": C, "chance": 3}, id="taken with its leader, although both changed it"
        ),
        pytest.param((A, 1), (B, 2), (B, 3), {}, id="derived there from what the hub sent: nobody's edit"),
        pytest.param((A, 1), (B, 2), (A, 3), {}, id="both changed it, and the leader is the hub's"),
        pytest.param((A, 1), (A, 1), (A, 3), {"chance": 3}, id="only the vendor changed it"),
        pytest.param((A, 1), (A, 2), (A, 1), {}, id="only the hub changed it"),
        pytest.param(None, (A, 1), (A, 3), {}, id="never compared: the hub's stays"),
        pytest.param(None, (A, None), (A, 3), {"chance": 3}, id="never compared: a blank is filled"),
    ],
)
def test_a_field_that_follows_another_one_is_never_contested(base: Any, hub: Any, vendor: Any, to_hub: Any) -> None:
    merged = followed(base, hub, vendor)
    assert (dict(merged.to_hub), merged.conflicts) == (to_hub, ())
    if base is not None:
        assert {"chance": base[1], **merged.base}["chance"] == vendor[1], "it is taken account of"


def test_what_a_vendor_filled_in_by_itself_is_nobodys_edit() -> None:
    merged = merge_sides(Sides({"owner": B}, {"owner": C}, {}, own=frozenset({"owner"})))
    assert (merged.to_hub, merged.to_vendor, merged.conflicts, merged.base) == ({}, {}, (), {"owner": C})


@pytest.mark.parametrize(("vendor", "to_hub"), [(C, {"owner": C}), (A, {})])
def test_where_the_hubs_value_has_no_place_the_vendors_change_is_all_there_is(vendor: str, to_hub: Any) -> None:
    merged = merge_sides(Sides({"owner": B}, {"owner": vendor}, {"owner": A}, placeless=frozenset({"owner"})))
    assert (merged.to_hub, merged.conflicts) == (to_hub, ())
