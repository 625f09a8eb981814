"""QuickBooks Online: notifications as CloudEvents, and in the older form that they replace.

https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks
https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks/data-objects

The signature covers the body and holds no time. Intuit holds later events back until an earlier one is acknowledged, and
recommends comparing daily.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from connectors.kit.contract import Notice, Setting
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_SIGNATURE: Final = "intuit-signature"
_ENTITIES: Final[Mapping[str, str]] = {
    name.lower(): name
    for name in (
        "Account", "Bill", "BillPayment", "Budget", "Class", "CreditMemo", "Currency", "Customer", "Department", "Deposit",
        "Employee", "Estimate", "Invoice", "Item", "JournalCode", "JournalEntry", "Payment", "PaymentMethod",
        "Preferences", "Purchase", "PurchaseOrder", "RefundReceipt", "SalesReceipt", "TaxAgency", "Term", "TimeActivity",
        "Transfer", "Vendor", "VendorCredit",
    )
}  # fmt: skip
_TYPE_PARTS: Final = 4


class QuickBooks(Scheme):
    """Events of every company that connected the app."""

    name: ClassVar[str] = "quickbooks"
    label: ClassVar[str] = "QuickBooks Online"
    docs_url: ClassVar[str] = "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("verifier_token", "Verifier token", "Of the app, under Webhooks.", secret=True),
    )
    batched: ClassVar[bool] = True

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        del now
        checks.only(request, self.methods)
        known = checks.generations(secrets, "verifier_token")
        given = checks.needed_header(request, _SIGNATURE).encode()
        macs = [checks.mac("sha256", token.encode(), request.body) for (token,) in known]
        if not checks.same(given, [base64.b64encode(raw) for raw in macs]):
            raise checks.wrong_signature()
        return Verified(checks.digest(request.body))

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        found = jsonbody.load(body)
        if isinstance(found, dict) and "eventNotifications" in found:
            companies = jsonbody.items(found["eventNotifications"], "eventNotifications")
            return checks.each(companies, _older)
        events = jsonbody.items(found if isinstance(found, list) else [found], "the batch")
        return checks.each(events, _cloud_event)


def _cloud_event(event: Mapping[str, Any]) -> Iterator[Notice]:
    kind = jsonbody.needed(event, "type")  # qbo.customer.created.v1
    parts = kind.split(".")
    if len(parts) < _TYPE_PARTS:
        raise jsonbody.unexpected("the type of an event has fewer than four parts")
    data = event.get("data")
    merged = jsonbody.text(data, "deletedid") if isinstance(data, dict) else None
    identity = ("source", "id", "type", "time", "intuitaccountid", "intuitentityid")
    yield from _notices(
        parts[1],
        parts[2],
        jsonbody.needed(event, "intuitentityid"),
        merged,
        checks.moment(event.get("time")),
        jsonbody.needed(event, "intuitaccountid"),
        _key(event, identity) if jsonbody.text(event, "id") else None,
    )


def _older(company: Mapping[str, Any]) -> Iterator[Item]:
    realm = jsonbody.needed(company, "realmId")
    change = jsonbody.mapping(company.get("dataChangeEvent"), "dataChangeEvent")
    entities = jsonbody.items(change.get("entities"), "entities")
    yield from checks.each(entities, lambda entity: _older_entity(entity, realm))


def _older_entity(entity: Mapping[str, Any], realm: str) -> Iterator[Notice]:
    identity = ("name", "id", "operation", "lastUpdated", "deletedId")
    yield from _notices(
        jsonbody.needed(entity, "name"),
        jsonbody.needed(entity, "operation"),
        jsonbody.needed(entity, "id"),
        jsonbody.text(entity, "deletedId"),
        checks.moment(entity.get("lastUpdated")),
        realm,
        _key(entity, identity, realm) if jsonbody.text(entity, "lastUpdated") else None,
    )


def _key(event: Mapping[str, Any], names: tuple[str, ...], *more: str) -> str:
    """What tells an event; it holds an id or a time, else a second change would look like the first."""
    return checks.digest(*(part.encode() for part in (*more, *(jsonbody.text(event, name) or "" for name in names))))


def _notices(
    name: str,
    operation: str,
    vendor_id: str,
    merged: str | None,
    occurred_at: datetime | None,
    realm: str,
    key: str | None,
) -> Iterator[Notice]:
    """A merge is about two records: the one that stays, and the one that went into it, which counts as changed."""
    object_name = _ENTITIES.get(name.lower().replace("_", "").replace("-", ""), name)
    deleted = operation.lower() in {"delete", "deleted"}
    yield Notice(object_name, vendor_id, occurred_at, deleted, key, account=realm)
    if merged:
        yield Notice(object_name, merged, occurred_at, False, key and f"{key}/merged", account=realm)
