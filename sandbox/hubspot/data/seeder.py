"""What every part of the generator shares: the random source, the moments of writing, how records are stored."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from sandbox.hubspot.derive import of as derived
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.records import Record, Values
from sandbox.hubspot.times import DAY_MS, day, iso, to_ms
from sandbox.kit import words
from sandbox.kit.clock import ANCHOR

YEAR_MS = 365 * DAY_MS
HISTORY_MS = 8 * YEAR_MS
END = to_ms(ANCHOR)


@dataclass(slots=True)
class Seeder:
    """``imported_at``: one great import gave a seventh of all records the same moment of change, to the millisecond."""

    portal: Portal
    rng: random.Random
    owners: list[str] = field(default_factory=list)
    imported_at: int = END - 2 * YEAR_MS

    def put(self, kind: str, values: dict[str, Any]) -> Record:
        """Store a record with its moments and its computed values; searches see it at once."""
        item = self.portal.objects[kind]
        created = END - int(self.rng.random() * HISTORY_MS)
        updated = created + int(self.rng.random() ** 3 * (END - created))
        if self.one_in(7) and created < self.imported_at:
            updated = self.imported_at
        if self.one_in(50):
            created, updated = created // 1000 * 1000, updated // 1000 * 1000
        record = Record(self.portal.counters.next(kind), {}, created, max(created, updated))
        own = {item.created_name: iso(created), item.modified_name: iso(record.updated), "hs_object_id": record.id}
        given: Values = {name: str(value) for name, value in values.items() if value not in (None, "")}
        source = "CRM_UI" if self.one_in(3) else "IMPORT"
        record.values = given | own | {"hs_object_source": source, "hs_object_source_label": source}
        self.compute(kind, record)
        self.portal.tables[kind][record.id] = record
        return record

    def compute(self, kind: str, record: Record, **more: str) -> None:
        """Values that the vendor computes, for a record and its index entry alike."""
        computed = derived(self.portal, self.portal.objects[kind], record.values) | more
        record.values = {n: v for n, v in (record.values | computed).items() if v != ""}
        record.indexed = record.values

    def link(self, kind: str, record: Record, other_kind: str, other: Record | None, *specs: int) -> None:
        """Associate by the plain type, or by types of the vendor's own."""
        if other is not None:
            known = self.portal.associations
            types = known.typed(
                kind, other_kind, [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": s} for s in specs]
            )
            known.link(kind, record.id, other_kind, other.id, types)

    def owner(self) -> str:
        """Mostly the first few; now and then one who has left; sometimes nobody."""
        return "" if self.one_in(9) else self.owners[int(self.rng.random() ** 2 * len(self.owners))]

    def one_in(self, number: int) -> bool:
        return self.rng.random() * number < 1

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.random() * len(values))]

    def maybe(self, number: int, value: Any) -> Any:
        """The value once in so many times."""
        return value if self.one_in(number) else ""

    def moment(self, back: int = 1500, ahead: int = 200) -> str:
        """A date-time around the anchor."""
        return iso(END + int((self.rng.random() * (back + ahead) - back) * DAY_MS))

    def date(self, back: int = 1500, ahead: int = 200) -> str:
        """A day; once in a while one at the edge of what systems accept."""
        if self.one_in(80):
            return str(self.pick(("1970-01-01", "2099-12-31", "1901-01-01", "2024-02-29")))
        return day(END + (int(self.rng.random() * (back + ahead)) - back) * DAY_MS)

    def phone(self) -> str:
        """National, bare digits, international, with an extension, foreign; rarely nonsense."""
        number, area = int(self.rng.random() * 9000) + 1000, int(self.rng.random() * 700) + 201
        formats = (
            f"({area}) 555-{number}", f"{area}555{number}", f"+1 {area}-555-{number}", f"{area}.555.{number} ext. 12",
            f"+49 30 90{number}{area}", f"+4420 7946 {number}", f"0{area % 90 + 10} / 55{number}", f"+81-3-5555-{number}",
        )  # fmt: skip
        return "ask reception" if self.one_in(150) else formats[number % len(formats)]

    def amount(self) -> str:
        """Usually thousands; sometimes nothing, a refund, a fortune or a fraction."""
        if self.one_in(40):
            return str(self.pick(("0", "-1250.5", "999999999999.99", "0.01", "1000000000")))
        return f"{self.rng.random() ** 2 * 200_000:.2f}"

    def html(self) -> str:
        """A note as people leave it: markup, entities, a script, plain text with line ends, emoji."""
        if self.one_in(3):
            return str(self.pick(words.HTML))
        return f"<div><p>{self.pick(words.TEXTS)}</p></div>" if self.one_in(2) else str(self.pick(words.TEXTS))

    def address(self) -> dict[str, str]:
        street, city, state, code, country = self.pick(words.PLACES)
        return {"address": street, "city": city, "state": state, "zip": code, "country": country}
