"""Listings: what changed, what was deleted, and pages that shift while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from connectors.kit.contract import ReadRequest
from connectors.pipedrive import objects
from connectors.pipedrive.connector import PipedriveConnector
from connectors.pipedrive.cursors import Position, finish, highest
from connectors.pipedrive.read import VISIBILITY_LAG, is_dead
from domain.errors import CursorExpiredError
from domain.records import Page
from sandbox.pipedrive.server import PipedriveServer
from tests.connectors.pipedrive.conftest import Connect


def ids(pages: Iterator[Page] | list[Page], name: str = "id") -> list[str]:
    return [str(record[name]) for page in pages for record in page.records()]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every listing in pages of five."""
    for name, kind in objects.KINDS.items():
        parts = tuple(replace(part, page=5) for part in kind.parts)
        monkeypatch.setitem(objects.KINDS, name, replace(kind, parts=parts))


@pytest.mark.parametrize(
    "name", ["persons", "deals", "leads", "notes", "files", "activities", "deal_products", "stages"]
)
@pytest.mark.usefixtures("small_pages")
def test_every_record_comes_once_in_small_pages(
    pipedrive: PipedriveConnector, server: PipedriveServer, name: str
) -> None:
    rows = server.sandbox.store.live(name)
    found = ids(pipedrive.read(ReadRequest(name)))
    assert sorted(found) == sorted(str(r["id"]) for r in rows)


@pytest.mark.parametrize("name", ["deals", "leads", "notes", "deal_products"])
@pytest.mark.usefixtures("small_pages")
def test_any_page_can_be_gone_on_from(connect: Connect, server: PipedriveServer, name: str) -> None:
    pages = list(connect(server).read(ReadRequest(name)))
    for number, page in enumerate(pages[:-1]):
        rest = ids(connect(server).read(ReadRequest(name, cursor=page.cursor)))
        assert set(ids(pages[number + 1 :])) <= set(rest), number


def test_archived_deals_are_listed_with_the_others(pipedrive: PipedriveConnector) -> None:
    archived = [r["is_archived"] for page in pipedrive.read(ReadRequest("deals")) for r in page.records()]
    assert set(archived) == {True, False}


@pytest.mark.parametrize(
    ("name", "row_id", "values"),
    [
        ("persons", "3", {"name": "New Name"}),
        ("deals", "2", {"value": 7}),
        ("notes", "2", {"content": "changed"}),
        ("deal_products", "1", {"quantity": 9}),
    ],
)
def test_a_later_read_lists_what_changed(
    pipedrive: PipedriveConnector, server: PipedriveServer, name: str, row_id: str, values: dict[str, Any]
) -> None:
    *_, last = pipedrive.read(ReadRequest(name))
    server.sandbox.edit({"object": name, "id": row_id, "properties": values})
    later = ids(pipedrive.read(ReadRequest(name, cursor=last.cursor)))
    assert row_id in later
    assert len(later) < len(server.sandbox.store.live(name))


def test_a_file_added_later_is_found_without_listing_all(
    pipedrive: PipedriveConnector, server: PipedriveServer
) -> None:
    *_, last = pipedrive.read(ReadRequest("files"))
    store = server.sandbox.store
    row = store.add("files", {"name": "late.txt", "update_time": store.clock.now().strftime("%Y-%m-%d %H:%M:%S")})
    assert str(row["id"]) in ids(pipedrive.read(ReadRequest("files", cursor=last.cursor)))


