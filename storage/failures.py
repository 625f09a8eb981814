"""What PostgreSQL's errors mean for what happens next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from domain.errors import ConfigurationError, StorageFullError, SynclineError, TransientError

_FULL = {"53100": "The disk of the database is full.", "53200": "The database server has run out of memory."}
_AGAIN = {
    "40001": "Two transactions met; this one was rolled back.",
    "40P01": "Two transactions waited for each other; this one was rolled back.",
    "53300": "The database server has no connection left.",
    "55P03": "A row or table is locked by another transaction.",
    "57P01": "The database server is shutting down.",
    "57P02": "The database server is recovering from a crash.",
    "57P03": "The database server is starting up.",
    "57P05": "The database server closed an idle connection.",
}
_CONFIGURATION = {
    "25006": "The database is read-only (a standby?).",
    "28000": "The database refuses this user.",
    "28P01": "The database refuses this user's password.",
    "3D000": "The database named by the URL does not exist.",
    "58P01": "The database server misses one of its own files.",
}


def domain_error(error: Exception) -> SynclineError | None:
    """The error that ``error`` stands for, or None when it is a bug or concerns the data."""
    if isinstance(error, PoolTimeoutError):
        return TransientError("Every database connection of this process is busy.", code="database_busy")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate or ""
    if state in _FULL:
        return StorageFullError(_FULL[state], remedy="Make room and resume; everything committed so far is kept.")
    if state in _CONFIGURATION or _refused_for_good(cause):
        return ConfigurationError(
            _CONFIGURATION.get(state, "The database refuses this login."), remedy="Check DATABASE_URL."
        )
    if state in _AGAIN:
        return TransientError(_AGAIN[state], code="database_unavailable", retry_after_s=1)
    if lost or state.startswith("08") or (not state and isinstance(cause, psycopg.OperationalError)):
        return TransientError(
            "The database cannot be reached, or its connection was lost.",
            remedy="Check that the server runs and that DATABASE_URL names it, then try again.",
            code="database_unavailable",
            retry_after_s=1,
        )
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Turn database errors into those of `domain.errors`; anything else passes (it is a bug, or the data's fault)."""
    try:
        yield
    except (DBAPIError, psycopg.Error, PoolTimeoutError) as error:
        meaning = domain_error(error)
        if meaning is None:
            raise
        raise meaning from error


def _refused_for_good(error: psycopg.Error) -> bool:
    # A refused login reaches libpq before there is a result, so that the text is all there is.
    text = str(error)
    refusals = (
        "password authentication failed",
        "no pg_hba.conf entry",
        "does not exist",
        "not permitted to log in",
        "permission denied",
    )
    return not error.sqlstate and isinstance(error, psycopg.OperationalError) and any(r in text for r in refusals)
