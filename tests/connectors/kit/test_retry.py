from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.faults import safe_code, safe_path
from connectors.kit.retry import DAY_S, RetryPolicy, retry_after_s

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("120", 120),
        ("1.5", 1.5),
        ("0", 0),
        ("-5", 0),
        ("99999999", DAY_S),
        ("inf", DAY_S),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sat, 21 Nov 2099 11:00:00 GMT", DAY_S),
        ("Saturday, 21-Nov-26 12:00:30 GMT", 30),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after(raw: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": raw}, NOON) == seconds


def test_a_date_is_compared_with_the_vendors_own_clock() -> None:
    headers = {"Retry-After": "Sat, 21 Nov 2026 08:00:30 GMT", "Date": "Sat, 21 Nov 2026 08:00:00 GMT"}
    assert retry_after_s(headers, NOON) == 30


def test_no_header() -> None:
    assert retry_after_s({}) is None


@given(st.text())
def test_nothing_in_the_header_breaks_it(raw: str) -> None:
    seconds = retry_after_s({"Retry-After": raw}, NOON)
    assert seconds is None or 0 <= seconds <= DAY_S


@given(st.integers(1, 50), st.none() | st.floats(0, DAY_S), st.integers())
def test_waits_are_bounded_and_never_shorter_than_asked(attempt: int, asked: float | None, seed: int) -> None:
    policy = RetryPolicy()
    wait = policy.wait_s(attempt, asked, random.Random(seed))
    if asked is None:
        assert 0 <= wait <= policy.cap_s
    else:
        assert asked <= wait <= asked + policy.base_s


@pytest.mark.parametrize(
    ("attempt", "elapsed_s", "asked", "last"),
    [
        (1, 0, None, False),
        (5, 0, None, True),
        (1, 301, None, True),
        (1, 0, 121, True),
        (1, 200, 110, True),
        (1, 0, 120, False),
    ],
)
def test_when_it_gives_up(attempt: int, elapsed_s: float, asked: float | None, last: bool) -> None:
    assert RetryPolicy().gives_up(attempt, elapsed_s, asked) is last


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://api.example.com/a/b?email=x@y.z#f", "/a/b"),
        ("https://api.example.com", "/"),
        ("https://api.example.com/users/x@y.z/mail", "/users/*/mail"),
        ("/users/x%40y.z", "/users/*"),
        ("/" + "x" * 500, "/" + "x" * 199),
    ],
)
def test_paths_for_telemetry(url: str, path: str) -> None:
    assert safe_path(url) == path


@pytest.mark.parametrize("code", ["INVALID_FIELD", "sf:INVALID", "a.b-c/d", "4001"])
def test_codes_are_shown(code: str) -> None:
    assert safe_code(code) == code


@pytest.mark.parametrize("code", ["", "no such user jane@example.org", "x" * 81, "a\nb"])
def test_prose_is_not(code: str) -> None:
    assert safe_code(code) == "unnamed error"
