"""Drift between plan and source: what is harmless, what breaks, and how it is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.entities import Kind
from domain.errors import PlanChangedError
from domain.records import AccountInfo, Catalog, FieldSchema, ObjectSchema
from migration.audit_model import Audit, FieldAudit, ObjectAudit
from migration.plan import build_plan
from migration.plan_drift import check_drift, require_compatible
from migration.plan_model import Plan

ACCOUNT = ObjectSchema(
    "Account",
    (
        FieldSchema("Id"),
        FieldSchema("Name"),
        FieldSchema("NumberOfEmployees", Kind.INTEGER),
        FieldSchema("ParentId", Kind.REFERENCE, refers_to=("Account",)),
        FieldSchema("Colour__c", custom=True),
        FieldSchema("Unused__c", custom=True),
    ),
    id_field="Id",
)


@pytest.fixture
def plan() -> Plan:
    from datetime import UTC, datetime

    fields = tuple(
        FieldAudit(f.name, f.kind, records=2, filled=0 if f.name == "Unused__c" else 2) for f in ACCOUNT.fields
    )
    audit = Audit("salesforce", "00D", datetime.now(UTC), "", (ObjectAudit("Account", count=2, fields=fields),))
    return build_plan(audit, Catalog({"Account": ACCOUNT}), AccountInfo("00D"))


def _fields(change: Callable[[FieldSchema], FieldSchema | None]) -> ObjectSchema:
    return replace(ACCOUNT, fields=tuple(f for f in map(change, ACCOUNT.fields) if f is not None))


def _without(name: str) -> ObjectSchema:
    return _fields(lambda f: None if f.name == name else f)


def _with(name: str, **change: object) -> ObjectSchema:
    return _fields(lambda f: replace(f, **change) if f.name == name else f)  # type: ignore[arg-type]


def test_nothing_changed(plan: Plan) -> None:
    assert check_drift(plan, Catalog({"Account": ACCOUNT})) == []


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (_without("Name"), "Account.Name is gone from the source."),
        (_without("Colour__c"), "Account.Colour__c is gone from the source."),
        (_with("NumberOfEmployees", kind=Kind.TEXT), "Account.NumberOfEmployees was integer and is now text."),
        (_with("ParentId", refers_to=("Contact",)), "Account.ParentId no longer refers to Account."),
        (replace(ACCOUNT, readable=False), "Account may no longer be read."),
    ],
)
def test_breaking(plan: Plan, schema: ObjectSchema, message: str) -> None:
    with pytest.raises(PlanChangedError) as caught:
        require_compatible(plan, Catalog({"Account": schema}))
    assert message in caught.value.message
    assert "syncline migrate plan" in caught.value.remedy


def test_object_gone(plan: Plan) -> None:
    with pytest.raises(PlanChangedError, match="Account is no longer in the source"):
        require_compatible(plan, Catalog({}))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            replace(ACCOUNT, fields=(*ACCOUNT.fields, FieldSchema("New__c"))),
            "Account.New__c is new in the source; it goes to custom_fields.",
        ),
        (_without("Unused__c"), "Account.Unused__c is gone from the source; it was empty."),
        (_with("Colour__c", kind=Kind.INTEGER), "Account.Colour__c was text and is now integer."),
    ],
)
def test_harmless(plan: Plan, schema: ObjectSchema, message: str) -> None:
    (drift,) = require_compatible(plan, Catalog({"Account": schema}))
    assert (drift.breaking, drift.message) == (False, message)


def test_a_new_object_is_told(plan: Plan) -> None:
    (drift,) = require_compatible(plan, Catalog({"Account": ACCOUNT, "New": replace(ACCOUNT, name="New")}))
    assert "New is new in the source" in drift.message


def test_lenses_of_a_catalogue_without_the_object(plan: Plan) -> None:
    assert set(plan.lenses(Catalog({"Account": ACCOUNT}))) == {"Account"}
    with pytest.raises(PlanChangedError, match="no longer lists it"):
        plan.lenses(Catalog({}))
