"""The canonical entities: what the hub stores, whatever the vendor calls it.

Each entity is data. `storage.tables` makes its table and staging table from it, `mappings` checks specs against it and
the CLI documents it. Beside its own fields every entity has the standard ones of `STANDARD_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """What a value is. Determines column type, default transform and how values compare."""

    TEXT = "text"
    EMAIL = "email"  # lower-cased address
    PHONE = "phone"  # E.164
    URL = "url"
    INTEGER = "integer"  # 64 bits
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"  # with zone, stored in UTC
    JSON = "json"
    TEXT_LIST = "text_list"  # an unordered set of texts
    REFERENCE = "reference"  # id of another canonical record


@dataclass(frozen=True, slots=True)
class Field:
    """One typed column. ``refers_to`` names the entity of a reference; ``required`` rejects a record without it.

    ``follows`` names the field that decides this one: a vendor derives it (a stage brings its probability), or it says how
    the other is to be read (a body's format, the currency of a product's price).
    """

    name: str
    kind: Kind = Kind.TEXT
    refers_to: str | None = None
    required: bool = False
    follows: str | None = None


PLAIN = ("", "associated", "contact", "contact role")
"""Labels of associations from a sale to a contact that say no more than that the two belong together."""


@dataclass(frozen=True, slots=True)
class Several:
    """Records of one entity that a record is associated with, several at once: a field that is no column.

    Its value is a sorted list of ids: of the associations from the record to ``refers_to``, whatever their labels, and of
    ``main``, the reference that names one of them. Another main one leaves the former in the list. ``led``: whether there is always
    a main one where there is any: the record is parted from one that is blanked, and the first that is left takes its place.
    ``moves``: instead, whoever says nothing of the list and names another main one, or none, parts the record from the former.
    ``labels``: the field that says as what records are associated: a sorted list of ``<id> <label>``, without labels that say
    nothing (`PLAIN`).
    """

    name: str
    refers_to: str
    main: str
    led: bool = False
    moves: bool = False
    labels: str | None = None


@dataclass(frozen=True, slots=True)
class Becomes:
    """What a record of an entity turns into, for good: ``flag`` says that it has, ``into`` refers to what it is now.

    From then on it is history: nothing of it is sent anywhere, and who is meant is the record that it became.
    """

    flag: str
    into: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical entity.

    ``match_keys``: each tuple is one default match rule; records agreeing on all of its (non-blank, normalised) fields
    are the same thing. ``label_field`` names a record to a person. ``indexes`` are looked up besides match keys and
    references. ``parents``: references without which a record means nothing; it is sent nowhere before them. ``several``: lists of
    records associated with one. ``becomes``: what its records turn into.
    """

    name: str
    fields: tuple[Field, ...]
    match_keys: tuple[tuple[str, ...], ...] = ()
    label_field: str = "name"
    indexes: tuple[tuple[str, ...], ...] = ()
    parents: tuple[str, ...] = ()
    several: tuple[Several, ...] = ()
    becomes: Becomes | None = None

    def field(self, name: str) -> Field:
        """Return the field called ``name``, own or standard. Raises KeyError."""
        return _FIELDS[self.name][name]

    @property
    def all_fields(self) -> Mapping[str, Field]:
        """Own and standard fields by name."""
        return _FIELDS[self.name]

    @property
    def references(self) -> tuple[Field, ...]:
        """Every reference field, own and standard."""
        return _REFERENCES[self.name]


def _ref(name: str, entity: str, *, required: bool = False) -> Field:
    return Field(name, Kind.REFERENCE, entity, required)


def _texts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name) for name in names)


def _address(prefix: str) -> tuple[Field, ...]:
    return _texts(*(f"{prefix}_{part}" for part in ("street", "city", "region", "postal_code", "country")))


def _of(kind: Kind, *names: str, follows: str | None = None) -> tuple[Field, ...]:
    return tuple(Field(name, kind, follows=follows) for name in names)


