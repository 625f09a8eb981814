"""References that a connector concluded from names are proposed when the values bear it out, and the plan tells the share."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.entities import Kind
from domain.records import AccountInfo, Catalog, FieldSchema, ObjectSchema
from migration.audit_model import Audit, ObjectAudit, OrphanAudit
from migration.plan import build_plan
from migration.plan_drift import check_drift
from migration.plan_model import FieldUse, Plan
from migration.plan_references import borne_out, shares, told

GUESS = FieldSchema("account_id", Kind.REFERENCE, refers_to=("accounts",), inferred=True)
PLAIN = {"dialect": "plain"}


def contacts(reference: FieldSchema = GUESS) -> ObjectSchema:
    return ObjectSchema("contacts", (FieldSchema("id"), FieldSchema("last_name"), reference), attributes=PLAIN)


def audited(references: int, orphans: int, unread: tuple[str, ...] = ()) -> ObjectAudit:
    found = OrphanAudit("account_id", ("accounts",), references, orphans, orphans, unread)
    return ObjectAudit("contacts", count=100, orphans=(found,))


def plan(found: ObjectAudit, reference: FieldSchema = GUESS) -> tuple[Plan, Catalog]:
    accounts = ObjectSchema("accounts", (FieldSchema("id"), FieldSchema("name")), attributes=PLAIN)
    catalog = Catalog({"accounts": accounts, "contacts": contacts(reference)})
    objects = (ObjectAudit("accounts", count=9), found)
    audit = Audit("files", "x", datetime(2026, 1, 2, tzinfo=UTC), catalog.fingerprint(), objects)
    return build_plan(audit, catalog, AccountInfo("x")), catalog


@pytest.mark.parametrize(
    ("references", "orphans", "believed"),
    [(100, 0, True), (100, 90, True), (100, 91, False), (5, 5, False), (4, 4, True), (0, 0, True)],
)
def test_a_guessed_reference_is_proposed_when_its_values_are_ids(references: int, orphans: int, believed: bool) -> None:
    found, _ = plan(audited(references, orphans))
    field = found.object("contacts").fields[2]
    assert ("account_id" in found.object("contacts").spec.fields) is believed
    assert field.use is (FieldUse.MAPPED if believed else FieldUse.CUSTOM)


def test_what_the_vendor_says_is_a_reference_stays_one() -> None:
    found, _ = plan(audited(100, 100), replace(GUESS, inferred=False))
    assert found.object("contacts").fields[2].use is FieldUse.MAPPED


def test_nothing_is_said_against_a_name_whose_target_was_not_read() -> None:
    assert borne_out(contacts(), audited(100, 100, unread=("accounts",))) == contacts()
    assert borne_out(contacts(), None) == contacts()


def test_a_reference_that_is_not_believed_is_a_text() -> None:
    assert borne_out(contacts(), audited(100, 95)).fields[2] == FieldSchema("account_id", inferred=True)


@pytest.mark.parametrize(
    ("references", "orphans", "share"), [(3, 0, 1.0), (3, 1, 0.6666), (30_001, 1, 0.9999), (8, 8, 0)]
)
def test_a_share_is_never_rounded_up(references: int, orphans: int, share: float) -> None:
    assert shares(audited(references, orphans)) == {"account_id": share}


@pytest.mark.parametrize(
    ("orphans", "comment"),
    [(0, "# 100 % of its values are ids of accounts\n"), (34, "# 66 % of its values are ids of accounts\n"),
     (97, "# only 3 % of its values are ids of accounts: kept as text\n")],
)  # fmt: skip
def test_the_plan_tells_the_share_and_is_read_back_with_it(orphans: int, comment: str) -> None:
    found, catalog = plan(audited(100, orphans))
    text = found.to_toml()
    (line,) = [line for line in text.splitlines(keepends=True) if line.startswith("account_id = {use")]
    assert line.endswith(comment)
    again = Plan.from_toml(text, "p.toml")
    assert again.object("contacts").fields == found.object("contacts").fields
    assert again.checksum == found.checksum
    assert check_drift(again, catalog) == []


def test_a_share_that_changed_asks_for_no_new_approval() -> None:
    assert plan(audited(100, 1))[0].checksum == plan(audited(100, 2))[0].checksum


def test_a_comment_stays_on_its_line_whatever_a_file_is_called() -> None:
    comment = told(0.5, ("x\ny\x00",), mapped=True)
    assert tomllib.loads(f"a = 1 # {comment}") == {"a": 1}
