"""Full comparisons: pages taken together as spans, and what differs in a span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_engine import comparing
from sync_engine.comparing import Findings, Part, differences, parts
from sync_engine.ports import Resync, Span, VendorPort, Versions

STARTED = Resync(datetime(2026, 3, 1, tzinfo=UTC))


@dataclass
class Lists:
    """A vendor that lists these pages; ``ends``: the last one says that it is."""

    pages: list[list[str]]
    ends: bool = True
    id_order: str = "ascii"
    asked: list[str | None] = field(default_factory=list)

    def versions(self, after: str | None) -> Iterator[Versions]:
        self.asked.append(after)
        for place, page in enumerate(self.pages, 1):
            yield Versions([(i, f"v{i}") for i in page], self.ends and place == len(self.pages))


def listed(port: Lists, after: str | None = None, **more: Any) -> list[Part]:
    return list(parts(cast(VendorPort, port), after, **more))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "SPAN_ROWS", 3)


@pytest.mark.usefixtures("small")
class TestParts:
    def test_pages_are_taken_together_and_leave_no_gap(self) -> None:
        port = Lists([["b", "c"], ["d", "e"], [], ["f"]])
        found = listed(port, "a")
        assert port.asked == ["a"]
        assert [p.span for p in found] == [Span("a", "e"), Span("e", None)]
        assert [[i for i, _ in p.listed] for p in found] == [["b", "c", "d", "e"], ["f"]]
        assert [p.last for p in found] == [False, True]

    def test_an_empty_listing_is_one_span_without_bounds(self) -> None:
        assert listed(Lists([[]])) == [Part(Span(None, None), [], True)]

    def test_a_listing_that_breaks_off_counts_up_to_where_it_came(self) -> None:
        found = listed(Lists([["a", "b"]], ends=False))
        assert found == [Part(Span(None, "b"), [("a", "va"), ("b", "vb")], False)]

    def test_a_listing_that_says_nothing_at_all_is_no_span(self) -> None:
        assert listed(Lists([[]], ends=False)) == []

    def test_every_page_is_announced(self) -> None:
        pages: list[int] = []
        listed(Lists([["a"], ["b", "c"], []]), on_page=pages.append)
        assert pages == [1, 2, 0]


ids = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["", "1", "2"]), max_size=8).map(
    lambda found: sorted(found.items())
)


@given(ids, ids)
def test_differences_are_those_of_the_two_sides_as_tables(
    ours: list[tuple[str, str]], theirs: list[tuple[str, str]]
) -> None:
    moved, missing = differences(ours, theirs)
    known, there = dict(ours), dict(theirs)
    assert sorted(moved) == sorted(i for i in there if known.get(i) != there[i])
    assert sorted(missing) == sorted(known.keys() - there.keys())


class TestFindings:
    OURS = (("a", "1"), ("b", "1"), ("c", "1"))
    PART = Part(Span(None, "c"), [("a", "1"), ("b", "2"), ("d", "1")], False)

    def test_first_what_moved_while_what_is_missing_is_counted(self) -> None:
        found = Findings(STARTED)
        found.add(self.PART, self.OURS)
        assert found.wanted == ["b", "d"]
        assert (found.state.after, found.state.missing) == ("c", 1)

    def test_then_what_is_missing(self) -> None:
        found = Findings(Resync(STARTED.started_at, missing=1, deleting=True))
        found.add(self.PART, self.OURS)
        assert found.wanted == ["c"]
        assert (found.state.after, found.state.missing) == ("c", 1)

    def test_a_batch_of_differences_is_enough(self) -> None:
        found = Findings(STARTED)
        found.add(self.PART, self.OURS)
        assert found.is_enough(2)
        assert not found.is_enough(3)

    def test_many_ids_without_a_difference_are_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(comparing, "COMMIT_ROWS", 6)
        found = Findings(STARTED)
        found.add(Part(Span(None, "c"), self.OURS, False), self.OURS)
        assert not found.is_enough(1)
        found.add(Part(Span("c", "f"), [], False), self.OURS)  # gone there: no ids, but as much to look at
        assert found.is_enough(10)
        assert found.state.missing == 3
