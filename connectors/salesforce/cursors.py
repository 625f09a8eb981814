"""Where a listing of Salesforce goes on.

A cursor is one of four positions:

* ``keyset``: after the record (modstamp, id), in the order SystemModstamp, Id. Ties on SystemModstamp are common (it has
  whole seconds, a bulk load stamps thousands of records alike), so the id belongs to it.
* ``id``: after the record id, for objects without a usable SystemModstamp.
* ``bulk``: in the results of a Bulk API 2.0 job. They come unordered; while the job lives they can be read from any
  locator again, afterwards the listing starts anew from ``since``.
* ``done``: a listing ended; the next one starts at ``modstamp`` minus the overlap.

``ends_from``: from when on changes of junction records count that lead from the listed ones.

``modstamp`` of a finished listing is the highest seen, but never later than the listing's own start minus the visibility
lag: a transaction that was open meanwhile may still commit records with an earlier stamp.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from connectors.salesforce.soql import parse_timestamp, timestamp
from domain.errors import CursorExpiredError
from domain.records import Cursor

Mode = Literal["keyset", "id", "bulk", "done"]
VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A decoded cursor. Times are ISO 8601 in UTC, as SOQL takes them."""

    mode: Mode
    started_at: str
    modstamp: str | None = None
    record_id: str | None = None
    since: str | None = None
    deleted_from: str | None = None
    job: str | None = None
    locator: str | None = None
    skip: int = 0
    ends_from: str | None = None

    def encode(self) -> Cursor:
        """As JSON: only what is set."""
        return {"v": VERSION, **{key: value for key, value in asdict(self).items() if value not in (None, 0)}}


def decode(cursor: Cursor | None) -> Position | None:
    """The position a cursor names; None for none. Raises CursorExpiredError when it isn't one of ours."""
    if not cursor:
        return None
    try:
        fields = {key: value for key, value in cursor.items() if key != "v"}
        position = Position(**fields)
        stamps = (position.started_at, position.modstamp, position.since, position.deleted_from, position.ends_from)
        for moment in stamps:
            if moment is not None:
                parse_timestamp(moment)
    except (TypeError, ValueError, AttributeError) as error:
        raise _unknown() from error
    if cursor.get("v") != VERSION or position.mode not in ("keyset", "id", "bulk", "done"):
        raise _unknown()
    return position


def _unknown() -> CursorExpiredError:
    return CursorExpiredError(
        "The stored cursor is not one of this Salesforce connector.", remedy="A full listing starts again."
    )


def advance(position: Position, stamps: list[str | None], ids: list[str]) -> Position:
    """The position after a page of a keyset listing.

    Rows are fetched while the listing runs, so one that somebody changed after the listing started shows a stamp from
    the future of its place. It must not carry the position past the records that are still to come: only stamps up to
    the listing's own start move it.
    """
    bound = parse_timestamp(position.started_at)
    for stamp, record_id in zip(reversed(stamps), reversed(ids), strict=True):
        if stamp is None:
            continue
        moment = parse_timestamp(stamp)
        if moment <= bound:
            before = position.modstamp and parse_timestamp(position.modstamp)
            if before and moment < before:
                return position
            return replace(position, mode="keyset", modstamp=timestamp(moment), record_id=record_id)
    return position


def highest(current: str | None, stamps: list[str | None]) -> str | None:
    """The latest of ``current`` and the stamps of an unordered page."""
    known = [parse_timestamp(stamp) for stamp in stamps if stamp]
    if current:
        known.append(parse_timestamp(current))
    return timestamp(max(known)) if known else None


def finish(position: Position, lag: timedelta) -> Position:
    """Where the next incremental listing starts."""
    cap = parse_timestamp(position.started_at) - lag
    covered = [parse_timestamp(position.since)] if position.since else []
    if position.modstamp:
        covered.append(min(parse_timestamp(position.modstamp), cap))
    return Position(
        mode="done",
        started_at=position.started_at,
        modstamp=timestamp(max(covered)) if covered else None,
        deleted_from=position.deleted_from,
        ends_from=timestamp(cap),
    )


def start(previous: Position | None, now: datetime, lag: timedelta) -> Position:
    """The position of a listing that begins now, after what ``previous`` covered."""
    covered = previous.modstamp if previous else None
    deleted_from = previous.deleted_from if previous else None
    return Position(
        mode="keyset",
        started_at=timestamp(now),
        since=covered,
        deleted_from=deleted_from or timestamp(now - lag),
    )


def at(moment: datetime) -> Position:
    """The position of a listing that must cover everything from ``moment`` on."""
    stamp = timestamp(moment)
    return Position(mode="done", started_at=stamp, modstamp=stamp, deleted_from=stamp, ends_from=stamp)
