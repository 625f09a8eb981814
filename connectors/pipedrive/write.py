"""Writing records one by one: Pipedrive has neither batches nor an upsert, and no way to send a create twice safely.

So the hub's own id stands in a custom field. Whoever holds it is looked for before anything is created: in the search index,
which lags, and among the records that changed so lately that the index may not know them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.pipedrive.company import Company
from connectors.pipedrive.cursors import written
from connectors.pipedrive.objects import KINDS, V2_PAGE, Kind
from connectors.pipedrive.records import body_of, needs_current
from connectors.pipedrive.schema import SEARCHABLE, code
from domain.errors import ConfigurationError, RecordRejectedError, TransientError
from domain.records import ObjectSchema, Outgoing, WriteResult

INDEX_LAG = timedelta(minutes=10)
"""How far back records are listed to be found without the search index. Pipedrive promises no time; it takes seconds."""
SEARCH = "search"
"""The rate limit of searches is one of its own: 10 in 2 seconds."""
SEARCH_PATH = "/api/v2/itemSearch/field"


class Writer:
    """Writes to one company. ``lookup`` gives an object's schema, ``forget`` makes it be described anew."""

    def __init__(
        self,
        company: Company,
        lookup: Callable[[str], ObjectSchema],
        forget: Callable[[str], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._company = company
        self._lookup = lookup
        self._forget = forget
        self._clock = clock

    # ------------------------------------------------------------ the hub's own id

    def ensure_key_property(self, object_name: str, label: str) -> str:
        """The key of the text field called ``label``, made where there is none. Safe to call again.

        Raises ConfigurationError for objects that have no custom fields, or when a field of another type has the name.
        """
        kind = writable(object_name)
        if kind.field_list is None or kind.search is None:
            raise ConfigurationError(
                f"Pipedrive's {kind.name} have no custom fields that can be searched.",
                remedy="Write them without a key, once.",
            )
        known = self._fields(kind, label)
        if known is None:
            made = self._company.send("POST", kind.field_list, {"field_name": label, "field_type": "varchar"})
            self._forget(object_name)
            return code(made)
        if str(known.get("field_type")) not in SEARCHABLE:
            raise ConfigurationError(
                f"Pipedrive has a field of that name for {kind.name} already, of a type that cannot be searched.",
                remedy="Rename it in Pipedrive.",
            )
        return code(known)

    def _fields(self, kind: Kind, label: str) -> Mapping[str, Any] | None:
        pages = self._company.pages(kind.field_list or "", {"limit": V2_PAGE})
        return next((f for page in pages for f in page if f.get("field_name") == label), None)

    def find(self, object_name: str, key_field: str, keys: Sequence[str]) -> Mapping[str, str]:
        """See `connectors.kit.contract.SupportsFind`."""
        kind = writable(object_name)
        if not keys:
            return {}
        found = self._lately(kind, key_field, frozenset(keys))
        for key in keys:
            if key not in found and (vendor_id := self._indexed(kind, key_field, key)) is not None:
                found[key] = vendor_id
        return found

    def _lately(self, kind: Kind, key_field: str, keys: frozenset[str]) -> dict[str, str]:
        """Among the records that changed since the index can be trusted."""
        since = written(self._clock() - INDEX_LAG)
        found: dict[str, str] = {}
        if not kind.nested:
            reply = self._company.get(kind.path, {"updated_since": since, "limit": V2_PAGE, "start": 0})
            pages = [list(reply.get("data") or [])]
        else:
            params = {"updated_since": since, "limit": V2_PAGE, "custom_fields": key_field}
            pages = list(self._company.pages(kind.path, params))
        for record in (r for page in pages for r in page):
            value = (record.get("custom_fields") or record).get(key_field)
            if value in keys:
                found[str(value)] = str(record["id"])
        return found

    def _indexed(self, kind: Kind, key_field: str, key: str) -> str | None:
        params = {"term": key, "entity_type": kind.search, "field": key_field, "match": "exact", "limit": 10}
        for hit in self._company.get(SEARCH_PATH, params, scope=SEARCH).get("data") or []:
            vendor_id = str((hit.get("item") or hit)["id"])
            record = self._company.found(f"{kind.path}/{vendor_id}")  # the index may know records that are gone
            if (
                record
                and not record.get("is_deleted")
                and (record.get("custom_fields") or record).get(key_field) == key
            ):
                return vendor_id
        return None

    # ------------------------------------------------------------ create, update

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsUpsert`.

        A record with ``vendor_id`` is updated. Another is looked for by ``key_field`` and updated where it is found, created
        where it is not; without a key field it is created.
        """
        kind = writable(object_name)
        if not records:
            return []
        schema = self._lookup(object_name)
        keys = {r.key: str(r.values.get(key_field, r.key)) for r in records if key_field and not r.vendor_id}
        known = self.find(object_name, key_field, list(keys.values())) if key_field and keys else {}
        results = []
        for record in records:
            vendor_id = record.vendor_id or known.get(keys.get(record.key, ""))
            values = (
                {key_field: keys[record.key], **record.values} if key_field and record.key in keys else record.values
            )
            results.append(self._write(kind, schema, record.key, vendor_id, values))
        return results

    def _write(
        self, kind: Kind, schema: ObjectSchema, key: str, vendor_id: str | None, values: Mapping[str, Any]
    ) -> WriteResult:
        try:
            made = self._updated(kind, schema, vendor_id, values) if vendor_id else self._created(kind, schema, values)
        except (RecordRejectedError, TransientError) as error:
            if isinstance(error, TransientError) and not error.context.get("ambiguous"):
                raise
            return WriteResult(key, vendor_id, error=error)
        return WriteResult(key, id_of(kind, made), created=vendor_id is None, version=version_of(kind, made))

    def _updated(
        self, kind: Kind, schema: ObjectSchema, vendor_id: str, values: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        current = self._company.found(address(kind, vendor_id)) if needs_current(kind, values) else None
        body = body_of(kind, schema, values, current)
        body.pop("deal_id", None) if kind.id_field == "key" else None
        return self._company.send(kind.update or "PATCH", address(kind, vendor_id), body, idempotent=True)

    def _created(self, kind: Kind, schema: ObjectSchema, values: Mapping[str, Any]) -> Mapping[str, Any]:
        body = body_of(kind, schema, values)
        path = kind.path
        if kind.id_field == "key":
            path = path.format(deal=body.pop("deal_id", ""))
        return self._company.send("POST", path, body, idempotent=False)

    # ------------------------------------------------------------ delete

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        """See `connectors.kit.contract.SupportsDelete`."""
        kind = writable(object_name)
        return [self._deleted(kind, vendor_id) for vendor_id in vendor_ids]

    def _deleted(self, kind: Kind, vendor_id: str) -> WriteResult:
        try:
            self._company.api.request("DELETE", address(kind, vendor_id), accept=(404, 410))
        except RecordRejectedError as error:
            return WriteResult(vendor_id, vendor_id, error=error)
        return WriteResult(vendor_id, vendor_id)


def writable(object_name: str) -> Kind:
    """The object called ``object_name``. Raises ConfigurationError where it cannot be written."""
    kind = KINDS.get(object_name)
    if kind is not None and kind.update is not None:
        return kind
    raise ConfigurationError(
        f"Pipedrive's {object_name[:80]} cannot be written.",
        remedy=f"There are: {', '.join(k.name for k in KINDS.values() if k.update)}.",
        code="unknown_object",
    )


def address(kind: Kind, vendor_id: str) -> str:
    """The path of one record. Raises RecordRejectedError for what is no id of the object."""
    deal, _, own = vendor_id.rpartition("/")
    if not all(part.replace("-", "").isalnum() for part in (own, deal or "0")) or bool(deal) != (
        kind.id_field == "key"
    ):
        raise RecordRejectedError(f"The id is none of Pipedrive's {kind.name}.", remedy="Read the record again.")
    return f"{kind.path.format(deal=deal)}/{own}"


def id_of(kind: Kind, record: Mapping[str, Any]) -> str:
    """The id under which the record is read again."""
    return f"{record['deal_id']}/{record['id']}" if kind.id_field == "key" else str(record["id"])


def version_of(kind: Kind, record: Mapping[str, Any]) -> str | None:
    """What changes with every change of the record."""
    stamp = record.get(kind.modified or "")
    return str(stamp) if stamp else None
