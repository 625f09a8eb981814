"""Writing associations: pairs of records, in batches, with the label they carry.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.hubspot.associations import Associations, row_id
from connectors.hubspot.errors import record_error
from connectors.hubspot.objects import (
    ASSOCIATED,
    ASSOCIATION_WRITE_SIZE,
    DEFINED,
    KEEPING,
    OWN,
    PRIMARY_TYPE_IDS,
    SEPARATOR,
    association_pair,
)
from connectors.hubspot.portal import Portal
from connectors.kit.contract import EndsChange
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError
from domain.records import Outgoing, WriteResult

Links = Mapping[str, Sequence[str]]
Input = dict[str, Any]
Pair = tuple[str, str]
Failed = dict[Pair, SynclineError]
_ENDS = ("fromObjectId", "toObjectId")


def split_links(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The properties of a record, and by object the ids it shall be associated with; none: with nothing."""
    links = {
        name.removeprefix(ASSOCIATED): list(dict.fromkeys(i for i in str(value or "").split(SEPARATOR) if i))
        for name, value in values.items()
        if name.startswith(ASSOCIATED)
    }
    return {n: v for n, v in values.items() if not n.startswith(ASSOCIATED)}, links


@dataclass(frozen=True, slots=True)
class Change:
    """What an association field asks of one record: ids to associate, the main one first, and ids to part from."""

    record_id: str
    wanted: Sequence[str] = ()
    unwanted: Sequence[str] = ()


def decide(
    record_id: str, wanted: Sequence[str], held: Sequence[str], *, has_primary: bool, keeps: bool = False
) -> Change:
    """The change after which reading the field gives ``wanted`` first; ``held``: the ids it reads as now.

    Nothing wanted parts from all. Otherwise the record parts from whatever would still be listed before the ids wanted:
    the former primary one (unless it ``keeps`` it, as a further one), and where there are no primary ones those with lower ids.
    All others stay.
    """
    if not wanted:
        return Change(record_id, unwanted=held)
    if keeps:
        return Change(record_id, wanted)
    if has_primary:
        return Change(record_id, wanted, [i for i in held[:1] if i not in wanted])
    last = max(int(i) for i in wanted)
    return Change(record_id, wanted, [i for i in held if i not in wanted and int(i) < last])


