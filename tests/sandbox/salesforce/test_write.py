"""The rules under which records are created, changed and deleted, each refusal in the vendor's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.salesforce.clean import clean
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import parse_field
from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def refusal(org: InProcess, method: str, path: str, body: Any) -> tuple[int, str, str]:
    reply = org.call(method, path, body)
    assert reply.status >= 400, reply.json
    return reply.status, reply.json[0]["errorCode"], reply.json[0]["message"]


@pytest.mark.parametrize(
    ("kind", "values", "code", "message"),
    [
        ("Contact", {"FirstName": "A"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
        ("Contact", {"LastName": " "}, "REQUIRED_FIELD_MISSING", "[LastName]"),
        ("Contact", {"LastName": "x" * 81}, "STRING_TOO_LONG", "Last Name: data value too large: xxx"),
        ("Contact", {"LastName": "A", "Email": "n/a"}, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: n/a"),
        ("Contact", {"LastName": "A", "Email": "a@b"}, "INVALID_EMAIL_ADDRESS", "invalid email address: a@b"),
        ("Contact", {"LastName": "A", "Birthdate": "soon"}, "JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
        ("Contact", {"LastName": "A", "Loyalty_Points__c": "many"}, "JSON_PARSER_ERROR", "instance of double"),
        (
            "Contact",
            {"LastName": "A", "Loyalty_Points__c": 1e8},
            "NUMBER_OUTSIDE_VALID_RANGE",
            "value outside of valid range",
        ),
        ("Contact", {"LastName": "A", "AccountId": "acme"}, "MALFORMED_ID", "id value of incorrect type: acme"),
        (
            "Contact",
            {"LastName": "A", "AccountId": "001gK00000ZZZZZ"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
        ),
        (
            "Contact",
            {"LastName": "A", "AccountId": "003gK00000ZZZZZ"},
            "FIELD_INTEGRITY_EXCEPTION",
            "id value of incorrect type",
        ),
        (
            "Contact",
            {"LastName": "A", "Nope__c": 1},
            "INVALID_FIELD",
            "No such column 'Nope__c' on sobject of type Contact",
        ),
        (
            "Contact",
            {"LastName": "A", "Name": "A"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: Name",
        ),
        (
            "Contact",
            {"LastName": "A", "DoNotCall": None},
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            "value not of required type",
        ),
        (
            "Property__c",
            {"Name": "P", "Status__c": "Gone"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "restricted picklist field: Gone",
        ),
        (
            "CampaignMember",
            {"CampaignId": "701gK00000ZZZZZ"},
            "INVALID_CROSS_REFERENCE_KEY",
            "invalid cross reference id",
        ),
        ("OpportunityStage", {"MasterLabel": "X"}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "does not support create"),
    ],
)
def test_what_may_not_be_created(org: InProcess, kind: str, values: dict[str, Any], code: str, message: str) -> None:
    status, found, said = refusal(org, "POST", f"sobjects/{kind}", values)
    assert (status, found) == (400, code)
    assert message in said


def test_unrestricted_picklists_take_anything(org: InProcess) -> None:
    record_id = org.create("Account", Name="A", Industry="Alchemy")
    assert org.call("GET", f"sobjects/Account/{record_id}?fields=Industry").json["Industry"] == "Alchemy"


def test_text_is_trimmed_and_blank_becomes_null(org: InProcess) -> None:
    record_id = org.create("Contact", FirstName="  Ann ", LastName="Lee\n", Department="   ")
    found = org.call("GET", f"sobjects/Contact/{record_id}").json
    assert (found["FirstName"], found["LastName"], found["Name"], found["Department"]) == (
        "Ann",
        "Lee",
        "Ann Lee",
        None,
    )


def test_a_unique_external_id_is_held_once_and_the_holder_named(org: InProcess) -> None:
    held = org.create("Account", Name="A", ERP_Number__c="E1")
    assert refusal(org, "POST", "sobjects/Account", {"Name": "B", "ERP_Number__c": "E1"}) == (
        400, "DUPLICATE_VALUE", f"duplicate value found: ERP_Number__c duplicates value on record with id: {held[:15]}",
    )  # fmt: skip
    org.create("Account", Name="B", ERP_Number__c="e1")  # this field minds case
    assert org.call("DELETE", f"sobjects/Account/{held}").status == 204
    org.create("Account", Name="C", ERP_Number__c="E1")


def test_every_write_sets_the_modstamp_to_a_whole_second(org: InProcess) -> None:
    org.clock.advance(0.999)
    record_id = org.create("Account", Name="A")
    org.clock.advance(60.5)
    assert org.call("PATCH", f"sobjects/Account/{record_id}", {"Phone": "1"}).status == 204
    found = org.call("GET", f"sobjects/Account/{record_id}").json
    assert found["CreatedDate"] == "2025-06-30T12:00:00.000+0000"
    assert found["SystemModstamp"] == found["LastModifiedDate"] == "2025-06-30T12:01:01.000+0000"


def test_audit_fields_can_be_set_only_with_the_permission(org: InProcess) -> None:
    old = {"CreatedDate": "1970-01-01T00:00:00Z", "LastModifiedDate": "2001-02-03T04:05:06+01:00"}
    record_id = org.create("Account", Name="A", **old)
    found = org.call("GET", f"sobjects/Account/{record_id}").json
    assert (found["CreatedDate"], found["LastModifiedDate"]) == (
        "1970-01-01T00:00:00.000+0000",
        "2001-02-03T03:05:06.000+0000",
    )
    assert found["SystemModstamp"] > found["LastModifiedDate"]
    org.org.permissions.set_audit_fields = False
    assert refusal(org, "POST", "sobjects/Account", {"Name": "B", **old})[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_an_inactive_user_can_own_nothing_new_without_the_permission(org: InProcess) -> None:
    gone = next(u["Id"] for u in org.org.tables["User"].values() if not u["IsActive"])
    org.create("Account", Name="A", OwnerId=gone)
    org.org.permissions.set_audit_fields = False
    assert refusal(org, "POST", "sobjects/Account", {"Name": "B", "OwnerId": gone})[1] == "INACTIVE_OWNER_OR_USER"


def test_a_deleted_record_is_gone_for_every_verb_and_for_references(org: InProcess) -> None:
    record_id = org.create("Account", Name="A")
    assert org.call("DELETE", f"sobjects/Account/{record_id}").status == 204
    for method, body in (("GET", None), ("PATCH", {"Name": "B"}), ("DELETE", None)):
        assert refusal(org, method, f"sobjects/Account/{record_id}", body) == (
            404,
            "ENTITY_IS_DELETED",
            "entity is deleted",
        )
    assert refusal(org, "POST", "sobjects/Contact", {"LastName": "X", "AccountId": record_id})[1] == "ENTITY_IS_DELETED"


def test_deleting_takes_along_what_cannot_exist_alone(org: InProcess) -> None:
    case = org.create("Case", Subject="S")
    comment = org.create("CaseComment", ParentId=case, CommentBody="c")
    org.call("DELETE", f"sobjects/Case/{case}")
    assert org.org.tables["CaseComment"][comment]["IsDeleted"] is True


# ---------------------------------------------------------------- upsert


def test_upsert_creates_then_updates(org: InProcess) -> None:
    made = org.call("PATCH", "sobjects/Account/ERP_Number__c/E%2F1", {"Name": "A"})
    assert (made.status, made.json["created"]) == (201, True)
    again = org.call("PATCH", "sobjects/Account/ERP_Number__c/E%2F1", {"Name": "B"})
    assert (again.status, again.json["created"], again.json["id"]) == (200, False, made.json["id"])
    assert org.call("PATCH", "/services/data/v45.0/sobjects/Account/ERP_Number__c/E%2F1", {"Name": "C"}).status == 204
    assert org.call("GET", "sobjects/Account/ERP_Number__c/E%2F1").json["Name"] == "C"


def test_upsert_by_a_key_that_several_records_hold_is_300_with_all_of_them(org: InProcess) -> None:
    org.org.add_field("Account", next(parse_field("Old__c string(20) extid")))
    both = [org.create("Account", Name=n, Old__c="7") for n in "AB"]
    reply = org.call("PATCH", "sobjects/Account/Old__c/7", {"Name": "C"})
    assert reply.status == 300
    assert reply.json == [f"/services/data/v59.0/sobjects/Account/{i}" for i in both]


def test_upsert_refuses_a_field_that_is_no_key_and_a_key_in_the_body(org: InProcess) -> None:
    assert refusal(org, "PATCH", "sobjects/Account/Name/x", {"Phone": "1"})[1] == "INVALID_FIELD"
    assert (
        "should not be specified"
        in refusal(org, "PATCH", "sobjects/Account/ERP_Number__c/x", {"ERP_Number__c": "x"})[2]
    )


def test_a_parent_can_be_named_by_its_external_id(org: InProcess) -> None:
    account = org.create("Account", Name="A", ERP_Number__c="E1")
    contact = org.create("Contact", LastName="L", Account={"ERP_Number__c": "E1"})
    assert org.call("GET", f"sobjects/Contact/{contact}").json["AccountId"] == account
    error = refusal(org, "POST", "sobjects/Contact", {"LastName": "L", "Account": {"ERP_Number__c": "E2"}})
    assert error[1:] == (
        "INVALID_FIELD",
        "Foreign key external ID: e2 not found for field ERP_Number__c in entity Account",
    )


def test_if_unmodified_since_protects_a_newer_record(org: InProcess) -> None:
    record_id = org.create("Account", Name="A")
    path = f"sobjects/Account/{record_id}"
    early = {"If-Unmodified-Since": "Mon, 30 Jun 2025 11:59:59 GMT"}
    assert org.call("PATCH", path, {"Name": "B"}, early).status == 412
    assert (
        org.call("PATCH", path, {"Name": "B"}, {"If-Unmodified-Since": "Mon, 30 Jun 2025 12:00:00 GMT"}).status == 204
    )


# ---------------------------------------------------------------- what the platform fills in


def test_a_stage_brings_its_probability_and_leaves_history(org: InProcess) -> None:
    sale = org.create("Opportunity", Name="S", StageName="Qualification", CloseDate="2025-08-01", Amount=1000)
    org.clock.advance(60)
    org.call("PATCH", f"sobjects/Opportunity/{sale}", {"StageName": "Closed Won"})
    found = org.call("GET", f"sobjects/Opportunity/{sale}").json
    assert (found["Probability"], found["IsWon"], found["IsClosed"], found["ExpectedRevenue"]) == (
        100.0,
        True,
        True,
        1000.0,
    )
    history = org.soql(
        f"SELECT StageName, Probability FROM OpportunityHistory WHERE OpportunityId = '{sale}' ORDER BY CreatedDate"
    )
    assert [(h["StageName"], h["Probability"]) for h in history] == [("Qualification", 10.0), ("Closed Won", 100.0)]
    changes = org.soql("SELECT Field, OldValue, NewValue FROM OpportunityFieldHistory")
    assert [(c["Field"], c["OldValue"], c["NewValue"]) for c in changes] == [
        ("StageName", "Qualification", "Closed Won")
    ]


def test_a_probability_that_was_given_stays(org: InProcess) -> None:
    sale = org.create("Opportunity", Name="S", StageName="Qualification", CloseDate="2025-08-01", Probability=33)
    assert org.call("GET", f"sobjects/Opportunity/{sale}").json["Probability"] == 33.0


def test_line_items_add_up_to_the_amount(small: InProcess) -> None:
    entry = small.soql("SELECT Id, UnitPrice FROM PricebookEntry LIMIT 1")[0]
    sale = small.create("Opportunity", Name="S", StageName="Qualification", CloseDate="2025-08-01")
    for quantity, discount in ((2, 0), (1, 50)):
        small.create(
            "OpportunityLineItem",
            OpportunityId=sale,
            PricebookEntryId=entry["Id"],
            Quantity=quantity,
            Discount=discount,
        )
    found = small.call("GET", f"sobjects/Opportunity/{sale}").json
    assert found["Amount"] == 2.5 * entry["UnitPrice"]
    assert found["HasOpportunityLineItem"] is True


def test_an_event_ends_after_its_duration(org: InProcess) -> None:
    event = org.create("Event", Subject="E", StartDateTime="2025-07-01T10:00:00Z", DurationInMinutes=90)
    assert org.call("GET", f"sobjects/Event/{event}").json["EndDateTime"] == "2025-07-01T11:30:00.000+0000"


@given(st.floats(-1e15, 1e15, allow_nan=False), st.integers(0, 4))
def test_numbers_are_rounded_to_their_scale_and_rounding_twice_changes_nothing(number: float, scale: int) -> None:
    field = next(parse_field(f"N__c double(18,{scale})"))
    try:
        once = clean(field, number)
    except ApiError as error:
        assert error.code == "NUMBER_OUTSIDE_VALID_RANGE"  # noqa: PT017
        return
    assert clean(field, once) == once
    assert abs(once - number) <= 0.5 * 10**-scale + abs(number) * 1e-15
