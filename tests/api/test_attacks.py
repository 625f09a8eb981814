"""The attacks on the door for webhooks hold, against a server of its own. Those on the API take a minute: `make attacks`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.attacks import GROWTH_MB_MAX
from benchmarks.attacks_door import DOOR
from benchmarks.attacks_siege import Score, besieged, watched


@pytest.mark.timeout(600)
def test_what_attacks_the_door_for_webhooks_gets_the_answer_that_is_expected(tmp_path: Path) -> None:
    score = Score()
    with besieged(tmp_path) as (siege, process), watched(process) as memory:
        for attack in DOOR:
            before = score.attacks
            attack(siege, score)
            assert score.attacks > before, attack.__name__
    assert score.failed == []
    assert score.attacks > 250
    assert max(memory) - memory[0] < GROWTH_MB_MAX
