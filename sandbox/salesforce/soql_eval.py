"""Conditions and sort orders of SOQL, compiled to functions over rows.

Text compares without regard to case, ids with it; a comparison with null is only ever true for ``= null`` and ``!=``.
https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_comparisonoperators.htm
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sandbox.salesforce.clock import parse_stamp, stamp
from sandbox.salesforce.dates import date_range
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import to18
from sandbox.salesforce.schema import NUMBER_TYPES, Field
from sandbox.salesforce.soql_ast import Both, Call, Compare, Condition, Literal, Negation, Order, Path, Query

Row = dict[str, Any]
Getter = Callable[[Row], Any]
Test = Callable[[Row], bool]
ID_TYPES = frozenset({"id", "reference"})


@dataclass(frozen=True, slots=True)
class Operand:
    """A field of a query, found: how to read it from a row, and what it is."""

    get: Getter
    field: Field


@dataclass(frozen=True, slots=True)
class Context:
    """What compiling needs to know of the query around a condition."""

    resolve: Callable[[Path | Call], Operand]
    subquery: Callable[[Query], frozenset[Any]]
    today: date


def compile_condition(condition: Condition, context: Context) -> Test:
    if isinstance(condition, Negation):
        inner = compile_condition(condition.inner, context)
        return lambda row: not inner(row)
    if isinstance(condition, Both):
        tests = [compile_condition(part, context) for part in condition.parts]
        return _all(tests) if condition.operator == "AND" else _any(tests)
    return _compare(condition, context)


def _all(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) and second(row)
    return lambda row: all(test(row) for test in tests)


def _any(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) or second(row)
    return lambda row: any(test(row) for test in tests)


def _compare(condition: Compare, context: Context) -> Test:
    operand = context.resolve(condition.left)
    if not operand.field.filterable:
        raise ApiError("INVALID_FIELD", f"field '{operand.field.name}' can not be filtered in a query call")
    right, operator = condition.right, condition.operator
    if isinstance(right, Query):
        return _membership(operand.get, context.subquery(right), operator == "IN", fold=False)
    if isinstance(right, tuple):
        return _choices(operand, operator, right)
    if right.kind == "range":
        return _range(operand, operator, right, context)
    return _single(operand, operator, literal_value(operand.field, right), fold=folds(operand.field))


def folds(field: Field) -> bool:
    """Whether the field compares without regard to case."""
    return (
        field.type not in ID_TYPES
        and field.type not in NUMBER_TYPES
        and not field.case_sensitive
        and field.type != "boolean"
    )


def _single(operand: Operand, operator: str, value: Any, fold: bool) -> Test:
    get = operand.get
    if operator == "LIKE":
        return _like(get, value)
    if value is None:
        return _null(get, operator, operand.field)
    if operator in {"=", "!="}:
        return _equality(get, value, operator == "=", fold)
    return _ordering(get, operator, value, fold)


def _null(get: Getter, operator: str, field: Field) -> Test:
    if operator == "=":
        return lambda row: get(row) is None
    if operator == "!=":
        return lambda row: get(row) is not None
    raise ApiError("MALFORMED_QUERY", f"invalid operator on field '{field.name}': null takes = and != only")


def _equality(get: Getter, value: Any, equal: bool, fold: bool) -> Test:
    if fold and isinstance(value, str):
        folded = value.casefold()
        return lambda row: ((held := get(row)) is not None and held.casefold() == folded) is equal
    return lambda row: (get(row) == value) is equal


def _ordering(get: Getter, operator: str, value: Any, fold: bool) -> Test:
    key: Callable[[Any], Any] = str.casefold if fold and isinstance(value, str) else _same
    bound = key(value)
    if operator == "<":
        return lambda row: (held := get(row)) is not None and bool(key(held) < bound)
    if operator == "<=":
        return lambda row: (held := get(row)) is not None and bool(key(held) <= bound)
    if operator == ">":
        return lambda row: (held := get(row)) is not None and bool(key(held) > bound)
    return lambda row: (held := get(row)) is not None and bool(key(held) >= bound)


def _same(value: Any) -> Any:
    return value


def _like(get: Getter, pattern: Any) -> Test:
    """``%`` is any text, ``_`` one character; a backslash makes them plain."""
    parts = re.findall(r"\\.|.", str(pattern), flags=re.DOTALL)
    translated = "".join({"%": ".*", "_": "."}.get(p) or re.escape(p[-1]) for p in parts)
    matches = re.compile(translated, re.IGNORECASE | re.DOTALL).fullmatch
    return lambda row: (held := get(row)) is not None and matches(str(held)) is not None


def _choices(operand: Operand, operator: str, literals: tuple[Literal, ...]) -> Test:
    if operator in {"INCLUDES", "EXCLUDES"}:
        return _includes(operand.get, literals, operator == "INCLUDES")
    if any(item.kind == "range" for item in literals):
        raise ApiError("MALFORMED_QUERY", "date literals can not be used in a list of values")
    fold = folds(operand.field)
    values = frozenset(_folded(literal_value(operand.field, item), fold) for item in literals)
    return _membership(operand.get, values, operator == "IN", fold)


def _folded(value: Any, fold: bool) -> Any:
    return value.casefold() if fold and isinstance(value, str) else value


def _membership(get: Getter, values: frozenset[Any], wanted: bool, fold: bool) -> Test:
    return lambda row: (_folded(get(row), fold) in values) is wanted


def _includes(get: Getter, literals: tuple[Literal, ...], wanted: bool) -> Test:
    """Multi-select picklists: ``INCLUDES ('A;B', 'C')`` is A and B together, or C."""
    groups = [frozenset(item.text.split(";")) for item in literals]

    def test(row: Row) -> bool:
        held = frozenset((get(row) or "").split(";"))
        return any(group <= held for group in groups) is wanted

    return test


def _range(operand: Operand, operator: str, literal: Literal, context: Context) -> Test:
    """A date literal is a span of days: ``=`` is inside it, ``<`` before it, ``>`` after it."""
    if operand.field.type not in {"date", "datetime"}:
        raise _wrong_type(operand.field)
    start, end = date_range(literal.text, context.today)
    low, high = (_edge(operand.field, day) for day in (start, end))
    get = operand.get
    tests: dict[str, Test] = {
        "=": lambda row: (held := get(row)) is not None and low <= held < high,
        "!=": lambda row: (held := get(row)) is None or not low <= held < high,
        "<": lambda row: (held := get(row)) is not None and held < low,
        "<=": lambda row: (held := get(row)) is not None and held < high,
        ">": lambda row: (held := get(row)) is not None and held >= high,
        ">=": lambda row: (held := get(row)) is not None and held >= low,
    }
    return tests[operator]


def _edge(field: Field, day: date) -> str:
    return day.isoformat() if field.type == "date" else day.isoformat() + "T00:00:00.000+0000"


def literal_value(field: Field, literal: Literal) -> Any:
    """A literal as the rows hold such values. Raises ApiError when it can't be compared with the field."""
    if literal.kind == "null":
        return None
    if field.type == "datetime":
        return _datetime_value(field, literal)
    if field.type == "date":
        if literal.kind != "date":
            raise _wrong_type(field)
        return literal.text
    if field.type in NUMBER_TYPES:
        if literal.kind != "number":
            raise _wrong_type(field)
        return float(literal.text)
    if field.type == "boolean":
        if literal.kind != "boolean":
            raise _wrong_type(field)
        return literal.text == "true"
    return _text_value(field, literal)


