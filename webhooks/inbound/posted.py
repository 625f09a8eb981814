"""What somebody posts becomes a record of the hub: read by the endpoint's fields, matched, created or changed."""

from __future__ import annotations

import unicodedata
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


@dataclass(frozen=True, slots=True)
class Post:
    """What a post says, and when that happened."""

    reading: Reading
    occurred_at: datetime


Outcome = Became | RecordRejectedError


def apply(conn: Connection, tenant_id: UUID, endpoint: Endpoint, reading: Reading, occurred_at: datetime) -> Became:
    """Create the record, or change the one that it matches; a post older than the last one changes nothing.

    Raises RecordRejectedError: several records match, or a required field is missing.
    """
    [outcome] = apply_all(conn, tenant_id, endpoint, [Post(reading, occurred_at)])
    if isinstance(outcome, RecordRejectedError):
        raise outcome
    return outcome


def apply_all(conn: Connection, tenant_id: UUID, endpoint: Endpoint, posts: Sequence[Post]) -> list[Outcome]:
    """`apply` posts of one entity as if one after the other, in a few statements; returns what became of each.

    Posts that may concern the same record are never applied together: what the first one does decides what the next one matches.
    """
    outcomes: dict[int, Outcome] = {}
    if posts:
        lanes.lock_entity(conn, tenant_id, posts[0].reading.entity)
    waiting = list(range(len(posts)))
    while waiting:
        apart, later = _apart(posts, waiting)
        found = _matches(conn, tenant_id, endpoint, {place: posts[place].reading for place in apart})
        together: dict[int, UUID | None] = {}
        for place in apart:
            known = found[place]
            if isinstance(known, RecordRejectedError):
                outcomes[place] = known
            elif known is not None and known in together.values():
                later.append(place)
            else:
                together[place] = known
        outcomes |= _apply(conn, tenant_id, endpoint, {p: posts[p] for p in together}, together)
        waiting = sorted(later)
    return [outcomes[place] for place in range(len(posts))]


def _apart(posts: Sequence[Post], waiting: Sequence[int]) -> tuple[list[int], list[int]]:
    """Those that no post waiting before them can have to do with, and the rest."""
    seen: set[tuple[str, ...]] = set()
    apart: list[int] = []
    later: list[int] = []
    for place in waiting:
        mine = _identities(posts[place].reading)
        (apart if seen.isdisjoint(mine) else later).append(place)
        seen |= mine
    return apart, later


def _identities(reading: Reading) -> set[tuple[str, ...]]:
    """What two posts have in common if one may match what the other makes of a record.

    A record that was matched by the only key says the same of it afterwards. By one of several it was matched, another one may
    change: then each value counts.
    """
    keys = ENTITIES[reading.entity].match_keys
    if len(keys) > 1:
        keys = tuple((name,) for name in {name for key in keys for name in key})
    said = [[reading.values.get(name) for name in key] for key in keys]
    return {tuple(map(_folded, values)) for values in said if not any(v in (None, "") for v in values)}


def _folded(value: Any) -> str:
    """A value so that whatever PostgreSQL may take for the same is the same: more may be than is, which costs a statement."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", str(value)).casefold())
    return "".join(c for c in bare if not unicodedata.combining(c)).casefold().strip()


def _apply(
    conn: Connection,
    tenant_id: UUID,
    endpoint: Endpoint,
    posts: Mapping[int, Post],
    targets: Mapping[int, UUID | None],
) -> dict[int, Outcome]:
    """Apply posts, by place, of which no two concern the same record."""
    if not posts:
        return {}
    entity, by = next(iter(posts.values())).reading.entity, f"webhook:{endpoint.name}"
    outcomes: dict[int, Outcome] = {}
    for place, post in posts.items():
        try:
            records.check(entity, post.reading.values, creating=targets[place] is None)
        except RecordRejectedError as error:
            outcomes[place] = error
    new = [p for p in posts if p not in outcomes and targets[p] is None]
    made = records.create_all(conn, tenant_id, entity, [posts[p].reading.values for p in new], by)
    known = {p: record for p, record in targets.items() if p not in outcomes and record is not None}
    standing = records.lock(conn, tenant_id, entity, known.values())
    outcomes |= {p: records.gone(entity) for p, record in known.items() if record not in standing}
    moments = {record: posts[p].occurred_at for p, record in known.items() if record in standing}
    moments |= {record: posts[p].occurred_at for p, record in zip(new, made, strict=True)}
    ahead = inbox.advance_records(conn, endpoint.id, entity, moments)
    edits = {record: posts[p].reading.values for p, record in known.items() if record in standing & ahead}
    records.edit_all(conn, tenant_id, entity, edits, by)
    outcomes |= {
        p: Became.APPLIED if record in ahead else Became.SUPERSEDED for p, record in known.items() if record in standing
    }
    return outcomes | dict.fromkeys(new, Became.APPLIED)


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
    found = _matches(conn, tenant_id, endpoint, {0: reading})[0]
    if isinstance(found, RecordRejectedError):
        raise found
    return found


def _matches(
    conn: Connection, tenant_id: UUID, endpoint: Endpoint, readings: Mapping[int, Reading]
) -> dict[int, UUID | RecordRejectedError | None]:
    """For each reading of one entity the record that agrees on a match key, or why it cannot be told."""
    keys: dict[str, Sequence[Mapping[str, Any]]] = {}
    for place, reading in readings.items():
        present = [
            {name: reading.values[name] for name in key}
            for key in ENTITIES[reading.entity].match_keys
            if all(reading.values.get(name) not in (None, "") for name in key)
        ]
        if present:
            keys[str(place)] = present
    if not keys:
        return dict.fromkeys(readings)
    entity = next(iter(readings.values())).entity
    # The endpoint stands where a lane would: nothing is linked to it, so that every record is a candidate.
    found = gathering.candidates(conn, LaneKey(tenant_id, endpoint.id, endpoint.name), entity, keys)
    matches: dict[int, UUID | RecordRejectedError | None] = {}
    for place in readings:
        several = found.get(str(place), ())
        matches[place] = _ambiguous(entity, len(several)) if len(several) > 1 else next(iter(several), None)
    return matches


def _ambiguous(entity: str, number: int) -> RecordRejectedError:
    return RecordRejectedError(
        f"{number} records of {entity} match the post.",
        code="ambiguous_match",
        remedy="Merge the duplicates, then replay the letter.",
    )
