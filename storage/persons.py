"""Finding one person in everything the hub holds: their records, what names them, and what speaks of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Kind
from domain.errors import ConfigurationError
from storage import bulk
from storage.suppression import PEOPLE, Mark, marks_of, record_mark
from storage.sync.gathering import hub_table
from storage.sync.values import decode, loads
from storage.undoing import referring

CONTENT = ("activity", "communication")
"""Entities whose text is about the people they refer to, and belongs to nobody else."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Who is meant: one of an e-mail address, a phone number (E.164), or the id of a contact, lead or user."""

    email: str | None = None
    phone: str | None = None
    record_id: UUID | None = None

    def __post_init__(self) -> None:
        if sum(v is not None for v in (self.email, self.phone, self.record_id)) != 1:
            raise ConfigurationError(
                "Say who is meant by one of an e-mail address, a phone number or a record's id.",
                remedy="Give exactly one of them.",
                code="person_unclear",
            )

    @property
    def given(self) -> list[Mark]:
        pairs = (("email", self.email), ("phone", self.phone))
        return [Mark(kind, value.strip().casefold()) for kind, value in pairs if value]


@dataclass(frozen=True, slots=True)
class LinkRef:
    """A vendor's record that is bound to one of ours."""

    connection_id: UUID
    object: str
    vendor_id: str


@dataclass(frozen=True, slots=True)
class Person:
    """What the hub knows of a person.

    ``records``: ids of contacts, leads and users, deleted and merged ones included; ``content``: activities and communications
    that refer to them; ``files``: attachments that belong to them alone. ``marks``: addresses and numbers that are theirs alone,
    and what was sought.
    """

    records: Mapping[str, Sequence[UUID]]
    content: Mapping[str, Sequence[UUID]]
    files: Sequence[UUID]
    links: Sequence[LinkRef]
    marks: frozenset[Mark]

    @property
    def ids(self) -> list[UUID]:
        return sorted(i for ids in self.records.values() for i in ids)

    @property
    def all_ids(self) -> list[UUID]:
        """Of records, content and files."""
        return sorted({*self.ids, *(i for ids in self.content.values() for i in ids), *self.files})

    @property
    def needles(self) -> list[str]:
        """What a search for the person looks for, in small letters."""
        return sorted({m.value for m in self.marks if m.kind in ("email", "phone")})

    @property
    def suppressed_as(self) -> list[Mark]:
        return [
            *sorted(self.marks, key=str),
            *(record_mark(a.connection_id, a.object, a.vendor_id) for a in self.links),
        ]

    @property
    def is_nobody(self) -> bool:
        return not any(self.records.values())


def find(conn: Connection, sought: Sought) -> Person:
    """Everything of a person. Records that share an e-mail address are one person; those that share a phone number are only when it
    is what was asked for."""
    records: dict[str, dict[UUID, dict[str, Any]]] = {e: {} for e in PEOPLE}
    emails, phones = _first(conn, sought, records)
    marks = set(sought.given)
    while True:
        _merged(conn, records)
        emails |= {m.value.casefold() for e, found in records.items() for v in found.values() for m in marks_of(e, v)
                   if m.kind == "email"}  # fmt: skip
        emails |= _former(conn, [i for found in records.values() for i in found])
        before = sum(map(len, records.values()))
        for entity in PEOPLE:
            _add(conn, records, entity, _holding(conn, entity, emails, phones))
            phones = phones if sought.phone else set()
        if sum(map(len, records.values())) == before:
            break
    marks |= {Mark("email", e) for e in emails}
    marks |= _own_numbers(conn, records)
    ids = {e: sorted(found) for e, found in records.items() if found}
    people = [i for found in ids.values() for i in found]
    return Person(ids, _content(conn, ids), _files(conn, people), links_of(conn, people), frozenset(marks))


def _first(
    conn: Connection, sought: Sought, records: dict[str, dict[UUID, dict[str, Any]]]
) -> tuple[set[str], set[str]]:
    if sought.record_id is not None:
        for entity in PEOPLE:
            _add(conn, records, entity, [sought.record_id])
        if not any(records.values()):
            raise ConfigurationError(
                "No contact, lead or user has this id, and none that was deleted had it.",
                remedy="Check the id.",
                code="no_such_person",
            )
    given = sought.given
    return {m.value for m in given if m.kind == "email"}, {m.value for m in given if m.kind == "phone"}


def _add(conn: Connection, records: dict[str, dict[UUID, dict[str, Any]]], entity: str, ids: Iterable[UUID]) -> None:
    """Take in records by id, standing or deleted, with their values."""
    wanted = sorted(set(ids) - records[entity].keys())
    if not wanted:
        return
    rows = conn.execute(
        text(f"""
        SELECT id, CAST(to_jsonb(h) AS text) FROM {hub_table(entity)} h WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL SELECT entity_id, CAST(snapshot AS text) FROM tombstone
        WHERE entity = :entity AND entity_id = ANY(CAST(:ids AS uuid[]))"""),
        {"ids": wanted, "entity": entity},
    )
    for record, form in rows:
        records[entity].setdefault(record, decode(entity, loads(form)))


