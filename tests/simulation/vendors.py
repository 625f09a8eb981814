"""Stand-in vendors for the simulation: plain state and a vendor's rules under a clock that the simulation turns.

`Vendor` has versions, conditional writes and an upsert by key where ``strict``; else none of them. Its listings lag
behind its writes, its cursors expire, it keeps values in its own spelling. Tokens in values tell who wrote what.

One that ``keeps`` has every identity once, like HubSpot: that of a merged record stays its survivor's, and is refused to any other;
the id of a merged record leads to its survivor, also in writes, of which none is conditional.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

TOKEN = re.compile(r"t\d+x")
LAG = timedelta(seconds=20)
OVERLAP = timedelta(seconds=40)
IDENTITY = {"companies": "name", "people": "email", "deals": "name"}


class TakenError(Exception):
    """Another record has this identity: its id."""


def tokens(value: Any) -> set[str]:
    """The tokens in a value: each edit by a person writes one that nobody else writes."""
    return set(TOKEN.findall(str(value).lower()))


@dataclass(frozen=True)
class Row:
    """One record. ``values``: in the vendor's fields, references by vendor id. ``before``: what the index still shows.

    ``also``: the identities of records that were merged into it.
    """

    id: str
    values: Mapping[str, Any]
    created_at: datetime
    modified_at: datetime
    serial: int
    key: str | None = None
    deleted: bool = False
    merged_into: str | None = None
    visible_at: datetime | None = None
    before: Row | None = None
    also: tuple[str, ...] = ()


@dataclass
class Vendor:
    """One account. ``now`` is the vendor's own clock. ``writes`` counts what the engine wrote;

    ``refused`` the creates that it refused, ``led_on`` the writes to a merged record that changed its survivor. ``raced``: tokens
    that nobody could save. ``odds``: the probability that each stage brings; ``parents``: its pipeline.
    """

    name: str
    strict: bool
    clock: Any
    skew: timedelta = timedelta(0)
    lag: timedelta = LAG
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    expired_before: datetime | None = None
    serial: int = 0
    writes: int = 0
    keeps: bool = False
    refused: int = 0
    led_on: int = 0
    raced: set[str] = field(default_factory=set)
    tokens_at: dict[str, int] = field(default_factory=dict)
    odds: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.clock() + self.skew

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    # ------------------------------------------------------------ what anyone does

    def create(self, object_name: str, values: Mapping[str, Any], key: str | None = None, *, lags: bool = True) -> str:
        serial = self._next()
        vendor_id = f"{self.name}{serial:04d}"
        visible = self.now + self.lag if lags else None
        kept = {n: v for n, v in self._kept(values).items() if v is not None}
        row = Row(vendor_id, kept, self.now, self.now, serial, key, visible_at=visible)
        self.rows[object_name, vendor_id] = row
        return vendor_id

    def change(self, object_name: str, vendor_id: str, values: Mapping[str, Any], **more: Any) -> Row:
        old = self.rows[object_name, vendor_id]
        merged = {n: v for n, v in {**old.values, **self._kept(values)}.items() if v not in (None, "", [])}
        if (inside := self.parents.get(str(merged.get("stage_id")))) is not None and merged.get(
            "pipeline_id"
        ) != inside:
            raise AssertionError(f"{merged['stage_id']} is no stage of {merged.get('pipeline_id')}")
        before = self.indexed(old)
        self.rows[object_name, vendor_id] = replace(
            old,
            values=merged,
            modified_at=self.now,
            serial=self._next(),
            visible_at=self.now + self.lag,
            before=None if before is None else replace(before, before=None),
            **more,
        )
        return self.rows[object_name, vendor_id]

    def bury(self, object_name: str, vendor_id: str, into: str | None = None) -> Row:
        """Delete or merge away; whatever referred to it refers to nothing, or to the survivor."""
        row = self.change(object_name, vendor_id, {}, deleted=True, merged_into=into)
        for child in self.live("people"):
            if child.values.get("account_id") == vendor_id:
                self.change("people", child.id, {"account_id": into})
        return row

    def _kept(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """In the vendor's own spelling: texts trimmed, towns in capitals at the strict one."""
        kept = {n: v.strip() if isinstance(v, str) else v for n, v in values.items()}
        parent = self.rows.get(("companies", kept.get("account_id") or ""))
        if "account_id" in kept and (parent is None or parent.deleted):
            kept["account_id"] = None  # nobody can refer to what is gone
        if self.strict and isinstance(kept.get("city"), str):
            kept["city"] = kept["city"].upper()
        if kept.get("stage_id"):
            kept["probability"] = self.odds[kept["stage_id"]]
        return kept

    def live(self, object_name: str) -> list[Row]:
        return [r for (of, _), r in self.rows.items() if of == object_name and not r.deleted]

    def merge(self, object_name: str, survivor: Row, loser: Row, filled: Mapping[str, Any]) -> None:
        """The loser is gone; the survivor takes what it lacks and, where identities are kept, the loser's."""
        name = IDENTITY[object_name]
        also = (*survivor.also, *loser.also, str(loser.values.get(name))) if self.keeps else ()
        self.bury(object_name, loser.id, survivor.id)
        self.change(object_name, survivor.id, filled, also=also)

    def holder(self, object_name: str, values: Mapping[str, Any]) -> Row | None:
        """Who has this identity, where nobody else may have it."""
        identity = values.get(IDENTITY[object_name])
        if not self.keeps or identity is None:
            return None
        return next(
            (
                row
                for row in self.live(object_name)
                if identity == row.values.get(IDENTITY[object_name]) or identity in row.also
            ),
            None,
        )

    # ------------------------------------------------------------ what people do

    def note_tokens(self, value: Any) -> None:
        for token in tokens(value):
            self.tokens_at[token] = self.serial

    # ------------------------------------------------------------ what the engine reads

    def indexed(self, row: Row) -> Row | None:
        """The record as listings show it: some seconds late, so perhaps as it was, perhaps not at all."""
        if row.visible_at is None or self.now >= row.visible_at:
            return row
        return row.before

    def changed(self, object_name: str, since: datetime, after: tuple[datetime, str] | None, limit: int) -> list[Row]:
        shown = [s for (of, _), r in self.rows.items() if of == object_name and (s := self.indexed(r)) is not None]
        place = [r for r in shown if r.modified_at >= since and (after is None or (r.modified_at, r.id) > after)]
        return sorted(place, key=lambda r: (r.modified_at, r.id))[:limit]

    def by_id(self, object_name: str, vendor_id: str) -> Row | None:
        return self.rows.get((object_name, vendor_id))

    def listed(self, object_name: str, after: str | None, limit: int) -> list[Row]:
        shown = [s for (of, _), r in self.rows.items() if of == object_name and (s := self.indexed(r)) is not None]
        return sorted((r for r in shown if not r.deleted and (after is None or r.id > after)), key=lambda r: r.id)[
            :limit
        ]

    # ------------------------------------------------------------ what the engine writes

    def put(
        self, object_name: str, vendor_id: str, values: Mapping[str, Any], expected: str | None, read: int | None
    ) -> Row | None:
        """Update; None where a newer version stands and the write named an older one. Raises KeyError where it is gone, and
        TakenError.

        ``read``: the serial at which the writer itself last read the record, None if it did not.
        """
        row = self._led_on(object_name, vendor_id)
        if row is None or row.deleted:
            raise KeyError(vendor_id)
        if (other := self.holder(object_name, values)) is not None and other.id != row.id:
            raise TakenError(other.id)
        conditional = self.strict and not self.keeps
        if conditional and expected is not None and expected != self.version(row):
            return None
        replaced = {n: row.values.get(n) for n in values}
        if not conditional:
            self._note_race(replaced, read)
        if row.id != vendor_id:
            self.led_on += 1
            self.raced |= {t for v in replaced.values() for t in tokens(v)}
        self.writes += 1
        return self.change(object_name, row.id, values)

    def _led_on(self, object_name: str, vendor_id: str) -> Row | None:
        return self.rows.get((object_name, self.led_to(object_name, vendor_id) if self.keeps else vendor_id))

    def led_to(self, object_name: str, vendor_id: str) -> str:
        """Into what a record was merged, to the end; itself where it was not."""
        row = self.rows.get((object_name, vendor_id))
        while row is not None and row.merged_into is not None:
            vendor_id = row.merged_into
            row = self.rows.get((object_name, vendor_id))
        return vendor_id

    def upsert(self, object_name: str, values: Mapping[str, Any], key: str | None, *, blind: bool) -> tuple[Row, bool]:
        """Create; where an upsert by key exists and the key is there already, update that one.

        ``blind``: nobody can ask by key whether it is there, so what was entered meanwhile is lost and counted as such. Raises
        TakenError.
        """
        self.writes += 1
        if self.strict and key is not None:
            for row in self.live(object_name):
                if row.key == key:
                    if blind:
                        self._note_race({n: row.values.get(n) for n in values}, 0)
                    return self.change(object_name, row.id, values), False
        if (other := self.holder(object_name, values)) is not None:
            self.refused += 1
            raise TakenError(other.id)
        vendor_id = self.create(object_name, values, key)
        return self.rows[object_name, vendor_id], True

    def remove(self, object_name: str, vendor_id: str, read: int | None) -> None:
        row = self.rows.get((object_name, vendor_id))
        if row is not None and not row.deleted:
            self._note_race(row.values, read)
            self.writes += 1
            self.bury(object_name, vendor_id)

    def _note_race(self, replaced: Mapping[str, Any], read: int | None) -> None:
        """Without conditional writes, what a person enters between a writer's own reading and its writing is lost: counted.

        Nothing excuses a writer that did not read (``read`` None), nor does what somebody else read.
        """
        if read is None:
            return
        self.raced |= {t for v in replaced.values() for t in tokens(v) if self.tokens_at.get(t, 0) > read}

    def version(self, row: Row) -> str:
        return f"{row.serial:06d}" if self.strict else ""

    def pages(self, object_name: str, since: datetime | None, size: int) -> Iterator[tuple[list[Row], datetime, bool]]:
        """Pages by time of change, each with where to go on; the vendor goes on changing between them."""
        started = self.now - self.lag - OVERLAP
        begin = since if since is not None else datetime.min.replace(tzinfo=self.now.tzinfo)
        after: tuple[datetime, str] | None = None
        while True:
            rows = self.changed(object_name, begin, after, size)
            if len(rows) < size:
                yield rows, started if since is None or started > since else since, True
                return
            after = (rows[-1].modified_at, rows[-1].id)
            yield rows, min(after[0], started) if since is None else max(since, min(after[0], started)), False


def page_of(rows: Sequence[Row]) -> list[str]:
    return [r.id for r in rows]
