"""File content: download each attachment once, store it by its SHA-256, and go on after a crash with what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import SpooledTemporaryFile
from typing import Any

from connectors.kit.contract import SupportsFiles
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError, TransientError
from migration.load import LoadJob, OnRows
from migration.refused import bury
from storage import attachments, blobs, runs
from storage.attachments import Missing
from storage.loading import Refused
from storage.runs import Chunk

BATCH = 200
IN_MEMORY_BYTES = 1024 * 1024
FAILURES_MAX = 5
"""So many downloads failing one after the other mean that the vendor is down, not that the files are."""


def attach(job: LoadJob, connector: SupportsFiles, on_rows: OnRows) -> None:
    """Store the content of every attachment of the object that has none yet. One transaction a file."""
    key, staged, after, failures = job.staged.key, job.staged, "", 0
    seq = 0
    while True:
        with job.database.tenant(key.tenant_id) as connection:
            missing = attachments.without_content(
                connection, key.tenant_id, staged.connection_id, staged.object, after, BATCH
            )
            seq = max(
                [
                    c.seq
                    for c in runs.chunks(
                        connection, key.tenant_id, key.run_id, object_name=staged.object, phase="attach"
                    )
                ],
                default=-1,
            )
        if not missing:
            return
        for file in missing:
            seq += 1
            after = file.vendor_id
            try:
                counts = _store(job, connector, file, seq)
                failures = 0
            except (RecordRejectedError, ConfigurationError, TransientError) as error:
                failures += isinstance(error, TransientError)
                if failures >= FAILURES_MAX:
                    raise
                counts = _failed(job, file, seq, error)
            on_rows(1, counts)


def _store(job: LoadJob, connector: SupportsFiles, file: Missing, seq: int) -> Mapping[str, Any]:
    key = job.staged.key
    with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        for piece in connector.download(job.staged.object, file.vendor_id):  # before the transaction: vendors are slow
            spool.write(piece)
        spool.seek(0)
        with job.database.tenant(key.tenant_id) as connection:
            runs.fence(connection, key)
            stored = blobs.write(connection, key.tenant_id, iter(lambda: spool.read(IN_MEMORY_BYTES), b""))
            attachments.set_content(connection, key.tenant_id, file.id, stored.sha256, stored.size_bytes)
            wrong = file.size_bytes is not None and file.size_bytes != stored.size_bytes
            counts = {"files": 1, "bytes": stored.size_bytes, "warnings": {"file_size_differs": 1} if wrong else {}}
            runs.add_chunk(connection, key, Chunk(job.staged.object, "attach", seq, rows=1, counts=counts))
    return counts


def _failed(job: LoadJob, file: Missing, seq: int, error: SynclineError) -> Mapping[str, Any]:
    """The record stays; its content is a dead letter of its own, which a later run or replay fetches."""
    key = job.staged.key
    with job.database.tenant(key.tenant_id) as connection:
        runs.fence(connection, key)
        bury(
            connection,
            job.staged,
            [Refused(seq, file.vendor_id, error.message)],
            code=error.code,
            stage="attach",
            told="The content of {object} {vendor_id} could not be read. {why}",
        )
        counts = {"files_failed": 1}
        runs.add_chunk(connection, key, Chunk(job.staged.object, "attach", seq, rows=1, counts=counts))
    return counts
