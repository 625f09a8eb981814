"""Pipedrive's webhooks, version 2.

https://pipedrive.readme.io/docs/guide-for-webhooks-v2

Pipedrive signs nothing and knows HTTP Basic only. It bans an endpoint for 30 minutes after ten first attempts that failed,
and what happens meanwhile is lost: so an authentic delivery is taken whatever it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from connectors.kit.contract import Notice, Setting
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import Incoming, Item, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks

_VERSION: Final = "2.0"
_OBJECTS: Final[Mapping[str, str]] = {
    "activity": "activities",
    "deal": "deals",
    "lead": "leads",
    "note": "notes",
    "organization": "organizations",
    "person": "persons",
    "pipeline": "pipelines",
    "product": "products",
    "stage": "stages",
    "user": "users",
}


class Pipedrive(Scheme):
    """One delivery, one event."""

    name: ClassVar[str] = "pipedrive"
    label: ClassVar[str] = "Pipedrive"
    docs_url: ClassVar[str] = "https://pipedrive.readme.io/docs/guide-for-webhooks-v2"
    secrets: ClassVar[tuple[Setting, ...]] = (
        Setting("username", "User name", "Of HTTP Basic, as entered at Pipedrive (not a Pipedrive user).", secret=True),
        Setting("password", "Password", "Of HTTP Basic, as entered at Pipedrive.", secret=True),
    )

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        del now
        checks.only(request, self.methods)
        checks.basic(request, secrets)
        try:
            meta = _meta(request.body)
        except RecordRejectedError:
            return Verified(checks.digest(request.body))
        return Verified(_key(meta), checks.moment(meta.get("timestamp")))

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        del headers
        meta = _meta(body)
        entity = jsonbody.needed(meta, "entity")
        object_name = _OBJECTS.get(entity, entity)
        deleted = jsonbody.text(meta, "action") == "delete"
        company, occurred_at = jsonbody.needed(meta, "company_id"), checks.moment(meta.get("timestamp"))
        vendor_id = jsonbody.needed(meta, "entity_id")
        found = [Notice(object_name, vendor_id, occurred_at, deleted, _key(meta), account=company)]
        survivor = jsonbody.text(meta, "merged_to_id")
        if survivor:
            found.append(Notice(object_name, survivor, occurred_at, False, f"{_key(meta)}/survivor", account=company))
        return found


def _meta(body: bytes) -> Mapping[str, Any]:
    """The block that names the event. Version 1 has a record's id where version 2 has the event's: it must not be taken for it."""
    meta = jsonbody.mapping(jsonbody.mapping(jsonbody.load(body), "the body").get("meta"), "meta")
    if jsonbody.text(meta, "version") != _VERSION:
        raise jsonbody.unexpected("it is not of version 2.0")
    jsonbody.needed(meta, "id")
    return meta


def _key(meta: Mapping[str, Any]) -> str:
    return checks.key_of(jsonbody.text(meta, "company_id") or "", jsonbody.needed(meta, "id"))
