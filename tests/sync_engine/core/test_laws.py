"""Laws of planning, over thousands of cases: a failing one prints its choices, which replay it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sync_engine.core.merge import is_blank, same
from sync_engine.core.model import Conflict, Policy, Side
from tests.simulation.choices import Choices, shrink
from tests.sync_engine.core.cases import (
    HUB_ID,
    SCALARS,
    VALUES,
    Case,
    Desk,
    a_case,
    contested,
    held,
    hub_edited,
    vendor_edited,
)

CHUNKS, CASES = 10, 2_000


def check(choices: Choices) -> None:
    """All laws for one case. Raises AssertionError."""
    case = a_case(choices)
    desk = Desk(case)
    first = desk.pull()
    _no_edit_is_lost(case, desk, first.conflicts)
    _no_item_is_invented(case, desk)
    _nothing_more_is_planned(desk)
    killed = choices.one_in(2)
    desk.send(recorded=not killed)
    _an_echo_changes_nothing(desk)
    assert not desk.to_send(), "what was sent is sent again"
    _both_agree(case, desk)
    _a_second_round(case, desk, choices)


def _a_second_round(case: Case, desk: Desk, choices: Choices) -> None:
    """Both sides go on editing, open questions or not: it settles again."""
    for name, values in VALUES.items():
        if choices.one_in(3):
            desk.store.edit(HUB_ID, {name: choices.pick(values)})
        if choices.one_in(3):
            desk.vendor[name] = held(name, choices.pick(values))
    desk.version += 1
    desk.pull()
    _nothing_more_is_planned(desk)
    desk.send(recorded=True)
    _an_echo_changes_nothing(desk)
    assert not desk.to_send(), "what was sent is sent again"
    _both_agree(case, desk)


def _nothing_more_is_planned(desk: Desk) -> None:
    again = desk.pull()
    assert not again.set_hub, f"planning again sets {sorted(again.set_hub)}"
    assert not again.conflicts, "planning again finds new conflicts"
    assert again.push is bool(desk.to_send()) or not again.push, "pushes although nothing is to be sent"


def _an_echo_changes_nothing(desk: Desk) -> None:
    read_back = desk.pull()
    assert not read_back.set_hub, f"our own write, read back, sets {sorted(read_back.set_hub)}"
    assert not read_back.conflicts, "our own write, read back, is contested"
    assert not read_back.push, "our own write, read back, is pushed again"


def _no_edit_is_lost(case: Case, desk: Desk, conflicts: Sequence[Conflict]) -> None:
    noted = {c.field: c for c in conflicts}
    for name in SCALARS:
        ours, theirs, stands = case.hub.get(name), case.vendor.get(name), desk.hub.values.get(name)
        if contested(case, name):
            if case.base is None and (is_blank(ours) or is_blank(theirs)):
                assert is_blank(stands) is False, f"{name}: a blank beat a value"
                continue
            both = [noted[name].winning_value, noted[name].losing_value]
            assert any(same(v, theirs) for v in both), f"{name}: the vendor's value is in no conflict"
            assert any(same(v, ours) for v in both), f"{name}: the hub's value is in no conflict"
            expected = theirs if noted[name].winner is Side.VENDOR else ours
            assert same(stands, expected), f"{name}: the winner does not stand"
            assert noted[name].winner is None or case.rules.policy_of(name) is not Policy.ASK
        else:
            assert name not in noted, f"{name}: a conflict nobody had"
            took = vendor_edited(case, name) and not hub_edited(case, name)
            assert same(stands, theirs if took else ours) or same(held(name, stands), theirs), (
                f"{name}: an edit is lost"
            )


def _no_item_is_invented(case: Case, desk: Desk) -> None:
    for name in ("tags", "steps"):
        base, ours, theirs = ((case.base or {}).get(name) or [], case.hub.get(name) or [], case.vendor.get(name) or [])
        known = {*base, *ours, *theirs}
        stands = desk.hub.values.get(name) or []
        assert set(stands) <= known, f"{name}: an item nobody had"
        kept_by_both = set(ours) & set(theirs)
        assert kept_by_both <= set(stands), f"{name}: an item that both sides have is gone"
        if name not in case.sent and case.base is not None:
            removed = {i for i in base if i not in ours or i not in theirs}
            assert not removed & set(stands), f"{name}: a removal does not hold"
            assert (set(ours) | set(theirs)) - set(base) <= set(stands), f"{name}: an addition is lost"


def _both_agree(case: Case, desk: Desk) -> None:
    for name in VALUES:
        if desk.rules.writes_field(name) and name not in desk.link.open:
            ours, theirs = held(name, desk.hub.values.get(name)), desk.vendor.get(name)
            alike = set(ours or ()) == set(theirs or ()) if name == "tags" else same(ours, theirs)
            assert alike, f"{name}: the sides differ in the end"


def _fails(made: Sequence[int]) -> bool:
    try:
        check(Choices(recorded=made))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_laws_of_planning_hold_for_any_three_sides(chunk: int) -> None:
    for seed in range(chunk * CASES, (chunk + 1) * CASES):
        choices = Choices(seed)
        try:
            check(choices)
        except (AssertionError, KeyError) as error:
            smallest = shrink(choices.made, _fails)
            pytest.fail(
                f"{error}\nseed {seed}; replay with check(Choices(recorded={smallest}))\n{a_case(Choices(recorded=smallest))}"
            )
