"""Bulk API 2.0 ingest: thousands of records in one job, each one's outcome matched back to it.

Only writes that can be repeated go this way (by external id, or by id): results come in no particular order, and only a
key in the record itself leads back to it.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/walkthrough_bulk_2_0.htm
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.salesforce.bulk import Polling, await_job
from connectors.salesforce.errors import bulk_fault, record_error
from connectors.salesforce.org import Org
from connectors.salesforce.tabular import UPLOAD_BYTES_MAX, cell, read_rows, write_csv
from domain.errors import SynclineError, TransientError
from domain.records import Outgoing, WriteResult


class IngestJobs:
    """Ingest jobs of one org."""

    def __init__(self, org: Org, polling: Polling, bytes_max: int = UPLOAD_BYTES_MAX) -> None:
        self._org = org
        self._polling = polling
        self._bytes_max = bytes_max

    def write(self, object_name: str, records: Sequence[Outgoing], key: str) -> list[WriteResult]:
        """Update by ``Id`` or upsert by the external id ``key``; one result a record, in the order given."""
        rows = [_row(record, key) for record in records]
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        results: list[WriteResult] = []
        for content, count in write_csv(rows, columns, bytes_max=self._bytes_max):
            part = range(len(results), len(results) + count)
            results += self._job(object_name, key, content, [records[i] for i in part], [rows[i] for i in part])
        return results

    def _job(
        self, object_name: str, key: str, content: bytes, records: Sequence[Outgoing], rows: Sequence[Mapping[str, Any]]
    ) -> list[WriteResult]:
        path = self._start(object_name, key, content)
        job = await_job(self._org, path, self._polling)
        waiting: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            waiting[cell(row[key]).lower()].append(index)
        results: dict[int, WriteResult] = {}
        for outcome in self._outcomes(path, job):
            places = waiting.get(outcome.get(key.lower(), "").lower())
            if places:
                index = places.pop(0)
                results[index] = _result(records[index], outcome, object_name)
        lost = TransientError("Salesforce ended the bulk job before it came to this record.")
        return [results.get(i) or WriteResult(r.key, r.vendor_id, error=lost) for i, r in enumerate(records)]

    def _start(self, object_name: str, key: str, content: bytes) -> str:
        body: dict[str, str] = {
            "object": object_name,
            "operation": "update" if key == "Id" else "upsert",
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        if key != "Id":
            body["externalIdFieldName"] = key
        # A job that was created twice and never closed does nothing.
        created = self._org.request("POST", self._org.path("jobs/ingest"), json=body, idempotent=True).json()
        path = self._org.path(f"jobs/ingest/{created['id']}")
        try:
            self._org.request(
                "PUT", f"{path}/batches", content=content, headers={"Content-Type": "text/csv"}, idempotent=False
            )
        except SynclineError as error:
            error.context["ambiguous"] = False  # what was uploaded is only worked on once the job is closed
            raise
        closed = self._org.request("PATCH", path, json={"state": "UploadComplete"}, idempotent=True, accept=(400, 409))
        if closed.status >= 400 and self._org.request("GET", path).json()["state"] == "Open":
            raise TransientError("Salesforce did not accept the end of an upload.")
        return path

    def _outcomes(self, path: str, job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """Rows of the result files, columns in lower case; files that must be empty cost no call."""
        failed = int(job.get("numberRecordsFailed") or 0)
        if failed < int(job.get("numberRecordsProcessed") or 0):
            yield from self._rows(f"{path}/successfulResults")
        if failed:
            yield from self._rows(f"{path}/failedResults")

    def _rows(self, path: str) -> Iterator[dict[str, str]]:
        reply = self._org.request("GET", path, headers={"Accept": "text/csv"})
        lines = read_rows(io.StringIO(reply.content.decode("utf-8-sig"), newline=""))
        header = [name.lower() for name in next(lines, [])]
        for line in lines:
            yield dict(zip(header, line, strict=False))


def _row(record: Outgoing, key: str) -> dict[str, Any]:
    if key == "Id":
        return {"Id": record.vendor_id, **record.values}
    return {key: record.key, **record.values}


def _result(record: Outgoing, outcome: Mapping[str, str], object_name: str) -> WriteResult:
    if "sf__error" in outcome:
        error = record_error([bulk_fault(outcome["sf__error"])], object_name=object_name)
        return WriteResult(record.key, record.vendor_id, error=error)
    return WriteResult(record.key, outcome["sf__id"], created=outcome.get("sf__created", "").lower() == "true")
