"""What every part of the generator shares: the random source, the users, and the moments at which records were written."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from sandbox.kit import words
from sandbox.kit.clock import ANCHOR
from sandbox.salesforce.clock import stamp
from sandbox.salesforce.org import Org

Row = dict[str, Any]
MOMENTS = 20_000
HISTORY = timedelta(days=3650)


@cache
def _moments() -> tuple[str, ...]:
    step = HISTORY / MOMENTS
    return tuple(stamp(ANCHOR - HISTORY + step * i) for i in range(MOMENTS))


@cache
def _positions() -> dict[str, int]:
    return {moment: i for i, moment in enumerate(_moments())}


@dataclass(slots=True)
class Seeder:
    """``moments`` are times of ten years in order, shared by all rows; ``import_at`` is the one of the great data load."""

    org: Org
    rng: random.Random
    users: list[str] = field(default_factory=list)
    queue: str = ""
    me: str = ""
    moments: tuple[str, ...] = ()
    import_at: str = ""
    _positions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moments = _moments()
        self._positions = _positions()
        self.import_at = self.moments[MOMENTS * 7 // 10]

    def put(self, kind: str, row: Row) -> Row:
        """Store a row with its id, owner and audit fields."""
        row["Id"] = self.org.ids.next(self.org.objects[kind].prefix)
        self.audit(row)
        self.org.tables[kind][row["Id"]] = row
        return row

    def audit(self, row: Row) -> None:
        """When and by whom. One record in seven came with one data load: one SystemModstamp, older LastModifiedDate."""
        roll = self.rng.random()
        first = int(roll * MOMENTS * 0.9)
        created = self.moments[first]
        modified = self.moments[first + int(self.rng.random() ** 3 * (MOMENTS - first))]
        user = self.users[int(roll * 1000) % len(self.users)] if self.users else self.me
        row["CreatedDate"], row["CreatedById"] = created, user
        row["LastModifiedDate"], row["LastModifiedById"] = modified, user
        imported = self.rng.random() < 0.15 and modified < self.import_at
        row["SystemModstamp"] = self.import_at if imported else modified

    def index_of(self, moment: str) -> int:
        return self._positions[moment]

    def owner(self) -> str:
        """Mostly the first few users; now and then one who has left."""
        return self.users[int(self.rng.random() ** 2 * len(self.users))]

    def one_in(self, number: int) -> bool:
        return self.rng.random() * number < 1

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.random() * len(values))]

    def day(self, back: int = 2000, ahead: int = 365) -> str:
        """A date around the anchor; once in a while one at the edge of what systems accept."""
        if self.one_in(80):
            return str(self.pick(("1970-01-01", "2099-12-31", "1899-12-31", "2024-02-29")))
        offset = int(self.rng.random() * (back + ahead)) - back
        return (ANCHOR + timedelta(days=offset)).date().isoformat()

    def phone(self) -> str:
        """Five formats and some: national, bare digits, international, with an extension, foreign; rarely nonsense."""
        number = int(self.rng.random() * 9000) + 1000
        area = int(self.rng.random() * 700) + 201
        formats = (
            f"({area}) 555-{number}", f"{area}555{number}", f"+1 {area}-555-{number}", f"{area}.555.{number} x{number % 900 + 10}",
            f"+49 30 90{number}{area}", f"+44 20 7946 {number}", f"0{area % 90 + 10} / 55{number}", f"+81-3-5555-{number}",
        )  # fmt: skip
        return "call the front desk" if self.one_in(150) else formats[number % len(formats)]

    def amount(self) -> float:
        """Usually thousands; sometimes nothing, a refund, a fortune or a fraction."""
        if self.one_in(40):
            return float(self.pick((0.0, -1250.5, 999999999999.99, 0.01, 1e9)))
        return float(round(self.rng.random() ** 2 * 200_000, 2))

    def currency(self) -> str:
        return str(self.pick(("USD", "USD", "USD", "USD", "EUR", "EUR", "GBP", "JPY", "CHF", "BRL")))

    def text(self) -> str:
        """A note as people leave it; one in a hundred fills the field."""
        note = str(self.pick(words.TEXTS))
        return (note + "\n") * 400 if self.one_in(100) else note

    def address(self, row: Row, stem: str) -> None:
        street, city, state, code, country = self.pick(words.PLACES)
        row[stem + "Street"], row[stem + "City"] = street, city
        row[stem + "PostalCode"], row[stem + "Country"] = code, country
        if state:
            row[stem + "State"] = state

    def delete(self, row: Row) -> None:
        row["IsDeleted"] = True
