"""Salesforce: what it is as data, and the contract's methods, each delegated to the file that knows how."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote

from connectors.kit.contract import (
    AuthKind,
    AuthMethod,
    Connection,
    Ends,
    EndsChange,
    FileInfo,
    Manifest,
    RateLimit,
    ReadRequest,
    Setting,
    VersionPage,
)
from connectors.salesforce import cursors, soql
from connectors.salesforce.auth import DEFAULT_API_VERSION
from connectors.salesforce.bulk import BulkQueries, Polling
from connectors.salesforce.files import Files
from connectors.salesforce.ingest import IngestJobs
from connectors.salesforce.junctions import JUNCTIONS, SEVERAL, Junctions, JunctionWriter
from connectors.salesforce.lookup import find, versions
from connectors.salesforce.objects import (
    COMPOSITE_QUERIES,
    COMPOSITE_SIZE,
    FILE_OBJECTS,
    OBJECT_INFOS,
    quirk,
    vendors_own,
)
from connectors.salesforce.org import Org, Part
from connectors.salesforce.prices import LINE, Prices
from connectors.salesforce.read import BULK_THRESHOLD, CURSOR_OVERLAP, VISIBILITY_LAG, Reader, utc_now
from connectors.salesforce.schema import default_objects, object_schema, with_stages
from connectors.salesforce.standard_prices import ENTRY, FIELDS, PRODUCT, StandardPrices, currency_of, with_price
from connectors.salesforce.write import INGEST_THRESHOLD, Step, Writer
from domain.errors import PermissionMissingError, SynclineError, TransientError
from domain.records import AccountInfo, Catalog, Cursor, ObjectSchema, Outgoing, Page, WriteResult

HOSTS = (
    "*.salesforce.com",  # login, test, *.my.salesforce.com, instances
    "*.force.com",
    "*.salesforce-setup.com",
    "*.cloudforce.com",
    "*.database.com",
    "*.sfcrmproducts.cn",
)
_TOKEN_URL = "https://{domain}.salesforce.com/services/oauth2/token"  # noqa: S105
_USERNAME = Setting("username", "User name", "Of a user who may see everything that is to be migrated.")
_CLIENT_ID = Setting("client_id", "Consumer key", "Of the connected app.")
_CLIENT_SECRET = Setting("client_secret", "Consumer secret", "Of the connected app.", secret=True)
_STAGES = "SELECT ApiName, MasterLabel, DefaultProbability, IsWon, IsClosed, SortOrder, ForecastCategoryName FROM OpportunityStage"
_ORGANIZATION = (
    "SELECT Id, Name, Country, TimeZoneSidKey, DefaultLocaleSidKey, LanguageLocaleKey, IsSandbox, InstanceName, "
    "OrganizationType FROM Organization"
)
_CORPORATE_CURRENCY = "SELECT IsoCode FROM CurrencyType WHERE IsCorporate = true"
_DEFAULT_CURRENCY = "SELECT DefaultCurrencyIsoCode FROM Organization"

MANIFEST = Manifest(
    name="salesforce",
    label="Salesforce",
    auth=(
        AuthMethod(
            AuthKind.PASSWORD,
            (
                _USERNAME,
                Setting("password", "Password", secret=True),
                Setting(
                    "security_token",
                    "Security token",
                    "Salesforce mails it when it is reset; not needed from a trusted network.",
                    secret=True,
                    required=False,
                ),
            ),
        ),
        AuthMethod(
            AuthKind.OAUTH2_CODE,
            (_CLIENT_ID, _CLIENT_SECRET),
            authorize_url="https://{domain}.salesforce.com/services/oauth2/authorize",
            token_url=_TOKEN_URL,
            scopes=("api", "refresh_token"),
        ),
        AuthMethod(
            AuthKind.OAUTH2_JWT,
            (
                _USERNAME,
                _CLIENT_ID,
                Setting("private_key", "Private key", "RSA, PEM; its certificate is in the app.", secret=True),
            ),
            token_url=_TOKEN_URL,
        ),
        AuthMethod(AuthKind.OAUTH2_CLIENT, (_CLIENT_ID, _CLIENT_SECRET), token_url=_TOKEN_URL),
    ),
    objects=OBJECT_INFOS,
    # The vendor limits a day and calls in flight, not a rate; this keeps a burst from taking every slot of the org.
    rate_limits=(RateLimit(calls=100, per_s=1.0),),
    hosts=HOSTS,
    settings=(
        Setting(
            "domain",
            "Login domain",
            "login, test (a Salesforce sandbox), or your My Domain such as acme.my.",
            required=False,
            default="login",
        ),
        Setting("api_version", "API version", "53.0 or later.", required=False, default=DEFAULT_API_VERSION),
    ),
    visibility_lag=VISIBILITY_LAG,
    cursor_overlap=CURSOR_OVERLAP,
    docs_url="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/",
)


class SalesforceConnector:
    """See `connectors.kit.contract.Connector`; also counts, upserts, deletes, associates and serves files."""

    manifest: ClassVar[Manifest] = MANIFEST
    file_objects: ClassVar[tuple[str, ...]] = FILE_OBJECTS
    conditional_writes: ClassVar[bool] = True  # of a single record
    uncompared: ClassVar[tuple[str, ...]] = (
        "OpportunityStage",
    )  # known by its name, listed by an id that nothing uses
    id_order: ClassVar[str] = "ascii"
    several: ClassVar[Mapping[str, tuple[Ends, ...]]] = SEVERAL

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Callable[[], datetime] = utc_now,
        polling: Polling | None = None,
        bulk_threshold: int = BULK_THRESHOLD,
        ingest_threshold: int = INGEST_THRESHOLD,
    ) -> None:
        polling = polling or Polling()
        self._org = Org(self.manifest, connection)
        self._schemas: dict[str, ObjectSchema] = {}
        self._lock = threading.Lock()
        bulk = BulkQueries(self._org, polling)
        self._reader = Reader(self._org, self._schema, clock=clock, bulk=bulk, bulk_threshold=bulk_threshold)
        self._writer = Writer(self._org, IngestJobs(self._org, polling), ingest_threshold)
        self._junctions = Junctions(self._org)
        self._junction_writer = JunctionWriter(self._junctions, self._writer)
        self._prices = Prices(self._org)
        self._standard_prices = StandardPrices(self._org)
        self._files = Files(self._org)

    def close(self) -> None:
        """See the contract."""
        self._org.close()

    # ------------------------------------------------------------ the account

    def check(self) -> AccountInfo:
        """See the contract. Two calls beside the login."""
        organization, *currencies = self._queries((_ORGANIZATION, _CORPORATE_CURRENCY, _DEFAULT_CURRENCY))
        if isinstance(organization, SynclineError):
            raise organization
        org = organization[0]
        user = self._org.sdk(lambda client: client.oauth2("userinfo")) or {}
        known = [record for rows in currencies if not isinstance(rows, SynclineError) for record in rows]
        currency = next((str(c) for r in known for c in (r.get("IsoCode"), r.get("DefaultCurrencyIsoCode")) if c), "")
        return AccountInfo(
            remote_account=str(org["Id"]),
            display_name=str(org.get("Name") or ""),
            user=str(user.get("preferred_username") or user.get("user_id") or ""),
            time_zone=str(org.get("TimeZoneSidKey") or "UTC"),
            currency=currency,
            country=str(org.get("Country") or ""),
            details={
                "locale": org.get("DefaultLocaleSidKey"),
                "language": org.get("LanguageLocaleKey"),
                "sandbox": org.get("IsSandbox"),
                "instance": org.get("InstanceName"),
                "edition": org.get("OrganizationType"),
                "api_version": self._org.version,
            },
        )

    # ------------------------------------------------------------ what there is

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        """See the contract. One call, and one for each 25 objects. What the user may not see is absent.

        Product2 has two fields that tell of its standard price: see `standard_prices`.
        """
        names = self._listed() if objects is None else tuple(dict.fromkeys(objects))
        parts = [
            {"method": "GET", "url": self._org.path(f"sobjects/{vendors_own(soql.name(n))}/describe")} for n in names
        ]
        if PRODUCT in names:
            parts += [
                {"method": "GET", "url": self._org.path(f"sobjects/{ENTRY}/describe")},
                self._query_part(_CORPORATE_CURRENCY),
            ]
        if "Opportunity" in names:
            parts.append(self._query_part(_STAGES))
        answers = [
            a for chunk in soql.chunks(parts, COMPOSITE_SIZE) for a in self._org.composite(chunk, idempotent=True)
        ]
        found: dict[str, ObjectSchema] = {}
        for name, answer in zip(names, answers, strict=False):
            if answer.ok:
                found[name] = replace(object_schema(answer.body), name=name)
            else:
                self._raise_unless_denied(answer, name)
        further = answers[len(names) :]
        if PRODUCT in names:
            entry, currencies, *further = further
            if entry.ok and PRODUCT in found:
                found[PRODUCT] = _priced(found[PRODUCT], object_schema(entry.body), currencies)
        if "Opportunity" in found and further[0].ok:
            found["Opportunity"] = with_stages(found["Opportunity"], further[0].body["records"])
        with self._lock:
            self._schemas.update(found)
        return Catalog(found)

    def _listed(self) -> tuple[str, ...]:
        listing = self._org.sdk(lambda client: client.describe()) or {"sobjects": []}
        return default_objects(listing["sobjects"])

    def _raise_unless_denied(self, answer: Part, name: str) -> None:
        error = self._org.part_error(answer, f"sobjects/{name}")
        if isinstance(error, TransientError):
            raise error

    def _schema(self, name: str) -> ObjectSchema:
        """The schema of one object, described once. Raises PermissionMissingError, which names it."""
        known = self._schemas.get(name) or self.describe([name]).objects.get(name)
        if known is not None and known.readable:
            return known
        raise PermissionMissingError(
            f"Salesforce has no object {name[:80]} that the connected user may read.",
            remedy="Check its API name, and the user's permissions on it.",
            context={"object": name[:80]},
        )

    # ------------------------------------------------------------ reading

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        """Exact numbers of the records that `read` lists, five objects a call. What cannot be counted is absent."""
        countable = [name for name in objects if quirk(name).listed_by is None]
        queries = [soql.count(vendors_own(name), quirk(name).where) for name in countable]
        result: dict[str, int] = {}
        for chunk in soql.chunks(list(zip(countable, queries, strict=True)), COMPOSITE_QUERIES):
            parts = [self._query_part(query, include_deleted=quirk(name).archived) for name, query in chunk]
            for (name, _), answer in zip(chunk, self._org.composite(parts, idempotent=True), strict=True):
                if answer.ok:
                    result[name] = int(answer.body["totalSize"])
                else:
                    self._raise_unless_denied(answer, name)
        return result

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See the contract and `read.Reader`."""
        return self._reader.read(request)

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        """See the contract. The version is SystemModstamp, or the object's own stamp where it has none."""
        return versions(self._org, self._schema(object_name), after)

    def find(self, object_name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """See the contract. Keys compare as Salesforce compares them, without regard to case where the field says so."""
        return find(self._org, self._schema(object_name), key_field, keys)

    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        """See the contract."""
        del object_name  # every object is listed by the same clock
        return cursors.at(moment).encode()

    # ------------------------------------------------------------ writing

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        """See the contract and `write.Writer.upsert`.

        A new line of a sale gets the price book entry of its product, and the price of a product becomes one.
        """
        if object_name == PRODUCT and any(n in one.values for one in records for n in FIELDS):
            return self._standard_prices.write(
                records,
                currency_of(self._schema(PRODUCT)),
                lambda name, some: self._writer.upsert(name, some, key_field if name == PRODUCT else None),
            )
        if object_name != LINE:
            made = quirk(object_name).new
            whole = [one if one.vendor_id else replace(one, values={**made, **one.values}) for one in records]
            return self._writer.upsert(vendors_own(object_name), whole if made else records, key_field)
        lines, refused = self._prices.complete(records, "CurrencyIsoCode" in self._schema("Opportunity").field_names)
        priced = [line for place, line in enumerate(lines) if place not in refused]
        written = iter(self._writer.upsert(object_name, priced, key_field) if priced else ())
        return [refused[place] if place in refused else next(written) for place in range(len(lines))]

    def associated(self, object_name: str, field: str, vendor_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """See the contract. A query for each 400 records."""
        return self._junctions.held(JUNCTIONS[object_name, field], vendor_ids)

    def labelled(
        self, object_name: str, field: str, vendor_ids: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """See the contract. The same queries as `associated`."""
        return self._junctions.labelled(JUNCTIONS[object_name, field], vendor_ids)

    def labels(self, object_name: str, field: str) -> Sequence[str]:
        """See the contract: the values of the junction object's picklist. One call, the first time."""
        junction = JUNCTIONS[object_name, field]
        known = self._schema(junction.object).field(junction.label) if junction.label else None
        return [] if known is None else [option.value for option in known.options if option.is_active]

    def associate(self, object_name: str, field: str, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """See the contract. Of several junction records of a pair all are deleted, and the first gets a role."""
        return self._junction_writer.change(JUNCTIONS[object_name, field], changes)

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See the contract."""
        return self._writer.delete(vendors_own(object_name), vendor_ids)

    def create_tree(self, steps: Sequence[Step], *, all_or_none: bool = True) -> list[WriteResult]:
        """Parents and their children in one call: see `write.Writer.create_tree`."""
        return self._writer.create_tree(steps, all_or_none=all_or_none)

    # ------------------------------------------------------------ files

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """See the contract."""
        return self._files.download(object_name, vendor_id)

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """See the contract. A new ContentVersion."""
        return self._files.upload(info, content)

    # ------------------------------------------------------------ helpers

    def _query_part(self, query: str, *, include_deleted: bool = False) -> dict[str, Any]:
        resource = self._org.path("queryAll" if include_deleted else "query")
        return {"method": "GET", "url": f"{resource}?q={quote(query)}"}

    def _queries(self, queries: Sequence[str]) -> list[list[Mapping[str, Any]] | SynclineError]:
        """Records of up to five small queries, or why there are none, for one call."""
        answers = self._org.composite([self._query_part(q) for q in queries], idempotent=True)
        return [a.body["records"] if a.ok else self._org.part_error(a, self._org.path("query")) for a in answers]


def _priced(product: ObjectSchema, entry: ObjectSchema, currencies: Part) -> ObjectSchema:
    """Product2's schema with its standard price. An org of one currency has no CurrencyIsoCode."""
    if "UnitPrice" not in entry.field_names:
        return product
    told = [str(record["IsoCode"]) for record in currencies.body["records"]] if currencies.ok else []
    return with_price(product, entry, told[0] if told and "CurrencyIsoCode" in entry.field_names else None)
