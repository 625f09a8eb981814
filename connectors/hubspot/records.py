"""Records of ``/crm/v3/objects``: listed, or read by id or key.

https://developers.hubspot.com/docs/guides/api/crm/objects/contacts
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from connectors.hubspot.objects import BATCH_SIZE, PAGE_SIZE
from connectors.hubspot.portal import Portal
from connectors.hubspot.setup import next_token

Record = dict[str, Any]

MERGED = "hs_merged_object_ids"
PROPERTIES_CHARS_MAX = 6_000
"""Longer lists of properties travel in the body of a batch read: gateways refuse addresses of more than 8 KiB."""


class Records:
    """Reading records of one account."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def listing(
        self, name: str, properties: Sequence[str], after: str | None = None, *, archived: bool = False
    ) -> Iterator[tuple[list[Record], str | None]]:
        """Pages of 100 in the order of ids, with the token of the following page; None on the last.

        HubSpot sends a handful of properties unless they are named. When they are too many for an address, the listing
        brings ids alone and a batch read the rest.
        """
        text = ",".join(properties)
        long = len(quote(text)) > PROPERTIES_CHARS_MAX
        while True:
            params = {
                "limit": PAGE_SIZE,
                "archived": str(archived).lower(),
                "properties": "hs_object_id" if long else text,
            }
            page = self._portal.get(path(name), {**params, **({"after": after} if after else {})})
            records, after = page["results"], next_token(page)
            if long:
                records = self.by_ids(name, [str(r["id"]) for r in records], properties, archived=archived)
            yield records, after
            if after is None:
                return

    def by_ids(
        self,
        name: str,
        ids: Sequence[str],
        properties: Sequence[str],
        *,
        id_property: str | None = None,
        archived: bool = False,
    ) -> list[Record]:
        """The records of ``ids``, 100 a call. Unknown ids are absent; an id that was merged brings its survivor, once."""
        found: dict[str, Record] = {}
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), BATCH_SIZE):
            body: dict[str, Any] = {
                "properties": list(properties),
                "inputs": [{"id": record_id} for record_id in unique[start : start + BATCH_SIZE]],
            }
            if id_property is not None:
                body["idProperty"] = id_property
            params = {"archived": "true"} if archived else None
            reply = self._portal.ask(f"{path(name)}/batch/read", body, params=params)
            found |= {str(record["id"]): record for record in reply["results"]}
        return list(found.values())

    def current(self, name: str, ids: Sequence[str], properties: Sequence[str]) -> dict[str, Record]:
        """Each of ``ids`` that still leads to a live record -> that record, which for a merged id is the survivor."""
        found: dict[str, Record] = {}
        for record in self.by_ids(name, ids, (*properties, MERGED)):
            found |= dict.fromkeys([str(record["id"]), *losers(record)], record)
        return {i: found[i] for i in ids if i in found}

    def find(self, name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key, as asked for -> id of the record that holds it. HubSpot compares unique values without regard to case."""
        asked = {key.casefold(): key for key in keys} | {key: key for key in keys}
        found: dict[str, str] = {}
        for record in self.by_ids(name, keys, (key_field,), id_property=key_field):
            held = str(record["properties"].get(key_field) or "")
            key = asked.get(held) or asked.get(held.casefold())
            if key is not None:
                found[key] = str(record["id"])
        return found


def losers(record: Record) -> list[str]:
    """The ids of all records that were ever merged into this one: it lists them for good."""
    listed = str(record["properties"].get(MERGED) or "").split(";")
    return [loser for loser in listed if loser and loser != str(record["id"])]


def path(name: str) -> str:
    """Where the records of an object are."""
    return f"/crm/v3/objects/{quote(name, safe='')}"
