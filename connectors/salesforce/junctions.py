"""Associations that are objects of their own, seen from the records they lead from: a sale's contacts, a contact's accounts.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_accountcontactrelation.htm
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
from connectors.salesforce.errors import vendor_code
from connectors.salesforce.objects import IDS_PER_QUERY
from connectors.salesforce.org import Org
from connectors.salesforce.write import Writer
from domain.errors import SynclineError
from domain.records import Outgoing, WriteResult

SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class Junction:
    """An object whose records associate ``source`` (a field of it) with ``target``.

    ``direct``: a field that says of a record that it repeats a lookup of the source's, and comes and goes with that alone.
    """

    object: str
    source: str
    target: str
    direct: str | None = None


JUNCTIONS: Mapping[tuple[str, str], Junction] = {
    ("Opportunity", "OpportunityContactRoles"): Junction("OpportunityContactRole", "OpportunityId", "ContactId"),
    ("Contact", "AccountContactRelations"): Junction("AccountContactRelation", "ContactId", "AccountId", "IsDirect"),
}
"""By the object and a field that listings bring when it is asked for, named as Salesforce names the child relationship."""

SEVERAL: Mapping[str, tuple[Ends, ...]] = {
    "Opportunity": (Ends("OpportunityContactRoles", "Contact", SEPARATOR, told=True),),
    "Contact": (
        Ends("AccountContactRelations", "Account", SEPARATOR, told=True, main=True, needs="AccountContactRelation"),
    ),
}
"""Contacts have several accounts where the org has switched that on; an org that has not has no such object."""


def junctions_of(object_name: str) -> dict[str, Junction]:
    """The fields of an object that list the other ends of a junction object."""
    return {field: junction for (name, field), junction in JUNCTIONS.items() if name == object_name}


class Junctions:
    """Reading the junction objects of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def held(self, junction: Junction, ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The other ends of each record, each once: the one that a lookup names first, the others in the order of ids."""
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for record in self.records(junction, ids):
            others, other = found[str(record[junction.source])], str(record[junction.target])
            others[other] = others.get(other, False) or _is_direct(junction, record)
        return {i: sorted(others, key=lambda other: (not others[other], other)) for i, others in found.items()}

    def records(self, junction: Junction, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The junction records that lead from these records."""
        fields = ("Id", junction.source, junction.target, *((junction.direct,) if junction.direct else ()))
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

        One that repeats a lookup stays: Salesforce lets nobody delete it, and takes it away itself when the lookup changes.
        """
        standing: dict[tuple[str, str], list[str]] = defaultdict(list)
        for record in self._junctions.records(junction, [c.vendor_id for c in changes]):
            pair = standing[str(record[junction.source]), str(record[junction.target])]
            if not _is_direct(junction, record):
                pair.append(str(record["Id"]))
        joining = [(c.vendor_id, other) for c in changes for other in c.add if (c.vendor_id, other) not in standing]
        parting = {
            i: c.vendor_id for c in changes for other in c.remove for i in standing.get((c.vendor_id, other), ())
        }
        failed: dict[str, Exception] = {}
        if joining:
            values = [{junction.source: source, junction.target: target} for source, target in joining]
            made = self._writer.upsert(junction.object, [Outgoing(str(n), v) for n, v in enumerate(values)], None)
            refused = ((source, r.error) for (source, _), r in zip(joining, made, strict=True) if r.error is not None)
            failed |= {source: error for source, error in refused if not _stands(error)}
        if parting:
            gone = self._writer.delete(junction.object, list(parting))
            failed |= {source: r.error for source, r in zip(parting.values(), gone, strict=True) if r.error is not None}
        return [WriteResult(c.vendor_id, c.vendor_id, error=failed.get(c.vendor_id)) for c in changes]
