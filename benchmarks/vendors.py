"""Two stand-in vendors in this process, quick enough to measure the engine by: contacts in memory, behind real mappings.

They keep to the connector's contract (pages, ids, versions, batches, a cursor) and count their calls; nothing is sent anywhere.
"""

# ruff: noqa: ARG002  (the contract names arguments that a vendor with one object does not need)

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from connectors.kit.contract import Connection, Manifest, ObjectInfo, ReadRequest, VersionPage
from domain.ids import record_namespace
from domain.records import AccountInfo, Catalog, Cursor, FieldSchema, ObjectSchema, Outgoing, Page, WriteResult
from mappings.compile import Lens, compile_spec
from mappings.spec import load_shipped
from sync_engine.ruling import rules_of
from sync_engine.vendor import ConnectorObject

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)
MATCH_KEYS = (("email",),)


class MemoryVendor:
    """One object with a page size, a batch size and a log of changes. ``calls`` counts by kind."""

    manifest: ClassVar[Manifest]
    id_order: ClassVar[str]
    id_field: ClassVar[str]
    id_form: ClassVar[str]
    version_field: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()

    def __init__(self, _connection: Connection | None = None) -> None:
        info = self.manifest.objects[0]
        self.object, self.page_size, self.batch_size, self.ids_size = (
            info.name,
            info.page_size,
            info.batch_size,
            info.ids_size,
        )
        spec = load_shipped(self.manifest.name, self.object)
        assert spec is not None
        names = dict.fromkeys([spec.id, str(spec.version), *spec.mapped_sources])
        self.schema = ObjectSchema(
            self.object, tuple(FieldSchema(n, required=n in self.required) for n in names), id_field=spec.id
        )
        self.fields = tuple(names)
        self.spec = spec
        self.calls: Counter[str] = Counter()
        self.rows: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []

    # ------------------------------------------------------------ what a person does there

    def stamp(self, at: int) -> str:
        """The moment ``at`` milliseconds after the start, as this vendor writes it."""
        return (START + timedelta(milliseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def edit(self, vendor_id: str, values: dict[str, Any]) -> str:
        """Change fields of a record, or create it; returns its new version."""
        self.log.append(vendor_id)
        version = self.stamp(len(self.log))
        self.rows[vendor_id] = {**self.row(vendor_id), **values, self.version_field: version}
        return version

    def row(self, vendor_id: str) -> dict[str, Any]:
        """The record as it stands; of one that is not there, its id alone."""
        return self.rows.get(vendor_id) or {self.id_field: vendor_id}

    def vendor_id(self, number: int) -> str:
        """The id of the record with this number."""
        return self.id_form.format(number)

    # ------------------------------------------------------------ the contract

    def check(self) -> AccountInfo:
        return AccountInfo("bench")

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        return Catalog({self.object: self.schema})

    def close(self) -> None:
        self.rows.clear()

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """Everything, what changed since the cursor, or these ids."""
        names = request.fields or self.fields
        seen = int((request.cursor or {"seen": 0})["seen"])
        ids = request.ids if request.ids is not None else tuple(dict.fromkeys(self.log[seen:]))
        end: Cursor = {"seen": len(self.log)}
        size = self.page_size if request.ids is None else self.ids_size
        pages = pieces(ids, size)
        for place, wanted in enumerate(pages, 1):
            self.calls["read"] += 1
            rows = [tuple(map(self.row(i).get, names)) for i in wanted]
            last = place == len(pages)
            yield Page(self.object, names, rows, end if last else {"seen": seen}, last)

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        """Create or update, a batch a call."""
        result = []
        for batch in pieces(records, self.batch_size):
            self.calls["write"] += 1
            for record in batch:
                vendor_id = record.vendor_id or self.vendor_id(len(self.rows))
                version = self.edit(vendor_id, dict(record.values))
                result.append(WriteResult(record.key, vendor_id, record.vendor_id is None, version))
        return result

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        """Id and version of every record, page by page, in id order."""
        listed = sorted((i, str(row[self.version_field])) for i, row in self.rows.items() if after is None or i > after)
        pages = pieces(listed, self.page_size)
        for place, page in enumerate(pages, 1):
            self.calls["versions"] += 1
            yield VersionPage([i for i, _ in page], [v for _, v in page], place == len(pages))

    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        return {"seen": len(self.log)}


class MemorySalesforce(MemoryVendor):
    """Contacts as Salesforce's API writes them."""

    manifest = Manifest(
        "salesforce", "Salesforce (in memory)", (), (ObjectInfo("Contact", "contact", True, 2000, 200, 400),)
    )
    id_order = "ascii"
    id_field = "Id"
    id_form = "003{:012d}AAA"
    version_field = "SystemModstamp"
    required = ("LastName",)

    def contact(self, number: int) -> dict[str, Any]:
        """The contact of this number, with the fields that most contacts have."""
        return {
            "Id": self.vendor_id(number),
            "Salutation": "Ms." if number % 2 else "Mr.",
            "FirstName": f"First{number % 9973}",
            "LastName": f"Last{number}",
            "Title": "Engineer",
            "Email": f"contact{number}@example.com",
            "Phone": f"+1415{5550000 + number % 10000:07d}",
            "MailingStreet": f"{number % 900 + 1} Market Street",
            "MailingCity": "San Francisco",
            "MailingState": "CA",
            "MailingPostalCode": "94105",
            "MailingCountry": "United States",
            "Description": f"Met at event {number % 50}.",
            "HasOptedOutOfEmail": False,
            "IsDeleted": False,
            "CreatedDate": "2025-03-04T05:06:07.000+0000",
            "LastModifiedDate": "2025-06-07T08:09:10.000+0000",
        }

    def fill(self, count: int) -> None:
        """Let the org have contacts."""
        for number in range(count):
            self.edit(self.vendor_id(number), self.contact(number))


class MemoryHubSpot(MemoryVendor):
    """Contacts as HubSpot's API writes them."""

    manifest = Manifest("hubspot", "HubSpot (in memory)", (), (ObjectInfo("contacts", "contact", True, 100, 100, 100),))
    id_order = "numeric"
    id_field = "hs_object_id"
    id_form = "1{:011d}"
    version_field = "lastmodifieddate"


def pieces(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """``items`` in runs of at most ``size``; of no items, one empty run."""
    return [items[i : i + size] for i in range(0, max(len(items), 1), size)]


def port_of(vendor: MemoryVendor, tenant_id: UUID) -> ConnectorObject:
    """The vendor's object behind its shipped mapping, kept in step in both directions."""
    lens: Lens = compile_spec(vendor.spec, vendor.schema)
    rules = rules_of(lens, match_keys=MATCH_KEYS)
    space = record_namespace(tenant_id, vendor.manifest.name, "bench", vendor.object)
    return ConnectorObject(vendor, lens, rules, space)
