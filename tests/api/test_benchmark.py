"""The benchmark of reads works on a small table, and asks every question that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.api import run


@pytest.mark.timeout(600)
def test_the_benchmark_of_reads_runs_small(tmp_path: Path) -> None:
    said: list[str] = []
    told = run(tmp_path, 1_000, 3, said.append)
    assert told["rows"] == 1_000
    assert {"list", "list deep", "filter by e-mail", "search by name", "get", "history", "change feed"} <= set(
        told["reads"]
    )
    for name, took in told["reads"].items():
        assert 0 < took["p50_ms"] <= took["p95_ms"], name
        assert took["ratio_select"] > 0
    assert len(said) == 1 + len(told["reads"])
