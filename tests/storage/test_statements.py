"""Statements through the driver: named parameters, texts as arrays."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.statements import run, texts

TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_texts_reach_the_database_as_they_are(db: Database, tenant_id: UUID, values: list[str]) -> None:
    with db.tenant(tenant_id) as conn:
        assert run(conn, "SELECT CAST(:v AS text[])", {"v": texts(values)}).fetchone() == (values,)


@pytest.mark.parametrize("values", [[], [""], ["NULL"], ['"', "\\", "{a,b}"], ["a\\"], ['a"b', "c"]])
def test_odd_texts_too(db: Database, tenant_id: UUID, values: list[str]) -> None:
    with db.tenant(tenant_id) as conn:
        assert run(conn, "SELECT CAST(:v AS text[])", {"v": texts(iter(values))}).fetchone() == (values,)


def test_statements_belong_to_the_transaction_and_a_percent_sign_is_one(db: Database, tenant_id: UUID) -> None:
    def rename() -> None:
        with db.tenant(tenant_id) as conn:
            run(conn, "UPDATE tenant SET name = :name WHERE name LIKE '%'", {"name": "changed"})
            assert run(conn, "SELECT name FROM tenant", {}).fetchall() == [("changed",)]
            raise LookupError

    with pytest.raises(LookupError):
        rename()
    with db.tenant(tenant_id) as conn:
        assert run(conn, "SELECT name FROM tenant WHERE name = :name", {"name": "changed"}).fetchall() == []
    with pytest.raises(psycopg.errors.UndefinedTable), db.tenant(tenant_id) as conn:
        run(conn, "SELECT FROM no_such_table", {})
