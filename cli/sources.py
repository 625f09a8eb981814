"""Which connection a person means: its name, its id, or a path, which needs no connecting first."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cli.noted import note
from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import connections

if TYPE_CHECKING:
    from cli.session import Session
    from storage.connections import StoredConnection

_FILE_ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".jsonl", ".ndjson", ".json", ".zip", ".gz")


def find_connection(session: Session, text: str) -> StoredConnection:
    """The connection called ``text``, or with that id. Raises ConfigurationError naming the nearest names."""
    with session.hub.db.tenant(session.tenant_id) as conn:
        known = connections.list_all(conn)
    for candidate in known:
        if text in (candidate.name, str(candidate.id)):
            return candidate
    raise _unknown(text, [c.name for c in known])


def resolve_source(session: Session, text: str) -> StoredConnection:
    """Like `find_connection`; an existing file or folder is connected under its own path, once."""
    path = Path(text).expanduser()
    if path.exists() and (_looks_like_path(text) or not _is_name(session, text)):
        return _files_connection(session, path.resolve())
    if _looks_like_path(text):
        raise ConfigurationError(f"There is no file or folder {text}.", remedy="Check the path.", code="no_such_source")
    return find_connection(session, text)


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "~")) or "/" in text or "\\" in text or text.lower().endswith(_FILE_ENDINGS)


def _is_name(session: Session, text: str) -> bool:
    with session.hub.db.tenant(session.tenant_id) as conn:
        return any(text in (c.name, str(c.id)) for c in connections.list_all(conn))


def _files_connection(session: Session, path: Path) -> StoredConnection:
    with session.hub.db.tenant(session.tenant_id) as conn:
        known = connections.list_all(conn)
        for candidate in known:
            if candidate.vendor == "files" and candidate.settings.get("path") == str(path):
                return candidate
        name = free_name(path.name, {c.name for c in known})
        connection_id: UUID = new_id()
        connections.create(conn, connection_id, vendor="files", name=name, settings={"path": str(path)})
        created = connections.get(conn, connection_id)
        note(conn, "connection.create", "connection", connection_id, {"vendor": "files", "name": name})
    session.out.say(f"Reading {path} as the connection [bold]{name}[/bold].")
    return created


def free_name(wanted: str, taken: set[str]) -> str:
    """``wanted`` as a connection's name, with a number where it is taken."""
    base = re.sub(r"[^\w.-]+", "-", wanted).strip("-.") or "files"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _unknown(text: str, names: list[str]) -> ConfigurationError:
    near = get_close_matches(text, names, n=3)
    if near:
        remedy = f"Did you mean {' or '.join(near)}?"
    elif names:
        remedy = f"There are: {', '.join(sorted(names))}."
    else:
        remedy = "Connect one first: syncline connect salesforce. A folder of files can be named by its path."
    return ConfigurationError(f"There is no connection called {text}.", remedy=remedy, code="no_such_connection")
