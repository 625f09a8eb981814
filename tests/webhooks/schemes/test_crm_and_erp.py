"""Pipedrive, GoHighLevel, QuickBooks and Stripe: what their events are about."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from connectors.kit.contract import Notice
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import NOW, SENDERS, highlevel_rsa, public_text, rsa_key
from webhooks.inbound.contract import Refused
from webhooks.inbound.schemes import scheme


def key_of(name: str, body: Any) -> str:
    sender = SENDERS[name]
    return sender.scheme.verify(sender.request(orjson.dumps(body)), [sender.secrets[0]], NOW).dedupe_key


def notices(name: str, body: Any) -> list[Any]:
    return list(SENDERS[name].scheme.notices(orjson.dumps(body), {}))


def document(name: str) -> Any:
    return orjson.loads(SENDERS[name].body)


# ---------------------------------------------------------------- Pipedrive


def pipedrive(**meta: Any) -> dict[str, Any]:
    event = document("pipedrive")
    return {**event, "meta": {k: v for k, v in (event["meta"] | meta).items() if v is not None}}


def test_pipedrive_names_company_and_record() -> None:
    [notice] = notices("pipedrive", pipedrive())
    assert (notice.object, notice.vendor_id, notice.account, notice.deleted) == ("deals", "12", "77", False)
    assert notice.occurred_at is not None


def test_pipedrive_retries_are_the_same_event() -> None:
    assert key_of("pipedrive", pipedrive()) == key_of("pipedrive", pipedrive(attempt=3))
    assert key_of("pipedrive", pipedrive()) != key_of("pipedrive", pipedrive(id="other"))


def test_pipedrive_merges_name_the_survivor_too() -> None:
    gone, survivor = notices("pipedrive", pipedrive(action="delete", merged_to_id="13"))
    assert (gone.vendor_id, gone.deleted) == ("12", True)
    assert (survivor.vendor_id, survivor.deleted) == ("13", False)
    assert gone.dedupe_key != survivor.dedupe_key


def test_pipedrive_version_1_is_kept_and_told() -> None:
    """Its id is the record's: two changes of one deal would be one event."""
    old = {
        "v": 1,
        "meta": {"v": 1, "action": "updated", "object": "deal", "id": 12, "company_id": 77},
        "current": {"title": "a"},
    }
    assert key_of("pipedrive", old) != key_of("pipedrive", old | {"current": {"title": "b"}})
    with pytest.raises(RecordRejectedError, match=r"version 2\.0"):
        notices("pipedrive", old)


@pytest.mark.parametrize(
    "given", ["Basic aHViOmZvcm1lcg==", "basic", "Bearer aHVi", "Basic aHVi", "Basic  ", "Digest x"]
)
def test_pipedrive_wrong_credentials_are_refused(given: str) -> None:
    sender = SENDERS["pipedrive"]
    request = replace(sender.request(), headers={"authorization": given})
    with pytest.raises(Refused) as caught:
        sender.scheme.verify(request, [sender.secrets[0]], NOW)
    assert caught.value.code == "webhook_credentials_wrong"


# ---------------------------------------------------------------- GoHighLevel


def highlevel(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (document("gohighlevel") | changes).items() if value is not None}


def test_highlevels_older_key_verifies_the_older_header() -> None:
    body = orjson.dumps(highlevel())
    secrets = [{"public_key": public_text(rsa_key(0))}]
    assert scheme("gohighlevel").verify(highlevel_rsa(body, rsa_key(0)), secrets, NOW)
    for request in (highlevel_rsa(body, rsa_key(1)), replace(highlevel_rsa(body, rsa_key(0)), body=body + b" ")):
        with pytest.raises(Refused) as caught:
            scheme("gohighlevel").verify(request, secrets, NOW)
        assert caught.value.code == "webhook_signature_wrong"


def test_highlevels_two_keys_may_be_stored_while_one_replaces_the_other() -> None:
    sender, older = SENDERS["gohighlevel"], {"public_key": public_text(rsa_key(0))}
    both = [sender.secrets[0], older]
    assert sender.scheme.verify(sender.request(), both, NOW)
    assert sender.scheme.verify(highlevel_rsa(sender.body, rsa_key(0)), both, NOW)


