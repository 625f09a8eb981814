"""Values as vendors send them: ordinary, ugly and impossible ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from domain.entities import Kind
from domain.records import MISSING

texts = st.text(st.characters(codec=None), max_size=20)
"""Any text, NUL and half surrogate pairs included."""

junk: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.just(MISSING),
    texts,
    st.sampled_from(
        ["", " ", "\x00", "\ud800", "N/A", "null", "0", "1", "true", "ja", "-", "1e999999", "NaN", "Infinity", "(5)"]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.decimals(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.lists(texts, max_size=3),
    st.dictionaries(texts, st.one_of(texts, st.floats(), st.none()), max_size=3),
)

_LOCAL = st.from_regex(r"[a-z0-9_+-]{1,12}(\.[a-z0-9]{1,5})?", fullmatch=True)
_HOST = st.from_regex(r"[a-z0-9]{1,10}(-[a-z0-9]{1,4})?\.(com|de|co\.uk|local|test|io)", fullmatch=True)
emails = st.builds(lambda a, b: f"{a}@{b}", _LOCAL, _HOST)
phones = st.one_of(
    st.from_regex(r"\(?[2-9]\d\d\)?[ .-]?\d{3}[ .-]?\d{4}( ?x\d{1,4})?", fullmatch=True),
    st.from_regex(r"\+?(1|44|49|33|39|41|81|86)[ -]?\(?0?\)?[1-9][0-9 -]{5,10}[0-9]", fullmatch=True),
    st.from_regex(r"[+(]?[0-9][0-9 ().-]{3,16}", fullmatch=True),
)
dates = st.one_of(
    st.dates().map(lambda d: d.isoformat()),
    st.dates(min_value=date(1900, 1, 1)).map(lambda d: d.strftime("%m/%d/%Y")),
    st.dates(min_value=date(1900, 1, 1)).map(lambda d: d.strftime("%d.%m.%Y")),
    st.from_regex(r"\d{4}-\d\d-\d\d", fullmatch=True),
)
timestamps = st.one_of(
    st.datetimes(timezones=st.timezones()).map(lambda d: d.isoformat()),
    st.datetimes().map(lambda d: d.isoformat(sep=" ", timespec="seconds")),
    st.datetimes().map(lambda d: d.isoformat(timespec="milliseconds") + "+0000"),
    st.datetimes().map(lambda d: d.isoformat(timespec="milliseconds") + "Z"),
    st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+0000|\+00:00|-0500)", fullmatch=True),
    st.integers(min_value=0, max_value=4_000_000_000_000),
    st.integers(min_value=10**9, max_value=4 * 10**12).map(str),
)
numbers = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str),
    st.integers().map(lambda n: f"{n:,}"),
    st.sampled_from(
        [
            "$1,234.50",
            "1.234,50 €",
            "(500)",
            "1 234,5",
            "12,5",
            "25 %",
            "1e3",
            "-0",
            "CHF 1'000.00",
            "1.234.567",
            "1,23,456",
        ]
    ),
)

BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.EMAIL: emails,
    Kind.PHONE: phones,
    Kind.DATE: dates,
    Kind.TIMESTAMP: timestamps,
    Kind.DECIMAL: numbers,
    Kind.INTEGER: st.one_of(st.integers(min_value=-(2**64), max_value=2**64).map(str), numbers),
    Kind.BOOLEAN: st.sampled_from(["true", "FALSE", "1", "0", "Ja", "nein", True, False, 1, 0, "maybe"]),
    Kind.TEXT_LIST: st.lists(st.sampled_from(["a", "b", "c d", "é"])).map(";".join),
    Kind.URL: st.sampled_from(
        ["https://example.com/a?b=1", "www.example.com", "HTTP://X.org", "javascript:alert(1)", "x y"]
    ),
    Kind.REFERENCE: st.from_regex(
        r"(001|003|00Q|006|500|005|00G|a0X|701)[A-Za-z0-9]{12}([A-Z0-5]{3})?", fullmatch=True
    ),
    Kind.JSON: st.sampled_from(['{"a": 1}', "[1, 2]", "{", "NaN", '"x"']),
    Kind.TEXT: st.one_of(
        texts,
        st.sampled_from(["Ada Lovelace", "Lovelace, Ada", "<b>x</b><script>y</script>", "a & b", "Inbound", "Call"]),
    ),
}


def vendor_values(kind: Kind) -> st.SearchStrategy[Any]:
    """What a vendor may send for a field of ``kind``: mostly sensible."""
    return st.one_of(BY_KIND[kind], BY_KIND[kind], junk)


def canonical_values(kind: Kind) -> st.SearchStrategy[Any]:
    """What the hub may hold in a field of ``kind``."""
    return _CANONICAL[kind]


_WORDS = st.from_regex(r"[A-Za-zäöüéß0-9]{1,8}( [A-Za-zäöüéß0-9]{1,8}){0,2}", fullmatch=True)
_CANONICAL: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: _WORDS,
    Kind.EMAIL: emails,
    Kind.PHONE: st.from_regex(r"\+1[2-9][0-9]{2}[2-9][0-9]{6}(;ext=[1-9][0-9]{0,3})?", fullmatch=True),
    Kind.URL: st.sampled_from(["https://example.com/a?b=1", "www.example.com", "ftp://host/x"]),
    Kind.INTEGER: st.integers(min_value=-(2**63), max_value=2**63 - 1),
    Kind.DECIMAL: st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=4
    ).map(lambda d: Decimal(format(d, "f").rstrip("0").rstrip(".") or "0") + 0),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates(),
    Kind.TIMESTAMP: st.datetimes(
        min_value=datetime(1, 1, 3),  # noqa: DTZ001
        max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    ).map(lambda d: d.replace(tzinfo=UTC)),
    Kind.JSON: st.recursive(
        st.one_of(st.booleans(), st.integers(), _WORDS),
        lambda x: st.lists(x, min_size=1) | st.dictionaries(_WORDS, x, min_size=1),
    ).filter(lambda v: isinstance(v, (list, dict))),
    Kind.TEXT_LIST: st.lists(_WORDS, min_size=1, unique=True).map(sorted),
    Kind.REFERENCE: st.from_regex(r"(001|003|00Q|006|500|005)[A-Za-z0-9]{12}AAA", fullmatch=True),
}
