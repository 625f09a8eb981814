"""Bulk API 2.0: jobs that go from state to state as time passes, and do their work when they are first seen complete.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0.htm
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce.bulk_csv import NULL, read_csv, wrong_line_end
from sandbox.salesforce.clock import Clock, stamp
from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.ids import to18
from sandbox.salesforce.org import Org
from sandbox.salesforce.query import QueryRun, Result
from sandbox.salesforce.schema import COMPOUND_TYPES
from sandbox.salesforce.soql_ast import Call, Path, Query
from sandbox.salesforce.write import Writer

KEPT = timedelta(days=7)
LARGEST_UPLOAD = 150_000_000
RECORDS_A_BATCH = 10_000
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")


@dataclass(slots=True)
class Job:
    """One query or ingest job. ``closed`` is when it had everything to begin: at creation for a query."""

    id: str
    operation: str
    object: str
    created: datetime
    user_id: str
    version: str
    delimiter: str = "COMMA"
    line_end: str = "LF"
    query: str = ""
    key: str = ""
    data: bytes | None = None
    closed: datetime | None = None
    ended: str = ""
    error: str = ""
    result: Result | None = None
    header: list[str] = field(default_factory=list)
    succeeded: list[Sequence[str]] = field(default_factory=list)
    failed: list[Sequence[str]] = field(default_factory=list)
    unprocessed: list[Sequence[str]] = field(default_factory=list)

    @property
    def is_query(self) -> bool:
        return self.operation in {"query", "queryAll"}


@dataclass(slots=True)
class BulkJobs:
    """Every job of the org. ``duration`` is how long a job takes: a third of it waiting, the rest at work."""

    org: Org
    clock: Clock
    duration: timedelta = timedelta(milliseconds=300)
    jobs: dict[str, Job] = field(default_factory=dict)

    # ------------------------------------------------------------ life of a job

    def create_query(self, body: dict[str, Any], user_id: str, version: str) -> Job:
        """Raises ApiError for a query that can't be run in bulk."""
        operation, text = str(body.get("operation", "")), str(body.get("query", ""))
        if operation not in {"query", "queryAll"}:
            raise ApiError("INVALIDJOB", f"Invalid operation for a query job: {operation}")
        run = QueryRun(self.org, text, operation == "queryAll")
        source = self.org.object(run.query.source.names[-1])
        refuse_in_bulk(run.query, self.org)
        run.check()
        job = self._new(body, operation, source.name, user_id, version)
        job.query, job.closed = text, job.created
        return job

    def create_ingest(self, body: dict[str, Any], user_id: str, version: str) -> Job:
        operation = str(body.get("operation", ""))
        if operation not in OPERATIONS:
            raise ApiError("INVALIDJOB", f"Invalid operation for an ingest job: {operation}")
        source = self.org.object(str(body.get("object", "")))
        if not source.bulk:
            raise ApiError("INVALIDENTITY", f"Entity '{source.name}' is not supported by the Bulk API.")
        key = str(body.get("externalIdFieldName") or "")
        if operation == "upsert":
            found = self.org.field(source, key)
            if found is None or not (found.external_id or found.type == "id"):
                raise ApiError(
                    "INVALIDJOB",
                    "InvalidJob : Field name provided does not match an External ID, Salesforce Id, or indexed field",
                )
        job = self._new(body, operation, source.name, user_id, version)
        job.key = key
        return job

    def _new(self, body: dict[str, Any], operation: str, kind: str, user_id: str, version: str) -> Job:
        delimiter, line_end = str(body.get("columnDelimiter") or "COMMA"), str(body.get("lineEnding") or "LF")
        if delimiter not in {"COMMA", "TAB", "SEMICOLON", "PIPE", "CARET", "BACKQUOTE"} or line_end not in {
            "LF",
            "CRLF",
        }:
            raise ApiError("INVALIDJOB", f"unknown columnDelimiter {delimiter} or lineEnding {line_end}")
        job = Job(self.org.ids.next("750"), operation, kind, self.clock.now(), user_id, version, delimiter, line_end)
        self.jobs[job.id] = job
        return job

    def get(self, job_id: str, query: bool) -> Job:
        """The job, brought up to now. Raises 404 when it is unknown, of the other kind, or older than seven days."""
        job = self.jobs.get(to18(job_id) or job_id)
        if job is None or job.is_query != query or self.clock.now() - job.created > KEPT:
            raise not_found("The requested resource does not exist")
        if self.state(job) == "JobComplete" and not job.ended:
            self._finish(job)
        return job

    def state(self, job: Job) -> str:
        if job.ended:
            return job.ended
        if job.closed is None:
            return "Open"
        age = self.clock.now() - job.closed
        if age < self.duration / 3:
            return "UploadComplete"
        return "InProgress" if age < self.duration else "JobComplete"

    def upload(self, job: Job, data: bytes) -> None:
        if self.state(job) != "Open":
            raise ApiError("INVALIDJOBSTATE", f"Job state {self.state(job)} does not allow uploads")
        if job.data is not None:
            message = (
                f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the current Job then create a "
                "new Job and make sure you only do 'PUT' once on a given Job."
            )
            raise ApiError("INVALIDBATCH", message)
        if len(data) > LARGEST_UPLOAD:
            raise ApiError("CLIENT_INPUT_ERROR", f"Upload is larger than the maximum of {LARGEST_UPLOAD} bytes", 413)
        job.data = data

    def set_state(self, job: Job, state: str) -> None:
        if state == "Aborted" and self.state(job) != "JobComplete":
            job.ended = "Aborted"
        elif state == "UploadComplete" and not job.is_query and self.state(job) == "Open":
            job.closed = self.clock.now()
        else:
            raise ApiError("INVALIDJOBSTATE", f"Can't change the state of a job that is {self.state(job)} to {state}")

    def delete(self, job: Job) -> None:
        if self.state(job) not in {"JobComplete", "Aborted", "Failed"} and not (
            not job.is_query and self.state(job) == "Open"
        ):
            raise ApiError("INVALIDJOBSTATE", "Job not in a state that allows deletion: abort it first")
        del self.jobs[job.id]

    # ------------------------------------------------------------ the work

    def _finish(self, job: Job) -> None:
        job.ended = "JobComplete"
        if job.is_query:
            job.result = QueryRun(self.org, job.query, job.operation == "queryAll").run()
            return
        data = job.data or b""
        try:
            if wrong_line_end(data, job.line_end):
                raise ValueError(f"LineEnding is invalid on user data. Current LineEnding setting is {job.line_end}")
            job.header, rows = read_csv(data, job.delimiter)
        except ValueError as error:
            job.ended, job.error = "Failed", f"InvalidBatch : {error}"
            return
        writer = Writer(self.org, job.user_id)
        for row in rows:
            self._write(job, writer, row)

    def _write(self, job: Job, writer: Writer, row: list[str]) -> None:
        values = nested(job.header, row)
        try:
            record_id, new = self._save(job, writer, values)
        except ApiError as error:
            given = values.get("Id") or values.get("id") or ""
            fields = ",".join(error.fields or ())
            job.failed.append((str(given), f"{error.code}:{error.message}:{fields} --", *row))
            return
        job.succeeded.append((record_id, "true" if new else "false", *row))

    def _save(self, job: Job, writer: Writer, values: dict[str, Any]) -> tuple[str, bool]:
        record_id = str(values.pop("Id", None) or values.pop("id", None) or "")
        if job.operation == "insert":
            return writer.insert(job.object, values), True
        if job.operation == "update":
            return writer.update(job.object, record_id, values), False
        if job.operation in {"delete", "hardDelete"}:
            return writer.delete(job.object, record_id), False
        if job.key.lower() == "id":
            return (
                (writer.update(job.object, record_id, values), False)
                if record_id
                else (writer.insert(job.object, values), True)
            )
        key = next((name for name in values if name.lower() == job.key.lower()), job.key)
        value = values.pop(key, None)
        if not value:
            raise ApiError("MISSING_ARGUMENT", f"{job.key} not specified")
        return writer.upsert(job.object, job.key, value, values)

    # ------------------------------------------------------------ what is shown

    def info(self, job: Job, full: bool = True) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.object,
            "createdById": job.user_id,
            "createdDate": stamp(job.created),
            "systemModstamp": stamp(job.closed or job.created),
            "state": self.state(job),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.line_end,
            "columnDelimiter": job.delimiter,
        }
        if not job.is_query:
            body["contentUrl"] = f"services/data/v{job.version}/jobs/ingest/{job.id}/batches"
            if job.key:
                body["externalIdFieldName"] = job.key
        return body | (self._progress(job) if full else {})

    def _progress(self, job: Job) -> dict[str, Any]:
        took = int(self.duration.total_seconds() * 1000) if job.ended else 0
        body: dict[str, Any] = {
            "jobType": "V2Query" if job.is_query else "V2Ingest",
            "retries": 0,
            "totalProcessingTime": took,
        }
        if job.is_query:
            body["numberRecordsProcessed"] = job.result.total if job.result else 0
        else:
            body["numberRecordsProcessed"] = len(job.succeeded) + len(job.failed)
            body |= {"numberRecordsFailed": len(job.failed), "apiActiveProcessingTime": took, "apexProcessingTime": 0}
        return body | ({"errorMessage": job.error} if job.error else {})