def test_highlevels_header_of_the_other_kind_does_not_count() -> None:
    sender = SENDERS["gohighlevel"]
    request = sender.request()
    moved = replace(request, headers={"x-wh-signature": request.headers["x-ghl-signature"]})
    with pytest.raises(Refused) as caught:
        sender.scheme.verify(moved, [sender.secrets[0]], NOW)
    assert caught.value.code == "webhook_signature_missing"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ("Contact", "c1", False)),
        ({"type": "ContactDelete"}, ("Contact", "c1", True)),
        ({"type": "ContactTagUpdate"}, ("Contact", "c1", False)),
        ({"type": "OpportunityStatusUpdate"}, ("Opportunity", "c1", False)),
        ({"type": "OpportunityMonetaryValueUpdate"}, ("Opportunity", "c1", False)),
        ({"type": "OpportunityAssignedToUpdate"}, ("Opportunity", "c1", False)),
        ({"type": "ObjectSchemaUpdate"}, ("ObjectSchema", "c1", False)),
        ({"type": "InvoicePartiallyPaid"}, ("Invoice", "c1", False)),
        ({"type": "InboundMessage", "data": {"messageId": "m1"}}, ("Message", "m1", False)),
        ({"type": "NoteCreate", "data": None, "id": "n1"}, ("Note", "n1", False)),
        ({"type": "AppointmentUpdate", "data": {"appointmentId": "a1"}}, ("Appointment", "a1", False)),
    ],
)
def test_highlevel_names_location_and_record(changes: dict[str, Any], named: tuple[str, str, bool]) -> None:
    [notice] = notices("gohighlevel", highlevel(**changes))
    assert (notice.object, notice.vendor_id, notice.deleted) == named
    assert notice.account == "loc1"
    assert notice.dedupe_key == "id:wh-1"


def test_highlevel_deliveries_without_an_id_are_never_taken_for_one() -> None:
    """A contact that is changed and changed back is told in the same bytes as before."""
    sender, body = SENDERS["gohighlevel"], orjson.dumps(highlevel(webhookId=None, timestamp=None))
    moments = (NOW, NOW + timedelta(microseconds=1))
    assert (
        len({sender.scheme.verify(sender.request(body), [sender.secrets[0]], now).dedupe_key for now in moments}) == 2
    )
    assert notices("gohighlevel", orjson.loads(body))[0].dedupe_key is None


@pytest.mark.parametrize("kind", ["INSTALL", "contactCreate", "Contact", "", None])
def test_highlevel_events_about_no_record_become_dead_letters(kind: str | None) -> None:
    with pytest.raises(RecordRejectedError):
        notices("gohighlevel", highlevel(type=kind))


def test_a_key_that_cannot_be_read_does_not_silence_one_that_can() -> None:
    sender = SENDERS["gohighlevel"]
    assert sender.scheme.verify(sender.request(), [{"public_key": "mistyped"}, sender.secrets[0]], NOW)