STANDARD_FIELDS: tuple[Field, ...] = (
    _ref("owner_id", "user"),
    _ref("created_by_id", "user"),
    _ref("updated_by_id", "user"),
    Field("source_created_at", Kind.TIMESTAMP),
    Field("source_updated_at", Kind.TIMESTAMP),
)
"""Mapped on every entity: owner, authors and the vendor's own dates. `custom_fields` (json object) comes besides."""

_PERSON = (
    *_texts("salutation", "first_name", "middle_name", "last_name", "suffix", "title"),
    Field("email", Kind.EMAIL),
    Field("phone", Kind.PHONE),
    Field("mobile_phone", Kind.PHONE),
)

_ALL = (
    Entity(
        "user",
        (
            Field("name", required=True),
            *_texts("first_name", "last_name", "username", "title", "department", "time_zone", "locale"),
            Field("email", Kind.EMAIL),
            Field("phone", Kind.PHONE),
            Field("is_active", Kind.BOOLEAN),
            _ref("manager_id", "user"),
        ),
        match_keys=(("email",),),
    ),
    Entity(
        "account",
        (
            Field("name", required=True),
            Field("domain"),
            Field("website", Kind.URL),
            Field("phone", Kind.PHONE),
            Field("fax", Kind.PHONE),
            *_texts("industry", "kind", "rating", "source", "ownership", "number", "currency", "description"),
            Field("employees", Kind.INTEGER),
            Field("annual_revenue", Kind.DECIMAL),
            Field("tags", Kind.TEXT_LIST),
            *_address("billing"),
            *_address("shipping"),
            _ref("parent_id", "account"),
        ),
        match_keys=(("name", "domain"),),
        indexes=(("name",), ("domain",)),
    ),
    Entity(
        "contact",
        (
            *_PERSON,
            Field("fax", Kind.PHONE),
            Field("home_phone", Kind.PHONE),
            *_texts("department", "source", "description", "time_zone", "language"),
            Field("birth_date", Kind.DATE),
            Field("email_opt_out", Kind.BOOLEAN),
            Field("do_not_call", Kind.BOOLEAN),
            Field("tags", Kind.TEXT_LIST),
            *_address("mailing"),
            *_address("other"),
            _ref("account_id", "account"),
            _ref("reports_to_id", "contact"),
        ),
        match_keys=(("email", "last_name"),),
        label_field="last_name",
        indexes=(("email",), ("phone",), ("last_name",)),
        several=(Several("account_ids", "account", "account_id", led=True),),
    ),
    Entity(
        "lead",
        (
            *_PERSON,
            *_texts("company", "status", "source", "rating", "industry", "description", "currency"),
            Field("website", Kind.URL),
            Field("employees", Kind.INTEGER),
            Field("annual_revenue", Kind.DECIMAL),
            Field("email_opt_out", Kind.BOOLEAN),
            Field("do_not_call", Kind.BOOLEAN),
            Field("tags", Kind.TEXT_LIST),
            *_address("mailing"),
            Field("is_converted", Kind.BOOLEAN),
            Field("converted_at", Kind.TIMESTAMP),
            _ref("converted_account_id", "account"),
            _ref("converted_contact_id", "contact"),
            _ref("converted_opportunity_id", "opportunity"),
        ),
        match_keys=(("email", "last_name"),),
        label_field="last_name",
        indexes=(("email",), ("company",)),
        becomes=Becomes("is_converted", "converted_contact_id"),
    ),
    Entity(
        "pipeline", (Field("name", required=True), Field("position", Kind.INTEGER), Field("is_default", Kind.BOOLEAN))
    ),
    Entity(
        "stage",
        (
            Field("name", required=True),
            _ref("pipeline_id", "pipeline"),
            Field("position", Kind.INTEGER),
            Field("probability", Kind.DECIMAL),
            Field("is_won", Kind.BOOLEAN),
            Field("is_closed", Kind.BOOLEAN),
            Field("forecast_category"),
        ),
    ),
    Entity(
        "campaign",
        (
            Field("name", required=True),
            *_texts("kind", "status", "description", "currency"),
            *_of(Kind.DATE, "start_date", "end_date"),
            *_of(Kind.DECIMAL, "budget", "actual_cost", "expected_revenue"),
            Field("is_active", Kind.BOOLEAN),
            _ref("parent_id", "campaign"),
        ),
    ),
    Entity(
        "opportunity",
        (
            Field("name", required=True),
            *_texts("kind", "source", "next_step", "description", "currency"),
            Field("forecast_category", follows="stage_id"),
            Field("loss_reason"),
            Field("amount", Kind.DECIMAL),
            *_of(Kind.DECIMAL, "probability", "expected_revenue", follows="stage_id"),
            Field("close_date", Kind.DATE),
            *_of(Kind.BOOLEAN, "is_closed", "is_won", follows="stage_id"),
            _ref("pipeline_id", "pipeline"),
            _ref("stage_id", "stage"),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            _ref("campaign_id", "campaign"),
            Field("tags", Kind.TEXT_LIST),
        ),
        indexes=(("close_date",),),
        several=(Several("contact_ids", "contact", "contact_id", labels="contact_roles"),),
    ),
    Entity(
        "stage_change",
        (
            _ref("opportunity_id", "opportunity", required=True),
            _ref("stage_id", "stage"),
            *_texts("stage_name", "forecast_category", "currency"),
            *_of(Kind.DECIMAL, "amount", "probability", "expected_revenue"),
            Field("close_date", Kind.DATE),
            Field("changed_at", Kind.TIMESTAMP),
        ),
        label_field="stage_name",
    ),
    Entity(
        "product",
        (
            Field("name", required=True),
            *_texts("code", "sku", "family", "description"),
            Field("currency", follows="unit_price"),
            Field("unit"),
            Field("unit_price", Kind.DECIMAL),
            Field("is_active", Kind.BOOLEAN),
        ),
        match_keys=(("code",),),
        indexes=(("code",),),
    ),
    Entity(
        "price",
        (
            _ref("product_id", "product", required=True),
            *_texts("price_book", "currency"),
            Field("unit_price", Kind.DECIMAL),
            *_of(Kind.BOOLEAN, "is_active", "is_standard"),
        ),
        label_field="price_book",
    ),
    Entity(
        "line_item",
        (
            _ref("opportunity_id", "opportunity"),
            _ref("product_id", "product"),
            _ref("price_id", "price"),
            Field("name", follows="product_id"),
            *_texts("description", "currency"),
            *_of(Kind.DECIMAL, "quantity", "unit_price"),
            Field("list_price", Kind.DECIMAL, follows="price_id"),
            Field("discount", Kind.DECIMAL),
            Field("total", Kind.DECIMAL, follows="unit_price"),
            Field("service_date", Kind.DATE),
            Field("position", Kind.INTEGER),
        ),
        parents=("opportunity_id", "product_id"),
    ),
    Entity(
        "ticket",
        (
            Field("subject"),
            *_texts("number", "description", "status", "priority", "origin", "kind", "reason"),
            Field("is_closed", Kind.BOOLEAN),
            Field("closed_at", Kind.TIMESTAMP),
            Field("is_escalated", Kind.BOOLEAN),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            _ref("parent_id", "ticket"),
            _ref("pipeline_id", "pipeline"),
            _ref("stage_id", "stage"),
        ),
        label_field="subject",
    ),
    Entity(
        "activity",
        (
            Field("kind", required=True),
            *_texts("subject", "body"),
            Field("body_format", follows="body"),
            *_texts("status", "priority", "direction", "location", "outcome"),
            *_of(Kind.TIMESTAMP, "starts_at", "ends_at"),
            Field("completed_at", Kind.TIMESTAMP, follows="status"),
            Field("reminder_at", Kind.TIMESTAMP),
            Field("due_date", Kind.DATE),
            Field("duration_s", Kind.INTEGER),
            Field("is_all_day", Kind.BOOLEAN),
            Field("is_closed", Kind.BOOLEAN, follows="status"),
            Field("is_private", Kind.BOOLEAN),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            _ref("lead_id", "lead"),
            _ref("opportunity_id", "opportunity"),
            _ref("ticket_id", "ticket"),
        ),
        label_field="subject",
        indexes=(("kind", "starts_at"),),
        several=(
            Several("contact_ids", "contact", "contact_id", led=True),
            Several("account_ids", "account", "account_id", moves=True),
            Several("opportunity_ids", "opportunity", "opportunity_id", moves=True),
            Several("ticket_ids", "ticket", "ticket_id", moves=True),
        ),
    ),
    Entity(
        "communication",
        (
            Field("kind", required=True),
            *_texts("subject", "body"),
            Field("body_format", follows="body"),
            *_texts("direction", "status", "thread_key", "message_key"),
            Field("participants", Kind.JSON),
            *_of(Kind.TIMESTAMP, "sent_at", "received_at", "opened_at"),
            Field("duration_s", Kind.INTEGER),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            _ref("lead_id", "lead"),
            _ref("opportunity_id", "opportunity"),
        ),
        label_field="subject",
        indexes=(("thread_key",), ("message_key",)),
    ),
    Entity(
        "calendar_event",
        (
            Field("subject"),
            *_texts(
                "description", "location", "status", "time_zone", "ical_uid", "recurrence", "meeting_url", "visibility"
            ),
            *_of(Kind.TIMESTAMP, "starts_at", "ends_at", "original_starts_at"),
            *_of(Kind.BOOLEAN, "is_all_day", "is_cancelled"),
            *_of(Kind.JSON, "attendees", "organizer"),
            _ref("series_id", "calendar_event"),
        ),
        label_field="subject",
        indexes=(("starts_at",), ("ical_uid",)),
    ),
    Entity(
        "invoice",
        (
            *_texts("number", "status", "currency", "description"),
            *_of(Kind.DECIMAL, "total", "tax", "balance"),
            *_of(Kind.DATE, "issued_on", "due_on"),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            Field("lines", Kind.JSON),
        ),
        label_field="number",
        indexes=(("number",),),
    ),
    Entity(
        "order",
        (
            *_texts("number", "status", "kind", "currency", "description"),
            *_of(Kind.DECIMAL, "total", "tax"),
            *_of(Kind.DATE, "ordered_on", "ends_on"),
            _ref("account_id", "account"),
            _ref("contact_id", "contact"),
            _ref("opportunity_id", "opportunity"),
            Field("lines", Kind.JSON),
        ),
        label_field="number",
        indexes=(("number",),),
    ),
    Entity(
        "payment",
        (
            *_texts("number", "status", "method", "currency", "description"),
            Field("amount", Kind.DECIMAL),
            Field("paid_at", Kind.TIMESTAMP),
            _ref("account_id", "account"),
            _ref("invoice_id", "invoice"),
            _ref("order_id", "order"),
        ),
        label_field="number",
    ),
    Entity(
        "attachment",
        (
            Field("name", required=True),
            *_texts("content_type", "extension", "description", "sha256", "kind", "version_label"),
            Field("size_bytes", Kind.INTEGER),
            Field("is_latest", Kind.BOOLEAN),
        ),
        indexes=(("sha256",),),
    ),
    Entity("custom_record", (Field("object_name", required=True), Field("name")), indexes=(("object_name", "name"),)),
)

SET_UP = frozenset({"user", "pipeline", "stage"})
"""What an admin sets a vendor up with: read from each, matched or stood in for, and never created or changed there."""

ENTITIES: Mapping[str, Entity] = MappingProxyType({e.name: e for e in _ALL})
"""Every canonical entity by name, parents before children where there is no cycle."""

_FIELDS: dict[str, dict[str, Field]] = {e.name: {f.name: f for f in (*e.fields, *STANDARD_FIELDS)} for e in _ALL}
_REFERENCES = {name: tuple(f for f in known.values() if f.kind is Kind.REFERENCE) for name, known in _FIELDS.items()}
