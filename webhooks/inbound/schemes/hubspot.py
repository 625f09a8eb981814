"""HubSpot's CRM webhooks, signature version 3.

https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide

Versions 1 and 2 sign no time, so that a captured request could be sent again for ever; HubSpot sends them beside version 3.
Retries deal the events out to other batches and count ``attemptNumber`` up, and ``eventId`` alone is not unique: an
event is what it says without its attempt.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import orjson

from connectors.kit.contract import Notice, Setting
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Refused, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_SIGNATURE: Final = "x-hubspot-signature-v3"
_TIMESTAMP: Final = "x-hubspot-request-timestamp"
_OLD: Final = ("x-hubspot-signature", "x-hubspot-signature-version")
_DECODED: Final = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
"""What HubSpot decodes in the address before signing it, and nothing else."""

_TYPE_IDS: Final[Mapping[str, str]] = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "0-7": "products",
    "0-8": "line_items",
    "0-14": "quotes",
    "0-27": "tasks",
    "0-46": "notes",
    "0-47": "meetings",
    "0-48": "calls",
    "0-49": "emails",
}
"""https://developers.hubspot.com/docs/guides/api/crm/understanding-the-crm#object-type-ids"""
_WORDS: Final[Mapping[str, str]] = {
    "contact": "contacts",
    "company": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "line_item": "line_items",
}
_GONE: Final = frozenset({"deletion", "privacyDeletion"})


class HubSpot(Scheme):
    """Batches of at most 100 events of one app, possibly of several portals."""

    name: ClassVar[str] = "hubspot"
    label: ClassVar[str] = "HubSpot"
    docs_url: ClassVar[str] = "https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("client_secret", "Client secret", "Of the HubSpot app, under Auth.", secret=True),
    )
    batched: ClassVar[bool] = True

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        known = checks.generations(secrets, "client_secret")
        if request.header(_SIGNATURE) is None and any(request.header(name) for name in _OLD):
            raise Refused(
                "HubSpot's signatures before version 3 are not accepted: they hold no time.",
                code="webhook_signature_version",
                remedy="Let the header X-HubSpot-Signature-v3 through, and subscribe by an app that signs with it.",
            )
        given = checks.needed_header(request, _SIGNATURE)
        written = checks.needed_header(request, _TIMESTAMP)
        sent = checks.fresh(written, now, unit="ms")
        address = _DECODED.sub(lambda found: chr(int(found[0][1:], 16)), request.url)
        parts = (request.method.encode(), address.encode(), request.body, written.encode())
        expected = [base64.b64encode(checks.mac("sha256", secret.encode(), *parts)) for (secret,) in known]
        if not checks.same(given.encode(), expected):
            raise checks.wrong_signature()
        return Verified(checks.digest(request.body), sent)

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        return checks.each(jsonbody.items(jsonbody.load(body), "the batch"), _notices)


def _notices(event: Mapping[str, Any]) -> Iterator[Notice]:
    portal = jsonbody.needed(event, "portalId")
    word, _, kind = jsonbody.needed(event, "subscriptionType").rpartition(".")
    occurred_at = checks.unix(event.get("occurredAt"), "ms")
    once = {name: value for name, value in event.items() if name != "attemptNumber"}
    key = checks.digest(orjson.dumps(once, option=orjson.OPT_SORT_KEYS))
    for number, (object_name, vendor_id) in enumerate(_records(event, word, kind)):
        deleted = kind in _GONE
        yield Notice(object_name, vendor_id, occurred_at, deleted, f"{key}/{number}", account=portal)


def _records(event: Mapping[str, Any], word: str, kind: str) -> list[tuple[str, str]]:
    """The records that an event is about. A merged one counts as changed: reading it tells what became of it."""
    own = _object(jsonbody.text(event, "objectTypeId"), word)
    if kind == "associationChange":
        _, _, other_word = (jsonbody.text(event, "associationType") or "").lower().partition("_to_")
        start = _object(jsonbody.text(event, "fromObjectTypeId"), word)
        end = _object(jsonbody.text(event, "toObjectTypeId"), other_word)
        found = [(start, jsonbody.needed(event, "fromObjectId")), (end, jsonbody.needed(event, "toObjectId"))]
        return [(name, vendor_id) for name, vendor_id in found if name]
    if kind == "merge":
        merged = event.get("mergedObjectIds")
        ids = [event.get("primaryObjectId"), event.get("newObjectId"), *(merged if isinstance(merged, list) else ())]
        named = dict.fromkeys(str(i) for i in ids if isinstance(i, int | str))
        if named:
            return [(own, vendor_id) for vendor_id in named]
    return [(own, jsonbody.needed(event, "objectId"))]


def _object(type_id: str | None, word: str) -> str:
    """The connector's name of an object; HubSpot's own where the connector has none."""
    if type_id is not None:
        return _TYPE_IDS.get(type_id, type_id)
    return _WORDS.get(word, word)
