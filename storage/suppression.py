"""Who was erased must not come back by the next sync, migration or form: digests of what named them, under a key of the tenant.

A digest is HMAC-SHA-256 under a random key that is sealed like a credential. So the list tells nobody who is on it, and an
address can be looked up by those alone who hold the master key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from domain.entities import ENTITIES, Kind
from domain.errors import RecordRejectedError
from domain.records import MappedBatch, Problem, Reject
from storage.database import Database
from storage.tables_privacy import suppression, suppression_key
from storage.tenancy import current_tenant
from storage.vault import Sealed, Vault

PEOPLE = ("contact", "lead", "user")
"""Entities whose records are people."""

ERASED = "person_erased"
"""The code of a record that is refused because its person was erased. Nothing of such a record is kept."""

STAYS = "person_stays"
"""The code of a record that is passed over in silence: its person was erased here, and by decision stays at the vendor."""

REFUSE, DELETE, KEEP = "refuse", "delete", "keep"
POLICIES = (REFUSE, DELETE, KEEP)
"""What an erasure means for vendors: *refuse* what they send of the person, with a dead letter each; *delete* it there, too; *keep*
it there, and pass over the records that were linked without a word."""

_ADDRESS = re.compile(r"[^\s<>\"'(),;:=&?|\[\]{}]+@[^\s<>\"'(),;:=&?|\[\]{}\\]+")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_NUMBER = re.compile(r"\+\d[\d ().-]{5,20}\d")
_TELLING_LENGTH = 3
_MESSAGE = "The record is of a person who was erased on request, so it was not taken in."
_REMEDY = "Delete it at its source; if the person agreed anew, lift the suppression."
_OWNER = UUID("00000000-0000-7000-8000-5355505052e5")
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that names a person. ``kind``: email, phone, record (`record_mark`)."""

    kind: str
    value: str

    def digest(self, key: bytes) -> bytes:
        return hmac.digest(key, f"{self.kind}\x1f{self.value.strip().casefold()}".encode(), hashlib.sha256)


def record_mark(connection_id: UUID, object_name: str, vendor_id: str) -> Mark:
    """What a vendor calls the person. Vendor ids differ by case, so it is hashed before it is folded."""
    named = "\x1f".join((str(connection_id), object_name, vendor_id)).encode()
    return Mark("record", hashlib.sha256(named).hexdigest())


def marks_of(entity: str, values: Mapping[str, Any]) -> list[Mark]:
    """The addresses and numbers in a record of a person; nothing of other records."""
    if entity not in PEOPLE:
        return []
    kinds = {Kind.EMAIL: "email", Kind.PHONE: "phone"}
    found = [(kinds[f.kind], values.get(n)) for n, f in ENTITIES[entity].all_fields.items() if f.kind in kinds]
    return [Mark(kind, value) for kind, value in found if isinstance(value, str) and value.strip()]


def key_of(conn: Connection, vault: Vault, *, create: bool = False) -> bytes | None:
    """The key of the transaction's tenant; None where nobody was ever erased and none was to be made."""
    tenant = UUID(current_tenant(conn))
    row = conn.execute(select(suppression_key)).one_or_none()
    if row is None and create:
        sealed = vault.seal(tenant, _OWNER, {"key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()})
        conn.execute(insert(suppression_key).values(tenant_id=tenant, **_columns(sealed)).on_conflict_do_nothing())
        row = conn.execute(select(suppression_key)).one()
    if row is None:
        return None
    sealed = Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext))
    return base64.b64decode(vault.open(tenant, _OWNER, sealed)["key"])


def reseal(conn: Connection, vault: Vault) -> int:
    """Put the tenant's key under the current master key; the digests stay as they are. Returns how many keys it was."""
    tenant = UUID(current_tenant(conn))
    row = conn.execute(select(suppression_key).with_for_update()).one_or_none()
    if row is None or row.key_id == vault.current_key:
        return 0
    plain = vault.open(tenant, _OWNER, Sealed(row.key_id, bytes(row.wrapped_key), bytes(row.ciphertext)))
    conn.execute(suppression_key.update().values(**_columns(vault.seal(tenant, _OWNER, plain))))
    return 1


