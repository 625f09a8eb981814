"""Who is next: pure. Notices before polls before comparisons and first reads; tenants in turn; a reserve for what is urgent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import TypeVar

from bootstrap.syncing import order_of
from storage.scheduling import Waiting

T = TypeVar("T")

QUOTA_BACKGROUND_SHARE = 0.7
"""What polls and comparisons may use of a vendor's daily quota; the rest of the connection's share is for notices and changes."""
QUOTA_KNOWN_FOR = timedelta(minutes=15)
"""How long what a vendor said of its quota is believed: nobody but the vendor knows when its day begins."""


class Kind(StrEnum):
    """Why a lane is due, the most urgent first."""

    NOTICE = "notice"  # a record changed, here or there
    POLL = "poll"
    BACKFILL = "backfill"  # a first read, or a comparison in full

    @property
    def urgency(self) -> int:
        """Lower is sooner: the priority of messages."""
        return 10 * list(Kind).index(self)


def kind_of(lane: Waiting) -> Kind | None:
    """As what a lane is due. One that needs both a quick answer and a long read gets them in turn, or neither would end."""
    long = lane.comparing or lane.compare or (lane.overdue and lane.verified_at is None)
    if lane.hinted and not (long and lane.hinted_as == Kind.NOTICE and not lane.told):
        return Kind.NOTICE
    if long:
        return Kind.BACKFILL
    return Kind.POLL if lane.overdue else None


def choose(lanes: Sequence[Waiting], lanes_most: int, now: datetime) -> list[tuple[Waiting, Kind]]:
    """Which lanes of one tenant to tell to the workers, the most urgent first.

    At most ``lanes_most`` are held or told at once. The last place is kept for notices, so that no amount of reading keeps a change
    waiting.
    """
    busy = sum(1 for lane in lanes if lane.held or lane.told)
    chosen = []
    for lane, kind in sorted(_due(lanes, now), key=_place):
        upgrade = lane.told
        room = lanes_most if kind is Kind.NOTICE else max(lanes_most - 1, 1)
        if upgrade or busy < room:
            chosen.append((lane, kind))
            busy += 0 if upgrade else 1
    return chosen


def _due(lanes: Sequence[Waiting], now: datetime) -> Iterator[tuple[Waiting, Kind]]:
    for lane in lanes:
        kind = kind_of(lane)
        if kind is None or lane.held or (kind is not Kind.NOTICE and quota_is_short(lane, now)):
            continue
        if not lane.told or (lane.hinted_as is not None and kind.urgency < Kind(lane.hinted_as).urgency):
            yield lane, kind


def _place(due: tuple[Waiting, Kind]) -> tuple[int, int]:
    """Urgency first, then parents before what refers to them; the sort keeps the longest unverified first among equals."""
    lane, kind = due
    return kind.urgency, order_of(lane.entity)


def quota_is_short(lane: Waiting, now: datetime) -> bool:
    """Whether the remote account's day is used up but for the reserve."""
    if lane.quota_used is None or not lane.quota_limit or lane.quota_at is None:
        return False
    return now - lane.quota_at < QUOTA_KNOWN_FOR and lane.quota_used >= QUOTA_BACKGROUND_SHARE * lane.quota_limit


def in_turn(groups: Iterable[Sequence[T]]) -> list[T]:
    """The first of each group, then the second of each, and so on."""
    return [item for row in zip_longest(*groups, fillvalue=None) for item in row if item is not None]
