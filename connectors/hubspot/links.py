"""Writing associations: pairs of records, in batches, with the label they carry.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.hubspot.errors import record_error
from connectors.hubspot.objects import (
    ASSOCIATED,
    ASSOCIATION_WRITE_SIZE,
    PRIMARY_TYPE_IDS,
    SEPARATOR,
    association_pair,
)
from connectors.hubspot.portal import Portal
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError
from domain.records import Outgoing, WriteResult

Links = Mapping[str, Sequence[str]]
Input = dict[str, Any]


def split_links(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The properties of a record, and the ids it shall be associated with, by object."""
    links = {
        name.removeprefix(ASSOCIATED): [i for i in str(value or "").split(SEPARATOR) if i]
        for name, value in values.items()
        if name.startswith(ASSOCIATED)
    }
    return {n: v for n, v in values.items() if not n.startswith(ASSOCIATED)}, {
        t: ids for t, ids in links.items() if ids
    }


class LinkWriter:
    """Associates records of one account. Associating twice is associating once, so all of it may be repeated."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def write(self, source: str, wanted: Sequence[tuple[str, Links]]) -> Mapping[str, SynclineError]:
        """Associate each record of ``source`` with the ids it lists, the first one as the primary where there is such.

        Returns the error of each record that could not be associated.
        """
        by_target: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)
        for record_id, links in wanted:
            for target, ids in links.items():
                by_target[target] += [(record_id, other, n == 0) for n, other in enumerate(ids)]
        failed: dict[str, SynclineError] = {}
        for target, pairs in by_target.items():
            failed |= self._associate(source, target, pairs)
        return failed

    def _associate(self, source: str, target: str, pairs: Sequence[tuple[str, str, bool]]) -> dict[str, SynclineError]:
        primary = PRIMARY_TYPE_IDS.get((source, target))
        labelled = [_input(f, t, primary, "HUBSPOT_DEFINED") for f, t, first in pairs if first and primary]
        unlabelled = [_ends(f, t) for f, t, first in pairs if not (first and primary)]
        failed = self._batches(source, target, "create", labelled)
        return failed | self._batches(source, target, "associate/default", unlabelled)

    def write_pairs(self, object_name: str, records: Sequence[Outgoing]) -> list[WriteResult]:
        """Rows of an association object: from_id, to_id, and type_id with category where the label is not the default."""
        source, target = association_pair(object_name) or ("", "")
        ready = [(r, str(r.values.get("from_id") or ""), str(r.values.get("to_id") or "")) for r in records]
        inputs = [
            _input(f, t, r.values.get("type_id"), str(r.values.get("category") or "HUBSPOT_DEFINED"))
            for r, f, t in ready
            if f and t
        ]
        typed, bare = [i for i in inputs if i.get("types")], [_bare(i) for i in inputs if not i.get("types")]
        failed = self._batches(source, target, "create", typed)
        failed |= self._batches(source, target, "associate/default", bare)
        return [_pair_result(r, f, t, failed, object_name) for r, f, t in ready]

    def delete_pairs(self, object_name: str, ids: Sequence[str]) -> list[WriteResult]:
        """Take labels off pairs, by the ids of their rows (``from:to:type``)."""
        source, target = association_pair(object_name) or ("", "")
        inputs = []
        for row_id in ids:
            from_id, to_id, type_id = _row_id(row_id)
            category = "HUBSPOT_DEFINED"
            inputs.append(_input(from_id, to_id, type_id, category))
        failed = self._batches(source, target, "labels/archive", inputs)
        return [WriteResult(i, i, error=failed.get(i.partition(":")[0])) for i in ids]

    def _batches(self, source: str, target: str, action: str, inputs: Sequence[Input]) -> dict[str, SynclineError]:
        failed: dict[str, SynclineError] = {}
        for start in range(0, len(inputs), ASSOCIATION_WRITE_SIZE):
            chunk = inputs[start : start + ASSOCIATION_WRITE_SIZE]
            failed |= self._batch(f"/crm/v4/associations/{source}/{target}/batch/{action}", chunk, f"{source}:{target}")
        return failed

    def _batch(self, address: str, inputs: Sequence[Input], name: str) -> dict[str, SynclineError]:
        reply = self._portal.request("POST", address, json={"inputs": inputs}, idempotent=True, accept={400, 404, 409})
        if reply.status < 400:
            payload = reply.json() if reply.content else {}
            return _errors(payload, inputs, name)
        if len(inputs) == 1:
            return {_from(inputs[0]): record_error(reply.json(), name)}
        middle = len(inputs) // 2
        return self._batch(address, inputs[:middle], name) | self._batch(address, inputs[middle:], name)


def _ends(from_id: str, to_id: str) -> Input:
    return {"from": {"id": from_id}, "to": {"id": to_id}}


def _input(from_id: str, to_id: str, type_id: Any, category: str) -> Input:
    types = [{"associationCategory": category, "associationTypeId": int(type_id)}] if type_id else []
    return {**_ends(from_id, to_id), "types": types}


def _bare(given: Input) -> Input:
    return {"from": given["from"], "to": given["to"]}


def _from(given: Input) -> str:
    return str(given["from"]["id"])


def _errors(payload: Mapping[str, Any], inputs: Sequence[Input], name: str) -> dict[str, SynclineError]:
    """Errors of a 207 name the ids they are about; one that names none is about every record of the batch."""
    failed: dict[str, SynclineError] = {}
    for error in payload.get("errors") or ():
        context = error.get("context") or {}
        named = {str(i) for ids in context.values() if isinstance(ids, list) for i in ids}
        about = [i for i in inputs if not named or _from(i) in named or str(i["to"]["id"]) in named]
        failed |= {_from(given): record_error(error, name) for given in about}
    return failed


def _pair_result(
    record: Outgoing, from_id: str, to_id: str, failed: Mapping[str, SynclineError], name: str
) -> WriteResult:
    if not (from_id and to_id):
        missing = RecordRejectedError(
            f"An association lacks one of its two ends. Object: {name}.", code="invalid_record"
        )
        return WriteResult(record.key, record.vendor_id, error=missing)
    vendor_id = record.vendor_id or f"{from_id}:{to_id}:{record.values.get('type_id') or ''}"
    return WriteResult(record.key, vendor_id, error=failed.get(from_id))


def _row_id(row_id: str) -> tuple[str, str, str]:
    parts = row_id.split(":")
    if len(parts) != 3 or not all(parts):
        raise ConfigurationError("This is not the id of an association.", remedy="Give from:to:type, as it was read.")
    return parts[0], parts[1], parts[2]
