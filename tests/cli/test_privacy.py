"""What the command line says of an erasure: never that nothing is left where something could not be searched."""

from __future__ import annotations

from typing import Any

import pytest

from cli import privacy

UNREAD = {
    "connection_id": "c",
    "file": "a.zip",
    "expires": None,
    "why": "is locked by a password",
    "parts": 0,
    "inside": [],
}
NAMED = {"connection_id": "c", "file": "a.csv", "expires": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "2 tables were searched. Nothing names the person any more."),
        (
            {"sought": 0},
            "2 tables were searched. They have no address or number to look for: only what is bound to their records was found.",
        ),
        ({"left": {"job": 3}}, "2 tables were searched. 3 rows still name the person."),
        ({"uploads": [NAMED]}, "2 tables were searched. 1 uploaded files still name the person."),
        (
            {"uploads_unsearched": [UNREAD, {**UNREAD, "why": "is damaged"}]},
            "2 tables were searched. Not everything could be searched: 1 uploaded files may name the person.",
        ),
    ],
    ids=["nothing left", "nothing sought", "rows left", "files left", "files unsearched"],
)
def test_the_outcome_says_no_more_than_was_searched(given: dict[str, Any], said: str) -> None:
    report = {
        "searched": {"job": 0, "event": 0},
        "left": {},
        "uploads": [],
        "uploads_unsearched": [],
        "sought": 1,
    } | given
    assert privacy._summary(report) == said


@pytest.mark.parametrize(
    ("parts", "inside", "said"),
    [(0, [], ""), (1, ["b.csv"], "b.csv:"), (7, ["b.csv", "c.csv"], "b.csv, c.csv, 5 more:")],
)
def test_parts_that_could_not_be_searched_are_named(parts: int, inside: list[str], said: str) -> None:
    assert privacy._inside({"parts": parts, "inside": inside}) == said
