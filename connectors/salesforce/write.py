"""Writing records: collections of 200, one result a record, nothing ever doubled.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import orjson

from connectors.kit.http import Reply
from connectors.salesforce import soql
from connectors.salesforce.errors import GONE, faults, record_error, vendor_code, with_object
from connectors.salesforce.ingest import IngestJobs
from connectors.salesforce.objects import COLLECTION_SIZE, COMPOSITE_SIZE
from connectors.salesforce.org import Org, Part
from connectors.salesforce.tabular import NULL
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError, TransientError
from domain.records import Outgoing, WriteResult

INGEST_THRESHOLD = 10_000
"""Above it a bulk job costs fewer API calls than collections of 200 do."""

Answer = Mapping[str, Any]
Results = list[WriteResult | None]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record to write and its place in the caller's batch."""

    index: int
    record: Outgoing


@dataclass(frozen=True, slots=True)
class Step:
    """One record of a tree. ``parents``: field -> key of an earlier step whose new id goes into that field.

    With ``key_field`` the record is upserted by that external id, so that the step can be repeated safely.
    """

    object: str
    record: Outgoing
    parents: Mapping[str, str] = field(default_factory=dict)
    key_field: str | None = None


class Writer:
    """Writes to one org."""

    def __init__(self, org: Org, ingest: IngestJobs, ingest_threshold: int = INGEST_THRESHOLD) -> None:
        self._org = org
        self._ingest = ingest
        self._ingest_threshold = ingest_threshold

    # ------------------------------------------------------------ create, update, upsert

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsUpsert`.

        A record with ``vendor_id`` is updated; another is upserted by ``key_field`` (its own key where it has no value
        for it), or created where there is no key field.
        """
        soql.name(object_name)
        results: Results = [None] * len(records)
        numbered = [Numbered(i, record) for i, record in enumerate(records)]
        updates = self._without_conflicts(object_name, [n for n in numbered if n.record.vendor_id], results)
        rest = [n for n in numbered if not n.record.vendor_id]
        calls: list[tuple[list[Numbered], Callable[[list[Numbered]], list[WriteResult]]]] = []
        for group, key, send in (
            (updates, "Id", self._update(object_name)),
            (rest, key_field, self._upsert(object_name, key_field) if key_field else self._create(object_name)),
        ):
            large = key is not None and len(group) > self._ingest_threshold
            bulk = [n for n in group if large and _fits_csv(n.record)]
            if bulk and key is not None:
                calls.append((bulk, self._bulk(object_name, key)))
                group = [n for n in group if not _fits_csv(n.record)]
            calls += [(chunk, send) for chunk in _chunks(group)]
        self._send(calls, results, object_name)
        return [result for result in results if result is not None]

    def _send(
        self,
        calls: Sequence[tuple[list[Numbered], Callable[[list[Numbered]], list[WriteResult]]]],
        results: Results,
        object_name: str,
    ) -> None:
        """Make the calls. While nothing can have been written errors are raised; afterwards they are in the results."""
        stopped: SynclineError | None = None
        written = False
        for numbered, send in calls:
            if stopped is not None:
                self._fill(results, numbered, _unsent(stopped))
                continue
            try:
                answers = self._halving(numbered, send)
            except SynclineError as error:
                stopped = with_object(error, object_name)
                if not written and not error.context.get("ambiguous"):
                    raise
                self._fill(results, numbered, stopped)
                continue
            written = True
            for entry, answer in zip(numbered, answers, strict=True):
                results[entry.index] = answer

    def _halving(
        self, numbered: list[Numbered], send: Callable[[list[Numbered]], list[WriteResult]]
    ) -> list[WriteResult]:
        """A value of the wrong type makes Salesforce refuse the whole call unwritten: find the record that has it."""
        try:
            return send(numbered)
        except RecordRejectedError as error:
            if len(numbered) == 1:
                return [WriteResult(numbered[0].record.key, numbered[0].record.vendor_id, error=error)]
        middle = len(numbered) // 2
        return self._halving(numbered[:middle], send) + self._halving(numbered[middle:], send)

    def _fill(self, results: Results, numbered: Sequence[Numbered], error: SynclineError) -> None:
        for entry in numbered:
            results[entry.index] = WriteResult(entry.record.key, entry.record.vendor_id, error=error)

    def _upsert(self, object_name: str, key_field: str) -> Callable[[list[Numbered]], list[WriteResult]]:
        path = self._org.path(f"composite/sobjects/{object_name}/{soql.name(key_field)}")

        def send(numbered: list[Numbered]) -> list[WriteResult]:
            bodies = [_body(object_name, {key_field: n.record.key, **n.record.values}) for n in numbered]
            reply = self._collection("PATCH", path, bodies, idempotent=True)
            return _results(numbered, reply, object_name, lambda answer: bool(answer.get("created")))

        return send

    def _create(self, object_name: str) -> Callable[[list[Numbered]], list[WriteResult]]:
        """Without a key a lost answer leaves open whether the records exist: the error says so, and nothing is repeated."""

        def send(numbered: list[Numbered]) -> list[WriteResult]:
            bodies = [_body(object_name, n.record.values) for n in numbered]
            reply = self._collection("POST", self._org.path("composite/sobjects"), bodies, idempotent=False)
            return _results(numbered, reply, object_name, _always)

        return send

    def _update(self, object_name: str) -> Callable[[list[Numbered]], list[WriteResult]]:
        def send(numbered: list[Numbered]) -> list[WriteResult]:
            if len(numbered) == 1 and numbered[0].record.expected_version:
                return [self._update_unless_newer(object_name, numbered[0].record)]
            bodies = [_body(object_name, {**n.record.values, "Id": n.record.vendor_id}) for n in numbered]
            reply = self._collection("PATCH", self._org.path("composite/sobjects"), bodies, idempotent=True)
            return _results(numbered, reply, object_name, _never)

        return send

    def _update_unless_newer(self, object_name: str, record: Outgoing) -> WriteResult:
        """One record can be written on condition, so that nobody slips in between the comparison and the write."""
        expected = soql.parse_timestamp(record.expected_version or "")
        reply = self._org.request(
            "PATCH",
            self._org.path(f"sobjects/{object_name}/{quote(record.vendor_id or '', safe='')}"),
            content=orjson.dumps(_plain(record.values)),
            headers={
                "Content-Type": "application/json",
                "If-Unmodified-Since": format_datetime(expected, usegmt=True),
            },
            idempotent=True,
            accept=(400, 404, 412),
        )
        error: SynclineError | None = None
        if reply.status == 412:
            error = _newer(object_name)
        elif reply.status >= 400:
            error = record_error(faults(reply.json()), object_name=object_name)
        return WriteResult(record.key, record.vendor_id, created=False, error=error)

    def _without_conflicts(self, object_name: str, numbered: list[Numbered], results: Results) -> list[Numbered]:
        """Leaves out records that somebody changed since ``expected_version``, their results saying so."""
        checked = [n for n in numbered if n.record.expected_version]
        if not checked:
            return numbered
        if len(numbered) == 1:
            return numbered  # written on condition
        conflicts: set[int] = set()
        for chunk in _chunks(checked):
            current = self._versions(object_name, [n.record.vendor_id or "" for n in chunk])
            for entry in chunk:
                stamps = current.get((entry.record.vendor_id or "")[:15])
                if stamps and soql.parse_timestamp(entry.record.expected_version or "") not in stamps:
                    conflicts.add(entry.index)
                    self._fill(results, [entry], _newer(object_name))
        return [n for n in numbered if n.index not in conflicts]

    def _versions(self, object_name: str, ids: Sequence[str]) -> Mapping[str, frozenset[datetime]]:
        """When each record last changed: SystemModstamp, and LastModifiedDate, which a system process leaves alone."""
        fields = ("Id", "SystemModstamp", "LastModifiedDate")
        query = soql.select(object_name, fields, where=(soql.among("Id", ids),))
        return {
            str(record["Id"])[:15]: frozenset(soql.parse_timestamp(record[name]) for name in fields[1:] if record[name])
            for record in self._org.query_all(query)
        }

    def _bulk(self, object_name: str, key: str) -> Callable[[list[Numbered]], list[WriteResult]]:
        def send(numbered: list[Numbered]) -> list[WriteResult]:
            return self._ingest.write(object_name, [n.record for n in numbered], key)

        return send

    def _collection(self, method: str, path: str, bodies: Sequence[Any], *, idempotent: bool) -> Reply:
        content = orjson.dumps({"allOrNone": False, "records": bodies})
        return self._org.request(
            method, path, content=content, headers={"Content-Type": "application/json"}, idempotent=idempotent
        )

    # ------------------------------------------------------------ delete

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsDelete`."""
        records = [Outgoing(vendor_id, {}, vendor_id) for vendor_id in vendor_ids]
        results: Results = [None] * len(records)
        chunks = _chunks([Numbered(i, record) for i, record in enumerate(records)])
        self._send([(chunk, self._delete(object_name)) for chunk in chunks], results, object_name)
        return [result for result in results if result is not None]

    def _delete(self, object_name: str) -> Callable[[list[Numbered]], list[WriteResult]]:
        def send(numbered: list[Numbered]) -> list[WriteResult]:
            params = {"ids": ",".join(n.record.key for n in numbered), "allOrNone": "false"}
            reply = self._org.request("DELETE", self._org.path("composite/sobjects"), params=params, idempotent=True)
            results = _results(numbered, reply, object_name, _never)
            return [_gone_is_deleted(result) for result in results]

        return send

    # ------------------------------------------------------------ parents with their children

    def create_tree(self, steps: Sequence[Step], *, all_or_none: bool = True) -> list[WriteResult]:
        """Create records that refer to each other in one call, at most 25; one result a step, in order.

        Raises ConfigurationError for too many steps or a parent that doesn't come before its child, and TransientError
        with ``ambiguous`` when the answer was lost and not every step has a key field.
        """
        parts = list(self._parts(steps))
        idempotent = all(step.key_field for step in steps)
        answers = self._org.composite(parts, idempotent=idempotent, all_or_none=all_or_none) if parts else []
        return [_tree_result(step, answer) for step, answer in zip(steps, answers, strict=True)]

    def _parts(self, steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
        if len(steps) > COMPOSITE_SIZE:
            raise ConfigurationError(f"A tree of {len(steps)} records is too large.", remedy="At most 25 fit one call.")
        known: dict[str, str] = {}
        for number, step in enumerate(steps):
            missing = [key for key in step.parents.values() if key not in known]
            if missing:
                raise ConfigurationError(f"A {step.object} stands before its parent.", remedy="List parents first.")
            links = {name: f"@{{{known[key]}.id}}" for name, key in step.parents.items()}
            known[step.record.key] = f"step{number}"
            yield {"referenceId": f"step{number}", **self._part(step, {**step.record.values, **links})}

    def _part(self, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
        path = self._org.path(f"sobjects/{soql.name(step.object)}")
        body = _plain(values)
        if step.key_field is None:
            return {"method": "POST", "url": path, "body": body}
        value = str(body.pop(step.key_field, step.record.key))
        return {"method": "PATCH", "url": f"{path}/{soql.name(step.key_field)}/{quote(value, safe='')}", "body": body}


# ---------------------------------------------------------------- results


def _results(
    numbered: Sequence[Numbered], reply: Reply, object_name: str, created: Callable[[Answer], bool]
) -> list[WriteResult]:
    answers = reply.json()
    if len(answers) != len(numbered):
        raise TransientError("Salesforce answered for another number of records than it was sent.", code="bad_reply")
    return [_result(n.record, answer, object_name, created) for n, answer in zip(numbered, answers, strict=True)]


def _result(record: Outgoing, answer: Answer, object_name: str, created: Callable[[Answer], bool]) -> WriteResult:
    vendor_id = answer.get("id") or record.vendor_id
    if answer.get("success"):
        return WriteResult(record.key, vendor_id, created=created(answer))
    return WriteResult(record.key, record.vendor_id, error=record_error(faults(answer), object_name=object_name))


def _tree_result(step: Step, answer: Part) -> WriteResult:
    if not answer.ok:
        return WriteResult(step.record.key, error=record_error(faults(answer.body), object_name=step.object))
    body = answer.body or {}
    return WriteResult(step.record.key, body.get("id"), created=bool(body.get("created", answer.status == 201)))


def _always(_answer: Answer) -> bool:
    return True


def _never(_answer: Answer) -> bool:
    return False


def _gone_is_deleted(result: WriteResult) -> WriteResult:
    if isinstance(result.error, SynclineError) and vendor_code(result.error) in GONE:
        return WriteResult(result.key, result.vendor_id, created=False)
    return result


def _newer(object_name: str) -> RecordRejectedError:
    return RecordRejectedError(
        f"Salesforce has a newer version of the record. Object: {object_name}.",
        remedy="Read the record again before writing it.",
        code="conflict",
        context={"object": object_name},
    )


def _unsent(cause: SynclineError) -> TransientError:
    return TransientError(
        "The record was not sent, because the call before it failed.", context={"cause": cause.code, "ambiguous": False}
    )


# ---------------------------------------------------------------- values


def _chunks(numbered: list[Numbered]) -> list[list[Numbered]]:
    return [numbered[start : start + COLLECTION_SIZE] for start in range(0, len(numbered), COLLECTION_SIZE)]


def _body(object_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"attributes": {"type": object_name}, **_plain(values)}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON takes them; a decimal keeps every digit."""
    return {name: _json_value(value) for name, value in values.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    if isinstance(value, datetime):
        return soql.timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return ";".join(str(entry) for entry in value)
    return value


def _fits_csv(record: Outgoing) -> bool:
    """A nested value has no place in a CSV, and the text ``#N/A`` would blank the field."""
    return not any(isinstance(value, Mapping) or value == NULL for value in record.values.values())