@pytest.mark.parametrize("key", ["x", "nonsense", "MCow", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_a_key_that_cannot_be_read_is_a_fault_of_the_endpoint(key: str) -> None:
    with pytest.raises(Refused) as caught:
        scheme("gohighlevel").verify(SENDERS["gohighlevel"].request(), [{"public_key": key}], NOW)
    assert caught.value.status == 503


# ---------------------------------------------------------------- QuickBooks

OLDER = {
    "eventNotifications": [
        {
            "realmId": "1185883450",
            "dataChangeEvent": {
                "entities": [
                    {"name": "Customer", "id": "1", "operation": "Create", "lastUpdated": "2015-10-05T14:42:19-0700"},
                    {"name": "Vendor", "id": "2", "operation": "Delete", "lastUpdated": "2015-10-05T14:42:19-0700"},
                    {"name": "Customer", "id": "3", "operation": "Merge", "lastUpdated": "x", "deletedId": "4"},
                    {"name": "Customer", "operation": "Update"},
                ]
            },
        },
        {
            "realmId": "1185883451",
            "dataChangeEvent": {"entities": [{"name": "BillPayment", "id": "5", "operation": "Void"}]},
        },
        {"realmId": "1185883452"},
    ]
}
"""The older form: https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks (before CloudEvents)"""


def test_quickbooks_older_form_names_realm_and_record() -> None:
    found = notices("quickbooks", OLDER)
    named = [(n.object, n.vendor_id, n.deleted, n.account) for n in found if isinstance(n, Notice)]
    assert named == [
        ("Customer", "1", False, "1185883450"),
        ("Vendor", "2", True, "1185883450"),
        ("Customer", "3", False, "1185883450"),
        ("Customer", "4", False, "1185883450"),
        ("BillPayment", "5", False, "1185883451"),
    ]
    assert [isinstance(item, RecordRejectedError) for item in found].count(True) == 2
    assert found[0].occurred_at.isoformat() == "2015-10-05T21:42:19+00:00"
    assert len({n.dedupe_key for n in found if isinstance(n, Notice)}) == len(named)
    assert found[-2].dedupe_key is None, "without a time a second change would look like the first"


def cloud_event(**changes: Any) -> dict[str, Any]:
    return document("quickbooks")[0] | changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, [("Customer", "1234", False)]),
        ({"type": "qbo.billpayment.voided.v1"}, [("BillPayment", "1234", False)]),
        ({"type": "qbo.sales_receipt.updated.v1"}, [("SalesReceipt", "1234", False)]),
        ({"type": "qbo.invoice.deleted.v1"}, [("Invoice", "1234", True)]),
        ({"type": "qbo.brandnew.created.v1"}, [("brandnew", "1234", False)]),
        (
            {"type": "qbo.customer.merged.v1", "data": {"deletedid": "27"}},
            [("Customer", "1234", False), ("Customer", "27", False)],
        ),
    ],
)
def test_quickbooks_cloud_events_name_realm_and_record(
    changes: dict[str, Any], named: list[tuple[str, str, bool]]
) -> None:
    for body in ([cloud_event(**changes)], cloud_event(**changes)):
        found = notices("quickbooks", body)
        assert [(n.object, n.vendor_id, n.deleted) for n in found] == named
        assert {n.account for n in found} == {"310687"}


def test_quickbooks_events_are_told_by_their_ids_in_whatever_batch() -> None:
    alone = notices("quickbooks", [cloud_event()])[0]
    batch = notices("quickbooks", [cloud_event(id="2"), cloud_event(), {"type": "qbo.x"}])
    assert batch[1].dedupe_key == alone.dedupe_key != batch[0].dedupe_key
    assert isinstance(batch[2], RecordRejectedError)


# ---------------------------------------------------------------- Stripe


def stripe(**changes: Any) -> dict[str, Any]:
    return document("stripe") | changes


def test_stripe_retries_are_the_same_event() -> None:
    assert key_of("stripe", stripe()) == key_of("stripe", stripe(pending_webhooks=0)) == "id:evt_1"


def test_stripe_names_account_and_record() -> None:
    [notice] = notices("stripe", stripe(account="acct_1"))
    assert (notice.object, notice.vendor_id, notice.account, notice.deleted) == ("customer", "cus_1", "acct_1", False)
    assert notice.occurred_at.timestamp() == 1772366000


def test_stripe_deletions_are_told() -> None:
    assert notices("stripe", stripe(type="customer.deleted"))[0].deleted


def test_stripe_objects_without_an_id_are_changes_of_the_object() -> None:
    [notice] = notices("stripe", stripe(type="balance.available", data={"object": {"object": "balance"}}))
    assert (notice.object, notice.vendor_id) == ("balance", "")


def test_stripe_thin_events_name_the_related_object() -> None:
    """https://docs.stripe.com/event-destinations#thin-events"""
    thin = {
        "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "created": "2024-09-17T06:20:52.246Z",
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
    }
    [notice] = notices("stripe", thin)
    assert (notice.object, notice.vendor_id) == ("billing.meter", "mtr_1")
    assert notice.occurred_at is not None
