"""Single records: what is refused, what is computed, what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.hubspot.times import iso, parse_ms
from tests.sandbox.hubspot.helpers import InProcess

DEAL = {"dealname": "D", "dealstage": "qualifiedtobuy"}


def codes(refusal: dict[str, Any]) -> list[str]:
    return [error["code"] for error in refusal["errors"]]


@pytest.mark.parametrize(
    ("kind", "properties", "code"),
    [
        ("contacts", {"email": "a@example.com", "shoe_size": "44"}, "PROPERTY_DOESNT_EXIST"),
        ("contacts", {"email": "not an address"}, "INVALID_EMAIL"),
        ("contacts", {"email": "a@example.com", "hs_object_id": "1"}, "READ_ONLY_VALUE"),
        ("contacts", {"email": "a@example.com", "createdate": "2025-01-01"}, "READ_ONLY_VALUE"),
        ("contacts", {"email": "a@example.com", "num_associated_deals": "1"}, "READ_ONLY_VALUE"),
        ("contacts", {"email": "a@example.com", "lifecyclestage": "friend"}, "INVALID_OPTION"),
        ("contacts", {"email": "a@example.com", "hubspot_owner_id": "7"}, "INVALID_OPTION"),
        ("deals", DEAL | {"amount": "1,000"}, "INVALID_NUMBER"),
        ("deals", DEAL | {"amount": "NaN"}, "INVALID_NUMBER"),
        ("deals", DEAL | {"closedate": "tomorrow"}, "INVALID_LONG"),
        ("deals", DEAL | {"closedate": "99999999999999999"}, "INVALID_LONG"),
        ("deals", {"dealname": "D", "dealstage": "lunch"}, "INVALID_OPTION"),
        ("deals", DEAL | {"pipeline": "nowhere"}, "INVALID_OPTION"),
        ("quotes", {"hs_title": "Q", "hs_expiration_date": "2025-06-30T14:00:00Z"}, "INVALID_DATE"),
    ],
)
def test_a_value_that_will_not_do_is_refused_by_code(
    empty: InProcess, kind: str, properties: dict[str, str], code: str
) -> None:
    refusal = empty.refused("POST", kind, {"properties": properties})
    assert refusal["category"] == "VALIDATION_ERROR"
    assert refusal["message"].startswith("Property values were not valid: [{")
    assert code in codes(refusal)
    assert empty.portal.tables[kind] == {}


def test_every_problem_is_told_at_once_and_every_refusal_has_its_own_id(empty: InProcess) -> None:
    body = {"properties": {"email": "x", "nope": "1", "createdate": "1"}}
    first, second = empty.refused("POST", "contacts", body), empty.refused("POST", "contacts", body)
    assert sorted(codes(first)) == ["INVALID_EMAIL", "PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"]
    assert first["correlationId"] != second["correlationId"]


@pytest.mark.parametrize(
    ("kind", "properties", "missing"),
    [
        ("contacts", {"phone": "1"}, ["email", "firstname", "lastname"]),
        ("companies", {"phone": "1"}, ["name", "domain"]),
        ("deals", {"amount": "1"}, ["dealname", "dealstage"]),
        ("tickets", {"subject": "S"}, ["hs_pipeline_stage"]),
        ("notes", {"hs_note_body": "B"}, ["hs_timestamp"]),
        ("products", {"price": "1"}, ["name"]),
    ],
)
def test_what_is_required_is_named(empty: InProcess, kind: str, properties: dict[str, str], missing: list[str]) -> None:
    assert empty.refused("POST", kind, {"properties": properties})["context"] == {"properties": missing}


def test_a_second_contact_with_an_address_is_409_and_names_the_first_in_words_only(empty: InProcess) -> None:
    first = empty.create("contacts", email="Anna@Example.com")
    refusal = empty.refused("POST", "contacts", {"properties": {"email": " anna@example.COM "}}, 409)
    assert refusal["category"] == "CONFLICT"
    assert refusal["message"] == f"Contact already exists. Existing ID: {first}"
    assert "context" not in refusal
    other = empty.create("contacts", email="other@example.com")
    empty.refused("PATCH", f"contacts/{other}", {"properties": {"email": "anna@example.com"}}, 409)


def test_an_archived_contacts_address_is_free_again(empty: InProcess) -> None:
    first = empty.create("contacts", email="a@example.com")
    empty.ok("DELETE", f"contacts/{first}")
    assert empty.create("contacts", email="a@example.com") != first


def test_companies_may_share_a_domain(empty: InProcess) -> None:
    assert empty.create("companies", domain="a.example") != empty.create("companies", domain="a.example")


def test_ids_are_texts_that_count_up_for_each_object_on_its_own(empty: InProcess) -> None:
    made = [empty.create("contacts", email=f"{n}@example.com") for n in range(3)]
    assert made == sorted(made, key=int)
    assert empty.create("companies", name="C") == made[0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1751284800000", "2025-06-30T12:00:00Z"),
        ("1751284800123", "2025-06-30T12:00:00.123Z"),
        ("2025-06-30T14:00:00+02:00", "2025-06-30T12:00:00Z"),
        ("2025-06-30", "2025-06-30T00:00:00Z"),
        (1751284800000, "2025-06-30T12:00:00Z"),
    ],
)
def test_moments_go_in_as_numbers_or_iso_and_come_out_as_iso(empty: InProcess, given: Any, kept: str) -> None:
    deal = empty.create("deals", **DEAL, closedate=given)
    assert empty.get("deals", deal, "closedate")["closedate"] == kept
    assert iso(parse_ms(kept)) == kept


def test_days_come_out_as_days_whatever_they_went_in_as(empty: InProcess) -> None:
    for given in ("2025-06-30", "1751241600000", "2025-06-30T00:00:00Z"):
        quote = empty.create("quotes", hs_title="Q", hs_expiration_date=given)
        assert empty.get("quotes", quote, "hs_expiration_date")["hs_expiration_date"] == "2025-06-30"


def test_values_are_texts_and_what_is_empty_is_null(empty: InProcess) -> None:
    deal = empty.create("deals", **DEAL, amount=12.5, description="")
    shown = empty.get("deals", deal, "amount", "description", "hs_is_closed")
    assert (shown["amount"], shown["description"], shown["hs_is_closed"]) == ("12.5", None, "false")
    empty.ok("PATCH", f"deals/{deal}", {"properties": {"amount": ""}})
    assert empty.get("deals", deal, "amount")["amount"] is None
    assert (
        empty.refused("PATCH", f"deals/{deal}", {"properties": {"amount": {"v": 1}}})["category"] == "VALIDATION_ERROR"
    )


def test_a_property_that_does_not_exist_is_passed_over_in_reading(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com")
    assert "shoe_size" not in empty.get("contacts", contact, "email", "shoe_size")


def test_contacts_have_their_own_name_for_the_moment_of_change(empty: InProcess) -> None:
    """Not hs_lastmodifieddate: searching contacts by that is refused."""
    contact, company = empty.create("contacts", email="a@example.com"), empty.create("companies", name="C")
    assert "lastmodifieddate" in empty.get("contacts", contact, "email", "hs_lastmodifieddate")
    assert "hs_lastmodifieddate" not in empty.get("contacts", contact, "hs_lastmodifieddate")
    assert "hs_lastmodifieddate" in empty.get("companies", company, "name")
    empty.refused("POST", "contacts/search", {"sorts": ["hs_lastmodifieddate"]})


def test_a_change_moves_the_record_forward_even_when_the_clock_stands(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com")
    before = empty.ok("GET", f"contacts/{contact}")["updatedAt"]
    after = empty.ok("PATCH", f"contacts/{contact}", {"properties": {"firstname": "A"}})
    assert parse_ms(after["updatedAt"]) > parse_ms(before)
    assert after["properties"]["lastmodifieddate"] == after["updatedAt"]


def test_lifecycle_goes_forward_and_back_only_by_way_of_nothing(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com", lifecyclestage="customer")

    def put(stage: str) -> Any:
        empty.ok("PATCH", f"contacts/{contact}", {"properties": {"lifecyclestage": stage}})
        return empty.get("contacts", contact, "lifecyclestage")["lifecyclestage"]

    assert put("lead") == "customer"  # passed over without a word
    assert put("evangelist") == "evangelist"
    assert put("") is None
    assert put("lead") == "lead"


def test_a_deals_stage_has_to_be_of_its_pipeline(small: InProcess) -> None:
    renewals = next(p for p in small.portal.pipelines["deals"].values() if p.label == "Renewals")
    stage = next(iter(renewals.stages))
    deal = small.create("deals", **DEAL)
    small.refused("PATCH", f"deals/{deal}", {"properties": {"dealstage": stage}})
    small.refused("PATCH", f"deals/{deal}", {"properties": {"pipeline": renewals.id}})
    small.ok("PATCH", f"deals/{deal}", {"properties": {"dealstage": stage, "pipeline": renewals.id}})
    assert small.get("deals", deal, "dealstage", "hs_deal_stage_probability")["hs_deal_stage_probability"] == "0.6"


def test_several_options_are_replaced_or_added_to(empty: InProcess) -> None:
    ticket = empty.create("tickets", hs_pipeline_stage="1", hs_ticket_category="PRODUCT_ISSUE")

    def put(value: str) -> Any:
        empty.ok("PATCH", f"tickets/{ticket}", {"properties": {"hs_ticket_category": value}})
        return empty.get("tickets", ticket, "hs_ticket_category")["hs_ticket_category"]

    assert put(";BILLING_ISSUE") == "PRODUCT_ISSUE;BILLING_ISSUE"
    assert put("FEATURE_REQUEST") == "FEATURE_REQUEST"


def test_archived_records_are_listed_apart_and_read_only_when_asked_for(empty: InProcess) -> None:
    contact, other = (empty.create("contacts", email=f"{n}@example.com") for n in range(2))
    for _ in range(2):  # archiving twice is no error
        assert empty.call("DELETE", f"contacts/{contact}").status == 204
    assert empty.call("GET", f"contacts/{contact}").status == 404
    gone = empty.ok("GET", f"contacts/{contact}?archived=true")
    assert gone["archived"]
    assert "archivedAt" in gone
    assert [r["id"] for r in empty.ok("GET", "contacts")["results"]] == [other]
    assert [r["id"] for r in empty.ok("GET", "contacts?archived=true")["results"]] == [contact]
    assert empty.call("PATCH", f"contacts/{contact}", {"properties": {"firstname": "A"}}).status == 404
    assert empty.call("DELETE", "contacts/99").status == 204


def test_a_merged_contacts_id_leads_to_its_survivor(empty: InProcess) -> None:
    one = empty.create("contacts", email="one@example.com", firstname="One")
    two = empty.create("contacts", email="two@example.com", firstname="Two", phone="555")
    empty.ok("POST", "contacts/merge", {"primaryObjectId": one, "objectIdToMerge": two})
    survivor = empty.ok("GET", f"contacts/{two}?properties=firstname,phone,hs_merged_object_ids,hs_additional_emails")
    assert survivor["id"] == one
    values = survivor["properties"]
    assert (values["firstname"], values["phone"], values["hs_merged_object_ids"]) == ("One", "555", two)
    assert values["hs_additional_emails"] == "two@example.com"
    empty.ok("PATCH", f"contacts/{two}", {"properties": {"jobtitle": "CEO"}})
    assert empty.get("contacts", one, "jobtitle")["jobtitle"] == "CEO"
    assert [r["id"] for r in empty.ok("GET", "contacts")["results"]] == [one]
    refusal = empty.refused("POST", "contacts", {"properties": {"email": "two@example.com"}}, 409)
    assert refusal["message"].endswith(one)


def test_merged_deals_become_a_third_one(empty: InProcess) -> None:
    """The vendor: don't assume that the id of the answer is the one that was asked for."""
    one, two = (empty.create("deals", **DEAL, amount=amount) for amount in ("1", ""))
    contact = empty.create("contacts", email="a@example.com")
    for deal in (one, two):
        empty.ok("PUT", f"/crm/v4/objects/deals/{deal}/associations/default/contacts/{contact}")
    third = empty.ok("POST", "deals/merge", {"primaryObjectId": two, "objectIdToMerge": one})["id"]
    assert third not in {one, two}
    for deal in (one, two, third):
        shown = empty.ok("GET", f"deals/{deal}?properties=amount,hs_merged_object_ids")
        assert (shown["id"], shown["properties"]["amount"]) == (third, "1")
        assert set(shown["properties"]["hs_merged_object_ids"].split(";")) == {one, two}
    assert [r["id"] for r in empty.ok("GET", "deals")["results"]] == [third]
    held = empty.ok("GET", f"/crm/v4/objects/contacts/{contact}/associations/deals")["results"]
    assert [row["toObjectId"] for row in held] == [int(third)]
    empty.clock.advance(10)
    assert empty.search("deals") == [third]


