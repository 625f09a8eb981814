"""Listings: the search's wall and lag, ties, deletions, merges, associations, cost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.hubspot import records as records_module
from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.cursors import Position, decode, milliseconds, parse_stamp, stamp
from connectors.hubspot.read import CURSOR_OVERLAP, VISIBILITY_LAG
from connectors.kit.contract import ReadRequest, SupportsFind, SupportsVersions
from domain.errors import ConfigurationError, CursorExpiredError
from domain.records import Page
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.hubspot.stand_in import seed

CONTACTS = ReadRequest("contacts", fields=("hs_object_id", "lastname"))
DAY = 86_400_000
WALL = 1_000


@pytest.fixture(autouse=True)
def nearer_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search shows a thousand results instead of ten thousand, so that tests soon run into it."""
    monkeypatch.setattr("sandbox.hubspot.search.WALL", WALL)


def ids(pages: list[Page]) -> list[int]:
    return [int(row[page.fields.index("hs_object_id")]) for page in pages for row in page.rows]


def done(since: int, portal: HubSpotServer) -> dict[str, Any]:
    return Position("done", portal.portal.now(), since=since).encode()


def changed(since: int, portal: HubSpotServer, **more: Any) -> ReadRequest:
    return ReadRequest("contacts", fields=("hs_object_id",), cursor=done(since, portal), **more)


