"""SOQL run against an org: what is selected, of which rows, in which order, and how each record looks in JSON.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_query.htm
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.aggregate import aggregate
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Org, Row
from sandbox.salesforce.relations import child_relation
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.soql_ast import Both, Call, Compare, Condition, Path, Query, Typeof
from sandbox.salesforce.soql_eval import Context, Operand, compile_condition, sort_rows
from sandbox.salesforce.soql_parser import AGGREGATES, error_at, parse
from sandbox.salesforce.values import getter

MAX_OFFSET = 2000
FIELDS_LIMIT = 200
# What every owner, Who and What has in common: the fields of the vendor's "Name" object.
NAME_FIELDS = (
    "Id",
    "Name",
    "FirstName",
    "LastName",
    "Email",
    "Phone",
    "Title",
    "Username",
    "Alias",
    "IsActive",
    "ProfileId",
)


@dataclass(slots=True)
class Result:
    """A finished query. ``rows`` are the org's own, not copies; ``render`` shows one as the API of ``version`` would."""

    object: str
    rows: list[Row]
    render: Callable[[Row, str], dict[str, Any]]
    total: int
    columns: list[tuple[str, Callable[[Row], Any]]] = field(default_factory=list)


Renderer = Callable[[Row, str], Any] | str
"""How a value comes about: a function of the row and the API version, or the name under which the row holds it."""