def _merged(conn: Connection, records: dict[str, dict[UUID, dict[str, Any]]]) -> None:
    """Records that were merged into those found."""
    for entity, found in records.items():
        if found:
            statement = text("SELECT from_id FROM redirect WHERE entity = :e AND to_id = ANY(CAST(:ids AS uuid[]))")
            _add(conn, records, entity, conn.scalars(statement, {"e": entity, "ids": sorted(found)}))


def _holding(conn: Connection, entity: str, emails: set[str], phones: set[str]) -> list[UUID]:
    """Records that hold one of the addresses or numbers, deleted ones included."""
    sought = {Kind.EMAIL: "lower({}) = ANY(:emails)"} | ({Kind.PHONE: "{} = ANY(:phones)"} if phones else {})
    fields = [(f.name, sought[f.kind]) for f in ENTITIES[entity].all_fields.values() if f.kind in sought]
    standing = " OR ".join(term.format(bulk.quoted(name)) for name, term in fields)
    buried = " OR ".join(term.format(f"snapshot->>'{name}'") for name, term in fields)
    statement = text(f"""
        SELECT id FROM {hub_table(entity)} WHERE {standing}
        UNION SELECT entity_id FROM tombstone WHERE entity = :entity AND ({buried})""")
    given = {"entity": entity, "emails": sorted(emails)} | ({"phones": sorted(phones)} if phones else {})
    return list(conn.scalars(statement, given))


def _former(conn: Connection, ids: Sequence[UUID]) -> set[str]:
    """E-mail addresses that the records had before."""
    rows = conn.execute(
        text("""
        SELECT lower(old #>> '{}'), lower(new #>> '{}') FROM field_history
        WHERE entity_id = ANY(CAST(:ids AS uuid[])) AND field = 'email'"""),
        {"ids": list(ids)},
    )
    return {email for row in rows for email in row if email}


def _own_numbers(conn: Connection, records: Mapping[str, Mapping[UUID, Mapping[str, Any]]]) -> set[Mark]:
    numbers = {
        m
        for entity, found in records.items()
        for values in found.values()
        for m in marks_of(entity, values)
        if m.kind == "phone"
    }
    mine = {i for found in records.values() for i in found}
    return {m for m in numbers if not _others(conn, m.value, mine)}


def _others(conn: Connection, number: str, mine: set[UUID]) -> bool:
    """Whether anybody else's record holds a number."""
    parts = []
    for entity in (*PEOPLE, "account"):
        names = [bulk.quoted(f.name) for f in ENTITIES[entity].all_fields.values() if f.kind is Kind.PHONE]
        terms = " OR ".join(f"{name} = :number" for name in names)
        parts.append(f"SELECT id FROM {hub_table(entity)} WHERE ({terms}) AND id <> ALL(CAST(:mine AS uuid[]))")
    found = conn.execute(text(" UNION ALL ".join(parts) + " LIMIT 1"), {"number": number, "mine": sorted(mine)})
    return found.first() is not None


def _content(conn: Connection, records: Mapping[str, Sequence[UUID]]) -> dict[str, list[UUID]]:
    found: dict[str, set[UUID]] = defaultdict(set)
    for entity, ids in records.items():
        for child, name in referring(entity):
            if child in CONTENT and name != "owner_id":
                statement = f"SELECT id FROM {hub_table(child)} WHERE {bulk.quoted(name)} = ANY(CAST(:ids AS uuid[]))"
                found[child].update(conn.scalars(text(statement), {"ids": list(ids)}))
    return {child: sorted(ids) for child, ids in found.items() if ids}


def _files(conn: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Attachments that are associated with these records and with nothing else."""
    rows = conn.scalars(
        text("""
        WITH ends AS (
            SELECT from_id AS file, to_id AS other FROM crm_association WHERE from_entity = 'attachment'
            UNION ALL SELECT to_id, from_id FROM crm_association WHERE to_entity = 'attachment')
        SELECT file FROM ends GROUP BY file HAVING bool_and(other = ANY(CAST(:ids AS uuid[])))"""),
        {"ids": list(ids)},
    )
    return sorted(rows)


def links_of(conn: Connection, ids: Sequence[UUID]) -> list[LinkRef]:
    """What vendors call these records."""
    statement = text("""
        SELECT connection_id, vendor_object, vendor_id FROM link WHERE entity_id = ANY(CAST(:ids AS uuid[])) ORDER BY 1, 2, 3""")
    return [LinkRef(*row) for row in conn.execute(statement, {"ids": list(ids)})]
