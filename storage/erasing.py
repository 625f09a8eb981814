"""Erasing one person in one transaction: records, what speaks of them, and every trace that names them.

What is bound to the person by an id is blanked or deleted table by table (`_traces`); what only names them is found by searching
every table (`storage.sweeping`). Ids stay, so that numbers add up and nothing that refers to a record breaks: they name nobody.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Kind
from storage import blobs, bulk, dead_letters, inbox, suppression, sweeping, unstaging
from storage.persons import Person
from storage.sweeping import BLANK
from storage.sync import changing, deleting
from storage.sync.changing import Cause
from storage.sync.deleting import Everyone
from storage.sync.gathering import hub_table
from storage.tables import dead_letter
from storage.tables_inbound import inbox as inbox_table

REASON = "erased"
"""Why a tombstone of an erased record stands; such a record cannot be restored."""


QUEUED = "queued"

_HELD = """
    SELECT l.connection_id, l.vendor_object, l.entity_id, c.name, c.vendor, CASE
        WHEN :policy <> 'delete' THEN :policy
        WHEN c.id IS NULL OR c.status = 'disconnected' THEN 'not_connected'
        WHEN s.object IS NULL THEN 'no_stream'
        WHEN NOT s.pushes THEN 'read_only'
        WHEN coalesce(s.settings->>'deletes_out', 'propagate') <> 'propagate' THEN 'not_propagated'
        ELSE 'queued' END AS outcome
    FROM link l
    LEFT JOIN connection c ON c.tenant_id = l.tenant_id AND c.id = l.connection_id
    LEFT JOIN stream s ON s.tenant_id = l.tenant_id AND s.connection_id = l.connection_id AND s.object = l.vendor_object
        AND s.entity <> ''
    WHERE l.entity_id = ANY(CAST(:ids AS uuid[])) AND l.tombstoned_at IS NULL
    GROUP BY l.connection_id, l.vendor_object, l.entity_id, c.id, c.name, c.vendor, c.status, s.object, s.pushes, s.settings
    ORDER BY c.name, l.vendor_object, l.entity_id"""


@dataclass(frozen=True, slots=True)
class AtVendor:
    """A record that a vendor holds of the person. ``record``: the hub's id of it, which names nobody any more.

    ``outcome``: refuse (what it sends is refused), keep (it stays there, and is passed over), queued (its delete goes out); or why
    it is not deleted there: not_connected, no_stream, read_only, not_propagated.
    """

    connection_id: UUID
    object: str
    record: UUID
    name: str | None
    vendor: str | None
    outcome: str

    def to_json(self) -> dict[str, Any]:
        ids = {"connection_id": str(self.connection_id), "record": str(self.record)}
        return ids | {n: getattr(self, n) for n in ("object", "name", "vendor", "outcome")}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a caller found outside of the tenant's own tables. ``erased`` and ``searched`` (rows left) by place."""

    erased: Mapping[str, int] = field(default_factory=dict)
    searched: Mapping[str, int] = field(default_factory=dict)
    uploads: Sequence[Mapping[str, Any]] = ()
    uploads_unsearched: Sequence[Mapping[str, Any]] = ()


NOWHERE_ELSE = Elsewhere()


