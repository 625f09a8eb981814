"""Counting while pages stream by: one tally a field, one a object. Memory does not grow with the number of records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.entities import Kind
from domain.records import MISSING, FieldSchema, MappedBatch, ObjectSchema, Page
from migration.audit_model import DuplicateAudit, FieldAudit, OrphanAudit, SharedEmails
from migration.audit_sketch import Budget, Distinct, HashSample, absent, groups, hash_text, shared

_TOP_DISTINCT_MAX = 200
_TOP_SHOWN = 25
_CHOICE_DISTINCT_MAX = 50
_CHOICE_FILLED_MIN = 100
_PERSONAL = (Kind.EMAIL, Kind.PHONE, Kind.URL, Kind.JSON, Kind.REFERENCE, Kind.DATE, Kind.TIMESTAMP)
_MOMENTS = (Kind.DATE, Kind.TIMESTAMP)
_NUMBERS = (Kind.INTEGER, Kind.DECIMAL)
_Comparable = Decimal | datetime


def _is_blank(value: Any) -> bool:
    if value is None or value is MISSING or value in ("", "[]", "{}"):
        return True
    return isinstance(value, str) and value.isspace()


def _hashable(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, (list, dict)) else value


def _moment(value: Any, pattern: str) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        try:
            value = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


class FieldTally:
    """Fill, distinct values, range, length and most frequent values of one field."""

    def __init__(self, schema: FieldSchema) -> None:
        self._schema = schema
        self._filled = self._max_length = 0
        self._distinct = Distinct()
        self._top: Counter[str] | None = None if schema.kind in _PERSONAL else Counter()
        _, _, self._pattern = (
            schema.vendor_type.partition(":") if schema.vendor_type.startswith("date") else ("", "", "")
        )
        self.minimum: _Comparable | None = None
        self.maximum: _Comparable | None = None

    def add(self, column: Sequence[Any]) -> None:
        """Count one page's values of the field."""
        try:
            counts = Counter(column)
        except TypeError:
            counts = Counter(map(_hashable, column))
        for blank in [value for value in counts if _is_blank(value)]:
            del counts[blank]
        if not counts:
            return
        texts = [str(value) for value in counts]
        self._filled += counts.total()
        self._distinct.add(texts)
        self._max_length = max(self._max_length, max(map(len, texts)))
        self._count_top(texts, list(counts.values()))
        if self._schema.kind in _MOMENTS:
            self._widen(_moment(v, self._pattern) for v in self._extremes(list(counts)))
        elif self._schema.kind in _NUMBERS:
            self._widen(map(_number, counts))

    def _extremes(self, values: list[Any]) -> Iterable[Any]:
        """ISO texts sort as their moments do: of them only the first and the last need parsing."""
        if self._pattern or not all(isinstance(v, str) for v in values):
            return values
        return (min(values), max(values))

    def _widen(self, values: Iterable[Any]) -> None:
        found = [v for v in values if v is not None]
        if found:
            self.minimum = min(found) if self.minimum is None else min(self.minimum, *found)
            self.maximum = max(found) if self.maximum is None else max(self.maximum, *found)

    def _count_top(self, texts: list[str], times: list[int]) -> None:
        if self._top is None:
            return
        for value, number in zip(texts, times, strict=True):
            self._top[value] += number
        if len(self._top) > _TOP_DISTINCT_MAX:
            self._top = None

    def _shown_top(self) -> tuple[tuple[str, int], ...]:
        if self._top is None:
            return ()
        listed = bool(self._schema.options) or self._schema.kind is Kind.BOOLEAN
        few = self._filled >= _CHOICE_FILLED_MIN and len(self._top) <= min(_CHOICE_DISTINCT_MAX, self._filled // 20)
        if not listed and not few:
            return ()
        ranked = sorted(self._top.items(), key=lambda item: (-item[1], item[0]))
        return tuple((value[:200], times) for value, times in ranked[:_TOP_SHOWN])

    def result(self, records: int) -> FieldAudit:
        s = self._schema
        return FieldAudit(
            s.name, s.kind, s.label, s.vendor_type, s.custom, records, self._filled,
            self._distinct.count, self._distinct.exact, _shown(self.minimum, s.kind), _shown(self.maximum, s.kind),
            self._max_length, self._shown_top(),
        )  # fmt: skip


def _shown(value: _Comparable | None, kind: Kind) -> str | None:
    if isinstance(value, datetime):
        return value.date().isoformat() if kind is Kind.DATE else value.isoformat()
    return None if value is None else str(value)


IdKey = Callable[[Any], str]
"""Brings ids to the form in which equal records have equal ids."""


def plain_id(value: Any) -> str:
    """An id as it stands."""
    return str(value).strip()


def salesforce_id(value: Any) -> str:
    """The case-sensitive 15 characters of a Salesforce id; the last three of 18 only repeat their case.

    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm
    """
    text = str(value).strip()
    return text[:15] if len(text) == 18 else text


class ObjectTally:
    """Everything that is counted of one object."""

    def __init__(self, schema: ObjectSchema, budget: Budget, rules: Sequence[tuple[str, ...]], id_key: IdKey) -> None:
        self.schema = schema
        self.records = self.rejects = self.pages = 0
        self.problems: Counter[str] = Counter()
        self.ids = budget.sample()
        self._budget = budget
        self._id_key = id_key
        self._fields = {f.name: FieldTally(f) for f in schema.fields}
        self._references = {f.name: budget.sample() for f in schema.fields if f.refers_to}
        self._rules = {rule: budget.sample() for rule in rules}
        self._people = budget.sample()

    def add(self, page: Page) -> None:
        """Count the raw values of a page."""
        self.pages += 1
        self.records += len(page)
        self.rejects += len(page.rejects)
        columns = dict(zip(page.fields, zip(*page.rows, strict=True), strict=True)) if page.rows else {}
        for name, column in columns.items():
            if name in self._fields:
                self._fields[name].add(column)
        if self.schema.id_field in columns:
            self.ids.add_counted(self._hashes(columns[self.schema.id_field]))
        for name, sample in self._references.items():
            if name in columns:
                sample.add_counted(self._hashes(columns[name]))
        self._budget.enforce()

    def _hashes(self, column: Sequence[Any]) -> list[int]:
        return [hash_text(self._id_key(v)) for v in column if not _is_blank(v)]

    def add_mapped(self, batch: MappedBatch) -> None:
        """Count what only shows once values are normalised: duplicates, shared addresses, problems."""
        self.problems.update(problem.code for problem in batch.problems)
        for rule, sample in self._rules.items():
            if all(name in batch.columns for name in rule):
                sample.add(_keyed(zip(*(batch.columns[name] for name in rule), strict=True), batch.vendor_ids))
        if "email" in batch.columns and "last_name" in batch.columns:
            names = zip(
                batch.columns.get("first_name", batch.columns["last_name"]), batch.columns["last_name"], strict=True
            )
            self._people.add(
                _keyed(((e,) for e in batch.columns["email"]), [f"{a}\x1f{b}".casefold() for a, b in names])
            )
        self._budget.enforce()

    def duplicates(self) -> tuple[DuplicateAudit, ...]:
        """Groups of different records that agree on a match rule."""
        return tuple(DuplicateAudit(rule, *shared(s), exact=s.exact) for rule, s in self._rules.items())

    def shared_emails(self) -> SharedEmails | None:
        """E-mail addresses with several people; None where records are no people."""
        return SharedEmails(*shared(self._people), exact=self._people.exact) if len(self._people) else None

    @property
    def repeated(self) -> int:
        """Records that were listed again (shifted pages, overlapping files)."""
        ids, times = groups(self.ids)
        return times - ids

    def orphans(self, known: Mapping[str, HashSample]) -> tuple[OrphanAudit, ...]:
        """References that lead nowhere; ``known``: the ids of every object that was read completely."""
        return tuple(self._orphans_of(f, known) for f in self.schema.fields if f.refers_to)

    def _orphans_of(self, schema: FieldSchema, known: Mapping[str, HashSample]) -> OrphanAudit:
        sample = self._references[schema.name]
        total = sum(sample.values) << sample.level
        unread = tuple(name for name in schema.refers_to if name not in known)
        if unread:
            return OrphanAudit(schema.name, schema.refers_to, total, 0, 0, unread, sample.exact)
        targets = [known[name] for name in schema.refers_to]
        orphans, missing = absent(sample, targets)
        exact = sample.exact and all(t.exact for t in targets)
        return OrphanAudit(schema.name, schema.refers_to, total, orphans, missing, (), exact)

    def fields(self) -> tuple[FieldAudit, ...]:
        """The fields in the source's order."""
        return tuple(tally.result(self.records) for tally in self._fields.values())

    def span(self) -> tuple[datetime | None, datetime | None]:
        """(creation of the oldest, last change of the newest) record, where the source tells."""
        created = self._fields.get(self.schema.created_field or "")
        modified = self._fields.get(self.schema.modified_field or "") or created
        oldest = created.minimum if created else None
        newest = modified.maximum if modified else None
        return (
            oldest if isinstance(oldest, datetime) else None,
            newest if isinstance(newest, datetime) else None,
        )


def _keyed(keys: Iterable[tuple[Any, ...]], values: Sequence[str]) -> list[tuple[int, int]]:
    """(hash of the key, hash of the value) of every row whose key has no blank part; case does not distinguish."""
    return [
        (hash_text("\x1f".join(map(str, key)).casefold()), hash_text(value))
        for key, value in zip(keys, values, strict=True)
        if all(key)
    ]
