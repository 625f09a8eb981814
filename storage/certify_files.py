"""Reconciliation of file content: what is stored is hashed again, part by part, and compared with what it is filed under."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from storage.certify import LANDED, Finding, Findings, Scope, action, staged, target
from storage.tables import blob, blob_part


@dataclass(frozen=True, slots=True)
class FileSum:
    """Attachments that landed, how many of them have content whose SHA-256 was recomputed, and its size in bytes."""

    files: int
    verified: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    size_bytes: int


def _recomputed(connection: Connection, scope: Scope) -> Iterator[tuple[str, _Content]]:
    """(name it is filed under, what its parts really are) of every blob of the scope. Holds one part (1 MiB) at a time."""
    s, h = scope.stage.c, scope.hub.c
    wanted = (
        select(h.sha256)
        .select_from(scope.stage.join(scope.hub, and_(h.tenant_id == s.tenant_id, h.id == target(scope))))
        .where(staged(scope), action(scope).in_(LANDED), h.sha256.is_not(None))
    )
    query = (
        select(blob_part.c.sha256, blob_part.c.content)
        .where(blob_part.c.tenant_id == scope.tenant_id, blob_part.c.sha256.in_(wanted))
        .order_by(blob_part.c.sha256, blob_part.c.part)
        .execution_options(stream_results=True, yield_per=8)
    )
    name, digest, size = None, hashlib.sha256(), 0
    for part_of, content in connection.execute(query):
        if part_of != name:
            if name is not None:
                yield name, _Content(digest.hexdigest(), size)
            name, digest, size = part_of, hashlib.sha256(), 0
        digest.update(content)
        size += len(content)
    if name is not None:
        yield name, _Content(digest.hexdigest(), size)


def _attachments(connection: Connection, scope: Scope) -> Iterator[Row[*tuple[Any, ...]]]:
    s, h = scope.stage.c, scope.hub.c
    joined = scope.stage.join(scope.hub, and_(h.tenant_id == s.tenant_id, h.id == target(scope))).outerjoin(
        blob, and_(blob.c.tenant_id == h.tenant_id, blob.c.sha256 == h.sha256)
    )
    query = select(
        s.vendor_id, h.id, h.sha256, h.size_bytes, s.size_bytes.label("told_bytes"), s.sha256.label("told_sha256"),
        blob.c.size_bytes.label("filed_bytes"),
    ).select_from(joined)  # fmt: skip
    query = query.where(staged(scope), action(scope).in_(LANDED)).order_by(s.seq)
    yield from connection.execute(query.execution_options(stream_results=True, yield_per=2_000))


def _judge(row: Row[*tuple[Any, ...]], contents: dict[str, _Content]) -> tuple[str, str | None, str | None] | None:
    """(kind, expected, found) of what is wrong with one attachment, or None."""
    content = contents.get(row.sha256) if row.sha256 else None
    if content is None:
        if row.filed_bytes == 0 and row.sha256 == hashlib.sha256().hexdigest():
            return None
        return ("missing_content", row.sha256 or row.told_sha256, None)
    if content.sha256 != row.sha256 or (row.told_sha256 and row.told_sha256 != content.sha256):
        return ("corrupted_content", row.told_sha256 or row.sha256, content.sha256)
    for told in (row.told_bytes, row.size_bytes, row.filed_bytes):
        if told is not None and told != content.size_bytes:
            return ("wrong_size", str(told), str(content.size_bytes))
    return None


def files(connection: Connection, scope: Scope, limit: int) -> tuple[FileSum, Findings]:
    """Recompute the hash and size of every landed attachment's content.

    Memory: one part of content, plus about 200 bytes a distinct file.
    """
    contents = dict(_recomputed(connection, scope))
    number = verified = size = total = 0
    items: list[Finding] = []
    for row in _attachments(connection, scope):
        number += 1
        wrong = _judge(row, contents)
        if wrong is None:
            verified += 1
            size += contents[row.sha256].size_bytes if row.sha256 in contents else 0
            continue
        total += 1
        if len(items) < limit:
            kind, expected, found = wrong
            items.append(Finding(kind, scope.object, row.vendor_id, row.id, "content", expected, found))
    return FileSum(number, verified, size), Findings(total, tuple(items))
