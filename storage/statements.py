"""Statements that run for every batch, straight through the driver.

SQLAlchemy reads and compiles a text anew each time, which costs several times what sending it does; here a text is
compiled once, and rows are the driver's own tuples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from storage.bulk import DIALECT
from storage.tenancy import driver_connection

_TEXTS_MOST = 1_000


def run(conn: Connection, statement: str, parameters: Mapping[str, Any]) -> psycopg.Cursor[tuple[Any, ...]]:
    """Execute SQL with ``:named`` parameters in the connection's transaction. Raises psycopg.Error."""
    return driver_connection(conn).execute(_for_driver(statement), parameters)


@lru_cache(_TEXTS_MOST)
def _for_driver(statement: str) -> bytes:
    return str(text(statement).compile(dialect=DIALECT)).encode()


def texts(values: Iterable[str]) -> str:
    """Texts as the text of an SQL array: the driver's own way takes several times as long."""
    items = list(values)
    joined = "".join(items)
    if '"' in joined or "\\" in joined:
        items = [item.replace("\\", "\\\\").replace('"', '\\"') for item in items]
    return '{"' + '","'.join(items) + '"}' if items else "{}"
