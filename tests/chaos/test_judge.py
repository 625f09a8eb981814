"""The judge of a chaos run is not blind: an edit that stands nowhere is in flight, and sides that differ are not equal."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos_judge import _agree, _end
from benchmarks.chaos_people import NAMES, Edit

MINE, RIVAL = Edit("hub", "a@example.com", "title", "token 1"), Edit("hubspot", "a@example.com", "title", "token 2")
ELSEWHERE = Edit("hub", "b@example.com", "title", "token 3")


def sides(**titles: str | None) -> dict[str, Any]:
    blank = dict.fromkeys(NAMES["hub"])
    return {side: {**blank, "title": title} for side, title in titles.items()}


def everywhere(title: str | None) -> dict[str, Any]:
    return sides(hub=title, salesforce=title, hubspot=title)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (everywhere("token 1"), "applied"),
        (everywhere("Token 1 "), "applied"),
        (everywhere("token 2"), "superseded"),
        (everywhere("token 3"), "in_flight"),
        (everywhere(None), "in_flight"),
        (sides(hub="token 1", salesforce="token 1", hubspot="token 2"), "in_flight"),
        (sides(hub="token 1", salesforce="token 1"), "in_flight"),
        (None, "in_flight"),
    ],
)
def test_what_became_of_an_edit(found: dict[str, Any] | None, end: str) -> None:
    assert _end(MINE, [MINE, RIVAL, ELSEWHERE], found, set()) == end
    assert _end(MINE, [MINE, RIVAL, ELSEWHERE], found, {MINE.record}) == ("dead" if end == "in_flight" else end)


@pytest.mark.parametrize(
    ("found", "agree"),
    [
        (everywhere("x"), True),
        (sides(hub=None, salesforce="", hubspot=None), True),
        (sides(hub="x", salesforce="x", hubspot="y"), False),
        (sides(hub="x", salesforce="x"), False),
    ],
)
def test_whether_sides_agree(found: dict[str, Any], agree: bool) -> None:
    assert _agree(found) is agree
