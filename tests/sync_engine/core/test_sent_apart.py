"""What is not sent with the rest: fields that only a standing record takes, and a pipeline whose stage is asked about."""

from __future__ import annotations

from uuid import UUID

from sync_engine.core.model import Hub, Link, Pushable, PushKind, Rules
from sync_engine.core.push import plan_push

ONE, STAGE, OTHER, PIPELINE = (UUID(int=n) for n in (1, 11, 12, 21))


def test_a_field_that_only_a_standing_record_takes_is_sent_after_it() -> None:
    names = frozenset({"name", "unit_price"})
    rules = Rules("product", names, names, afterwards=frozenset({"unit_price"}))
    hub = Hub(ONE, 1, {"name": "Anvil", "unit_price": 9}, {"name": "Anvil", "unit_price": 9})
    (made,) = plan_push([Pushable(ONE, hub, None)], rules)
    assert (made.kind, made.fields, made.more) == (PushKind.CREATE, {"name": "Anvil"}, True)
    (then,) = plan_push([Pushable(ONE, hub, Link("v1", ONE, {"name": "Anvil"}))], rules)
    assert (then.kind, then.fields) == (PushKind.UPDATE, {"unit_price": 9})
    free = Hub(ONE, 1, {"name": "Anvil"}, {"name": "Anvil", "unit_price": None})
    assert not plan_push([Pushable(ONE, free, None)], rules)[0].more


def test_a_pipeline_waits_with_the_stage_that_is_asked_about() -> None:
    names = frozenset({"name", "stage_id", "pipeline_id"})
    rules = Rules("opportunity", names, names)
    said = {"name": "Sale", "stage_id": STAGE, "pipeline_id": PIPELINE}
    hub = Hub(ONE, 2, said, said)
    link = Link("v1", ONE, {"name": "Old", "stage_id": OTHER}, open={"stage_id": (STAGE, OTHER)})
    (decision,) = plan_push([Pushable(ONE, hub, link)], rules)
    assert decision.fields == {"name": "Sale"}
