"""The ledger of a run: every record that the source listed ends in exactly one column, and the columns add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from storage.runs import Chunk


@dataclass(slots=True)
class ObjectLedger:
    """What became of one object's records.

    ``listed``: records and unreadable pieces that the source gave; ``superseded``: listed again later in the same run;
    ``left_out``: not part of the chosen sample. The rest, ``source``, is created + merged + updated + unchanged + rejected.
    ``pending``: references that still wait for their other end. ``files`` and ``bytes``: attachment content stored.
    ``recovered``: of the created and merged, those whose staged rows were lost in a crash of the server after they were loaded.
    """

    object: str
    entity: str = ""
    listed: int = 0
    superseded: int = 0
    left_out: int = 0
    created: int = 0
    merged: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    conflicts: int = 0
    pending: int = 0
    associations: int = 0
    files: int = 0
    bytes: int = 0
    files_failed: int = 0
    recovered: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def source(self) -> int:
        return self.listed - self.superseded - self.left_out

    @property
    def decided(self) -> int:
        return self.created + self.merged + self.updated + self.unchanged + self.rejected

    @property
    def adds_up(self) -> bool:
        return self.source == self.decided

    def add(self, chunk: Chunk) -> None:
        """Count one finished chunk of any phase."""
        counts = dict(chunk.counts or {})
        done = counts.get("done", {})
        self.listed += counts.get("listed", 0)
        self.left_out += counts.get("left_out", 0)
        self.superseded += counts.get("superseded", 0)
        self.created += counts.get("created", 0) + done.get("created", 0)
        self.merged += counts.get("merged", 0) + done.get("merged", 0) + done.get("matched", 0)
        self.recovered += sum(done.values())
        self.updated += counts.get("updated", 0) + done.get("updated", 0)
        self.unchanged += counts.get("unchanged", 0)
        self.rejected += counts.get("rejected", 0)
        self.conflicts += counts.get("conflicts", 0)
        self.associations += counts.get("associations", 0)
        self.files += counts.get("files", 0)
        self.bytes += counts.get("bytes", 0)
        self.files_failed += counts.get("files_failed", 0)
        if "pending_left" in counts:
            self.pending = counts["pending_left"]
        self.warnings.update(counts.get("warnings", {}))
        self.rejects.update(counts.get("rejects", {}))
        self.samples.extend(counts.get("samples", [])[: max(0, 20 - len(self.samples))])

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "source": self.source,
            "adds_up": self.adds_up,
            "warnings": dict(self.warnings),
            "rejects": dict(self.rejects),
        }


def ledgers(chunks: Iterable[Chunk], entities: dict[str, str]) -> dict[str, ObjectLedger]:
    """The ledger of every object of ``entities`` (object to entity), in that order."""
    result = {name: ObjectLedger(name, entity) for name, entity in entities.items()}
    for chunk in chunks:
        if chunk.object in result:
            result[chunk.object].add(chunk)
    return result
