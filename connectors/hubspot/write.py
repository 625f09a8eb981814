"""Writing records: batches of 100, one result a record, nothing ever doubled.

Every input carries an ``objectWriteTraceId``, which is the only thing that ties an error of a batch to its record.
https://developers.hubspot.com/docs/reference/api/other-resources/error-handling#multi-status-errors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.hubspot.errors import GONE, parse_fault, record_error
from connectors.hubspot.lifecycle import STAGE, Lifecycle, Moved
from connectors.hubspot.links import LinkWriter, split_links
from connectors.hubspot.objects import ASSOCIATED, BATCH_SIZE, ID_FIELD, association_pair
from connectors.hubspot.portal import Portal
from connectors.hubspot.records import Records, path
from connectors.hubspot.values import plain
from connectors.kit.http import Reply
from domain.errors import RecordRejectedError, SynclineError, TransientError
from domain.records import Outgoing, WriteResult

Results = list[WriteResult | None]
Answers = list[WriteResult]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record to write and its place in the caller's batch."""

    index: int
    record: Outgoing


_ABSENT = {"category": "OBJECT_NOT_FOUND"}
"""What HubSpot says of a record that is not there."""
Send = Callable[[list[Numbered]], Answers]


class Writer:
    """Writes to one account. ``modified_of`` names the property that holds an object's version."""

    def __init__(self, portal: Portal, modified_of: Callable[[str], str | None]) -> None:
        self._portal, self._modified_of = portal, modified_of
        self._records = Records(portal)
        self._links = LinkWriter(portal)
        self._lifecycle = Lifecycle(portal)

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsUpsert`.

        A record with ``vendor_id`` is updated; another is upserted by the unique property ``key_field`` (its own key where
        it has no value for it), or created where there is no key field. Fields ``associations.<object>`` make the
        record's associations read as the ids they list: see `links.decide`.
        """
        if association_pair(object_name) is not None:
            return self._links.write_pairs(object_name, records)
        results: Results = [None] * len(records)
        numbered = [Numbered(i, record) for i, record in enumerate(records)]
        updates = self._without_conflicts(object_name, [n for n in numbered if n.record.vendor_id], results)
        rest = [n for n in numbered if not n.record.vendor_id]
        others = self._upsert(object_name, key_field) if key_field else self._create(object_name)
        linking = [n for n in updates if _only_links(n.record)]
        properties = [n for n in updates if not _only_links(n.record)]
        calls = [(chunk, self._update(object_name)) for chunk in _chunks(properties)]
        calls += [(chunk, self._relink(object_name)) for chunk in _chunks(linking)]
        calls += [(chunk, others) for chunk in _chunks(rest)]
        self._send(calls, results)
        return [result for result in results if result is not None]

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsDelete`. Records are archived and can be restored for 90 days.

        What is gone or was merged away stays as it is: archiving by a merged record's id would archive the survivor.
        """
        if association_pair(object_name) is not None:
            return self._links.delete_pairs(object_name, vendor_ids)
        found = self._current(object_name, vendor_ids)
        here = {i for i, record in found.items() if i == str(record["id"])}
        results: Results = [None if i in here else WriteResult(i, i) for i in vendor_ids]
        numbered = [Numbered(n, Outgoing(i, {}, i)) for n, i in enumerate(vendor_ids) if i in here]
        self._send([(chunk, self._archive(object_name)) for chunk in _chunks(numbered)], results)
        return [result for result in results if result is not None]

    # ------------------------------------------------------------ calls

    def _send(self, calls: Sequence[tuple[list[Numbered], Send]], results: Results) -> None:
        """Make the calls. While nothing can have been written errors are raised; afterwards they are in the results."""
        stopped: SynclineError | None = None
        written = False
        for numbered, send in calls:
            if stopped is not None:
                _fill(results, numbered, _unsent(stopped))
                continue
            try:
                answers = send(numbered)
            except SynclineError as error:
                stopped = error
                if not written and not error.context.get("ambiguous"):
                    raise
                _fill(results, numbered, error)
                continue
            written = True
            for entry, answer in zip(numbered, answers, strict=True):
                results[entry.index] = answer

    def _update(self, object_name: str) -> Send:
        return self._batch(object_name, "update", lambda n: {"id": n.record.vendor_id}, idempotent=True)

    def _upsert(self, object_name: str, key_field: str) -> Send:
        """https://developers.hubspot.com/docs/guides/api/crm/objects/contacts#upsert-contacts"""

        def head(entry: Numbered) -> dict[str, Any]:
            return {"id": str(entry.record.values.get(key_field) or entry.record.key), "idProperty": key_field}

        return self._batch(object_name, "upsert", head, idempotent=True)

    def _create(self, object_name: str) -> Send:
        """Without a key a lost answer leaves open whether the records exist: the error says so, nothing is repeated."""
        return self._batch(object_name, "create", lambda _entry: {}, idempotent=False)

    def _batch(
        self, object_name: str, action: str, head: Callable[[Numbered], Mapping[str, Any]], *, idempotent: bool
    ) -> Send:
        def send(numbered: list[Numbered]) -> Answers:
            inputs = [_input(head(entry), entry) for entry in numbered]
            reply = self._portal.request(
                "POST",
                f"{path(object_name)}/batch/{action}",
                json={"inputs": inputs},
                idempotent=idempotent,
                accept={400, 404, 409},
            )
            if reply.status >= 400:
                return self._refused(reply, numbered, send, object_name)
            answers = _matched(numbered, inputs, reply.json(), object_name, action, self._modified_of(object_name))
            return self._linked(object_name, numbered, self._staged(object_name, numbered, answers))

        return send

    def _staged(self, object_name: str, numbered: list[Numbered], answers: Answers) -> Answers:
        """Lifecycle stages that were to go back: see `lifecycle`."""
        wanted = {
            answer.vendor_id: plain(entry.record.values[STAGE])
            for entry, answer in zip(numbered, answers, strict=True)
            if answer.ok and not answer.created and answer.vendor_id and entry.record.values.get(STAGE)
        }
        moved = self._lifecycle.hold(object_name, wanted) if wanted else {}
        modified = self._modified_of(object_name) if moved else None
        return [_after_move(a, moved[a.vendor_id], modified) if a.vendor_id in moved else a for a in answers]

    def _refused(self, reply: Reply, numbered: list[Numbered], send: Send, object_name: str) -> Answers:
        """A batch refused whole was not written. Unless its errors name their records, halves find the guilty ones."""
        payload = _object(reply)
        named = _errors_by_trace(payload)
        blamed = [entry for entry in numbered if str(entry.index) in named]
        if len(numbered) == 1:
            blamed = numbered
            named = {str(numbered[0].index): named.get(str(numbered[0].index), payload)}
        if blamed and len(blamed) == len(numbered):
            return [_failed(entry, named[str(entry.index)], object_name) for entry in numbered]
        first = blamed or numbered[: len(numbered) // 2]
        second = [entry for entry in numbered if entry not in first]
        done = {n.index: _failed(n, named[str(n.index)], object_name) for n in blamed}
        for part in [second] if blamed else [first, second]:
            done |= {n.index: answer for n, answer in zip(part, self._part(part, send), strict=True)}
        return [done[entry.index] for entry in numbered]

    def _part(self, part: list[Numbered], send: Send) -> Answers:
        """One part of a batch; the other may be written already, so that what stops this one is each record's error."""
        try:
            return send(part)
        except SynclineError as error:
            return [WriteResult(n.record.key, n.record.vendor_id, error=error) for n in part]

    def _relink(self, object_name: str) -> Send:
        """Records of which only associations are written: an update without properties is no call HubSpot documents."""

        def send(numbered: list[Numbered]) -> Answers:
            found = self._current(object_name, [n.record.vendor_id or "" for n in numbered])
            answers = [self._found(object_name, n.record, found.get(n.record.vendor_id or "")) for n in numbered]
            return self._linked(object_name, numbered, answers)

        return send

    def _found(self, object_name: str, record: Outgoing, held: Mapping[str, Any] | None) -> WriteResult:
        if held is None:
            return WriteResult(record.key, record.vendor_id, error=record_error(_ABSENT, object_name))
        return WriteResult(record.key, str(held["id"]), False, _version(held, self._modified_of(object_name)))

    def _linked(self, object_name: str, numbered: list[Numbered], answers: Answers) -> Answers:
        """Associate what was written with what it belongs to. HubSpot may change records by that: they are read again."""
        wanted = [
            (answer.vendor_id or "", split_links(entry.record.values)[1])
            for entry, answer in zip(numbered, answers, strict=True)
            if answer.ok
        ]
        wanted = [(record_id, links) for record_id, links in wanted if record_id and links]
        if not wanted:
            return answers
        new = {a.vendor_id for a in answers if a.created and a.vendor_id}
        failed = self._links.write(object_name, wanted, new)
        current = self._current(object_name, [record_id for record_id, _ in wanted])
        modified = self._modified_of(object_name)
        versions = {record_id: _version(record, modified) for record_id, record in current.items()}
        return [
            replace(a, version=versions.get(a.vendor_id, a.version), error=failed.get(a.vendor_id))
            if a.ok and a.vendor_id is not None
            else a
            for a in answers
        ]

    def _current(self, object_name: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        modified = self._modified_of(object_name) if ids else None
        return self._records.current(object_name, ids, (modified,) if modified else ())

    def _archive(self, object_name: str) -> Send:
        def send(numbered: list[Numbered]) -> Answers:
            inputs = [{"id": entry.record.key} for entry in numbered]
            reply = self._portal.request(
                "POST",
                f"{path(object_name)}/batch/archive",
                json={"inputs": inputs},
                idempotent=True,
                accept={400, 404, 409},
            )
            if reply.status < 400:
                return [WriteResult(n.record.key, n.record.key) for n in numbered]
            fault = parse_fault(reply.status, reply.headers, reply.content)
            if len(numbered) == 1 and (reply.status == 404 or (fault and fault.code in GONE)):
                return [WriteResult(numbered[0].record.key, numbered[0].record.key)]
            return self._refused(reply, numbered, send, object_name)

        return send

    # ------------------------------------------------------------ somebody else's changes

    def _without_conflicts(self, object_name: str, numbered: list[Numbered], results: Results) -> list[Numbered]:
        """Leaves out records that somebody changed since ``expected_version``. HubSpot has no conditional write."""
        checked = [n for n in numbered if n.record.expected_version]
        modified = self._modified_of(object_name) if checked else None
        if modified is None:
            return numbered
        found = self._current(object_name, [n.record.vendor_id or "" for n in checked])
        current = {i: record["properties"].get(modified) for i, record in found.items()}
        conflicts = set()
        for entry in checked:
            known = current.get(entry.record.vendor_id or "")
            if known is not None and known != entry.record.expected_version:
                conflicts.add(entry.index)
                _fill(results, [entry], _newer(object_name))
        return [n for n in numbered if n.index not in conflicts]


# ---------------------------------------------------------------- requests and replies


def _input(head: Mapping[str, Any], entry: Numbered) -> dict[str, Any]:
    values, _links = split_links(entry.record.values)
    properties = {name: plain(value) for name, value in values.items() if name != ID_FIELD}
    key = head.get("idProperty")
    if key is not None:
        properties[key] = head["id"]
    return {**head, "properties": properties, "objectWriteTraceId": str(entry.index)}


def _after_move(answer: WriteResult, moved: Moved, modified: str | None) -> WriteResult:
    version = _version(moved.record, modified) if moved.record else answer.version
    return replace(answer, version=version, error=moved.error)


def _only_links(record: Outgoing) -> bool:
    """Whether a record has nothing to write but associations."""
    return bool(record.values) and all(name.startswith(ASSOCIATED) for name in record.values)


def _matched(
    numbered: Sequence[Numbered],
    inputs: Sequence[Mapping[str, Any]],
    payload: Mapping[str, Any],
    object_name: str,
    action: str,
    modified: str | None,
) -> Answers:
    """One result a record: results come in any order and know their input by trace id, id or key."""
    by_trace = {str(r["objectWriteTraceId"]): r for r in payload.get("results") or () if r.get("objectWriteTraceId")}
    by_name = _by_name(payload.get("results") or (), inputs)
    errors = _errors_by_trace(payload) | _errors_by_id(payload, inputs)
    answers = []
    for entry, sent in zip(numbered, inputs, strict=True):
        trace = str(entry.index)
        found = by_trace.get(trace) or by_name.get(str(sent.get("id") or "").casefold())
        if found is None and trace in errors:
            answers.append(_failed(entry, errors[trace], object_name))
        elif found is None:
            answers.append(
                WriteResult(entry.record.key, entry.record.vendor_id, error=_unanswered(object_name, action))
            )
        else:
            created = action == "create" or bool(found.get("new"))
            answers.append(WriteResult(entry.record.key, str(found["id"]), created, _version(found, modified)))
    return answers


def _by_name(results: Sequence[Mapping[str, Any]], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Results by the id or key that their input went by; none for inputs that had neither."""
    keys = {str(sent["idProperty"]) for sent in inputs if "idProperty" in sent}
    if not keys:
        return {str(r["id"]): r for r in results}
    return {str((r.get("properties") or {}).get(key) or "").casefold(): r for r in results for key in keys}


def _errors_by_trace(payload: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for error in (*(payload.get("errors") or ()), payload):
        context = error.get("context") if isinstance(error, Mapping) else None
        for trace in (context.get("objectWriteTraceId") or ()) if isinstance(context, Mapping) else ():
            found.setdefault(str(trace), error)
    return found


def _errors_by_id(payload: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Errors such as a record's absence name ids instead of traces."""
    traces = {str(sent["id"]): str(sent["objectWriteTraceId"]) for sent in inputs if sent.get("id")}
    return {
        traces[str(record_id)]: error
        for error in payload.get("errors") or ()
        for record_id in (error.get("context") or {}).get("ids") or ()
        if str(record_id) in traces
    }


def _version(found: Mapping[str, Any], modified: str | None) -> str | None:
    stamp = (found.get("properties") or {}).get(modified) if modified else None
    return str(stamp or found.get("updatedAt") or "") or None


def _object(reply: Reply) -> Mapping[str, Any]:
    payload = reply.json()
    return payload if isinstance(payload, Mapping) else {}


def _failed(entry: Numbered, payload: Mapping[str, Any], object_name: str) -> WriteResult:
    return WriteResult(entry.record.key, entry.record.vendor_id, error=record_error(payload, object_name))


def _unanswered(object_name: str, action: str) -> SynclineError:
    return TransientError(
        f"HubSpot's reply says nothing of a record that it was sent. Object: {object_name}.",
        remedy="It is looked up before it is sent again.",
        code="bad_reply",
        context={"object": object_name, "ambiguous": action == "create"},
    )


def _newer(object_name: str) -> RecordRejectedError:
    return RecordRejectedError(
        f"HubSpot has a newer version of the record. Object: {object_name}.",
        remedy="Read the record again before writing it.",
        code="conflict",
        context={"object": object_name},
    )


def _unsent(cause: SynclineError) -> TransientError:
    return TransientError(
        "The record was not sent, because the call before it failed.", context={"cause": cause.code, "ambiguous": False}
    )


def _fill(results: Results, numbered: Sequence[Numbered], error: SynclineError) -> None:
    for entry in numbered:
        results[entry.index] = WriteResult(entry.record.key, entry.record.vendor_id, error=error)


def _chunks(numbered: list[Numbered]) -> list[list[Numbered]]:
    return [numbered[start : start + BATCH_SIZE] for start in range(0, len(numbered), BATCH_SIZE)]
