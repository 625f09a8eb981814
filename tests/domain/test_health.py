"""What makes a connection unhealthy, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.health import FAILURES_AT, StreamState, reasons

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TARGET = timedelta(hours=48)
FINE = StreamState("contacts", "idle", 0, NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({}, None, ""),
        ({"since": NOW - TARGET}, None, ""),
        ({"since": NOW - TARGET - timedelta(seconds=1)}, "stale", "last compared with the vendor at 2026-02-27 11:59 UTC"),
        ({"since": NOW - TARGET * 2, "verified": False}, "stale", "never compared with the vendor since 2026-02-25 12:00"),
        ({"since": NOW - TARGET * 2, "reads": False}, None, ""),
        ({"since": NOW - TARGET * 2, "status": "paused"}, None, ""),
        ({"failures": FAILURES_AT - 1}, None, ""),
        ({"failures": FAILURES_AT}, "failing", "5 times in a row"),
        ({"status": "stopped", "code": "permission_missing"}, "permission_missing", "stopped by itself"),
        ({"status": "stopped"}, "stopped", "stopped by itself"),
        ({"status": "braked", "code": "x"}, "braked", "waits for a person's word"),
        ({"status": "reauth"}, "reauth_required", "to be connected again"),
        ({"status": "stopped", "failures": 9, "since": NOW - TARGET * 2}, "stopped", "stopped"),
    ],
)  # fmt: skip
def test_a_stream_has_one_reason_at_most(change: dict[str, object], code: str | None, words: str) -> None:
    found = reasons("ok", [replace(FINE, **change), replace(FINE, object="deals")], now=NOW, target=TARGET)  # type: ignore[arg-type]
    assert [(r.object, r.code) for r in found] == ([] if code is None else [("contacts", code)])
    assert all(words in r.message for r in found)


def test_a_connection_to_be_connected_again_says_so_once_and_not_for_each_stream() -> None:
    found = reasons("reauth", [replace(FINE, status="reauth")], now=NOW, target=TARGET)
    assert [(r.object, r.code) for r in found] == [(None, "reauth_required")]


def test_age_is_not_looked_at_without_a_target() -> None:
    assert not reasons("ok", [replace(FINE, since=NOW - TARGET * 9)], now=NOW, target=None)


@pytest.mark.parametrize(("share", "stale"), [(0.9, True), (0.75, False)])
def test_a_stream_that_hovers_around_its_target_stays_stale(share: float, stale: bool) -> None:
    hovers = replace(FINE, since=NOW - TARGET * share)
    assert bool(reasons("ok", [hovers], now=NOW, target=TARGET, stale={"contacts"})) is stale
    assert not reasons("ok", [hovers], now=NOW, target=TARGET, stale={"deals"})
