"""The seeded org: the same every time, and as messy as it promises."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from typing import Any

import orjson
import pytest

from sandbox.kit.clock import ANCHOR
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.model import SalesforceSandbox, SandboxOptions
from sandbox.salesforce.org import Org

Row = dict[str, Any]
EMAIL = re.compile(r"^[^@\s]+@([\w-]+\.)+[a-z]{2,}$", re.IGNORECASE)


@pytest.fixture(scope="module")
def org() -> Org:
    return SalesforceSandbox(SandboxOptions(contacts=3000), Clock(ANCHOR)).org


def rows(org: Org, kind: str) -> list[Row]:
    return org.live(kind)


def fingerprint(contacts: int, seed: int) -> str:
    made = SalesforceSandbox(SandboxOptions(contacts=contacts, seed=seed)).org
    return hashlib.sha256(orjson.dumps(made.tables) + b"".join(made.blobs.values())).hexdigest()


def test_a_seed_gives_the_same_org_every_time_and_another_seed_another() -> None:
    assert fingerprint(200, 1) == fingerprint(200, 1) != fingerprint(200, 2)


@pytest.mark.parametrize("contacts", [0, 1, 2, 7, 100])
def test_any_size_can_be_made_and_has_as_many_live_contacts_as_asked(contacts: int) -> None:
    made = SalesforceSandbox(SandboxOptions(contacts=contacts)).org
    assert len(made.live("Contact")) == contacts


def test_every_row_holds_fields_of_its_object_and_no_null(org: Org) -> None:
    for kind, table in org.tables.items():
        known = set(org.objects[kind].fields)
        for row in table.values():
            assert set(row) <= known, (kind, set(row) - known)
            assert None not in row.values(), (kind, row)


def test_every_reference_leads_to_a_record_of_the_right_kind(org: Org) -> None:
    for kind, table in org.tables.items():
        links = [f for f in org.objects[kind].fields.values() if f.type == "reference"]
        for row in table.values():
            for link in links:
                if link.name in row:
                    target = org.find(row[link.name])
                    assert target is not None, (kind, link.name, row[link.name])
                    assert target[0].name in link.refers_to, (kind, link.name, target[0].name)


def test_text_fits_its_field(org: Org) -> None:
    for kind, table in org.tables.items():
        texts = [
            (f.name, f.length)
            for f in org.objects[kind].fields.values()
            if f.length and f.type not in {"id", "reference"}
        ]
        for row in table.values():
            for name, length in texts:
                assert len(str(row.get(name, ""))) <= length, (kind, name)


def test_every_object_of_a_sales_org_has_rows(org: Org) -> None:
    expected = [
        "User",
        "Group",
        "Account",
        "Contact",
        "Lead",
        "Opportunity",
        "OpportunityStage",
        "OpportunityHistory",
        "OpportunityFieldHistory",
        "RecordType",
        "OpportunityContactRole",
        "Product2",
        "Pricebook2",
        "PricebookEntry",
        "OpportunityLineItem",
        "Task",
        "Event",
        "Case",
        "CaseComment",
        "Campaign",
        "CampaignMember",
        "CampaignMemberStatus",
        "Note",
        "ContentNote",
        "ContentVersion",
        "ContentDocument",
        "ContentDocumentLink",
        "Attachment",
        "Broker__c",
        "Property__c",
        "CurrencyType",
    ]
    assert [kind for kind in expected if not org.tables[kind]] == []


# ---------------------------------------------------------------- the mess


def plain(text: str) -> str:
    stripped = "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(stripped.split())


def test_duplicates_differ_in_case_accents_or_spaces_and_some_addresses_are_shared_by_strangers(org: Org) -> None:
    by_email: dict[str, set[str]] = {}
    exact: dict[str, set[str]] = {}
    for row in rows(org, "Contact"):
        if EMAIL.match(row.get("Email", "")):
            by_email.setdefault(row["Email"].casefold(), set()).add(plain(row["Name"]))
            exact.setdefault(row["Email"].casefold(), set()).add(row["Name"])
    strangers = [email for email, names in by_email.items() if len(names) > 1]
    same_person = [email for email, names in exact.items() if len(names) > 1 and len(by_email[email]) == 1]
    assert len(strangers) >= 10
    assert len(same_person) >= 40


def test_orphans_bad_addresses_and_inactive_owners(org: Org) -> None:
    accounts = org.tables["Account"]
    assert sum(accounts[c["AccountId"]].get("IsDeleted", False) for c in rows(org, "Contact") if "AccountId" in c) >= 10
    assert sum("Email" in c and not EMAIL.match(c["Email"]) for c in rows(org, "Contact")) >= 30
    inactive = {u["Id"] for u in rows(org, "User") if not u["IsActive"]}
    assert inactive
    assert sum(c["OwnerId"] in inactive for c in rows(org, "Contact")) >= 50
    assert any(lead["OwnerId"].startswith("00G") for lead in rows(org, "Lead"))


def test_phones_come_in_five_formats_and_more(org: Org) -> None:
    shapes = {re.sub(r"\d+", "9", row["Phone"]) for row in rows(org, "Contact")}
    assert {"(9) 9-9", "9", "+9 9-9-9", "9.9.9 x9", "+9 9 9", "+9 9 9 9", "9 / 9", "+9-9-9-9"} <= shapes
    assert any(not re.search(r"\d", row["Phone"]) for row in rows(org, "Contact"))


def test_names_are_written_in_many_scripts(org: Org) -> None:
    text = "".join(row["Name"] for row in rows(org, "Contact"))
    scripts = {unicodedata.name(c, "?").split()[0] for c in set(text)}
    assert {
        "CJK",
        "HANGUL",
        "ARABIC",
        "HEBREW",
        "CYRILLIC",
        "DEVANAGARI",
        "GREEK",
        "THAI",
        "COMBINING",
        "RIGHT-TO-LEFT",
    } <= scripts
    assert "🌟" in text


def test_parents_come_before_and_after_their_children(org: Org) -> None:
    for kind, link in (("Account", "ParentId"), ("Contact", "ReportsToId")):
        order = Counter(row[link] > row["Id"] for row in rows(org, kind) if link in row)
        assert order[True] >= 5
        assert order[False] >= 5
    people = org.tables["Contact"]
    assert any(people[c["ReportsToId"]].get("ReportsToId") == c["Id"] for c in people.values() if "ReportsToId" in c)


def test_account_parents_never_go_round_in_a_circle(org: Org) -> None:
    accounts = org.tables["Account"]
    for row in accounts.values():
        seen, current = {row["Id"]}, row
        while "ParentId" in current:
            current = accounts[current["ParentId"]]
            assert current["Id"] not in seen
            seen.add(current["Id"])


def test_one_data_load_left_many_records_with_one_modstamp_and_older_changes(org: Org) -> None:
    stamps = Counter(row["SystemModstamp"] for row in rows(org, "Contact"))
    assert stamps.most_common(1)[0][1] >= 200
    assert sum(row["LastModifiedDate"] < row["SystemModstamp"] for row in rows(org, "Contact")) >= 200
    assert all(
        row["CreatedDate"] <= row["LastModifiedDate"] <= row["SystemModstamp"] for row in org.tables["Contact"].values()
    )


def test_amounts_and_dates_reach_the_edges(org: Org) -> None:
    amounts = {row.get("Amount") for row in rows(org, "Opportunity")}
    assert 0.0 in amounts
    assert min(a for a in amounts if a is not None) < 0
    assert max(a for a in amounts if a is not None) >= 1e9
    assert None in amounts
    days = {row["CloseDate"] for row in rows(org, "Opportunity")} | {row["ActivityDate"] for row in rows(org, "Task")}
    assert {"1970-01-01", "2099-12-31"} <= days
    assert {row["CurrencyIsoCode"] for row in rows(org, "Opportunity")} >= {"USD", "EUR", "GBP", "JPY"}


def test_stage_history_ends_at_the_present_stage(org: Org) -> None:
    last: dict[str, Row] = {}
    for step in sorted(rows(org, "OpportunityHistory"), key=lambda s: (s["CreatedDate"], s["Id"])):
        last[step["OpportunityId"]] = step
    for sale in rows(org, "Opportunity"):
        assert last[sale["Id"]]["StageName"] == sale["StageName"]


def test_line_items_add_up(org: Org) -> None:
    totals: dict[str, float] = {}
    for line in rows(org, "OpportunityLineItem"):
        totals[line["OpportunityId"]] = totals.get(line["OpportunityId"], 0.0) + line["TotalPrice"]
    with_lines = [sale for sale in rows(org, "Opportunity") if sale.get("HasOpportunityLineItem")]
    assert with_lines
    assert all(abs(totals[sale["Id"]] - sale["Amount"]) < 0.01 for sale in with_lines)


def test_files_are_what_they_say(org: Org) -> None:
    starts = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}
    for version in rows(org, "ContentVersion"):
        content = org.blobs[version["Id"]]
        assert version["ContentSize"] == len(content)
        assert version["Checksum"] == hashlib.md5(content).hexdigest()  # noqa: S324
        assert content.startswith(starts.get(version["FileExtension"], b""))
    latest = Counter(v["ContentDocumentId"] for v in rows(org, "ContentVersion") if v.get("IsLatest"))
    assert set(latest.values()) == {1}
    assert set(latest) == set(org.tables["ContentDocument"])
