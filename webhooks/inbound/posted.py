"""What somebody posts becomes a record of the hub: read by the endpoint's fields, matched, created or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.entities import ENTITIES, Kind
from domain.errors import ConfigurationError, RecordRejectedError
from mappings.compile import Lens, MappedRecord, compile_spec
from mappings.model import FieldLine, MappingSpec
from mappings.transforms import DEFAULTS
from storage import inbox
from storage.database import Connection
from storage.inbound_endpoints import Endpoint
from storage.inbox import Became
from storage.sync import gathering, lanes, records
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM
from sync_engine.core.merge import same
from webhooks.inbound.schemes.generic import Generic, value_at

_ID: Final = "\0id"  # no field is called so


@dataclass(frozen=True, slots=True)
class Reading:
    """What a post says, in the hub's terms: ``values`` flat and typed. ``warnings`` name fields whose value could not be read."""

    entity: str
    values: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a post would become. ``changes`` by field as (what stands, what would stand); ``problem``: why it cannot be taken."""

    outcome: str
    entity: str | None = None
    entity_id: UUID | None = None
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    problem: str = ""


class Reader:
    """The fields of a generic endpoint, compiled. Raises ConfigurationError for fields that cannot be posted."""

    def __init__(self, scheme: Generic) -> None:
        if scheme.entity is None or scheme.entity not in ENTITIES:
            raise ConfigurationError(
                f"There is no entity {scheme.entity}.",
                remedy="Choose one of the hub's, such as lead.",
                code="no_such_entity",
            )
        self.entity: Final = scheme.entity
        self._paths = dict(scheme.fields)
        self._lens = self._compiled()

    def _compiled(self) -> Lens:
        known = ENTITIES[self.entity].all_fields
        names = [name for name in self._paths if not name.startswith(CUSTOM)]
        records.check(self.entity, dict.fromkeys(self._paths, "given"))
        references = [name for name in names if known[name].kind is Kind.REFERENCE]
        if references:
            raise ConfigurationError(
                f"A post cannot set {', '.join(references)}: it names another record, whose id a sender does not know.",
                remedy="Leave the field out.",
                code="not_postable",
            )
        lines = {name: FieldLine(sources=(name,), via=DEFAULTS[known[name].kind]) for name in names}
        return compile_spec(MappingSpec(vendor="webhook", object="post", entity=self.entity, id=_ID, fields=lines))

    def read(self, data: Any) -> Reading:
        """What ``data`` says. Raises RecordRejectedError for a value that must not be left out."""
        found = {name.removeprefix(CUSTOM): value_at(path, data) for name, path in self._paths.items()}
        mapped: MappedRecord = self._lens.forward_one({_ID: "post", **found})
        for problem in mapped.problems:
            if problem.rejects:
                raise RecordRejectedError(
                    problem.message,
                    code=problem.code,
                    remedy="Mend the value and replay it.",
                    context={"field": problem.field},
                )
        values = {name: value for name, value in mapped.values.items() if value is not None}
        values |= {f"{CUSTOM}{name}": value for name, value in mapped.custom_fields.items() if value is not None}
        return Reading(self.entity, values, tuple(problem.message for problem in mapped.problems))


def reader_of(scheme: object) -> Reader | None:
    """How an endpoint's posts are read; None where they are kept as they came."""
    return Reader(scheme) if isinstance(scheme, Generic) and scheme.entity is not None else None


def apply(conn: Connection, tenant_id: UUID, endpoint: Endpoint, reading: Reading, occurred_at: datetime) -> Became:
    """Create the record, or change the one that it matches; a post older than the last one changes nothing.

    Raises RecordRejectedError: several records match, or a required field is missing.
    """
    lanes.lock_entity(conn, tenant_id, reading.entity)
    by = f"webhook:{endpoint.name}"
    known = _match(conn, tenant_id, endpoint, reading)
    if known is None:
        made = records.create(conn, tenant_id, reading.entity, reading.values, by)
        inbox.advance_record(conn, endpoint.id, reading.entity, made, occurred_at)
        return Became.APPLIED
    if not inbox.advance_record(conn, endpoint.id, reading.entity, known, occurred_at):
        return Became.SUPERSEDED
    records.edit(conn, tenant_id, reading.entity, known, reading.values, by)
    return Became.APPLIED


def preview(conn: Connection, tenant_id: UUID, endpoint: Endpoint, reading: Reading) -> Preview:
    """What `apply` would do. Changes nothing."""
    try:
        known = _match(conn, tenant_id, endpoint, reading)
        if known is None:
            records.check(reading.entity, reading.values, creating=True)
    except RecordRejectedError as error:
        return Preview(Became.DEAD, reading.entity, warnings=reading.warnings, problem=error.message)
    stands: Mapping[str, Any] = {}
    if known is not None:
        stands = gathering.hubs(conn, tenant_id, reading.entity, [known])[known].values
    changes = {n: (stands.get(n), v) for n, v in reading.values.items() if not same(stands.get(n), v)}
    outcome = "created" if known is None else "changed" if changes else "unchanged"
    return Preview(outcome, reading.entity, known, changes, reading.warnings)


def _match(conn: Connection, tenant_id: UUID, endpoint: Endpoint, reading: Reading) -> UUID | None:
    """The record that agrees on a match key of the entity. Raises RecordRejectedError where several do."""
    keys: Sequence[Mapping[str, Any]] = [
        {name: reading.values[name] for name in key}
        for key in ENTITIES[reading.entity].match_keys
        if all(reading.values.get(name) not in (None, "") for name in key)
    ]
    # The endpoint stands where a lane would: nothing is linked to it, so that every record is a candidate.
    lane = LaneKey(tenant_id, endpoint.id, endpoint.name)
    found = gathering.candidates(conn, lane, reading.entity, {"post": keys}).get("post", ()) if keys else ()
    if len(found) > 1:
        raise RecordRejectedError(
            f"{len(found)} records of {reading.entity} match the post.",
            code="ambiguous_match",
            remedy="Merge the duplicates, then replay the letter.",
        )
    return found[0] if found else None
