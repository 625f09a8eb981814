"""Undo: a run taken back in the reverse order of its load, leaving what people did since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

from domain.errors import ConfigurationError, RecordRejectedError
from domain.records import WriteResult
from migration.progress import Meter, OnProgress, silent
from storage import loading, runs, undoing
from storage.database import Database
from storage.runs import Run, RunKey
from storage.undoing import Copy, Kept, Scope

DeleteAt = Callable[[UUID, str, Sequence[str]], Sequence[WriteResult]]

BATCH = 5_000
COPIES = 500
KEPT_MAX = 200


@dataclass(slots=True)
class UndoResult:
    """What undo did. ``kept``: records left alone and why (at most 200; ``kept_total`` counts all).

    ``left``: what streams had made of its records at other vendors, and what still stands there (at most 200; ``left_total`` counts
    all). ``removed_elsewhere``: how many of these were deleted, by connection and object.
    """

    run_id: UUID
    deleted: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    unlinked: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    kept_total: int = 0
    left: list[Copy] = field(default_factory=list)
    left_total: int = 0
    removed_elsewhere: dict[tuple[UUID, str], int] = field(default_factory=dict)
    whole: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": str(self.run_id),
            "deleted": self.deleted,
            "restored": self.restored,
            "unlinked": self.unlinked,
            "kept_total": self.kept_total,
            "whole": self.whole,
            "kept": [{"entity": k.entity, "id": str(k.id), "vendor_id": k.vendor_id, "why": k.why} for k in self.kept],
            "left_total": self.left_total,
            "left": [
                {
                    "connection_id": str(c.connection_id),
                    "object": c.object,
                    "vendor_id": c.vendor_id,
                    "source_id": c.source_id,
                }
                for c in self.left
            ],
            "removed_elsewhere": [
                {"connection_id": str(i), "object": name, "count": n} for (i, name), n in self.removed_elsewhere.items()
            ],
        }


@dataclass(frozen=True)
class Undo:
    """Takes back one run, whole or some of its objects. ``force``: conflicts too.

    ``delete_at``: deletes records of an object at a connection; with it, what streams made of the run's records elsewhere goes.
    """

    database: Database
    run: Run
    key: RunKey
    objects: Sequence[tuple[str, str]]  # (vendor object, entity) in load order
    force: bool = False
    on_progress: OnProgress = silent
    delete_at: DeleteAt | None = None
    _staying: list[UUID] = field(default_factory=list)

    def execute(self, only: Sequence[str] | None = None) -> UndoResult:
        """Raises ConfigurationError when a later run built on this one."""
        self._refuse_if_built_on()
        chosen = [(o, e) for o, e in self.objects if only is None or o in only]
        result = UndoResult(self.run.id, whole=len(chosen) == len(self.objects))
        scopes = [Scope(self.key.tenant_id, self.run.id, self.run.connection_id, o, e) for o, e in reversed(chosen)]
        for scope in scopes:
            self._associations(scope, result)
        for scope in scopes:
            self._restore(scope, result)
        for scope in scopes:
            self._delete(scope, result)
        with self._transaction() as connection:
            undoing.finish(connection, self.key.tenant_id, self.run.id, whole=result.whole and not result.kept_total)
        return result

    def _transaction(self) -> Any:
        return self.database.tenant(self.key.tenant_id)

    def _refuse_if_built_on(self) -> None:
        with self._transaction() as connection:
            later = undoing.later_runs(connection, self.key.tenant_id, self.run.id)
        if later:
            names = ", ".join(str(r) for r in later)
            raise ConfigurationError(
                f"Later runs changed records of this one: {names}.", remedy="Undo those first.", code="later_run"
            )

    def _associations(self, scope: Scope, result: UndoResult) -> None:
        with self._transaction() as connection:
            runs.fence(connection, self.key)
            gone = undoing.delete_found_associations(connection, scope)
            if gone:
                result.deleted["association"] = result.deleted.get("association", 0) + gone

    def _restore(self, scope: Scope, result: UndoResult) -> None:
        kept: list[Kept] = []
        total = 0
        while True:
            with self._transaction() as connection:
                runs.fence(connection, self.key)
                loading.prepare(connection)
                restored, kept = undoing.restore_changed(connection, scope, force=self.force, limit=BATCH)
            total += restored
            if not restored:
                break
        self._keep(result, kept)
        if total:
            result.restored[scope.object] = total

    def _delete(self, scope: Scope, result: UndoResult) -> None:
        with self._transaction() as connection:
            runs.fence(connection, self.key)
            loading.prepare(connection)
            keep = [] if self.force else undoing.created_conflicts(connection, scope, self._staying)
        failed = self._copies(scope, [k.id for k in keep], result)
        with self._transaction() as connection:
            runs.fence(connection, self.key)
            loading.prepare(connection)
            if failed and not self.force:  # what they refer to stays with them
                keep = undoing.created_conflicts(connection, scope, [*self._staying, *(k.id for k in failed)])
            keep = [*failed, *(k for k in keep if k.id not in {f.id for f in failed})]
            self._staying.extend(k.id for k in keep)
            undoing.unsettle(connection, scope, [k.id for k in keep])
            undoing.return_aliases(connection, scope, [k.id for k in keep])
            unlinked = undoing.unlink_merged(connection, scope, [k.id for k in keep])
        meter = Meter(self.on_progress, scope.object, "undo", None)
        total = 0
        while True:
            with self._transaction() as connection:
                runs.fence(connection, self.key)
                loading.prepare(connection)
                deleted = undoing.delete_created(connection, scope, [k.id for k in keep], BATCH)
            total += deleted
            meter.add(deleted)
            if deleted < BATCH:
                break
        meter.finish()
        self._keep(result, keep)
        for counts, n in ((result.deleted, total), (result.unlinked, unlinked)):
            if n:
                counts[scope.object] = counts.get(scope.object, 0) + n

    def _copies(self, scope: Scope, keep: Sequence[UUID], result: UndoResult) -> list[Kept]:
        """Delete what streams made of the records at other vendors, or note that it stays; records whose copies would not go.

        Vendors first: while a link stands it is known what is still to be deleted, however often this is interrupted.
        """
        if self.delete_at is None:
            with self._transaction() as connection:
                result.left_total += sum(undoing.sent_on(connection, scope).values())
                result.left += undoing.copies(connection, scope, keep, max(0, KEPT_MAX - len(result.left)))
            return []
        failed: dict[UUID, Kept] = {}
        while True:
            with self._transaction() as connection:
                found = undoing.copies(connection, scope, [*keep, *failed], COPIES)
            if not found:
                return list(failed.values())
            for (connection_id, name), group in groupby(found, lambda c: (c.connection_id, c.object)):
                batch = list(group)
                answers = self.delete_at(connection_id, name, [c.vendor_id for c in batch])
                gone = [c for c, answer in zip(batch, answers, strict=True) if answer.error is None]
                for copy, answer in zip(batch, answers, strict=True):
                    if isinstance(answer.error, RecordRejectedError):
                        why = f"{name} {copy.vendor_id}, which a stream made of it, was not deleted: {answer.error}"
                        failed[copy.entity_id] = Kept(scope.entity, copy.entity_id, copy.source_id, why)
                with self._transaction() as connection:
                    runs.fence(connection, self.key)
                    undoing.bury_copies(connection, self.key.tenant_id, gone)
                done = result.removed_elsewhere
                done[connection_id, name] = done.get((connection_id, name), 0) + len(gone)
                for error in (answer.error for answer in answers):
                    if error is not None and not isinstance(error, RecordRejectedError):
                        raise error  # of the connection, not of the record: an undo that goes on tries it again

    def _keep(self, result: UndoResult, kept: Sequence[Kept]) -> None:
        result.kept_total += len(kept)
        result.kept.extend(kept[: max(0, KEPT_MAX - len(result.kept))])
