"""Associations between records: their types and labels, and who is associated with whom.

https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.hubspot.errors import invalid
from sandbox.hubspot.schema import ObjectType

DEFINED, OWN = "HUBSPOT_DEFINED", "USER_DEFINED"
PRIMARY = "Primary"


@dataclass(frozen=True, slots=True)
class AssociationType:
    """One direction of a kind of association. ``label`` None: the plain one. ``inverse``: the other direction's id."""

    id: int
    category: str
    source: str
    target: str
    name: str
    label: str | None
    inverse: int

    def as_json(self) -> dict[str, Any]:
        return {"category": self.category, "typeId": self.id, "label": self.label}


# from, to, id, inverse, label
_DEFINED: tuple[tuple[str, str, int, int, str | None], ...] = (
    ("contacts", "companies", 279, 280, None), ("contacts", "companies", 1, 2, PRIMARY), ("contacts", "deals", 4, 3, None),
    ("contacts", "tickets", 15, 16, None), ("contacts", "contacts", 449, 449, None), ("companies", "deals", 342, 341, None),
    ("companies", "deals", 6, 5, PRIMARY), ("companies", "tickets", 340, 339, None), ("companies", "tickets", 25, 26, PRIMARY),
    ("companies", "companies", 450, 450, None), ("companies", "companies", 13, 14, "Parent Company"),
    ("deals", "tickets", 27, 28, None), ("deals", "line_items", 19, 20, None), ("deals", "deals", 451, 451, None),
    ("tickets", "tickets", 452, 452, None), ("quotes", "line_items", 67, 68, None), ("quotes", "deals", 64, 63, None),
    ("quotes", "contacts", 69, 70, None), ("quotes", "companies", 71, 72, None),
    ("contacts", "calls", 193, 194, None), ("companies", "calls", 181, 182, None), ("deals", "calls", 205, 206, None),
    ("tickets", "calls", 219, 220, None), ("contacts", "emails", 197, 198, None), ("companies", "emails", 185, 186, None),
    ("deals", "emails", 209, 210, None), ("tickets", "emails", 223, 224, None), ("contacts", "meetings", 199, 200, None),
    ("companies", "meetings", 187, 188, None), ("deals", "meetings", 211, 212, None), ("tickets", "meetings", 225, 226, None),
    ("contacts", "notes", 201, 202, None), ("companies", "notes", 189, 190, None), ("deals", "notes", 213, 214, None),
    ("tickets", "notes", 227, 228, None), ("contacts", "tasks", 203, 204, None), ("companies", "tasks", 191, 192, None),
    ("deals", "tasks", 215, 216, None), ("tickets", "tasks", 229, 230, None),
)  # fmt: skip
_INVERSE_LABELS = {13: "Child Company"}
Spec = tuple[str, int]
"""A type as callers name it: category and id."""
Target = dict[str, set[Spec]]