def nested(header: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """A CSV row as a record: empty cells are left out, ``#N/A`` blanks a field, ``Account.ERP__c`` is a relationship."""
    values: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        if cell == "":
            continue
        value = None if cell == NULL else cell
        if "." in name:
            relation, key = name.split(".", 1)
            kind, _, relation = relation.rpartition(":")  # ``Owner:User`` style: the object, then the relationship
            values[relation] = {**({"attributes": {"type": kind}} if kind else {}), key: value}
        else:
            values[name] = value
    return values


def refuse_in_bulk(query: Query, org: Org) -> None:
    """What SOQL a bulk query can't have: aggregates, grouping, OFFSET, TYPEOF, sub-selects, compound and binary fields."""
    source = org.object(query.source.names[-1])
    if not source.bulk:
        raise ApiError("INVALIDENTITY", f"Entity '{source.name}' is not supported by the Bulk API.")
    if query.group or query.offset or any(not isinstance(s, Path | Call) for s in query.select):
        raise ApiError(
            "FUNCTIONALITY_NOT_ENABLED", "GROUP BY, OFFSET, TYPEOF and sub-selects are not supported in Bulk Query"
        )
    for item in query.select:
        if isinstance(item, Call):
            raise ApiError("FUNCTIONALITY_NOT_ENABLED", f"{item.function}() is not supported in Bulk Query")
        found = source.find(item.names[0]) if isinstance(item, Path) and len(item.names) == 1 else None
        if found is not None and found.type in COMPOUND_TYPES:
            raise ApiError("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")
        if found is not None and found.type == "base64":
            raise ApiError(
                "FUNCTIONALITY_NOT_ENABLED", f"Selecting binary data ({found.name}) not supported in Bulk Query"
            )
