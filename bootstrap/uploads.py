"""Files that a customer sends through the API: a folder of their own under the home folder, read by a connection of its own.

Workers read the same folder: where they run on other machines, the home folder is a volume that all of them share.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from bootstrap import searching
from domain.errors import ConfigurationError, RecordRejectedError, RunInProgressError, StorageFullError
from domain.ids import new_id
from storage import connections, runs, sweeping
from storage.connections import StoredConnection

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

_NAMED_MOST = 5
_NAME = re.compile(r"[\w][\w .,()+-]{0,150}\.[A-Za-z0-9]{1,8}")


def create(hub: Hub, name: str) -> StoredConnection:
    """A connection called ``name`` that reads what will be uploaded to it. Raises ConfigurationError where the name is taken."""
    connection_id = new_id()
    folder = _folder(hub, connection_id)
    with hub.db.tenant(hub.tenant_id) as conn:
        made = connections.create(
            conn, connection_id, vendor="files", name=name, settings={"path": str(folder), "source": name}
        )
        folder.mkdir(mode=0o700, parents=True)
    return made


def files(hub: Hub, connection_id: UUID) -> list[tuple[str, int]]:
    """Names and sizes in bytes of what was uploaded. Raises ConfigurationError."""
    folder = _required(hub, connection_id)
    return sorted((f.name, f.stat().st_size) for f in folder.iterdir() if f.is_file() and f.suffix != ".part")


@contextmanager
def receiving(hub: Hub, connection_id: UUID, name: str) -> Iterator[IO[bytes]]:
    """A file to write what arrives to; it stands under ``name`` once the block ends well, replacing one of that name.

    Raises ConfigurationError, RecordRejectedError for a name that cannot be used, StorageFullError.
    """
    folder = _required(hub, connection_id)
    if not _NAME.fullmatch(name) or name.endswith(".part"):
        raise RecordRejectedError(
            "The file's name cannot be used.",
            remedy="Give a plain name with an ending, such as contacts.csv.",
            code="bad_file_name",
        )
    draft = folder / f"{new_id()}.part"
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / name)
    except OSError as error:
        raise StorageFullError(
            f"The file cannot be stored: {error.strerror}.",
            remedy="Make room, then send it again.",
            code="upload_failed",
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def remove(hub: Hub, connection_id: UUID) -> None:
    """Delete everything that was uploaded to a connection; nothing where it took no uploads."""
    shutil.rmtree(_folder(hub, connection_id), ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Named:
    """What a search for a person says of uploaded files. ``naming``: those in which they stand, each with when it will be deleted.

    ``unsearched``: files of which nobody can tell, one entry for each reason. ``inside`` names up to five of the ``parts`` that
    could not be searched; there are none where it is the whole file.
    """

    naming: list[dict[str, Any]] = field(default_factory=list)
    unsearched: list[dict[str, Any]] = field(default_factory=list)


def search(hub: Hub, needles: Sequence[str], kept_days: int | None) -> Named:
    """Look for ``needles`` in uploaded files. Names of files and parts tell nothing of the person, either."""
    told = Named()
    for connection, path in _all(hub) if needles else ():
        try:
            found, sent_at = searching.search(path, needles), _sent_at(path)
        except FileNotFoundError:  # deleted meanwhile
            continue
        about = {
            "connection_id": str(connection),
            "file": sweeping.cleaned(path.name, needles),
            "expires": None if kept_days is None else (sent_at + timedelta(days=kept_days)).isoformat(),
        }
        if found.named:
            told.naming.append(about)
            continue
        for why in dict.fromkeys(why for _, why in found.unread):
            parts = [place for place, reason in found.unread if reason == why and place]
            inside = [sweeping.cleaned(place, needles) for place in parts[:_NAMED_MOST]]
            told.unsearched.append({**about, "why": why, "parts": len(parts), "inside": inside})
    return told


def purge(hub: Hub, before: datetime) -> int:
    """Delete files that were sent before a moment, but of connections that a migration reads right now; returns how many."""
    gone = 0
    for connection, path in _all(hub):
        if _sent_at(path) < before:
            with suppress(RunInProgressError), runs.exclusive(hub.db, hub.tenant_id, connection):
                path.unlink(missing_ok=True)
                gone += 1
    return gone


def _all(hub: Hub) -> list[tuple[UUID, Path]]:
    root = hub.settings.home / "uploads" / str(hub.tenant_id)
    found = root.glob("*/*") if root.is_dir() else ()
    return sorted((UUID(p.parent.name), p) for p in found if p.is_file() and p.suffix != ".part")


def _sent_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _folder(hub: Hub, connection_id: UUID) -> Path:
    return hub.settings.home / "uploads" / str(hub.tenant_id) / str(connection_id)


def _required(hub: Hub, connection_id: UUID) -> Path:
    with hub.db.tenant(hub.tenant_id) as conn:
        connections.get(conn, connection_id)
    folder = _folder(hub, connection_id)
    if not folder.is_dir():
        raise ConfigurationError(
            "This connection takes no uploads.",
            remedy="Make an upload first, and send the files to it.",
            code="no_such_upload",
        )
    return folder
