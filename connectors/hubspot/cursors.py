"""Where a listing of HubSpot goes on.

A cursor is one of three positions:

* ``list``: in the listing of an object, after the id ``after``, which is also HubSpot's own page token.
* ``changed``: in the records changed since ``since``. The search takes one sort and shows 10,000 results, so every page is
  a query of its own: from the stamp where the last one ended. Where a whole page has one stamp (an import writes thousands
  alike), the records of that stamp are asked for by id, after ``tie``.
* ``done``: a listing ended; the next one starts at ``since`` minus the overlap.

Stamps are milliseconds since 1970, HubSpot's resolution and the search's own form.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from domain.errors import CursorExpiredError
from domain.records import Cursor

Mode = Literal["list", "changed", "done"]
VERSION = 1
_MODES = ("list", "changed", "done")


@dataclass(frozen=True, slots=True)
class Position:
    """A decoded cursor."""

    mode: Mode
    started: int
    since: int | None = None
    after: str | None = None
    tie: int | None = None

    def encode(self) -> Cursor:
        """As JSON: only what is set."""
        return {"v": VERSION, **{key: value for key, value in asdict(self).items() if value is not None}}


def decode(cursor: Cursor | None) -> Position | None:
    """The position a cursor names; None for none. Raises CursorExpiredError when it isn't one of ours."""
    if not cursor:
        return None
    known = {"v", "mode", "started", "since", "after", "tie"}
    numbers = [cursor.get(name) for name in ("started", "since", "tie")]
    if (
        cursor.get("v") != VERSION
        or set(cursor) - known
        or cursor.get("mode") not in _MODES
        or not isinstance(cursor.get("started"), int)
        or not all(n is None or isinstance(n, int) for n in numbers)
    ):
        raise CursorExpiredError(
            "The stored cursor is not one of this HubSpot connector.", remedy="A full listing starts again."
        )
    return Position(**{key: value for key, value in cursor.items() if key != "v"})


def finish(started: int, lag: timedelta, since: int | None = None) -> Position:
    """Where the next incremental listing starts: records may appear in the index ``lag`` after their stamp."""
    return Position("done", started, since=max(since or 0, started - milliseconds(lag)))


def at(moment: datetime) -> Position:
    """The position of a listing that must cover everything from ``moment`` on."""
    return Position("done", stamp(moment), since=stamp(moment))


def stamp(moment: datetime) -> int:
    """``moment`` in milliseconds."""
    return int(moment.timestamp() * 1000)


def milliseconds(span: timedelta) -> int:
    """``span`` in milliseconds."""
    return span // timedelta(milliseconds=1)


def parse_stamp(value: str) -> int:
    """A timestamp as HubSpot prints it (``2024-05-01T09:00:00.123Z``, or milliseconds). Raises ValueError."""
    if value.isdigit():
        return int(value)
    return round(datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1000)