def add(conn: Connection, key: bytes, marks: Iterable[Mark], erasure_id: UUID, policy: str = REFUSE) -> int:
    """Suppress marks; returns how many are new. ``policy``: one of `POLICIES`."""
    tenant = current_tenant(conn)
    rows = {m.digest(key): m.kind for m in marks}
    if not rows:
        return 0
    values = [
        {"tenant_id": tenant, "digest": d, "kind": kind, "erasure_id": erasure_id, "policy": policy}
        for d, kind in sorted(rows.items())
    ]
    done = insert(suppression).values(values).on_conflict_do_nothing().returning(suppression.c.digest)
    return len(conn.execute(done).all())


def lift(conn: Connection, key: bytes | None, marks: Iterable[Mark]) -> int:
    """Let a person back in: suppressed marks of the same erasures go together. Returns how many went."""
    if key is None:
        return 0
    digests = [m.digest(key) for m in marks]
    erasures = select(suppression.c.erasure_id).where(suppression.c.digest.in_(digests))
    return conn.execute(suppression.delete().where(suppression.c.erasure_id.in_(erasures))).rowcount


def count(conn: Connection) -> int:
    """How many marks the tenant suppresses."""
    return int(conn.scalar(select(func.count()).select_from(suppression)) or 0)


def suppressed(conn: Connection, key: bytes, marks: Iterable[Mark]) -> dict[Mark, str]:
    """Those of the marks that are suppressed, and by which policy."""
    digests = {m: m.digest(key) for m in marks}  # two spellings of an address have one
    if not digests:
        return {}
    query = select(suppression.c.digest, suppression.c.policy).where(suppression.c.digest.in_(set(digests.values())))
    found = {bytes(row.digest): row.policy for row in conn.execute(query)}
    return {mark: found[digest] for mark, digest in digests.items() if digest in found}


def refuse(conn: Connection, vault: Vault, entity: str, values: Mapping[str, Any]) -> None:
    """Raise RecordRejectedError (`person_erased`) where the values are those of someone who was erased."""
    if erased_among(conn, vault, entity, [values]):
        raise refused()


def erased_among(conn: Connection, vault: Vault, entity: str, records: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """The places of those records whose values are of someone who was erased."""
    marks = [marks_of(entity, values) for values in records]
    key = key_of(conn, vault) if any(marks) else None
    if key is None:
        return frozenset()
    gone = suppressed(conn, key, {mark for found in marks for mark in found})
    return frozenset(place for place, found in enumerate(marks) if not gone.keys().isdisjoint(found))


def refused() -> RecordRejectedError:
    """The error for a record of someone who was erased."""
    return RecordRejectedError(_MESSAGE, remedy=_REMEDY, code=ERASED)


def names_erased(conn: Connection, vault: Vault, data: Any) -> bool:
    """Whether an address or an international number of someone who was erased stands anywhere in JSON or bytes ``data``."""
    if not _anybody(conn):
        return False
    return bool(naming(conn, key_of(conn, vault), [data]))


def naming(conn: Connection, key: bytes | None, payloads: Sequence[Any]) -> frozenset[int]:
    """The places of those payloads (JSON or bytes, which nobody may be able to read) in which someone stands who was erased."""
    if key is None or not payloads or not _anybody(conn):
        return frozenset()
    marks = [{mark for said in _texts(data) for mark in _named_in(said)} for data in payloads]
    gone = suppressed(conn, key, set().union(*marks))
    return frozenset(place for place, found in enumerate(marks) if found & gone.keys())


def unkept(conn: Connection, key: bytes | None, rejects: Sequence[Reject]) -> list[Reject]:
    """Rows that could not be read or mapped, without what they hold where they name someone who was erased."""
    named = naming(conn, key, [[r.raw, r.vendor_id] for r in rejects])
    return [r if place not in named or key is None else _emptied(key, r) for place, r in enumerate(rejects)]


def _emptied(key: bytes, rejected: Reject) -> Reject:
    known = rejected.vendor_id
    return replace(rejected, raw=None, vendor_id=None if known is None else _unnamed(key, known, {}))


def _anybody(conn: Connection) -> bool:
    """Whether the tenant erased anybody at all."""
    return conn.scalar(select(suppression.c.kind).limit(1)) is not None


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, bytes):
        yield data.replace(b"\0", b"").decode("utf-8", "replace")  # UTF-16 of Western text comes out right, too
    elif isinstance(data, Mapping):
        for name, value in data.items():
            yield str(name)
            yield from _texts(value)
    elif isinstance(data, Sequence):
        for value in data:
            yield from _texts(value)


