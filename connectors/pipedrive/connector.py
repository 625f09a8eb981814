"""Pipedrive: what it is as data, and the contract's methods, each delegated to the file that knows how."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, ClassVar

from connectors.kit.contract import (
    AuthKind,
    AuthMethod,
    Connection,
    FileInfo,
    Manifest,
    RateLimit,
    ReadRequest,
    Setting,
    VersionPage,
)
from connectors.pipedrive import cursors
from connectors.pipedrive.company import AUTHORIZE_URL, TOKEN_URL, Company
from connectors.pipedrive.files import Files
from connectors.pipedrive.objects import FILE_OBJECTS, KINDS, OBJECT_INFOS, V2_PAGE, Kind
from connectors.pipedrive.read import CURSOR_OVERLAP, VISIBILITY_LAG, Reader, utc_now
from connectors.pipedrive.schema import object_schema
from connectors.pipedrive.versions import Versions
from connectors.pipedrive.write import SEARCH, Writer
from domain.errors import ConfigurationError, PermissionMissingError
from domain.records import AccountInfo, Catalog, Cursor, ObjectSchema, Outgoing, Page, WriteResult

SCOPES = (
    "base", "deals:full", "activities:full", "contacts:full", "products:full", "leads:full", "users:read", "search:read",
    "deal-fields:full", "contact-fields:full", "product-fields:full",
)  # fmt: skip

MANIFEST = Manifest(
    name="pipedrive",
    label="Pipedrive",
    auth=(
        AuthMethod(
            AuthKind.API_KEY,
            (Setting("api_token", "API token", "Personal preferences > API, of a global admin.", secret=True),),
        ),
        AuthMethod(
            AuthKind.OAUTH2_CODE,
            (
                Setting("client_id", "Client id", "Of the app in the Developer Hub."),
                Setting("client_secret", "Client secret", "Of the app in the Developer Hub.", secret=True),
            ),
            authorize_url=AUTHORIZE_URL,
            token_url=TOKEN_URL,
            scopes=SCOPES,
        ),
    ),
    objects=OBJECT_INFOS,
    # What the smallest plan allows a person's token; searches are counted apart.
    # https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting
    rate_limits=(RateLimit(20, 2.0), RateLimit(10, 2.0, SEARCH)),
    hosts=("*.pipedrive.com",),
    settings=(Setting("company_domain", "Company domain", "The first part of the web address: acme.", required=False),),
    visibility_lag=VISIBILITY_LAG,
    cursor_overlap=CURSOR_OVERLAP,
    docs_url="https://developers.pipedrive.com/docs/api/v1",
)


class PipedriveConnector:
    """See `connectors.kit.contract.Connector`; also upserts, deletes, finds, lists versions and files."""

    manifest: ClassVar[Manifest] = MANIFEST
    file_objects: ClassVar[tuple[str, ...]] = FILE_OBJECTS
    id_order: ClassVar[str] = "numeric"
    uncompared: ClassVar[tuple[str, ...]] = ("leads", "deal_products")

    def __init__(self, connection: Connection, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._company = Company(self.manifest, connection)
        self._schemas: dict[str, ObjectSchema] = {}
        self._lock = threading.Lock()
        self._reader = Reader(self._company, self._schema, clock)
        self._writer = Writer(self._company, self._schema, self._forget, clock)
        self._files = Files(self._company)
        self._versions = Versions(self._company)

    def close(self) -> None:
        """See the contract."""
        self._company.close()

    # ------------------------------------------------------------ the account

    def check(self) -> AccountInfo:
        """See the contract. One call."""
        me: Mapping[str, Any] = self._company.get("/api/v1/users/me").get("data") or {}
        language = me.get("language") or {}
        return AccountInfo(
            remote_account=str(me["company_id"]),
            display_name=str(me.get("company_name") or ""),
            user=str(me.get("email") or ""),
            time_zone=str(me.get("timezone_name") or "UTC"),
            currency=str(me.get("default_currency") or ""),
            country=str(me.get("company_country") or ""),
            details={
                "company_domain": me.get("company_domain"),
                "language": language.get("language_code"),
                "admin": any(a.get("admin") for a in me.get("access") or ()),
            },
        )

    # ------------------------------------------------------------ what there is

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        """See the contract. One call for each list of fields; what the user may not see is absent."""
        names = tuple(KINDS) if objects is None else tuple(dict.fromkeys(objects))
        kinds = [KINDS[name] for name in names if name in KINDS]
        lists: dict[str, list[Mapping[str, Any]]] = {}
        found: dict[str, ObjectSchema] = {}
        for kind in kinds:
            try:
                if kind.field_list and kind.field_list not in lists:
                    lists[kind.field_list] = self._field_list(kind.field_list)
            except PermissionMissingError:
                continue
            found[kind.name] = object_schema(kind, lists.get(kind.field_list or "", ()))
        with self._lock:
            self._schemas.update(found)
        return Catalog(found)

    def _field_list(self, path: str) -> list[Mapping[str, Any]]:
        return [field for page in self._company.pages(path, {"limit": V2_PAGE}) for field in page]

    def _schema(self, name: str) -> ObjectSchema:
        """The schema of one object, described once. Raises ConfigurationError, which names it."""
        known = self._schemas.get(name) or self.describe([name]).objects.get(name)
        if known is not None:
            return known
        raise ConfigurationError(
            f"Pipedrive has no object {name[:80]} that the connected user may read.",
            remedy=f"There are: {', '.join(KINDS)}.",
            code="unknown_object",
            context={"object": name[:80]},
        )

    def _forget(self, name: str) -> None:
        """Fields were added: describe anew whatever shares the list of fields."""
        changed: Kind = KINDS[name]
        with self._lock:
            for kind in KINDS.values():
                if kind.field_list == changed.field_list:
                    self._schemas.pop(kind.name, None)

    # ------------------------------------------------------------ reading

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See the contract and `read.Reader`."""
        return self._reader.read(request)

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        """See the contract and `versions.Versions`."""
        return self._versions.versions(object_name, after)

    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        """See the contract."""
        del object_name  # every object is listed by the same clock
        return cursors.at(moment).encode()

    def find(self, object_name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """See the contract and `write.Writer.find`."""
        return self._writer.find(object_name, key_field, keys)

    # ------------------------------------------------------------ writing

    def ensure_key_property(self, object_name: str, label: str = "Syncline id") -> str:
        """The key of the custom field that holds the hub's own ids, made where there is none."""
        return self._writer.ensure_key_property(object_name, label)

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        """See the contract and `write.Writer.upsert`."""
        return self._writer.upsert(object_name, records, key_field)

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See the contract."""
        return self._writer.delete(object_name, vendor_ids)

    # ------------------------------------------------------------ files

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """See the contract."""
        return self._files.download(object_name, vendor_id)

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """See the contract."""
        return self._files.upload(info, content)
