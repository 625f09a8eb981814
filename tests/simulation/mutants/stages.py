"""Bugs in how stages and pipelines of one vendor stand in for another's."""

from __future__ import annotations

from tests.simulation.mutants.model import MERGE, PUSH, STAND_INS, Mutant

STAGES: tuple[Mutant, ...] = (
    Mutant(
        "stage_of_another_pipeline",
        "a sale leaves its pipeline for a stage of the same name",
        STAND_INS,
        "return _one(_best(sought, _within({place.id}, here)), held)",
        "return _one(_best(sought, here), held)",
    ),
    Mutant(
        "capitals_make_another_stage",
        "Won and WON are strangers",
        STAND_INS,
        "return self.name.strip().casefold()",
        "return self.name.strip()",
    ),
    Mutant(
        "given_name_unheard",
        "what a person called a stage counts for nothing",
        STAND_INS,
        "        if sought.title in self.names:\n            return 1\n",
        "",
    ),
    Mutant(
        "given_name_one_way",
        "a name that a person gave counts in one direction alone",
        STAND_INS,
        "return 3 if self.title in sought.names or (self.names - {ANY}) & sought.names else None",
        "return None",
    ),
    Mutant(
        "first_of_several_stages",
        "of two stages that might be meant the first is taken",
        STAND_INS,
        "return found[0] if len(found) == 1 else at[0] if at else found",
        "return found[0] if found else found",
    ),
    Mutant(
        "pipeline_there_forgotten",
        "a sale in a pipeline that the other side lacks has two stages of every name",
        STAND_INS,
        "for within in (_held_in(held), {p.id",
        "for within in (set[UUID](), {p.id",
    ),
    Mutant(
        "pipeline_of_all_others_unused",
        "new sales of other pipelines go nowhere, although one was named for them",
        STAND_INS,
        "for p in pipelines if ANY in p.names}",
        "for p in pipelines if False}",
    ),
    Mutant(
        "stage_without_its_pipeline",
        "a stage is sent to a pipeline that does not have it",
        STAND_INS,
        "{STAGE: found.id} | ({} if inside is None else {PIPELINE: inside})",
        "{STAGE: found.id}",
    ),
    Mutant(
        "no_counterpart_untold",
        "a stage without counterpart is passed over in silence",
        STAND_INS,
        "_with(hub, {STAGE: NOWHERE, PIPELINE: NOWHERE}), _failure(sought, place, found)",
        "_with(hub, {STAGE: NOWHERE, PIPELINE: NOWHERE}), None",
    ),
    Mutant(
        "no_counterpart_holds_the_rest",
        "what came with a stage that has no counterpart is not sent",
        PUSH,
        "PushKind.UPDATE if fields else PushKind.REFUSE if item.failure else PushKind.NOTHING",
        "PushKind.REFUSE if item.failure else PushKind.UPDATE if fields else PushKind.NOTHING",
    ),
    Mutant(
        "stage_sent_alone",
        "a stage is sent to the pipeline that somebody has just chosen instead",
        PUSH,
        "    if AT_ONCE & fields.keys():",
        "    if False:",
    ),
    Mutant(
        "pipeline_sent_while_its_stage_is_asked_about",
        "the vendor is sent a pipeline that lacks the stage",
        PUSH,
        "AT_ONCE = frozenset({STAGE, PIPELINE})",
        "AT_ONCE = frozenset[str]()",
    ),
    Mutant(
        "probability_contested",
        "each stage brings a conflict about its probability",
        MERGE,
        "elif name not in leaders or not _goes_with(",
        "elif True or not _goes_with(",
    ),
)
