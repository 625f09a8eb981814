"""Whether the hub and a vendor have the same records in the same state: compared by the vendor's own ids and versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sync_engine.comparing import parts
from sync_engine.ports import Lane, PullQuery, SyncStore, VendorPort
from sync_engine.views import look

SHOWN_MAX = 100
FETCHED_AT_ONCE = 100


@dataclass(slots=True)
class Verified:
    """Numbers of one object, and the ids that differ (at most `SHOWN_MAX` of each kind; ``differences`` counts all).

    ``only_there``: at the vendor, not linked here; ``only_here``: linked here, not at the vendor any more; ``changed``: changed
    there since the hub last looked. Records that the mapping leaves out, or that another
    object holds, are neither.
    """

    object: str
    listed: int = 0
    linked: int = 0
    only_there: list[str] = field(default_factory=list)
    only_here: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    differences: int = 0
    compared: bool = True

    @property
    def ok(self) -> bool:
        return self.compared and not self.differences


def verify_lane(store: SyncStore, port: VendorPort, lane: Lane) -> Verified:
    """List ids and versions at the vendor beside the hub's links, span by span; memory stays flat."""
    result = Verified(lane.object)
    if not port.can_compare:
        result.compared = False
        return result
    for part in parts(port, None):
        ours = store.links_between(lane, part.span)
        result.listed += len(part.listed)
        result.linked += len(ours)
        if list(ours) != list(part.listed):
            known = _exact(store, port, lane, dict(ours), dict(part.listed))
            _compare(result, store, port, lane, known, dict(part.listed))
    return result


def _exact(
    store: SyncStore, port: VendorPort, lane: Lane, ours: dict[str, str], theirs: dict[str, str]
) -> dict[str, str]:
    """The hub's versions, also of records that are to be looked at again (a reference of theirs waits): those have none."""
    again = [vendor_id for vendor_id, version in ours.items() if not version and theirs.get(vendor_id)]
    for start in range(0, len(again), FETCHED_AT_ONCE):
        query = PullQuery(again[start : start + FETCHED_AT_ONCE], port.rules.entity)
        links = store.gather_pull(lane, query).known.links
        ours |= {vendor_id: link.version for vendor_id, link in links.items()}
    return ours


def _compare(
    result: Verified, store: SyncStore, port: VendorPort, lane: Lane, ours: dict[str, str], theirs: dict[str, str]
) -> None:
    unlinked = [vendor_id for vendor_id in theirs if vendor_id not in ours]
    there = _kept(store, port, lane, unlinked)
    result.listed -= len(unlinked) - len(there)
    here = [vendor_id for vendor_id in ours if vendor_id not in theirs]
    changed = [vendor_id for vendor_id, version in theirs.items() if vendor_id in ours and ours[vendor_id] != version]
    for found, kept in ((there, result.only_there), (here, result.only_here), (changed, result.changed)):
        result.differences += len(found)
        kept.extend(found[: max(0, SHOWN_MAX - len(kept))])


def _kept(store: SyncStore, port: VendorPort, lane: Lane, vendor_ids: Sequence[str]) -> list[str]:
    """Those of the ids that neither the mapping leaves out nor another object holds."""
    kept: list[str] = []
    for start in range(0, len(vendor_ids), FETCHED_AT_ONCE):
        asked = vendor_ids[start : start + FETCHED_AT_ONCE]
        elsewhere = look(store, lane, port.membership, asked).elsewhere
        here = [
            raw.incoming
            for raw in port.fetch(asked)
            if not raw.incoming.outside and raw.incoming.vendor_id not in elsewhere
        ]
        kept += [item.vendor_id for item in here if not item.deleted and item.merged_into is None]
    return kept
