"""What keeping a portal in step asks of the connector: written as it is read, found again, versions that agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.hubspot.links import Change, decide, errors_of
from connectors.kit.contract import EndsChange, ReadRequest
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError
from domain.records import Outgoing, Page, WriteResult
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.hubspot.stand_in import connection_to, unhurried

KEY = "syncline_id"
NAMED = {"contacts": "lastname", "companies": "name", "deals": "dealname"}
MODIFIED = {"contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate", "deals": "hs_lastmodifieddate"}


@pytest.fixture
def server() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=0) as running:
        yield unhurried(running)


@pytest.fixture
def hubspot(server: HubSpotServer) -> Iterator[HubSpotConnector]:
    connector = HubSpotConnector(connection_to(server))
    yield connector
    connector.close()


def put(hubspot: HubSpotConnector, name: str, values: dict[str, Any], vendor_id: str | None = None) -> WriteResult:
    [result] = hubspot.upsert(name, [Outgoing("k", values, vendor_id)])
    assert result.ok, result.error
    return result


def made(hubspot: HubSpotConnector, name: str, label: str, **more: Any) -> str:
    return str(put(hubspot, name, named(name, label) | more).vendor_id)


def named(name: str, label: str) -> dict[str, Any]:
    """What a new record needs."""
    return {NAMED[name]: label} | ({"dealstage": "appointmentscheduled"} if name == "deals" else {})


def seen(hubspot: HubSpotConnector, name: str, record_id: str, field: str) -> Any:
    [page] = hubspot.read(ReadRequest(name, fields=(field,), ids=(record_id,)))
    return page.rows[0][page.fields.index(field)]


def looked_up(hubspot: HubSpotConnector, name: str, *ids: str) -> Page:
    [page] = hubspot.read(ReadRequest(name, fields=(NAMED[name],), ids=ids))
    return page


def written(server: HubSpotServer) -> list[str]:
    return [str(entry["path"]) for entry in server.sandbox.journal.entries]


def version_of(hubspot: HubSpotConnector, name: str, record_id: str) -> str:
    found = {i: v for page in hubspot.versions(name) for i, v in zip(page.ids, page.versions, strict=True)}
    return found[record_id]


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("name", list(NAMED))
def test_a_record_is_made_by_its_key_once_and_found_by_it(
    server: HubSpotServer, hubspot: HubSpotConnector, name: str
) -> None:
    assert hubspot.ensure_key_property(name)
    assert not hubspot.ensure_key_property(name)
    records = [Outgoing(f"hub-{n}", named(name, f"Name {n}")) for n in range(3)]
    first, again = hubspot.upsert(name, records, KEY), hubspot.upsert(name, records, KEY)
    assert [(r.ok, r.created) for r in (*first, *again)] == [(True, True)] * 3 + [(True, False)] * 3
    assert [r.vendor_id for r in first] == [r.vendor_id for r in again]
    assert [r.values[KEY] for r in server.portal.live(name)] == ["hub-0", "hub-1", "hub-2"]
    assert hubspot.find(name, KEY, ["hub-1", "HUB-2", "hub-9"]) == {
        "hub-1": first[1].vendor_id,
        "HUB-2": first[2].vendor_id,
    }


@pytest.mark.parametrize("name", list(NAMED))
def test_versions_agree_wherever_they_are_told(hubspot: HubSpotConnector, name: str) -> None:
    created = put(hubspot, name, named(name, "One"))
    record_id = str(created.vendor_id)
    assert created.version == seen(hubspot, name, record_id, MODIFIED[name]) == version_of(hubspot, name, record_id)
    updated = put(hubspot, name, {NAMED[name]: "Two"}, record_id)
    assert updated.version == seen(hubspot, name, record_id, MODIFIED[name]) == version_of(hubspot, name, record_id)
    assert updated.version != created.version
    stale = Outgoing("k", {NAMED[name]: "Three"}, record_id, created.version)
    fresh = Outgoing("k", {NAMED[name]: "Four"}, record_id, updated.version)
    [refused], [taken] = hubspot.upsert(name, [stale]), hubspot.upsert(name, [fresh])
    assert isinstance(refused.error, SynclineError)
    assert refused.error.code == "conflict"
    assert taken.ok
    assert seen(hubspot, name, record_id, NAMED[name]) == "Four"


@pytest.mark.parametrize(("name", "bad"), [
    ("contacts", {"email": "no address"}), ("companies", {"numberofemployees": "many"}), ("deals", {"amount": "a lot"}),
])  # fmt: skip
def test_a_bad_record_fails_alone_in_creates_updates_and_upserts(
    hubspot: HubSpotConnector, name: str, bad: dict[str, Any]
) -> None:
    hubspot.ensure_key_property(name)
    old = [made(hubspot, name, f"Old {n}") for n in range(3)]
    for ids, key in (([None] * 3, None), (old, None), ([None] * 3, KEY)):
        values = [named(name, f"New {n}") for n in range(3)]
        values[1] = values[1] | bad
        records = [Outgoing(f"{key}{n}", v, i) for n, (v, i) in enumerate(zip(values, ids, strict=True))]
        results = hubspot.upsert(name, records, key)
        assert [r.ok for r in results] == [True, False, True]
        assert isinstance(results[1].error, RecordRejectedError)
        assert results[1].error.context["fields"] == list(bad)
        assert next(iter(bad.values())) not in str(results[1].error)


def test_an_address_that_is_taken_tells_whose_it_is(hubspot: HubSpotConnector) -> None:
    held = made(hubspot, "contacts", "Ada", email="ada@example.com")
    [result] = hubspot.upsert("contacts", [Outgoing("k", {"lastname": "Byron", "email": "ada@example.com"})])
    assert isinstance(result.error, SynclineError)
    assert (result.error.code, result.error.context["existing_id"]) == ("already_exists", held)


def test_an_update_of_what_is_gone_is_told_for_that_record(hubspot: HubSpotConnector) -> None:
    here, gone = made(hubspot, "contacts", "Here"), made(hubspot, "contacts", "Gone")
    hubspot.delete("contacts", [gone])
    for values in ({"lastname": "X"}, {"associations.companies": ""}):
        first, second = hubspot.upsert("contacts", [Outgoing("a", values, gone), Outgoing("b", values, here)])
        assert isinstance(first.error, SynclineError)
        assert first.error.code == "not_found"
        assert second.ok


def test_a_required_property_that_is_missing_is_named(hubspot: HubSpotConnector) -> None:
    [result] = hubspot.upsert("deals", [Outgoing("k", {"dealname": "Roof"})])
    assert isinstance(result.error, RecordRejectedError)
    assert result.error.context["fields"] == ["dealstage"]


@pytest.mark.parametrize("name", ["contacts", "companies"])
def test_a_lifecycle_stage_goes_back_when_the_hub_says_so(
    server: HubSpotServer, hubspot: HubSpotConnector, name: str
) -> None:
    """HubSpot passes over a step back without a word, unless the stage is cleared first."""
    hubspot.ensure_key_property(name)
    [first] = hubspot.upsert(name, [Outgoing("hub", {NAMED[name]: "One", "lifecyclestage": "customer"})], KEY)
    for stage, updates in (("lead", 3), ("opportunity", 1), ("opportunity", 1), ("subscriber", 3)):
        server.sandbox.journal.clear()
        [result] = hubspot.upsert(name, [Outgoing("hub", {NAMED[name]: "Two", "lifecyclestage": stage})], KEY)
        assert result.ok
        assert seen(hubspot, name, str(first.vendor_id), "lifecyclestage") == stage
        assert result.version == seen(hubspot, name, str(first.vendor_id), MODIFIED[name])
        assert len([call for call in written(server) if "batch/up" in call]) == updates


def test_a_stage_that_does_not_exist_is_the_records_own_error(hubspot: HubSpotConnector) -> None:
    ada = made(hubspot, "contacts", "Ada", lifecyclestage="customer")
    [result] = hubspot.upsert("contacts", [Outgoing("k", {"lifecyclestage": "nowhere"}, ada)])
    assert isinstance(result.error, RecordRejectedError)
    assert seen(hubspot, "contacts", ada, "lifecyclestage") == "customer"


# ---------------------------------------------------------------- what is gone


@pytest.mark.parametrize("name", list(NAMED))
def test_archived_and_merged_records_are_told_when_they_are_looked_up(
    server: HubSpotServer, hubspot: HubSpotConnector, name: str
) -> None:
    loser, winner, gone, kept = (made(hubspot, name, label) for label in ("Loser", "Winner", "Gone", "Kept"))
    hubspot.delete(name, [gone])
    merged = server.sandbox.edit({"object": name, "id": winner, "merge": loser})["id"]
    survivor = str(server.portal.get(server.portal.object(name), merged).id)
    page = looked_up(hubspot, name, loser, gone, kept, "424242")
    assert {row[page.fields.index("hs_object_id")] for row in page.rows} == {survivor, kept}
    assert (loser, survivor) in page.merged
    assert page.deleted == [gone, "424242"]


@pytest.mark.parametrize("name", list(NAMED))
def test_deleting_a_record_that_was_merged_away_spares_the_survivor(
    server: HubSpotServer, hubspot: HubSpotConnector, name: str
) -> None:
    loser, winner = made(hubspot, name, "Loser"), made(hubspot, name, "Winner")
    server.sandbox.edit({"object": name, "id": winner, "merge": loser})
    assert all(r.ok for r in hubspot.delete(name, [loser]))
    assert len(server.portal.live(name)) == 1
    assert all(r.ok for r in hubspot.delete(name, [server.portal.live(name)[0].id]))
    assert server.portal.live(name) == []


# ---------------------------------------------------------------- what belongs together

COMPANIES = "associations.companies"


def test_a_deals_company_is_set_changed_and_removed(hubspot: HubSpotConnector) -> None:
    one, two = made(hubspot, "companies", "One"), made(hubspot, "companies", "Two")
    record = made(hubspot, "deals", "Record")
    for value, read in ((one, one), (two, two), (one, one), (f"{two};{one}", f"{two};{one}"), ("", None)):
        result = put(hubspot, "deals", {COMPANIES: value}, record)
        assert seen(hubspot, "deals", record, COMPANIES) == read
        assert result.version == seen(hubspot, "deals", record, MODIFIED["deals"])


def test_another_primary_company_of_a_deal_takes_the_place_of_the_former_alone(hubspot: HubSpotConnector) -> None:
    former, other, new = (made(hubspot, "companies", label) for label in ("Former", "Other", "New"))
    record = made(hubspot, "deals", "Record", **{COMPANIES: f"{former};{other}"})
    put(hubspot, "deals", {NAMED["deals"]: "Renamed", COMPANIES: new}, record)
    assert seen(hubspot, "deals", record, COMPANIES) == f"{new};{other}"
    put(hubspot, "deals", {COMPANIES: other}, record)
    assert seen(hubspot, "deals", record, COMPANIES) == other


def test_a_contact_keeps_its_former_primary_company_as_a_further_one(
    server: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    former, other, new = (made(hubspot, "companies", label) for label in ("Former", "Other", "New"))
    record = made(hubspot, "contacts", "Record", **{COMPANIES: f"{former};{other}"})
    for value, read in ((new, f"{new};{former};{other}"), (other, f"{other};{former};{new}"), ("", None)):
        result = put(hubspot, "contacts", {COMPANIES: value}, record)
        assert seen(hubspot, "contacts", record, COMPANIES) == read
        assert result.version == seen(hubspot, "contacts", record, MODIFIED["contacts"])
        assert server.portal.tables["contacts"][record].values.get("associatedcompanyid", "") == value


def test_companies_of_a_contact_come_and_go_one_by_one_and_the_others_keep_their_labels(
    server: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    main, labelled, added = (made(hubspot, "companies", label) for label in ("Main", "Labelled", "Added"))
    record, known = made(hubspot, "contacts", "Record", **{COMPANIES: f"{main};{labelled}"}), server.portal.associations
    label = known.add_label("contacts", "companies", "Advisor", None, "advisor")[0]
    known.link("contacts", record, "companies", labelled, [label])
    for change in (
        EndsChange(record, add=(added,)),
        EndsChange(record, remove=(added,)),
        EndsChange(record, add=(labelled,)),
    ):
        for _ in range(2):
            assert [r.error for r in hubspot.associate("contacts", COMPANIES, [change])] == [None]
        expected = [main, labelled, added] if added in change.add else [main, labelled]
        assert hubspot.associated("contacts", COMPANIES, [record]) == {record: expected}
        assert ("USER_DEFINED", label.id) in known.targets("contacts", record, "companies")[labelled]
    put(hubspot, "contacts", {COMPANIES: labelled}, record)
    assert hubspot.associated("contacts", COMPANIES, [record]) == {record: [labelled, main]}
    assert ("USER_DEFINED", label.id) in known.targets("contacts", record, "companies")[labelled]


def test_a_deals_contact_is_set_changed_and_removed(hubspot: HubSpotConnector) -> None:
    field = "associations.contacts"
    low, high = made(hubspot, "contacts", "Low"), made(hubspot, "contacts", "High")
    highest = made(hubspot, "contacts", "Highest")
    deal = made(hubspot, "deals", "Deal", **{field: low})
    for value, read in ((high, high), (highest, highest), (low, f"{low};{highest}"), ("", None)):
        put(hubspot, "deals", {field: value}, deal)
        assert seen(hubspot, "deals", deal, field) == read


def test_associations_come_along_with_a_create_and_an_upsert(hubspot: HubSpotConnector) -> None:
    one, two = made(hubspot, "companies", "One"), made(hubspot, "companies", "Two")
    hubspot.ensure_key_property("contacts")
    for company in (one, two):
        [result] = hubspot.upsert("contacts", [Outgoing("hub", {"lastname": "Ada", COMPANIES: company})], KEY)
        assert result.ok
        assert str(seen(hubspot, "contacts", str(result.vendor_id), COMPANIES)).split(";")[0] == company


def test_a_company_that_is_gone_fails_only_whom_it_was_written_to(hubspot: HubSpotConnector) -> None:
    here = made(hubspot, "companies", "Here")
    records = [Outgoing("a", {"lastname": "A", COMPANIES: "424242"}), Outgoing("b", {"lastname": "B", COMPANIES: here})]
    first, second = hubspot.upsert("contacts", records)
    assert isinstance(first.error, SynclineError)
    assert first.error.code == "not_found"
    assert first.vendor_id, "the record itself was made"
    assert second.ok
    assert seen(hubspot, "contacts", str(second.vendor_id), COMPANIES) == here


def test_writing_the_same_associations_again_parts_nothing(server: HubSpotServer, hubspot: HubSpotConnector) -> None:
    one, two = made(hubspot, "companies", "One"), made(hubspot, "companies", "Two")
    record = made(hubspot, "contacts", "Ada", **{COMPANIES: f"{two};{one}"})
    before = {k: set(v) for k, v in server.portal.associations.targets("contacts", record, "companies").items()}
    put(hubspot, "contacts", {COMPANIES: f"{two};{one}"}, record)
    assert server.portal.associations.targets("contacts", record, "companies") == before


@pytest.mark.parametrize(("wanted", "held", "primary", "unwanted"), [
    ("", "7;9", True, "7;9"), ("8", "7;9", True, "7"), ("9", "7;9", True, "7"), ("7", "7;9", True, ""),
    ("9;7", "7;9", True, ""), ("8", "", True, ""), ("", "", True, ""),
    ("8", "7;9;10", False, "7"), ("10", "7;9;10", False, "7;9"), ("7", "7;9", False, ""), ("", "7", False, "7"),
])  # fmt: skip
def test_what_a_record_parts_from(wanted: str, held: str, primary: bool, unwanted: str) -> None:
    ids, known = wanted.split(";") if wanted else [], held.split(";") if held else []
    change = decide("1", ids, known, has_primary=primary)
    assert ";".join(change.unwanted) == unwanted
    assert ";".join(change.wanted) == wanted
    keeping = decide("1", ids, known, has_primary=primary, keeps=True)
    assert keeping == (change if not wanted else Change("1", ids))


# ---------------------------------------------------------------- pairs and their labels

PAIRS = "association:contacts:companies"


def labels(hubspot: HubSpotConnector) -> list[tuple[Any, ...]]:
    fields = ("from_id", "to_id", "type_id", "category", "label")
    pages = list(hubspot.read(ReadRequest(PAIRS, fields=fields)))
    return [tuple(row) for page in pages for row in page.rows]


def test_labels_are_added_and_taken_off_by_the_ids_of_their_rows(
    server: HubSpotServer, hubspot: HubSpotConnector
) -> None:
    """An account's own types are numbered from 1 again: 1 of its own is not the primary company's 1."""
    own, _ = server.portal.associations.add_label("contacts", "companies", "Adviser", None, "adviser")
    person, firm = made(hubspot, "contacts", "Ada"), made(hubspot, "companies", "Firm")
    assert own.id == 1
    row = {"from_id": person, "to_id": firm, "type_id": own.id, "category": own.category}
    [result] = hubspot.upsert(PAIRS, [Outgoing("k", row)])
    assert result.vendor_id == f"{person}:{firm}:1:USER_DEFINED"
    ids = [row[0] for row in labels(hubspot)]
    assert sorted(ids) == sorted([f"{person}:{firm}:1", f"{person}:{firm}:279", f"{person}:{firm}:1:USER_DEFINED"])
    assert all(r.ok for r in hubspot.delete(PAIRS, [str(result.vendor_id)]))
    assert [row[0] for row in labels(hubspot)] == [i for i in ids if "USER" not in i]
    hubspot.delete(PAIRS, [f"{person}:{firm}:279"])
    assert labels(hubspot) == []


@pytest.mark.parametrize("row_id", ["1:2", "1:2:3:4:5", "1::3", ""])
def test_what_is_no_row_is_refused(hubspot: HubSpotConnector, row_id: str) -> None:
    with pytest.raises(ConfigurationError):
        hubspot.delete(PAIRS, [row_id])


def test_one_bad_pair_of_a_record_fails_alone(hubspot: HubSpotConnector) -> None:
    person, firm = made(hubspot, "contacts", "Ada"), made(hubspot, "companies", "Firm")
    rows = [{"from_id": person, "to_id": firm}, {"from_id": person, "to_id": "424242"}, {"from_id": "", "to_id": firm}]
    results = hubspot.upsert(PAIRS, [Outgoing(str(n), row) for n, row in enumerate(rows)])
    assert [r.ok for r in results] == [True, False, False]


@pytest.mark.parametrize(("context", "about"), [
    ({"fromObjectId": ["1"], "toObjectId": ["11"]}, {("1", "11")}), ({"fromObjectId": ["1"]}, {("1", "10"), ("1", "11")}),
    ({"ids": ["10"]}, {("1", "10"), ("2", "10")}), ({}, {("1", "10"), ("1", "11"), ("2", "10")}),
])  # fmt: skip
def test_an_error_is_about_the_pairs_that_it_names(context: dict[str, Any], about: set[tuple[str, str]]) -> None:
    inputs = [{"from": {"id": f}, "to": {"id": t}} for f, t in (("1", "10"), ("1", "11"), ("2", "10"))]
    assert set(errors_of({"errors": [{"category": "X", "context": context}]}, inputs, "x")) == about


# ---------------------------------------------------------------- associates, one by one


def contacts_of(hubspot: HubSpotConnector, deal: str) -> list[str]:
    return list(hubspot.associated("deals", "associations.contacts", [deal]).get(deal, ()))


def test_contacts_are_added_to_a_deal_and_taken_away_while_all_others_stay(hubspot: HubSpotConnector) -> None:
    deal, other = made(hubspot, "deals", "One"), made(hubspot, "deals", "Other")
    a, b, c = (made(hubspot, "contacts", name) for name in "ABC")
    changes = [EndsChange(deal, add=(a, b)), EndsChange(other, add=(b,))]
    for _ in range(2):  # doing it twice is doing it once
        assert all(r.ok for r in hubspot.associate("deals", "associations.contacts", changes))
        assert (contacts_of(hubspot, deal), contacts_of(hubspot, other)) == ([a, b], [b])
    swap = [EndsChange(deal, add=(c,), remove=(b,))]
    for _ in range(2):
        assert all(r.ok for r in hubspot.associate("deals", "associations.contacts", swap))
        assert (contacts_of(hubspot, deal), contacts_of(hubspot, other)) == ([a, c], [b])


def test_a_contact_that_is_not_there_fails_its_own_deal_alone(hubspot: HubSpotConnector) -> None:
    deal, other = made(hubspot, "deals", "One"), made(hubspot, "deals", "Other")
    contact = made(hubspot, "contacts", "A")
    changes = [EndsChange(deal, add=("999999999",)), EndsChange(other, add=(contact,))]
    refused, done = hubspot.associate("deals", "associations.contacts", changes)
    assert (refused.ok, done.ok, contacts_of(hubspot, other)) == (False, True, [contact])


def test_labels_of_the_account_are_given_and_taken_off_while_the_pair_stays(
    hubspot: HubSpotConnector, server: HubSpotServer
) -> None:
    field = "associations.contacts"
    for name in ("Decides", "Pays"):
        server.portal.associations.add_label("deals", "contacts", name, None, name.lower())
    deal, contact = made(hubspot, "deals", "One"), made(hubspot, "contacts", "A")
    assert hubspot.labels("deals", field) == ["Decides", "Pays"]
    for change, expected in (
        (EndsChange(deal, add=(contact,), label=((contact, "Decides"),)), ["Decides"]),
        (EndsChange(deal, label=((contact, "Pays"),)), ["Decides", "Pays"]),
        (EndsChange(deal, unlabel=((contact, "Decides"),)), ["Pays"]),
        (EndsChange(deal, unlabel=((contact, "Pays"),)), []),
    ):
        for _ in range(2):
            assert all(r.ok for r in hubspot.associate("deals", field, [change]))
            assert hubspot.labelled("deals", field, [deal]) == {deal: {contact: expected}}
        named = f"{field}#labels"
        (row,) = [r for p in hubspot.read(ReadRequest("deals", (field, named), ids=(deal,))) for r in p.records()]
        assert (row[field], row[named]) == (contact, json.dumps({contact: expected}) if expected else None)
