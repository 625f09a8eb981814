"""Numbers, money and yes/no."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

import pycountry

from domain.entities import Kind
from mappings.transforms.base import Bound, Option, Settings, Transform, UnreadableValueError, words
from mappings.transforms.text import same, to_text

_EXACT: Final = Context(prec=2000)
_MAX_EXPONENT: Final = 500
_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?").fullmatch
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,4}").fullmatch
_MONEY_NOISE = re.compile(r"[$€£¥₹₽₩₺₴₪฿%]|(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])|(?<![A-Za-z])(?:CHF|Fr\.|kr\.?|R\$|zł)")
_GROUPING = re.compile(r"(?<=\d)[\s'’_](?=\d{3}(?!\d))|(?<!\d)\s+|\s+(?!\d)")
_GROUPED_COMMA = re.compile(r"\d{1,3}(?:,\d{2,3})+").fullmatch
_INT64: Final = (-(1 << 63), (1 << 63) - 1)
_SYMBOLS: Final = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "₴": "UAH",
    "₪": "ILS",
    "฿": "THB",
}


def exact(value: Decimal) -> Decimal:
    """The same number in one form: no trailing zeros, no exponent, no negative zero. Raises UnreadableValueError."""
    if not value.is_finite():
        raise UnreadableValueError("not_a_number", "is not a finite number")
    if not value:
        return Decimal(0)
    if abs(value.adjusted()) > _MAX_EXPONENT or len(value.as_tuple().digits) > 2 * _MAX_EXPONENT:
        raise UnreadableValueError("number_out_of_range", f"has more than {_MAX_EXPONENT} digits")
    reduced = value.normalize(_EXACT)
    exponent = reduced.as_tuple().exponent
    return reduced.quantize(Decimal(1), context=_EXACT) if isinstance(exponent, int) and exponent > 0 else reduced


def to_decimal(value: Any, settings: Settings) -> Decimal | None:
    """A number or an amount of money, written as software or as people write it: 1234.5, $1,234.50, 1.234,50 €, (500)."""
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, bool):
        raise UnreadableValueError("not_a_number", "is yes or no, not a number")
    if isinstance(value, int):
        return exact(Decimal(value))
    if isinstance(value, float):
        return exact(Decimal(repr(value)))
    if not isinstance(value, str):
        raise UnreadableValueError("not_a_number", "is not a number")
    return exact(_written(value.strip(), settings.get("decimal") or settings.format))


_CANONICAL = re.compile(r"[1-9][0-9]{0,17}(?:\.[0-9]{0,17}[1-9])?").fullmatch


def decimal_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_decimal` of a column: what is written in its one form already is read at once, the rest through the memo."""
    if (bound.settings.get("decimal") or bound.settings.format) == ",":
        return bound.by_memo(values)
    memo, scalar = bound.memo, bound.scalar
    return [
        (Decimal(v) if _CANONICAL(v) else memo[v]) if v.__class__ is str else (None if v is None else scalar(v))
        for v in values
    ]


def _written(text: str, mark: str) -> Decimal:
    if text.isascii() and len(text) < 4000 and (_SCIENTIFIC(text) or (_PLAIN(text) and mark != ",")):
        return Decimal(text)
    negative, digits = _unsigned(_GROUPING.sub("", _MONEY_NOISE.sub("", text)))
    digits = _point(digits, mark)
    if not (digits.isascii() and len(digits) < 4000 and _PLAIN(digits)) or digits[0] in "+-":
        raise UnreadableValueError("not_a_number", "is not a number")
    try:
        return Decimal(f"-{digits}" if negative else digits)  # unary minus would round to 28 digits
    except InvalidOperation:
        raise UnreadableValueError("not_a_number", "is not a number") from None


def _unsigned(text: str) -> tuple[bool, str]:
    """Accountants' signs: (500), -500, 500- and the typographic minus."""
    text = text.replace("\u2212", "-")
    if text.startswith("(") and text.endswith(")"):
        return True, text[1:-1]
    if text.endswith("-") or text.startswith("-"):
        return True, text.strip("-") if text.count("-") == 1 else text
    return False, text.removeprefix("+")


def _point(text: str, mark: str) -> str:
    """``text`` with a point as its only mark. Without ``mark``, the later of two kinds of marks is the decimal one."""
    points, commas = text.count("."), text.count(",")
    if not mark:
        if points and commas:
            mark = max(".,", key=text.rfind)
        elif commas:
            mark = "." if commas > 1 or (_GROUPED_COMMA(text) and not text.startswith("0")) else ","
        else:
            mark = "," if points > 1 else "."
    grouping = "," if mark == "." else "."
    whole, found, fraction = text.rpartition(mark) if mark in text else (text, "", "")
    groups = whole.split(grouping)
    if mark in whole or grouping in fraction or any(len(g) not in (2, 3) for g in groups[1:]) or not groups[0]:
        if not (whole == "" and fraction):
            return "?"
        groups = ["0"]
    return "".join(groups) + ("." + fraction if found and fraction else "")


