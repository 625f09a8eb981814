"""Columns as COPY text, each value as PostgreSQL reads it back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from storage import bulk
from storage.database import Database
from storage.tables import entity_tables
from storage.tenancy import driver_connection

CONTACT = entity_tables["contact"]
ODD = timezone(timedelta(hours=1, minutes=2, seconds=3))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("source_created_at", [datetime(2024, 2, 29, 23, 59, 59, 999999, UTC), None, datetime(1, 1, 1, tzinfo=UTC)]),
        ("source_created_at", [datetime(2024, 2, 29, 1, 2, 3, tzinfo=ODD), datetime(2024, 2, 29, 1, 2, 4, tzinfo=UTC)]),
        ("birth_date", [date(1899, 12, 31), None, date(9999, 12, 31)]),
        ("birth_date", [None, date(2000, 1, 1)]),
        ("first_name", ["", "a\\tb", None, "\\\\N", "Zoë\nLi", "\r"]),
        ("first_name", ["plain", "", "None"]),
        ("custom_fields", [{}, {"a": "x\\ty", "n": 1.5, "none": None}, {"d": []}]),
        ("tags", [["a", 'quo"te', "back\\slash", "NULL", ""], None]),
        ("email_opt_out", [True, False, None]),
    ],
)
def test_a_column_comes_back_as_it_was(db: Database, tenant_id: Any, column: str, values: Sequence[Any]) -> None:
    with db.tenant(tenant_id) as conn:
        driver = driver_connection(conn)
        kind = CONTACT.columns[column].type.compile(dialect=bulk.DIALECT)
        driver.execute(f"CREATE TEMP TABLE seen ({column} {kind}) ON COMMIT DROP".encode())
        with driver.cursor().copy(f"COPY seen ({column}) FROM STDIN".encode()) as copy:
            copy.write(bulk.encode(CONTACT, {column: values}))
        assert [row[0] for row in driver.execute("SELECT * FROM seen", prepare=False)] == list(values)


@pytest.mark.parametrize(
    ("values", "holds"), [([], False), ([None, None], False), ([None, ""], True), ([0, None], True)]
)
def test_a_column_holds_something_unless_all_of_it_is_none(values: list[Any], holds: bool) -> None:
    assert bulk.holds_any(values) is holds
