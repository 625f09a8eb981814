"""Fields of a vendor that hold less than the hub's: a text that is cut, a moment that is a day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mappings.compile import Lens
from mappings.context import MappingContext
from mappings.spec import load_shipped


def lens(zone: str = "UTC") -> Lens:
    spec = load_shipped("salesforce", "EmailTask")
    assert spec is not None
    return Lens(spec, None, MappingContext(time_zone=zone))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 254 + "…"),
        ("x" * 200 + " " * 80 + "y", "x" * 200 + "…"),
        ("\N{GRINNING FACE}" * 128, "\N{GRINNING FACE}" * 127 + "…"),
    ],
)
def test_a_text_is_cut_to_what_the_field_holds_as_java_counts(text: str, held: str) -> None:
    assert lens().backward({"subject": text})["Subject"] == held
    assert len(held.encode("utf-16-le")) <= 510
    assert lens().forward_one({"Id": "00T000000000001", "Subject": text}).values["subject"] == text


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", "2031-01-05"), ("America/Los_Angeles", "2031-01-04"), ("Asia/Tokyo", "2031-01-05")]
)
def test_a_moment_is_a_day_where_the_org_is_and_comes_back_as_its_beginning(zone: str, day: str) -> None:
    there = lens(zone)
    assert there.backward({"sent_at": datetime(2031, 1, 5, 6, 30, tzinfo=UTC)})["ActivityDate"] == day
    back = there.forward_one({"Id": "00T000000000001", "ActivityDate": day}).values["sent_at"]
    assert there.backward({"sent_at": back})["ActivityDate"] == day
