"""Bulk results as the vendor may send them; whole listings by bulk are in test_read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.salesforce.bulk import BulkQueries, Polling, await_job
from domain.errors import TransientError
from domain.records import FieldSchema

ID = [FieldSchema("Id", vendor_type="id")]
Chunk = tuple[str, str, str]


class Results:
    """An org whose bulk results are given as (csv, following locator, number of records)."""

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = chunks
        self.asked: list[str | None] = []

    def path(self, resource: str) -> str:
        return f"/{resource}"

    @contextmanager
    def stream(self, path: str, params: Mapping[str, str], accept: str) -> Iterator[Any]:
        locator = params.get("locator")
        self.asked.append(locator)
        text, following, count = self._chunks[int(locator or 0)]
        headers = {"Sforce-Locator": following, "Sforce-NumberOfRecords": count}
        raw = text.encode()
        pieces = (raw[i : i + 3] for i in range(0, len(raw), 3))
        yield SimpleNamespace(pieces=pieces, headers=headers)


def batches(*chunks: Chunk, locator: str | None = None, skip: int = 0) -> list[tuple[list[str], str | None, int, bool]]:
    found = BulkQueries(Results(*chunks), Polling()).results("750", ID, locator, skip, 2)  # type: ignore[arg-type]
    return [([row[0] for row in b.rows], b.locator, b.skip, b.last) for b in found]


TWO = (('"Id"\n"a"\n"b"\n"c"\n', "1", "3"), ('"Id"\n"d"\n', "null", "1"))


def test_locators_lead_through_all_chunks() -> None:
    assert batches(*TWO) == [
        (["a", "b"], None, 2, False),
        (["c"], "1", 0, False),
        (["d"], "1", 1, True),
    ]


def test_the_last_locator_is_the_word_null() -> None:
    assert batches(('"Id"\n"a"\n', "null", "1"))[-1] == (["a"], None, 1, True)


def test_resuming_skips_what_was_read() -> None:
    assert batches(*TWO, skip=2) == [(["c"], "1", 0, False), (["d"], "1", 1, True)]
    assert batches(*TWO, locator="1") == [(["d"], "1", 1, True)]


def test_no_records_are_one_empty_last_page() -> None:
    assert batches(('"Id"\n', "null", "0")) == [([], None, 0, True)]
    assert batches(("", "null", "0")) == [([], None, 0, True)]


def test_letters_are_not_torn_between_pieces() -> None:
    assert batches(('\ufeff"Id"\n"日本語🙂"\n', "null", "1"))[0][0] == ["日本語🙂"]


def test_results_cut_off_between_two_rows_are_not_taken_for_all() -> None:
    with pytest.raises(TransientError, match="not complete"):
        batches(('"Id"\n"a"\n', "null", "2"))


class Job:
    """An org whose job goes through the given states."""

    def __init__(self, *states: str) -> None:
        self._states = iter(states)

    def request(self, method: str, path: str) -> Any:
        state = next(self._states)
        return SimpleNamespace(json=lambda: {"state": state})


def test_a_job_is_awaited_with_growing_pauses() -> None:
    slept: list[float] = []
    polling = Polling(sleep=slept.append, clock=lambda: 0.0, first_s=1.0, cap_s=3.0)
    job = await_job(Job(*["InProgress"] * 5, "JobComplete"), "/job", polling)  # type: ignore[arg-type]
    assert job["state"] == "JobComplete"
    assert slept == pytest.approx([1.0, 1.6, 2.56, 3.0, 3.0])


def test_a_job_that_never_ends_is_left_to_the_next_attempt() -> None:
    times = iter(range(0, 10_000, 40))
    polling = Polling(sleep=lambda s: None, clock=lambda: float(next(times)), total_s=100.0)
    with pytest.raises(TransientError, match="in time") as caught:
        await_job(Job(*["InProgress"] * 99), "/job", polling)  # type: ignore[arg-type]
    assert caught.value.retry_after_s
