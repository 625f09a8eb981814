"""Every event that the hub tells: its name, its version, what it means, and the JSON Schema of what is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from domain.entities import ENTITIES, Kind
from storage.change_feed import Change
from storage.payloads import STAGE_CHANGED

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TEST: Final = "webhook.test"
DISABLED: Final = "webhook_endpoint.disabled"

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event. ``data``: the schema of its ``data``; ``version`` grows when a field changes its meaning or goes."""

    name: str
    means: str
    data: Schema
    version: int = 1

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the whole body."""
        return {
            "$schema": DIALECT,
            "title": self.name,
            "description": self.means,
            **_object(
                id=_UUID,
                type={"const": self.name},
                version={"const": self.version},
                tenant=_UUID,
                occurred_at=_MOMENT,
                data=dict(self.data),
            ),
        }


_TEXT: Schema = {"type": "string"}
_UUID: Schema = {"type": "string", "format": "uuid"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _or_null(schema: Schema) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_KINDS: Mapping[Kind, Schema] = {
    Kind.INTEGER: {"type": "integer"},
    Kind.DECIMAL: {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
    Kind.JSON: {},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIMESTAMP: _MOMENT,
    Kind.TEXT_LIST: {"type": "array", "items": _TEXT},
    Kind.REFERENCE: _UUID,
}

_ASSOCIATION: Mapping[str, Schema] = {
    "from_entity": _TEXT,
    "from_id": _UUID,
    "to_entity": _TEXT,
    "to_id": _UUID,
    "label": _TEXT,
    "is_primary": {"type": "boolean"},
    "source_created_at": _MOMENT,
    "source_updated_at": _MOMENT,
}


@cache
def record_schema(entity: str) -> Schema:
    """The schema of a record in the form of the API: blank fields are left out."""
    fields: Mapping[str, Schema] = _ASSOCIATION
    if entity != "association":
        fields = {f.name: _KINDS.get(f.kind, _TEXT) for f in ENTITIES[entity].all_fields.values()}
    return _object(
        entity={"const": entity},
        id=_UUID,
        version=_COUNT,
        created_at=_MOMENT,
        updated_at=_MOMENT,
        custom_fields={"type": "object"},
        fields={"type": "object", "properties": dict(fields), "additionalProperties": False},
    )


def _about(entity: str, **more: Any) -> dict[str, Any]:
    """What is told of every change of one record."""
    return _object(
        entity={"const": entity},
        id=_UUID,
        version=_or_null(_COUNT),
        connection_id=_or_null(_UUID),
        by=_or_null(_TEXT),
        record={"anyOf": [record_schema(entity), {"type": "null"}]},
        **more,
    )


_CHANGED: Schema = {
    "type": "object",
    "additionalProperties": _object(old={}, new={}),
    "description": "Each changed field with its old and new value; custom fields as custom_fields.<name>.",
}
_STAGE: Schema = _object(id=_or_null(_UUID), name=_or_null(_TEXT))
_CONNECTION: Schema = _object(connection_id=_UUID, vendor=_TEXT, name=_TEXT)
_REASONS: Schema = {"type": "array", "items": _object(object=_or_null(_TEXT), code=_TEXT, message=_TEXT)}
_RUN: Schema = _object(run_id=_UUID, connection_id=_UUID)


def _of_entity(entity: str) -> Iterator[EventType]:
    words = entity.replace("_", " ")
    yield EventType(f"{entity}.created", f"The {words} was created.", _about(entity))
    yield EventType(f"{entity}.updated", f"Fields of the {words} changed.", _about(entity, changed=_CHANGED))
    yield EventType(f"{entity}.deleted", f"The {words} was deleted; `record` is how it stood last.", _about(entity))
    yield EventType(
        f"{entity}.merged",
        f"The {words} was merged into another one, which goes on as `merged_into`.",
        _about(entity, merged_into=_or_null(_UUID)),
    )
    yield EventType(f"{entity}.restored", f"The {words} was deleted and is back.", _about(entity))
    yield EventType(
        f"{entity}.bulk_loaded",
        "A migration created many records at once; a subscription may ask for each one instead.",
        _object(entity={"const": entity}, run_id=_UUID, object=_TEXT, rows=_COUNT, connection_id=_or_null(_UUID)),
    )


_OTHERS: tuple[EventType, ...] = (
    EventType(
        STAGE_CHANGED,
        "An opportunity moved to another stage. `opportunity.updated` tells of the same change.",
        _about("opportunity", changed=_CHANGED, old_stage=_STAGE, new_stage=_STAGE),
    ),
    EventType("migration.started", "A migration began.", _RUN),
    EventType(
        "migration.completed",
        "A migration ended well; `created`, `updated` and `rejected` count records.",
        _object(run_id=_UUID, connection_id=_UUID, created=_COUNT, updated=_COUNT, rejected=_COUNT),
    ),
    EventType(
        "migration.failed",
        "A migration stopped with an error, and can be resumed.",
        _object(run_id=_UUID, connection_id=_UUID, code=_TEXT),
    ),
    EventType(
        "migration.undone",
        "A migration was taken back; `partly`: something of it stays.",
        _object(run_id=_UUID, connection_id=_UUID, partly={"type": "boolean"}),
    ),
    EventType(
        "sync.failed",
        "Records were set aside as dead letters. Told once an hour for each cause; `letters` counts those of one batch.",
        _object(
            connection_id=_or_null(_UUID),
            object=_or_null(_TEXT),
            stage=_TEXT,
            code=_TEXT,
            field=_or_null(_TEXT),
            message=_TEXT,
            fingerprint=_TEXT,
            letters=_COUNT,
        ),
    ),
    EventType(
        "conflict.opened",
        "Both sides changed a field, and a person has to decide.",
        _object(
            conflict_id=_UUID, connection_id=_UUID, object=_TEXT, entity=_TEXT, entity_id=_UUID, field=_TEXT, rule=_TEXT
        ),
    ),
    EventType("connection.connected", "An account was connected, or connected anew.", _CONNECTION),
    EventType("connection.disconnected", "A connection was removed.", _CONNECTION),
    EventType(
        "connection.unhealthy",
        "The connection is not in step: a stream was not compared with the vendor for too long, failed several times in a row, or "
        "stopped, or the vendor refuses the credentials. Told once, until it has recovered; `reasons` in words.",
        _object(connection_id=_UUID, vendor=_TEXT, name=_TEXT, reasons=_REASONS),
    ),
    EventType("connection.recovered", "A connection that was unhealthy is healthy again.", _CONNECTION),
    EventType(
        "connection.reauth_required",
        "The vendor refuses the credentials: connect again.",
        _object(connection_id=_UUID, vendor=_TEXT, name=_TEXT, object=_or_null(_TEXT), reason=_TEXT),
    ),
    EventType(
        DISABLED,
        "Nothing is sent to a webhook subscription any more; what happens is kept for it.",
        _object(subscription_id=_UUID, name=_TEXT, reason=_TEXT),
    ),
    EventType(TEST, "Somebody asked for a test delivery.", _object(message=_TEXT)),
)

EVENTS: Mapping[str, EventType] = MappingProxyType(
    {e.name: e for entity in (*ENTITIES, "association") for e in _of_entity(entity)} | {e.name: e for e in _OTHERS}
)
"""Every type of event by name."""


def types_of(change: Change) -> list[str]:
    """The events that a row of the change log leads to."""
    if change.kind == "bulk":
        return [f"{change.entity}.bulk_loaded"] if change.detail.get("rows") else []
    names = [f"{change.entity}.{change.kind}"]
    if change.entity == "opportunity" and change.kind == "updated" and "stage_id" in change.fields:
        names.append(STAGE_CHANGED)
    return names


def unknown_types(patterns: list[str]) -> list[str]:
    """Those of the names that no event has, wildcards (``*``, ``contact.*``) understood."""
    groups = {name.partition(".")[0] + ".*" for name in EVENTS}
    return [p for p in patterns if p != "*" and p not in EVENTS and p not in groups]
