"""The certificate against real runs: clean ones are certified, and every kind of planted difference is found."""

# ruff: noqa: S608, E501  # statements are put together from texts of this file

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from domain.ids import new_id
from migration.certificate import Certificate, certify
from migration.run import RunContext, Runner
from storage import runs
from storage.database import Database
from storage.embedded import ServerUrls
from tests.conftest import new_tenant
from tests.migration.conftest import World, plan_of
from tests.migration.source import ListSource

USERS = [
    {
        "Id": "005A",
        "Name": "Ada Jones",
        "Email": "ada@corp.example",
        "IsActive": True,
        "CreatedDate": "2019-01-01T00:00:00Z",
    },
    {
        "Id": "005B",
        "Name": "Bo Li",
        "Email": "bo@corp.example",
        "IsActive": False,
        "CreatedDate": "2019-01-02T00:00:00Z",
    },
]
ACCOUNTS = [
    {"Id": "001C", "Name": "Child Ltd", "ParentId": "001P", "OwnerId": "005A", "CreatedDate": "2020-01-01T00:00:00Z"},
    {"Id": "001P", "Name": "Parent Plc", "ParentId": None, "OwnerId": "005B", "CreatedDate": "2020-02-01T00:00:00Z"},
]
CONTACTS = [
    {"Id": f"003{n}", "FirstName": "Zoë", "LastName": f"Nr {n}", "Email": f"p{n}@x.example", "Phone": "(415) 555-0143",
     "AccountId": "001C", "OwnerId": "005A", "Shoe__c": str(n), "CreatedDate": f"2021-01-0{n}T00:00:00Z"}
    for n in range(1, 6)
]  # fmt: skip
DEALS = [{"Id": "006A", "Name": "Deal", "AccountId": "001C", "CloseDate": "2024-01-01", "Amount": "10.50"}]
ROLES = [
    {"Id": "00KA", "OpportunityId": "006A", "ContactId": "0031", "Role": "Buyer", "IsPrimary": True},
    {"Id": "00KB", "OpportunityId": "006A", "ContactId": "0032", "Role": "User", "IsPrimary": False},
]
FILES = [
    {"Id": "068A", "Title": "a", "PathOnClient": "a.txt", "ContentSize": 5, "ContentDocumentId": "069A"},
    {"Id": "068B", "Title": "b", "PathOnClient": "b.txt", "ContentSize": 0, "ContentDocumentId": "069B"},
]
ORG: Mapping[str, list[dict[str, Any]]] = {
    "User": USERS, "Account": ACCOUNTS, "Contact": CONTACTS, "Opportunity": DEALS, "OpportunityContactRole": ROLES,
    "ContentVersion": FILES,
}  # fmt: skip


class _Pinned:
    """A database all of whose transactions are one that is open already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def tenant(self, tenant_id: UUID) -> Iterator[Connection]:
        yield self._connection


class Certified:
    """A run whose staging is still there, so that it can be certified after something was done to the hub."""

    def __init__(self, world: World, objects: Mapping[str, list[dict[str, Any]]] = ORG, **rules: Any) -> None:
        self.world = world
        source = ListSource(objects)
        source.files = {"068A": b"hello", "068B": b""}
        plan = plan_of(source, **rules)
        self.context = RunContext(world.db, "", world.connection_id, source, plan, source.describe(), processes=0)
        run_id = new_id()
        with world.db.tenant(world.tenant_id) as connection:
            at = connection.execute(text("SELECT now()")).scalar_one()
            runs.create(connection, world.tenant_id, run_id, world.connection_id, kind="run", at=at, plan=plan.to_json(),
                        plan_checksum=plan.checksum, options={})  # fmt: skip
            self.key = runs.take(connection, world.tenant_id, run_id)
        self.ledgers = Runner(self.context, self.key).execute()

    def certificate(self, **options: Any) -> Certificate:
        return certify(self.world.db, self.key, self.context, self.ledgers, **options)

    def certificate_after(self, *statements: str, **options: Any) -> Certificate:
        """What would be certified after these changes, which are then taken back."""
        with self.world.db.tenant(self.world.tenant_id) as connection:
            connection.execute(text("SELECT set_config('app.loading', 'on', true)"))
            for statement in statements:
                assert connection.execute(text(statement)).rowcount > 0, statement
            certificate = certify(_Pinned(connection), self.key, self.context, self.ledgers, **options)  # type: ignore[arg-type]
            connection.rollback()
            return certificate

    def tamper(self, *statements: str) -> None:
        """Change rows behind the hub's back: no version, no history."""
        with self.world.db.tenant(self.world.tenant_id) as connection:
            connection.execute(text("SELECT set_config('app.loading', 'on', true)"))
            for statement in statements:
                assert connection.execute(text(statement)).rowcount > 0, statement


