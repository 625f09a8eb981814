"""Pipelines and stages of deals and tickets.

https://developers.hubspot.com/docs/guides/api/crm/pipelines
"""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.errors import invalid, not_found
from sandbox.hubspot.pipelines import Pipeline, Stage
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.wire import Reply

ROOT = "/crm/v3/pipelines/{object}"


def register(router: Router) -> None:
    read, write = "objects.read", "objects.write"
    one = ROOT + "/{pipeline}"
    router.add("GET", ROOT, "pipelines", scope=read)(list_pipelines)
    router.add("POST", ROOT, "pipeline_create", scope=write)(create)
    router.add("GET", one, "pipelines", scope=read)(get)
    router.add("PATCH", one, "pipeline_update", scope=write)(update)
    router.add("DELETE", one, "pipeline_delete", scope=write)(delete)
    router.add("GET", one + "/stages", "pipelines", scope=read)(list_stages)
    router.add("POST", one + "/stages", "stage_create", scope=write)(create_stage)
    router.add("GET", one + "/stages/{stage}", "pipelines", scope=read)(get_stage)
    router.add("PATCH", one + "/stages/{stage}", "stage_update", scope=write)(update_stage)
    router.add("DELETE", one + "/stages/{stage}", "stage_delete", scope=write)(delete_stage)


def _known(call: Call) -> tuple[ObjectType, dict[str, Pipeline]]:
    item = call.portal.object(call.path["object"])
    return item, call.portal.pipelines.setdefault(item.name, {})


def _pipeline(call: Call) -> Pipeline:
    found = _known(call)[1].get(call.path["pipeline"])
    if found is None:
        raise not_found()
    return found


def _stage(call: Call) -> Stage:
    found = _pipeline(call).stages.get(call.path["stage"])
    if found is None:
        raise not_found()
    return found


def list_pipelines(call: Call) -> Reply:
    return Reply(json={"results": [pipeline.as_json() for pipeline in _known(call)[1].values()]})


def get(call: Call) -> Reply:
    return Reply(json=_pipeline(call).as_json())


def create(call: Call) -> Reply:
    known, body = _known(call)[1], call.request.json_object()
    if any(p.label == body.get("label") for p in known.values()):
        raise invalid(f"There is already a pipeline with the label {body.get('label')}")
    made = Pipeline(
        call.portal.counters.next("pipelines", 700_001),
        str(body.get("label", "")),
        int(body.get("displayOrder", 0)),
        at=call.portal.now(),
    )
    for given in body.get("stages") or ():
        _add_stage(call, made, given)
    known[made.id] = made
    return Reply(201, made.as_json())


def update(call: Call) -> Reply:
    found, body = _pipeline(call), call.request.json_object()
    found.label, found.order = str(body.get("label", found.label)), int(body.get("displayOrder", found.order))
    return Reply(json=found.as_json())


def delete(call: Call) -> Reply:
    """Raises 400 while records are in it."""
    item, known = _known(call)
    found = _pipeline(call)
    named = {"deals": "pipeline", "tickets": "hs_pipeline"}[item.name]
    if any(r.values.get(named) == found.id for r in call.portal.live(item.name)):
        raise invalid(f"Pipeline {found.id} can't be deleted while records are in it")
    del known[found.id]
    return Reply(204)


def list_stages(call: Call) -> Reply:
    return Reply(json={"results": [stage.as_json() for stage in _pipeline(call).stages.values()]})


def get_stage(call: Call) -> Reply:
    return Reply(json=_stage(call).as_json())


def create_stage(call: Call) -> Reply:
    return Reply(201, _add_stage(call, _pipeline(call), call.request.json_object()).as_json())


def update_stage(call: Call) -> Reply:
    found, body = _stage(call), call.request.json_object()
    found.label, found.order = str(body.get("label", found.label)), int(body.get("displayOrder", found.order))
    found.metadata |= {name: str(value) for name, value in (body.get("metadata") or {}).items()}
    return Reply(json=found.as_json())


def delete_stage(call: Call) -> Reply:
    del _pipeline(call).stages[_stage(call).id]
    return Reply(204)


def _add_stage(call: Call, pipeline: Pipeline, given: Any) -> Stage:
    metadata = {name: str(value) for name, value in (given.get("metadata") or {}).items()}
    if call.path["object"] in {"deals", "0-3"}:
        if "probability" not in metadata:
            raise invalid("A deal stage needs metadata.probability")
        metadata["isClosed"] = str(float(metadata["probability"]) in {0.0, 1.0}).lower()
    stage = Stage(
        call.portal.counters.next("stages", 900_001),
        str(given.get("label", "")),
        int(given.get("displayOrder", 0)),
        metadata,
        call.portal.now(),
    )
    pipeline.stages[stage.id] = stage
    return stage
