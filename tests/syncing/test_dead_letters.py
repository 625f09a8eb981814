"""What cannot be applied waits, is understood, mended once and replayed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.syncing.conftest import Both


@pytest.fixture
def set_aside(both: Both) -> tuple[Both, str]:
    """A company without a name, which no account may be: a dead letter. Returns the company's id, too."""
    assert both.syncline("sync", "add", "portal", "--object", "companies").code == 0
    both.sync()
    made = both.edit("hubspot", object="companies", properties={"domain": "nameless.example"})
    both.sync()
    return both, made["id"]


def letters(both: Both, *more: str) -> list[dict[str, Any]]:
    return both.syncline("dead-letters", "list", "--json", *more).json["letters"]  # type: ignore[no-any-return]


def test_a_letter_names_record_cause_and_remedy(set_aside: tuple[Both, str]) -> None:
    both, company = set_aside
    (letter,) = letters(both)
    assert (letter["object"], letter["vendor_id"], letter["fault"]) == ("companies", company, "data")
    shown = both.syncline("dead-letters", "show", letter["id"], "--json").json
    assert shown["means"]
    assert shown["fix"]
    assert "nameless" not in both.syncline("dead-letters", "list").out, "no personal value without being asked"
    (group,) = both.syncline("dead-letters", "groups", "--json").json
    assert group["count"] == 1
    assert "set aside" in both.syncline("explain", "account", company).out


def test_a_mended_letter_is_previewed_replayed_once_and_closed(set_aside: tuple[Both, str]) -> None:
    both, company = set_aside
    (letter,) = letters(both)
    assert both.syncline("dead-letters", "edit", letter["id"], "--set", "name=Nameless & Sons").code == 0
    (preview,) = both.syncline("dead-letters", "preview", letter["id"], "--json").json
    assert preview["outcome"] == "created"
    assert preview["changes"]["name"] == [None, "Nameless & Sons"]
    assert len(letters(both)) == 1, "a preview changes nothing"
    replayed = both.syncline("dead-letters", "replay", letter["id"], "--json").json
    assert replayed["counts"] == {"applied": 1}
    told = both.syncline("explain", "account", company, "--json").json["records"][0]
    assert {f["field"]: f["value"] for f in told["fields"]}["name"] == "Nameless & Sons"
    again = both.syncline("dead-letters", "replay", letter["id"], "--json").json
    assert again["counts"] == {}
    (closed,) = letters(both, "--status", "resolved")
    assert closed["resolution"].startswith("applied")


def test_a_replay_of_an_old_state_is_superseded(set_aside: tuple[Both, str]) -> None:
    both, company = set_aside
    (letter,) = letters(both)
    both.syncline("dead-letters", "edit", letter["id"], "--set", "name=Old Name")
    both.edit("hubspot", object="companies", id=company, properties={"name": "New Name"})
    both.sync()
    both.syncline("dead-letters", "replay", letter["id"])
    told = both.syncline("explain", "account", company, "--json").json["records"][0]
    assert {f["field"]: f["value"] for f in told["fields"]}["name"] == "New Name"
    assert letters(both) == []


def test_an_unmended_letter_stays_and_counts_the_attempt(set_aside: tuple[Both, str]) -> None:
    both, _ = set_aside
    (letter,) = letters(both)
    replayed = both.syncline("dead-letters", "replay", "--all", "--json")
    assert replayed.code == 1
    assert replayed.json["counts"] == {"still open": 1}
    assert letters(both)[0]["attempts"] == letter["attempts"] + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay",), "Nothing says which letters"),
        (("discard", "--group", "x"), "without a reason"),
        (("show", "00000000-0000-7000-8000-0000000000aa"), "There is no dead letter"),
    ],
)
def test_unclear_orders_are_refused_in_words(both: Both, arguments: tuple[str, ...], says: str) -> None:
    done = both.syncline("dead-letters", *arguments)
    assert done.code == 78
    assert says in done.err


def test_a_discarded_letter_keeps_its_reason(set_aside: tuple[Both, str]) -> None:
    both, _ = set_aside
    (letter,) = letters(both)
    done = both.syncline("dead-letters", "discard", letter["id"], "--reason", "a test company")
    assert done.code == 0, done.err
    assert letters(both) == []
    assert letters(both, "--status", "resolved")[0]["resolution"] == "discarded: a test company"
