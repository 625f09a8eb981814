"""People who edit, create, delete and merge contacts on three sides; what they write, nobody wrote before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.chaos_world import World
from domain.errors import SynclineError
from storage.sync import records

NAMES: Mapping[str, Mapping[str, str]] = {
    "hub": {"email": "email", "last_name": "last_name", "title": "title", "mailing_city": "mailing_city"},
    "salesforce": {"email": "Email", "last_name": "LastName", "title": "Title", "mailing_city": "MailingCity"},
    "hubspot": {"email": "email", "last_name": "lastname", "title": "jobtitle", "mailing_city": "city"},
}
"""What each side calls the fields that people edit."""

FIELDS = ("title", "mailing_city")

GONE = "*"
"""The field of an edit that deletes its record, or merges it into another."""

FEWEST = 6
"""With so few contacts nobody deletes any."""

CONTACTS = """
SELECT h.id, h.email, h.last_name, h.title, h.mailing_city,
       array_agg(l.vendor_id) FILTER (WHERE c.vendor = 'salesforce') AS salesforce,
       array_agg(l.vendor_id) FILTER (WHERE c.vendor = 'hubspot') AS hubspot
FROM crm_contact h
LEFT JOIN link l ON l.tenant_id = h.tenant_id AND l.entity_id = h.id AND l.entity = 'contact' AND l.tombstoned_at IS NULL
    AND l.vendor_object IN ('Contact', 'contacts')
LEFT JOIN connection c ON c.tenant_id = l.tenant_id AND c.id = l.connection_id
GROUP BY h.tenant_id, h.id ORDER BY h.id
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """``record``: the contact's e-mail address, which nobody edits; ``token``: what was written into ``field``."""

    side: str
    record: str
    field: str
    token: str


class People:
    """Does edits and remembers those that were accepted."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world, self._rng = world, rng
        self.edits: list[Edit] = []
        self._number = 0
        self._into: dict[str, tuple[str, str]] = {}

    def work(self, count: int) -> None:
        """So many edits, at a person's pace."""
        for _ in range(count):
            self._one()
            time.sleep(self._rng.uniform(0.01, 0.1))

    def _one(self) -> None:
        self._number += 1
        side = self._rng.choice(list(NAMES))
        everyone = [c for c in self._world.query(CONTACTS) if c["email"] and c["salesforce"] and c["hubspot"]]
        what = self._rng.random()
        if not everyone or what < 0.25:
            self._create(side)
        elif what < 0.35 and len(everyone) > FEWEST:
            self._delete(side, self._rng.choice(everyone))
        elif what < 0.4 and len(everyone) > FEWEST:
            self._merge(*self._rng.sample(everyone, 2))
        else:
            self._change(side, self._rng.choice(everyone))

    def _create(self, side: str) -> None:
        email = f"chaos{self._number}@example.com"
        values = {"email": email, "last_name": f"Chaos {self._number}", "title": f"token {self._number} new"}
        self._write(side, None, values)
        self.edits.append(Edit(side, email, "email", email))
        self.edits.append(Edit(side, email, "title", values["title"]))

    def _change(self, side: str, contact: Mapping[str, Any]) -> None:
        field, token = self._rng.choice(FIELDS), f"token {self._number}"
        if self._write(side, _id_of(contact, side), {field: token}):
            self.edits.append(Edit(side, self._named(side, contact), field, token))

    def _named(self, side: str, contact: Mapping[str, Any]) -> str:
        """Whom an edit hits: in HubSpot, the id of a contact that was merged away is one of its survivor.

        One that stands there again has another id.
        """
        email, record = str(contact["email"]), str(_id_of(contact, side))
        while side == "hubspot" and record in self._into:
            record, email = self._into[record]
        return email

    def _last_id(self, contact: Mapping[str, Any]) -> str:
        """The id in HubSpot of a contact, of a merged one its survivor's."""
        record = str(_id_of(contact, "hubspot"))
        while record in self._into:
            record, _ = self._into[record]
        return record

    def _delete(self, side: str, contact: Mapping[str, Any]) -> None:
        if self._remove(side, _id_of(contact, side)):
            self.edits.append(Edit(side, self._named(side, contact), GONE, "deleted"))

    def _merge(self, kept: Mapping[str, Any], lost: Mapping[str, Any]) -> None:
        """In HubSpot, whose sandbox can."""
        body = {"object": "contacts", "id": _id_of(kept, "hubspot"), "merge": _id_of(lost, "hubspot")}
        if _post(self._world.hubspot.url, body):
            gone, survivor = self._named("hubspot", lost), self._named("hubspot", kept)
            self.edits.append(Edit("hubspot", gone, GONE, merged_into(survivor)))
            self._into[self._last_id(lost)] = self._last_id(kept), survivor

    def _write(self, side: str, record: Any, values: Mapping[str, str]) -> bool:
        """Whether it was accepted: what somebody else deleted meanwhile cannot be edited."""
        named = {NAMES[side][name]: value for name, value in values.items()}
        if side == "hub":
            return _again(lambda: self._write_hub(record, named))
        url, kind = self._place(side)
        return _post(url, {"object": kind, "properties": named} | ({} if record is None else {"id": record}))

    def _remove(self, side: str, record: Any) -> bool:
        if side == "hub":
            return _again(lambda: self._delete_hub(record))
        url, kind = self._place(side)
        return _post(url, {"object": kind, "id": record, "delete": True})

    def _place(self, side: str) -> tuple[str, str]:
        if side == "salesforce":
            return self._world.salesforce.url, "Contact"
        return self._world.hubspot.url, "contacts"

    def _write_hub(self, record: Any, values: Mapping[str, str]) -> None:
        hub = self._world.hub
        with hub.db.tenant(hub.tenant_id) as conn:
            if record is None:
                records.create(conn, hub.tenant_id, "contact", values, by="a person")
            else:
                records.edit(conn, hub.tenant_id, "contact", record, values, by="a person")

    def _delete_hub(self, record: Any) -> None:
        hub = self._world.hub
        with hub.db.tenant(hub.tenant_id) as conn:
            records.delete(conn, hub.tenant_id, "contact", record, by="a person")


def merged_into(survivor: str) -> str:
    """The token of an edit that merges a record into another one."""
    return f"merged into {survivor}"


def _id_of(contact: Mapping[str, Any], side: str) -> Any:
    return contact["id"] if side == "hub" else contact[side][0]


def _post(url: str, body: Mapping[str, Any]) -> bool:
    answer = httpx.post(f"{url}/__sandbox__/edit", json=body, timeout=30)
    if answer.status_code in (400, 404) and "id" in body:
        return False  # it is gone
    answer.raise_for_status()
    return True


def _again(action: Callable[[], None]) -> bool:
    """A person whose save failed because the database was away saves again; False where the record is gone."""
    for _ in range(20):
        try:
            action()
        except SynclineError as error:
            if error.code == "no_such_record":
                return False
            last = error
            time.sleep(0.5)
        else:
            return True
    raise last
