"""A company's records and Pipedrive's rules for them. v2's shapes; what v1 says differently is said where it is served."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.kit.clock import Clock
from sandbox.pipedrive.errors import ApiError, invalid, missing

Row = dict[str, Any]
PURGE = timedelta(days=30)
"""How long a deleted record is still there: https://developers.pipedrive.com/docs/api/v1/Persons#deletePerson"""

REFERENCES: Mapping[str, str] = {
    "owner_id": "users", "user_id": "users", "org_id": "organizations", "organization_id": "organizations",
    "person_id": "persons", "deal_id": "deals", "lead_id": "leads", "pipeline_id": "pipelines", "stage_id": "stages",
    "product_id": "products", "activity_id": "activities",
}  # fmt: skip
WRITABLE: Mapping[str, str] = {
    "persons": "name owner_id org_id add_time emails phones visible_to label_ids postal_address notes im birthday job_title",
    "organizations": "name owner_id add_time visible_to label_ids address website linkedin industry annual_revenue employee_count",
    "deals": "title owner_id person_id org_id pipeline_id stage_id value currency is_deleted is_archived archive_time status "
    "probability lost_reason visible_to close_time won_time lost_time expected_close_date label_ids",
    "activities": "subject type owner_id deal_id lead_id person_id org_id due_date due_time duration busy done location "
    "participants attendees public_description priority note",
    "products": "name code description unit tax category owner_id is_linkable visible_to prices billing_frequency",
    "deal_products": "product_id item_price quantity tax comments discount is_enabled tax_method discount_type",
    "leads": "title owner_id label_ids person_id organization_id is_archived value expected_close_date visible_to was_seen",
    "notes": "content lead_id deal_id person_id org_id user_id add_time pinned_to_deal_flag",
    "pipelines": "name is_deal_probability_enabled",
    "stages": "name pipeline_id deal_probability is_deal_rot_enabled days_to_rotten",
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "persons": ("name",), "organizations": ("name",), "deals": ("title",), "products": ("name",), "leads": ("title",),
    "notes": ("content",), "pipelines": ("name",), "stages": ("name", "pipeline_id"),
    "deal_products": ("product_id", "item_price", "quantity"),
}  # fmt: skip
CUSTOM = ("persons", "organizations", "deals", "products")
NUMBERS = frozenset(
    {"value", "tax", "item_price", "quantity", "discount", "probability", "annual_revenue", "employee_count"}
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass
class Store:
    """``changes`` is the feed that a person would see: (when, object, id, what)."""

    clock: Clock
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    fields: dict[str, list[Row]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    changes: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    created: dict[str, list[str]] = field(default_factory=dict)
    indexed_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    index_lag: timedelta = timedelta(seconds=5)
    _next: dict[str, int] = field(default_factory=dict)

    def table(self, name: str) -> dict[str, Row]:
        return self.tables.setdefault(name, {})

    def live(self, name: str) -> list[Row]:
        """Records that are not deleted, by id."""
        return [row for row in self.table(name).values() if not is_dead(row)]

    def get(self, name: str, row_id: str) -> Row:
        """Raises 404. A deleted record is there until it is purged."""
        row = self.table(name).get(row_id)
        if row is None or (is_dead(row) and self._purged(row)):
            raise missing(name)
        return row

    def _purged(self, row: Row) -> bool:
        return self.clock.now() - datetime.fromisoformat(row["update_time"]) > PURGE

    def stamp(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    # ------------------------------------------------------------ writing

    def add(self, name: str, values: Mapping[str, Any]) -> Row:
        """Put a record in without any rule: for seeding."""
        row_id: Any = str(self._uuid(name)) if name == "leads" else self._number(name)
        now = self.stamp()
        row = {"id": row_id, "add_time": now, "update_time": now, **blank_of(name), **values}
        self.table(name)[str(row["id"])] = row
        if name in CUSTOM:
            row.setdefault("custom_fields", {})
        return row

    def _number(self, name: str) -> int:
        self._next[name] = self._next.get(name, 0) + 1
        return self._next[name]

    def _uuid(self, name: str) -> uuid.UUID:
        return uuid.UUID(bytes=hashlib.md5(f"{name}{self._number(name)}".encode()).digest(), version=4)  # noqa: S324

    def create(self, name: str, values: Mapping[str, Any], *, by_call: bool = True) -> Row:
        """As a call or a person creates it. Raises 400."""
        self._check(name, values)
        for required in REQUIRED.get(name, ()):
            if values.get(required) in (None, ""):
                raise invalid(f"{required} is required")
        self._check_parents(name, values)
        row = self.add(name, {"owner_id": 1, **self._defaults(name, values), **values})
        _derive(name, row)
        self._changed(name, row, "added")
        if by_call:
            self.created.setdefault(name, []).append(str(row["id"]))
        return row

    def _check_parents(self, name: str, values: Mapping[str, Any]) -> None:
        if name == "leads" and not (values.get("person_id") or values.get("organization_id")):
            raise invalid("a lead must be linked to a person or an organization")
        if name == "notes" and not any(values.get(p) for p in ("deal_id", "person_id", "org_id", "lead_id")):
            raise invalid("a note must be attached to something")

    def _defaults(self, name: str, values: Mapping[str, Any]) -> Row:
        if name == "deals" and not values.get("stage_id"):
            wanted = values.get("pipeline_id") or 1
            first = next((s for s in self.live("stages") if s["pipeline_id"] == wanted), None)
            return {"status": "open", "currency": "EUR", "stage_id": first and first["id"], "pipeline_id": wanted}
        if name == "deals":
            stage = self.get("stages", str(values["stage_id"]))
            return {"status": "open", "currency": "EUR", "pipeline_id": stage["pipeline_id"]}
        return {}

    def update(self, name: str, row_id: str, values: Mapping[str, Any]) -> Row:
        """PATCH: what is named changes, custom fields one by one. Raises 400, 404."""
        row = self.get(name, row_id)
        if is_dead(row):
            raise ApiError(410, f"{name} is deleted", "ERR_DELETED")
        self._check(name, values)
        custom = values.get("custom_fields") or {}
        row.update({k: v for k, v in values.items() if k != "custom_fields"})
        if custom:
            row["custom_fields"] = {**row.get("custom_fields", {}), **custom}
        row["update_time"] = self.stamp()
        _derive(name, row)
        self._changed(name, row, "updated")
        return row

    def delete(self, name: str, row_id: str) -> None:
        """Marks as deleted; leads and line items go at once. Raises 404."""
        row = self.get(name, row_id)
        if name in ("leads", "deal_products"):
            del self.table(name)[row_id]
        elif "active_flag" in row:
            row["active_flag"], row["update_time"] = False, self.stamp()
        else:
            row["is_deleted"], row["update_time"] = True, self.stamp()
        self._changed(name, row, "deleted")

    def merge(self, name: str, loser: str, survivor: str) -> Row:
        """What the survivor lacks it takes from the loser, which is gone. What hung on the loser hangs on the survivor."""
        lost, kept = self.get(name, loser), self.get(name, survivor)
        for key, value in lost.items():
            if kept.get(key) in (None, "", []):
                kept[key] = value
        for column, target in REFERENCES.items():
            if target == name:
                for table in self.tables.values():
                    for row in table.values():
                        if row.get(column) == lost["id"]:
                            row[column], row["update_time"] = kept["id"], self.stamp()
        kept["update_time"] = self.stamp()
        self.delete(name, loser)
        self._changed(name, kept, f"merged with {loser}")
        return kept

    def _changed(self, name: str, row: Row, what: str) -> None:
        now = self.clock.now()
        self.changes.append((now, name, str(row["id"]), what))
        self.indexed_at[name, str(row["id"])] = now + self.index_lag
        if name == "deal_products" and str(row.get("deal_id")) in self.table("deals"):
            self.table("deals")[str(row["deal_id"])]["update_time"] = self.stamp()

    # ------------------------------------------------------------ rules

    def _check(self, name: str, values: Mapping[str, Any]) -> None:
        custom = self._custom(name, values)
        known = {*WRITABLE.get(name, "").split(), *({"custom_fields"} if name in CUSTOM else ()), "deal_id"}
        for key, value in values.items():
            if name == "leads" and key in custom:
                continue
            if key not in known:
                raise invalid(f"{key} is not allowed")
            if value is not None:
                self._check_value(name, key, value)
        for key, value in custom.items():
            self._check_custom("deals" if name == "leads" else name, key, value)

    def _custom(self, name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "leads":
            return {k: v for k, v in values.items() if re.fullmatch("[0-9a-f]{40}", k)}
        return values.get("custom_fields") or {}

    def _check_value(self, name: str, key: str, value: Any) -> None:
        if key in NUMBERS and not (name == "leads" and key == "value") and not _is_number(value):
            raise invalid(f"{key} must be a number")
        if key in REFERENCES:
            if key != "lead_id" and not isinstance(value, int):
                raise invalid(f"{key} must be an integer")
            if str(value) not in self.table(REFERENCES[key]):
                raise invalid(f"{key} does not exist")
        if key == "currency" and not re.fullmatch("[A-Z]{3}", str(value)):
            raise invalid("currency must be an ISO code")
        if key in ("expected_close_date", "birthday", "due_date") and not _DAY.fullmatch(str(value)):
            raise invalid(f"{key} must be a date")
        if key == "status" and value not in ("open", "won", "lost"):
            raise invalid("status must be one of open, won, lost")

    def _check_custom(self, name: str, key: str, value: Any) -> None:
        definition = next((f for f in self.fields.get(name, []) if f["field_code"] == key), None)
        if definition is None:
            raise invalid(f"custom field {key} does not exist")
        if value is None:
            return
        ids = {o["id"] for o in definition.get("options") or []}
        chosen = value if isinstance(value, list) else [value]
        if definition["field_type"] in ("enum", "set") and not set(chosen) <= ids:
            raise invalid(f"{key} has no such option")
        if definition["field_type"] == "double" and not _is_number(value):
            raise invalid(f"{key} must be a number")
        if definition["field_type"] == "varchar" and (not isinstance(value, str) or len(value) > 255):
            raise invalid(f"{key} must be a text of at most 255 characters")

    def add_field(self, name: str, label: str, field_type: str, labels: tuple[str, ...] = ()) -> Row:
        """A custom field, with a key of 40 hexadecimal digits."""
        defined = self.fields.setdefault(name, [])
        key = hashlib.sha1(f"{name}/{label}/{len(defined)}".encode()).hexdigest()  # noqa: S324
        made: Row = {
            "field_name": label, "field_code": key, "field_type": field_type, "is_custom_field": True,
            "options": [{"id": self._number("options") + 20, "label": text} for text in labels] or None,
        }  # fmt: skip
        defined.append(made)
        return made


def blank_of(name: str) -> Row:
    """What a fresh record of the object holds besides what it is given."""
    if name in ("notes", "files", "users"):
        return {"active_flag": True}
    return {} if name in ("leads", "deal_products", "activity_types") else {"is_deleted": False}


def is_dead(row: Row) -> bool:
    return bool(row.get("is_deleted")) or row.get("active_flag") is False


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _derive(name: str, row: Row) -> None:
    """What Pipedrive works out itself."""
    if name == "persons":
        row["first_name"], _, row["last_name"] = str(row["name"]).strip().partition(" ")
        row["last_name"] = row["last_name"] or None
    if name == "deals":
        row.setdefault("is_archived", False)
        row["won_time"] = row["update_time"] if row["status"] == "won" else None
        row["lost_time"] = row["update_time"] if row["status"] == "lost" else None
    if name == "deal_products":
        row["sum"] = row["quantity"] * row["item_price"]
