"""Contacts in a lead stage: an object of its own over the records of contacts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.kit.contract import ReadRequest
from domain.records import Outgoing
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.hubspot.stand_in import connection_to, unhurried

VIEW = "contact_leads"


@pytest.fixture
def server() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=5) as server:
        yield unhurried(server)


@pytest.fixture
def hubspot(server: HubSpotServer) -> Iterator[HubSpotConnector]:
    connector = HubSpotConnector(connection_to(server))
    yield connector
    connector.close()


def ids(hubspot: HubSpotConnector, name: str, **request: object) -> list[str]:
    pages = list(hubspot.read(ReadRequest(name, **request)))  # type: ignore[arg-type]
    assert {p.object for p in pages} == {name}
    return [row[p.fields.index("hs_object_id")] for p in pages for row in p.rows]


def test_it_is_described_by_name_alone_and_so_never_migrated_beside_the_contacts(hubspot: HubSpotConnector) -> None:
    assert VIEW not in hubspot.describe().objects
    view, whole = (hubspot.describe([n]).objects[n] for n in (VIEW, "contacts"))
    assert (view.name, view.label) == (VIEW, "Contacts in a lead stage")
    assert set(whole.field_names) - set(view.field_names) == {"associations.companies"}
    assert hubspot.count([VIEW, "contacts"]).keys() == {"contacts"}


def test_both_objects_list_the_same_records_under_the_same_ids(hubspot: HubSpotConnector) -> None:
    """So that a record which moves from one to the other is missing from neither."""
    whole = ids(hubspot, "contacts")
    assert ids(hubspot, VIEW) == whole
    assert ids(hubspot, VIEW, ids=tuple(whole[:2])) == whole[:2]
    listed = [[(p.ids, p.versions) for p in hubspot.versions(name)] for name in (VIEW, "contacts")]
    assert listed[0] == listed[1]
    stages = {row[0] for p in hubspot.read(ReadRequest(VIEW, fields=("lifecyclestage",))) for row in p.rows}
    assert stages


def test_what_is_written_to_it_is_a_contact(server: HubSpotServer, hubspot: HubSpotConnector) -> None:
    hubspot.ensure_key_property(VIEW)
    lead = Outgoing("key", {"lastname": "Lovelace", "lifecyclestage": "lead"})
    [made] = hubspot.upsert(VIEW, [lead], "syncline_id")
    [again] = hubspot.upsert(VIEW, [lead], "syncline_id")
    assert made.vendor_id == again.vendor_id
    assert (
        hubspot.find("contacts", "syncline_id", ["key"])
        == hubspot.find(VIEW, "syncline_id", ["key"])
        == {"key": made.vendor_id}
    )
    record = server.portal.find_live("contacts", str(made.vendor_id))
    assert record is not None
    assert record.values["lifecyclestage"] == "lead"
    assert all(r.ok for r in hubspot.delete(VIEW, [str(made.vendor_id)]))
    assert server.portal.find_live("contacts", str(made.vendor_id)) is None
