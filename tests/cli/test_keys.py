"""The first key of an installation, and who did what, by the command line."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import create_engine, text

from domain.access import SYSTEM_TENANT
from storage import api_keys
from storage.database import Database, engine_url
from tests.cli.conftest import Syncline


@pytest.mark.parametrize("role", ["tenant_admin", "member", "system_admin"])
def test_a_key_that_was_made_opens_the_door(syncline: Syncline, db: Database, tenant_id: UUID, role: str) -> None:
    made = syncline("keys", "create", "door", "--role", role, "--json").json
    presented = api_keys.parse(made["secret"])
    assert presented is not None
    assert presented.tenant_id == (SYSTEM_TENANT if role == "system_admin" else tenant_id)
    with db.tenant(presented.tenant_id) as conn:
        found = api_keys.authenticate(conn, presented)
    assert found is not None
    assert (str(found.id), found.role, found.name) == (made["id"], role, "door")


def test_a_key_is_listed_without_its_secret_and_can_be_revoked(syncline: Syncline) -> None:
    made = syncline("keys", "create", "door", "--scope", "records:read", "--days", "7", "--json").json
    listed = syncline("keys", "list", "--json")
    assert made["secret"] not in listed.out + syncline("keys", "list").out
    assert [(k["scopes"], k["revoked_at"]) for k in listed.json] == [(["records:read"], None)]
    assert syncline("keys", "revoke", made["id"]).code == 0
    assert syncline("keys", "list", "--json").json[0]["revoked_at"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (("create", "x", "--role", "emperor"), "unknown_permission"),
        (("create", "x", "--scope", "records:eat"), "unknown_permission"),
        (("revoke", "0192a0b0-0000-7000-8000-000000000001"), "no_such_key"),
    ],
)
def test_what_cannot_be_is_refused(syncline: Syncline, line: tuple[str, ...], code: str) -> None:
    outcome = syncline("keys", *line, "--json")
    assert (outcome.code, outcome.error["code"]) == (78, code)


def test_who_did_what_is_listed_and_verified(syncline: Syncline, admin_url: str, tenant_id: UUID) -> None:
    ids = [syncline("keys", "create", name, "--json").json["id"] for name in ("a", "b")]
    syncline("keys", "revoke", ids[0])
    told = syncline("audit", "list", "--json").json
    assert [(e["action"], e["target_id"]) for e in told] == [
        ("key.revoke", ids[0]),
        ("key.create", ids[1]),
        ("key.create", ids[0]),
    ]
    assert [e["seq"] for e in syncline("audit", "list", "--target", ids[0], "--json").json] == [3, 1]
    assert [e["seq"] for e in syncline("audit", "list", "--action", "key.create", "--limit", "1", "--json").json] == [2]
    assert syncline("audit", "verify", "--json").json["ok"] is True
    engine = create_engine(engine_url(admin_url))
    with engine.begin() as conn:
        conn.execute(text("SELECT set_config('app.tenant_id', :t, true)"), {"t": str(tenant_id)})
        conn.execute(text("UPDATE audit_log SET actor = 'nobody' WHERE seq = 2 AND tenant_id = :t"), {"t": tenant_id})
    engine.dispose()
    broken = syncline("audit", "verify", "--json")
    assert (broken.code, broken.json["ok"], broken.json["broken_at"]) == (3, False, 2)