def from_decimal(value: Any, settings: Settings) -> Any:
    """A JSON number where one is exact, otherwise the digits as text. With a decimal comma: always as text."""
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if (settings.get("decimal") or settings.format) == ",":
        return format(number, "f").replace(".", ",")
    if number == number.to_integral_value(context=_EXACT) and abs(number) < 1 << 53:
        return int(number)
    approximate = float(number)
    return approximate if math.isfinite(approximate) and Decimal(repr(approximate)) == number else format(number, "f")


def to_percent(value: Any, settings: Settings) -> Decimal | None:
    """A share of one (0.25) as percent (25)."""
    number = to_decimal(value, settings)
    if number is None or (isinstance(value, str) and "%" in value):
        return number
    return exact(_EXACT.multiply(number, Decimal(100)))


def from_percent(value: Any, settings: Settings) -> Any:
    """Percent as a share of one."""
    return from_decimal(exact(_EXACT.divide(Decimal(str(value)), Decimal(100))), settings)


def to_integer(value: Any, settings: Settings) -> int | None:
    """A whole number of at most 64 bits, times ``times``; of ``per`` units of the vendor's, the full ones."""
    number = to_decimal(value, settings)
    if number is None:
        return None
    number = _EXACT.multiply(number, Decimal(settings.get("times", 1)))
    if "per" in settings.options:
        number = _EXACT.divide_int(number, Decimal(settings.get("per")))
    if number != number.to_integral_value(context=_EXACT):
        raise UnreadableValueError("not_an_integer", "is not a whole number")
    whole = int(number)
    if not _INT64[0] <= whole <= _INT64[1]:
        raise UnreadableValueError("number_out_of_range", "does not fit into 64 bits")
    return whole


def from_integer(value: Any, settings: Settings) -> int | float:
    """The whole number, divided by ``times``, or times ``per``."""
    if "per" in settings.options:
        return int(value) * int(settings.get("per"))
    times = settings.get("times", 1)
    return int(value) if times == 1 else (int(value) // times if int(value) % times == 0 else int(value) / times)


_YES: Final = words("true t yes y 1 on ja j oui si sí sim x ✓ ✔ wahr vrai verdadero checked active")
_NO: Final = words("false f no n 0 off nein non nee não nao falsch faux falso unchecked inactive")


def to_boolean(value: Any, settings: Settings) -> bool | None:
    """Yes or no in the words of several languages and of software. ``invert``: the source says the opposite."""
    if isinstance(value, (int, float, Decimal)) and value in (0, 1):
        found = bool(value)
    else:
        word = str(value).strip().casefold()
        if word not in _YES and word not in _NO:
            raise UnreadableValueError("not_a_boolean", "is neither yes nor no")
        found = word in _YES
    return found is not bool(settings.get("invert"))


def from_boolean(value: Any, settings: Settings) -> bool:
    """True or false."""
    return bool(value) is not bool(settings.get("invert"))


def to_currency(value: Any, settings: Settings) -> str | None:
    """The ISO 4217 code of a currency given by code or unmistakable sign."""
    text = to_text(value, settings)
    if text is None:
        return None
    code = _SYMBOLS.get(text, text.upper())
    if pycountry.currencies.get(alpha_3=code) is None:
        raise UnreadableValueError("not_a_currency", "is not an ISO 4217 currency code")
    return code


_MARK = {"decimal": Option(str, "the decimal mark; found out from the value unless given", choices=(".", ","))}

TRANSFORMS = (
    Transform(
        "decimal", "A number of any precision, as software or as people write it, with or without a currency sign.",
        frozenset({Kind.DECIMAL}), to_decimal, from_decimal, options=_MARK, column=decimal_column,
        loss="trailing zeros, grouping marks, currency and percent signs; a lone comma before three digits groups thousands",
    ),
    Transform(
        "money", "An amount: the same as `decimal`. The currency has a field of its own.",
        frozenset({Kind.DECIMAL}), to_decimal, from_decimal, options=_MARK, column=decimal_column,
        loss="trailing zeros, grouping marks, currency signs; a lone comma before three digits groups thousands",
    ),
    Transform(
        "percent_of_fraction", "Percent, from a share of one: 0.25 becomes 25. A value with a percent sign stays.",
        frozenset({Kind.DECIMAL}), to_percent, from_percent, options=_MARK, loss="as `decimal`",
    ),
    Transform(
        "integer", "A whole number of at most 64 bits.", frozenset({Kind.INTEGER}), to_integer, from_integer,
        options={
            **_MARK,
            "times": Option(int, "factor from the vendor's unit to the hub's (60: minutes to seconds)"),
            "per": Option(int, "how many of the vendor's units make one of the hub's (1000: milliseconds to seconds)"),
        },
        loss="as `decimal`; with `per` what is less than one unit of the hub's",
    ),
    Transform(
        "boolean", "Yes or no.", frozenset({Kind.BOOLEAN}), to_boolean, from_boolean,
        options={"invert": Option(bool, "the source says the opposite")}, loss="the word used",
    ),
    Transform(
        "currency", "A currency as its ISO 4217 code.", frozenset({Kind.TEXT}), to_currency, same,
        options={"assume": Option(bool, "a blank source means the context's default currency")},
        loss="capitals; a sign becomes its code",
    ),
)  # fmt: skip
