"""Bulk API 2.0 over HTTP.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0.htm
"""

from __future__ import annotations

import base64
import binascii

from sandbox.kit.wire import Reply
from sandbox.salesforce.bulk import RECORDS_A_BATCH, BulkJobs, Job
from sandbox.salesforce.bulk_csv import write_csv
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.routes.rest import DATA
from sandbox.salesforce.values import csv_text
from sandbox.salesforce.wire import Call, Router

LARGEST_PAGE = 250_000
CSV = "text/csv"


def register(router: Router) -> None:
    jobs = DATA + "/jobs/{kind}"
    router.add("POST", jobs, "bulk_create")(create)
    router.add("GET", jobs, "bulk_list")(list_jobs)
    router.add("GET", jobs + "/{id}", "bulk_poll")(info)
    router.add("PATCH", jobs + "/{id}", "bulk_state")(set_state)
    router.add("DELETE", jobs + "/{id}", "bulk_delete")(delete)
    router.add("GET", DATA + "/jobs/query/{id}/results", "bulk_results")(results)
    router.add("PUT", DATA + "/jobs/ingest/{id}/batches", "bulk_upload")(upload)
    router.add(
        "GET", DATA + "/jobs/ingest/{id}/(?P<which>successfulResults|failedResults|unprocessedrecords)", "bulk_results"
    )(outcome)


def _bulk(call: Call) -> BulkJobs:
    return call.sandbox.bulk


def _is_query(call: Call) -> bool:
    kind = call.path["kind"]
    if kind not in {"query", "ingest"}:
        raise ApiError("NOT_FOUND", "The requested resource does not exist", 404)
    return kind == "query"


def _job(call: Call, query: bool) -> Job:
    return _bulk(call).get(call.path["id"], query)


def create(call: Call) -> Reply:
    make = _bulk(call).create_query if _is_query(call) else _bulk(call).create_ingest
    job = make(call.request.json_object(), call.user_id, call.version)
    return Reply(json=_bulk(call).info(job, full=False))


def list_jobs(call: Call) -> Reply:
    wanted = _is_query(call)
    found = [_bulk(call).info(job) for job in _bulk(call).jobs.values() if job.is_query == wanted]
    return Reply(json={"done": True, "nextRecordsUrl": None, "records": found})


def info(call: Call) -> Reply:
    return Reply(json=_bulk(call).info(_job(call, _is_query(call))))


def set_state(call: Call) -> Reply:
    job = _job(call, _is_query(call))
    _bulk(call).set_state(job, str(call.request.json_object().get("state")))
    return Reply(json=_bulk(call).info(job, full=False))


def delete(call: Call) -> Reply:
    _bulk(call).delete(_job(call, _is_query(call)))
    return Reply(204)


def upload(call: Call) -> Reply:
    job = _job(call, query=False)
    if not call.request.headers.get("content-type", "").startswith(CSV):
        raise ApiError("INVALID_CONTENT_TYPE", "Job data must be sent with Content-Type: text/csv", 415)
    _bulk(call).upload(job, call.request.body)
    call.sandbox.limits.spend_batches(1 + call.request.body.count(b"\n") // RECORDS_A_BATCH)
    return Reply(201)


def results(call: Call) -> Reply:
    """A set of results as CSV; ``Sforce-Locator`` leads to the next one and is the text ``null`` at the end."""
    job = _job(call, query=True)
    if job.result is None:
        return Reply(204)
    start = _offset(call.request.query.get("locator"))
    size = min(int(call.request.query.get("maxRecords") or LARGEST_PAGE), LARGEST_PAGE)
    rows = job.result.rows[start : start + size]
    names = [name for name, _ in job.result.columns]
    getters = [get for _, get in job.result.columns]
    body = write_csv(names, ([csv_text(get(row)) for get in getters] for row in rows), job.delimiter, job.line_end)
    more = start + size < len(job.result.rows)
    headers = {"Sforce-NumberOfRecords": str(len(rows)), "Sforce-Locator": _locator(start + size) if more else "null"}
    return Reply(body=body, content_type=CSV, headers=headers)


def _locator(offset: int) -> str:
    return base64.b64encode(str(offset).encode()).decode().rstrip("=")


def _offset(locator: str | None) -> int:
    if not locator or locator == "null":
        return 0
    try:
        return int(base64.b64decode(locator + "=" * (-len(locator) % 4)))
    except (binascii.Error, ValueError) as error:
        raise ApiError("INVALID_LOCATOR", f"Invalid locator: {locator}") from error


def outcome(call: Call) -> Reply:
    job = _job(call, query=False)
    which = call.path["which"]
    if which == "successfulResults":
        header, rows = ["sf__Id", "sf__Created", *job.header], job.succeeded
    elif which == "failedResults":
        header, rows = ["sf__Id", "sf__Error", *job.header], job.failed
    else:
        header, rows = job.header, job.unprocessed
    return Reply(body=write_csv(header, rows, job.delimiter, job.line_end), content_type=CSV)
