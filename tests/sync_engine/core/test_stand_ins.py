"""Which stage of a vendor stands in for a stage of another one."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import pytest

from sync_engine.core.model import Hub, Rules
from sync_engine.core.stand_ins import NOWHERE, PIPELINE, STAGE, SetUp, SetUpRecord, stand_in

NEW, RENEWALS, TYPE = UUID(int=1), UUID(int=2), UUID(int=3)
LEAD, WON, AGAIN_WON, DUE = (UUID(int=n) for n in (11, 12, 13, 14))
THEIR_LEAD, THEIR_WON, THEIR_LOST, THEIR_DUE = (UUID(int=n) for n in (21, 22, 23, 24))
HERE, ELSEWHERE = frozenset({"deal_stages"}), frozenset[str]()
RULES = Rules(
    "opportunity", frozenset({STAGE}), frozenset({STAGE, PIPELINE}),
    refers={STAGE: ("deal_stages",), PIPELINE: ("deal_pipelines",)},
)  # fmt: skip


def known(**names: str) -> SetUp:
    """A vendor with two pipelines, both with a stage Won; and another vendor's stages. ``names``: what is also called so."""
    also = {record: frozenset({name.casefold()}) for name, record in names.items()}
    records = [
        SetUpRecord(NEW, "pipeline", "New", objects=frozenset({"deal_pipelines"}), names=also.get("NEW", frozenset())),
        SetUpRecord(RENEWALS, "pipeline", "Renewals", objects=frozenset({"deal_pipelines"})),
        SetUpRecord(TYPE, "pipeline", "renewals "),
        SetUpRecord(LEAD, "stage", "Lead", NEW, HERE, also.get("LEAD", frozenset())),
        SetUpRecord(WON, "stage", "Won", NEW, HERE),
        SetUpRecord(AGAIN_WON, "stage", "Won", RENEWALS, HERE),
        SetUpRecord(DUE, "stage", "Due", RENEWALS, HERE),
        SetUpRecord(THEIR_LEAD, "stage", "Prospecting"),
        SetUpRecord(THEIR_WON, "stage", "WON"),
        SetUpRecord(THEIR_LOST, "stage", "Lost"),
        SetUpRecord(THEIR_DUE, "stage", "due", names=also.get("THEIR_DUE", frozenset())),
        SetUpRecord(UUID(int=99), "stage", "Prospecting", objects=frozenset({"ticket_stages"})),
    ]
    return SetUp({r.id: r for r in records})


def stood(
    stage: UUID | None, pipeline: UUID | None = None, held: Mapping[str, UUID] | None = None, **names: str
) -> Hub:
    named = {v: k for k, v in names.items()}
    values = {n: v for n, v in ((STAGE, stage), (PIPELINE, pipeline)) if v is not None}
    hub, failure = stand_in(Hub(UUID(int=5), 1, values), held, known(**named), RULES)
    assert (failure is None) == (hub.values.get(STAGE) != NOWHERE)
    return hub


@pytest.mark.parametrize(
    ("stage", "pipeline", "held", "at"),
    [
        pytest.param(WON, NEW, None, (WON, NEW), id="the vendor's own"),
        pytest.param(THEIR_DUE, None, None, (DUE, RENEWALS), id="by name, and its pipeline with it"),
        pytest.param(THEIR_WON, TYPE, None, (AGAIN_WON, RENEWALS), id="in the pipeline of the same name"),
        pytest.param(THEIR_WON, NEW, None, (WON, NEW), id="in the vendor's own pipeline"),
        pytest.param(THEIR_WON, None, {PIPELINE: RENEWALS}, (AGAIN_WON, RENEWALS), id="in the pipeline where it is"),
        pytest.param(THEIR_WON, None, {STAGE: WON}, (WON, NEW), id="where it is already"),
        pytest.param(WON, RENEWALS, None, (AGAIN_WON, RENEWALS), id="the vendor's own stage of another pipeline"),
        pytest.param(THEIR_DUE, None, {PIPELINE: NEW}, (DUE, RENEWALS), id="only another pipeline has it"),
    ],
)
def test_a_stage_is_found_by_name_and_by_pipeline(
    stage: UUID, pipeline: UUID | None, held: Mapping[str, UUID] | None, at: tuple[UUID, UUID]
) -> None:
    found = stood(stage, pipeline, held)
    assert (found.values[STAGE], found.values[PIPELINE]) == at


def test_a_name_that_a_person_gave_counts_in_both_directions() -> None:
    assert stood(THEIR_LEAD, LEAD="Prospecting").values[STAGE] == LEAD
    assert stood(THEIR_DUE, THEIR_DUE="Lead").values[STAGE] == DUE, "its own name comes first"
    assert stood(THEIR_DUE, NEW, THEIR_DUE="Lead").values[STAGE] == LEAD


def test_a_pipeline_named_for_any_takes_what_has_no_other() -> None:
    assert stood(THEIR_WON, NEW="*").values[PIPELINE] == NEW
    assert stood(THEIR_WON, TYPE, NEW="*").values[PIPELINE] == RENEWALS


@pytest.mark.parametrize(
    ("stage", "pipeline", "message"),
    [
        (THEIR_LOST, None, "The stage “Lost” has no counterpart at this vendor."),
        (THEIR_LEAD, None, "The stage “Prospecting” has no counterpart at this vendor."),
        (THEIR_WON, None, "The stage “WON” has 2 counterparts at this vendor."),
        (THEIR_DUE, NEW, "The stage “due” has no counterpart in its pipeline “New”."),
    ],
)
def test_nothing_is_guessed(stage: UUID, pipeline: UUID | None, message: str) -> None:
    values = {STAGE: stage} | ({} if pipeline is None else {PIPELINE: pipeline})
    found, failure = stand_in(Hub(UUID(int=5), 1, values), None, known(), RULES)
    assert failure is not None
    assert (failure.code, failure.field, failure.message) == ("no_counterpart", STAGE, message)
    assert (found.values[STAGE], found.values[PIPELINE]) == (NOWHERE, NOWHERE)


def test_records_without_a_stage_and_vendors_without_stages_are_left_alone() -> None:
    assert stood(None).values == {}
    assert stood(None, TYPE).values == {PIPELINE: RENEWALS}
    hub = Hub(UUID(int=5), 1, {STAGE: THEIR_LOST})
    assert stand_in(hub, None, known(), Rules("account", frozenset(), frozenset())) == (hub, None)