def _datetime_value(field: Field, literal: Literal) -> str:
    if literal.kind == "date":
        return literal.text + "T00:00:00.000+0000"
    if literal.kind != "datetime":
        raise _wrong_type(field)
    at = parse_stamp(literal.text)
    return stamp(at)[:-8] + f"{at.microsecond // 1000:03d}+0000"


def _text_value(field: Field, literal: Literal) -> str:
    if literal.kind != "string":
        raise _wrong_type(field)
    if field.type not in ID_TYPES:
        return literal.text
    if not literal.text:
        return ""
    full = to18(literal.text)
    if full is None:
        raise ApiError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {literal.text}")
    return full


_NAMES = {"datetime": "dateTime", "id": "ID", "reference": "ID", "multipicklist": "string"}


def _wrong_type(field: Field) -> ApiError:
    quotes = (
        "should be enclosed in quotes"
        if field.type not in NUMBER_TYPES | {"date", "datetime", "boolean"}
        else ("should not be enclosed in quotes")
    )
    kind = _NAMES.get(field.type, "string" if "should be" in quotes else field.type)
    return ApiError(
        "INVALID_FIELD",
        f"value of filter criterion for field '{field.name}' must be of type {kind} and {quotes}",
    )


def sort_rows(rows: list[Row], orders: Iterable[Order], resolve: Callable[[Path | Call], Operand]) -> list[Row]:
    """Sorted by every order in turn, the last one first, which a stable sort makes the same. Nulls first unless told."""
    for order in reversed(list(orders)):
        operand = resolve(order.by)
        get, fold = operand.get, folds(operand.field)
        nulls = [row for row in rows if get(row) is None]
        held = [row for row in rows if get(row) is not None] if nulls else rows
        key = (lambda row, g=get: g(row).casefold()) if fold else get
        held = sorted(held, key=key, reverse=order.descending)
        rows = held + nulls if order.nulls_last else nulls + held
    return rows
