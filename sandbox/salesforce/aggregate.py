"""COUNT, MIN, MAX, SUM, AVG, with and without GROUP BY."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.schema import Field
from sandbox.salesforce.soql_ast import Call, Path, Query
from sandbox.salesforce.soql_eval import Operand, Row, sort_rows

Resolve = Callable[[Path | Call], Operand]
MAX_GROUPS = 2000
_COUNTED = Field("count", "int", "Count")


def aggregate(query: Query, rows: list[Row], resolve: Resolve) -> list[Row]:
    """One record a group, in the order of ORDER BY or of the groups' values. Raises ApiError for a field that isn't grouped."""
    grouped = _grouped(query, rows, resolve)
    columns = list(_columns(query))
    records = []
    for key, members in grouped.items():
        record: Row = {"attributes": {"type": "AggregateResult"}}
        for name, item in columns:
            record[name] = _cell(item, query, key, members, resolve)
        records.append((record, members[0] if members else {}))
    if query.order:
        records = _ordered(query, records, columns, resolve)
    if query.group and len(records) > MAX_GROUPS and query.limit is None:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise ApiError("EXCEEDED_ID_LIMIT", message)
    return [record for record, _ in records]


def _grouped(query: Query, rows: list[Row], resolve: Resolve) -> dict[tuple[Any, ...], list[Row]]:
    if not query.group:
        return {(): rows}
    getters = [resolve(path).get for path in query.group]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(get(row) for get in getters), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: tuple((v is not None, str(v)) for v in item[0])))


def _columns(query: Query) -> list[tuple[str, Path | Call]]:
    """``expr0``, ``expr1``… for functions without an alias."""
    columns: list[tuple[str, Path | Call]] = []
    unnamed = 0
    for item in query.select:
        if isinstance(item, Path):
            columns.append((item.names[-1], item))
        elif isinstance(item, Call):
            columns.append((item.alias or f"expr{unnamed}", item))
            unnamed += item.alias is None
    return columns


def _cell(item: Path | Call, query: Query, key: tuple[Any, ...], members: list[Row], resolve: Resolve) -> Any:
    if isinstance(item, Call):
        return _apply(item, members, resolve)
    for path, value in zip(query.group, key, strict=True):
        if path.text.lower() == item.text.lower():
            return value
    raise ApiError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {item.text}")


def _apply(call: Call, members: list[Row], resolve: Resolve) -> Any:
    if call.argument is None:
        return len(members)
    get = resolve(call.argument).get
    values = [value for row in members if (value := get(row)) is not None]
    if call.function == "COUNT":
        return len(values)
    if call.function == "COUNT_DISTINCT":
        return len(set(values))
    if not values:
        return None
    if call.function == "SUM":
        return sum(values)
    return sum(values) / len(values) if call.function == "AVG" else (min if call.function == "MIN" else max)(values)


def _ordered(
    query: Query, records: list[tuple[Row, Row]], columns: list[tuple[str, Path | Call]], resolve: Resolve
) -> list[tuple[Row, Row]]:
    """Sorted by aggregate or by grouped field: each group stands in for its first row."""
    stand_ins: list[Row] = []
    for number, (record, member) in enumerate(records):
        stand_ins.append({**member, **{f"#{i}": record[name] for i, (name, _) in enumerate(columns)}, "#": number})

    def find(by: Path | Call) -> Operand:
        for i, (_, item) in enumerate(columns):
            if isinstance(by, Call) and isinstance(item, Call) and _same(by, item):
                return Operand(_reader(f"#{i}"), resolve(by).field if by.argument else _COUNTED)
        return resolve(by)

    return [records[row["#"]] for row in sort_rows(stand_ins, query.order, find)]


def _same(one: Call, other: Call) -> bool:
    return (one.function, one.argument and one.argument.text) == (
        other.function,
        other.argument and other.argument.text,
    )


def _reader(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]
