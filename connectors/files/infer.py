"""What the values of a column are, decided over the whole file in one pass.

A kind that would change or lose a value is only chosen when every value fits it: one ZIP code with a leading zero makes
the column text. Kinds that only tell where a column belongs (email, url, dates) bear some misfits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from connectors.files.dates import DateProbe
from domain.entities import Kind
from domain.records import MISSING

OPTIONS_MAX = 50
_BOOLEANS = (
    {"true", "false"},
    {"yes", "no"},
    {"y", "n"},
    {"t", "f"},
    {"ja", "nein"},
    {"oui", "non"},
    {"wahr", "falsch"},
)
_FLAG_NAME = re.compile(
    r"(?:is|has|can|opt|active|enabled|deleted|closed|won)(?:[ _]|\Z)|.*(?:flag|opt.?(?:out|in))\b", re.I
)
_FLAG_CAMEL = re.compile(r"(?:Is|Has|Do|Can)[A-Z]")
_PHONE_NAME = re.compile(r"phone|mobile|\bcell|\bfax\b|\btel\b|telefon|téléphone|handy|mobil\b|teléfono", re.I)

_TESTS: dict[str, Callable[[str], object]] = {
    "integer": re.compile(r"[+-]?(?:0|[1-9]\d{0,17})\Z", re.ASCII).match,
    "point": re.compile(r"[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?\Z|[+-]?\.\d+\Z", re.ASCII).match,
    "comma": re.compile(r"[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?\Z|[+-]?,\d+\Z", re.ASCII).match,
    "iso_date": re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\Z", re.ASCII).match,
    "iso_time": re.compile(
        r"\d{4}-\d\d-\d\d[T ][012]\d:[0-5]\d(?::[0-6]\d(?:[.,]\d{1,9})?)? ?(?:Z|UTC|[+-]\d\d:?\d\d)?\Z", re.ASCII
    ).match,
    "email": re.compile(r"\s*[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]{2,}\s*\Z").match,
    "url": re.compile(r"\s*(?:https?://|www\.)\S+\s*\Z", re.I).match,
    "phone": re.compile(r"\s*(?:\+\s?)?\(?\d[\d\s().\-/]{4,}(?:\s*(?:x|ext)\.?\s*\d+)?\s*\Z", re.I | re.ASCII).match,
    "vendor_id": re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Z]{3})?\Z", re.ASCII).match,
}
_BEARABLE = {"iso_date": 0.05, "iso_time": 0.05, "email": 0.2, "url": 0.2, "phone": 0.4}
"""Share of distinct values that may fail a test; what is not here must hold for every value."""

_PIECE = 500
"""Values that are tested before misfits are counted again."""

_ENOUGH = 50_000
"""Distinct values after which tests that bear misfits are not repeated; strict ones go on to the last value."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the rest of the file tells: ``decimal_comma`` and ``date_order`` where a column alone cannot."""

    decimal_comma: bool = False
    date_order: str = "mdy"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kind of a column, the format of its values (``date:%d/%m/%Y``, ``decimal:comma``), and a doubt in words."""

    kind: Kind
    vendor_type: str = ""
    doubt: str = ""


@dataclass(slots=True)
class ColumnProbe:
    """Feed it the values of one column, block by block, then ask for a `verdict`.

    ``filled`` counts the values that are not blank. ``options``: the distinct texts while they are few, else None.
    ``prefixes``: first three characters of values that all look like Salesforce ids.
    """

    name: str
    filled: int = 0
    natives: dict[type, int] = field(default_factory=dict)
    options: set[str] | None = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    dates: DateProbe = field(default_factory=DateProbe)
    alive: set[str] = field(default_factory=lambda: set(_TESTS))
    fails: dict[str, int] = field(default_factory=dict)
    tested: int = 0
    settled: bool = False

    def set_aside(self) -> None:
        """Count its values only: the column is known (an id) and every value of it would have to be looked at."""
        self.options, self.settled = None, True

    def feed(self, values: Sequence[str]) -> None:
        """Texts, '' for blank."""
        if self.settled:
            self.filled += len(list(filter(None, values)))
            return
        distinct = set(values)
        self.filled += len(list(filter(None, values))) if "" in distinct else len(values)
        distinct.discard("")
        self._feed_distinct(distinct)

    def feed_natives(self, values: Sequence[Any]) -> None:
        """Values of any type; None, '' and MISSING for blank."""
        present = [v for v in values if v is not None and v is not MISSING and v != ""]
        self.filled += len(present)
        for value in present:
            kind = type(value)
            self.natives[kind] = self.natives.get(kind, 0) + 1
        if not self.settled:
            self._feed_distinct({v for v in present if type(v) is str})

    def verdict(self, hints: Hints) -> Verdict:
        others = {kind: n for kind, n in self.natives.items() if kind is not str}
        if others:
            return _native_verdict(set(others), mixed=str in self.natives)
        if not self.tested:
            return Verdict(Kind.TEXT)
        return self._boolean() or self._date(hints) or self._number(hints) or self._named()

    def _feed_distinct(self, distinct: Collection[str]) -> None:
        if not distinct:
            return
        self.tested += len(distinct)
        for test in tuple(self.alive):
            if not self._stands(test, distinct):
                self.alive.discard(test)
        if self.dates.alive:
            self.dates.feed(distinct)
        if "vendor_id" in self.alive and len(self.prefixes) < 100:
            self.prefixes.update(value[:3] for value in distinct)
        if self.options is not None:
            self.options.update(distinct)
            if len(self.options) > OPTIONS_MAX:
                self.options = None
        enough = self.tested > _ENOUGH
        strict = not enough or any(test not in _BEARABLE for test in self.alive)
        self.settled = self.options is None and not (self.alive and strict) and (enough or not self.dates.alive)

    def _stands(self, test: str, distinct: Collection[str]) -> bool:
        """Whether the column bears these values' misfits; stops at the first one too many."""
        if test not in _BEARABLE:
            return all(map(_TESTS[test], distinct))
        fails, most = self.fails.get(test, 0), _BEARABLE[test] * self.tested + 20
        values = iter(distinct)
        while fails <= most and (piece := list(islice(values, _PIECE))):
            fails += len(piece) - len(list(filter(None, map(_TESTS[test], piece))))
        self.fails[test] = fails
        return fails <= most

    def _passes(self, test: str) -> bool:
        return test in self.alive and self.fails.get(test, 0) <= _BEARABLE.get(test, 0) * self.tested

    def _boolean(self) -> Verdict | None:
        if self.options is None:
            return None
        seen = {option.strip().lower() for option in self.options}
        if any(seen <= pair for pair in _BOOLEANS):
            return Verdict(Kind.BOOLEAN)
        flag = _FLAG_NAME.match(self.name) or _FLAG_CAMEL.match(self.name)
        return Verdict(Kind.BOOLEAN) if flag and seen <= {"0", "1"} else None

    def _date(self, hints: Hints) -> Verdict | None:
        if self._passes("iso_time"):
            return Verdict(Kind.TIMESTAMP)
        if self._passes("iso_date"):
            return Verdict(Kind.DATE)
        if not (self.dates.alive and self.dates.is_date) or _PHONE_NAME.search(self.name):
            return None
        proven = self.dates.order()
        form, has_time = self.dates.format(proven or hints.date_order)
        kind = Kind.TIMESTAMP if has_time else Kind.DATE
        doubt = "" if proven else f"its dates could be day-first or month-first; they are read as {form}"
        return Verdict(kind, f"{kind}:{form}", doubt)

    def _number(self, hints: Hints) -> Verdict | None:
        if _PHONE_NAME.search(self.name):
            return None
        if self._passes("integer"):
            return Verdict(Kind.INTEGER)
        point, comma = self._passes("point"), self._passes("comma")
        if point and comma:
            form = "comma" if hints.decimal_comma else "point"
            return Verdict(
                Kind.DECIMAL, f"decimal:{form}", f"its numbers could have a decimal {form} or thousands marks"
            )
        if point or comma:
            return Verdict(Kind.DECIMAL, "decimal:point" if point else "decimal:comma")
        return None

    def _named(self) -> Verdict:
        if self._passes("email"):
            return Verdict(Kind.EMAIL)
        if self._passes("url"):
            return Verdict(Kind.URL)
        if _PHONE_NAME.search(self.name) and self._passes("phone"):
            return Verdict(Kind.PHONE)
        return Verdict(Kind.TEXT)


def _native_verdict(kinds: set[type], *, mixed: bool) -> Verdict:
    """The kind of values that are not (only) texts."""
    if kinds & {dict, list}:
        return Verdict(Kind.JSON)  # lists of texts too: in a custom field they stay the lists they are
    if mixed:
        return Verdict(Kind.TEXT)
    if kinds == {bool}:
        return Verdict(Kind.BOOLEAN)
    if kinds == {int}:
        return Verdict(Kind.INTEGER)
    if kinds <= {int, float, Decimal}:
        return Verdict(Kind.DECIMAL)
    if kinds == {date}:
        return Verdict(Kind.DATE)
    return Verdict(Kind.TIMESTAMP) if kinds <= {date, datetime} else Verdict(Kind.TEXT)