@dataclass(frozen=True, slots=True)
class Report:
    """What was erased, in numbers, and where it was looked for.

    ``tables``: rows deleted or blanked; ``searched``: every table that was searched, with the rows that named the person
    afterwards; ``left``: of these the tables with any (none); ``not_searched``: every other table, and why. ``vendors``: one of
    `suppression.POLICIES`; ``at_vendors``: what becomes of each linked record there. ``uploads``: files that still name the person;
    ``uploads_unsearched``: files, or parts of them, of which nobody can tell, and why. ``sought``: how many addresses and numbers
    of the person were looked for; of one who has none, only what is bound to their records is found.
    """

    records: Mapping[str, int]
    tables: Mapping[str, int]
    searched: Mapping[str, int]
    left: Mapping[str, int]
    not_searched: Mapping[str, str]
    suppressed: int
    vendors: str
    at_vendors: Sequence[AtVendor]
    uploads: Sequence[Mapping[str, Any]] = ()
    uploads_unsearched: Sequence[Mapping[str, Any]] = ()
    sought: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything could be searched that is to be searched."""
        return self.sought > 0 and not self.uploads_unsearched

    def to_json(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__slots__}
        files = {name: [dict(file) for file in told[name]] for name in ("uploads", "uploads_unsearched")}
        return told | files | {"at_vendors": [a.to_json() for a in self.at_vendors], "complete": self.complete}

    @property
    def sha256(self) -> bytes:
        """Of the canonical JSON form."""
        return hashlib.sha256(orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)).digest()


def erase(
    conn: Connection,
    key: bytes,
    person: Person,
    cause: Cause,
    erasure_id: UUID,
    *,
    policy: str = suppression.REFUSE,
    elsewhere: Elsewhere = NOWHERE_ELSE,
) -> Report:
    """Erase ``person`` and suppress what named them. ``policy``: what becomes of them at vendors (`suppression.POLICIES`)."""
    held = at_vendors(conn, person, policy)
    added = suppression.add(conn, key, person.suppressed_as, erasure_id, policy)
    done: Counter[str] = Counter(elsewhere.erased)
    _files(conn, person, cause, done)
    queued = _records(conn, person, cause, at_vendors=policy == suppression.DELETE)
    for entity in {e for e, _ in queued}:
        changing.queue(conn, cause, entity, [t for e, t in queued if e == entity])
    _loading(conn, on=True)
    _blank_content(conn, person, done)
    _blank_users(conn, person, done)
    _traces(conn, person, done, keep_links={a.record for a in held if a.outcome == QUEUED})
    _loading(conn, on=False)
    done.update(search(conn, person.needles))
    searched = sweeping.count(conn, person.needles) | dict(elsewhere.searched)
    left = {name: n for name, n in searched.items() if n}
    counts = {e: len(ids) for e, ids in person.records.items()}
    return Report(
        counts, dict(sorted(done.items())), searched, left, dict(sweeping.KEPT), added, policy, held, list(elsewhere.uploads),
        list(elsewhere.uploads_unsearched), len(person.needles),
    )  # fmt: skip


def at_vendors(conn: Connection, person: Person, policy: str) -> list[AtVendor]:
    """The records that vendors hold of the person, and what the policy means for each."""
    rows = conn.execute(text(_HELD), {"ids": person.ids, "policy": policy})
    return [AtVendor(r.connection_id, r.vendor_object, r.entity_id, r.name, r.vendor, r.outcome) for r in rows]


def search(conn: Connection, needles: Sequence[str]) -> dict[str, int]:
    """Take the person out of every row of every table that names them; returns how many rows of each table that were.

    What cannot be of use without what is taken out of it goes as a whole: deliveries, letters, and records of people that a
    migration has read.
    """
    done: Counter[str] = Counter(_deliveries(conn, needles))
    done.update(_letters(conn, needles))
    done["staged records"] = unstaging.named(conn, needles)
    done.update(sweeping.sweep(conn, needles))
    return {name: n for name, n in done.items() if n}


def _deliveries(conn: Connection, needles: Sequence[str]) -> dict[str, int]:
    ids = [hit.key["id"] for hit in sweeping.hits(conn, inbox_table, needles)]
    if ids:
        inbox.forget(conn, ids)
    return {"inbox": len(ids)}


def _letters(conn: Connection, needles: Sequence[str]) -> dict[str, int]:
    """Letters that hold the person's values are closed: what is left of them would be applied as it is."""
    found = list(sweeping.hits(conn, dead_letter, needles))
    dead_letters.forget(conn, [h.key["id"] for h in found if h.values.keys() & {"payload", "mapped", "original"}])
    named = [h.key["id"] for h in found if "vendor_id" in h.values]
    if named:
        # The key is a digest of the vendor's id, which could be tried out.
        conn.execute(
            text("""
            UPDATE dead_letter SET vendor_id = NULL, key = 'erased:' || id WHERE id = ANY(CAST(:ids AS uuid[]))"""),
            {"ids": named},
        )
    return {"dead_letter": len(found)}


def _loading(conn: Connection, *, on: bool) -> None:
    """Within it, records change without a new version and without their old values being written out to their links."""
    conn.execute(text("SELECT set_config('app.loading', :v, true)"), {"v": "on" if on else "off"})


def _records(conn: Connection, person: Person, cause: Cause, *, at_vendors: bool) -> Everyone:
    """Delete contacts and leads; what referred to them goes out by its lanes, their own delete only if vendors shall follow."""
    told: Everyone = []
    for entity in ("contact", "lead"):
        standing = deleting.existing(conn, cause.tenant_id, entity, person.records.get(entity, ()))
        changed = deleting.delete(conn, cause, entity, standing)
        told += [(e, t) for e, t in changed if at_vendors or t.id not in standing]
    return told


def _files(conn: Connection, person: Person, cause: Cause, done: Counter[str]) -> None:
    """Delete attachments of the person alone, and their content where nobody else has the same."""
    statement = "SELECT DISTINCT sha256 FROM crm_attachment WHERE id = ANY(CAST(:ids AS uuid[])) AND sha256 IS NOT NULL"
    contents = conn.scalars(text(statement), {"ids": list(person.files)}).all()
    deleting.delete(conn, cause, "attachment", person.files)
    done["crm_attachment"] += len(person.files)
    for sha256 in contents:
        if not conn.scalar(text("SELECT count(*) FROM crm_attachment WHERE sha256 = :h"), {"h": sha256}):
            done["blob"] += blobs.delete(conn, sha256)


def _blank_content(conn: Connection, person: Person, done: Counter[str]) -> None:
    for entity, ids in person.content.items():
        done[f"crm_{entity}"] += _blank(conn, entity, ids)


def _blank_users(conn: Connection, person: Person, done: Counter[str]) -> None:
    """Users stay, without their values: what they own stays owned by somebody."""
    done["crm_user"] += _blank(conn, "user", person.records.get("user", ()))


