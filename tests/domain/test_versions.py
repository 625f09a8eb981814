"""Versions compare as moments, however a vendor prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.versions import comparable


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2024-05-01T09:00:00Z", "2024-05-01T09:00:00.123Z"),
        ("2024-05-01T09:00:00.000+0000", "2024-05-01T09:00:01Z"),
        ("2024-05-01T11:00:00+02:00", "2024-05-01T09:00:00.001Z"),
        ("7", "8"),
        ("", "2024-05-01T09:00:00Z"),
    ],
)
def test_the_later_state_is_the_greater(earlier: str, later: str) -> None:
    assert comparable(earlier) < comparable(later)


@pytest.mark.parametrize("version", ["", "abc", "2024-05", "12345678901234567890", "2024-13-45T99:99:99Z"])
def test_what_is_no_moment_stays_as_it_is(version: str) -> None:
    assert comparable(version) == version


@pytest.mark.parametrize(
    ("version", "moment"),
    [
        ("2024-05-01T09:00:00.120Z", "2024-05-01T09:00:00.120000Z"),
        ("2024-W18-3T09:00:00.120Z", "2024-05-01T09:00:00.120000Z"),
        ("2024-02-30T09:00:00.120Z", "2024-02-30T09:00:00.120Z"),
    ],
)
def test_a_version_in_the_usual_form_is_read_no_differently(version: str, moment: str) -> None:
    assert comparable(version) == moment


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-7))])
MOMENTS = st.tuples(st.integers(0, 7_000_000_000_000_000), ZONES).map(
    lambda drawn: (datetime(1970, 1, 2, tzinfo=UTC) + timedelta(microseconds=drawn[0])).astimezone(drawn[1])
)


@given(MOMENTS, MOMENTS)
def test_any_two_moments_compare_as_their_texts_do(left: datetime, right: datetime) -> None:
    assert (left < right) == (comparable(left.isoformat()) < comparable(right.isoformat()))
