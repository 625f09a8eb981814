"""Creates that a vendor refuses because the record stands there already: it is read, and linked, merged or waited for.

A vendor that keeps the addresses of merged contacts refuses to have one of them made anew: it is the survivor there. What nobody
can settle so is a dead letter that names the record which stands in the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.errors import SynclineError
from sync_engine.core.model import Failure, Incoming, PushDecision
from sync_engine.core.push import Refusal, after_refusal
from sync_engine.engine import Pass
from sync_engine.ports import PullCommit, PullQuery


@dataclass(frozen=True, slots=True)
class Refused:
    """``standing``: the vendor id of the record in the way; ``former``: what the hub record was linked to before."""

    decision: PushDecision
    error: SynclineError
    standing: str
    former: str | None
    attempts: int

    @property
    def entity_id(self) -> UUID:
        return self.decision.entity_id


def read_what_stands(run: Pass, refused: Sequence[Refused]) -> Mapping[UUID, Failure]:
    """Read and take in what stands in the way of creates; returns those that nothing but a person can help, and why."""
    run.refused = {r.entity_id: r.standing for r in refused}
    asked = list(dict.fromkeys(i for r in refused for i in (r.standing, r.former) if i))
    size, said = run.port.ids_size, dict[str, Incoming]()
    for start in range(0, len(asked), size):
        raws = run.port.fetch(asked[start : start + size])
        said |= {raw.incoming.vendor_id: raw.incoming for raw in raws}
        if run.brakes(raws):
            return {}
        run.apply(raws, PullCommit(run.rules.entity))
    standing = [r.standing for r in refused]
    known = run.store.gather_pull(run.lane, PullQuery(standing, run.rules.entity, keys=list(run.refused))).known
    shared = run.port.membership is not None and not run.port.membership.part
    dead = {}
    for r in refused:
        if after_refusal(r.entity_id, said[r.standing], known, shared=shared) is Refusal.DEAD:
            link = known.links.get(r.standing)
            dead[r.entity_id] = failure(r, run.lane.object, run.rules.entity, None if link is None else link.entity_id)
    run.refused = {}
    return dead


def failure(refused: Refused, object_name: str, entity: str, held: UUID | None = None) -> Failure:
    """What a dead letter says. ``held``: the hub record that the one in the way is linked to."""
    whose = f"which is the hub's {entity} {held}" if held is not None else "which is no record of the hub"
    message = (
        f"{refused.error.message} In the way stands {object_name} {refused.standing}, {whose}. Merge the two on one side, or take "
        "the value from one of them; then replay."
    )
    return Failure(refused.error.code, message, refused.error.context.get("field"))
