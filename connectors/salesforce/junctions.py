"""Associations that are objects of their own, seen from the records they lead from: a sale's contacts, a contact's accounts,
the contacts of a task or event.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_accountcontactrelation.htm
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_opportunitycontactrole.htm
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_taskrelation.htm
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_eventattendee.htm
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.kit.contract import Ends, EndsChange
from connectors.salesforce import soql
from connectors.salesforce.errors import vendor_code
from connectors.salesforce.objects import IDS_PER_QUERY, quirk
from connectors.salesforce.org import Org
from connectors.salesforce.write import Writer
from domain.errors import SynclineError
from domain.records import Outgoing, WriteResult

SEPARATOR = ";"
Pair = tuple[str, str]
CONTACT = "003"
"""Begins the ids of contacts: an activity may belong to a lead instead, who is none of them."""


@dataclass(frozen=True, slots=True)
class Junction:
    """An object whose records associate ``source`` (a field of it) with ``target``.

    ``direct``: a field that says of a record that it repeats a lookup of the source's, and comes and goes with that alone.
    ``where``: only these records may matter; ``prefix``: of them those to a target whose id begins so. ``mark``: a field that says
    of a record that it is such an association; ``also``: one by which the record may stand for something else as well.
    ``label``: a picklist that says as what the two are associated.
    """

    object: str
    source: str
    target: str
    direct: str | None = None
    where: str = ""
    prefix: str = ""
    mark: str | None = None
    also: str | None = None
    label: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What is asked of each record."""
        return ("Id", self.source, self.target, *(f for f in (self.direct, self.mark, self.also, self.label) if f))

    def counts(self, record: Mapping[str, Any]) -> bool:
        """Whether a record associates a source with a target; not so an event's invitee who is nobody whom it is about."""
        return str(record[self.target]).startswith(self.prefix) and (self.mark is None or bool(record.get(self.mark)))


JUNCTIONS: Mapping[tuple[str, str], Junction] = {
    ("Opportunity", "OpportunityContactRoles"): Junction(
        "OpportunityContactRole", "OpportunityId", "ContactId", label="Role"
    ),
    ("Contact", "AccountContactRelations"): Junction("AccountContactRelation", "ContactId", "AccountId", "IsDirect"),
    ("Task", "TaskRelations"): Junction("TaskRelation", "TaskId", "RelationId", where="IsWhat = false", prefix=CONTACT),
    ("Event", "EventRelations"): Junction(
        "EventRelation", "EventId", "RelationId", None, "IsWhat = false", CONTACT, "IsParent", "IsInvitee"
    ),
}
"""By the object and a field that listings bring when it is asked for, named as Salesforce names the child relationship."""

SEVERAL: Mapping[str, tuple[Ends, ...]] = {
    "Opportunity": (Ends("OpportunityContactRoles", "Contact", SEPARATOR, told=True, labels=True, single=True),),
    "Contact": (
        Ends("AccountContactRelations", "Account", SEPARATOR, told=True, main=True, needs="AccountContactRelation"),
    ),
    "Task": (Ends("TaskRelations", "Contact", SEPARATOR, told=True, main=True, needs="TaskRelation", rarely=True),),
    "Event": (Ends("EventRelations", "Contact", SEPARATOR, told=True, main=True, needs="TaskRelation", rarely=True),),
}
"""Contacts have several accounts, and activities several contacts, where the org has switched that on; an org that has not has no
such object (of events it has the invitees). A relation of an activity that is deleted by itself goes without a trace but for its
own id, so that no listing tells whose it was."""


def junctions_of(object_name: str) -> dict[str, Junction]:
    """The fields of an object that list the other ends of a junction object."""
    return {field: junction for (name, field), junction in JUNCTIONS.items() if name == object_name}


class Junctions:
    """Reading the junction objects of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def held(self, junction: Junction, ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The other ends of each record, each once: the one that a lookup names first, the others in the order of ids."""
        return {i: list(others) for i, others in self.labelled(junction, ids).items()}

    def labelled(self, junction: Junction, ids: Sequence[str]) -> Mapping[str, Mapping[str, list[str]]]:
        """The same, with the labels of each pair."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        named: dict[Pair, set[str]] = defaultdict(set)
        for record in filter(junction.counts, self.records(junction, ids)):
            source, other = str(record[junction.source]), str(record[junction.target])
            found[source][other] = found[source].get(other, False) or _is_direct(junction, record)
            if label := record.get(junction.label or ""):
                named[source, other].add(str(label))
        return {
            i: {o: sorted(named[i, o]) for o in sorted(others, key=lambda other: (not others[other], other))}
            for i, others in found.items()
        }

    def records(self, junction: Junction, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The junction records that lead from these records."""
        special = quirk(junction.object)
        for chunk in soql.chunks(ids, IDS_PER_QUERY):
            where = (special.where, junction.where, soql.among(junction.source, chunk))
            query = soql.select(junction.object, junction.fields, where=where)
            yield from self._org.query_all(query, include_deleted=special.archived)

    def changed(self, junction: Junction, since: datetime) -> list[str]:
        """Ids of records of which a junction record came, changed or went since: those in the recycle bin are listed, too.

        https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm
        """
        where = (junction.where, soql.since("SystemModstamp", since))
        query = soql.select(junction.object, (junction.source,), where=where)
        return sorted({str(r[junction.source]) for r in self._org.query_all(query, include_deleted=True)})


