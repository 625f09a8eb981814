"""How much a pass may still delete in the hub, counting what its stream deleted of late: the brake's book-keeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sync_engine.core.model import Decision, Failure, Outcome
from sync_engine.core.recovery import Brake, Tally
from sync_engine.ports import Lane, LaneState


class Deletes:
    """The deletes of one pass over one lane, beginning from ``began``. ``tally``: as it was committed last.

    ``links`` counts the live links of the lane; it is asked only where there are deletes enough to matter.
    """

    def __init__(
        self, lane: Lane, began: LaneState, brake: Brake, clock: Callable[[], datetime], links: Callable[[], int]
    ) -> None:
        self._lane, self._brake, self._clock, self._links = lane, brake, clock, links
        self.tally: Tally = began.deletes
        self._linked: int | None = None
        self._let_through = began.resync is not None and began.resync.confirmed

    def too_many(self, gone: int, *, counted_anew: bool = False) -> Failure | None:
        """Why ``gone`` more deletes need a person's word, or None. ``counted_anew``: do not go by an earlier count of links."""
        recent = self._brake.recent(self.tally, self._clock())
        if gone == 0 or self._let_through or not self._brake.holds(recent + gone, 0):
            return None
        if (
            self._linked is None or counted_anew
        ):  # what was deleted of late was linked before: together, the pass found them
            self._linked = self._links() + recent
        linked = self._linked
        if not self._brake.holds(recent + gone, linked):
            return None
        before = f", after {recent} in the hours before" if recent else ""
        message = f"{gone} of {linked} linked records of {self._lane.object} are not at the vendor any more{before}."
        return Failure("mass_delete", message, fault="vendor")

    def tally_with(self, decisions: Sequence[Decision]) -> Tally | None:
        """The tally with what these delete; None where they add nothing to it, for what a person let through does not count."""
        gone = deletes_of(decisions)
        return None if gone == 0 or self._let_through else self._brake.noted(self.tally, self._clock(), gone)


def deletes_of(decisions: Sequence[Decision]) -> int:
    """How many of these take a record or its link away. A merge does not: what it takes away is in the survivor."""
    return sum(1 for d in decisions if (d.delete or d.tombstone_link) and d.outcome is not Outcome.MERGED)
