"""Which records belong together.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from connectors.hubspot.objects import ASSOCIATION_READ_SIZE, DEFINED, OWN, PRIMARY_TYPE_IDS, SEPARATOR
from connectors.hubspot.portal import Portal
from connectors.hubspot.setup import next_token

PRIMARY_LABEL = "Primary"
Ends = Mapping[str, list[Mapping[str, Any]]]


class Associations:
    """Reading associations of one account."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def of(self, source: str, target: str, ids: Sequence[str]) -> Ends:
        """The associated records of each id that has some, whole: HubSpot pages within one record, too."""
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        waiting: list[dict[str, str]] = [{"id": record_id} for record_id in ids]
        while waiting:
            asked, waiting = waiting[:ASSOCIATION_READ_SIZE], waiting[ASSOCIATION_READ_SIZE:]
            path = f"/crm/v4/associations/{source}/{target}/batch/read"
            reply = self._portal.ask(path, {"inputs": asked})  # 207 when some have none
            for result in reply.get("results") or ():
                record_id = str(result["from"]["id"])
                found[record_id] += result["to"]
                token = next_token(result)
                if token is not None:
                    waiting.append({"id": record_id, "after": token})
        return found

    def joined(self, source: str, target: str, ids: Sequence[str]) -> Mapping[str, str]:
        """The associated ids of each record as one text, the primary one first, then in the order of ids."""
        return {
            record_id: SEPARATOR.join(_ordered(ends, (source, target)))
            for record_id, ends in self.of(source, target, ids).items()
        }

    def labelled(self, source: str, target: str, ids: Sequence[str]) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """The associated ids of each record in the order of `joined`, with the account's own labels of each pair."""
        return {i: labels_of(ends, (source, target)) for i, ends in self.of(source, target, ids).items()}

    def types(self, source: str, target: str) -> Mapping[str, int]:
        """The account's own labels from one object to another, with their ids.

        https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associations-schema/guide
        """
        reply = self._portal.get(f"/crm/v4/associations/{source}/{target}/labels")
        known = [kind for kind in reply["results"] if kind.get("category") == OWN and kind.get("label")]
        return {str(kind["label"]): int(kind["typeId"]) for kind in known}

    def rows(self, source: str, target: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """One row for each pair and label, in the order of ``ids``."""
        found = self.of(source, target, ids)
        for record_id in ids:
            for end in found.get(record_id, ()):
                for kind in end["associationTypes"]:
                    yield _row(source, target, record_id, end, kind)


def _row(source: str, target: str, record_id: str, end: Mapping[str, Any], kind: Mapping[str, Any]) -> dict[str, Any]:
    to_id = str(end["toObjectId"])
    return {
        "id": row_id(record_id, to_id, kind["typeId"], str(kind.get("category") or DEFINED)),
        "from_id": record_id,
        "to_id": to_id,
        "label": kind.get("label"),
        "category": kind.get("category"),
        "type_id": kind["typeId"],
        "is_primary": is_primary(kind, (source, target)),
    }


def row_id(from_id: str, to_id: str, type_id: Any, category: str) -> str:
    """The id of one row: ``from:to:type``, and the category behind it where the type is not HubSpot's own."""
    plain = f"{from_id}:{to_id}:{type_id or ''}"
    return plain if category == DEFINED else f"{plain}:{category}"


def is_primary(kind: Mapping[str, Any], pair: tuple[str, str]) -> bool:
    """Whether an association type is the one to the main record of its kind."""
    if kind.get("category") not in (None, DEFINED):
        return False
    return kind.get("typeId") == PRIMARY_TYPE_IDS.get(pair) or kind.get("label") == PRIMARY_LABEL


def labels_of(ends: Sequence[Mapping[str, Any]], pair: tuple[str, str]) -> dict[str, list[str]]:
    """By associated id, the primary one first, the account's own labels."""
    found: dict[str, list[str]] = {i: [] for i in _ordered(ends, pair)}
    for end in ends:
        own = (kind["label"] for kind in end["associationTypes"] if kind.get("category") == OWN and kind.get("label"))
        found[str(end["toObjectId"])] += map(str, own)
    return {i: sorted(set(of)) for i, of in found.items()}


def _ordered(ends: Iterable[Mapping[str, Any]], pair: tuple[str, str]) -> list[str]:
    def rank(end: Mapping[str, Any]) -> tuple[bool, int]:
        return (not any(is_primary(kind, pair) for kind in end["associationTypes"]), int(end["toObjectId"]))

    return list(dict.fromkeys(str(end["toObjectId"]) for end in sorted(ends, key=rank)))