def test_more_changes_than_the_search_shows_are_all_read(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    start = portal.portal.now() - DAY
    for number in range(1, WALL + 501):
        seed(portal, str(number), modified=start + number)
    pages = list(hubspot.read(changed(start, portal)))
    assert sorted(ids(pages)) == list(range(1, WALL + 501))
    assert len(ids(pages)) == WALL + 500


def test_more_records_of_one_stamp_than_the_search_shows_are_all_read(
    portal: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    start = portal.portal.now() - DAY
    seed(portal, "1", modified=start + 1)
    for number in range(2, WALL + 302):
        seed(portal, str(number), modified=start + 5_000)
    seed(portal, str(WALL + 302), modified=start + 9_000)
    assert set(ids(list(hubspot.read(changed(start, portal))))) == set(range(1, WALL + 303))


@pytest.mark.parametrize("tied", [199, 200, 201, 400])
def test_ties_at_the_edge_of_a_page_lose_nothing(portal: HubSpotServer, hubspot: HubSpotConnector, tied: int) -> None:
    start = portal.portal.now() - DAY
    for number in range(1, 151):
        seed(portal, str(number), modified=start + number)
    for number in range(151, 151 + tied):
        seed(portal, str(number), modified=start + 500)
    for number in range(1000, 1100):
        seed(portal, str(number), modified=start + 600 + number)
    expected = {*range(1, 151 + tied), *range(1000, 1100)}
    assert set(ids(list(hubspot.read(changed(start, portal))))) == expected


def test_a_record_that_changes_while_it_is_listed_shifts_nobody_out(
    portal: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    start = portal.portal.now() - DAY
    for number in range(1, 501):
        seed(portal, str(number), modified=start + number)
    pages = hubspot.read(changed(start, portal))
    seen = ids([next(pages)])
    for number in range(1, 51):  # listed already, now the latest: an offset would skip fifty others
        seed(portal, str(number), modified=portal.portal.now() + 1)
    assert set(seen + ids(list(pages))) == set(range(1, 501))


def test_a_listing_of_changes_ends_at_its_own_start(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    seed(portal, "1", modified=portal.portal.now() - 1000)
    seed(portal, "2", modified=portal.portal.now() + 1)
    pages = list(hubspot.read(changed(portal.portal.now() - DAY, portal)))
    assert ids(pages) == [1]
    portal.sandbox.clock.advance(60)
    request = ReadRequest("contacts", fields=("hs_object_id",), cursor=pages[-1].cursor)
    assert ids(list(hubspot.read(request))) == [1, 2]


def test_reading_changes_resumes_after_any_page(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    start = portal.portal.now() - DAY
    for number in range(1, 1001):
        seed(portal, str(number), modified=start + (number if number < 300 else 300))
    pages = list(hubspot.read(changed(start, portal)))
    for number, page in enumerate(pages[:-1]):
        request = ReadRequest("contacts", fields=("hs_object_id",), cursor=page.cursor)
        rest = set(ids(list(hubspot.read(request))))
        assert set(ids(pages[number + 1 :])) <= rest


def test_the_cursor_stays_behind_the_indexs_lag(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    seed(portal, "1")
    full = list(hubspot.read(CONTACTS))[-1].cursor
    assert full["since"] == portal.portal.now() - milliseconds(VISIBILITY_LAG)
    started = portal.portal.now()
    portal.sandbox.clock.advance(60)
    later = list(hubspot.read(ReadRequest("contacts", cursor=full)))[-1].cursor
    assert later["since"] == started - milliseconds(VISIBILITY_LAG) + 60_000
    edge = full["since"] - milliseconds(CURSOR_OVERLAP)
    seed(portal, "2", modified=edge)
    seed(portal, "3", modified=edge - 1)
    assert ids(list(hubspot.read(ReadRequest("contacts", fields=("hs_object_id",), cursor=full)))) == [2, 1]


def test_archived_records_are_told_and_older_ones_are_not(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    for number, gone in (("1", 5 * DAY), ("2", 1000), ("3", None)):
        at = None if gone is None else portal.portal.now() - gone
        seed(portal, number, modified=portal.portal.now() - 9 * DAY, archived=at)
    pages = list(hubspot.read(changed(portal.portal.now() - DAY, portal, deleted=True)))
    assert [page.deleted for page in pages if page.deleted] == [["2"]]


def test_a_merged_record_is_no_deleted_one(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    seed(portal, "1")
    seed(portal, "2")
    portal.sandbox.edit({"object": "contacts", "id": "2", "merge": "1"})
    portal.sandbox.clock.advance(1)
    pages = list(hubspot.read(changed(portal.portal.now() - DAY, portal, deleted=True)))
    assert not any(page.deleted for page in pages)
    assert {pair for page in pages for pair in page.merged} == {("1", "2")}


def test_who_was_merged_into_a_record_goes_with_it_where_it_was_archived_before_the_merge_was_read(
    portal: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    for number in ("1", "2", "3"):
        seed(portal, number)
    portal.sandbox.edit({"object": "contacts", "id": "2", "merge": "1"})
    portal.sandbox.edit({"object": "contacts", "id": "2", "delete": True})
    portal.sandbox.clock.advance(1)
    pages = list(hubspot.read(changed(portal.portal.now() - DAY, portal, deleted=True)))
    assert [page.deleted for page in pages if page.deleted] == [["2", "1"]]


@pytest.mark.parametrize("restored", [False, True])
def test_the_search_brings_nobody_back_whom_it_has_not_yet_seen_go(
    portal: HubSpotServer, hubspot: HubSpotConnector, restored: bool
) -> None:
    for number in ("1", "2"):
        seed(portal, number)
    portal.portal.lag.least_s = portal.portal.lag.most_s = 5.0
    portal.sandbox.edit({"object": "contacts", "id": "1", "delete": True})
    portal.sandbox.clock.advance(1)
    if restored:
        original = hubspot._reader._deletions.since  # restored right after the archive was looked through

        def since(*given: Any) -> Any:
            found = original(*given)
            portal.sandbox.edit({"object": "contacts", "id": "1", "restore": True})
            return found

        hubspot._reader._deletions.since = since  # type: ignore[method-assign]
    pages = list(hubspot.read(changed(portal.portal.now() - DAY, portal, deleted=True)))
    assert [page.deleted for page in pages if page.deleted] == [["1"]]
    assert sorted(ids(pages)) == ([1, 2] if restored else [2])


def test_an_archive_that_forgot_means_a_full_listing(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    with pytest.raises(CursorExpiredError):
        list(hubspot.read(changed(portal.portal.now() - 100 * DAY, portal, deleted=True)))


def test_properties_too_many_for_an_address_travel_in_a_body(
    portal: HubSpotServer, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "PROPERTIES_CHARS_MAX", 40)
    seed(portal, "1", email="a@example.com")
    [page] = connect().read(ReadRequest("contacts"))
    assert page.rows[0][page.fields.index("email")] == "a@example.com"
    assert [entry["kind"] for entry in portal.sandbox.journal.entries][-2:] == ["batch_read", "associations_read"]


def employed(portal: HubSpotServer) -> list[str]:
    """Contact 1 at three companies, the last one its primary one. Returns their ids."""
    seed(portal, "1")
    known = portal.portal.associations
    companies = [portal.sandbox.edit({"object": "companies", "properties": {"name": "C"}})["id"] for _ in range(3)]
    for company in companies:
        known.link("contacts", "1", "companies", company, [])
    primary = known.primary("contacts", "companies")
    assert primary is not None
    known.link("contacts", "1", "companies", companies[2], [primary])
    return companies


def test_associated_ids_come_with_the_primary_one_first(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    low, middle, high = employed(portal)
    [page] = hubspot.read(ReadRequest("contacts", fields=("associations.companies",)))
    assert page.rows[0][page.fields.index("associations.companies")] == f"{high};{low};{middle}"


def test_an_association_is_a_row_for_each_label(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    *_, high = employed(portal)
    [page] = hubspot.read(ReadRequest("association:contacts:companies", fields=("from_id", "to_id", "is_primary")))
    rows = {row for row in page.rows if row[2] == high}
    assert rows == {(f"1:{high}:279", "1", high, False), (f"1:{high}:1", "1", high, True)}
    assert len(page.rows) == 4
    assert page.last


def test_a_listing_costs_a_call_each_hundred(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    for number in range(1, 1001):
        seed(portal, str(number))
    hubspot.describe(["contacts"])
    before = portal.sandbox.journal.counted
    assert len(ids(list(hubspot.read(CONTACTS)))) == 1000
    assert portal.sandbox.journal.counted - before == 10


def test_searches_have_a_limit_of_their_own(portal: HubSpotServer, connect: Any) -> None:
    scopes: list[str] = []

    class Noting:
        def reserve(self, _account: str, scope: str, *_rest: Any) -> float:
            scopes.append(scope)
            return 0.0

        def hold(self, *_args: Any) -> None: ...

    seed(portal, "1")
    reader = connect(limiter=Noting())
    list(reader.read(CONTACTS))
    assert "search" not in scopes
    list(reader.read(changed(portal.portal.now() - DAY, portal)))
    assert scopes.count("search") == 1


def test_versions_are_complete_and_go_on_after_an_id(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    assert isinstance(hubspot, SupportsVersions)
    for number in range(1, 251):
        seed(portal, str(number), modified=portal.portal.now() + number)
    pages = list(hubspot.versions("contacts"))
    assert [i for page in pages for i in page.ids] == [str(n) for n in range(1, 251)]
    assert parse_stamp(pages[0].versions[0]) == portal.portal.now() + 1
    assert [page.last for page in pages] == [False, False, True]
    assert [i for page in hubspot.versions("contacts", "240") for i in page.ids] == [str(n) for n in range(241, 251)]


def test_find_tells_who_holds_a_key(portal: HubSpotServer, hubspot: HubSpotConnector) -> None:
    assert isinstance(hubspot, SupportsFind)
    hubspot.ensure_key_property("contacts")
    seed(portal, "1", syncline_id="k1")
    assert hubspot.find("contacts", "syncline_id", ["k1", "k2"]) == {"k1": "1"}
    with pytest.raises(ConfigurationError):
        hubspot.find("owners", "email", ["x"])


@pytest.mark.parametrize("cursor", [{"v": 2}, {"v": 1, "mode": "bulk", "started": 1}, {"v": 1, "mode": "list"},
                                    {"v": 1, "mode": "done", "started": 1, "since": "x"}])  # fmt: skip
def test_a_foreign_cursor_means_a_full_listing(cursor: dict[str, Any]) -> None:
    with pytest.raises(CursorExpiredError):
        decode(cursor)


def test_milliseconds_survive() -> None:
    assert parse_stamp("2024-05-01T09:00:00.123Z") == 1_714_554_000_123 == parse_stamp("1714554000123")
    assert milliseconds(timedelta(seconds=2)) == 2000
    from datetime import UTC, datetime

    assert stamp(datetime(2024, 5, 1, 9, tzinfo=UTC)) == 1_714_554_000_000
