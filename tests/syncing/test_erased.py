"""Who was erased goes at the vendors by the ordinary delete, or stays there and is not taken in again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.syncing.conftest import Both
from tests.syncing.test_two_way import a_contact, in_hubspot, in_salesforce


@pytest.fixture
def in_step(both: Both) -> Both:
    """Accounts and contacts of both vendors, exchanged once."""
    for name in ("Account", "Contact"):
        done = both.syncline("sync", "add", "org", "--object", name)
        assert done.code == 0, done.err
    done = both.syncline("sync", "add", "portal", "--object", "companies", "--object", "contacts", "--make-key-field")
    assert done.code == 0, done.err
    both.sync()
    return both


def _rows(both: Both, statement: str, **given: Any) -> list[Any]:
    with both.db.tenant(both.tenant_id) as conn:
        return [tuple(row) for row in conn.execute(text(statement), given)]


def test_an_erased_person_is_deleted_at_every_vendor_where_that_was_asked_for(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    email = in_salesforce(in_step, salesforce_id)["Email"]
    erased = in_step.syncline("privacy", "erase", "--email", email, "--vendors", "delete", "--yes", "--json").json
    assert ([a["outcome"] for a in erased["at_vendors"]], erased["left"]) == (["queued"] * 2, {})
    assert _at_vendors(in_step, erased) == ["queued"] * 2
    in_step.sync()
    assert in_hubspot(in_step, hubspot_id) is None
    assert in_salesforce(in_step, salesforce_id) is None or in_salesforce(in_step, salesforce_id)["IsDeleted"]
    in_step.sync()
    assert _rows(in_step, "SELECT 1 FROM crm_contact WHERE email = :e", e=email.lower()) == []
    assert _at_vendors(in_step, erased) == ["deleted"] * 2


def _at_vendors(both: Both, erased: Any) -> list[str]:
    told = both.syncline("privacy", "erasures", erased["erasure"], "--json").json
    assert told["vendors"] == "delete"
    return [a["outcome"] for a in told["at_vendors"]]


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ('UPDATE stream SET settings = settings || \'{"deletes_out": "archive"}\'', "not_propagated"),
        ("UPDATE stream SET pushes = false", "read_only"),
        ("DELETE FROM stream WHERE object IN ('Contact', 'contacts')", "no_stream"),
        ("UPDATE connection SET status = 'disconnected'", "not_connected"),
    ],
)
def test_the_proof_tells_why_a_vendor_is_not_asked_to_delete(in_step: Both, statement: str, outcome: str) -> None:
    salesforce_id, _ = a_contact(in_step)
    email = in_salesforce(in_step, salesforce_id)["Email"]
    with in_step.db.tenant(in_step.tenant_id) as conn:
        conn.execute(text(statement))
    erased = in_step.syncline("privacy", "erase", "--email", email, "--vendors", "delete", "--yes", "--json").json
    assert [a["outcome"] for a in erased["at_vendors"]] == [outcome] * 2


def test_an_erased_person_who_stays_at_a_vendor_is_passed_over_without_a_word(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    email = in_salesforce(in_step, salesforce_id)["Email"]
    in_step.syncline("privacy", "erase", "--email", email, "--vendors", "keep", "--yes", "--json")
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"city": "Reykjavík"})
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Email": "other@engine.example"})
    in_step.sync()
    assert in_hubspot(in_step, hubspot_id) is not None
    assert in_salesforce(in_step, salesforce_id) is not None
    assert (
        _rows(in_step, "SELECT 1 FROM crm_contact WHERE email IN (:e, 'other@engine.example')", e=email.lower()) == []
    )
    assert _rows(in_step, "SELECT code FROM dead_letter WHERE status = 'open'") == []


def test_an_erased_person_whom_a_vendor_keeps_is_refused_and_nothing_of_them_is_kept(in_step: Both) -> None:
    salesforce_id, hubspot_id = a_contact(in_step)
    email = in_salesforce(in_step, salesforce_id)["Email"]
    in_step.syncline("privacy", "erase", "--email", email, "--yes", "--json")
    in_step.edit("hubspot", object="contacts", id=hubspot_id, properties={"city": "Reykjavík"})
    in_step.edit("salesforce", object="Contact", id=salesforce_id, properties={"Email": "other@engine.example"})
    in_step.sync()
    assert in_hubspot(in_step, hubspot_id) is not None
    assert (
        _rows(in_step, "SELECT 1 FROM crm_contact WHERE email IN (:e, 'other@engine.example')", e=email.lower()) == []
    )
    letters = _rows(in_step, "SELECT code, payload, mapped FROM dead_letter WHERE status = 'open'")
    assert letters == [("person_erased", None, None)] * 2
