"""Dates that are not ISO: which number is the day is decided over a whole column, and doubt is said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_NUMERIC = re.compile(
    r"\s*(\d{1,4})([/.\-])(\d{1,2})\2(\d{4}|\d{1,2})"
    r"(?:[ T](\d{1,2}):\d{2}(:\d{2})?(?: ?([AaPp][Mm]))?)?\s*\Z",
    re.ASCII,
)
_WIDTHS = {(4, 1), (4, 2), (1, 2), (2, 2), (1, 4), (2, 4)}
_BEARABLE = 0.05


@dataclass(slots=True)
class DateProbe:
    """Numeric dates with a separator; ``order`` is ``dmy``, ``mdy`` or ``ymd`` once the values settle it."""

    fits: int = 0
    misses: int = 0
    first_max: int = 0
    second_max: int = 0
    shapes: set[tuple[str, bool, int, bool, bool, bool]] = field(default_factory=set)

    @property
    def alive(self) -> bool:
        return self.misses <= 5 + _BEARABLE * (self.fits + self.misses) and len(self.shapes) <= 4

    def feed(self, values: Iterable[str]) -> None:
        match = _NUMERIC.match
        for value in values:
            found = match(value)
            if found is None:
                self.misses += 1
                continue
            first, separator, second, third, hour, seconds, half = found.groups()
            year_first = len(first) > 2
            if (len(first), len(third)) not in _WIDTHS:
                self.misses += 1
                continue
            self.fits += 1
            digits = 0 if year_first else len(third)
            self.shapes.add((separator, year_first, digits, hour is not None, bool(seconds), bool(half)))
            if not year_first:
                self.first_max = max(self.first_max, int(first))
            self.second_max = max(self.second_max, int(second))

    def order(self) -> str | None:
        """The order that the values prove; None when both day-first and month-first would do, or neither."""
        if any(shape[1] for shape in self.shapes):
            return "ymd" if all(shape[1] for shape in self.shapes) else None
        if self.first_max > 12 >= self.second_max:
            return "dmy"
        if self.second_max > 12 >= self.first_max:
            return "mdy"
        return (
            "dmy" if self.ambiguous and {shape[0] for shape in self.shapes} == {"."} else None
        )  # nobody writes month.day.year

    @property
    def ambiguous(self) -> bool:
        return self.first_max <= 12 and self.second_max <= 12

    @property
    def is_date(self) -> bool:
        """Nearly all values are dates of one shape and of one possible order."""
        total = self.fits + self.misses
        possible = self.ambiguous or self.order() is not None
        return self.fits > 0 and self.misses <= _BEARABLE * total and len(self.shapes) == 1 and possible

    def format(self, order: str) -> tuple[str, bool]:
        """The strptime format, and whether it has a time."""
        separator, _, year_digits, has_time, seconds, half = next(iter(self.shapes))
        year = "%Y" if year_digits == 4 or order == "ymd" else "%y"
        parts = {"dmy": ("%d", "%m", year), "mdy": ("%m", "%d", year), "ymd": (year, "%m", "%d")}[order]
        clock = ("%I" if half else "%H") + ":%M" + (":%S" if seconds else "") + (" %p" if half else "")
        return separator.join(parts) + (f" {clock}" if has_time else ""), has_time
