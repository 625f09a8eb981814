"""Describe, as tools read it to build their schemas."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.salesforce.schema import label_of, parse_field
from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture(scope="module")
def org() -> InProcess:
    return InProcess(contacts=0)


def described(org: InProcess, kind: str) -> dict[str, Any]:
    return dict(org.call("GET", f"sobjects/{kind}/describe").json)


def fields(org: InProcess, kind: str) -> dict[str, dict[str, Any]]:
    return {f["name"]: f for f in described(org, kind)["fields"]}


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("Account", "Id", {"type": "id", "length": 18, "createable": False, "nillable": False, "idLookup": True}),
        ("Account", "Name", {"type": "string", "length": 255, "nameField": True, "nillable": False}),
        ("Account", "BillingAddress", {"type": "address", "createable": False, "filterable": False}),
        ("Account", "BillingCity", {"type": "string", "compoundFieldName": "BillingAddress", "createable": True}),
        (
            "Account",
            "ERP_Number__c",
            {"externalId": True, "unique": True, "custom": True, "caseSensitive": True, "idLookup": True},
        ),
        ("Account", "AnnualRevenue", {"type": "currency", "precision": 18, "scale": 0}),
        ("Account", "Regions__c", {"type": "multipicklist", "restrictedPicklist": False}),
        ("Account", "Description", {"type": "textarea", "length": 32000, "filterable": False, "sortable": False}),
        ("Account", "SystemModstamp", {"type": "datetime", "createable": False, "updateable": False}),
        ("Account", "OwnerId", {"referenceTo": ["User"], "relationshipName": "Owner", "polymorphicForeignKey": False}),
        ("Contact", "FirstName", {"compoundFieldName": "Name", "createable": True}),
        ("Contact", "Name", {"nameField": True, "createable": False, "length": 121, "extraTypeInfo": "personname"}),
        ("Lead", "OwnerId", {"referenceTo": ["Group", "User"], "polymorphicForeignKey": True, "namePointing": True}),
        ("Task", "WhoId", {"referenceTo": ["Contact", "Lead"], "relationshipName": "Who"}),
        ("Opportunity", "ExpectedRevenue", {"calculated": True, "createable": False, "updateable": False}),
        ("OpportunityLineItem", "OpportunityId", {"createable": True, "updateable": False}),
        ("Case", "CaseNumber", {"autoNumber": True, "createable": False, "nameField": True}),
        ("ContentVersion", "VersionData", {"type": "base64", "filterable": False, "soapType": "xsd:base64Binary"}),
        ("Property__c", "Location__c", {"type": "location", "createable": False}),
        (
            "Property__c",
            "Location__Latitude__s",
            {"type": "double", "compoundFieldName": "Location__c", "custom": True},
        ),
        ("Property__c", "Description__c", {"type": "textarea", "htmlFormatted": True, "extraTypeInfo": "richtextarea"}),
        (
            "Property__c",
            "Broker__c",
            {"type": "reference", "relationshipName": "Broker__r", "referenceTo": ["Broker__c"]},
        ),
        (
            "Contact",
            "DoNotCall",
            {"type": "boolean", "nillable": False, "defaultValue": False, "defaultedOnCreate": True},
        ),
    ],
)
def test_a_field(org: InProcess, kind: str, name: str, expected: dict[str, Any]) -> None:
    found = fields(org, kind)[name]
    assert {key: found[key] for key in expected} == expected


def test_picklists_list_their_values(org: InProcess) -> None:
    values = fields(org, "Opportunity")["StageName"]["picklistValues"]
    assert [v["value"] for v in values][:2] == ["Prospecting", "Qualification"]
    assert set(values[0]) == {"active", "defaultValue", "label", "validFor", "value"}


def test_record_types_are_listed_with_master_last(org: InProcess) -> None:
    infos = described(org, "Account")["recordTypeInfos"]
    assert [(i["developerName"], i["master"]) for i in infos] == [
        ("Business", False),
        ("Partner", False),
        ("Master", True),
    ]
    assert sum(i["defaultRecordTypeMapping"] for i in infos) == 1
    assert infos[0]["recordTypeId"].startswith("012")
    assert [i["developerName"] for i in described(org, "Lead")["recordTypeInfos"]] == ["Master"]


def test_child_relationships_are_named_as_sub_selects_name_them(org: InProcess) -> None:
    names = {
        (c["childSObject"], c["field"]): c["relationshipName"] for c in described(org, "Account")["childRelationships"]
    }
    assert names["Contact", "AccountId"] == "Contacts"
    assert names["Account", "ParentId"] == "ChildAccounts"
    assert names["Lead", "ConvertedAccountId"] is None
    for relation in {n for n in names.values() if n and n != "ContentDocumentLinks"}:
        assert org.soql(f"SELECT Id, (SELECT Id FROM {relation}) FROM Account") == []


def test_every_queryable_object_can_be_described_and_selected_whole(org: InProcess) -> None:
    listed = org.call("GET", "sobjects").json["sobjects"]
    for item in listed:
        where = f" WHERE LinkedEntityId = '{org.first('User')}'" if item["name"] == "ContentDocumentLink" else ""
        names = ", ".join(fields(org, item["name"]))
        org.soql(f"SELECT {names} FROM {item['name']}{where} LIMIT 1")


@pytest.mark.parametrize(
    ("name", "label"),
    [("BillingPostalCode", "Billing Postal Code"), ("ParentId", "Parent ID"), ("My_Field__c", "My Field")],
)
def test_labels_read_well(name: str, label: str) -> None:
    assert label_of(name) == label


def test_a_field_line_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ValueError, match=r"field line 'X ~'"):
        list(parse_field("X ~"))
