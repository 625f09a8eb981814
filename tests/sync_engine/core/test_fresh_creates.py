"""What the vendor makes of a record that the hub has just created there, and nobody has edited since."""

from __future__ import annotations

from uuid import UUID

import pytest

from sync_engine.core.model import Hub, Incoming, Known, Link, Outcome, Rules
from sync_engine.core.pull import plan_pull

ONE = UUID(int=1)
NAMES = frozenset({"email", "email_opt_out"})
RULES = Rules("contact", NAMES, NAMES)


@pytest.mark.parametrize(
    ("said", "revision", "outcome"),
    [
        pytest.param({"email": "a", "email_opt_out": False}, 0, Outcome.SUPERSEDED, id="an unticked box is no edit"),
        pytest.param({"email": "a", "email_opt_out": True}, 0, Outcome.REVIVED, id="a ticked box is"),
        pytest.param({"email": "b", "email_opt_out": False}, 0, Outcome.REVIVED, id="so is another value"),
        pytest.param({"email": "a", "email_opt_out": False}, 1, Outcome.REVIVED, id="so is a box that was seen ticked"),
    ],
)
def test_what_beats_the_deletion_of_a_fresh_record(said: dict[str, object], revision: int, outcome: Outcome) -> None:
    base = {"email": "a"} | ({"email_opt_out": True} if revision else {})
    link = Link("v1", ONE, base, origin="pushed", revision=revision)
    known = Known({"v1": link}, {ONE: Hub(ONE, 2, {"email": "a"}, {"email": "a"}, deleted=True)})
    decision = plan_pull([Incoming("v1", said, "1")], known, RULES, lambda _: ONE)[0]
    assert decision.outcome is outcome
