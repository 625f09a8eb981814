"""Dataclasses that only the type checker freezes are otherwise what Python's own are."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from domain.frozen import dataclass
from sync_engine.core.model import Decision, Outcome


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Two numbers."""

    x: int
    y: int = 0


def test_they_are_compared_hashed_and_replaced_by_their_fields() -> None:
    assert Place(1) == Place(1, 0) != Place(1, 2)
    assert {Place(1), Place(1, 0)} == {Place(1)}
    assert dataclasses.replace(Place(1), y=3) == Place(1, 3)
    assert Place(1) < Place(1, 2)
    assert pickle.loads(pickle.dumps(Place(1))) == Place(1)  # noqa: S301  # our own


def test_they_take_no_other_fields() -> None:
    with pytest.raises(AttributeError):
        Place(1).z = 2  # type: ignore[attr-defined]


def test_a_mutable_one_has_no_hash() -> None:
    @dataclass(slots=True)
    class Draft:
        x: int

    with pytest.raises(TypeError):
        hash(Draft(1))


def test_decisions_are_such() -> None:
    made = Decision("1", Outcome.SKIPPED)
    made.vendor_id = "2"  # type: ignore[misc]  # what the type checker refuses costs nothing at run time
    assert made == Decision("2", Outcome.SKIPPED)
