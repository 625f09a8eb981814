"""Choose a part of the source that hangs together: some accounts, what belongs to them, and whatever those refer to.

Records that belong to nobody (accounts, and contacts without one) are chosen by a hash of their id, so that the same share
of the same source is the same sample. What belongs to a chosen record is chosen with it, and at last everything that a
chosen record refers to is added, until no reference leads out of the sample.

Each object is read once with nothing but its ids and references, and once more for each step of the last part, by id.
Memory: the ids of the chosen records and of what they refer to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.kit.contract import Connector, ReadRequest
from domain.entities import ENTITIES
from domain.errors import ConfigurationError
from domain.records import MISSING, Catalog
from migration.audit_sketch import hash_text
from migration.audit_tally import IdKey, plain_id, salesforce_id
from migration.plan_model import Phase, Plan, PlannedObject

_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class _Shape:
    """What has to be read of an object. ``references``: (source field, planned objects it may name), nearest first;
    ``lookups``: source fields that may name a record of any object."""

    planned: PlannedObject
    id_field: str
    key: IdKey
    references: tuple[tuple[str, tuple[str, ...]], ...]
    lookups: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.id_field, *(name for name, _ in self.references), *self.lookups)))


@dataclass(slots=True)
class _Choice:
    """Chosen ids of one object by their key, and keys that somebody refers to."""

    ids: dict[str, str] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


def sample(connector: Connector, plan: Plan, percent: float) -> dict[str, set[str]]:
    """The vendor ids of the sample by object, as the source writes them. Raises ConfigurationError for a senseless share.

    Pipelines, stages and users are taken whole: there are few, and everything refers to them.
    """
    if not 0 < percent <= 100:
        raise ConfigurationError(
            f"A sample of {percent:g} % makes no sense.", remedy="Give a share above 0 and up to 100."
        )
    catalog = connector.describe([p.object for p in plan.objects])
    sampler = _Sampler(connector, plan, catalog, percent)
    return sampler.run()


class _Sampler:
    def __init__(self, connector: Connector, plan: Plan, catalog: Catalog, percent: float) -> None:
        self._connector = connector
        self._shapes = {p.object: _shape(p, plan, catalog) for p in plan.objects}
        self._choices = {p.object: _Choice() for p in plan.objects}
        self._threshold = int(percent / 100 * 2**64)

    def run(self) -> dict[str, set[str]]:
        for shape in self._shapes.values():
            self._read(shape, self._rule(shape), None)
        while any(self._complete(shape) for shape in self._shapes.values()):
            pass
        return {name: set(choice.ids.values()) for name, choice in self._choices.items()}

    def _rule(self, shape: _Shape) -> Callable[[str, Mapping[str, Any]], bool]:
        if shape.planned.phase in (Phase.METADATA, Phase.USERS):
            return lambda _key, _record: True
        if shape.planned.entity == "association":
            return lambda _key, record: self._both_ends(shape, record)
        return lambda key, record: self._belongs(shape, key, record)

    def _belongs(self, shape: _Shape, key: str, record: Mapping[str, Any]) -> bool:
        """By its nearest owner, if it has one that is part of the plan; else by its own id. Files go with what has them."""
        for name, targets in shape.references:
            value = _value(record, name)
            owners = [t for t in targets if t != shape.planned.object and self._shapes[t].planned.phase > Phase.USERS]
            if value and owners:
                return any(self._shapes[t].key(value) in self._choices[t].ids for t in owners)
        found = [value for value in (_value(record, name) for name in shape.lookups) if value]
        if found:
            return any(self._is_chosen(value) for value in found)
        return hash_text(key) < self._threshold

    def _both_ends(self, shape: _Shape, record: Mapping[str, Any]) -> bool:
        """Files and other ends that are only reached through the association do not decide; they are added afterwards."""
        decisive = [(name, targets) for name, targets in shape.references if not self._only_files(targets)]
        named = [(_value(record, name), targets) for name, targets in decisive]
        ends = [any(self._shapes[t].key(v) in self._choices[t].ids for t in targets) for v, targets in named if v]
        ends += [self._is_chosen(value) for value in (_value(record, name) for name in shape.lookups) if value]
        return bool(ends) and all(ends)

    def _only_files(self, targets: Sequence[str]) -> bool:
        return all(self._shapes[t].planned.phase is Phase.ATTACHMENTS for t in targets)

    def _is_chosen(self, value: str) -> bool:
        return any(self._shapes[name].key(value) in choice.ids for name, choice in self._choices.items())

    def _read(self, shape: _Shape, rule: Callable[[str, Mapping[str, Any]], bool], ids: tuple[str, ...] | None) -> None:
        choice = self._choices[shape.planned.object]
        for record in self._records(shape, ids):
            raw = _value(record, shape.id_field)
            if raw is None:
                continue
            key = shape.key(raw)
            if key not in choice.ids and rule(key, record):
                choice.ids[key] = raw
                self._want_parents(shape, record)

    def _records(self, shape: _Shape, ids: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        request = ReadRequest(
            shape.planned.object, fields=shape.fields, ids=ids, expected_count=shape.planned.expected_count
        )
        for page in self._connector.read(request):
            yield from page.records()

    def _want_parents(self, shape: _Shape, record: Mapping[str, Any]) -> None:
        for name, targets in shape.references:
            value = _value(record, name)
            if value:
                for target in targets:
                    self._choices[target].wanted.add(self._shapes[target].key(value))

    def _complete(self, shape: _Shape) -> bool:
        """Add what chosen records refer to and is not chosen yet; returns whether there was anything to look for."""
        choice = self._choices[shape.planned.object]
        missing = sorted(choice.wanted - choice.ids.keys() - choice.asked)
        choice.wanted.clear()
        choice.asked.update(missing)
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            keys = frozenset(batch)
            self._read(shape, lambda key, _, keys=keys: key in keys, tuple(batch))  # type: ignore[misc]
        return bool(missing)


def _value(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    return None if value is None or value is MISSING or not str(value).strip() else str(value)


def _shape(planned: PlannedObject, plan: Plan, catalog: Catalog) -> _Shape:
    known = set(catalog.objects[planned.object].field_names)
    names = {p.object for p in plan.objects}
    entity = ENTITIES.get(planned.entity)
    nearest = [f.name for f in entity.references] if entity else ["from_id", "to_id"]
    references: list[tuple[str, tuple[str, ...]]] = []
    lookups: list[str] = []
    for line in (planned.spec.fields[n] for n in nearest if n in planned.spec.fields):
        for source in line.sources:
            targets = tuple(o for o in line.objects if o in names)
            if source in known and targets:
                references.append((source, targets))
            elif source in known and "*" in line.objects:
                lookups.append(source)
    lookups += [link.source for link in planned.spec.links if link.source in known]
    key = salesforce_id if planned.spec.vendor == "salesforce" else plain_id
    return _Shape(planned, planned.spec.id, key, tuple(references), tuple(dict.fromkeys(lookups)))
