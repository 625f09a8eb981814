"""People who edit and create contacts on three sides, each time with a text that nobody used before."""

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

    def work(self, count: int) -> None:
        """So many edits, at a person's pace."""
        for _ in range(count):
            self._one()
            time.sleep(self._rng.uniform(0.01, 0.1))

    def _one(self) -> None:
        self._number += 1
        side = self._rng.choice(list(NAMES))
        everyone = [c for c in self._world.query(CONTACTS) if c["email"] and c["salesforce"] and c["hubspot"]]
        if not everyone or self._rng.random() < 0.25:
            self._create(side)
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
        where = contact["id"] if side == "hub" else contact[side][0]
        self._write(side, where, {field: token})
        self.edits.append(Edit(side, contact["email"], field, token))

    def _write(self, side: str, record: Any, values: Mapping[str, str]) -> None:
        named = {NAMES[side][name]: value for name, value in values.items()}
        if side == "hub":
            _again(lambda: self._write_hub(record, named))
            return
        server, kind = (
            (self._world.salesforce, "Contact") if side == "salesforce" else (self._world.hubspot, "contacts")
        )
        body = {"object": kind, "properties": named} | ({} if record is None else {"id": record})
        httpx.post(f"{server.url}/__sandbox__/edit", json=body, timeout=30).raise_for_status()

    def _write_hub(self, record: Any, values: Mapping[str, str]) -> None:
        hub = self._world.hub
        with hub.db.tenant(hub.tenant_id) as conn:
            if record is None:
                records.create(conn, hub.tenant_id, "contact", values, by="a person")
            else:
                records.edit(conn, hub.tenant_id, "contact", record, values, by="a person")


def _again(action: Callable[[], None]) -> None:
    """A person whose save failed because the database was away saves again."""
    for attempt in range(20):
        try:
            return action()
        except SynclineError:
            if attempt == 19:
                raise
            time.sleep(0.5)
    return None
