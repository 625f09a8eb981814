"""References by vendor id. A reference column holds the id as text; who it points to is looked up after staging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from domain.entities import Kind
from mappings.transforms.base import Bound, Flaw, Option, Settings, Transform, is_blank
from mappings.transforms.text import mixed_column, same, stripped, to_text

_REFERENCE: Final = frozenset({Kind.REFERENCE})
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def salesforce_18(text: str) -> str:
    """The 18-character form of a Salesforce id; reports and old exports hold the case-sensitive 15-character one.

    The three added characters tell which letters are capitals.
    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm
    """
    if len(text) != 15 or not (text.isascii() and text.isalnum()):
        return text
    marks = (sum(1 << i for i, c in enumerate(text[start : start + 5]) if c.isupper()) for start in (0, 5, 10))
    return text + "".join(_ALPHABET[mark] for mark in marks)


def to_reference(value: Any, settings: Settings) -> str | None:
    """The id as text, if its prefix is wanted here."""
    text = to_text(value, settings)
    return text if text is not None and _wanted(text, settings) else None


def to_salesforce_reference(value: Any, settings: Settings) -> str | None:
    """As `to_reference`, with 15-character ids completed to 18."""
    text = to_text(value, settings)
    if text is None:
        return None
    text = salesforce_18(text)
    return text if _wanted(text, settings) else None


def _wanted(text: str, settings: Settings) -> bool:
    wanted, unwanted = settings.get("prefixes"), settings.get("except_prefixes")
    return (not wanted or text.startswith(tuple(wanted))) and not (unwanted and text.startswith(tuple(unwanted)))


def reference_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_reference` of a column of storable texts."""
    if bound.settings.options:
        return bound.by_memo(values)
    return stripped(values) or mixed_column(bound, values)


def salesforce_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_salesforce_reference` of a column of storable texts."""
    scalar = bound.scalar
    starts = tuple(bound.settings.get("prefixes") or ())
    if bound.settings.get("except_prefixes"):
        return bound.by_memo(values)
    if not starts and (found := _complete(values)):
        return found
    return [
        None
        if v is None or v == ""
        else ((v if v.startswith(starts) else None) if starts else v)
        if v.__class__ is str and len(v) == 18 and v.isalnum()
        else scalar(v)
        for v in values
    ]


def _complete(values: Sequence[Any]) -> list[Any] | None:
    """The ids themselves where all of them have 18 characters already, the empty ones None; else None."""
    try:
        whole = "".join(values).isalnum() and set(map(len, values)) <= {0, 18}
    except TypeError:
        return None
    return [v or None for v in values] if whole else None


def to_first(value: tuple[Any, ...], settings: Settings) -> Any:
    """The first source that holds something; the others that do are kept."""
    filled = [i for i, v in enumerate(value) if not is_blank(v)]
    text = to_text(value[filled[0]], settings)
    rest = tuple(filled[1:])
    separator = settings.get("separator")
    if separator and text and separator in text:
        text = next((part.strip() for part in text.split(separator) if part.strip()), None)
        rest = tuple(filled)
    return Flaw(text, "", "", rest) if rest else text


def from_first(value: Any, settings: Settings) -> tuple[Any, ...]:
    """The source whose prefix fits, else the first one."""
    prefixes = settings.get("prefixes") or ()
    place = next((i for i, prefix in enumerate(prefixes) if str(value).startswith(prefix)), 0)
    return tuple(value if i == place else None for i in range(settings.options["sources"]))


_PREFIXES = {
    "prefixes": Option(tuple, "only ids that begin with one of these are meant; others leave the field blank"),
    "except_prefixes": Option(tuple, "ids that begin with one of these leave the field blank"),
}

TRANSFORMS = (
    Transform(
        "reference", "The vendor id of another record.", _REFERENCE, to_reference, same, options=_PREFIXES,
        column=reference_column, loss="nothing where the prefix is wanted",
    ),
    Transform(
        "salesforce_reference", "A Salesforce id; 15-character ids are completed to 18.", _REFERENCE,
        to_salesforce_reference, same, options=_PREFIXES, column=salesforce_column,
        loss="whether the id was written with 15 or 18 characters",
    ),
    Transform(
        "first_reference", "The first of several reference fields that is filled.", _REFERENCE, to_first, from_first, multi=True,
        options={
            "prefixes": Option(tuple, "id prefix of each source, in order: tells where an id goes back to"),
            "separator": Option(str, "a source may list several ids with this between them; the first is meant"),
        },
        loss="which sources were filled beside the first; their values are kept in `custom_fields`",
    ),
    Transform(
        "first_of", "The first of several fields that is filled.", frozenset({Kind.TEXT}), to_first, from_first, multi=True,
        loss="which sources were filled beside the first; their values are kept in `custom_fields`",
    ),
)  # fmt: skip