def _is_direct(junction: Junction, record: Mapping[str, Any]) -> bool:
    return junction.direct is not None and bool(record.get(junction.direct))


def _stands(error: Exception) -> bool:
    """Whether somebody else made the record since it was looked for."""
    return isinstance(error, SynclineError) and vendor_code(error) == "DUPLICATE_VALUE"


class JunctionWriter:
    """Associating and parting records by junction records."""

    def __init__(self, junctions: Junctions, writer: Writer) -> None:
        self._junctions, self._writer = junctions, writer

    def change(self, junction: Junction, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """See `contract.SupportsAssociations.associate`. What is there already is not made again; every record of a pair goes.

        One that repeats a lookup stays: Salesforce lets nobody delete it, and takes it away itself when the lookup changes. One
        that stands for something else, too, is marked, and stays unmarked.
        """
        standing: dict[Pair, list[Mapping[str, Any]]] = defaultdict(list)
        for record in self._junctions.records(junction, [c.vendor_id for c in changes]):
            standing[str(record[junction.source]), str(record[junction.target])].append(record)
        made, marked, gone = _Records(), _Records(), {}
        named = {(c.vendor_id, other): label for c in changes for other, label in c.label}
        self._relabel(junction, changes, standing, marked)
        for source, other in ((c.vendor_id, other) for c in changes for other in c.add):
            known = standing.get((source, other))
            if known is None:
                values: dict[str, Any] = {junction.source: source, junction.target: other}
                values |= {junction.mark: True} if junction.mark else {}
                values |= {junction.label: named[source, other]} if (source, other) in named and junction.label else {}
                made.take(source, values)
            elif junction.mark and not any(map(junction.counts, known)):
                marked.take(source, {junction.mark: True}, str(known[0]["Id"]))
        for source, other in ((c.vendor_id, other) for c in changes for other in c.remove):
            for record in filter(junction.counts, standing.get((source, other), ())):
                if junction.mark and junction.also and record.get(junction.also):
                    marked.take(source, {junction.mark: False}, str(record["Id"]))
                elif not _is_direct(junction, record):
                    gone[str(record["Id"])] = source
        failed = self._upsert(junction, made) | self._upsert(junction, marked)
        if gone:
            results = self._writer.delete(junction.object, list(gone))
            failed |= {source: r.error for source, r in zip(gone.values(), results, strict=True) if r.error is not None}
        return [WriteResult(c.vendor_id, c.vendor_id, error=failed.get(c.vendor_id)) for c in changes]

    def _relabel(
        self,
        junction: Junction,
        changes: Sequence[EndsChange],
        standing: Mapping[Pair, list[Mapping[str, Any]]],
        to: _Records,
    ) -> None:
        """A pair's record gets another label in the place of the one that goes, or of none."""
        if junction.label is None:
            return
        for change in changes:
            given, taken = dict(change.label), dict(change.unlabel)
            for other in {**given, **taken}:
                for record in standing.get((change.vendor_id, other), ())[:1] if other in given else ():
                    to.take(change.vendor_id, {junction.label: given[other]}, str(record["Id"]))
                for record in standing.get((change.vendor_id, other), ()) if other not in given else ():
                    if record.get(junction.label) == taken[other]:
                        to.take(change.vendor_id, {junction.label: None}, str(record["Id"]))

    def _upsert(self, junction: Junction, records: _Records) -> dict[str, Exception]:
        """Create or change junction records; errors by the record that they lead from."""
        if not records.outgoing:
            return {}
        results = self._writer.upsert(junction.object, records.outgoing, None)
        refused = ((source, r.error) for source, r in zip(records.sources, results, strict=True) if r.error is not None)
        return {source: error for source, error in refused if not _stands(error)}


@dataclass(slots=True)
class _Records:
    """Junction records to write, each with the record that it leads from."""

    sources: list[str] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)

    def take(self, source: str, values: Mapping[str, Any], vendor_id: str | None = None) -> None:
        self.outgoing.append(Outgoing(str(len(self.outgoing)), dict(values), vendor_id))
        self.sources.append(source)
