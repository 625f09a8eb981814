"""Named transforms: the vocabulary of mapping specs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.entities import Kind
from mappings.transforms import compound, dates, email, numbers, phone, references, text
from mappings.transforms.base import Transform

VERSION: Final = 1
"""Raised when a transform begins to give another result, so that records are mapped again."""

_MODULES = (text, email, phone, numbers, dates, references, compound)

REGISTRY: Mapping[str, Transform] = MappingProxyType({t.name: t for module in _MODULES for t in module.TRANSFORMS})

DEFAULTS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.TEXT: "text",
        Kind.EMAIL: "email",
        Kind.PHONE: "phone",
        Kind.URL: "url",
        Kind.INTEGER: "integer",
        Kind.DECIMAL: "decimal",
        Kind.BOOLEAN: "boolean",
        Kind.DATE: "date",
        Kind.TIMESTAMP: "timestamp",
        Kind.JSON: "json",
        Kind.TEXT_LIST: "multi_picklist",
        Kind.REFERENCE: "reference",
    }
)
"""The transform of a field whose line names none."""
