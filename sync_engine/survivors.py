"""What vendor records were merged into is read along with them, where the hub does not know it: a merge is no delete."""

from __future__ import annotations

from collections.abc import Sequence

from sync_engine.core.planning import stands
from sync_engine.ports import Lane, PullQuery, Raw, SyncStore, VendorPort

CHAIN_MAX = 8
"""How often a survivor may have been merged on before the hub hears of any of it."""


def with_survivors(store: SyncStore, port: VendorPort, lane: Lane, raws: Sequence[Raw]) -> list[Raw]:
    """The batch, and what its linked records were merged into, as far as that is neither in it nor one of the hub's."""
    result, asked = list(raws), set[str]()
    for _ in range(CHAIN_MAX):
        missing = [i for i in _unknown(store, port, lane, result) if i not in asked]
        if not missing:
            break
        asked.update(missing)
        for start in range(0, len(missing), port.ids_size):
            result += port.fetch(missing[start : start + port.ids_size])
    return result


def _unknown(store: SyncStore, port: VendorPort, lane: Lane, raws: Sequence[Raw]) -> list[str]:
    """Survivors to ask for. A record between a linked one and the last of a chain need not be linked itself."""
    here = {raw.incoming.vendor_id for raw in raws}
    into = {raw.incoming.vendor_id: i for raw in raws if (i := raw.incoming.merged_into)}
    missing = {loser: i for loser, i in into.items() if i not in here}
    if not missing:
        return []
    known = store.gather_pull(lane, PullQuery([*missing, *missing.values()], port.rules.entity)).known
    between, live = set(into.values()), {i for i, link in known.links.items() if not link.tombstoned}
    found = (i for loser, i in missing.items() if loser in live or (loser not in known.links and loser in between))
    return list(dict.fromkeys(i for i in found if not stands(known, i)))
