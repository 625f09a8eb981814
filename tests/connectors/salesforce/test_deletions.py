"""getDeleted by its documented answer; the ways through the stand-in are in test_read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.salesforce.deletions import Deletions
from connectors.salesforce.soql import timestamp
from domain.errors import CursorExpiredError
from domain.records import FieldSchema, ObjectSchema

DELETED: Mapping[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "deleted.json").read_text("utf-8"))
START, END = datetime(2013, 5, 5, tzinfo=UTC), datetime(2013, 5, 10, tzinfo=UTC)
MERCHANDISE = ObjectSchema("Merchandise__c", (FieldSchema("Id"),), attributes={"replicateable": True})


class Answers:
    """An org that answers getDeleted by a function of the window."""

    def __init__(self, answer: Callable[[datetime, datetime], Mapping[str, Any]]) -> None:
        self.windows: list[tuple[datetime, datetime]] = []
        self._answer = answer

    def sdk(self, call: Callable[[Any], Any]) -> Any:
        return call(self)

    @property
    def Merchandise__c(self) -> Answers:
        return self

    def deleted(self, start: datetime, end: datetime) -> Mapping[str, Any]:
        self.windows.append((start, end))
        return self._answer(start, end)


def deletions(answer: Callable[[datetime, datetime], Mapping[str, Any]]) -> tuple[Deletions, Answers]:
    org = Answers(answer)
    return Deletions(org), org  # type: ignore[arg-type]


def test_the_documented_answer() -> None:
    asked, org = deletions(lambda start, end: DELETED)
    ids, covered = asked.since(MERCHANDISE, START, END)
    assert ids == ["a00D0000008pQRAIA2"]
    assert covered == datetime(2013, 5, 8, 21, 20, tzinfo=UTC)
    assert org.windows == [(START, END)]


def test_earliest_date_available_after_the_cursor_means_resync() -> None:
    asked, _ = deletions(lambda start, end: DELETED)
    with pytest.raises(CursorExpiredError, match="Merchandise__c"):
        asked.since(MERCHANDISE, datetime(2013, 5, 3, 12, tzinfo=UTC), END)


def test_more_ids_than_one_call_returns_are_asked_for_in_halves() -> None:
    def answer(start: datetime, end: datetime) -> Mapping[str, Any]:
        if end - start > timedelta(days=2):
            raise CursorExpiredError("…", context={"vendor_code": "EXCEEDED_ID_LIMIT"})
        entries = [{"id": f"a00-{start:%d%H}", "deletedDate": timestamp(start)}]
        return {**DELETED, "deletedRecords": entries, "latestDateCovered": timestamp(end)}

    asked, org = deletions(answer)
    ids, covered = asked.since(MERCHANDISE, START, END)
    asked_for = [w for w in org.windows if w[1] - w[0] <= timedelta(days=2)]
    assert len(ids) == len(asked_for) == 4
    assert (asked_for[0][0], covered) == (START, END)
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(asked_for))


def test_a_window_of_a_moment_is_not_asked_for() -> None:
    asked, org = deletions(lambda start, end: DELETED)
    assert asked.since(MERCHANDISE, END - timedelta(seconds=90), END) == ([], END - timedelta(seconds=90))
    assert org.windows == []


def test_an_object_that_keeps_no_trace_says_nothing() -> None:
    asked, org = deletions(lambda start, end: DELETED)
    assert asked.since(ObjectSchema("X", ()), START, END) == ([], END)
    assert org.windows == []