class QueryRun:
    """One query over one org. Raises ApiError as the vendor does."""

    def __init__(self, org: Org, text: str, include_deleted: bool = False) -> None:
        self.org = org
        self.text = text
        self.include_deleted = include_deleted
        self.query = parse(text)

    def run(self) -> Result:
        return self._run(self.query)

    def check(self) -> None:
        """Everything that `run` would refuse, without reading a row."""
        source = self._object(self.query.source)
        _Guard(self.text, self.query, source).check()
        if self.query.where is not None:
            compile_condition(self.query.where, self._context(self.query, source))
        self._columns(self.query, source)
        sort_rows([], self.query.order, lambda by: self._operand(by, self.query, source))

    # ------------------------------------------------------------ rows

    def _run(self, query: Query) -> Result:
        source = self._object(query.source)
        _Guard(self.text, query, source).check()
        rows = self._rows(query, source)
        if _is_count(query):
            return Result(source.name, [], _plain, len(rows))
        if query.group or any(isinstance(s, Call) and s.function in AGGREGATES for s in query.select):
            return self._aggregated(query, source, rows)
        rows = sort_rows(rows, query.order, lambda by: self._operand(by, query, source))
        rows = _cut(rows, query)
        renderers = self._renderers(query, source)
        return Result(source.name, rows, _record(source.name, renderers), len(rows), self._columns(query, source))

    def _rows(self, query: Query, source: ObjectType) -> list[Row]:
        table = self.org.tables[source.name].values()
        binless = self.org.binless
        rows = [r for r in table if (r["Id"] not in binless if self.include_deleted else not r.get("IsDeleted"))]
        if query.where is None:
            return rows
        test = compile_condition(query.where, self._context(query, source))
        return [row for row in rows if test(row)]

    def _context(self, query: Query, source: ObjectType) -> Context:
        return Context(
            resolve=lambda by: self._operand(by, query, source),
            subquery=self._semi_join,
            today=self.org.clock.now().date(),
        )

    def _semi_join(self, query: Query) -> frozenset[Any]:
        source = self._object(query.source)
        selected = query.select[0]
        if len(query.select) != 1 or not isinstance(selected, Path):
            raise ApiError("MALFORMED_QUERY", "semi join sub-selects can only select one field")
        get = self._operand(selected, query, source).get
        return frozenset(value for row in self._rows(query, source) if (value := get(row)) is not None)

    def _aggregated(self, query: Query, source: ObjectType, rows: list[Row]) -> Result:
        resolve = lambda by: self._operand(by, query, source)  # noqa: E731
        records = _cut(aggregate(query, rows, resolve), query)
        columns = [(name, _reader(name)) for name in (records[0] if records else ()) if name != "attributes"]
        return Result("AggregateResult", records, _plain, len(records), columns)

    # ------------------------------------------------------------ names

    def _object(self, source: Path) -> ObjectType:
        try:
            return self.org.object(source.names[-1])
        except ApiError as error:
            raise ApiError(error.code, error_at(self.text, source.at, error.message)) from error

    def _operand(self, by: Path | Call, query: Query, source: ObjectType) -> Operand:
        if isinstance(by, Call):
            if by.argument is None:
                raise ApiError("MALFORMED_QUERY", error_at(self.text, by.at, f"unexpected token: '{by.function}'"))
            return self._operand(by.argument, query, source)
        return self._resolve(self._unaliased(by, query), source)

    @staticmethod
    def _unaliased(path: Path, query: Query) -> Path:
        """``c.Name`` and ``Contact.Name`` are ``Name`` in a query from ``Contact c``."""
        heads = {query.source.text.lower(), (query.alias or query.source.text).lower()}
        return Path(path.names[1:], path.at) if len(path.names) > 1 and path.names[0].lower() in heads else path

    def _resolve(self, path: Path, source: ObjectType) -> Operand:
        head, *rest = path.names
        if not rest:
            found = self.org.field(source, head)
            if found is None:
                raise self._no_column(path, head, source.name)
            return Operand(getter(found, source), found)
        relation = source.relation(head)
        if relation is None:
            raise self._no_relation(path, head, source.name)
        return self._through(relation, Path(tuple(rest), path.at))

    def _through(self, relation: Field, rest: Path) -> Operand:
        """A field of the parent that ``relation`` points to."""
        if relation.polymorphic:
            return self._any_parent(relation, rest)
        inner = self._resolve(rest, self.org.object(relation.refers_to[0]))
        table, key, get = self.org.tables[relation.refers_to[0]], relation.name, inner.get

        def read(row: Row) -> Any:
            parent = table.get(row.get(key, ""))
            return None if parent is None or parent.get("IsDeleted") else get(parent)

        return Operand(read, inner.field)

    def _any_parent(self, relation: Field, rest: Path) -> Operand:
        key, name = relation.name, rest.names[0]
        if name.lower() == "type" and len(rest.names) == 1:
            return Operand(lambda row: self._type_of(row.get(key)), Field("Type", "picklist", "Type"))
        known = next((f for f in NAME_FIELDS if f.lower() == name.lower()), None)
        if known is None or len(rest.names) > 1:
            raise self._no_column(rest, name, "Name")
        kind = "boolean" if known == "IsActive" else "id" if known == "Id" else "string"

        def read(row: Row) -> Any:
            found = self.org.find(row.get(key))
            return None if found is None else found[1].get(known)

        return Operand(read, Field(known, kind, known))

    def _type_of(self, record_id: str | None) -> str | None:
        found = self.org.find(record_id)
        return found[0].name if found else None

    def _no_column(self, path: Path, name: str, entity: str) -> ApiError:
        message = (
            f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append the "
            "'__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
        )
        return ApiError("INVALID_FIELD", error_at(self.text, path.at, message))

    def _no_relation(self, path: Path, name: str, entity: str) -> ApiError:
        message = (
            f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom relationship, be sure "
            "to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the "
            "appropriate names."
        )
        return ApiError("INVALID_FIELD", error_at(self.text, path.at, message) if entity else message)

    # ------------------------------------------------------------ records

    def _renderers(self, query: Query, source: ObjectType) -> dict[str, Renderer]:
        """Each key of a record and how it comes about, in the order selected; parents are gathered under one key."""
        renderers: dict[str, Renderer] = {}
        parents: dict[str, list[Path]] = {}
        for item in query.select:
            if isinstance(item, Query):
                renderers[item.source.text] = self._children(item, source)
            elif isinstance(item, Typeof):
                renderers[item.relation.text] = self._typeof(item, source)
            else:
                for path in self._expand(item, query, source):
                    if len(path.names) == 1:
                        found = self._resolve(path, source)
                        renderers[found.field.name] = _value(found)
                    else:
                        parents.setdefault(path.names[0].lower(), []).append(path)
                        renderers.setdefault(path.names[0], _plain)
        for name in [n for n in renderers if n.lower() in parents]:
            renderers[name] = self._parent(name, parents[name.lower()], source)
        return renderers

    def _expand(self, item: Path | Call, query: Query, source: ObjectType) -> Iterable[Path]:
        if isinstance(item, Path):
            return [self._unaliased(item, query)]
        if item.function == "FIELDS" and item.argument is not None:
            wanted = item.argument.text.upper()
            fields = self.org.visible_fields(source)
            return [Path((f.name,), item.at) for f in fields if wanted == "ALL" or f.custom is (wanted == "CUSTOM")]
        if item.argument is None:
            raise ApiError("MALFORMED_QUERY", error_at(self.text, item.at, f"unexpected token: '{item.function}'"))
        return [self._unaliased(item.argument, query)]

    def _parent(self, name: str, paths: list[Path], source: ObjectType) -> Renderer:
        relation = source.relation(name)
        if relation is None:
            raise self._no_relation(paths[0], name, source.name)
        if relation.polymorphic:
            return self._named_parent(relation, paths)
        target = self.org.object(relation.refers_to[0])
        inner = Query(tuple(Path(p.names[1:], p.at) for p in paths), Path((target.name,), paths[0].at))
        return _parent_record(self.org, relation, target.name, self._renderers(inner, target))

    def _named_parent(self, relation: Field, paths: list[Path]) -> Renderer:
        operands = {p.names[-1]: self._through(relation, Path(p.names[1:], p.at)) for p in paths}
        key = relation.name

        def render(row: Row, version: str) -> Any:
            found = self.org.find(row.get(key))
            if found is None:
                return None
            record: dict[str, Any] = {
                "attributes": {"type": "Name", "url": _url(found[0].name, found[1]["Id"], version)}
            }
            return record | {operand.field.name: operand.get(row) for operand in operands.values()}

        return render

    def _typeof(self, item: Typeof, source: ObjectType) -> Renderer:
        relation = source.relation(item.relation.text)
        if relation is None:
            raise self._no_relation(item.relation, item.relation.text, source.name)
        plans = {
            kind: self._renderers(Query(paths, Path((kind,), 0)), self.org.object(kind))
            for kind, paths in item.branches
        }
        key, otherwise = relation.name, item.otherwise

        def render(row: Row, version: str) -> Any:
            found = self.org.find(row.get(key))
            if found is None:
                return None
            target, parent = found
            plan = plans.get(target.name)
            if plan is None:
                plan = self._renderers(Query(otherwise, Path((target.name,), 0)), target)
            return _record(target.name, plan)(parent, version)

        return render

    def _children(self, inner: Query, source: ObjectType) -> Renderer:
        """A sub-select over a child relationship: a query result within each record, or null when there is no child."""
        child, link = child_relation(self.org, source, inner.source.names[-1])
        target = Query(inner.select, Path((child.name,), inner.source.at), inner.where, (), None, inner.order)
        found = self._run(target)
        by_parent: dict[str, list[Row]] = {}
        for row in found.rows:
            by_parent.setdefault(row.get(link.name, ""), []).append(row)

        def render(row: Row, version: str) -> Any:
            rows = _cut(by_parent.get(row["Id"], []), inner)
            if not rows:
                return None
            return {"totalSize": len(rows), "done": True, "records": [found.render(r, version) for r in rows]}

        return render

    def _columns(self, query: Query, source: ObjectType) -> list[tuple[str, Callable[[Row], Any]]]:
        """The same selection as flat columns, for bulk results."""
        columns = []
        for item in query.select:
            if isinstance(item, Path | Call):
                for path in self._expand(item, query, source):
                    operand = self._resolve(path, source)
                    columns.append((".".join((*path.names[:-1], operand.field.name)), operand.get))
        return columns


