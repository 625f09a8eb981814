from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.schema import default_objects, object_schema, readable_fields, with_stages
from domain.entities import Kind
from domain.records import Option

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def describe() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / "describe_contact.json").read_text("utf-8"))
    return loaded


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Id", Kind.TEXT),
        ("Email", Kind.EMAIL),
        ("Phone", Kind.PHONE),
        ("PhotoUrl", Kind.URL),
        ("Salutation", Kind.TEXT),
        ("Languages__c", Kind.TEXT_LIST),
        ("Budget__c", Kind.DECIMAL),
        ("Share__c", Kind.DECIMAL),
        ("Score__c", Kind.DECIMAL),
        ("Seats__c", Kind.INTEGER),
        ("HasOptedOutOfEmail", Kind.BOOLEAN),
        ("Birthdate", Kind.DATE),
        ("EmailBouncedDate", Kind.TIMESTAMP),
        ("AccountId", Kind.REFERENCE),
        ("MailingAddress", Kind.JSON),
        ("Place__c", Kind.JSON),
    ],
)
def test_types_have_kinds(describe: dict[str, Any], name: str, kind: Kind) -> None:
    assert object_schema(describe).field(name).kind is kind


def test_the_object(describe: dict[str, Any]) -> None:
    schema = object_schema(describe)
    assert (schema.name, schema.id_field, schema.name_field) == ("Contact", "Id", "Name")
    assert (schema.created_field, schema.modified_field) == ("CreatedDate", "SystemModstamp")
    assert schema.readable
    assert schema.writable
    assert not schema.custom
    assert schema.attributes["key_prefix"] == "003"
    assert schema.attributes["replicateable"] is True


def test_record_types_leave_out_the_master(describe: dict[str, Any]) -> None:
    assert [(o.value, o.label, o.is_active) for o in object_schema(describe).record_types] == [
        ("0121U000000abcdQAA", "Partner", True),
        ("0121U000000abceQAA", "Old one", False),
    ]


def test_picklists_keep_inactive_values(describe: dict[str, Any]) -> None:
    assert object_schema(describe).field("Level__c").options == (
        Option("Primary", "Primary"),
        Option("Tertiary", "Third", is_active=False),
    )


def test_polymorphic_lookups_name_every_target(describe: dict[str, Any]) -> None:
    assert object_schema(describe).field("OwnerId").refers_to == ("User", "Group")


def test_compound_fields_and_their_parts(describe: dict[str, Any]) -> None:
    schema = object_schema(describe)
    assert {f.name for f in schema.fields if f.compound} == {"Name", "MailingAddress", "Place__c"}
    assert {f.name for f in schema.fields if f.part_of == "MailingAddress"} == {"MailingStreet", "MailingCity"}
    assert schema.field("LastName").part_of == "Name"
    assert schema.field("Name").part_of is None


def test_a_listing_asks_for_parts_and_not_for_compound_addresses(describe: dict[str, Any]) -> None:
    listed = readable_fields(object_schema(describe))
    assert "MailingAddress" not in listed
    assert "Place__c" not in listed
    assert {"MailingStreet", "Place__Latitude__s", "Name", "Email"} <= set(listed)


def test_a_compound_whose_parts_are_hidden_is_listed_itself(describe: dict[str, Any]) -> None:
    describe["fields"] = [f for f in describe["fields"] if f["compoundFieldName"] != "Place__c"]
    assert "Place__c" in readable_fields(object_schema(describe))


def test_content_is_no_field(describe: dict[str, Any]) -> None:
    names = object_schema(describe).field_names
    assert "Photo__c" not in names
    assert "Members__c" not in names


def test_the_text_of_a_note_is_a_field() -> None:
    note = {
        "name": "ContentNote",
        "fields": [{"name": "Id", "type": "id"}, {"name": "Content", "type": "base64"}],
    }
    schema = object_schema(note)
    assert schema.field_names == ("Id", "Content")
    assert schema.attributes["content_field"] == "Content"


def test_required_is_what_a_writer_must_give(describe: dict[str, Any]) -> None:
    required = {f.name for f in object_schema(describe).fields if f.required}
    assert required == {"LastName"}


def test_external_ids_lengths_and_precisions(describe: dict[str, Any]) -> None:
    schema = object_schema(describe)
    key = schema.field("Hub_Id__c")
    assert (key.external_id, key.unique, key.custom, key.length) == (True, True, True, 36)
    budget = schema.field("Budget__c")
    assert (budget.precision, budget.scale) == (18, 2)
    assert schema.field("Seats__c").precision == 9
    assert schema.field("Score__c").calculated
    assert schema.field("LegacyNo__c").calculated


def field(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "datetime", "filterable": True, "sortable": True, "updateable": False, **more}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([field("SystemModstamp"), field("LastModifiedDate")], "SystemModstamp"),
        ([field("LastModifiedDate"), field("CreatedDate")], None),
        ([field("CreatedDate")], "CreatedDate"),
        ([field("CreatedDate"), field("Name", updateable=True)], None),
        ([field("SystemModstamp", filterable=False), field("CreatedDate")], "CreatedDate"),
        ([field("Name")], None),
    ],
    ids=["usual", "last modified misses automation", "history", "changes unseen", "unusable stamp", "nothing"],
)
def test_system_modstamp_not_last_modified_date(fields: list[dict[str, Any]], expected: str | None) -> None:
    assert object_schema({"name": "X", "fields": fields}).modified_field == expected


def test_default_objects_are_the_standard_ones_there_are_and_custom_ones() -> None:
    listing = [
        {"name": "Contact", "queryable": True},
        {"name": "Account", "queryable": True},
        {"name": "Lead", "queryable": False},
        {"name": "Zoo__c", "queryable": True, "custom": True},
        {"name": "Aa__c", "queryable": True, "custom": True},
        {"name": "Setting__c", "queryable": True, "custom": True, "customSetting": True},
        {"name": "Old__c", "queryable": True, "custom": True, "deprecatedAndHidden": True},
        {"name": "Kind__mdt", "queryable": True, "custom": True},
        {"name": "AccountFeed", "queryable": True},
    ]
    assert default_objects(listing) == ("Account", "Contact", "Aa__c", "Zoo__c")


def test_stages_bring_their_probability() -> None:
    options = [{"value": "Won", "active": True}, {"value": "Odd", "active": True}]
    schema = object_schema(
        {"name": "Opportunity", "fields": [{"name": "StageName", "type": "picklist", "picklistValues": options}]}
    )
    stage = {"ApiName": "Won", "DefaultProbability": 100.0, "IsWon": True, "IsClosed": True, "SortOrder": 9}
    won, odd = with_stages(schema, [stage]).field("StageName").options
    assert won.attributes["probability"] == 100.0
    assert (won.attributes["is_won"], won.attributes["is_closed"], won.attributes["position"]) == (True, True, 9)
    assert odd.attributes == {}
