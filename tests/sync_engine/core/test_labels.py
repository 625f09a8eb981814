"""As what records are associated: merged pair by pair, held by a vendor as far as it has the labels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.labels import joined, split
from sync_engine import labels
from sync_engine.core.merge import Sides, merge_sides
from sync_engine.core.model import ListKind

KINDS = {"roles": ListKind.LABELS}
PAIRS = [f"{record} {label}" for record in "ab" for label in ("Decides", "Pays", "Cheers")]
SOME = st.sets(st.sampled_from(PAIRS)).map(sorted)
CASES = st.sampled_from([str, str.upper, str.casefold])


def merged(base: list[str], hub: list[str], seen: list[str], vendor: list[str]) -> tuple[list[str], list[str]]:
    """The hub's labels after a merge, and what the vendor has to say after it."""
    sides = Sides({"roles": hub}, {"roles": vendor}, {"roles": base}, {"roles": seen})
    found = merge_sides(sides, lists=KINDS)
    assert not found.conflicts
    return list(found.to_hub.get("roles", hub)), list(found.to_vendor.get("roles", vendor))


@given(SOME, SOME, SOME, CASES)
def test_each_pair_merges_by_itself(base: list[str], hub: list[str], vendor: list[str], spelled: object) -> None:
    """However the vendor spells it, what either side added is there, and what either side took off is not."""

    def theirs(items: list[str]) -> list[str]:
        return sorted(joined(r, spelled(label)) for r, label in map(split, items))  # type: ignore[operator]

    ours, there = merged(theirs(base), hub, theirs(hub), theirs(vendor))
    for pair in PAIRS:
        kept = (pair in hub and pair in vendor) or (pair not in base and (pair in hub or pair in vendor))
        for side in (ours, there):
            assert (pair.casefold() in {p.casefold() for p in side}) is kept
    assert len({p.casefold() for p in ours}) == len(ours), "no label twice"
    assert {p for p in ours if p.casefold() in {h.casefold() for h in hub}} <= set(hub), "spelled as the hub spells it"


@given(SOME, SOME, st.sets(st.sampled_from(["Decides", "Pays", "Cheers"])))
def test_what_a_vendor_has_no_label_for_is_never_taken_off_by_it(
    base: list[str], hub: list[str], known: set[str]
) -> None:
    def can(items: list[str]) -> list[str]:
        return [p for p in items if split(p)[1] in known]

    for vendor in (can(base), []):
        ours, _ = merged(can(base), hub, can(hub), vendor)
        assert set(hub) - set(can(hub)) <= set(ours)


def test_a_vendor_holds_the_labels_that_it_has_in_its_own_spelling() -> None:
    said = ["a Cheers", "a decides", "b Pays", "c Pays"]
    assert labels.as_held(said, {"a", "b"}, ["Decides", "PAYS"], (), single=False) == (
        ["a Decides", "b PAYS"],
        ["Cheers"],
    )
    assert labels.as_held(said, {"a", "b"}, [], (), single=False) == ([], []), "one without labels misses none"


def test_a_vendor_of_one_label_keeps_the_one_that_it_holds() -> None:
    known = ["Cheers", "Decides"]
    said = ["a Cheers", "a Decides", "b Decides"]
    assert labels.as_held(said, {"a", "b"}, known, (), single=True)[0] == ["a Cheers", "b Decides"]
    assert labels.as_held(said, {"a", "b"}, known, ["a Decides"], single=True)[0] == ["a Decides", "b Decides"]
    assert labels.as_held(["a Cheers"], {"a"}, known, ["a Decides"], single=True)[0] == ["a Cheers"]


def test_labels_are_told_and_missed_by_name() -> None:
    assert labels.pairs(labels.told('{"7": ["B", "A"], "5": ["C"]}')) == (("5", "C"), ("7", "A"), ("7", "B"))
    assert labels.told("") == {}
    assert labels.failure("roles", []) is None
    found = labels.failure("roles", ["Cheers"])
    assert found is not None
    assert (found.code, found.field, "“Cheers”" in found.message) == ("no_counterpart", "roles", True)
