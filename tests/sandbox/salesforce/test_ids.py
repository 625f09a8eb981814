from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.salesforce.ids import DIGITS, IdFactory, suffix, to18


def test_the_suffix_is_the_one_of_the_vendors_documented_example() -> None:
    assert to18("001D000000IqhSL") == "001D000000IqhSLIAZ"


@given(st.text(DIGITS, min_size=15, max_size=15))
def test_an_id_whose_case_was_lost_is_restored(id15: str) -> None:
    full = id15 + suffix(id15)
    assert to18(id15) == full
    assert to18(full.lower()) == full
    assert to18(full.upper()) == full


@pytest.mark.parametrize(
    "text", ["", "001", "0015000000XyZa!", "001D000000IqhSLIAZ0", "001D000000IqhSL999", "001D000000ıqhSL"]
)
def test_what_is_no_id_is_told_so(text: str) -> None:
    assert to18(text) is None


def test_ids_count_up_in_sorting_order_and_carry_their_own_suffix() -> None:
    factory = IdFactory()
    made = [factory.next("003") for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == 5000
    assert all(to18(one[:15]) == one and one.startswith("003") for one in made)