def _blank(conn: Connection, entity: str, ids: Sequence[UUID]) -> int:
    """Take every text, address, number and custom field out of records."""
    if not ids:
        return 0
    fields = [ENTITIES[entity].field(name) for name in _personal(entity)]
    sets = [f"{bulk.quoted(f.name)} = {'CAST(:blank AS text)' if f.required else 'NULL'}" for f in fields]
    statement = text(f"""
        UPDATE {hub_table(entity)} SET {", ".join(sets)}, custom_fields = '{{}}' WHERE id = ANY(CAST(:ids AS uuid[]))""")
    blank = {"blank": BLANK} if any(f.required for f in fields) else {}
    return conn.execute(statement, {"ids": list(ids)} | blank).rowcount


def _personal(entity: str) -> list[str]:
    """Fields whose values may tell of a person."""
    kinds = (Kind.TEXT, Kind.EMAIL, Kind.PHONE, Kind.URL, Kind.JSON, Kind.TEXT_LIST)
    fields = ENTITIES[entity].all_fields.values()
    return [f.name for f in fields if f.kind in kinds and f.name not in ("kind", "direction", "status")]


_OF_RECORDS: tuple[tuple[str, str], ...] = (
    ("field_history", "UPDATE field_history SET old = NULL, new = NULL WHERE entity_id = ANY(:ids)"),
    ("conflict", "DELETE FROM conflict WHERE entity_id = ANY(:ids)"),
    ("migration_journal", "DELETE FROM migration_journal WHERE entity_id = ANY(:ids)"),
    ("sync_intent", "UPDATE sync_intent SET sent = '{}' WHERE entity_id = ANY(:ids)"),
    (
        "tombstone",
        """UPDATE tombstone SET reason = 'erased', snapshot = jsonb_build_object('id', entity_id, 'version', version,
           'created_at', snapshot->'created_at', '_children', '[]'::jsonb, '_associations', '[]'::jsonb)
           WHERE entity_id = ANY(:ids)""",
    ),
    (
        "webhook_delivery",
        """UPDATE webhook_delivery d SET status = 'expired', finished_at = now() FROM event e WHERE d.status = 'pending'
           AND e.tenant_id = d.tenant_id AND e.id = d.event_id AND e.subject = ANY(:ids)""",
    ),
    ("event", "UPDATE event SET data = '{}' WHERE subject = ANY(:ids)"),
    (
        "dead_letter",
        """UPDATE dead_letter d SET payload = NULL, mapped = NULL, original = NULL, status = 'resolved', resolution = 'erased',
           resolved_at = coalesce(resolved_at, now()), message = 'The person was erased.'
           WHERE entity_id = ANY(:ids) OR EXISTS (SELECT FROM link l WHERE l.entity_id = ANY(:ids)
                 AND l.connection_id = d.connection_id AND l.vendor_object = d.object AND l.vendor_id = d.vendor_id)""",
    ),
)
"""What holds values of a record and is bound to it by its id, with the statement that takes them out."""

_UNLINK = "DELETE FROM link WHERE entity_id = ANY(:ids)"
_BLANK_LINKS = "UPDATE link SET base = '{}', sent = NULL, fingerprint = NULL WHERE entity_id = ANY(:ids)"
# The rest of a link of content still holds, and the fingerprint stays: a listing that brings nothing new brings nothing back.
_STRIP_LINKS = """
    UPDATE link SET base = base - CAST(:names AS text[]), sent = sent - CAST(:names AS text[]) WHERE entity_id = ANY(:ids)"""


def _traces(conn: Connection, person: Person, done: Counter[str], *, keep_links: Set[UUID]) -> None:
    given = {"ids": person.all_ids}
    for entity in (*ENTITIES, "association"):
        done[f"stage_{entity}"] += unstaging.linked(conn, entity, person.all_ids)
    for table, statement in _OF_RECORDS:
        done[table] += conn.execute(text(statement.replace(":ids", "CAST(:ids AS uuid[])")), given).rowcount
    done["link"] += _relink(conn, person, keep_links=keep_links)
    for table in [name for name, n in done.items() if not n]:
        del done[table]


def _relink(conn: Connection, person: Person, *, keep_links: Set[UUID]) -> int:
    """Links of content stay, so that it is not created anew; those of the person only while a delete has to go out by them."""
    users = list(person.records.get("user", ()))
    gone = [i for i in person.ids if i not in set(users)]
    steps: list[tuple[str, Sequence[UUID], dict[str, Any]]] = [
        (_BLANK_LINKS, [*users, *person.files], {}),
        (_BLANK_LINKS, [i for i in gone if i in keep_links], {}),
        (_UNLINK, [i for i in gone if i not in keep_links], {}),
    ]
    steps += [
        (_STRIP_LINKS, ids, {"names": [*_personal(entity), "custom_fields"]}) for entity, ids in person.content.items()
    ]
    run = [(text(s.replace(":ids", "CAST(:ids AS uuid[])")), {"ids": list(ids)} | more) for s, ids, more in steps]
    return sum(conn.execute(statement, given).rowcount for statement, given in run)
