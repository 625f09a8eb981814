"""Where a listing of Pipedrive goes on.

A cursor is a position in the listings that an object is made of (``part``), in one of two modes: ``on`` goes on there, by
Pipedrive's own ``token`` or from ``start``; ``done`` starts the next listing at ``since`` minus the overlap. ``stamp`` is the
highest update time seen, which stands in for a token that Pipedrive no longer takes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from domain.errors import CursorExpiredError
from domain.records import Cursor

VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A decoded cursor. Times are RFC 3339 in UTC."""

    mode: Literal["on", "done"]
    started_at: str
    part: int = 0
    since: str | None = None
    stamp: str | None = None
    token: str | None = None
    start: int = 0
    anchor: str | None = None
    deals: str | None = None

    def encode(self) -> Cursor:
        """As JSON: only what is set."""
        return {"v": VERSION, **{k: v for k, v in asdict(self).items() if v not in (None, 0)}}


def decode(cursor: Cursor | None) -> Position | None:
    """The position that a cursor names; None for none. Raises CursorExpiredError when it isn't one of ours."""
    if not cursor:
        return None
    try:
        position = Position(**{k: v for k, v in cursor.items() if k != "v"})
        for moment in (position.started_at, position.since, position.stamp):
            if moment is not None:
                instant(moment)
    except (TypeError, ValueError, AttributeError):
        position = None
    if position is None or cursor.get("v") != VERSION or position.mode not in ("on", "done"):
        raise CursorExpiredError(
            "The stored cursor is not one of this Pipedrive connector.", remedy="A full listing starts again."
        )
    return position


def at(moment: datetime) -> Position:
    """The position of a listing that must cover everything from ``moment`` on."""
    return Position("done", written(moment), since=written(moment))


def begin(before: Position | None, now: datetime) -> Position:
    """The position of a listing that begins now, after what ``before`` covered."""
    return Position("on", written(now), since=before.since if before else None)


def finish(position: Position, lag: timedelta) -> Position:
    """Where the next listing starts: the highest update time seen, never later than this listing's own start minus the lag."""
    cap = instant(position.started_at) - lag
    covered = [instant(position.since)] if position.since else []
    if position.stamp:
        covered.append(min(instant(position.stamp), cap))
    return Position("done", position.started_at, since=written(max(covered)) if covered else None)


def instant(text: str) -> datetime:
    """A time as either version writes it; v1 leaves the zone out and means UTC. Raises ValueError."""
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def written(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds: what ``updated_since`` takes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def highest(current: str | None, stamps: list[str | None], bound: str) -> str | None:
    """The latest of ``current`` and ``stamps``. What changed after the listing began says nothing of what is still to come."""
    known = [instant(s) for s in (*stamps, current) if s]
    reached = [moment for moment in known if moment <= instant(bound)]
    return written(max(reached)) if reached else current