class LinkWriter:
    """Associates records of one account. Associating twice is associating once, so all of it may be repeated."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._reading = Associations(portal)

    def write(
        self, source: str, wanted: Sequence[tuple[str, Links]], new: Container[str] = ()
    ) -> dict[str, SynclineError]:
        """Make each record's associations read as the ids it lists: see `decide`. Records of ``new`` have none yet.

        Returns the error of each record that could not be associated.
        """
        failed: dict[str, SynclineError] = {}
        for target in dict.fromkeys(target for _, links in wanted for target in links):
            asked = {record_id: links[target] for record_id, links in wanted if target in links}
            failed = self._write(source, target, asked, new) | failed
        return failed

    def _write(
        self, source: str, target: str, asked: Mapping[str, Sequence[str]], new: Container[str]
    ) -> dict[str, SynclineError]:
        has_primary, keeps = (source, target) in PRIMARY_TYPE_IDS, (source, target) in KEEPING
        known = [record_id for record_id in asked if record_id not in new]
        held = self._reading.joined(source, target, known) if known else {}
        changes = [
            decide(i, ids, [h for h in held.get(i, "").split(SEPARATOR) if h], has_primary=has_primary, keeps=keeps)
            for i, ids in asked.items()
        ]
        failed = by_record(self._associate(source, target, changes))
        parting = [_ends_many(c.record_id, c.unwanted) for c in changes if c.unwanted and c.record_id not in failed]
        return failed | by_record(self._batches(source, target, "archive", parting))

    def _associate(self, source: str, target: str, changes: Sequence[Change]) -> Failed:
        """The first id of each record as the primary one where there is such: HubSpot takes the label from another."""
        primary = PRIMARY_TYPE_IDS.get((source, target))
        pairs = [(c.record_id, other, n == 0) for c in changes for n, other in enumerate(c.wanted)]
        labelled = [_input(f, t, primary, DEFINED) for f, t, first in pairs if first and primary]
        unlabelled = [_ends(f, t) for f, t, first in pairs if not (first and primary)]
        failed = self._batches(source, target, "create", labelled)
        return failed | self._batches(source, target, "associate/default", unlabelled)

    def change(self, source: str, target: str, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """Associate records plainly and part them, whatever their labels; give labels that the account has, and take them off.

        See `contract.SupportsAssociations.associate`.
        """
        joining = [_ends(c.vendor_id, other) for c in changes for other in c.add]
        failed = self._batches(source, target, "associate/default", joining)
        parting = [_ends_many(c.vendor_id, c.remove) for c in changes if c.remove]
        failed |= self._relabel(source, target, changes)
        errors = by_record(failed) | by_record(self._batches(source, target, "archive", parting))
        return [WriteResult(c.vendor_id, c.vendor_id, error=errors.get(c.vendor_id)) for c in changes]

    def _relabel(self, source: str, target: str, changes: Sequence[EndsChange]) -> Failed:
        """A label that is given leaves those that a pair has, and one that is taken off leaves the pair associated.

        https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide
        """
        if not any(c.label or c.unlabel for c in changes):
            return {}
        types = self._reading.types(source, target)
        given = [_input(c.vendor_id, i, types[n], OWN) for c in changes for i, n in c.label if n in types]
        taken = [_input(c.vendor_id, i, types[n], OWN) for c in changes for i, n in c.unlabel if n in types]
        failed = self._batches(source, target, "create", given)
        return failed | self._batches(source, target, "labels/archive", taken)

    def write_pairs(self, object_name: str, records: Sequence[Outgoing]) -> list[WriteResult]:
        """Rows of an association object: from_id, to_id, and type_id with category where the label is not the default."""
        source, target = association_pair(object_name) or ("", "")
        ready = [_row_of(record) for record in records]
        inputs = [
            _input(row.from_id, row.to_id, row.type_id, row.category) for row in ready if row.from_id and row.to_id
        ]
        typed, bare = [i for i in inputs if i.get("types")], [_bare(i) for i in inputs if not i.get("types")]
        failed = self._batches(source, target, "create", typed)
        failed |= self._batches(source, target, "associate/default", bare)
        return [_pair_result(r, row, failed, object_name) for r, row in zip(records, ready, strict=True)]

    def delete_pairs(self, object_name: str, ids: Sequence[str]) -> list[WriteResult]:
        """Take labels off pairs, by the ids of their rows: see `associations.row_id`. Without its plain type a pair is parted."""
        source, target = association_pair(object_name) or ("", "")
        rows = [_parsed(i) for i in ids]
        inputs = [_input(row.from_id, row.to_id, row.type_id, row.category) for row in rows]
        failed = self._batches(source, target, "labels/archive", inputs)
        return [WriteResult(i, i, error=failed.get((r.from_id, r.to_id))) for i, r in zip(ids, rows, strict=True)]

    def _batches(self, source: str, target: str, action: str, inputs: Sequence[Input]) -> Failed:
        failed: Failed = {}
        for start in range(0, len(inputs), ASSOCIATION_WRITE_SIZE):
            chunk = inputs[start : start + ASSOCIATION_WRITE_SIZE]
            failed |= self._batch(f"/crm/v4/associations/{source}/{target}/batch/{action}", chunk, f"{source}:{target}")
        return failed

    def _batch(self, address: str, inputs: Sequence[Input], name: str) -> Failed:
        reply = self._portal.request("POST", address, json={"inputs": inputs}, idempotent=True, accept={400, 404, 409})
        if reply.status < 400:
            payload = reply.json() if reply.content else {}
            return errors_of(payload, inputs, name)
        if len(inputs) == 1:
            return dict.fromkeys(_pairs(inputs[0]), record_error(reply.json(), name))
        middle = len(inputs) // 2
        return self._batch(address, inputs[:middle], name) | self._batch(address, inputs[middle:], name)


def _ends(from_id: str, to_id: str) -> Input:
    return {"from": {"id": from_id}, "to": {"id": to_id}}


def _ends_many(from_id: str, to_ids: Sequence[str]) -> Input:
    return {"from": {"id": from_id}, "to": [{"id": to_id} for to_id in to_ids]}


def _input(from_id: str, to_id: str, type_id: Any, category: str) -> Input:
    types = [{"associationCategory": category, "associationTypeId": int(type_id)}] if type_id else []
    return {**_ends(from_id, to_id), "types": types}


def _bare(given: Input) -> Input:
    return {"from": given["from"], "to": given["to"]}


def _pairs(given: Input) -> list[Pair]:
    """The pairs that one input is about."""
    to = given["to"] if isinstance(given["to"], list) else [given["to"]]
    return [(str(given["from"]["id"]), str(end["id"])) for end in to]


def by_record(failed: Failed) -> dict[str, SynclineError]:
    """The first error of each record of the first object."""
    return {pair[0]: error for pair, error in reversed(failed.items())}


def errors_of(payload: Mapping[str, Any], inputs: Sequence[Input], name: str) -> Failed:
    """Errors of a 207 by pair. One that tells both ends is about that pair, one that tells ids about every pair with one
    of them, and one that tells none about all."""
    failed: Failed = {}
    for error in payload.get("errors") or ():
        about = _about(error.get("context") or {})
        failed |= {p: record_error(error, name) for given in inputs for p in _pairs(given) if about(p)}
    return failed


def _about(context: Mapping[str, Any]) -> Callable[[Pair], bool]:
    named = {key: {str(i) for i in ids} for key, ids in context.items() if isinstance(ids, list)}
    ends = [named.get(key) for key in _ENDS]
    if any(ends):
        return lambda pair: all(not ids or i in ids for i, ids in zip(pair, ends, strict=True))
    ids = named.get("ids") or set()
    return lambda pair: not ids or bool(ids & set(pair))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an association object. ``type_id`` '': the plain type."""

    from_id: str
    to_id: str
    type_id: str
    category: str


def _row_of(record: Outgoing) -> Row:
    found = {n: str(record.values.get(n) or "") for n in ("from_id", "to_id", "type_id", "category")}
    return Row(found["from_id"], found["to_id"], found["type_id"], found["category"] or DEFINED)


def _parsed(text: str) -> Row:
    """The row that an id names. Raises ConfigurationError."""
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts):
        raise ConfigurationError("This is not the id of an association.", remedy="Give the id as it was read.")
    return Row(parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else DEFINED)


def _pair_result(record: Outgoing, row: Row, failed: Failed, name: str) -> WriteResult:
    if not (row.from_id and row.to_id):
        missing = RecordRejectedError(
            f"An association lacks one of its two ends. Object: {name}.", code="invalid_record"
        )
        return WriteResult(record.key, record.vendor_id, error=missing)
    vendor_id = record.vendor_id or row_id(row.from_id, row.to_id, row.type_id, row.category)
    return WriteResult(record.key, vendor_id, error=failed.get((row.from_id, row.to_id)))
