"""One source value that is several fields (a full name, an address object), and several sources that are one field."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

import nh3
import pycountry

from domain.entities import Kind
from mappings.transforms.base import Flaw, Option, Settings, Transform, UnreadableValueError, is_blank, words
from mappings.transforms.text import same, to_text

_TEXT: Final = frozenset({Kind.TEXT})

# ---------------------------------------------------------------- names

_PARTICLES: Final = words("van von der den de del della di da dos das du la le bin ibn al el ter ten zu zur af av")
_SUFFIXES: Final = words("jr sr ii iii iv phd md mba esq dds cpa")


def split_name(text: str) -> tuple[str | None, str | None]:
    """Given and family name of a full one: `Ada Lovelace`, `Lovelace, Ada`, `Ludwig van Beethoven`, `Sammy Davis, Jr.`"""
    text = " ".join(text.split())
    before, comma, after = (part.strip() for part in text.partition(","))
    if comma and before and after and not _is_suffix(after):
        return after, before
    words = before.split(" ") if before else []
    if not words:
        return None, text or None
    cut = _family_start(words)
    family = " ".join(words[cut:]) + (f", {after}" if comma and after else "," if comma else "")
    return " ".join(words[:cut]) or None, family


def _is_suffix(text: str) -> bool:
    return all(re.sub(r"[.\s]", "", part).casefold() in _SUFFIXES for part in text.split(","))


def _family_start(words: list[str]) -> int:
    last = len(words) - 1
    while last > 1 and re.sub(r"\.", "", words[last]).casefold() in _SUFFIXES:
        last -= 1
    while last > 0 and words[last - 1].casefold() in _PARTICLES:
        last -= 1
    return last


def join_name(first: str | None, last: str | None) -> str | None:
    """The full name that `split_name` takes apart into just these two."""
    plain = " ".join(part for part in (first, last) if part)
    if not plain or split_name(plain) == (first, last):
        return plain or None
    return f"{last}, {first}" if first and last else plain


def to_name_part(value: Any, settings: Settings) -> str | None:
    """One part of a full name."""
    text = to_text(value, settings)
    if text is None:
        return None
    return split_name(text)[0 if settings.options["part"] == "first" else 1]


def combine_name(parts: Mapping[str, Any], _settings: Settings) -> str | None:
    """The full name of its parts."""
    return join_name(parts.get("first"), parts.get("last"))


def part_alone(value: Any, settings: Settings) -> Any:
    """What a compound source gets when only one of its parts is mapped."""
    return {settings.options["part"]: value}


def to_joined(value: tuple[Any, ...], settings: Settings) -> Any:
    """Several texts as one, blanks left out."""
    texts = [t for v in value if not is_blank(v) and (t := to_text(v, settings))]
    return str(settings.get("separator", " ")).join(texts) or None


def from_joined(value: Any, settings: Settings) -> tuple[Any, ...]:
    """The text divided again; what is left over stands in the last source."""
    count = int(settings.options["sources"])
    separator = str(settings.get("separator", " "))
    pieces: list[Any] = (
        str(value).rsplit(separator, count - 1) if count == 2 else str(value).split(separator, count - 1)
    )
    return (*[None] * (count - len(pieces)), *pieces) if count == 2 else (*pieces, *[None] * (count - len(pieces)))


# ---------------------------------------------------------------- addresses

_PARTS: Final = ("street", "city", "region", "postal_code", "country")
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "street": ("street", "street1", "address1", "line1"),
    "city": ("city", "locality"),
    "region": ("state", "region", "stateCode", "province"),
    "postal_code": ("postalCode", "postal_code", "zip", "zipCode"),
    "country": ("country", "countryCode", "country_code"),
}


def to_address_part(value: Any, settings: Settings) -> str | None:
    """One part of an address that the vendor sends as an object."""
    if not isinstance(value, dict):
        raise UnreadableValueError("not_an_address", "is not an address with parts")
    found = next((value[k] for k in _KEYS[settings.options["part"]] if not is_blank(value.get(k))), None)
    return None if found is None else to_text(found, settings)


def combine_address(parts: Mapping[str, Any], _settings: Settings) -> dict[str, Any] | None:
    """The address object of its parts, under the first name that each part goes by."""
    found = {_KEYS[part][0]: text for part, text in parts.items() if text is not None}
    return found or None


def to_country(value: Any, settings: Settings) -> Any:
    """The ISO 3166 alpha-2 code of a country named in English, by code or by its official name."""
    text = to_text(value, settings)
    if text is None:
        return None
    word = _COUNTRY_WORDS.get(text.casefold().replace(".", ""), text)
    try:
        return str(pycountry.countries.lookup(word).alpha_2)
    except LookupError:
        return Flaw(text, "unknown_country", "names a country that is not in ISO 3166; the text stays as it is", ())


_COUNTRY_WORDS: Final[Mapping[str, str]] = {
    "usa": "US", "us": "US", "uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "deutschland": "DE",
    "schweiz": "CH", "suisse": "CH", "österreich": "AT", "españa": "ES", "italia": "IT", "brasil": "BR", "méxico": "MX",
    "russia": "RU", "south korea": "KR", "vietnam": "VN", "turkey": "TR", "holland": "NL", "the netherlands": "NL",
}  # fmt: skip


# ---------------------------------------------------------------- rich text

_BLOCK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^>]*>", re.IGNORECASE)
BODY: Final = "body"
FORMAT: Final = "body_format"
_FORMATS: Final = frozenset({"text", "html"})
_LOOKS_HTML = re.compile(r"<(?:[a-zA-Z!/])|&(?:[a-zA-Z]+|#\d+);")


def to_rich_text(value: Any, settings: Settings) -> str | None:
    """HTML without scripts, styles and event handlers."""
    text = to_text(value, settings)
    return None if text is None else nh3.clean(text).strip() or None


def to_plain_text(value: Any, settings: Settings) -> str | None:
    """The text of HTML, one line for each block."""
    text = to_text(value, settings)
    if text is None or not _LOOKS_HTML.search(text):
        return text
    return html.unescape(nh3.clean(_BLOCK.sub("\n", text), tags=set())).strip() or None


def from_plain_text(value: Any, _settings: Settings) -> str:
    """HTML that shows the text."""
    return html.escape(str(value), quote=False).replace("\n", "<br>")


def in_format(record: Mapping[str, Any], wanted: str | None) -> Mapping[str, Any]:
    """The record with its body as ``wanted`` (text or html), where it is kept as the other of the two."""
    body, kept = record.get(BODY), record.get(FORMAT)
    if wanted is None or not isinstance(body, str) or kept not in _FORMATS or kept == wanted:
        return record
    convert = from_plain_text if wanted == "html" else to_plain_text
    return {**record, BODY: convert(body, Settings()), FORMAT: wanted}


def _part(*names: str) -> Mapping[str, Option]:
    return {"part": Option(str, "which part this field holds", required=True, choices=names)}


TRANSFORMS = (
    Transform(
        "name_part", "Given (`first`, with middle names) or family (`last`, with particles and suffix) part of a full name.",
        _TEXT, to_name_part, part_alone, combine=combine_name, options=_part("first", "last"),
        loss="repeated spaces; whether the family name stood first",
    ),
    Transform(
        "join", "Several texts as one.", _TEXT, to_joined, from_joined, multi=True,
        options={"separator": Option(str, "what stands between them; a space unless given")},
        loss="where one text ended and the next began, if they contain the separator",
    ),
    Transform(
        "address_part", "One part of an address that comes as an object.", _TEXT, to_address_part, part_alone,
        combine=combine_address, options=_part(*_PARTS), loss="the vendor's own key names and parts that have no field",
    ),
    Transform(
        "country", "A country as its ISO 3166 alpha-2 code; an unknown one stays as it is, with a warning.",
        _TEXT, to_country, same,
        loss="the words used for the country",
    ),
    Transform(
        "rich_text", "HTML, sanitised.", _TEXT, to_rich_text, same,
        loss="scripts, styles, event handlers and unknown tags",
    ),
    Transform(
        "plain_text", "The plain text of HTML.", _TEXT, to_plain_text, from_plain_text,
        loss="formatting, links and images",
    ),
)  # fmt: skip
