"""The vendor's own SDK against the portal: every answer has to fit the SDK's models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import hubspot
import pytest
from hubspot.crm import companies, contacts, deals, lists, objects, pipelines, products, properties, schemas, tickets
from hubspot.crm.associations import v4
from hubspot.crm.objects import notes
from hubspot.utils.objects import fetch_all

from sandbox.hubspot.server import HubSpotServer

KINDS = ["contacts", "companies", "deals", "tickets", "products", "line_items", "quotes"]
ENGAGEMENTS = ["notes", "calls", "emails", "meetings", "tasks"]


def api(sdk: hubspot.HubSpot, kind: str) -> Any:
    return getattr(sdk.crm.objects if kind in ENGAGEMENTS else sdk.crm, kind)


@pytest.mark.parametrize("kind", [*KINDS, *ENGAGEMENTS])
def test_every_object_lists_reads_and_searches(sdk: hubspot.HubSpot, server: HubSpotServer, kind: str) -> None:
    group = api(sdk, kind)
    page = group.basic_api.get_page(limit=3, properties=["hs_object_id", "hubspot_owner_id"])
    total = len(server.portal.live(kind))
    assert len(page.results) == min(3, total)
    assert page.paging is None or page.paging.next.after
    first = group.basic_api.get_by_id(page.results[0].id, properties_with_history=["hs_object_id"])
    assert first.properties["hs_object_id"] == first.id
    assert first.properties_with_history["hs_object_id"][0].value == first.id
    found = group.search_api.do_search({"limit": 2, "properties": ["hs_object_id"]})
    assert found.total == total
    assert found.results[0].created_at.tzinfo is not None
    assert len(fetch_all(group.basic_api)) == total


def test_a_contacts_whole_life(sdk: hubspot.HubSpot) -> None:
    basic = sdk.crm.contacts.basic_api
    made = basic.create(
        contacts.SimplePublicObjectInputForCreate(properties={"email": "Life@Example.com"}, associations=[])
    )
    assert (made.properties["email"], made.archived) == ("life@example.com", False)
    basic.update(made.id, contacts.SimplePublicObjectInput(properties={"firstname": "Ada"}))
    assert basic.get_by_id("life@example.com", id_property="email").properties["firstname"] == "Ada"
    basic.archive(made.id)
    with pytest.raises(contacts.ApiException) as gone:
        basic.get_by_id(made.id)
    assert gone.value.status == 404
    assert basic.get_by_id(made.id, archived=True).archived_at is not None


def test_errors_fit_the_sdks_model(sdk: hubspot.HubSpot) -> None:
    with pytest.raises(contacts.ApiException) as refused:
        sdk.crm.contacts.basic_api.create(
            contacts.SimplePublicObjectInputForCreate(properties={"nope": "1"}, associations=[])
        )
    error = _as(contacts.Error, refused.value.body)
    assert (refused.value.status, error.category) == (400, "VALIDATION_ERROR")
    assert [detail.code for detail in error.errors] == ["PROPERTY_DOESNT_EXIST"]
    assert len(error.correlation_id) == 36


def _as(model: Any, body: str) -> Any:
    """Read a body as the SDK reads one into this model."""

    class Held:
        data = body

    client = contacts.ApiClient()
    return client.deserialize(Held(), model)


def test_batches(sdk: hubspot.HubSpot) -> None:
    batch = sdk.crm.contacts.batch_api
    inputs = [
        contacts.SimplePublicObjectBatchInputForCreate(
            properties={"email": f"sdk{n}@example.com"} | ({"nope": "1"} if n == 1 else {}),
            object_write_trace_id=f"t{n}",
            associations=[],
        )
        for n in range(3)
    ]
    made = batch.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))
    assert isinstance(made, contacts.BatchResponseSimplePublicObjectWithErrors)
    assert (made.num_errors, [r.object_write_trace_id for r in made.results]) == (1, ["t0", "t2"])
    assert made.errors[0].context["objectWriteTraceId"] == ["t1"]
    ids = [r.id for r in made.results]
    update = [contacts.SimplePublicObjectBatchInput(id=each, properties={"firstname": "U"}) for each in ids]
    updated = batch.update(contacts.BatchInputSimplePublicObjectBatchInput(inputs=update))
    assert [r.properties["firstname"] for r in updated.results] == ["U", "U"]
    wanted = [contacts.SimplePublicObjectId(id=each) for each in [*ids, "1"]]
    read = batch.read(
        contacts.BatchReadInputSimplePublicObjectId(inputs=wanted, properties=["firstname"], properties_with_history=[])
    )
    assert (read.num_errors, read.errors[0].context["ids"], len(read.results)) == (1, ["1"], 2)
    batch.archive(contacts.BatchInputSimplePublicObjectId(inputs=wanted[:2]))
    again = contacts.BatchReadInputSimplePublicObjectId(inputs=wanted, properties=[], properties_with_history=[])
    assert batch.read(again).results == []


def test_an_upsert_by_a_property_that_the_client_made(sdk: hubspot.HubSpot) -> None:
    text = {"name": "syncline_id", "label": "Syncline ID", "group_name": "companyinformation", "has_unique_value": True}
    made = sdk.crm.properties.core_api.create(
        "companies", properties.PropertyCreate(type="string", field_type="text", **text)
    )
    assert (made.has_unique_value, made.modification_metadata.read_only_value) == (True, False)
    each = companies.SimplePublicObjectBatchInputUpsert(
        id="S-1", id_property="syncline_id", properties={"name": "Ny AB"}
    )
    upsert = companies.BatchInputSimplePublicObjectBatchInputUpsert(inputs=[each])
    first, second = (sdk.crm.companies.batch_api.upsert(upsert).results[0] for _ in range(2))
    assert (first.new, second.new, first.id) == (True, False, second.id)


def test_merge_and_privacy_deletion(sdk: hubspot.HubSpot) -> None:
    basic = sdk.crm.contacts.basic_api
    one, two = (
        basic.create(
            contacts.SimplePublicObjectInputForCreate(properties={"email": f"m{n}@example.com"}, associations=[])
        ).id
        for n in range(2)
    )
    merged = basic.merge(contacts.PublicMergeInput(primary_object_id=one, object_id_to_merge=two))
    assert (merged.id, basic.get_by_id(two).id) == (one, one)
    basic.purge(contacts.PublicGdprDeleteInput(object_id=one))
    with pytest.raises(contacts.ApiException):
        basic.get_by_id(one, archived=True)


def test_properties_and_groups(sdk: hubspot.HubSpot) -> None:
    core = sdk.crm.properties.core_api
    known = {p.name: p for p in core.get_all("contacts").results}
    assert known["lifecyclestage"].options[0].value == "subscriber"
    assert known["hs_object_id"].modification_metadata.read_only_value
    assert known["hubspot_owner_id"].referenced_object_type == "OWNER"
    assert known["num_associated_deals"].calculated
    assert known["hs_merged_object_ids"].hidden
    assert known["email"].hubspot_defined
    sdk.crm.properties.groups_api.create("deals", properties.PropertyGroupCreate(name="mine", label="Mine"))
    assert "mine" in {g.name for g in sdk.crm.properties.groups_api.get_all("deals").results}
    options = [properties.OptionInput(label=v.upper(), value=v, hidden=False) for v in "ab"]
    given = {"name": "grade", "label": "Grade", "type": "enumeration", "field_type": "select", "group_name": "mine"}
    assert core.create("deals", properties.PropertyCreate(**given, options=options)).options[1].value == "b"
    with pytest.raises(properties.ApiException) as taken:
        core.create("deals", properties.PropertyCreate(**given))
    assert taken.value.status == 409
    core.archive("deals", "grade")
    assert "grade" not in {p.name for p in core.get_all("deals").results}


def test_owners(sdk: hubspot.HubSpot) -> None:
    owners = sdk.crm.owners.owners_api
    active, archived = owners.get_page(limit=3), owners.get_page(archived=True)
    assert (len(active.results), active.paging.next.after, len(archived.results)) == (3, active.results[-1].id, 1)
    assert archived.results[0].user_id is None
    one = active.results[0]
    assert owners.get_by_id(int(one.id)).email == one.email
    assert owners.get_by_id(one.user_id, id_property="userId").id == one.id


def test_pipelines_and_stages(sdk: hubspot.HubSpot) -> None:
    known = sdk.crm.pipelines.pipelines_api
    assert [p.label for p in known.get_all("deals").results] == ["Sales Pipeline", "Renewals"]
    assert known.get_by_id("deals", "default").stages[5].metadata == {"isClosed": "true", "probability": "1.0"}
    assert known.get_all("tickets").results[0].stages[0].metadata["ticketState"] == "OPEN"
    stage = pipelines.PipelineStageInput(label="Won", display_order=0, metadata={"probability": "1.0"})
    made = known.create("deals", pipelines.PipelineInput(label="Extra", display_order=2, stages=[stage]))
    assert made.stages[0].metadata["isClosed"] == "true"
    known.archive("deals", made.id)
    assert len(known.get_all("deals").results) == 2


def test_custom_objects(sdk: hubspot.HubSpot) -> None:
    core = sdk.crm.schemas.core_api
    egg = schemas.ObjectSchemaEgg(
        name="ships",
        labels=schemas.ObjectTypeDefinitionLabels(singular="Ship", plural="Ships"),
        required_properties=["name"],
        associated_objects=["COMPANY"],
        properties=[schemas.ObjectTypePropertyCreate(name="name", label="Name", type="string", field_type="text")],
    )
    made = core.create(egg)
    assert (made.object_type_id.startswith("2-"), made.fully_qualified_name) == (True, "p62515_ships")
    assert {s.name for s in core.get_all().results} == {"machines", "ships"}
    body = objects.SimplePublicObjectInputForCreate(properties={"name": "Vasa"}, associations=[])
    ship = sdk.crm.objects.basic_api.create(made.object_type_id, body)
    assert sdk.crm.objects.basic_api.get_by_id("p_ships", ship.id, properties=["name"]).properties["name"] == "Vasa"


def test_associations(sdk: hubspot.HubSpot, server: HubSpotServer) -> None:
    contact, company = (server.portal.live(kind)[-1].id for kind in ("contacts", "companies"))
    basic, batch = sdk.crm.associations.v4.basic_api, sdk.crm.associations.v4.batch_api
    made = basic.create_default("contacts", contact, "companies", company)
    assert {r.association_spec.association_type_id for r in made.results} == {279, 280}
    rows = basic.get_page("contacts", contact, "companies").results
    assert company in [row.to_object_id for row in rows]
    labels = [t.label for row in rows for t in row.association_types]
    assert None in labels
    fetch = v4.BatchInputPublicFetchAssociationsBatchRequest(
        inputs=[v4.PublicFetchAssociationsBatchRequest(id=contact)]
    )
    assert batch.get_page("contacts", "companies", fetch).results[0].to[0].association_types
    spec = [v4.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)]
    pair: dict[str, Any] = {"_from": v4.PublicObjectId(id=contact), "to": v4.PublicObjectId(id=company)}
    post = v4.BatchInputPublicAssociationMultiPost(inputs=[v4.PublicAssociationMultiPost(types=spec, **pair)])
    assert "Primary" in batch.create("contacts", "companies", post).results[0].labels
    types = sdk.crm.associations.schema.types_api.get_all("contact", "company").results
    assert {t.name for t in types} >= {"contact_to_company", "contact_to_company_unlabeled"}
    basic.archive("contacts", contact, "companies", company)
    assert company not in [row.to_object_id for row in basic.get_page("contacts", contact, "companies").results]


def test_lists(sdk: hubspot.HubSpot, server: HubSpotServer) -> None:
    known = sdk.crm.lists.lists_api
    found = known.do_search(lists.ListSearchRequest(query="trade"))
    assert (found.total, found.lists[0].processing_type) == (1, "MANUAL")
    list_id = found.lists[0].list_id
    assert known.get_by_id(list_id).list.name == "Trade fair 2024"
    members = sdk.crm.lists.memberships_api
    page = members.get_page(list_id, limit=5)
    assert (len(page.results), page.total) == (5, 17)
    gone = server.portal.live("contacts")[1].id
    changed = members.add(list_id, [gone, "1"])
    assert (changed.records_ids_added, changed.record_ids_missing) == ([gone], ["1"])
    assert members.remove(list_id, [gone]).record_ids_removed == [gone]
    assert members.get_lists("0-1", page.results[0].record_id).results[0].list_id == list_id


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in the SDK's own source
def test_files(sdk: hubspot.HubSpot, server: HubSpotServer, tmp_path: Path) -> None:
    files = sdk.files.files_api
    source = tmp_path / "Übersicht.txt"
    source.write_bytes(b"a\r\nb--\x00c")
    made = files.upload(file=str(source), folder_path="/in", options=json.dumps({"access": "PRIVATE"}))
    assert (made.name, made.extension, made.size, made.path) == ("Übersicht", "txt", 8, "/in/Übersicht.txt")
    signed = files.get_signed_url(made.id)
    assert httpx.get(signed.url).content == source.read_bytes()
    assert httpx.get(signed.url[:-1] + "x").status_code == 403
    assert httpx.get(made.url).status_code == 404  # a private file's plain address does not answer
    assert files.get_by_id(made.id).file_md5 == made.file_md5
    assert files.get_metadata("in/Übersicht.txt").file.id == made.id
    server.sandbox.clock.advance(901)
    assert httpx.get(signed.url).status_code == 403
    server.sandbox.clock.thaw()
    files.archive(made.id)
    with pytest.raises(hubspot.files.ApiException):
        files.get_by_id(made.id)


def test_oauth(sdk: hubspot.HubSpot, server: HubSpotServer) -> None:
    known, auth = server.sandbox.auth.known, server.sandbox.auth
    back = "https://hub.example/back"
    code = auth.authorize(back, ["crm.objects.contacts.read"])
    secrets = {"client_id": known.client_id, "client_secret": known.client_secret}
    tokens = sdk.oauth.tokens_api.create(grant_type="authorization_code", code=code, redirect_uri=back, **secrets)
    assert tokens.expires_in == 1800
    renewed = sdk.oauth.tokens_api.create(grant_type="refresh_token", refresh_token=tokens.refresh_token, **secrets)
    assert renewed.refresh_token == tokens.refresh_token
    info = sdk.oauth.access_tokens_api.get(renewed.access_token)
    assert (info.hub_id, info.scopes) == (server.portal.id, ["crm.objects.contacts.read"])
    assert sdk.oauth.refresh_tokens_api.get(renewed.refresh_token).client_id == known.client_id


def test_a_note_is_born_associated(sdk: hubspot.HubSpot, server: HubSpotServer) -> None:
    contact = server.portal.live("contacts")[0].id
    spec = notes.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=202)
    link = notes.PublicAssociationsForObject(to=notes.PublicObjectId(id=contact), types=[spec])
    body = notes.SimplePublicObjectInputForCreate(
        properties={"hs_timestamp": "1751284800000", "hs_note_body": "<p>Hi</p>"}, associations=[link]
    )
    made = sdk.crm.objects.notes.basic_api.create(body)
    shown = sdk.crm.objects.notes.basic_api.get_by_id(made.id, associations=["contacts"])
    assert [(a.id, a.type) for a in shown.associations["contacts"].results] == [(contact, "note_to_contact")]


@pytest.mark.parametrize(
    ("module", "kind", "values"),
    [
        (deals, "deals", {"dealname": "D", "dealstage": "qualifiedtobuy", "amount": "5"}),
        (tickets, "tickets", {"subject": "S", "hs_pipeline_stage": "1"}),
        (products, "products", {"name": "P", "price": "1.5"}),
    ],
)
def test_other_objects_are_written_too(sdk: hubspot.HubSpot, module: Any, kind: str, values: dict[str, str]) -> None:
    made = api(sdk, kind).basic_api.create(module.SimplePublicObjectInputForCreate(properties=values, associations=[]))
    assert {name: made.properties[name] for name in values} == values


def test_a_limit_reaches_the_caller_with_its_headers(server: HubSpotServer) -> None:
    server.sandbox.faults.add([{"kind": "limit", "calls": "get", "policy": "TEN_SECONDLY_ROLLING", "times": 1}])
    client = hubspot.HubSpot(access_token=server.token, host=server.url)
    with pytest.raises(contacts.ApiException) as limited:
        client.crm.contacts.basic_api.get_by_id(server.portal.live("contacts")[0].id)
    assert limited.value.status == 429
    assert limited.value.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
