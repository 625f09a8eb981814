"""Creating, changing and deleting records under the vendor's rules, with transactions that can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox.salesforce import convert, derive, shared
from sandbox.salesforce.clean import clean
from sandbox.salesforce.errors import ApiError, no_such_field
from sandbox.salesforce.ids import to18
from sandbox.salesforce.org import Org, Row, Undo
from sandbox.salesforce.schema import Field, ObjectType

AUDIT = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById")


class Writer:
    """Writes as one user. Every refusal is an ApiError; what was done since `transaction` began is undone by it."""

    def __init__(self, org: Org, user_id: str, *, by_call: bool = True) -> None:
        """``by_call``: what is created was created by the API, and is counted as such."""
        self.org = org
        self.user_id = user_id
        self.by_call = by_call

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: an exception takes every write to the org in the block back, whichever writer did it."""
        outer = self.org.undo
        log: list[Undo] = []
        self.org.undo = log
        try:
            yield
        except BaseException:
            while log:
                log.pop()()
            raise
        finally:
            self.org.undo = outer
        if outer is not None:
            outer.extend(log)

    # ------------------------------------------------------------ the four writes

    def insert(self, object_name: str, values: Mapping[str, Any]) -> str:
        """The new record's id."""
        item = self.org.object(object_name)
        if not item.createable:
            raise ApiError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {item.label} does not support create")
        row, blobs = self._cleaned(item, values, creating=True)
        self._defaults(item, row)
        self._require(item, row)
        self._check(item, row, None)
        row["Id"] = self.org.ids.next(item.prefix)
        self._stamp(row, created=True)
        with self._atomic():
            self._store(item, row, blobs)
            derive.inserted(self, item, row)
            if self.by_call:
                created = self.org.created.setdefault(object_name, [])
                created.append(row["Id"])
                self._log(lambda: created.remove(row["Id"]))
        return str(row["Id"])

    def update(self, object_name: str, record_id: str, values: Mapping[str, Any]) -> str:
        item = self.org.object(object_name)
        row = self._existing(item, record_id)
        convert.check(item.name, row)
        changes, blobs = self._cleaned(item, values, creating=False)
        self.check_lock(row["Id"])
        merged = {**row, **changes}
        self._require(item, merged, set(changes))
        self._check(item, changes, row["Id"])
        with self._atomic():
            before = dict(row)
            self._replace(item, row, changes)
            self._stamp(row, created=False)
            self._keep_blobs(row["Id"], blobs)
            derive.updated(self, item, row, before)
        return str(row["Id"])

    def upsert(self, object_name: str, key: str, key_value: Any, values: Mapping[str, Any]) -> tuple[str, bool]:
        """The record's id and whether it is new. Raises 300 MULTIPLE_CHOICES when the key fits several records."""
        item = self.org.object(object_name)
        matches = self.match(item, key, key_value)
        if len(matches) > 1:
            raise MultipleChoicesError(item.name, matches)
        if matches:
            return self.update(item.name, matches[0], values), False
        if key.lower() == "id":
            raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", 404)
        return self.insert(item.name, {**values, key: key_value}), True

    def delete(self, object_name: str, record_id: str) -> str:
        item = self.org.object(object_name)
        row = self._existing(item, record_id)
        if not item.deletable:
            raise ApiError("INSUFFICIENT_ACCESS_OR_READONLY", f"entity type {item.label} does not support delete")
        derive.may_delete(item, row)
        self.check_lock(row["Id"])
        with self._atomic():
            self._bury(item, row)
            if shared.has_no_bin(item.name):
                self.org.binless.add(row["Id"])
                self._log(lambda: self.org.binless.discard(row["Id"]))
        return str(row["Id"])

    def match(self, item: ObjectType, key: str, value: Any) -> list[str]:
        """Ids of the records whose external-id field has the value. Raises INVALID_FIELD when it is no external id."""
        found = self.org.field(item, key)
        if found is None:
            raise no_such_field(key, item.name)
        if found.type == "id":
            record = self.org.get(item.name, str(value))
            return [record["Id"]] if record and not record.get("IsDeleted") else []
        if not found.external_id:
            raise ApiError(
                "INVALID_FIELD", f"Field name provided, {key} is not an External ID or indexed field for {item.name}"
            )
        return list(self._index(item, found).get(_key(found, clean(found, value)), ()))

    # ------------------------------------------------------------ what a record may hold

    def _existing(self, item: ObjectType, record_id: str) -> Row:
        row = self.org.get(item.name, record_id)
        if row is None:
            if to18(record_id) is None:
                raise ApiError(
                    "MALFORMED_ID", f"{item.label} ID: id value of incorrect type: {record_id}", fields=["Id"]
                )
            raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", 404)
        if row.get("IsDeleted"):
            raise ApiError("ENTITY_IS_DELETED", "entity is deleted", 404)
        return row

    def _cleaned(self, item: ObjectType, values: Mapping[str, Any], creating: bool) -> tuple[Row, dict[str, bytes]]:
        row: Row = {}
        blobs: dict[str, bytes] = {}
        for name, value in values.items():
            if name in {"attributes", "Id", "id"}:
                continue
            found = self.org.field(item, name)
            if found is None:
                relation, record_id = self._by_external_id(item, name, value)
                found, value = relation, record_id
            self._may_write(found, creating)
            cleaned = clean(found, value)
            if isinstance(cleaned, bytes):
                blobs[found.name] = cleaned
            else:
                row[found.name] = cleaned
        return row, blobs

    def _may_write(self, found: Field, creating: bool) -> None:
        if creating and found.name in AUDIT and self.org.permissions.set_audit_fields:
            return
        if not (found.createable if creating else found.updateable):
            raise ApiError(
                "INVALID_FIELD_FOR_INSERT_UPDATE",
                f"Unable to create/update fields: {found.name}. Please check the security settings of this field and verify that "
                "it is read/write for your profile or permission set.",
                fields=[found.name],
            )

    def _by_external_id(self, item: ObjectType, name: str, value: Any) -> tuple[Field, str]:
        """``"Account": {"ERP_Number__c": "E-1"}`` stands for the AccountId of that account."""
        relation = item.relation(name)
        if relation is None or not isinstance(value, Mapping):
            raise no_such_field(name, item.name)
        target = self.org.object(str((value.get("attributes") or {}).get("type") or relation.refers_to[0]))
        key, wanted = next((k, v) for k, v in value.items() if k != "attributes")
        matches = self.match(target, key, wanted)
        if len(matches) != 1:
            raise ApiError(
                "INVALID_FIELD",
                f"Foreign key external ID: {str(wanted).lower()} not found for field {key} in entity {target.name}",
            )
        return relation, matches[0]

    def _defaults(self, item: ObjectType, row: Row) -> None:
        for found in item.fields.values():
            if found.default == "me":
                row.setdefault(found.name, self.user_id)
            elif found.type == "boolean" and found.default == "true":
                row.setdefault(found.name, True)
            elif found.type == "picklist" and found.default is not None:
                row.setdefault(found.name, found.options[0] if found.default == "first" else found.default)

    def _require(self, item: ObjectType, row: Row, only: set[str] | None = None) -> None:
        missing = [
            f.name
            for f in item.fields.values()
            if f.required and f.createable and f.type not in {"boolean", "base64"} and row.get(f.name) is None
            if only is None or f.name in only
        ]
        if missing:
            names = ", ".join(missing)
            raise ApiError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{names}]", fields=missing)

    def _check(self, item: ObjectType, row: Row, own_id: str | None) -> None:
        for name, value in row.items():
            found = item.fields[name]
            if value is not None and found.type == "reference":
                self._check_reference(found, value)
            if value is not None and found.unique:
                self._check_unique(item, found, value, own_id)

    def _check_reference(self, found: Field, value: str) -> None:
        target = self.org.find(value)
        if target is None or target[0].name not in found.refers_to:
            wrong_kind = target is not None or self.org.kinds_of(value).isdisjoint(found.refers_to)
            if wrong_kind:
                raise ApiError(
                    "FIELD_INTEGRITY_EXCEPTION",
                    f"{found.label}: id value of incorrect type: {value}",
                    fields=[found.name],
                )
            raise ApiError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[found.name])
        if target[1].get("IsDeleted"):
            raise ApiError("ENTITY_IS_DELETED", "entity is deleted", fields=[found.name])
        if found.name == "OwnerId" and target[1].get("IsActive") is False and not self.org.permissions.set_audit_fields:
            message = f"operation performed with inactive user [{value[:15]}] as owner of record"
            raise ApiError("INACTIVE_OWNER_OR_USER", message, fields=[found.name])

    def _check_unique(self, item: ObjectType, found: Field, value: Any, own_id: str | None) -> None:
        others = [i for i in self._index(item, found).get(_key(found, value), ()) if i != own_id]
        if others:
            raise ApiError(
                "DUPLICATE_VALUE",
                f"duplicate value found: {found.name} duplicates value on record with id: {others[0][:15]}",
            )

    def check_lock(self, record_id: str) -> None:
        if self.org.take_lock(record_id):
            raise ApiError(
                "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this record or 1 records: {record_id[:15]}"
            )

    # ------------------------------------------------------------ storing, and taking back

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Inside a transaction its undo log goes on; alone, a failing side effect takes the one record back."""
        if self.org.undo is not None:
            yield
            return
        with self.transaction():
            yield

    def _log(self, undo: Undo) -> None:
        if self.org.undo is not None:
            self.org.undo.append(undo)

    def _stamp(self, row: Row, created: bool) -> None:
        now = self.org.clock.stamp()
        if created:
            row.setdefault("CreatedDate", now)
            row.setdefault("CreatedById", self.user_id)
            row.setdefault("LastModifiedDate", now)
            row.setdefault("LastModifiedById", self.user_id)
        else:
            row["LastModifiedDate"], row["LastModifiedById"] = now, self.user_id
        row["SystemModstamp"] = now

    def _store(self, item: ObjectType, row: Row, blobs: dict[str, bytes]) -> None:
        self.check_lock(row["Id"])
        for name in [n for n, value in row.items() if value is None]:
            del row[name]
        table, record_id = self.org.tables[item.name], row["Id"]
        table[record_id] = row
        self._reindex(item, row, 1)

        def undo() -> None:
            self._reindex(item, row, -1)
            table.pop(record_id, None)
            self.org.blobs.pop(record_id, None)

        self._log(undo)
        self._keep_blobs(record_id, blobs)

    def _keep_blobs(self, record_id: str, blobs: dict[str, bytes]) -> None:
        for content in blobs.values():
            before = self.org.blobs.get(record_id)
            self.org.blobs[record_id] = content
            self._log(lambda old=before: self._restore_blob(record_id, old))  # type: ignore[misc]

    def _restore_blob(self, record_id: str, content: bytes | None) -> None:
        if content is None:
            self.org.blobs.pop(record_id, None)
        else:
            self.org.blobs[record_id] = content

    def _replace(self, item: ObjectType, row: Row, changes: Row) -> None:
        """Change a row in place: open cursors hold it."""
        before = dict(row)
        self._reindex(item, row, -1)
        for name, value in changes.items():
            if value is None:
                row.pop(name, None)
            else:
                row[name] = value
        self._reindex(item, row, 1)

        def undo() -> None:
            self._reindex(item, row, -1)
            row.clear()
            row.update(before)
            self._reindex(item, row, 1)

        self._log(undo)

    def system_update(self, object_name: str, row: Row, changes: Row) -> None:
        """A change that the platform itself makes, to fields that no one may write."""
        self._replace(self.org.objects[object_name], row, changes)

    def stamped(self, row: Row) -> None:
        """Note that the platform changed a row itself."""
        before = {name: row.get(name) for name in ("LastModifiedDate", "LastModifiedById", "SystemModstamp")}
        self._stamp(row, created=False)
        self._log(lambda: row.update(before))

    def bury(self, object_name: str, row: Row) -> None:
        """A delete that the platform itself makes."""
        self._bury(self.org.objects[object_name], row)

    def system_insert(self, object_name: str, row: Row) -> Row:
        item = self.org.objects[object_name]
        row.setdefault("Id", self.org.ids.next(item.prefix))
        self._stamp(row, created=True)
        for name in [n for n in row if n not in item.fields]:
            del row[name]
        self._store(item, row, {})
        return row

    def _bury(self, item: ObjectType, row: Row) -> None:
        """Into the recycle bin, with what can't exist without it."""
        now = self.org.clock.stamp()
        changes: Row = {"IsDeleted": True, "SystemModstamp": now}
        if "LastModifiedDate" in item.fields:
            changes |= {"LastModifiedDate": now, "LastModifiedById": self.user_id}
        self._replace(item, row, changes)
        derive.buried(self, item, row)
        for child in self.org.objects.values():
            for link in child.fields.values():
                if (
                    link.required
                    and item.name in link.refers_to
                    and link.name not in {"OwnerId", "CreatedById", "LastModifiedById"}
                ):
                    for other in [r for r in self.org.live(child.name) if r.get(link.name) == row["Id"]]:
                        self._bury(child, other)

    # ------------------------------------------------------------ indexes

    def _index(self, item: ObjectType, found: Field) -> dict[Any, list[str]]:
        """Ids of live records by value, built when first needed and kept up from then on."""
        name = (item.name, found.name)
        if name not in self.org.indexes:
            index: dict[Any, list[str]] = {}
            for row in self.org.live(item.name):
                if found.name in row:
                    index.setdefault(_key(found, row[found.name]), []).append(row["Id"])
            self.org.indexes[name] = index
        return self.org.indexes[name]

    def _reindex(self, item: ObjectType, row: Row, change: int) -> None:
        if row.get("IsDeleted"):
            return
        for (object_name, field_name), index in self.org.indexes.items():
            if object_name != item.name or field_name not in row:
                continue
            ids = index.setdefault(_key(item.fields[field_name], row[field_name]), [])
            if change > 0:
                ids.append(row["Id"])
            elif row["Id"] in ids:
                ids.remove(row["Id"])


class MultipleChoicesError(ApiError):
    """An external id that several records carry: status 300, and the addresses of all of them."""

    def __init__(self, object_name: str, ids: list[str]) -> None:
        message = f"{object_name}: external id matches more than one record: {', '.join(ids)}"
        super().__init__("MULTIPLE_CHOICES", message, 300)
        self.object_name = object_name
        self.ids = ids


def _key(found: Field, value: Any) -> Any:
    """External ids compare without regard to case unless the field says otherwise."""
    return value.lower() if isinstance(value, str) and not found.case_sensitive else value
