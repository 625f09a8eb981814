"""Texts: plain ones, addresses on the web, choices, sets of choices, JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from domain.entities import Kind
from mappings.transforms.base import Bound, Option, Settings, Transform, UnreadableValueError, clean

_TEXT: Final = frozenset({Kind.TEXT})


# ---------------------------------------------------------------- text


def to_text(value: Any, _settings: Settings) -> str | None:
    """Any scalar as the text a person would write: 94105.0 from a spreadsheet is 94105."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (dict, list)):
        return dump_json(value)
    return str(value)


def same(value: Any, _settings: Settings) -> Any:
    """The canonical value is the vendor's."""
    return value


def text_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_text` of a column of storable texts."""
    return stripped(values) or mixed_column(bound, values)


def stripped(values: Sequence[Any]) -> list[Any] | None:
    """Texts without surrounding space, the empty ones None; None unless all of ``values`` are texts."""
    try:
        texts: list[Any] = list(map(str.strip, values))
    except TypeError:
        return None
    return [text or None for text in texts] if "" in texts else texts


def mixed_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """Texts without surrounding space among other values."""
    scalar = bound.scalar
    return [(v.strip() or None) if v.__class__ is str else (None if v is None else scalar(v)) for v in values]


def dump_json(value: Any) -> str:
    """Compact JSON; dates and decimals as texts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


# ---------------------------------------------------------------- web

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=//)|(javascript|data|vbscript|file):", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@\s]*@)?(\[[0-9a-f:.]+\]|[^/:?#\s]+)", re.IGNORECASE)
_UNSAFE: Final = frozenset({"javascript", "data", "vbscript", "file"})


def to_url(value: Any, settings: Settings) -> str | None:
    """A web address as written; its scheme in lower case."""
    text = to_text(value, settings)
    if text is None:
        return None
    if any(c.isspace() for c in text):
        raise UnreadableValueError("not_a_url", "is not a web address (it contains a space)")
    if match := _SCHEME.match(text):
        scheme = (match[1] or match[2]).lower()
        if scheme in _UNSAFE:
            raise UnreadableValueError("unsafe_url", "holds an address that could run a script when clicked")
        return scheme + text[len(scheme) :]
    return text


def to_domain(value: Any, settings: Settings) -> str | None:
    """The host of a web or e-mail address, without www: what tells two companies of one name apart."""
    text = to_text(value, settings)
    if text is None:
        return None
    match = _HOST.match(text.rsplit("@", 1)[-1] if "@" in text and "/" not in text else text)
    host = match[1].lower().rstrip(".") if match else ""
    host = host.removeprefix("www.")
    return host if "." in host.strip(".") else None


# ---------------------------------------------------------------- choices


def to_choice(value: Any, settings: Settings) -> str | None:
    """A picklist value by its table; one that is not in the table stays as it is."""
    text = to_text(value, settings)
    if text is None or not settings.values:
        return text
    if text in settings.values:
        return settings.values[text]
    return _folded(tuple(settings.values.items())).get(text.casefold(), text)


def from_choice(value: Any, settings: Settings) -> Any:
    """The first vendor value that the table gives for a canonical one."""
    return _inverse(tuple(settings.values.items())).get(value, value)


@lru_cache(maxsize=512)
def _folded(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {vendor.casefold(): canonical for vendor, canonical in reversed(pairs)}


@lru_cache(maxsize=512)
def _inverse(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return {canonical: vendor for vendor, canonical in reversed(pairs)}


def to_choices(value: Any, settings: Settings) -> list[str] | None:
    """A set of choices, sorted: multi-select picklists and tags."""
    separator = settings.get("separator", ";")
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = [text for item in items if item is not None and (text := to_text(item, settings))]
    found = {choice for text in texts for part in text.split(separator) if (choice := to_choice(part, settings))}
    return sorted(found) or None


def from_choices(value: Any, settings: Settings) -> str:
    """The choices joined by the separator."""
    return str(settings.get("separator", ";")).join(str(from_choice(v, settings)) for v in value)


def from_excerpt(value: str, settings: Settings) -> str:
    """The text, its end replaced by an ellipsis where it is longer than ``length``: in UTF-16, as Java counts."""
    units, length = value.encode("utf-16-le", "ignore"), settings.get("length")
    if length is None or len(units) <= 2 * length:
        return value
    return units[: 2 * (length - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


# ---------------------------------------------------------------- JSON


def to_json(value: Any, _settings: Settings) -> Any:
    """A JSON value, native or written as text."""
    if isinstance(value, str):
        try:
            value = clean(json.loads(value))
        except (ValueError, RecursionError):
            raise UnreadableValueError("not_json", "is not JSON") from None
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        raise UnreadableValueError("not_json", "cannot be written as JSON") from None
    if not _finite(value):
        raise UnreadableValueError("not_json", "holds a number that JSON does not know (NaN or infinity)")
    return json.loads(text)


def from_json(value: Any, _settings: Settings) -> Any:
    """The value; a text as the JSON that spells it, because a bare text is read as JSON."""
    return dump_json(value) if isinstance(value, str) else value


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, (list, tuple)) else True


_SEPARATOR = {"separator": Option(str, "what stands between two values; `;` unless given")}

TRANSFORMS = (
    Transform(
        "text", "A text; numbers and dates become the text a person would write.", _TEXT | {Kind.URL}, to_text, same,
        loss="white space around the text", column=text_column,
    ),
    Transform(
        "excerpt", "A text of which the vendor's field may hold less: the same as `text`, and cut where it goes back.",
        _TEXT, to_text, from_excerpt, options={"length": Option(int, "how many characters the vendor's field holds")},
        loss="white space around the text; what is longer than the field", column=text_column,
    ),
    Transform(
        "url", "A web address, with or without its scheme. Addresses that run scripts are refused.",
        frozenset({Kind.URL, Kind.TEXT}), to_url, same, loss="white space around it; capitals in the scheme",
    ),
    Transform(
        "domain", "The internet domain of a web or e-mail address; blank where it names none.", _TEXT, to_domain, same,
        loss="everything but the host name, and a leading www.: map it beside the address itself",
    ),
    Transform(
        "picklist", "One of a list of values, renamed by the `values` table. A value that the table lacks stays as it is.",
        _TEXT, to_choice, from_choice, takes_values=True,
        loss="values that the table renames to one word come back as the first of them; capitals",
    ),
    Transform(
        "multi_picklist", "Several values in one field, as a set.", frozenset({Kind.TEXT_LIST}), to_choices, from_choices,
        takes_values=True, options=_SEPARATOR, loss="order and repetitions; a value that contains the separator is split",
    ),
    Transform(
        "json", "A JSON value, native or as text.", frozenset({Kind.JSON}), to_json, from_json,
        loss="white space and the order in which JSON text was written; a text becomes the value it spells",
    ),
)  # fmt: skip