class _Guard:
    """What the vendor refuses of a query that parses."""

    def __init__(self, text: str, query: Query, source: ObjectType) -> None:
        self.text, self.query, self.source = text, query, source

    def check(self) -> None:
        if self.query.offset > MAX_OFFSET:
            raise ApiError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        self._fields_function()
        if self.source.name == "ContentDocumentLink" and not _filters_by_id(self.query.where):
            raise ApiError(
                "MALFORMED_QUERY",
                "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or "
                "LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
            )

    def _fields_function(self) -> None:
        unbounded = [
            s
            for s in self.query.select
            if isinstance(s, Call) and s.function == "FIELDS" and s.argument and s.argument.text.upper() != "STANDARD"
        ]
        if unbounded and (self.query.limit is None or self.query.limit > FIELDS_LIMIT):
            raise ApiError("MALFORMED_QUERY", f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT}")


def _filters_by_id(condition: Condition | None) -> bool:
    if isinstance(condition, Both) and condition.operator == "AND":
        return any(_filters_by_id(part) for part in condition.parts)
    if not isinstance(condition, Compare) or not isinstance(condition.left, Path):
        return False
    return condition.left.names[-1].lower() in {"contentdocumentid", "linkedentityid"} and condition.operator in {
        "=",
        "IN",
    }


def _is_count(query: Query) -> bool:
    first = query.select[0]
    return isinstance(first, Call) and first.function == "COUNT" and first.argument is None and not query.group


def _cut(rows: list[Row], query: Query) -> list[Row]:
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end] if query.offset or end is not None else rows


def _url(kind: str, record_id: str, version: str) -> str:
    return f"/services/data/v{version}/sobjects/{kind}/{record_id}"


def _value(operand: Operand) -> Renderer:
    get = operand.get
    if operand.field.type not in {"boolean", "address", "location", "base64"}:
        return operand.field.name
    if operand.field.type == "base64":
        return lambda row, version: str(get(row)).replace("{version}", version)
    return lambda row, _version: get(row)


def _reader(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get(name)


def _plain(row: Row, _version: str) -> Any:
    return row


def _record(kind: str, renderers: dict[str, Renderer]) -> Callable[[Row, str], dict[str, Any]]:
    items = [(n, r, None) if isinstance(r, str) else (n, n, r) for n, r in renderers.items()]

    def render(row: Row, version: str) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": {"type": kind, "url": _url(kind, row["Id"], version)}}
        held = row.get
        for name, key, function in items:
            record[name] = held(key) if function is None else function(row, version)
        return record

    return render


def _parent_record(org: Org, relation: Field, target: str, renderers: dict[str, Renderer]) -> Renderer:
    table, key, render_parent = org.tables[target], relation.name, _record(target, renderers)

    def render(row: Row, version: str) -> Any:
        parent = table.get(row.get(key, ""))
        return None if parent is None or parent.get("IsDeleted") else render_parent(parent, version)

    return render
