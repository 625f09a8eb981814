"""The frozen form of a mapping spec, as the TOML says it and before it is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.entities import ENTITIES, Kind
from domain.entities import Field as EntityField

ASSOCIATION: Final = "association"

ASSOCIATION_FIELDS: Final[Mapping[str, EntityField]] = {
    f.name: f
    for f in (
        EntityField("from_id", Kind.REFERENCE, required=True),
        EntityField("to_id", Kind.REFERENCE, required=True),
        EntityField("label"),
        EntityField("is_primary", Kind.BOOLEAN),
        EntityField("source_created_at", Kind.TIMESTAMP),
        EntityField("source_updated_at", Kind.TIMESTAMP),
    )
}
"""What a junction object maps to: two ends, a label, and which association of several is the main one."""


def fields_of(entity: str) -> Mapping[str, EntityField]:
    """Canonical fields by name of an entity or of `association`. Raises KeyError."""
    return ASSOCIATION_FIELDS if entity == ASSOCIATION else ENTITIES[entity].all_fields


Direction = Literal["both", "in", "out"]
OnError = Literal["keep", "reject"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FieldLine(_Frozen):
    """One line of ``[fields]``: a canonical field, where it comes from and by which transform.

    ``direction``: "in" is only read, "out" only written. ``on_error``: what an unreadable value does ("keep" leaves the field
    blank, keeps the raw value in custom_fields and warns; "reject" refuses the record). ``blank``: source values that mean
    nothing. ``default``: canonical value where the source is blank. ``objects``: vendor objects a reference may point to.
    """

    sources: tuple[str, ...]
    via: str
    direction: Direction = "both"
    on_error: OnError = "keep"
    values: Mapping[str, str] = Field(default_factory=dict)
    blank: tuple[str, ...] = ()
    default: Any = None
    objects: tuple[str, ...] = ()
    options: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def reads(self) -> bool:
        return self.direction != "out"

    @property
    def writes(self) -> bool:
        return self.direction != "in"


class LinkLine(_Frozen):
    """One ``[[links]]`` entry: a lookup that becomes an association row instead of a column.

    ``separator``: the source lists several ids, with this between them. ``alias``: not an association but another name of the
    record itself, which goes by this id of ``objects[0]``, too, in rows whose fields have one of the values of ``when``.
    """

    label: str
    source: str
    objects: tuple[str, ...] = ("*",)
    via: str = "reference"
    separator: str = ""
    alias: bool = False
    when: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)


class CustomRule(_Frozen):
    """What becomes of source fields that no line names. ``reason`` is required to leave them out."""

    unmapped: Literal["custom_fields", "ignore"] = "custom_fields"
    reason: str = ""
    rename: Mapping[str, str] = Field(default_factory=dict)


class MappingSpec(_Frozen):
    """One vendor object as one canonical entity.

    ``id`` and ``version`` name the vendor's id and change-stamp fields; ``only`` keeps records whose field has one of the
    values; ``ignore`` gives for each source field left out the reason. ``creates``: canonical fields with the values of which a
    hub record must have one for the object to be made of it. ``fallback``: source fields that are written from a canonical
    field where they would be blank.
    """

    vendor: str
    object: str
    entity: str
    id: str
    id_via: str = "text"
    version: str | None = None
    fields: Mapping[str, FieldLine] = Field(default_factory=dict)
    constants: Mapping[str, Any] = Field(default_factory=dict)
    ignore: Mapping[str, str] = Field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    creates: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    fallback: Mapping[str, str] = Field(default_factory=dict)
    custom: CustomRule = Field(default_factory=CustomRule)
    links: tuple[LinkLine, ...] = ()

    @property
    def mapped_sources(self) -> tuple[str, ...]:
        """Source fields that a line or a link reads or writes, each once."""
        names = [s for line in self.fields.values() for s in line.sources] + [link.source for link in self.links]
        return tuple(dict.fromkeys(names))
