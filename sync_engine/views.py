"""Two objects over one vendor's records: which of them holds a record, and what the other one knows of it.

A vendor may have one kind of record where the hub has two: HubSpot's contacts are leads of the hub's up to some stage, and its
contacts from then on. Each of the two objects lists all records; `Membership` says by a field of theirs whose they are. Then:

* A record is taken in by the object that holds it, and never made a second time by the other one.
* Whoever is linked by the rest stays there, whatever the field says later: what became of a lead does not become a lead again.
* A record of the part that the rest holds by now has turned into what it is there; the vendor says no more of it than that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from domain.entities import ENTITIES, Becomes
from sync_engine.core.merge import is_blank
from sync_engine.core.model import Incoming, Known, Link, VendorRef
from sync_engine.ports import Lane, PullQuery, Raw, SyncStore
from sync_engine.resolving import match_values


@dataclass(frozen=True, slots=True)
class Membership:
    """Which of a vendor's records an object holds, and which ``other`` object (of ``entity``) holds instead.

    ``part``: this one holds those whose ``field`` has one of ``values``; else the other does. ``match_keys``: of the other entity.
    ``given``: the value that a record gets which the hub makes here; ``moves_to`` (of a part): the one with which the hub moves a
    record over; "": it does not.
    """

    field: str
    values: frozenset[str]
    part: bool
    other: str
    entity: str
    match_keys: tuple[tuple[str, ...], ...] = ()
    given: str = ""
    moves_to: str = ""

    def outside(self, value: object) -> bool | None:
        """Whether a record with this value of ``field`` is the other object's; None where the value says nothing."""
        text = str(value or "").strip()
        return (text in self.values) is not self.part if text else None


@dataclass(frozen=True, slots=True)
class Beside:
    """See ``elsewhere`` and ``became`` of `Known`."""

    elsewhere: Mapping[str, UUID] = field(default_factory=dict)
    became: Mapping[str, UUID] = field(default_factory=dict)


def look(store: SyncStore, lane: Lane, membership: Membership | None, vendor_ids: Collection[str]) -> Beside:
    """What the other object knows of these records."""
    if membership is None or not vendor_ids:
        return Beside()
    asked = [((membership.other,), vendor_id) for vendor_id in dict.fromkeys(vendor_ids)]
    found = store.gather_pull(lane, PullQuery((), membership.entity, asked)).refs
    elsewhere = {vendor_id: hub_id for (_, vendor_id), hub_id in found.items()}
    becomes = ENTITIES[membership.entity].becomes
    if membership.part or becomes is None or not elsewhere:
        return Beside(elsewhere)
    hubs = store.gather_pull(lane, PullQuery((), membership.entity, keys=sorted(set(elsewhere.values())))).known.hubs
    into = {i: hub.values.get(becomes.into) for i, hub in hubs.items() if hub.values.get(becomes.flag) is True}
    became = {vendor_id: now for vendor_id, i in elsewhere.items() if isinstance(now := into.get(i), UUID)}
    return Beside(elsewhere, became)


def named_by(raws: Sequence[Raw]) -> list[str]:
    """The vendor ids of a batch, and of what its records were merged into."""
    merged = [raw.incoming.merged_into for raw in raws if raw.incoming.merged_into]
    return [*(raw.incoming.vendor_id for raw in raws), *merged]


def strangers(store: SyncStore, lane: Lane, membership: Membership | None, items: Sequence[Incoming]) -> frozenset[str]:
    """Records of the part, not linked yet, that the hub knows as what the rest holds: by a key, or because they match."""
    if membership is None or not membership.part or not items:
        return frozenset()
    matches = {i.vendor_id: match_values(i, membership.match_keys) for i in items}
    keys = {i.vendor_id: i.key for i in items if i.key is not None}
    query = PullQuery((), membership.entity, matches=matches, keys=sorted(set(keys.values())))
    known = store.gather_pull(replace(lane, object=membership.other), query).known
    named = {i for i, key in keys.items() if key in known.hubs and not known.hubs[key].deleted}
    return frozenset(named | {i for i, found in known.candidates.items() if found})


def placed(
    membership: Membership | None,
    becomes: Becomes | None,
    items: Sequence[Incoming],
    known: Known,
    others: Collection[str] = (),
) -> list[Incoming]:
    """The records of a batch, each with whether the other object holds it, and as what it says of itself then.

    ``becomes``: what records of the part turn into. ``others``: from `strangers`.
    """
    if membership is None:
        return list(items)
    result = []
    for item in items:
        if item.merged_into is not None and membership.part and becomes is not None:
            result.append(replace(item, waits=_of_survivor(membership, becomes, item.merged_into, known)))
            continue
        if item.deleted or item.merged_into is not None:
            result.append(item)
            continue
        link = known.links.get(item.vendor_id)
        live = link is not None and not link.tombstoned
        elsewhere = known.elsewhere.get(item.vendor_id)
        if membership.part:
            left = item.outside if item.outside is not None else not live
            outside = left or elsewhere is not None or (not live and item.vendor_id in others)
        else:
            left = item.outside if item.outside is not None else elsewhere is not None
            outside = left and not live
        if outside and not live and item.error is not None:  # the other object's stream tells of it
            result.append(Incoming(item.vendor_id, version=item.version, outside=True))
        elif membership.part and becomes is not None:
            result.append(_of_part(membership, becomes, replace(item, outside=outside), known, elsewhere, left))
        else:
            result.append(replace(item, outside=outside))
    return result


def _of_survivor(membership: Membership, becomes: Becomes, survivor: str, known: Known) -> tuple[VendorRef, ...]:
    """What a record of the part waits for that was merged into one that the rest holds, and has not taken in yet."""
    return () if survivor in known.elsewhere else (VendorRef(becomes.into, (membership.other,), survivor),)


def _of_part(
    membership: Membership, becomes: Becomes, item: Incoming, known: Known, elsewhere: UUID | None, left: bool
) -> Incoming:
    """A record of the part says of itself what the mapping reads; one that left it says only what it is now.

    One that the rest holds although the vendor still shows it in the part says no more than that it has turned into something,
    where the hub knows into what: so the vendor's field lags behind and is written.
    """
    link = known.links.get(item.vendor_id)
    if not item.outside:
        return replace(item, values={**item.values, **_taken_back(becomes, link)})
    print_ = item.fingerprint + b"|" + str(elsewhere).encode() if item.fingerprint else b""
    hub = known.hubs.get(link.entity_id) if link is not None else None
    settled = elsewhere is not None and hub is not None and hub.values.get(becomes.into) == elsewhere
    if elsewhere is not None and settled and not left and membership.moves_to:
        return replace(item, values={becomes.flag: True}, waits=(), fingerprint=print_)
    if elsewhere is not None:
        return replace(item, values={becomes.flag: True, becomes.into: elsewhere}, waits=(), fingerprint=print_)
    waits = (VendorRef(becomes.into, (membership.other,), item.vendor_id),)
    return replace(item, values={becomes.flag: True}, waits=waits, fingerprint=b"")


def _taken_back(becomes: Becomes, link: Link | None) -> dict[str, None]:
    """What a record said of having left the part, and says no more."""
    base = {} if link is None else link.base or {}
    return {name: None for name in (becomes.flag, becomes.into) if not is_blank(base.get(name))}