class Associations:
    """``links``: object and id, then the other object, then its ids with the types that hold between the two."""

    def __init__(self, objects: Mapping[str, ObjectType]) -> None:
        self.objects = objects
        self.types: dict[tuple[str, str], dict[Spec, AssociationType]] = {}
        self.links: dict[tuple[str, str], dict[str, Target]] = {}
        self.last_id = 0
        for source, target, type_id, inverse, label in _DEFINED:
            back = _INVERSE_LABELS.get(type_id, label)
            self.define(DEFINED, source, target, type_id, inverse, label, back)

    # ------------------------------------------------------------ types

    def define(
        self, category: str, source: str, target: str, type_id: int, inverse: int, label: str | None, back: str | None,
        name: str = "",
    ) -> AssociationType:  # fmt: skip
        """Both directions of a kind of association."""
        made = AssociationType(
            type_id, category, source, target, name or self._name(source, target, label), label, inverse
        )
        self.types.setdefault((source, target), {})[category, type_id] = made
        if (type_id, source) != (inverse, target):
            other = AssociationType(
                inverse, category, target, source, name or self._name(target, source, back), back, type_id
            )
            self.types.setdefault((target, source), {})[category, inverse] = other
        return made

    def add_label(
        self, source: str, target: str, label: str, inverse_label: str | None, name: str
    ) -> list[AssociationType]:
        """A label of the portal's own, in both directions."""
        self.last_id += 2
        back = inverse_label or label
        made = self.define(OWN, source, target, self.last_id - 1, self.last_id, label, back, name)
        return [made, self.types[target, source][OWN, self.last_id]]

    def connect(self, source: str, target: str) -> AssociationType:
        """A plain type between two objects that have none: what a custom object's schema asks for."""
        self.last_id += 2
        return self.define(OWN, source, target, self.last_id - 1, self.last_id, None, None)

    def _name(self, source: str, target: str, label: str | None) -> str:
        """As version 3 of the API calls it: ``contact_to_company`` is the primary one, the plain one is ``…_unlabeled``."""
        plain = f"{self.objects[source].singular}_to_{self.objects[target].singular}"
        pair_has_primary = label is None and {source, target} in (
            {"contacts", "companies"},
            {"companies", "deals"},
            {"companies", "tickets"},
        )
        if label in {"Parent Company", "Child Company"}:
            return "parent_to_child_company" if label == "Parent Company" else "child_to_parent_company"
        return f"{plain}_unlabeled" if pair_has_primary else plain

    def of(self, source: str, target: str) -> dict[Spec, AssociationType]:
        return self.types.get((source, target), {})

    def plain(self, source: str, target: str) -> AssociationType:
        """The unlabelled type. Raises 400 when the two objects can't be associated."""
        found = next((t for t in self.of(source, target).values() if t.label is None), None)
        if found is None:
            raise invalid(
                f"No default association type exists between {self.objects[source].type_id} and {self.objects[target].type_id}"
            )
        return found

    def primary(self, source: str, target: str) -> AssociationType | None:
        return next((t for t in self.of(source, target).values() if t.label == PRIMARY), None)

    def typed(self, source: str, target: str, specs: Iterable[Mapping[str, Any]]) -> list[AssociationType]:
        """The types that a caller names. Raises 400 for one that isn't of these two objects."""
        found = []
        for spec in specs:
            wanted = (str(spec.get("associationCategory", "")), int(spec.get("associationTypeId", -1)))
            known = self.of(source, target).get(wanted)
            if known is None:
                ends = f"from {self.objects[source].type_id} to {self.objects[target].type_id}"
                raise invalid(
                    f"{wanted[0]} associationTypeId {wanted[1]} is not valid {ends}",
                    **{"associationTypeId": [str(wanted[1])]},
                )
            found.append(known)
        return found

    # ------------------------------------------------------------ links

    def targets(self, source: str, source_id: str, target: str) -> Target:
        return self.links.get((source, source_id), {}).get(target, {})

    def all_targets(self, source: str, source_id: str) -> Iterator[tuple[str, str, set[Spec]]]:
        for target, ids in self.links.get((source, source_id), {}).items():
            for target_id, specs in ids.items():
                yield target, target_id, specs

    def link(self, source: str, source_id: str, target: str, target_id: str, types: Iterable[AssociationType]) -> None:
        """Associate. The plain type comes with every label; a first company is the primary one, of which there is one."""
        wanted = [*types, self.plain(source, target)]
        primary, end = self.primary(source, target), self._primary_end(source, target)
        if primary is not None and not self._has_primary(end, source, source_id, target, target_id):
            wanted.append(primary)
        for kind in wanted:
            if kind.label == PRIMARY:
                self._drop_primary(source, source_id, target, target_id)
            self._put(source, source_id, target, target_id, (kind.category, kind.id))
            self._put(target, target_id, source, source_id, (kind.category, kind.inverse))

    def unlink(
        self, source: str, source_id: str, target: str, target_id: str, specs: Iterable[Spec] | None = None
    ) -> bool:
        """End an association, or only some of its types; without the plain one it ends whole. Whether there was one.

        https://developers.hubspot.com/docs/api-reference/crm-associations-v4/batch/delete-specific-labels
        """
        held = self.targets(source, source_id, target).get(target_id)
        if held is None:
            return False
        gone = set(held) if specs is None else set(specs) & held
        known = self.of(source, target)
        if any(spec in known and known[spec].label is None for spec in gone):
            gone = set(held)
        for spec in gone:
            self._drop(source, source_id, target, target_id, spec)
            self._drop(target, target_id, source, source_id, (spec[0], known[spec].inverse))
        return bool(gone)

    def _primary_end(self, source: str, target: str) -> str:
        """The object of which a record has one primary company."""
        if self.primary(source, target) is None:
            return ""
        return target if source == "companies" else source

    def _has_primary(self, end: str, source: str, source_id: str, target: str, target_id: str) -> bool:
        owner = (source, source_id) if end == source else (target, target_id)
        kind = self.primary(owner[0], "companies")
        held = self.targets(*owner, "companies")
        return kind is not None and any((kind.category, kind.id) in specs for specs in held.values())

    def _drop_primary(self, source: str, source_id: str, target: str, target_id: str) -> None:
        end = self._primary_end(source, target)
        owner = (source, source_id) if end == source else (target, target_id)
        kind = self.primary(owner[0], "companies")
        for company, specs in list(self.targets(*owner, "companies").items()):
            if kind is not None and (kind.category, kind.id) in specs:
                self.unlink(*owner, "companies", company, [(kind.category, kind.id)])

    def _put(self, source: str, source_id: str, target: str, target_id: str, spec: Spec) -> None:
        self.links.setdefault((source, source_id), {}).setdefault(target, {}).setdefault(target_id, set()).add(spec)

    def _drop(self, source: str, source_id: str, target: str, target_id: str, spec: Spec) -> None:
        held = self.links.get((source, source_id), {}).get(target, {})
        specs = held.get(target_id, set())
        specs.discard(spec)
        if not specs:
            held.pop(target_id, None)
