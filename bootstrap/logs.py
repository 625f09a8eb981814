"""Logging: one JSON object a line in the home folder, credentials and personal values taken out."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from bootstrap.redact import HIDDEN, redact

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUOTED = re.compile(r"(['\"])(.*?)\1")
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_.]*")
# These log whole addresses, statements or bodies below WARNING.
_CHATTY = (
    "httpx",
    "httpcore",
    "urllib3",
    "requests",
    "simple_salesforce",
    "sqlalchemy",
    "psycopg",
    "alembic",
    "uvicorn",
    "dramatiq",
    "pika",
)


_context: ContextVar[dict[str, str] | None] = ContextVar("syncline_log_context", default=None)


@contextmanager
def log_context(**values: str) -> Iterator[None]:
    """Have every line that is logged inside say so: which request, tenant, actor or record it belongs to. Ids only."""
    token = _context.set({**(_context.get() or {}), **values})
    try:
        yield
    finally:
        _context.reset(token)


def log_as(**values: str) -> None:
    """Add to the `log_context` around the caller, also out of a thread that works for it."""
    known = _context.get()
    if known is not None:
        known.update(values)


class _Context(logging.Filter):
    """Writes what `log_context` knows into each record, unless the record says it itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in (_context.get() or {}).items():
            record.__dict__.setdefault(name, value)
        return True


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, and whatever stands in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and not name.startswith("_"):
                entry[name] = value if isinstance(value, int | float | bool | None) else redact(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            entry["traceback"] = safe_traceback(record.exc_info[1])
        return json.dumps(entry, ensure_ascii=False)


def configure(home: Path, level: str = "INFO") -> Path:
    """Send all logging to ``home/logs/syncline.jsonl`` (5 files of 10 MB, readable by the owner alone). Returns the path."""
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "syncline.jsonl"
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=10_000_000, backupCount=4, encoding="utf-8", delay=True
    )
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_Context())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, logging.handlers.RotatingFileHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)  # a library's warning is for us, not for the person at the terminal
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return path


def safe_traceback(error: BaseException) -> str:
    """The traceback as text: frames and messages, no local values, redacted.

    Messages of exceptions quote values of records; whatever stands in quotes there and is no plain lower-case name is hidden.
    """
    lines = []
    for line in traceback.TracebackException.from_exception(error).format():
        is_frame = line.startswith(("  File", "Traceback"))
        lines.append(line if is_frame else _QUOTED.sub(_hide_value, line))
    return redact("".join(lines))


def _hide_value(quoted: re.Match[str]) -> str:
    return quoted[0] if _PLAIN_NAME.fullmatch(quoted[2]) else f"{quoted[1]}{HIDDEN}{quoted[1]}"


def write_bug_report(home: Path, error: BaseException) -> Path:
    """Write the redacted traceback of an unexpected error to ``home/logs/bug-<time>.txt`` (mode 0600). Returns the path.

    Raises OSError when the folder cannot be written.
    """
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"bug-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(f"Python {sys.version.split()[0]} on {sys.platform}\n\n{safe_traceback(error)}")
    return path
