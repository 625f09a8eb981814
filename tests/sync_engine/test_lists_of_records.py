"""Lists of associated records between hub and connector: what is shown, what is sent, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest

from benchmarks.vendors import MemoryHubSpot, port_of
from connectors.kit.contract import Ends, EndsChange
from domain.ids import new_id
from domain.records import Outgoing, WriteResult
from sync_engine.core.model import Hub
from sync_engine.ports import Write
from sync_engine.ruling import rules_of
from sync_engine.vendor import ConnectorObject

A, B, C, LATE = (new_id() for _ in range(4))
REFS = {A: [("companies", "1")], B: [("companies", "2")], C: [("companies", "3")]}
FIELD = "associations.companies"
ENDS = Ends(FIELD, "companies", main=True)


class Portal(MemoryHubSpot):
    """Notes what it is asked to do."""

    several: ClassVar[Mapping[str, tuple[Ends, ...]]] = {"contacts": (ENDS,)}

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        self.asked += [("write", r.values.get(FIELD)) for r in records]
        return [WriteResult(r.key, r.vendor_id or "9", created=r.vendor_id is None) for r in records]

    def associated(self, object_name: str, field: str, vendor_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {"9": ["2", "1"]}

    def associate(self, object_name: str, field: str, changes: Sequence[EndsChange]) -> list[WriteResult]:
        self.asked += [("associate", c.add, c.remove) for c in changes]
        return [WriteResult(c.vendor_id, c.vendor_id) for c in changes]


@pytest.fixture
def portal() -> Portal:
    return Portal()


@pytest.fixture
def port(portal: Portal) -> ConnectorObject:
    made, lists = port_of(portal, UUID(int=1)), {"account_ids": ENDS}
    return replace(made, several=lists, rules=rules_of(made.lens, lists))


@pytest.mark.parametrize(
    ("main", "everyone", "seen"),
    [
        (A, [A, B], [A, B]),
        (A, [A, LATE], [A]),  # those that the vendor lacks come later
        (LATE, [A, LATE], None),  # the main one first
        (None, [A], None),  # which of them that is, nobody knows yet
        (None, [], []),
    ],
)
def test_a_list_is_shown_once_its_main_record_is_there(
    port: ConnectorObject, main: UUID | None, everyone: list[UUID], seen: list[UUID] | None
) -> None:
    (found,) = port.project([Hub(new_id(), 1, {"account_id": main, "account_ids": everyone})], REFS)
    assert found.seen.get("account_ids") == seen
    assert LATE in {w.entity_id for w in found.waits} or LATE not in everyone


@pytest.mark.parametrize(
    ("base", "now", "asked"),
    [
        (([A], A), ([A, B], A), [("associate", ("2",), ())]),
        (([A], A), ([A, B], B), [("write", "2")]),  # which makes it one of the list
        (([A], A), ([B, C], B), [("write", "2"), ("associate", ("3",), ("1",))]),
        (([A, B], A), ([], None), [("associate", (), ("1", "2"))]),  # and leaves what else the vendor knows alone
        (([A, B], A), ([A], A), [("associate", (), ("2",))]),
    ],
)
def test_the_main_record_comes_first_and_goes_last(
    portal: Portal, port: ConnectorObject, base: Any, now: Any, asked: list[Any]
) -> None:
    before, record = ({"account_ids": ids, "account_id": main} for ids, main in (base, now))
    fields = {n: v for n, v in record.items() if v != before[n]}
    (done,) = port.write([Write(new_id(), fields, record, "9", None, before)], REFS)
    assert done.ok
    assert portal.asked == asked


def test_a_main_record_of_a_field_of_its_own_goes_last(portal: Portal, port: ConnectorObject) -> None:
    lists = {"account_ids": replace(ENDS, field="relations")}
    port = replace(port, several=lists, rules=rules_of(port.lens, lists))
    fields: dict[str, Any] = {"account_ids": [], "account_id": None}
    port.write([Write(new_id(), fields, fields, "9", None, {"account_ids": [A, B], "account_id": A})], REFS)
    assert portal.asked == [("associate", (), ("1", "2")), ("write", None)]


def test_a_new_record_of_one_company_is_one_write(portal: Portal, port: ConnectorObject) -> None:
    record = {"last_name": "Ada", "account_id": A, "account_ids": [A]}
    (done,) = port.write([Write(new_id(), record, record)], REFS)
    assert done.ok
    assert portal.asked == [("write", "1")]


def test_the_main_record_is_told_with_the_list(port: ConnectorObject) -> None:
    one, other = port.associated(["9", "10"], every=False)
    assert one.refs == {"account_id": (("companies",), "2")}
    assert one.lists == {"account_ids": (("companies",), ("2", "1"))}
    assert (other.refs, other.lists) == ({}, {"account_ids": (("companies",), ())})
