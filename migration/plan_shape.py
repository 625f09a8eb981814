"""The shape of a plan file. Unknown keys and wrong types are errors, so that a misspelt line is not silently without effect."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain.entities import Kind
from migration.plan_model import FieldUse, SkipReason, Survivor

FORMAT: Final = 1
CREATE: Final = "create"
"""Stands for the hub user of an owner who has none yet."""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Head(Table):
    format: Literal[1]
    vendor: str
    remote_account: str
    display_name: str = ""
    catalog_fingerprint: str
    created_at: datetime | None = Field(default=None, strict=False)
    approved: str = ""


class Defaults(Table):
    country: str
    currency: str
    time_zone: str


class FieldRow(Table):
    use: FieldUse = Field(strict=False)
    kind: Kind = Field(strict=False)
    to: list[str] = []
    why: str = ""
    fill: float | None = None
    refers_to: list[str] = []
    found: float | None = None


class ObjectTable(Table):
    object: str
    label: str = ""
    migrate: bool
    reason: SkipReason | None = Field(default=None, strict=False)
    why: str = ""
    entity: str = ""
    records: int | None = None
    mapping: str = ""
    match_rules: list[list[str]] = []
    survivor: Survivor = Field(default=Survivor.OLDEST, strict=False)
    blank_fill: bool = True
    aliases: dict[str, str] = {}
    spec: str = ""
    override: str = ""
    fields: dict[str, FieldRow] = {}


class OwnerTable(Table):
    id: str
    email: str = ""
    name: str = ""
    active: bool = True
    hub_user: str = CREATE


class StageRow(Table):
    name: str
    probability: float | int | None = None
    won: bool | None = None
    closed: bool | None = None
    active: bool = True


class PipelineTable(Table):
    name: str
    found_in: str
    stages: list[StageRow] = []


class Document(Table):
    plan: Head
    defaults: Defaults
    objects: list[ObjectTable] = []
    owners: list[OwnerTable] = []
    pipelines: list[PipelineTable] = []