def test_privacy_deletion_leaves_nothing_and_tells_twice(empty: InProcess) -> None:
    contact = empty.create("contacts", email="gone@example.com")
    body = {"objectId": "gone@example.com", "idProperty": "email"}
    assert empty.call("POST", "contacts/gdpr-delete", body).status == 204
    assert empty.call("GET", f"contacts/{contact}?archived=true").status == 404
    kinds = [change.kind for change in empty.portal.changes if change.id == contact]
    assert kinds[-2:] == ["deletion", "privacyDeletion"]


def test_lists_page_by_id_so_that_writes_between_pages_do_no_harm(empty: InProcess) -> None:
    made = [empty.create("contacts", email=f"{n}@example.com") for n in range(5)]
    page = empty.ok("GET", "contacts?limit=2")
    empty.ok("DELETE", f"contacts/{made[0]}")
    after = page["paging"]["next"]["after"]
    assert [r["id"] for r in empty.ok("GET", f"contacts?limit=100&after={after}")["results"]] == made[2:]
    assert "paging" not in empty.ok("GET", "contacts?limit=100")
    empty.refused("GET", "contacts?limit=101")
    empty.refused("GET", "contacts?limit=51&propertiesWithHistory=email")


def test_paging_finds_everyone_after_some_have_gone_for_good(empty: InProcess) -> None:
    made = [empty.create("contacts", email=f"{n}@example.com") for n in range(9)]
    for gone in (made[0], made[4]):
        empty.call("POST", "contacts/gdpr-delete", {"objectId": gone})
    seen, after = [], "0"
    while after:
        page = empty.ok("GET", f"contacts?limit=2&after={after}")
        seen += [r["id"] for r in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    assert seen == [each for each in made if each not in {made[0], made[4]}]


def test_history_has_the_newest_first(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com", firstname="A")
    empty.clock.advance(60)
    empty.ok("PATCH", f"contacts/{contact}", {"properties": {"firstname": "B"}})
    shown = empty.ok("GET", f"contacts/{contact}?propertiesWithHistory=firstname")["propertiesWithHistory"]["firstname"]
    assert [version["value"] for version in shown] == ["B", "A"]
    assert shown[0]["timestamp"] > shown[1]["timestamp"]


def test_records_answer_to_unique_properties(empty: InProcess) -> None:
    empty.unique_property()
    contact = empty.create("contacts", email="a@example.com", syncline_id="S-1")
    assert empty.ok("GET", "contacts/S-1?idProperty=syncline_id")["id"] == contact
    assert empty.ok("GET", "contacts/a@example.com?idProperty=email")["id"] == contact
    empty.refused("GET", "contacts/x?idProperty=firstname")
    refusal = empty.refused("POST", "contacts", {"properties": {"email": "b@example.com", "syncline_id": "S-1"}})
    assert codes(refusal) == ["CONFLICTING_UNIQUE_VALUE"]


def test_the_feed_tells_what_changed_and_who_did_it(empty: InProcess) -> None:
    contact = empty.create("contacts", email="a@example.com")
    empty.call("POST", "/__sandbox__/edit", {"object": "contacts", "id": contact, "properties": {"firstname": "P"}})
    told = [(c.kind, c.property, c.value, c.source) for c in empty.portal.changes if c.property in {"", "firstname"}]
    assert told == [("creation", "", "", "API"), ("propertyChange", "firstname", "P", "CRM_UI")]
