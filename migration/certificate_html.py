"""The certificate as a page: self-contained, nothing loaded from anywhere, charts as inline SVG, printable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

if TYPE_CHECKING:
    from migration.certificate import Certificate, ObjectCertificate

WIDTH = 560
_OUTCOMES = ("created", "merged", "updated", "unchanged", "rejected")


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a stacked bar: where it begins and how wide it is, in pixels."""

    outcome: str
    number: int
    x: float
    width: float


def bars(certified: ObjectCertificate, largest: int) -> list[Bar]:
    """What became of an object's records, drawn to the scale of the largest object. Nothing there is ever invisible."""
    result: list[Bar] = []
    x = 0.0
    for outcome in _OUTCOMES:
        number = getattr(certified, outcome)
        if number:
            width = max(2.0, WIDTH * number / max(largest, 1))
            result.append(Bar(outcome, number, round(x, 1), round(width, 1)))
            x += width
    return result


def cell(value: object) -> str:
    """A value from the source as text of a table cell, harmless when the table is pasted into a spreadsheet."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def number(value: int) -> str:
    """12345 as 12 345, with a narrow space that does not break."""
    return f"{value:,}".replace(",", "\u202f")


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("migration"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "number": number}
    return environment.get_template("certificate.html.j2")


def render(certificate: Certificate) -> str:
    """The page as text, to be stored as UTF-8."""
    from migration.certificate import KINDS

    largest = max((o.source for o in certificate.objects), default=0)
    charts = [(o, bars(o, largest)) for o in certificate.objects]
    return _template().render(c=certificate, charts=charts, kinds=KINDS, width=WIDTH, outcomes=_OUTCOMES)
