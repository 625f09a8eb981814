"""File content, addressed by its SHA-256: the same bytes are stored once a tenant, in parts of at most 1 MiB."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from domain.errors import ConfigurationError
from storage.tables import blob, blob_part

PART_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 2 * PART_BYTES


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """``created``: the content was new to the tenant."""

    sha256: str
    size_bytes: int
    created: bool


def write(conn: Connection, tenant_id: UUID, content: Iterable[bytes]) -> BlobInfo:
    """Store ``content`` (pieces of any size) in the caller's transaction; memory stays at a few MiB whatever its size.

    The address is known only at the end, so large content waits in a temporary file; content that is there already is not
    written again. Two writers of the same content: the second waits for the first and finds it stored.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
        digest = hashlib.sha256()
        for piece in content:
            digest.update(piece)
            spool.write(piece)
        size = spool.tell()
        sha256 = digest.hexdigest()
        statement = insert(blob).values(tenant_id=tenant_id, sha256=sha256, size_bytes=size)
        created = conn.execute(statement.on_conflict_do_nothing().returning(blob.c.sha256)).one_or_none() is not None
        if created:
            spool.seek(0)
            for number, part in enumerate(_parts(spool)):
                values = {"tenant_id": tenant_id, "sha256": sha256, "part": number, "content": part}
                conn.execute(blob_part.insert().values(values))
    return BlobInfo(sha256, size, created)


def read(conn: Connection, sha256: str) -> Iterator[bytes]:
    """The content in parts of at most 1 MiB, fetched one at a time. Raises ConfigurationError when it is not there whole."""
    size = size_of(conn, sha256)
    if size is None:
        raise ConfigurationError(f"There is no stored file content {sha256}.", code="no_such_blob")
    number = done = 0
    while done < size:
        part = conn.scalar(select(blob_part.c.content).where(blob_part.c.sha256 == sha256, blob_part.c.part == number))
        if part is None:
            raise ConfigurationError(f"Stored file content {sha256} lacks its part {number}.", code="blob_damaged")
        yield bytes(part)
        number, done = number + 1, done + len(part)


def size_of(conn: Connection, sha256: str) -> int | None:
    """Bytes of stored content, or None when there is none with this address."""
    return conn.scalar(select(blob.c.size_bytes).where(blob.c.sha256 == sha256))


def delete(conn: Connection, sha256: str) -> bool:
    """Remove content; the caller knows that no attachment names it. Returns whether it was there."""
    result = conn.execute(blob.delete().where(blob.c.sha256 == sha256).returning(blob.c.sha256))
    return result.one_or_none() is not None


def _parts(spool: IO[bytes]) -> Iterator[bytes]:
    while part := spool.read(PART_BYTES):
        yield part
