"""Undo: a run taken back in the reverse order of its load, leaving what people did since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.errors import ConfigurationError
from migration.progress import Meter, OnProgress, silent
from storage import loading, runs, undoing
from storage.database import Database
from storage.runs import Run, RunKey
from storage.undoing import Kept, Scope

BATCH = 5_000
KEPT_MAX = 200


@dataclass(slots=True)
class UndoResult:
    """What undo did. ``kept``: records left alone and why (at most 200; ``kept_total`` counts all)."""

    run_id: UUID
    deleted: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    unlinked: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    kept_total: int = 0
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
        }


@dataclass(frozen=True)
class Undo:
    """Takes back one run, whole or some of its objects. ``force``: conflicts too."""

    database: Database
    run: Run
    key: RunKey
    objects: Sequence[tuple[str, str]]  # (vendor object, entity) in load order
    force: bool = False
    on_progress: OnProgress = silent
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

    def _keep(self, result: UndoResult, kept: Sequence[Kept]) -> None:
        result.kept_total += len(kept)
        result.kept.extend(kept[: max(0, KEPT_MAX - len(result.kept))])
