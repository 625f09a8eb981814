"""A small dose of bad luck at the intake: events tenfold and shuffled, a worker killed, PostgreSQL restarted; one effect each."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.intake_faults import VERSIONS, run


@pytest.mark.timeout(600)
def test_three_hundred_events_ten_times_each(tmp_path: Path) -> None:
    told = run(300, 10, tmp_path)
    assert told["refused_503"] > 0, "the database was never away under a request"
    assert told["accepted"] == told["applied"] + told["superseded"] == 300
    assert told["applied"] >= 300 // VERSIONS
    assert (told["dead"], told["doubled"], told["lost"]) == (0, 0, 0)
