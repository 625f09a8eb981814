"""Telephone numbers to E.164: a cheap test settles the ordinary ones, `phonenumbers` the rest.

The cheap test answers only where the library's own metadata leaves no choice; a property test holds the two together.
Numbers count when their length is possible in their country: whether a number is *in service* changes with every
release of the metadata, and a migration must not lose a number to that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import phonenumbers
from phonenumbers import PhoneMetadata

from domain.entities import Kind
from mappings.transforms.base import Bound, Flaw, Option, Settings, Transform, UnreadableValueError
from mappings.transforms.text import same, to_text

_PUNCTUATION: Final = str.maketrans("", "", " ()-.")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_MARKS = re.compile(r"(?:ext(?:ension|n)?|tel|phone|x)\b\.?", re.IGNORECASE)
_NORTH_AMERICA: Final = frozenset(("US", "CA"))
_AMERICAN = re.compile(r"(?:\+?1)?([2-9][0-9]{9})").fullmatch
_CODES: Final[frozenset[str]] = frozenset(str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the cheap test must know of one country's numbers."""

    code: str
    lengths: frozenset[int]
    longest: int
    prefix: re.Pattern[str] | None
    simple_prefix: bool
    viable: re.Pattern[str]
    idd: re.Pattern[str] | None


@lru_cache(maxsize=512)
def _plan(code: str, region: str) -> _Plan | None:
    if region == "001":
        metadata = PhoneMetadata.metadata_for_nongeo_region(int(code), None)
    else:
        metadata = PhoneMetadata.metadata_for_region(region, None)
    general = metadata.general_desc if metadata is not None else None
    if metadata is None or general is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    pattern = re.compile(prefix) if prefix else None
    lengths = general.possible_length
    return _Plan(
        code=code,
        lengths=frozenset(lengths),
        longest=max(lengths),
        prefix=pattern,
        simple_prefix=pattern is not None and not pattern.groups and not metadata.national_prefix_transform_rule,
        viable=re.compile(general.national_number_pattern or r"\d+"),
        idd=re.compile(metadata.international_prefix) if metadata.international_prefix else None,
    )


@lru_cache(maxsize=512)
def _main(code: str) -> _Plan | None:
    return _plan(code, phonenumbers.region_code_for_country_code(int(code)))


@lru_cache(maxsize=512)
def _home(region: str) -> _Plan | None:
    code = phonenumbers.country_code_for_region(region)
    return _plan(str(code), region) if code else None


def cheap_phone(text: str, region: str) -> str | None:
    """E.164 where it is certain without parsing; None where the library must decide."""
    digits = text.translate(_PUNCTUATION)
    if region in _NORTH_AMERICA and (match := _AMERICAN(digits)):
        return "+1" + match[1]
    if digits[:1] == "+":
        return _international(digits[1:])
    if not (digits.isascii() and digits.isdigit()) or not 5 < len(digits) < 16:
        return None
    home = _home(region)
    return _national(digits, home) if home else None


def _international(digits: str) -> str | None:
    if not (digits.isascii() and digits.isdigit()) or not 5 < len(digits) < 16:
        return None
    code = digits[:1] if digits[0] in "17" else digits[:2] if digits[:2] in _CODES else digits[:3]
    plan = _main(code) if code in _CODES else None
    if plan is None:
        return None
    rest = digits[len(code) :]
    if len(rest) not in plan.lengths or (plan.prefix and plan.prefix.match(rest)) or not rest.strip("0"):
        return None
    return "+" + digits


def _national(digits: str, home: _Plan) -> str | None:
    if home.idd and home.idd.match(digits):
        return None
    main = _main(home.code)
    if digits.startswith(home.code):
        if len(digits) > home.longest and len(digits) > len(home.code) + 4:
            return _international(digits) if main == home else None
        return None
    rest = digits
    if home.prefix and (match := home.prefix.match(digits)):
        if not home.simple_prefix or home.viable.fullmatch(digits):
            return None
        rest = digits[match.end() :]
    if main is None or len(rest) not in home.lengths or len(rest) not in main.lengths or not rest.strip("0"):
        return None
    if main.prefix and main.prefix.match(rest):
        return None
    return f"+{home.code}{rest}"


def careful_phone(text: str, region: str) -> str:
    """E.164 (with ``;ext=``) by the library. Raises UnreadableValueError.

    What would be read as another number next time (``000000`` in Germany) is no number: a canonical value must stay itself.
    """
    found = _parsed(text, region)
    if _parsed(found, region) != found:
        raise UnreadableValueError("not_a_phone", "is not a telephone number of its country")
    return found


def _parsed(text: str, region: str) -> str:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise UnreadableValueError("not_a_phone", "is not a telephone number") from None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise UnreadableValueError(
            "not_a_phone", "has too few or too many digits for a telephone number of its country"
        )
    result = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return f"{result};ext={number.extension}" if number.extension else result


def _region(settings: Settings) -> str:
    return str(settings.get("country") or settings.context.default_country)


def to_phone(value: Any, settings: Settings) -> Any:
    """The number in E.164; an extension follows as ``;ext=12`` (RFC 3966)."""
    text = to_text(value, settings)
    if text is None:
        return None
    region = _region(settings)
    number = cheap_phone(text, region) or careful_phone(text, region)
    if _WORDS.search(_MARKS.sub("", text)):
        return Flaw(number, "phone_with_words", "holds words beside the number", (0,))
    return number


def _bare(values: Sequence[Any]) -> Sequence[str]:
    """Every text without punctuation. All at once: a call for each costs more than the work."""
    try:
        found = "\n".join(values).translate(_PUNCTUATION).split("\n")
    except TypeError:
        found = []
    if len(found) == len(values):
        return found
    return [v.translate(_PUNCTUATION) if v.__class__ is str else "" for v in values]


_never = re.compile(r"(?!)").fullmatch


def phone_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_phone` of a column of storable texts."""
    region, memo, scalar = _region(bound.settings), bound.memo, bound.scalar
    american = _AMERICAN if region in _NORTH_AMERICA else _never
    result: list[Any] = []
    append = result.append
    for value, digits in zip(values, _bare(values), strict=True):
        if value.__class__ is str:
            if not value:
                append(None)
            elif match := american(digits):
                append("+1" + match[1])
            else:
                append(cheap_phone(value, region) or memo[value])
        else:
            append(None if value is None else scalar(value))
    return result


TRANSFORMS = (
    Transform(
        "phone",
        "A telephone number in E.164; an extension follows as `;ext=12`. National numbers are read in the default country.",
        frozenset({Kind.PHONE, Kind.TEXT}), to_phone, same, column=phone_column,
        options={"country": Option(str, "ISO 3166 code of the country in which national numbers are read")},
        loss="punctuation and letters used as digits; words beside the number are kept in `custom_fields`",
    ),
)  # fmt: skip
