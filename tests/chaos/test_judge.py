"""The judge of a chaos run is not blind: an edit that stands nowhere is in flight, and sides that differ are not equal."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos_judge import _agree, _end, _end_of_gone
from benchmarks.chaos_people import GONE, NAMES, Edit, People, merged_into

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


DELETE = Edit("salesforce", "a@example.com", GONE, "deleted")


def test_what_became_of_a_delete() -> None:
    assert _end_of_gone(DELETE, [MINE, DELETE]) == "applied"
    assert _end_of_gone(MINE, [MINE, DELETE]) == "superseded", "it went with its record"
    assert _end_of_gone(MINE, [MINE, RIVAL]) == "in_flight", "nobody deleted it: it is lost"
    assert _end(DELETE, [MINE, DELETE], everywhere("token 1"), set()) == "superseded", "an edit beat the delete"
    assert _end(DELETE, [DELETE, ELSEWHERE], everywhere("x"), set()) == "in_flight", (
        "nothing beat it, and yet it stands"
    )
    assert _end(DELETE, [MINE, DELETE], sides(hub="x", salesforce="x"), set()) == "in_flight"


def test_an_edit_goes_with_a_record_that_its_own_side_deleted_though_another_sides_edit_brought_it_back() -> None:
    mine = Edit("salesforce", "a@example.com", "title", "token 1")
    assert _end(mine, [mine, DELETE], everywhere("x"), set()) == "superseded"
    assert _end(mine, [DELETE, mine], everywhere("x"), set()) == "in_flight", "it was made after the delete"
    assert _end(MINE, [MINE, DELETE], everywhere("x"), set()) == "in_flight", (
        "another side's delete takes nothing along"
    )
    assert _end(mine, [mine, DELETE], sides(hub="x", salesforce="y", hubspot="x"), set()) == "in_flight"


def test_in_hubspot_the_id_of_a_contact_that_was_merged_away_is_one_of_its_survivor() -> None:
    people = People.__new__(People)
    people._into = {"1": ("2", "b@example.com"), "2": ("3", "c@example.com")}
    ann = {"email": "a@example.com", "id": "h", "salesforce": ["s"], "hubspot": ["1"]}
    named = {side: people._named(side, ann) for side in NAMES}
    assert named == {"hub": "a@example.com", "salesforce": "a@example.com", "hubspot": "c@example.com"}
    assert people._named("hubspot", {**ann, "hubspot": ["4"]}) == "a@example.com", (
        "it stands there again, as another record"
    )


MERGE = Edit("hubspot", ELSEWHERE.record, GONE, merged_into(MINE.record))


def test_what_was_on_its_way_to_a_merged_record_may_overtake_what_its_survivor_said() -> None:
    assert _end(MINE, [MINE, ELSEWHERE, MERGE], everywhere("token 3"), set()) == "superseded"
    far = Edit("hub", "c@example.com", "title", "token 4")
    chain = [MINE, ELSEWHERE, far, Edit("hubspot", far.record, GONE, merged_into(ELSEWHERE.record)), MERGE]
    assert _end(MINE, chain, everywhere("token 4"), set()) == "superseded"
    assert _end(MINE, [MINE, far, MERGE], everywhere("token 4"), set()) == "in_flight", "that one was merged nowhere"
    away = Edit("hubspot", MINE.record, GONE, merged_into(ELSEWHERE.record))
    assert _end(MINE, [MINE, ELSEWHERE, away], everywhere("token 3"), set()) == "in_flight", "the other way round"


def test_a_merge_into_a_record_speaks_against_its_delete() -> None:
    assert _end(DELETE, [DELETE, MERGE], everywhere("x"), set()) == "superseded"
    away = Edit("hubspot", MINE.record, GONE, merged_into(ELSEWHERE.record))
    assert _end(DELETE, [DELETE, away], everywhere("x"), set()) == "in_flight"


def test_what_stands_in_the_conflict_log_as_a_loser_was_overtaken() -> None:
    log = '{"title": "token 1"} null'
    assert _end(MINE, [MINE], everywhere(None), set(), log) == "superseded"
    assert _end(MINE, [MINE], everywhere(None), set(), log.replace("token 1", "token 11")) == "in_flight"
    assert _end(MINE, [MINE], sides(hub=None, salesforce="x", hubspot=None), set(), log) == "in_flight"