@pytest.fixture(scope="module")
def run(db: Database, database_urls: ServerUrls) -> Certified:
    """One clean run. Tests look at it, and at what would be certified after a change that is then taken back."""
    return Certified(World(db, database_urls, new_tenant(db)))


def test_a_clean_run_is_certified(run: Certified) -> None:
    certificate = run.certificate()
    assert certificate.differences.items == ()
    assert certificate.ok
    assert (
        certificate.verdict
        == "Nothing was lost: all 14 records of the source are accounted for, and every value agrees."
    )
    contact = next(o for o in certificate.objects if o.object == "Contact")
    assert (contact.source, contact.created, contact.vendor_count, contact.linked, contact.accounted) == (
        5,
        5,
        5,
        5,
        True,
    )
    assert all(f.source == f.hub and f.differing == 0 for o in certificate.objects for f in o.fields)
    last_name = next(f for f in contact.fields if f.field == "last_name")
    assert (last_name.rows, last_name.filled) == (5, 5)
    account = next(r for r in contact.references if r.field == "account_id")
    assert (account.staged, account.resolved) == (5, 5)
    roles = next(o for o in certificate.objects if o.object == "OpportunityContactRole")
    assert roles.associations is not None
    assert (roles.associations.staged, roles.associations.present) == (2, 2)
    files = next(o for o in certificate.objects if o.object == "ContentVersion").files
    assert files is not None
    assert (files.files, files.verified, files.size_bytes) == (2, 2, 5)


