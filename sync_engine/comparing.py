"""Full comparisons: the vendor's listing of ids and versions beside the hub's links, in spans of many pages.

A question to the store costs as much for a page of a hundred as for twenty thousand ids; so pages are taken together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sync_engine.ports import Resync, Span, VendorPort

SPAN_ROWS = 20_000
"""Ids that are compared at once: a few MiB, a few milliseconds."""

COMMIT_ROWS = 100_000
"""After how many ids without a change it is noted how far the comparison has come: what a broken listing costs again."""

Listed = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Part:
    """What the vendor lists of a span. ``last``: the listing is complete with it."""

    span: Span
    listed: Listed
    last: bool


def parts(port: VendorPort, after: str | None, on_page: Callable[[int], None] = lambda _: None) -> Iterator[Part]:
    """The vendor's listing beyond ``after`` as spans without gaps.

    ``on_page`` is called for every page before it counts, with the number of ids on it.
    """
    pending: list[tuple[str, str]] = []
    for page in port.versions(after):
        on_page(len(page.listed))
        pending += page.listed
        if page.last or len(pending) >= SPAN_ROWS:
            upto = None if page.last else pending[-1][0]
            yield Part(Span(after, upto, port.id_order), pending, page.last)
            after, pending = upto, []
    if pending:  # the listing broke off without a last page
        yield Part(Span(after, pending[-1][0], port.id_order), pending, False)


def differences(ours: Listed, theirs: Listed) -> tuple[list[str], list[str]]:
    """Vendor ids that the vendor lists otherwise than the hub has them, and those that it does not list."""
    if len(ours) == len(theirs):  # mostly the same in the same order: look closely only at the others
        odd = [(our, their) for our, their in zip(ours, theirs, strict=True) if our != their]
        ours, theirs = [our for our, _ in odd], [their for _, their in odd]
    known, listed = dict(ours), dict(theirs)
    moved = [vendor_id for vendor_id, version in listed.items() if known.get(vendor_id) != version]
    return moved, [vendor_id for vendor_id in known if vendor_id not in listed]


@dataclass(slots=True)
class Findings:
    """What a comparison found since it last noted where it stands."""

    since: Resync
    wanted: list[str] = field(default_factory=list)
    missing: int = 0
    rows: int = 0
    upto: str | None = None

    def add(self, part: Part, ours: Listed) -> None:
        """Compare a part with the hub's links of its span."""
        moved, missing = differences(ours, part.listed)
        self.wanted += missing if self.since.deleting else moved
        self.missing += 0 if self.since.deleting else len(missing)
        self.rows += max(len(part.listed), len(ours), 1)
        self.upto = part.span.upto

    def is_enough(self, batch: int) -> bool:
        """Whether it is time to act on it: with a batch of records to fetch, or after many ids."""
        return len(self.wanted) >= batch or self.rows >= COMMIT_ROWS

    @property
    def state(self) -> Resync:
        """Where the comparison stands once all of this is taken care of."""
        return replace(self.since, after=self.upto, missing=self.since.missing + self.missing)