def test_deleted_deals_are_reported(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    *_, last = pipedrive.read(ReadRequest("deals"))
    server.sandbox.edit({"object": "deals", "id": "4", "delete": True})
    pages = list(pipedrive.read(ReadRequest("deals", cursor=last.cursor, deleted=True)))
    assert [i for page in pages for i in page.deleted] == ["4"]
    assert "4" not in ids(pages)


def test_a_merged_person_is_missing_from_the_versions(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    before = [i for page in pipedrive.versions("persons") for i in page.ids]
    server.sandbox.edit({"object": "persons", "id": "5", "merge": "6"})
    after = [i for page in pipedrive.versions("persons") for i in page.ids]
    assert set(before) - set(after) == {"5"}
    assert after == sorted(after, key=int)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("name", ["deals", "notes", "users"])
def test_versions_go_on_after_an_id(pipedrive: PipedriveConnector, server: PipedriveServer, name: str) -> None:
    everything = [i for page in pipedrive.versions(name) for i in page.ids]
    rows = server.sandbox.store.table(name).values() if name == "users" else server.sandbox.store.live(name)
    assert everything == sorted((str(r["id"]) for r in rows), key=int)
    assert [i for page in pipedrive.versions(name, everything[1]) for i in page.ids] == everything[2:]


@pytest.mark.usefixtures("small_pages")
def test_a_page_token_that_is_no_longer_known(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    """The listing goes on from the last update time: nothing is missing, little comes twice."""
    server.sandbox.faults.add([{"kind": "cursor_lost", "calls": "list_persons", "after": 2}])
    found = ids(pipedrive.read(ReadRequest("persons")))
    assert set(found) == {str(r["id"]) for r in server.sandbox.store.live("persons")}
    assert len(found) <= len(set(found)) + 5


@pytest.mark.usefixtures("small_pages")
def test_a_note_deleted_between_two_pages_hides_none(pipedrive: PipedriveConnector, server: PipedriveServer) -> None:
    """By offset every later record moves up; the one at the page's edge would be skipped."""
    pages = pipedrive.read(ReadRequest("notes"))
    first = next(pages)
    gone = ids([first])[0]
    server.sandbox.edit({"object": "notes", "id": gone, "delete": True})
    rest = ids(pages)
    assert {*ids([first]), *rest} - {gone} == {str(r["id"]) for r in server.sandbox.store.live("notes")}


def test_times_of_version_1_are_told_with_their_zone(pipedrive: PipedriveConnector) -> None:
    stamps = [r["update_time"] for page in pipedrive.read(ReadRequest("notes")) for r in page.records()]
    assert stamps
    assert all(s.endswith("Z") and "T" in s for s in stamps)


def test_a_cursor_of_somebody_else_starts_anew(pipedrive: PipedriveConnector) -> None:
    with pytest.raises(CursorExpiredError):
        list(pipedrive.read(ReadRequest("persons", cursor={"offset": 3})))


def test_the_next_listing_never_starts_after_this_one_began() -> None:
    at = Position("on", "2025-06-30T12:00:00Z", stamp="2025-06-30T12:00:00Z")
    assert finish(at, VISIBILITY_LAG).since == "2025-06-30T11:58:00Z"
    assert finish(replace(at, stamp=None, since="2025-06-01T00:00:00Z"), VISIBILITY_LAG).since == "2025-06-01T00:00:00Z"


def test_changes_made_meanwhile_do_not_move_the_position() -> None:
    stamps: list[str | None] = ["2025-06-30T11:00:00Z", "2025-06-30T12:30:00Z", None]
    assert highest(None, stamps, "2025-06-30T12:00:00Z") == "2025-06-30T11:00:00Z"


def test_a_later_read_begins_a_minute_before_what_was_covered(
    pipedrive: PipedriveConnector, server: PipedriveServer
) -> None:
    """Update times have whole seconds, and a list may come from a replica that is behind."""
    person = server.sandbox.store.table("persons")["2"]
    person["update_time"] = "2025-06-30T11:59:30Z"
    covered = Position("done", "2025-06-30T12:05:00Z", since="2025-06-30T12:00:00Z").encode()
    assert "2" in ids(pipedrive.read(ReadRequest("persons", cursor=covered)))


def test_a_listing_that_is_resumed_covers_what_came_before(pipedrive: PipedriveConnector) -> None:
    *_, last = pipedrive.read(ReadRequest("persons"))
    stamps = [r["update_time"] for page in pipedrive.read(ReadRequest("persons")) for r in page.records()]
    assert last.cursor["since"] == max(stamps)


@pytest.mark.parametrize(
    ("name", "record", "dead"),
    [
        ("persons", {"is_deleted": True}, True),
        ("persons", {"is_deleted": False}, False),
        ("notes", {"active_flag": False}, True),
        ("notes", {"active_flag": True}, False),
        ("users", {"active_flag": False, "is_deleted": True}, False),
        ("leads", {}, False),
    ],
)
def test_a_record_that_is_only_marked_as_deleted_is_dead(name: str, record: dict[str, Any], dead: bool) -> None:
    assert is_dead(objects.KINDS[name], record) is dead
