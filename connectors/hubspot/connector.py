"""HubSpot: what it is as data, and the contract's methods, each delegated to the file that knows how."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO, ClassVar

from connectors.hubspot import cursors, objects
from connectors.hubspot.associations import Associations
from connectors.hubspot.changes import Changes
from connectors.hubspot.cursors import stamp
from connectors.hubspot.files import Files
from connectors.hubspot.keys import ensure_key_property
from connectors.hubspot.links import LinkWriter
from connectors.hubspot.objects import (
    CRM_OBJECTS,
    FILE_OBJECTS,
    OBJECT_INFOS,
    STANDARD_OBJECTS,
    VIEW_LABELS,
    VIEWS,
    CrmObject,
    records_of,
)
from connectors.hubspot.portal import TOKEN_URL, Portal
from connectors.hubspot.read import CURSOR_OVERLAP, VISIBILITY_LAG, Reader, utc_now
from connectors.hubspot.records import Records
from connectors.hubspot.schema import association_schema, object_schema, setup_schema
from connectors.hubspot.write import Writer
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
    View,
)
from domain.errors import ConfigurationError, PermissionMissingError
from domain.records import AccountInfo, Catalog, Cursor, ObjectSchema, Outgoing, Page, WriteResult

SCOPES = (
    "oauth",
    *(f"crm.objects.{name}.{right}" for name in ("contacts", "companies", "deals") for right in ("read", "write")),
    *(f"crm.schemas.{name}.{right}" for name in ("contacts", "companies", "deals") for right in ("read", "write")),
    "crm.objects.owners.read",
    "crm.lists.read",
    "tickets",
    "e-commerce",
    "sales-email-read",
    "files",
)

MANIFEST = Manifest(
    name="hubspot",
    label="HubSpot",
    auth=(
        AuthMethod(
            AuthKind.API_KEY,
            (
                Setting(
                    "access_token",
                    "Access token",
                    "Of a private app (Settings, Integrations, Private Apps).",
                    secret=True,
                ),
            ),
        ),
        AuthMethod(
            AuthKind.OAUTH2_CODE,
            (
                Setting("client_id", "Client id", "Of the app."),
                Setting("client_secret", "Client secret", "Of the app.", secret=True),
            ),
            authorize_url="https://app.hubspot.com/oauth/authorize",
            token_url=TOKEN_URL,
            scopes=SCOPES,
        ),
    ),
    objects=OBJECT_INFOS,
    # Of an app that any account may install, the lowest limit there is; private apps are allowed 190 in 10 s and more.
    # https://developers.hubspot.com/docs/guides/apps/api-usage/usage-details
    rate_limits=(RateLimit(calls=100, per_s=10.0), RateLimit(calls=5, per_s=1.0, scope="search")),
    hosts=("*.hubapi.com", "*.hubspotusercontent-na1.net", "*.hubspotusercontent-eu1.net", "*.hubspot.com"),
    visibility_lag=VISIBILITY_LAG,
    cursor_overlap=CURSOR_OVERLAP,
    docs_url="https://developers.hubspot.com/docs/guides/api/overview",
)


class HubSpotConnector:
    """See `connectors.kit.contract.Connector`; also counts, versions, keys, upserts, deletes, associations and files."""

    manifest: ClassVar[Manifest] = MANIFEST
    file_objects: ClassVar[tuple[str, ...]] = FILE_OBJECTS
    id_order: ClassVar[str] = "numeric"
    several: ClassVar[Mapping[str, tuple[Ends, ...]]] = objects.SEVERAL
    views: ClassVar[Mapping[str, View]] = VIEWS
    uncompared: ClassVar[tuple[str, ...]] = tuple(
        info.name for info in OBJECT_INFOS if not info.writable or info.name.startswith("association:")
    )

    def __init__(self, connection: Connection, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._portal = Portal(self.manifest, connection)
        self._schemas: dict[str, ObjectSchema] = {}
        self._custom: dict[str, CrmObject] | None = None
        self._lock = threading.Lock()
        self._reader = Reader(self._portal, self._schema, clock=clock)
        self._writer = Writer(self._portal, lambda name: self._schema(name).modified_field)
        self._links = LinkWriter(self._portal)
        self._files = Files(self._portal, lambda: stamp(clock()))

    def close(self) -> None:
        """See the contract."""
        self._portal.close()

    # ------------------------------------------------------------ the account

    def check(self) -> AccountInfo:
        """See the contract. https://developers.hubspot.com/docs/guides/api/settings/account-information-api"""
        details = self._portal.get("/account-info/v3/details")
        portal_id = str(details["portalId"])
        return AccountInfo(
            remote_account=portal_id,
            display_name=f"HubSpot account {portal_id}",
            time_zone=str(details.get("timeZone") or "UTC"),
            currency=str(details.get("companyCurrency") or ""),
            details={
                "ui_domain": details.get("uiDomain"),
                "account_type": details.get("accountType"),
                "data_hosting": details.get("dataHostingLocation"),
                "additional_currencies": details.get("additionalCurrencies") or [],
            },
        )

    # ------------------------------------------------------------ what there is

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        """See the contract. A call for each object of records. What the app has no scope for is absent."""
        names = (*STANDARD_OBJECTS, *self._custom_objects()) if objects is None else tuple(dict.fromkeys(objects))
        found = {name: schema for name in names if (schema := self._described(name)) is not None}
        with self._lock:
            self._schemas.update(found)
        return Catalog(found)

    def _described(self, name: str) -> ObjectSchema | None:
        if name in VIEWS:
            whole = self._described(VIEWS[name].of)
            return None if whole is None else _view_schema(name, whole)
        known = setup_schema(name)
        if known is not None:
            return known
        pair = objects.association_pair(name)
        if pair is not None:
            known_ends = all(end in CRM_OBJECTS or end in self._custom_objects() for end in pair)
            return association_schema(name, *pair) if known_ends else None
        kind = CRM_OBJECTS.get(name) or self._custom_objects().get(name)
        return self._record_schema(kind) if kind else None

    def _record_schema(self, kind: CrmObject) -> ObjectSchema | None:
        try:
            reply = self._portal.sdk(
                "crm.properties.core_api", lambda api: api.get_all(kind.name, _preload_content=False)
            )
        except PermissionMissingError:
            return None
        return object_schema(kind, reply["results"], custom=kind.name not in CRM_OBJECTS)

    def _custom_objects(self) -> Mapping[str, CrmObject]:
        """Custom objects by fully qualified name; none where the account's subscription has none."""
        if self._custom is None:
            try:
                reply = self._portal.sdk("crm.schemas.core_api", lambda api: api.get_all(_preload_content=False))
            except PermissionMissingError:
                reply = {"results": []}
            self._custom = {
                str(entry["fullyQualifiedName"]): CrmObject(
                    str(entry["fullyQualifiedName"]), None, entry.get("primaryDisplayProperty")
                )
                for entry in reply["results"]
            }
        return self._custom

    def _schema(self, name: str) -> ObjectSchema:
        """The schema of one object, described once. Raises PermissionMissingError, which names it."""
        known = self._schemas.get(name) or self.describe([name]).objects.get(name)
        if known is not None:
            return known
        raise PermissionMissingError(
            f"HubSpot has no object {name[:80]} that this app may read.",
            remedy="Check its name, and the app's scopes.",
            context={"object": name[:80]},
        )

    # ------------------------------------------------------------ reading

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        """Numbers of records as the search knows them, one call each. What cannot be counted is absent."""
        changes = Changes(self._portal)
        countable = [
            n for n in objects if setup_schema(n) is None and not n.startswith("association:") and n not in VIEWS
        ]
        return {name: changes.count(name) for name in countable}

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """See the contract and `read.Reader`."""
        if request.object not in VIEWS:
            yield from self._reader.read(request)
            return
        fields = request.fields or self._schema(request.object).field_names
        for page in self._reader.read(replace(request, object=records_of(request.object), fields=fields)):
            yield replace(page, object=request.object)

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        """See the contract. By the listing, which is complete at once, not by the search, which lags."""
        self._only_records(object_name)
        return self._reader.versions(records_of(object_name), after)

    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        """See the contract."""
        self._only_records(object_name)
        return cursors.at(moment).encode()

    def find(self, object_name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """See the contract. ``key_field`` is a property with unique values."""
        self._only_records(object_name)
        return Records(self._portal).find(records_of(object_name), key_field, keys)

    def _only_records(self, name: str) -> None:
        if setup_schema(name) is not None or objects.association_pair(name) is not None:
            raise ConfigurationError(
                f"HubSpot's {name} have no versions or keys.", remedy="Read the object whole instead."
            )

    # ------------------------------------------------------------ writing

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        """See the contract and `write.Writer.upsert`."""
        self._require_writable(object_name)
        return self._writer.upsert(records_of(object_name), records, key_field)

    def associated(self, object_name: str, field: str, vendor_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """See the contract. A call for each 1,000 records."""
        target = field.removeprefix(objects.ASSOCIATED)
        found = Associations(self._portal).joined(object_name, target, vendor_ids)
        return {record_id: text.split(objects.SEPARATOR) for record_id, text in found.items() if text}

    def labelled(
        self, object_name: str, field: str, vendor_ids: Sequence[str]
    ) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """See the contract. The same calls as `associated`."""
        return Associations(self._portal).labelled(object_name, field.removeprefix(objects.ASSOCIATED), vendor_ids)

    def labels(self, object_name: str, field: str) -> Sequence[str]:
        """See the contract. One call."""
        return sorted(Associations(self._portal).types(object_name, field.removeprefix(objects.ASSOCIATED)))

    def associate(self, object_name: str, field: str, changes: Sequence[EndsChange]) -> list[WriteResult]:
        """See the contract. Two calls for each 2,000 pairs: with the plain label, and parted with whatever labels."""
        return self._links.change(object_name, field.removeprefix(objects.ASSOCIATED), changes)

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See the contract."""
        self._require_writable(object_name)
        return self._writer.delete(records_of(object_name), vendor_ids)

    def ensure_key_property(self, object_name: str, name: str = "syncline_id") -> bool:
        """Create the unique property that upserts go by: see `keys.ensure_key_property`."""
        return ensure_key_property(self._portal, records_of(object_name), name)

    def _require_writable(self, name: str) -> None:
        if setup_schema(name) is not None:
            raise ConfigurationError(
                f"HubSpot's {name} are not written by this connector.", remedy="Change them there."
            )

    # ------------------------------------------------------------ files

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """See the contract."""
        if object_name not in FILE_OBJECTS:
            raise ConfigurationError(f"HubSpot's {object_name[:80]} carry no content.", remedy="Files do.")
        return self._files.download(vendor_id)

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """See the contract. A private file, attached to its parents by a note."""
        return self._files.upload(info, content)


def _view_schema(name: str, whole: ObjectSchema) -> ObjectSchema:
    """The schema of a view: that of its records, without their associations, which are theirs as what they are besides."""
    fields = tuple(f for f in whole.fields if not f.name.startswith(objects.ASSOCIATED))
    return replace(whole, name=name, label=VIEW_LABELS[name], fields=fields)
