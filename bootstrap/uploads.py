"""Files that a customer sends through the API: a folder of their own under the home folder, read by a connection of its own.

Workers read the same folder: where they run on other machines, the home folder is a volume that all of them share.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from domain.errors import ConfigurationError, RecordRejectedError, RunInProgressError, StorageFullError
from domain.ids import new_id
from storage import connections, runs, sweeping
from storage.connections import StoredConnection

if TYPE_CHECKING:
    from bootstrap.wiring import Hub

_PIECE = 1 << 20
_SEAM = 4096
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


def naming(hub: Hub, needles: Sequence[str], kept_days: int | None) -> list[dict[str, Any]]:
    """Uploaded files in which one of ``needles`` stands, each with the moment at which it will be deleted, if ever.

    Names of files tell nothing of the person, either. What is packed in a workbook is looked into; what is scanned is not.
    """
    if not needles:
        return []
    kept = None if kept_days is None else timedelta(days=kept_days)
    return [
        {
            "connection_id": str(connection),
            "file": sweeping.cleaned(path.name, needles),
            "expires": None if kept is None else (_sent_at(path) + kept).isoformat(),
        }
        for connection, path in _all(hub)
        if _names(path, needles)
    ]


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


def _names(path: Path, needles: Sequence[str]) -> bool:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return _stands_in(file, needles)
    try:
        with zipfile.ZipFile(path) as packed:
            return any(_stands_in(part, needles) for name in packed.namelist() for part in [packed.open(name)])
    except (zipfile.BadZipFile, RuntimeError):  # damaged, packed in an unknown way, or locked by a password
        return False


def _stands_in(file: IO[bytes], needles: Sequence[str]) -> bool:
    """Read piece by piece, each with the end of the one before, so that nothing is missed at a seam."""
    seam = b""
    while piece := file.read(_PIECE):
        if sweeping.names(seam + piece, needles):
            return True
        seam = piece[-_SEAM:]
    return False


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
