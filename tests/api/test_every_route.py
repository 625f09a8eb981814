"""What holds for every operation of the API, those of tomorrow included: the OpenAPI document is walked.

Whoever adds a route adds nothing here but, where it has a new path parameter, a way to make such a thing (`samples.FACTORIES`).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from bootstrap.error_codes import registry
from domain.access import PERMISSIONS
from storage import audit
from storage.database import Database
from tests.api.conftest import As, Client
from tests.api.samples import (
    BODILESS,
    FACTORIES,
    FREE,
    NO_PERMISSION,
    NOT_ALONE,
    PUBLIC,
    SHARED,
    UNSAFE,
    Operation,
    document,
    example,
    operations,
    resolved,
)

ALL = list(operations())
CLOSED = [o for o in ALL if o.id not in PUBLIC]
GUARDED = [o for o in CLOSED if o.id not in NO_PERMISSION]
WITH_IDS = [o for o in GUARDED if o.parameters]
WITH_BODY = [o for o in GUARDED if o.body is not None]
WITH_FIELDS = [o for o in WITH_BODY if o.id not in FREE]
CHANGING = [o for o in GUARDED if o.method in UNSAFE]


def each(chosen: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", chosen, ids=lambda o: o.id)


def ids_for(operation: Operation, db: Database, tenant_id: UUID) -> dict[str, str]:
    missing = [p for p in operation.parameters if p not in FACTORIES]
    assert not missing, f"tests.api.samples.FACTORIES makes no {missing}"
    return {name: FACTORIES[name](db, tenant_id) for name in operation.parameters}


def call(client: Client, operation: Operation, ids: dict[str, str], body: Any = None, **headers: str) -> Any:
    if body is None and operation.body is not None:
        body = example(operation.body)
    return client.request(operation.method, operation.address(ids), json=body, headers=headers, params=operation.query)


def test_operations_have_ids_of_their_own() -> None:
    names = [o.id for o in ALL]
    assert len(names) == len(set(names)) > 15


@each(ALL)
def test_an_operation_is_described(operation: Operation) -> None:
    told = operation.described
    assert told["summary"]
    assert told["description"].strip().endswith((".", ")", "?"))
    assert told["tags"]
    assert (operation.permission in PERMISSIONS) != (operation.id in {**PUBLIC, **NO_PERMISSION})
    good = [answer for status, answer in told["responses"].items() if status.startswith("2") and status != "204"]
    assert good or "204" in told["responses"]
    assert all("content" in answer for answer in good)
    for status in ("400", "401", "403", "404", "409", "413", "415", "422", "429", "503"):
        kinds = told["responses"][status]["content"]
        assert "application/problem+json" in kinds or (operation.id, status) == ("health_ready", "503")


@each(ALL)
def test_every_answer_has_an_example_that_fits_and_the_headers_that_come_with_it(operation: Operation) -> None:
    told, parts = operation.described["responses"], document()["components"]
    for status, answer in told.items():
        for kind, content in answer.get("content", {}).items():
            if status.startswith("2") and kind != "text/html":
                assert content.get("example"), kind
            if status.startswith("2") and kind == "application/json" and "schema" in content:
                Draft202012Validator({**content["schema"], "components": parts}).validate(content["example"])
            if int(status) >= 400 and operation.id != "health_ready":
                assert kind == "application/problem+json"
                shown = parts["examples"][content["examples"]["problem"]["$ref"].rsplit("/", 1)[-1]]["value"]
                Draft202012Validator({**content["schema"], "components": parts}).validate(shown)
                assert shown["code"] in registry()
        assert set(answer["headers"]) <= set(parts["headers"])
        assert "X-Request-Id" in answer["headers"]
        rated = status == "429" or (status[0] == "2" and "security" in operation.described)
        assert ("RateLimit-Remaining" in answer["headers"]) == rated
        assert ("Retry-After" in answer["headers"]) == (status in ("429", "503"))


def test_nothing_is_answered_as_a_table_whose_cells_a_spreadsheet_would_calculate() -> None:
    """Who adds an export as CSV makes its formulas harmless first, with a test, and then names the kind here."""
    kinds = {kind for o in ALL for answer in o.described["responses"].values() for kind in answer.get("content", {})}
    plain = {"application/json", "application/problem+json", "application/x-ndjson"}
    assert kinds <= plain | {"text/html", "text/plain", "text/event-stream"}


def test_what_is_told_of_etags_is_what_records_do() -> None:
    told = {o.id: o.described for o in ALL}
    for name, status in (("get_record", "304"), ("update_record", "412"), ("delete_record", "412")):
        assert status in told[name]["responses"]
        assert {"If-None-Match", "If-Match"} & {p["name"] for p in told[name]["parameters"]}
    assert all("ETag" in told[n]["responses"]["200"]["headers"] for n in ("get_record", "update_record"))


@each(WITH_BODY)
def test_a_body_has_an_example_that_fits_and_takes_nothing_unknown(operation: Operation) -> None:
    assert operation.body is not None
    schema = {**operation.body, "components": document()["components"]}
    Draft202012Validator(schema).validate(example(operation.body))
    assert validator_for(schema) is Draft202012Validator


@each(CLOSED)
def test_an_operation_refuses_callers_without_a_key(
    operation: Operation, app_client: Client, db: Database, tenant_id: UUID
) -> None:
    reply = call(app_client, operation, ids_for(operation, db, tenant_id))
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"] == "Bearer"


@each(GUARDED)
def test_an_operation_refuses_keys_without_its_permission(
    operation: Operation, as_: As, db: Database, tenant_id: UUID
) -> None:
    others = sorted(set(PERMISSIONS) - {operation.permission})
    reply = call(as_(operation.role, scopes=others), operation, ids_for(operation, db, tenant_id))
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert str(operation.permission) in reply.json()["detail"]


@each(WITH_IDS)
def test_an_operation_knows_no_ids_of_another_tenant(
    operation: Operation, as_: As, db: Database, other_tenant_id: UUID
) -> None:
    theirs = ids_for(operation, db, other_tenant_id)
    foreign = {name: str(uuid4()) if name in SHARED else value for name, value in theirs.items()}
    reply = call(as_(operation.role), operation, foreign)
    assert reply.status_code == 404, reply.text
    assert reply.json()["code"].startswith(("no_such_", "unknown_"))


@each(GUARDED)
def test_an_operation_refuses_a_tenant_that_the_caller_does_not_belong_to(
    operation: Operation, as_: As, db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    client = as_("tenant_admin")
    reply = call(client, operation, ids_for(operation, db, tenant_id), **{"Syncline-Tenant": str(other_tenant_id)})
    assert (reply.status_code, reply.json()["code"]) == (404, "no_such_tenant")


@each([o for o in ALL if o.method in {"post", "put", "patch"}])
def test_an_operation_says_what_body_it_takes(operation: Operation) -> None:
    body = operation.described.get("requestBody")
    assert (body is None) == (operation.id in BODILESS)
    if body is not None:
        assert all(content["schema"] for content in body["content"].values())


@each(WITH_FIELDS)
@pytest.mark.parametrize("field", ["tenant_id", "id", "created_by", "nonsense"])
def test_an_operation_takes_no_field_that_it_does_not_name(
    operation: Operation, field: str, as_: As, db: Database, tenant_id: UUID
) -> None:
    if field in resolved(operation.body or {}).get("properties", {}):
        pytest.skip("the operation names it")
    body = {**example(operation.body or {}), field: str(uuid4())}
    reply = call(as_(operation.role), operation, ids_for(operation, db, tenant_id), body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_request")
    assert f"body.{field}" in [error["at"] for error in reply.json()["errors"]]


@each(CHANGING)
def test_an_operation_that_changes_something_is_carried_out_once_for_a_key(
    operation: Operation, as_: As, db: Database, tenant_id: UUID
) -> None:
    named = [p["name"] for p in operation.described["parameters"] if p["in"] == "header"]
    assert "Idempotency-Key" in named
    client, ids, key = as_(operation.role), ids_for(operation, db, tenant_id), str(uuid4())
    first = call(client, operation, ids, **{"Idempotency-Key": key})
    if operation.id in NOT_ALONE:
        assert 400 <= first.status_code < 500
        return
    assert first.status_code < 400, first.text
    again = call(client, operation, ids, **{"Idempotency-Key": key})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"


SILENT = {"preview_webhook": "it shows callers their own body and changes nothing"}
"""Unsafe operations that the audit log does not tell of, and why."""


@each([o for o in CHANGING if o.id not in NOT_ALONE])
def test_an_operation_that_changes_something_or_shows_a_payload_is_in_the_audit_log(
    operation: Operation, as_: As, db: Database, tenant_id: UUID
) -> None:
    ids = ids_for(operation, db, tenant_id)
    reply = call(as_(operation.role), operation, ids)
    assert reply.status_code < 400, reply.text
    told = []
    for tenant in {str(tenant_id), ids.get("tenant_id", str(tenant_id))}:
        with db.tenant(UUID(tenant)) as conn:
            entries = audit.entries(conn, audit.Wanted(), limit=10, newest=True)
        told += [e.action for e in entries if e.request_id == reply.headers["x-request-id"]]
    assert bool([action for action in told if action != "system.visit"]) == (operation.id not in SILENT)


def test_nothing_is_excepted_that_is_not_there() -> None:
    names = {o.id for o in ALL}
    used = {p for o in ALL for p in o.parameters}
    assert {*PUBLIC, *NO_PERMISSION, *NOT_ALONE, *BODILESS, *FREE, *SILENT} <= names
    assert set(FACTORIES) == used
    assert set(SHARED) <= used
