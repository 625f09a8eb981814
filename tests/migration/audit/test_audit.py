"""What an audit says about a source, and what it keeps to itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.kit.contract import AuthKind, AuthMethod, Manifest, ObjectInfo, ReadRequest
from domain.entities import Kind
from domain.errors import ConfigurationError, PermissionMissingError, ReauthRequiredError
from domain.records import MISSING, AccountInfo, Catalog, FieldSchema, ObjectSchema, Option, Page, Reject
from mappings.compile import Lens, compile_spec
from mappings.spec import load_shipped
from migration.audit import audit
from migration.audit_model import Audit, FieldAudit, ObjectAudit
from migration.audit_tally import FieldTally
from migration.estimate import LOAD_RATE, estimate
from migration.progress import Progress

LOCAL = Manifest("files", "Files", (AuthMethod(AuthKind.NONE),))
REMOTE = Manifest(
    "salesforce", "Salesforce", (AuthMethod(AuthKind.OAUTH2_JWT),), (ObjectInfo("Contact", page_size=2_000),)
)


class Source:
    """A connector over lists of records, two a page."""

    manifest = REMOTE

    def __init__(self, schemas: Sequence[ObjectSchema], records: Mapping[str, list[dict[str, Any]]]) -> None:
        self._schemas = {s.name: s for s in schemas}
        self._records = records
        self.errors: dict[str, Exception] = {}
        self.rejects: dict[str, list[Reject]] = {}
        self.requests: list[ReadRequest] = []

    def check(self) -> AccountInfo:
        return AccountInfo("00D1", "Acme")

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        return Catalog({n: s for n, s in self._schemas.items() if objects is None or n in objects})

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        return {name: len(self._records.get(name, ())) for name in objects}

    def read(self, request: ReadRequest) -> Iterator[Page]:
        self.requests.append(request)
        if request.object in self.errors:
            raise self.errors[request.object]
        rows = self._records.get(request.object, [])[: request.limit]
        fields = self._schemas[request.object].field_names
        rejects = self.rejects.get(request.object, [])
        for start in range(0, max(len(rows), 1), 2):
            part = [[r.get(f, MISSING) for f in fields] for r in rows[start : start + 2]]
            yield Page(
                request.object, fields, part, {}, last=start + 2 >= len(rows), rejects=rejects if not start else []
            )

    def close(self) -> None:
        pass


def lenses(schema: ObjectSchema) -> Lens | None:
    spec = load_shipped("salesforce", schema.name)
    return compile_spec(spec, schema) if spec else None


def _ref(name: str, *targets: str) -> FieldSchema:
    return FieldSchema(name, Kind.REFERENCE, refers_to=targets)


CONTACT = ObjectSchema(
    "Contact",
    (
        FieldSchema("Id"), FieldSchema("FirstName"), FieldSchema("LastName"), FieldSchema("Email", Kind.EMAIL),
        _ref("AccountId", "Account"), _ref("OwnerId", "User", "Group"),
        FieldSchema("LeadSource", options=(Option("Web"), Option("Phone"))),
        FieldSchema("Score__c", Kind.DECIMAL, custom=True), FieldSchema("CreatedDate", Kind.TIMESTAMP),
        FieldSchema("SystemModstamp", Kind.TIMESTAMP),
    ),
    id_field="Id", created_field="CreatedDate", modified_field="SystemModstamp",
)  # fmt: skip
ACCOUNT = ObjectSchema("Account", (FieldSchema("Id"), FieldSchema("Name"), _ref("ParentId", "Account")), id_field="Id")
USER = ObjectSchema(
    "User",
    (FieldSchema("Id"), FieldSchema("Name"), FieldSchema("Email"), FieldSchema("IsActive", Kind.BOOLEAN)),
    id_field="Id",
)


def contact(number: int, **values: Any) -> dict[str, Any]:
    base = {
        "Id": f"003{number:012}AAA", "FirstName": "Ann", "LastName": f"Nr {number}", "Email": f"p{number}@x.example",
        "LeadSource": "Web", "Score__c": str(number), "AccountId": "001000000000001AAA",
        "CreatedDate": f"2021-01-0{number}T00:00:00.000+0000", "SystemModstamp": f"2022-01-0{number}T00:00:00.000+0000",
    }  # fmt: skip
    return base | values


@pytest.fixture
def source() -> Source:
    contacts = [
        contact(1),
        contact(2, Email="P1@X.example", LastName=" nr 1 ", LeadSource="Phone", AccountId="001000000000001"),
        contact(3, Email="p1@x.example", LastName="Other", AccountId="001000000000009AAA"),
        contact(4, Email=" ", Score__c=None, LeadSource=None),
        contact(5, Email=None),
    ]
    users = [
        {"Id": "005A", "Name": "Ann", "Email": "ann@x.example", "IsActive": True},
        {"Id": "005B", "Name": "Bob", "Email": "bob@x.example", "IsActive": False},
    ]
    accounts = [{"Id": "001000000000001AAA", "Name": "Acme", "ParentId": None}]
    return Source((CONTACT, ACCOUNT, USER), {"Contact": contacts, "Account": accounts, "User": users})


def _contact(found: Audit) -> ObjectAudit:
    audited = found.object("Contact")
    assert audited is not None
    return audited


def _field(audited: ObjectAudit, name: str) -> FieldAudit:
    found = audited.field(name)
    assert found is not None
    return found


def test_counts_fill_range_and_choices(source: Source) -> None:
    audited = _contact(audit(source, lenses))
    assert (audited.count, audited.vendor_count, audited.entity, audited.sampled) == (5, 5, "contact", False)
    email, score = _field(audited, "Email"), _field(audited, "Score__c")
    assert (email.filled, email.fill_rate, email.distinct) == (3, 0.6, 2)
    assert (score.minimum, score.maximum, score.filled) == ("1", "5", 4)
    assert _field(audited, "LeadSource").top == (("Web", 3), ("Phone", 1))
    assert _field(audited, "LastName").max_length == 6
    assert audited.oldest == datetime(2021, 1, 1, tzinfo=UTC)
    assert audited.newest == datetime(2022, 1, 5, tzinfo=UTC)


def test_duplicates_are_found_on_normalised_values(source: Source) -> None:
    (duplicate,) = _contact(audit(source, lenses)).duplicates
    assert (duplicate.rule, duplicate.groups, duplicate.records, duplicate.exact) == (
        ("email", "last_name"),
        1,
        2,
        True,
    )


def test_one_address_of_different_people(source: Source) -> None:
    shared = _contact(audit(source, lenses)).shared_emails
    assert shared is not None
    assert (shared.addresses, shared.people) == (1, 2)


def test_a_record_listed_twice_is_repeated_and_no_duplicate(source: Source) -> None:
    source._records["Contact"].append(contact(5, Email=None))
    source._records["Contact"].append(contact(3, Email="p1@x.example", LastName="Other"))
    audited = _contact(audit(source, lenses))
    assert audited.repeated == 2
    assert audited.duplicates[0].groups == 1


def test_orphans_know_ids_of_15_and_18_characters(source: Source) -> None:
    orphan = next(o for o in _contact(audit(source, lenses)).orphans if o.field == "AccountId")
    assert (orphan.references, orphan.orphans, orphan.missing, orphan.exact) == (5, 1, 1, True)


def test_a_reference_that_may_name_an_unread_object_is_not_called_orphan(source: Source) -> None:
    source._records["Contact"][0]["OwnerId"] = "00G1"
    owner = next(o for o in _contact(audit(source, lenses)).orphans if o.field == "OwnerId")
    assert (owner.references, owner.orphans, owner.unread) == (1, 0, ("Group",))


def test_users_are_kept_for_matching_owners(source: Source) -> None:
    users = audit(source, lenses).users
    assert [(u.vendor_id, u.email, u.is_active) for u in users] == [
        ("005A", "ann@x.example", True), ("005B", "bob@x.example", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error", [PermissionMissingError("No right to read Account."), ConfigurationError("It is a zip bomb.")]
)
def test_an_unreadable_object_is_listed_and_the_others_go_on(source: Source, error: Exception) -> None:
    source.errors["Account"] = error
    found = audit(source, lenses)
    assert [(u.object, u.reason) for u in found.unread] == [("Account", str(error))]
    assert {o.object for o in found.objects} == {"Contact", "User"}


def test_an_object_without_read_right_is_not_asked_for(source: Source) -> None:
    source._schemas["Account"] = replace(ACCOUNT, readable=False)
    found = audit(source, lenses)
    assert [u.object for u in found.unread] == ["Account"]
    assert "Account" not in {r.object for r in source.requests}


def test_expired_credentials_end_the_audit(source: Source) -> None:
    source.errors["Account"] = ReauthRequiredError("Sign in again.")
    with pytest.raises(ReauthRequiredError):
        audit(source, lenses)


def test_rejects_are_counted(source: Source) -> None:
    source.rejects["Contact"] = [Reject("ragged_row", "Row 7 has 3 cells, expected 9.")]
    assert _contact(audit(source, lenses)).rejects == 1


def test_an_empty_object(source: Source) -> None:
    source._records["Contact"].clear()  # type: ignore[attr-defined]
    audited = _contact(audit(source, lenses))
    assert (audited.count, audited.oldest, _field(audited, "Email").fill_rate) == (0, None, 0.0)


def test_every_object_is_read_once(source: Source) -> None:
    audit(source, lenses)
    assert sorted(r.object for r in source.requests) == ["Account", "Contact", "User"]


def test_an_inexact_audit_reads_a_part_and_says_so(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migration.audit.SAMPLE_RECORDS", 2)
    found = audit(source, lenses, exact=False)
    audited = _contact(found)
    assert (audited.count, audited.expected_count, audited.sampled, found.exact) == (2, 5, True, False)
    assert all(o.unread or not o.orphans for o in audited.orphans)


def test_progress_says_object_and_total(source: Source) -> None:
    seen: list[Progress] = []
    audit(source, lenses, on_progress=seen.append)
    last = [p for p in seen if p.object == "Contact"][-1]
    assert (last.phase, last.done, last.total, last.finished) == ("audit", 5, 5, True)


def test_json_holds_no_personal_value(source: Source) -> None:
    text = json.dumps(audit(source, lenses).to_json())
    for personal in ("p1@x.example", "Nr 1", "Other", "ann@x.example", "Ann"):
        assert personal not in text
    assert '"fill_rate": 0.6' in text
    assert '"Web"' in text


@pytest.mark.parametrize(
    ("kind", "vendor_type", "values", "low", "high"),
    [
        (Kind.DECIMAL, "", ["10", "9.5", " 2 ", "x", None], "2", "10"),
        (Kind.DECIMAL, "", [Decimal("1.50"), 3, 2.5, "NaN"], "1.50", "3"),
        (Kind.INTEGER, "", [True, 7], "7", "7"),
        (Kind.DATE, "", ["2024-02-01", "2023-12-31", ""], "2023-12-31", "2024-02-01"),
        (Kind.DATE, "date:%d/%m/%Y", ["01/02/2024", "31/12/2023", "?"], "2023-12-31", "2024-02-01"),
        (Kind.DATE, "", [date(2024, 1, 1), datetime(2024, 1, 2, tzinfo=UTC)], "2024-01-01", "2024-01-02"),
        (
            Kind.TIMESTAMP,
            "",
            ["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"],
            "2024-01-01T00:00:00+00:00",
            "2024-01-01T00:00:01+00:00",
        ),
        (Kind.TEXT, "", ["b", "a"], None, None),
    ],
)
def test_range_of_a_field(kind: Kind, vendor_type: str, values: list[Any], low: str | None, high: str | None) -> None:
    tally = FieldTally(FieldSchema("f", kind, vendor_type=vendor_type))
    tally.add(values)
    result = tally.result(len(values))
    assert (result.minimum, result.maximum) == (low, high)


@pytest.mark.parametrize("values", [[["a"], ["a"], [], None], [{"b": 1}, {"b": 1}, {}, MISSING]])
def test_lists_and_objects_are_counted_too(values: list[Any]) -> None:
    tally = FieldTally(FieldSchema("f", Kind.JSON))
    tally.add(values)
    result = tally.result(4)
    assert (result.filled, result.distinct) == (2, 1)


def test_a_text_with_few_values_in_many_records_shows_them() -> None:
    tally = FieldTally(FieldSchema("f"))
    tally.add(["Customer"] * 150 + ["Partner"] * 50)
    assert tally.result(200).top == (("Customer", 150), ("Partner", 50))


def test_many_values_are_approximate_and_have_no_top() -> None:
    tally = FieldTally(FieldSchema("f"))
    for start in range(0, 20_000, 1_000):
        tally.add([str(n) for n in range(start, start + 1_000)])
    result = tally.result(20_000)
    assert (result.distinct_exact, result.top) == (False, ())
    assert result.distinct == pytest.approx(20_000, rel=0.1)


class TestEstimate:
    def test_a_full_audit_needed_the_calls_that_a_run_will_need(self) -> None:
        assert estimate(REMOTE, "Contact", 5_000, pages=3, records=5_000, seconds=1.0).calls == 3

    def test_after_a_sample_pages_are_worked_out(self) -> None:
        assert estimate(REMOTE, "Contact", 5_001, pages=1, records=2_000, seconds=1.0).calls == 3
        assert estimate(REMOTE, "Unknown", 250, pages=1, records=2, seconds=1.0).calls == 3

    def test_local_sources_cost_no_call(self) -> None:
        assert estimate(LOCAL, "Contact", 5_000, pages=3, records=5_000, seconds=1.0).calls == 0

    def test_seconds_are_reading_at_the_measured_rate_and_loading(self) -> None:
        cost = estimate(REMOTE, "Contact", 10_000, pages=1, records=1_000, seconds=2.0)
        assert cost.seconds == pytest.approx(20.0 + 10_000 / LOAD_RATE)