_CONTACT = "entity_id FROM link WHERE vendor_object = 'Contact' AND vendor_id = '0031'"
_DEAL = "entity_id FROM link WHERE vendor_object = 'Opportunity'"
PLANTED = [
    ("changed_value", "last_name", f"UPDATE crm_contact SET last_name = 'Nr l' WHERE id = (SELECT {_CONTACT})"),
    ("changed_value", "last_name", f"UPDATE crm_contact SET last_name = NULL WHERE id = (SELECT {_CONTACT})"),
    ("changed_value", "department", f"UPDATE crm_contact SET department = 'x' WHERE id = (SELECT {_CONTACT})"),
    ("changed_value", "custom_fields", f"UPDATE crm_contact SET custom_fields = '{{}}' WHERE id = (SELECT {_CONTACT})"),
    ("changed_value", "amount", f"UPDATE crm_opportunity SET amount = 10.51 WHERE id = (SELECT {_DEAL})"),
    ("wrong_date", "source_created_at",
     f"UPDATE crm_contact SET source_created_at = source_created_at + interval '1 ms' WHERE id = (SELECT {_CONTACT})"),
    ("wrong_owner", "owner_id",
     f"UPDATE crm_contact SET owner_id = (SELECT id FROM crm_user WHERE name = 'Bo Li') WHERE id = (SELECT {_CONTACT})"),
    ("lost_reference", "owner_id", f"UPDATE crm_contact SET owner_id = NULL WHERE id = (SELECT {_CONTACT})"),
    ("wrong_reference", "account_id",
     f"UPDATE crm_contact SET account_id = (SELECT id FROM crm_account WHERE name = 'Parent Plc') WHERE id = (SELECT {_CONTACT})"),
    ("wrong_reference", "reports_to_id",
     f"UPDATE crm_contact SET reports_to_id = (SELECT id FROM crm_contact WHERE last_name = 'Nr 2') WHERE id = (SELECT {_CONTACT})"),
    ("missing_record", None, f"DELETE FROM crm_contact WHERE id = (SELECT {_CONTACT})"),
    ("missing_link", None, "DELETE FROM link WHERE vendor_object = 'Contact' AND vendor_id = '0031'"),
    ("wrong_link", None,
     f"UPDATE link SET entity_id = (SELECT {_CONTACT.replace('0031', '0032')}) WHERE vendor_object = 'Contact' AND vendor_id = '0031'"),
    ("extra_link", None,
     "INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, run_id)"
     " SELECT tenant_id, connection_id, vendor_object, '003X', entity, entity_id, 'merged', run_id FROM link WHERE vendor_id = '0031'"),
    ("lost_association", "Buyer", "DELETE FROM crm_association WHERE label = 'Buyer'"),
    ("lost_association", "Buyer", "UPDATE crm_association SET label = 'Seller' WHERE label = 'Buyer'"),
    ("corrupted_content", "content", "UPDATE blob_part SET content = 'jello'"),
    ("corrupted_content", "content", "UPDATE blob_part SET content = content || ' '"),
    ("missing_content", "content", "UPDATE crm_attachment SET sha256 = NULL WHERE size_bytes = 5"),
    ("missing_content", "content", "DELETE FROM blob_part"),
    ("wrong_size", "content", "UPDATE crm_attachment SET size_bytes = 6 WHERE size_bytes = 5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "field", "statement"), PLANTED, ids=[f"{k}-{i}" for i, (k, _, _) in enumerate(PLANTED)]
)
def test_a_planted_difference_is_found(run: Certified, kind: str, field: str | None, statement: str) -> None:
    certificate = run.certificate_after(statement)
    assert not certificate.ok
    found = {(d.kind, d.field) for d in certificate.differences.items}
    assert (kind, field) in found
    assert kind in certificate.by_kind
    assert "differences:" in certificate.verdict
    assert sum(certificate.by_kind.values()) == certificate.differences.total


def test_swapped_values_change_the_checksum(run: Certified) -> None:
    swap = "UPDATE crm_contact SET last_name = CASE last_name WHEN 'Nr 1' THEN 'Nr 2' ELSE 'Nr 1' END WHERE last_name IN ('Nr 1', 'Nr 2')"
    certificate = run.certificate_after(swap)
    contact = next(o for o in certificate.objects if o.object == "Contact")
    last_name = next(f for f in contact.fields if f.field == "last_name")
    assert last_name.source != last_name.hub
    assert (last_name.differing, certificate.differences.total) == (2, 2)
    [first, _] = certificate.differences.items
    assert (first.vendor_id, first.expected, first.found) == ("0031", "Nr 1", "Nr 2")


def test_what_somebody_edited_since_is_told_apart(run: Certified) -> None:
    certificate = run.certificate_after(
        f"UPDATE crm_contact SET last_name = 'Married' WHERE id = (SELECT {_CONTACT})",
        "INSERT INTO field_history (tenant_id, at, id, entity, entity_id, field, origin) SELECT tenant_id, now(),"
        " gen_random_uuid(), 'contact', entity_id, 'last_name', 'person' FROM link WHERE vendor_id = '0031'",
    )
    assert certificate.ok
    [edit] = certificate.edited.items
    assert (edit.kind, edit.vendor_id, edit.field, edit.found) == ("edited", "0031", "last_name", "Married")


def test_lists_are_bounded_and_totals_are_not(run: Certified) -> None:
    certificate = run.certificate_after("UPDATE crm_contact SET last_name = 'X'", limit=2)
    assert (certificate.differences.total, len(certificate.differences.items)) == (5, 2)
    assert certificate.by_kind == {"changed_value": 5}


def test_a_reference_to_nothing_is_pending_and_no_difference(world: World) -> None:
    certificate = gone(world).certificate()
    assert certificate.ok
    [pending] = certificate.pending.items
    assert (pending.object, pending.field, pending.expected) == ("Contact", "account_id", "001GONE")


def gone(world: World) -> Certified:
    """A contact whose account the source does not hold."""
    orphan = [CONTACTS[0] | {"AccountId": "001GONE"}]
    return Certified(world, {**ORG, "Contact": orphan, "OpportunityContactRole": ROLES[:1]})


def test_the_verdict_tells_of_open_references(world: World) -> None:
    certificate = gone(world).certificate()
    told = "1 reference names a record that the source does not hold or that was rejected"
    assert certificate.ok
    assert told in certificate.verdict
    assert told in certificate.to_json()["verdict"]
    assert told in certificate.to_html()
    assert certificate.to_json()["pending"]["items"][0]["expected"] == "001GONE"


def test_an_open_reference_to_a_record_that_is_there_is_a_failure(world: World) -> None:
    run = gone(world)
    run.tamper("UPDATE pending_reference SET vendor_id = '001P'")
    run.tamper("UPDATE stage_contact SET account_id = '001P' WHERE account_id = '001GONE'")
    certificate = run.certificate()
    assert not certificate.ok
    assert certificate.by_kind == {"lost_reference": 1}
    assert certificate.pending.total == 0


def test_a_forgotten_pending_reference_is_a_loss(world: World) -> None:
    run = Certified(world, {"User": USERS, "Contact": [CONTACTS[0] | {"AccountId": "001GONE"}]})
    run.tamper("DELETE FROM pending_reference")
    assert run.certificate().by_kind == {"lost_reference": 1}


def test_merged_duplicates_are_certified(world: World) -> None:
    twins = [
        CONTACTS[0] | {"Phone": None},
        CONTACTS[1] | {"LastName": "Nr 1", "Email": "P1@x.example", "Title": "Boss"},
    ]
    run = Certified(world, {"User": USERS, "Account": ACCOUNTS, "Contact": twins}, Contact=(("email", "last_name"),))
    certificate = run.certificate()
    assert certificate.differences.items == ()
    contact = certificate.objects[-1]
    assert (contact.created, contact.merged, contact.accounted) == (1, 1, True)
    run.tamper("DELETE FROM link WHERE vendor_id = '0032'")
    assert run.certificate().by_kind == {"missing_link": 1}


def test_rejected_records_are_certified_by_their_letters(world: World) -> None:
    roles = [ROLES[0], ROLES[1] | {"ContactId": "003GONE"}]
    run = Certified(
        world, {**ORG, "OpportunityContactRole": roles, "Contact": [*CONTACTS, {"Id": "", "LastName": "No id"}]}
    )
    certificate = run.certificate()
    assert certificate.differences.items == ()
    assert "2 of them wait in the dead-letter queue, each with its reason." in certificate.verdict
    run.tamper("DELETE FROM dead_letter WHERE object = 'OpportunityContactRole'")
    assert run.certificate().by_kind == {"missing_link": 1}


def test_a_record_listed_twice_is_no_difference(world: World) -> None:
    certificate = Certified(world, {"User": [*USERS, USERS[0] | {"Title": "new"}]}).certificate()
    assert certificate.ok
    assert certificate.objects[0].superseded == 1


def test_a_vendor_that_counts_more_is_a_difference(run: Certified) -> None:
    more = ListSource({**ORG, "Contact": [*CONTACTS, {"Id": "0039"}]})
    certificate = certify(run.world.db, run.key, replace(run.context, connector=more), run.ledgers)
    assert certificate.by_kind == {"vendor_count": 1}
    [difference] = certificate.differences.items
    assert (difference.object, difference.expected, difference.found) == ("Contact", "6", "5")


def test_a_ledger_that_does_not_add_up_is_a_difference(run: Certified) -> None:
    books = run.ledgers | {"Contact": replace(run.ledgers["Contact"], created=4)}
    assert certify(run.world.db, run.key, run.context, books).by_kind == {"count": 2}


class TestSecondRun:
    def test_unchanged_records_are_certified_and_missed_when_gone(self, world: World) -> None:
        Certified(world)
        again = Certified(world)
        certificate = again.certificate()
        assert certificate.ok
        assert [o.unchanged for o in certificate.objects] == [2, 2, 5, 1, 2, 2]
        again.tamper(f"DELETE FROM crm_contact WHERE id = (SELECT {_CONTACT})")
        assert "missing_record" in again.certificate().by_kind

    def test_updates_are_certified(self, world: World) -> None:
        Certified(world)
        changed = [CONTACTS[0] | {"Title": "Boss", "Shoe__c": "46"}, *CONTACTS[1:]]
        again = Certified(world, {**ORG, "Contact": changed})
        assert again.certificate().differences.items == ()
        again.tamper("UPDATE crm_contact SET title = 'Boos' WHERE title = 'Boss'")
        assert again.certificate().by_kind == {"changed_value": 1}

    def test_a_lost_custom_value_of_an_update_is_found(self, world: World) -> None:
        Certified(world)
        again = Certified(world, {**ORG, "Contact": [CONTACTS[0] | {"Shoe__c": "46"}, *CONTACTS[1:]]})
        again.tamper("UPDATE crm_contact SET custom_fields = '{\"Shoe__c\": \"45\"}' WHERE last_name = 'Nr 1'")
        assert again.certificate().by_kind == {"changed_value": 1}

    def test_a_hub_edit_that_stands_is_no_difference(self, world: World) -> None:
        Certified(world)
        world.execute(
            "UPDATE crm_contact SET title = 'Hub', custom_fields = '{\"Shoe__c\": \"9\"}' WHERE last_name = 'Nr 1'"
        )
        changed = [CONTACTS[0] | {"Title": "Vendor", "Shoe__c": "46", "Department": "Sales"}, *CONTACTS[1:]]
        certificate = Certified(world, {**ORG, "Contact": changed}).certificate()
        assert certificate.differences.items == ()
        assert next(o for o in certificate.objects if o.object == "Contact").conflicts > 0

    def test_a_matched_hub_record_keeps_its_own_values(self, world: World) -> None:
        world.execute(
            "INSERT INTO crm_contact (tenant_id, id, email, last_name, title, custom_fields)"
            " VALUES (:t, gen_random_uuid(), 'p1@x.example', 'Nr 1', 'Old', '{\"Shoe__c\": \"9\"}')",
            t=world.tenant_id,
        )
        contact = [CONTACTS[0] | {"Title": "New"}]
        run = Certified(
            world, {"User": USERS, "Account": ACCOUNTS, "Contact": contact}, Contact=(("email", "last_name"),)
        )
        assert run.certificate().differences.items == ()
        run.tamper("UPDATE crm_contact SET phone = NULL")
        assert run.certificate().by_kind == {"changed_value": 1}


class TestForms:
    def test_json_round_trip(self, run: Certified) -> None:
        certificate = run.certificate_after("UPDATE crm_contact SET last_name = 'X'")
        data = json.loads(json.dumps(certificate.to_json()))
        assert Certificate.from_json(data) == certificate
        assert (data["ok"], data["verdict"]) == (False, certificate.verdict)

    def test_page_tells_verdict_counts_and_charts(self, run: Certified) -> None:
        page = run.certificate().to_html()
        assert "Nothing was lost: all 14 records" in page
        assert '<rect class="created"' in page
        assert "http://" not in page
        assert "https://" not in page
        assert "<script" not in page

    def test_words_are_never_broken_into_letters(self, run: Certified) -> None:
        """Eleven columns once squeezed the names of objects to one letter a line."""
        page = run.certificate_after("UPDATE crm_contact SET last_name = 'X'").to_html()
        style = page[: page.index("</style>")]
        assert "anywhere" in style[style.index(".values") :], "long values of differences may break"
        assert "anywhere" not in style[: style.index(".values")]
        assert page.count('<div class="wide">') == page.count("</table></div>") >= 3, "wide tables scroll by themselves"
        assert page.index('class="values"') > page.index("<h2>Differences</h2>")

    def test_page_escapes_and_defuses_values(self, run: Certified) -> None:
        page = run.certificate_after(
            "UPDATE crm_contact SET last_name = '<b onload=x>ü' WHERE last_name = 'Nr 1'",
            "UPDATE crm_contact SET last_name = '=HYPERLINK(1)' WHERE last_name = 'Nr 2'",
        ).to_html()
        assert "<b onload" not in page
        assert "&lt;b onload=x&gt;ü" in page
        assert "&#39;=HYPERLINK(1)" in page

    def test_page_of_a_long_list_says_how_many_there_are(self, run: Certified) -> None:
        certificate = run.certificate_after("UPDATE crm_contact SET last_name = 'X'", limit=2)
        assert "2 of 5 are listed." in certificate.to_html()

    def test_a_sampled_run_is_not_measured_by_the_whole(self, run: Certified) -> None:
        certificate = certify(run.world.db, run.key, replace(run.context, limit=5), run.ledgers)
        assert all(o.vendor_count is None for o in certificate.objects)


def test_records_left_out_on_purpose_are_explained(world: World) -> None:
    types = [{"Id": f"012{n}", "Name": kind, "SobjectType": kind} for n, kind in enumerate(["Case", "Lead", "Account"])]
    certificate = Certified(world, {"User": USERS, "RecordType": types}).certificate()
    assert certificate.ok
    kinds = next(o for o in certificate.objects if o.object == "RecordType")
    assert (kinds.source, kinds.left_out, kinds.vendor_count) == (1, 2, 3)
    note = "2 of 3 records stay out, because its mapping takes only those whose SobjectType is Opportunity or Case."
    assert certificate.notes == (f"RecordType: {note}",)
    assert note in certificate.to_html()
    assert certificate.to_json()["notes"] == [f"RecordType: {note}"]
    assert Certificate.from_json(json.loads(json.dumps(certificate.to_json()))) == certificate


def test_certificates_from_before_there_were_notes_are_read(run: Certified) -> None:
    data = run.certificate().to_json()
    del data["notes"]
    for row in data["objects"]:
        del row["left_out"], row["left_out_why"]
    assert Certificate.from_json(data).notes == ()
