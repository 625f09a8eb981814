"""Creating, changing, archiving, merging and forgetting records under the vendor's rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.hubspot import derive
from sandbox.hubspot.clean import BadValueError, as_text, clean
from sandbox.hubspot.errors import ApiError, bad_values, contact_exists, invalid, not_found, required
from sandbox.hubspot.portal import Portal, unique_key
from sandbox.hubspot.records import Record, Values, Version
from sandbox.hubspot.schema import ObjectType, Property
from sandbox.hubspot.times import iso

Problem = tuple[str, str, str]
VERSIONS_KEPT = 20
STAGED = {"deals": ("pipeline", "dealstage"), "tickets": ("hs_pipeline", "hs_pipeline_stage")}
"""The properties that name a record's pipeline and its stage."""


class Writer:
    """Writes as one source: ``API`` (an app's calls, counted in ``portal.created``), ``CRM_UI`` (a person) or ``IMPORT``."""

    def __init__(self, portal: Portal, source: str = "API", source_id: str = "") -> None:
        self.portal = portal
        self.source = source
        self.source_id = source_id

    # ------------------------------------------------------------ the writes

    def create(
        self, item: ObjectType, given: Mapping[str, Any], associations: Iterable[Mapping[str, Any]] = ()
    ) -> Record:
        """A new record. Raises ApiError; then nothing was done."""
        values, wanted = self.checked_new(item, given, associations)
        now = self.portal.now()
        record = Record(self.portal.counters.next(item.name), {}, now, now)
        self.portal.tables[item.name][record.id] = record
        self._store(item, record, values | self._born(item, record, values))
        self.portal.note(item, record.id, "creation", self.source)
        if self.source == "API":
            self.portal.created.setdefault(item.name, []).append(record.id)
        for target, target_id, types in wanted:
            self.portal.associations.link(item.name, record.id, target, target_id, types)
            derive.associated(self, item.name, record.id, target, target_id)
        return record

    def update(self, item: ObjectType, record: Record, given: Mapping[str, Any]) -> Record:
        values = self.checked(item, given, record.values, record)
        self._store(item, record, values)
        return record

    def archive(self, item: ObjectType, record: Record) -> None:
        """Into the recycle bin: its associations end, its unique values are free again."""
        if record.archived:
            return
        self.portal.reindex(item, record, record.values, None)
        record.archived_at = record.updated = self.portal.now()
        for target, target_id, _ in list(self.portal.associations.all_targets(item.name, record.id)):
            self.portal.associations.unlink(item.name, record.id, target, target_id)
            derive.associated(self, item.name, record.id, target, target_id)
        self.portal.will_be_seen(item, record)
        self.portal.note(item, record.id, "deletion", self.source)

    def restore(self, item: ObjectType, record: Record) -> None:
        """Out of the recycle bin, without the associations. Only a person can. Raises 400 when its unique value is taken."""
        problems = self._taken(item, record.values, record)
        if problems:
            raise bad_values(problems)
        record.archived_at = None
        self.portal.reindex(item, record, None, record.values)
        self._touch(item, record, {})
        self.portal.note(item, record.id, "restore", self.source)

    def merge(self, item: ObjectType, survivor: Record, merged: Record) -> Record:
        """Blank values are filled from the other; associations move; the old ids lead to what is left from now on.

        Of a deal that is a third record with an id of its own:
        https://developers.hubspot.com/changelog/announcement-deals-now-support-merging
        """
        if survivor is merged:
            raise invalid("Cannot merge a record with itself")
        filled = {n: v for n, v in merged.values.items() if n not in survivor.values and _moves(item, n)}
        filled["hs_merged_object_ids"] = ";".join([*_merged_ids(survivor), *_merged_ids(merged), merged.id])
        if item.name == "contacts":
            filled |= _more_addresses(survivor.values, merged.values)
        self._retire(item, merged, survivor)
        if item.name in self.portal.merges_renumber:
            first, survivor = survivor, self._successor(item, survivor)
            filled |= {
                "hs_object_id": survivor.id,
                "hs_merged_object_ids": f"{filled['hs_merged_object_ids']};{first.id}",
            }
            self._retire(item, first, survivor)
        self._store(item, survivor, filled)
        self.portal.note(item, survivor.id, "merge", self.source, "", merged.id)
        return survivor

    def _retire(self, item: ObjectType, gone: Record, survivor: Record) -> None:
        """From now on ``gone`` is another name of the survivor."""
        self.portal.reindex(item, gone, gone.values, None)
        gone.merged_into = survivor.id
        self._move_associations(item, gone, survivor)
        self.portal.will_be_seen(item, gone)

    def _successor(self, item: ObjectType, survivor: Record) -> Record:
        """The survivor's values under a new id."""
        made = Record(self.portal.counters.next(item.name), survivor.values, survivor.created, survivor.updated)
        made.history = dict(survivor.history)
        self.portal.tables[item.name][made.id] = made
        return made

    def forget(self, item: ObjectType, record: Record) -> None:
        """Privacy deletion: the record is gone for good. A second entry of the feed tells of it."""
        self.archive(item, record)
        del self.portal.tables[item.name][record.id]
        self.portal.forgotten.add(record.values.get("email", ""))
        self.portal.note(item, record.id, "privacyDeletion", self.source)

    def associate(self, source: str, source_id: str, target: str, target_id: str, types: Iterable[Any]) -> None:
        self.portal.associations.link(source, source_id, target, target_id, types)
        derive.associated(self, source, source_id, target, target_id)
        self.portal.note(self.portal.objects[source], source_id, "associationChange", self.source, target, target_id)

    def dissociate(self, source: str, source_id: str, target: str, target_id: str, specs: Any = None) -> None:
        if self.portal.associations.unlink(source, source_id, target, target_id, specs):
            derive.associated(self, source, source_id, target, target_id)
            self.portal.note(
                self.portal.objects[source], source_id, "associationChange", self.source, target, target_id
            )

    def derived(self, name: str, record_id: str, values: Mapping[str, str]) -> None:
        """Values that the vendor itself computes. They don't make the record a changed one."""
        record = self.portal.find_live(name, record_id)
        if record is not None:
            record.values = {n: v for n, v in {**record.values, **values}.items() if v != ""}
            self.portal.will_be_seen(self.portal.objects[name], record)

    # ------------------------------------------------------------ checks

    def checked_new(
        self, item: ObjectType, given: Mapping[str, Any], associations: Iterable[Mapping[str, Any]] = ()
    ) -> tuple[Values, list[tuple[str, str, list[Any]]]]:
        """What a create would store: values, and the other ends with the types to them. Raises ApiError."""
        values = self.checked(item, given, {}, None)
        self._require(item, values)
        return values, [self._ends(item, association) for association in associations]

    def checked(self, item: ObjectType, given: Mapping[str, Any], before: Values, record: Record | None) -> Values:
        """The values as a record keeps them, empty ones included. Raises ApiError with every problem at once."""
        if not isinstance(given, Mapping):
            raise invalid("Invalid input JSON on line 1, column 1: Cannot deserialize properties")
        texts = {name: as_text(value) for name, value in given.items()}
        values: Values = {}
        problems: list[Problem] = []
        for name in sorted(texts, key=lambda n: n in {"dealstage", "hs_pipeline_stage"}):
            try:
                found = self._writable(item, name)
                options = self.portal.options(item, found, self._context(item, before | values))
                values[name] = clean(found, texts[name], options, before.get(name, ""))
            except BadValueError as error:
                problems.append((name, error.code, str(error)))
        if problems:
            raise bad_values(problems)
        self._stage_of_pipeline(item, before, values)
        _forward_only(before, values)
        self._unique(item, values, record)
        return values

    def _context(self, item: ObjectType, values: Values) -> Values:
        """The other values that a stage is checked against: without a pipeline it is the first one."""
        named, _ = STAGED.get(item.name, ("", ""))
        if named and not values.get(named):
            return values | {named: next(iter(self.portal.pipelines[item.name]))}
        return values

    def _writable(self, item: ObjectType, name: str) -> Property:
        found = self.portal.property(item, name)
        if found is None:
            raise BadValueError("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if found.read_only or found.calculated:
            raise BadValueError("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
        return found

    def _stage_of_pipeline(self, item: ObjectType, before: Values, values: Values) -> None:
        """A record that moves to another pipeline needs one of that pipeline's stages."""
        named, staged = STAGED.get(item.name, ("", ""))
        if not values.get(named) or staged in values or not before:
            return
        stages = list(self.portal.pipelines[item.name][values[named]].stages)
        if before.get(staged) not in stages:
            text = f"{before.get(staged)} was not one of the allowed options: [{', '.join(stages)}]"
            raise bad_values([(staged, "INVALID_OPTION", text)])

    def _unique(self, item: ObjectType, values: Values, record: Record | None) -> None:
        if item.name == "contacts" and values.get("email"):
            holder = self.portal.holders(item, "email").get(unique_key(values["email"]))
            if holder is not None and (record is None or holder != record.id):
                raise contact_exists(holder)
            if record is None and values["email"] in self.portal.forgotten:
                raise ApiError(
                    400, "VALIDATION_ERROR", "This contact was permanently deleted and can't be created again"
                )
        problems = self._taken(item, values, record)
        if problems:
            raise bad_values(problems)

    def _taken(self, item: ObjectType, values: Values, record: Record | None) -> list[Problem]:
        """The unique properties whose values other records hold."""
        found = []
        for name in item.unique_names():
            holder = self.portal.holders(item, name).get(unique_key(values.get(name, ""))) if values.get(name) else None
            if holder is not None and (record is None or holder != record.id):
                text = f"Cannot set {name} to {values[name]}. {holder} already has that value."
                found.append((name, "CONFLICTING_UNIQUE_VALUE", text))
        return found

    def _require(self, item: ObjectType, values: Values) -> None:
        missing = [name for name in item.required if not values.get(name)]
        if missing:
            raise required(item.label, missing)
        if item.one_of and not any(values.get(name) for name in item.one_of):
            raise required(item.label, item.one_of)

    def _ends(self, item: ObjectType, given: Mapping[str, Any]) -> tuple[str, str, list[Any]]:
        """The other end of an association that a create asks for, found by its type. Raises 400."""
        target_id = str((given.get("to") or {}).get("id", ""))
        specs = given.get("types") or []
        known = self.portal.associations
        for (source, target), types in known.types.items():
            wanted = [(str(s.get("associationCategory")), int(s.get("associationTypeId", -1))) for s in specs]
            if source == item.name and wanted and all(spec in types for spec in wanted):
                if self.portal.find_live(target, target_id) is None:
                    raise invalid(
                        f"One or more associations are invalid: {self.portal.objects[target].label} {target_id} does not exist"
                    )
                return target, target_id, known.typed(source, target, specs)
        raise invalid(f"One or more association types are not valid for {item.type_id}")

    # ------------------------------------------------------------ storing

    def _born(self, item: ObjectType, record: Record, values: Values) -> Values:
        at = iso(record.created)
        source = {"API": "INTEGRATION", "CRM_UI": "CRM_UI"}.get(self.source, "IMPORT")
        born = {
            "hs_object_id": record.id,
            item.created_name: at,
            "hs_object_source": source,
            "hs_object_source_label": source,
        }
        if self.source_id:
            born["hs_object_source_id"] = self.source_id
        if item.name in STAGED:
            named, _ = STAGED[item.name]
            born[named] = values.get(named) or next(iter(self.portal.pipelines[item.name]))
        if item.name == "contacts" and not values.get("lifecyclestage"):
            born["lifecyclestage"] = "lead"
        return born

    def _store(self, item: ObjectType, record: Record, changes: Values) -> None:
        """Write values, their history, their entries of the feed; then what the vendor computes from them."""
        before = record.values
        changes = changes | derive.of(self.portal, item, before | changes)
        changed = {n: v for n, v in changes.items() if before.get(n, "") != v}
        self._touch(item, record, changed)
        self.portal.reindex(item, record, before, record.values)
        for name, value in changed.items():
            self.portal.note(item, record.id, "propertyChange", self.source, name, value)
        if item.name == "contacts" and "associatedcompanyid" in changed:
            derive.company_named(self, record, before.get("associatedcompanyid", ""))

    def _touch(self, item: ObjectType, record: Record, changed: Values) -> None:
        """A write moves the record's time forward, by a millisecond at the least, even when it changes nothing."""
        now = self.portal.now()
        fresh = not record.values
        record.updated = now if fresh else max(now, record.updated + 1)
        for name, value in changed.items():
            older = [] if fresh else record.versions(name)
            record.history[name] = [Version(value, record.updated, self.source, self.source_id), *older][:VERSIONS_KEPT]
        values = record.values | changed | {item.modified_name: iso(record.updated)}
        record.values = {n: v for n, v in values.items() if v != ""}
        self.portal.will_be_seen(item, record)

    def _move_associations(self, item: ObjectType, merged: Record, survivor: Record) -> None:
        known = self.portal.associations
        for target, target_id, specs in list(known.all_targets(item.name, merged.id)):
            types = [
                known.of(item.name, target)[spec]
                for spec in sorted(specs)
                if known.of(item.name, target)[spec].label != "Primary"
            ]
            known.unlink(item.name, merged.id, target, target_id)
            if (target, target_id) != (item.name, survivor.id):
                known.link(item.name, survivor.id, target, target_id, types)
            derive.associated(self, item.name, survivor.id, target, target_id)


def _moves(item: ObjectType, name: str) -> bool:
    """A merge fills no values that tell of the record itself, and none that are unique."""
    found = item.properties.get(name)
    return found is not None and not found.read_only and not found.calculated and not found.unique


def _merged_ids(record: Record) -> list[str]:
    return [v for v in record.values.get("hs_merged_object_ids", "").split(";") if v]


def _more_addresses(kept: Values, merged: Values) -> Values:
    """The other's address stays one of the survivor's."""
    if not merged.get("email"):
        return {}
    if not kept.get("email"):
        return {"email": merged["email"]}
    known = [v for values in (kept, merged) for v in values.get("hs_additional_emails", "").split(";") if v]
    return {"hs_additional_emails": ";".join(dict.fromkeys([*known, merged["email"]]))}


def _forward_only(before: Values, values: Values) -> None:
    """A lifecycle stage goes forward only: one that would go back is passed over without a word. Clear it first."""
    order = derive.LIFECYCLE_ORDER
    old, new = before.get("lifecyclestage", ""), values.get("lifecyclestage", "")
    if old in order and new in order and order.index(new) < order.index(old):
        del values["lifecyclestage"]


def missing(item: ObjectType, record: Record | None) -> Record:
    """The record, or 404."""
    if record is None:
        raise not_found(f"{item.label} not found")
    return record
