"""What the parts of planning a pull share: the batch, what is known, and which hub records the batch has changed already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sync_engine.core.model import Decision, Failure, Hub, Incoming, Known, Link, Outcome, Rules

NewId = Callable[[Incoming], UUID]
"""The id of the hub record that an incoming record creates: the same for the same record, however often it is planned."""

AGAIN = "plan_again"


@dataclass(slots=True)
class Planning:
    """``batch``: the latest state of each record. ``claimed``: hub records that the batch links; ``touched``: that it changes.

    ``losers``: by survivor, the linked records that were merged into it. ``settling``: vendor records that are linked once the
    batch is applied, or are planned again; ``taken_over``: by survivor, the hub record that it takes over from a loser.
    """

    rules: Rules
    known: Known
    new_id: NewId
    batch: Mapping[str, Incoming]
    claimed: set[UUID] = field(default_factory=set)
    touched: set[UUID] = field(default_factory=set)
    losers: Mapping[str, Sequence[Link]] = field(default_factory=dict)
    settling: set[str] = field(default_factory=set)
    taken_over: dict[str, UUID] = field(default_factory=dict)


def again(item: Incoming) -> Decision:
    """The record is planned once more when what it hangs on is applied."""
    message = "Another record of the same batch changes the same hub record; this one is planned once that is applied."
    return Decision(item.vendor_id, Outcome.SKIPPED, failure=Failure(AGAIN, message, fault="ours"))


def needs_another_look(decision: Decision) -> bool:
    """Whether the decision hangs on another one of its batch, and must be made anew once that one is applied."""
    return decision.failure is not None and decision.failure.code == AGAIN


def hub_of(known: Known, link: Link) -> Hub | None:
    """The hub record that a link stands for: the survivor, where records were merged.

    Not so while the link lives and its own record is gone: then the vendor still has to delete its half of the merged two, and
    whatever happens to that half must not happen to the survivor.
    """
    own = known.hubs.get(link.entity_id)
    if own is not None and own.deleted and not link.tombstoned:
        return own
    return known.hubs.get(survivor_of(known, link.entity_id))


def survivor_of(known: Known, entity_id: UUID | None) -> UUID:
    """The hub record that one was merged into, and that one into another, to the end; itself where it was not."""
    seen: set[UUID] = set()
    current = entity_id or UUID(int=0)
    while current in known.redirects and current not in seen:
        seen.add(current)
        current = known.redirects[current]
    return current


def stands(known: Known, vendor_id: str) -> bool:
    """Whether a vendor record is linked to one of the hub's that stands, perhaps merged into another one."""
    link = known.links.get(vendor_id)
    hub = None if link is None else known.hubs.get(survivor_of(known, link.entity_id))
    return hub is not None and not hub.deleted
