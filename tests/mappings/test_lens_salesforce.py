"""Salesforce records through the shipped specs, as the API and as exports write them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from domain.records import MISSING, PendingLink
from mappings.compile import Lens, compile_spec
from mappings.spec import load_shipped


def lens(name: str) -> Lens:
    spec = load_shipped("salesforce", name)
    assert spec is not None
    return compile_spec(spec)


def test_a_contact_from_the_api() -> None:
    record = lens("Contact").forward_one(
        {
            "Id": "0035g00000AbCdEAAV",
            "FirstName": "Ada ",
            "LastName": "Lovelace",
            "Email": "Ada@Example.COM",
            "Phone": "(415) 555-1234 x12",
            "Birthdate": "1815-12-10",
            "HasOptedOutOfEmail": False,
            "AccountId": "0015g00000XyZabAAB",
            "OwnerId": "0055g000001QqQqAAK",
            "CreatedDate": "2024-01-02T03:04:05.000+0000",
            "Shoe_Size__c": 38.5,
        }
    )
    assert record.vendor_id == "0035g00000AbCdEAAV"
    assert record.values["first_name"] == "Ada"
    assert record.values["email"] == "ada@example.com"
    assert record.values["phone"] == "+14155551234;ext=12"
    assert record.values["birth_date"] == date(1815, 12, 10)
    assert record.values["email_opt_out"] is False
    assert record.values["source_created_at"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert record.custom_fields == {"Shoe_Size__c": 38.5}
    assert record.problems == ()


def test_the_same_contact_from_csv_maps_to_the_same_values() -> None:
    api = lens("Contact").forward_one({"Id": "0035g00000AbCdEAAV", "HasOptedOutOfEmail": True, "DoNotCall": None})
    csv = lens("Contact").forward_one({"Id": "0035g00000AbCdE", "HasOptedOutOfEmail": "1", "DoNotCall": ""})
    assert api == csv


def test_references_carry_vendor_ids_and_the_objects_they_may_mean() -> None:
    batch = lens("Opportunity").forward(
        ("Id", "Name", "StageName", "AccountId", "Amount", "RecordTypeId"),
        [["006000000000001", "Deal", "Closed Won", "0015g00000XyZabAAB", "1234.50", "012000000000000AAA"]],
    )
    assert batch.columns["stage_id"] == ["Closed Won"]
    assert batch.refs["stage_id"] == ("OpportunityStage",)
    assert batch.columns["account_id"] == ["0015g00000XyZabAAB"]
    assert batch.columns["amount"] == [Decimal("1234.5")]
    assert batch.columns["pipeline_id"] == [None], "the master record type is no pipeline"
    assert (
        lens("OpportunityStage").forward_one({"ApiName": "Closed Won", "MasterLabel": "Won"}).vendor_id == "Closed Won"
    )


@pytest.mark.parametrize(
    ("who", "what", "expected", "links"),
    [
        ("0035g00000AbCdEAAV", None, {"contact_id": "0035g00000AbCdEAAV"}, []),
        ("00Q5g00000AbCdEAAV", None, {"lead_id": "00Q5g00000AbCdEAAV"}, []),
        (None, "0065g00000AbCdEAAV", {"opportunity_id": "0065g00000AbCdEAAV"}, []),
        (None, "a0X5g00000AbCdEAAV", {}, [PendingLink(0, "what", ("*",), "a0X5g00000AbCdEAAV")]),
    ],
)
def test_polymorphic_lookups_fill_the_reference_they_mean(
    who: str | None, what: str | None, expected: dict[str, str], links: list[PendingLink]
) -> None:
    batch = lens("Task").forward(("Id", "WhoId", "WhatId"), [["00T000000000001", who, what]])
    ends = ("contact_id", "lead_id", "account_id", "opportunity_id", "ticket_id")
    assert {name: batch.columns[name][0] for name in ends if batch.columns[name][0]} == expected
    assert batch.links == links


def test_a_queue_owner_is_a_link_and_no_user() -> None:
    batch = lens("Lead").forward(("Id", "OwnerId"), [["00Q000000000001", "00G5g00000AbCdEAAV"]])
    assert batch.columns["owner_id"] == [None]
    assert batch.links == [PendingLink(0, "queue", ("Group",), "00G5g00000AbCdEAAV")]


def test_record_types_of_other_objects_stay_out() -> None:
    batch = lens("RecordType").forward(
        ("Id", "Name", "SobjectType"),
        [["012000000000001", "New", "Opportunity"], ["012000000000002", "VIP", "Account"]],
    )
    assert [(p.row, p.code, p.rejects) for p in batch.problems] == [(1, "out_of_scope", True)]


def test_deleted_rows_of_an_export_stay_out() -> None:
    batch = lens("Account").forward(
        ("Id", "Name", "IsDeleted"),
        [["001000000000001", "A", "0"], ["001000000000002", "B", "1"], ["001000000000003", "C", MISSING]],
    )
    assert [p.row for p in batch.problems] == [1]


def test_a_campaign_member_prefers_its_contact_and_keeps_its_lead() -> None:
    record = lens("CampaignMember").forward_one(
        {
            "Id": "00v000000000001",
            "CampaignId": "701000000000001AAA",
            "ContactId": "003000000000001AAA",
            "LeadId": "00Q000000000001AAA",
        }
    )
    assert record.values["to_id"] == "003000000000001AAA"
    assert record.custom_fields == {"LeadId": "00Q000000000001AAA"}
    assert record.values["label"] == "campaign member"
