"""Associations that are objects of their own, seen from the records they lead from: an opportunity's contacts.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_opportunitycontactrole.htm
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.kit.contract import Ends, EndsChange
from connectors.salesforce import soql
from connectors.salesforce.objects import IDS_PER_QUERY
from connectors.salesforce.org import Org
from connectors.salesforce.write import Writer
from domain.records import Outgoing, WriteResult

SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class Junction:
    """An object whose records associate ``source`` (a field of it) with ``target``."""

    object: str
    source: str
    target: str


JUNCTIONS: Mapping[tuple[str, str], Junction] = {
    ("Opportunity", "OpportunityContactRoles"): Junction("OpportunityContactRole", "OpportunityId", "ContactId"),
}
"""By the object and a field that listings bring when it is asked for, named as Salesforce names the child relationship."""

SEVERAL: Mapping[str, tuple[Ends, ...]] = {
    "Opportunity": (Ends("OpportunityContactRoles", "Contact", SEPARATOR, told=True),),
}


def junctions_of(object_name: str) -> dict[str, Junction]:
    """The fields of an object that list the other ends of a junction object."""
    return {field: junction for (name, field), junction in JUNCTIONS.items() if name == object_name}


class Junctions:
    """Reading the junction objects of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def held(self, junction: Junction, ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The other ends of each record, each once, in the order of ids."""
        found: dict[str, set[str]] = defaultdict(set)
        for record in self.records(junction, ids):
            found[str(record[junction.source])].add(str(record[junction.target]))
        return {record_id: sorted(others) for record_id, others in found.items()}

    def records(self, junction: Junction, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The junction records that lead from these records."""
        fields = ("Id", junction.source, junction.target)
        for chunk in soql.chunks(ids, IDS_PER_QUERY):
            yield from self._org.query_all(
                soql.select(junction.object, fields, where=(soql.among(junction.source, chunk),))
            )

    def changed(self, junction: Junction, since: datetime) -> list[str]:
        """Ids of records of which a junction record came, changed or went since: those in the recycle bin are listed, too.

        https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm
        """
        query = soql.select(junction.object, (junction.source,), where=(soql.since("SystemModstamp", since),))
        return sorted({str(r[junction.source]) for r in self._org.query_all(query, include_deleted=True)})


class JunctionWriter:
    """Associating and parting records by junction records."""

    def __init__(self, junctions: Junctions, writer: Writer) -> None:
        self._junctions, self._writer = junctions, writer

    def change(self, junction: Junction, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """See `contract.SupportsAssociations.associate`. What is there already is not made again; every record of a pair goes."""
        standing: dict[tuple[str, str], list[str]] = defaultdict(list)
        for record in self._junctions.records(junction, [c.vendor_id for c in changes]):
            standing[str(record[junction.source]), str(record[junction.target])].append(str(record["Id"]))
        joining = [(c.vendor_id, other) for c in changes for other in c.add if (c.vendor_id, other) not in standing]
        parting = {
            i: c.vendor_id for c in changes for other in c.remove for i in standing.get((c.vendor_id, other), ())
        }
        failed: dict[str, Exception] = {}
        if joining:
            values = [{junction.source: source, junction.target: target} for source, target in joining]
            made = self._writer.upsert(junction.object, [Outgoing(str(n), v) for n, v in enumerate(values)], None)
            failed |= {source: r.error for (source, _), r in zip(joining, made, strict=True) if r.error is not None}
        if parting:
            gone = self._writer.delete(junction.object, list(parting))
            failed |= {source: r.error for source, r in zip(parting.values(), gone, strict=True) if r.error is not None}
        return [WriteResult(c.vendor_id, c.vendor_id, error=failed.get(c.vendor_id)) for c in changes]
