"""What a planted bug is, and the files that bugs are planted in."""

from __future__ import annotations

from dataclasses import dataclass

MERGE, LISTS = "sync_engine/core/merge.py", "sync_engine/core/lists.py"
PULL, PUSH, RECOVERY = "sync_engine/core/pull.py", "sync_engine/core/push.py", "sync_engine/core/recovery.py"
ENGINE, PUSHING, BRAKING = "sync_engine/engine.py", "sync_engine/pushing.py", "sync_engine/braking.py"
EDITS, GONE, PLANNING = "sync_engine/core/edits.py", "sync_engine/core/gone.py", "sync_engine/core/planning.py"
RESOLVING = "sync_engine/resolving.py"
STAND_INS = "sync_engine/core/stand_ins.py"
STORE, APPLYING = "tests/simulation/memory_store.py", "tests/simulation/applying.py"
VENDORS = "tests/simulation/vendors.py"


@dataclass(frozen=True)
class Mutant:
    """``trap``: what goes wrong in the world with such an engine."""

    name: str
    trap: str
    file: str
    old: str
    new: str
