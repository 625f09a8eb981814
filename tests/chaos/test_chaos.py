"""A small dose of chaos: a worker killed twice while people edit on three sides; nothing lost, nothing doubled, all sides equal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import Options, run


@pytest.mark.timeout(1200)
def test_two_cycles(tmp_path: Path) -> None:
    told = run(Options(cycles=2, seed=7, edits=8, contacts=6), tmp_path)
    assert told["kills"] == 2
    assert told["equal"], json.dumps(told, indent=1)
    assert told["duplicate_creates"] == 0
    assert told["in_flight"] == told["dead"] == 0
    assert told["received"] == told["applied"] + told["superseded"] >= 16  # type: ignore[operator]
