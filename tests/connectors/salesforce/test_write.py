"""Writing against the stand-in org."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.salesforce import soql
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.write import Step
from domain.errors import ConfigurationError, RateLimitedError, RecordRejectedError, SynclineError, TransientError
from domain.records import Outgoing, WriteResult
from sandbox.salesforce.faults import Fault
from sandbox.salesforce.server import SandboxServer
from sandbox.salesforce.write import Writer
from tests.connectors.salesforce.conftest import Connect


def property_of(number: int, **values: Any) -> Outgoing:
    return Outgoing(f"hub-{number}", {"Name": f"Property {number}", "Reference__c": f"R-{number}", **values})


def rows(server: SandboxServer, name: str) -> dict[str, Any]:
    return {str(row["Id"]): row for row in server.sandbox.org.live(name)}


def contact(server: SandboxServer, number: int = 0) -> dict[str, Any]:
    return dict(server.sandbox.org.live("Contact")[number])


def error_of(result: WriteResult) -> SynclineError:
    assert isinstance(result.error, SynclineError)
    return result.error


# ---------------------------------------------------------------- upsert


def test_two_hundred_a_call(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    results = salesforce.upsert("Property__c", [property_of(n) for n in range(450)], "Reference__c")
    assert all(r.ok and r.created for r in results)
    assert [r.key for r in results] == [f"hub-{n}" for n in range(450)]
    assert server.sandbox.journal.kinds["collection_upsert"] == 3
    again = salesforce.upsert("Property__c", [property_of(n) for n in range(450)], "Reference__c")
    assert not any(r.created for r in again)
    assert [r.vendor_id for r in again] == [r.vendor_id for r in results]


def test_a_record_without_a_key_value_gets_its_own_key(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    [result] = salesforce.upsert("Property__c", [Outgoing("hub-1", {"Name": "P"})], "Reference__c")
    assert rows(server, "Property__c")[result.vendor_id or ""]["Reference__c"] == "hub-1"


def test_a_bad_record_does_not_roll_back_the_others(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    """allOrNone is false."""
    records = [property_of(1), property_of(2, Name="x" * 200), property_of(3)]
    results = salesforce.upsert("Property__c", records, "Reference__c")
    assert [r.ok for r in results] == [True, False, True]
    error = error_of(results[1])
    assert (type(error), error.code) == (RecordRejectedError, "string_too_long")
    assert "Name" in error.message
    assert "xxx" not in repr(error)


def test_a_value_of_the_wrong_type_fails_alone(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    """Salesforce refuses the whole call for it."""
    records = [property_of(n) for n in range(9)]
    records[5] = property_of(5, Beds__c="many")
    results = salesforce.upsert("Property__c", records, "Reference__c")
    assert [r.ok for r in results] == [True] * 5 + [False] + [True] * 3
    assert isinstance(results[5].error, RecordRejectedError)


def test_a_locked_row_is_transient_and_the_others_are_written(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    server.sandbox.faults.waiting.append(Fault("lock", calls="collection_.*", records=1))
    results = salesforce.upsert("Property__c", [property_of(n) for n in range(3)], "Reference__c")
    failed = [r for r in results if not r.ok]
    assert len(failed) == 1
    assert type(error_of(failed[0])) is TransientError


def test_values_keep_their_digits_and_dates(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    values = {"Price_Sold__c": Decimal("12345678901234.56"), "Date_Listed__c": date(2024, 2, 29)}
    [result] = salesforce.upsert("Property__c", [property_of(1, **values)], "Reference__c")
    row = rows(server, "Property__c")[result.vendor_id or ""]
    assert Decimal(str(row["Price_Sold__c"])) == Decimal("12345678901234.56")
    assert str(row["Date_Listed__c"]) == "2024-02-29"


def test_a_missing_permission_is_told_before_anything_is_written(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    with pytest.raises(ConfigurationError, match="Nothing__c"):
        salesforce.upsert("Nothing__c", [Outgoing("a", {"Name": "A"})], "Key__c")


# ---------------------------------------------------------------- create: never blind


def test_a_create_whose_answer_is_lost_is_ambiguous_and_not_repeated(
    server: SandboxServer, salesforce: SalesforceConnector
) -> None:
    before = len(rows(server, "Lead"))
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="collection_.*"))
    leads = [
        Outgoing(f"l-{n}", {"LastName": f"L{n}", "Company": "C", "Status": "Open - Not Contacted"}) for n in range(250)
    ]
    results = salesforce.upsert("Lead", leads)
    assert len(rows(server, "Lead")) == before + 200
    assert all(error_of(r).context["ambiguous"] is True for r in results[:200])
    assert all(error_of(r).context["ambiguous"] is False for r in results[200:])
    assert all(isinstance(r.error, TransientError) for r in results)


def test_an_upsert_whose_answer_is_lost_is_repeated(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    before = len(rows(server, "Property__c"))
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="collection_.*"))
    results = salesforce.upsert("Property__c", [property_of(n) for n in range(3)], "Reference__c")
    assert all(r.ok for r in results)
    assert len(rows(server, "Property__c")) == before + 3


def test_a_limit_met_midway_keeps_what_was_written(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    server.sandbox.faults.waiting.append(Fault("limit", calls="collection_.*", after=1))
    results = salesforce.upsert("Property__c", [property_of(n) for n in range(500)], "Reference__c")
    assert all(r.ok for r in results[:200])
    assert all(isinstance(r.error, RateLimitedError) for r in results[200:400])
    assert all(isinstance(r.error, TransientError) for r in results[400:])
    assert server.sandbox.journal.kinds["collection_upsert"] == 2


def test_a_limit_met_at_once_is_raised(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    server.sandbox.faults.waiting.append(Fault("limit", calls="collection_.*"))
    with pytest.raises(RateLimitedError):
        salesforce.upsert("Property__c", [property_of(1)], "Reference__c")


# ---------------------------------------------------------------- update and conflicts


def test_an_update_goes_by_id(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    row = contact(server)
    [result] = salesforce.upsert("Contact", [Outgoing("c", {"Title": "Changed"}, row["Id"])])
    assert (result.ok, result.created, result.vendor_id) == (True, False, row["Id"])
    assert contact(server)["Title"] == "Changed"


@pytest.mark.parametrize("others", [0, 3], ids=["one record", "several"])
def test_what_somebody_changed_since_is_not_overwritten(
    server: SandboxServer, salesforce: SalesforceConnector, others: int
) -> None:
    before = contact(server)
    Writer(server.sandbox.org, server.sandbox.auth.user_id).update("Contact", before["Id"], {"Title": "By a person"})
    stale = Outgoing(
        "c", {"Title": "By the hub"}, before["Id"], soql.timestamp(soql.parse_timestamp(before["SystemModstamp"]))
    )
    fresh = [contact(server, n + 1) for n in range(others)]
    rest = [Outgoing(f"o{n}", {"Title": "Hub"}, row["Id"], row["SystemModstamp"]) for n, row in enumerate(fresh)]
    results = salesforce.upsert("Contact", [stale, *rest])
    assert [r.ok for r in results] == [False] + [True] * others
    assert error_of(results[0]).code == "conflict"
    assert contact(server)["Title"] == "By a person"


@pytest.mark.parametrize("version", ["SystemModstamp", "LastModifiedDate"])
def test_an_unchanged_record_is_updated(server: SandboxServer, salesforce: SalesforceConnector, version: str) -> None:
    mine = [contact(server, n) for n in range(2)]
    results = salesforce.upsert(
        "Contact", [Outgoing(f"c{n}", {"Title": "Hub"}, c["Id"], c[version]) for n, c in enumerate(mine)]
    )
    assert all(r.ok for r in results)


def test_an_update_of_a_deleted_record_is_rejected(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    row = contact(server)
    Writer(server.sandbox.org, server.sandbox.auth.user_id).delete("Contact", row["Id"])
    for version in (None, row["SystemModstamp"]):
        [result] = salesforce.upsert("Contact", [Outgoing("c", {"Title": "T"}, row["Id"], version)])
        assert isinstance(result.error, RecordRejectedError)


# ---------------------------------------------------------------- delete


def test_deleting_what_is_gone_is_a_success(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    ids = [str(row["Id"]) for row in server.sandbox.org.live("Note")][:3]
    assert all(r.ok for r in salesforce.delete("Note", ids))
    assert all(r.ok for r in salesforce.delete("Note", ids))
    assert not set(ids) & set(rows(server, "Note"))


def test_deleting_takes_two_hundred_a_call(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    made = salesforce.upsert("Property__c", [property_of(n) for n in range(250)], "Reference__c")
    server.sandbox.journal.clear()
    assert all(r.ok for r in salesforce.delete("Property__c", [r.vendor_id or "" for r in made]))
    assert server.sandbox.journal.kinds == {"collection_delete": 2}


# ---------------------------------------------------------------- bulk ingest


@pytest.fixture
def bulk(server: SandboxServer, connect: Connect) -> SalesforceConnector:
    return connect(server, ingest_threshold=100)


def test_large_upserts_go_by_bulk_job(server: SandboxServer, bulk: SalesforceConnector) -> None:
    records = [property_of(n, Price__c=Decimal(n)) for n in range(300)]
    records[7] = property_of(7, Name="x" * 200)
    records[9] = property_of(9, Name='Quote " and\nnew line, \r too')
    results = bulk.upsert("Property__c", records, "Reference__c")
    assert [r.ok for r in results] == [n != 7 for n in range(300)]
    assert error_of(results[7]).code == "string_too_long"
    assert all(r.created for r in results if r.ok)
    assert "collection_upsert" not in server.sandbox.journal.kinds
    stored = rows(server, "Property__c")
    assert stored[results[9].vendor_id or ""]["Reference__c"] == "R-9"
    assert [r.key for r in results] == [r.key for r in records]
    again = bulk.upsert("Property__c", [property_of(n) for n in range(300)], "Reference__c")
    assert [r.created for r in again] == [n == 7 for n in range(300)]


def test_large_updates_go_by_bulk_job_and_blank_fields(server: SandboxServer, bulk: SalesforceConnector) -> None:
    made = bulk.upsert("Property__c", [property_of(n, City__c="Basel") for n in range(150)], "Reference__c")
    updates = [Outgoing(f"u{n}", {"City__c": None if n % 2 else "Bern"}, r.vendor_id) for n, r in enumerate(made)]
    results = bulk.upsert("Property__c", updates)
    assert all(r.ok and r.created is False for r in results)
    stored = rows(server, "Property__c")
    assert [stored[r.vendor_id or ""].get("City__c") for r in results[:4]] == ["Bern", None, "Bern", None]


def test_large_creates_without_a_key_never_go_by_bulk(server: SandboxServer, bulk: SalesforceConnector) -> None:
    """Nothing in its results would lead back to a record."""
    leads = [
        Outgoing(f"l-{n}", {"LastName": f"L{n}", "Company": "C", "Status": "Open - Not Contacted"}) for n in range(150)
    ]
    assert all(r.ok for r in bulk.upsert("Lead", leads))
    assert "bulk_create" not in server.sandbox.journal.kinds


def test_a_text_that_means_null_in_a_csv_goes_another_way(server: SandboxServer, bulk: SalesforceConnector) -> None:
    records = [property_of(n, City__c="#N/A" if n == 3 else "Bern") for n in range(150)]
    results = bulk.upsert("Property__c", records, "Reference__c")
    assert all(r.ok for r in results)
    assert rows(server, "Property__c")[results[3].vendor_id or ""]["City__c"] == "#N/A"
    assert server.sandbox.journal.kinds["collection_upsert"] == 1


def test_a_file_is_cut_at_its_limit(server: SandboxServer, bulk: SalesforceConnector) -> None:
    bulk._writer._ingest._bytes_max = 2_000
    results = bulk.upsert("Property__c", [property_of(n) for n in range(150)], "Reference__c")
    assert all(r.ok for r in results)
    assert len({r.vendor_id for r in results}) == 150
    assert server.sandbox.journal.kinds["bulk_upload"] > 1


def test_twice_the_same_key_in_one_job_gives_two_results(server: SandboxServer, bulk: SalesforceConnector) -> None:
    records = [property_of(n % 100) for n in range(150)]
    results = bulk.upsert("Property__c", records, "Reference__c")
    assert len(results) == 150
    assert all(r.vendor_id or r.error for r in results)


def test_an_upload_that_is_lost_is_known_not_to_have_happened(server: SandboxServer, bulk: SalesforceConnector) -> None:
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="bulk_upload"))
    with pytest.raises(TransientError) as caught:
        bulk.upsert("Property__c", [property_of(n) for n in range(150)], "Reference__c")
    assert caught.value.context["ambiguous"] is False


def test_a_lost_close_is_found_out(server: SandboxServer, bulk: SalesforceConnector) -> None:
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="bulk_state"))
    results = bulk.upsert("Property__c", [property_of(n) for n in range(150)], "Reference__c")
    assert all(r.ok for r in results)


# ---------------------------------------------------------------- trees


def family() -> list[Step]:
    return [
        Step("Account", Outgoing("a", {"Name": "Parent & Sons"})),
        Step("Contact", Outgoing("c", {"LastName": "Child"}), {"AccountId": "a"}),
        Step(
            "Opportunity",
            Outgoing("o", {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2025-12-01"}),
            {"AccountId": "a"},
        ),
        Step(
            "OpportunityContactRole",
            Outgoing("r", {"Role": "Decision Maker"}),
            {"OpportunityId": "o", "ContactId": "c"},
        ),
    ]


def test_a_tree_is_one_call(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    results = salesforce.create_tree(family())
    assert all(r.ok for r in results), results
    assert server.sandbox.journal.kinds["composite"] == 1
    role = rows(server, "OpportunityContactRole")[results[3].vendor_id or ""]
    assert (role["OpportunityId"], role["ContactId"]) == (results[2].vendor_id, results[1].vendor_id)


def test_a_tree_is_all_or_nothing(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    before = len(rows(server, "Account"))
    steps = family()
    steps[1] = Step("Contact", Outgoing("c", {"LastName": "x" * 200}), {"AccountId": "a"})
    results = salesforce.create_tree(steps)
    assert not any(r.ok for r in results)
    assert error_of(results[1]).code == "string_too_long"
    assert len(rows(server, "Account")) == before


def test_a_tree_by_external_ids_can_be_repeated(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    step = Step("Property__c", Outgoing("p", {"Name": "P", "Reference__c": "R/1 ü"}), key_field="Reference__c")
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="composite"))
    [result] = salesforce.create_tree([step])
    assert result.ok
    assert [r["Name"] for r in rows(server, "Property__c").values() if r["Reference__c"] == "R/1 ü"] == ["P"]


def test_a_tree_whose_answer_is_lost_is_ambiguous(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="composite"))
    with pytest.raises(TransientError) as caught:
        salesforce.create_tree(family())
    assert caught.value.context["ambiguous"] is True


@pytest.mark.parametrize("steps", [family()[1:2], family() * 7], ids=["child first", "too many"])
def test_an_impossible_tree_is_refused(salesforce: SalesforceConnector, steps: list[Step]) -> None:
    with pytest.raises(ConfigurationError):
        salesforce.create_tree(steps)


def test_times_are_written_in_utc(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    event = {"Subject": "S", "StartDateTime": when, "EndDateTime": when, "DurationInMinutes": 0}
    [result] = salesforce.upsert("Event", [Outgoing("e", event)])
    assert result.ok, result.error
    assert soql.parse_timestamp(rows(server, "Event")[result.vendor_id or ""]["StartDateTime"]) == when
