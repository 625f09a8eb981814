"""What a vendor lists and nobody can read as a record is not kept where it names someone who was erased."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from benchmarks.vendors import MemoryHubSpot, port_of
from connectors.kit.contract import ReadRequest
from domain.records import MappedBatch, Page, Problem, Reject
from sync_engine.vendor import ConnectorObject

ERASED = "ada@engine.example"


class Ragged(MemoryHubSpot):
    """Lists pieces that are no records, too."""

    def read(self, request: ReadRequest) -> Iterator[Page]:
        for page in super().read(request):
            page.rejects = [
                Reject("file_ragged_row", "Ragged.", raw={"cells": [who]}) for who in (ERASED, "bo@x.example")
            ]
            yield page


def naming(payloads: Sequence[Any]) -> set[int]:
    return {place for place, payload in enumerate(payloads) if ERASED in str(payload)}


def port() -> ConnectorObject:
    vendor = Ragged()
    for vendor_id, email in (("1", ERASED), ("2", "bo@x.example"), ("3", ERASED)):
        vendor.edit(vendor_id, {"email": email, "lastname": "L"})
    return replace(port_of(vendor, UUID(int=1)), naming=naming, screen=refusing)


def refusing(batch: MappedBatch) -> MappedBatch:
    """The first two records are refused by their mapping."""
    return replace(batch, problems=[Problem(row, "value_not_valid", "Bad.", rejects=True) for row in (0, 1)])


def test_pieces_that_name_an_erased_person_are_told_without_what_they_hold() -> None:
    [listing] = port().pages(None)
    assert [raw for _, raw in listing.rejects] == [None, {"cells": ["bo@x.example"]}]


def test_records_that_the_mapping_refuses_are_told_without_what_they_hold() -> None:
    [listing] = port().pages(None)
    found = {raw.incoming.vendor_id: raw.incoming for raw in listing.raws}
    assert [(found[i].error is None, ERASED in str(found[i])) for i in "123"] == [
        (False, False),
        (False, False),
        (True, True),
    ]
    assert found["2"].raw is not None