def _named_in(said: str) -> Iterator[Mark]:
    """What a text names, as it stands and as forms and JSON write it."""
    for form in {said, unquote(said), _ESCAPE.sub(lambda found: chr(int(found[1], 16)), said)}:
        yield from (Mark("email", found.strip(".")) for found in _ADDRESS.findall(form))
        yield from (Mark("phone", "+" + re.sub(r"\D", "", found)) for found in _NUMBER.findall(form))


def screen(
    conn: Connection, key: bytes | None, batch: MappedBatch, connection_id: UUID, object_name: str
) -> MappedBatch:
    """The batch, with the records of erased people refused, or passed over where they stay at the vendor.

    What a refused record is called there is told only where that does not name its person. Costs one small query while the tenant
    erased nobody.
    """
    if key is None or batch.entity not in PEOPLE or not _anybody(conn):
        return batch
    by_row = [
        [record_mark(connection_id, object_name, vendor_id), *marks_of(batch.entity, _row(batch, row))]
        for row, vendor_id in enumerate(batch.vendor_ids)
    ]
    gone = suppressed(conn, key, {m for marks in by_row for m in marks})
    found = {row: _code(gone, marks) for row, marks in enumerate(by_row) if gone.keys() & set(marks)}
    if not found:
        return batch
    refused = [Problem(row, code, _MESSAGE, rejects=True) for row, code in found.items()]
    ids = list(batch.vendor_ids)
    for row in found:
        ids[row] = _unnamed(key, ids[row], _row(batch, row))
    return replace(batch, vendor_ids=ids, problems=[*refused, *batch.problems])


def _code(gone: Mapping[Mark, str], marks: Sequence[Mark]) -> str:
    """By what the vendor calls it, or else by what it says: an address may have come into another record since."""
    return STAYS if gone.get(marks[0]) == KEEP else ERASED


def _unnamed(key: bytes, vendor_id: str, values: Mapping[str, Any]) -> str:
    """A vendor's id of a record, or a keyed digest in place of one that names its person: an address, a number, part of a name."""
    said = vendor_id.casefold()
    texts = [v.casefold() for v in values.values() if isinstance(v, str) and len(v.strip()) >= _TELLING_LENGTH]
    if not any(_named_in(vendor_id)) and not any(t.strip() in said for t in texts if not t.isdecimal()):
        return vendor_id
    return "erased:" + hmac.digest(key, f"id\x1f{vendor_id}".encode(), hashlib.sha256)[:12].hex()


@dataclass(frozen=True, slots=True)
class Guard:
    """`screen` for those who hold no transaction. A new erasure is seen at the next batch."""

    db: Database
    vault: Callable[[], Vault]
    tenant_id: UUID
    connection_id: UUID
    object: str

    def __call__(self, batch: MappedBatch) -> MappedBatch:
        if batch.entity not in PEOPLE or not batch.vendor_ids:
            return batch
        with self.db.tenant(self.tenant_id) as conn:
            if not _anybody(conn):
                return batch
            return screen(conn, key_of(conn, self.vault()), batch, self.connection_id, self.object)

    def naming(self, payloads: Sequence[Any]) -> frozenset[int]:
        """The places of those payloads in which someone stands who was erased."""
        if not payloads:
            return frozenset()
        with self.db.tenant(self.tenant_id) as conn:
            return naming(conn, key_of(conn, self.vault()), payloads) if _anybody(conn) else frozenset()


def _row(batch: MappedBatch, row: int) -> dict[str, Any]:
    return {name: column[row] for name, column in batch.columns.items()}


def _columns(sealed: Sealed) -> dict[str, Any]:
    return {"key_id": sealed.key_id, "wrapped_key": sealed.wrapped_key, "ciphertext": sealed.ciphertext}
