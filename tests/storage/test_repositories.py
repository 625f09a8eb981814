"""Connections, dead letters, file content, tenants."""

from __future__ import annotations

import hashlib
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from domain.errors import ConfigurationError
from domain.ids import new_id
from storage import blobs, connections, dead_letters, tenants
from storage.database import Database
from storage.dead_letters import Filter, NewLetter
from storage.storable import storable_json, storable_text
from storage.tables import blob_part

# ---------------------------------------------------------------- tenants


def test_a_tenant_is_made_once_and_keeps_its_name(db: Database) -> None:
    tenant = new_id()
    with db.tenant(tenant) as conn:
        assert tenants.name_of(conn, tenant) is None
        tenants.ensure(conn, tenant, "Acme")
        tenants.ensure(conn, tenant, "Other")
        assert tenants.name_of(conn, tenant) == "Acme"


# ---------------------------------------------------------------- connections


def test_a_connection_comes_back_as_it_was_made(db: Database, tenant_id: UUID) -> None:
    connection_id = new_id()
    with db.tenant(tenant_id) as conn:
        made = connections.create(
            conn,
            connection_id,
            vendor="salesforce",
            name="Main",
            settings={"instance": "https://x"},
            base_url="http://127.0.0.1:1",
        )
    with db.tenant(tenant_id) as conn:
        assert connections.get(conn, connection_id) == made == connections.by_name(conn, "Main")
        assert connections.by_name(conn, "main") is None
    assert (made.vendor, made.settings, made.status) == ("salesforce", {"instance": "https://x"}, "new")


def test_a_taken_name_is_said_plainly_and_spoils_nothing(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        connections.create(conn, new_id(), vendor="files", name="Main")
        second = connections.create(conn, new_id(), vendor="files", name="Second")
        with pytest.raises(ConfigurationError, match="already a connection named Main"):
            connections.create(conn, new_id(), vendor="files", name="Main")
        with pytest.raises(ConfigurationError, match="already a connection named Main"):
            connections.update(conn, second.id, name="Main")
        connections.update(conn, second.id, status="ok")
    with db.tenant(tenant_id) as conn:
        assert [(c.name, c.status) for c in connections.list_all(conn)] == [("Main", "new"), ("Second", "ok")]
    with db.tenant(other_tenant_id) as conn:
        connections.create(conn, new_id(), vendor="files", name="Main")


def test_update_and_delete(db: Database, tenant_id: UUID) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    with db.tenant(tenant_id) as conn:
        made = connections.create(conn, new_id(), vendor="files", name="Main")
        changed = connections.update(conn, made.id, settings={"a": "b"}, verified_at=at, remote_account="00D")
        assert changed == replace(made, settings={"a": "b"}, verified_at=at, remote_account="00D")
        with pytest.raises(TypeError, match="vendor"):
            connections.update(conn, made.id, vendor="other")
        assert connections.delete(conn, made.id)
        assert not connections.delete(conn, made.id)
        with pytest.raises(ConfigurationError, match="no connection with the id"):
            connections.get(conn, made.id)
        with pytest.raises(ConfigurationError, match="no connection with the id"):
            connections.update(conn, made.id, status="ok")


def test_connections_of_one_vendor(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        for vendor, name in (("files", "b"), ("salesforce", "c"), ("files", "a")):
            connections.create(conn, new_id(), vendor=vendor, name=name)
        assert [c.name for c in connections.list_all(conn, "files")] == ["a", "b"]
        assert [c.name for c in connections.list_all(conn)] == ["a", "b", "c"]


def test_connections_belong_to_their_tenant(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        made = connections.create(conn, new_id(), vendor="files", name="Main")
    with db.tenant(other_tenant_id) as conn:
        assert connections.list_all(conn) == []
        assert not connections.delete(conn, made.id)
        with pytest.raises(ConfigurationError):
            connections.get(conn, made.id)


# ---------------------------------------------------------------- dead letters


def _letter(number: int = 1, **changes: Any) -> NewLetter:
    letter = NewLetter(
        stage="map",
        code="bad_email",
        message="Email is not an address.",
        object="Contact",
        vendor_id=f"003{number}",
        field="email",
    )
    return replace(letter, **changes)


def _letters(db: Database, tenant_id: UUID, **wanted: Any) -> list[dead_letters.Letter]:
    with db.tenant(tenant_id) as conn:
        return dead_letters.list_letters(conn, **wanted)


def _record(db: Database, tenant_id: UUID, *letters: NewLetter) -> int:
    with db.tenant(tenant_id) as conn:
        return dead_letters.record(conn, tenant_id, letters)


def test_a_letter_comes_back_whole(db: Database, tenant_id: UUID) -> None:
    given = _letter(
        connection_id=new_id(),
        run_id=new_id(),
        entity="contact",
        entity_id=new_id(),
        place="contacts.csv, row 3, column Email",
        payload={"Email": "x", "n": [1, None]},
        mapped={"email": None},
        fault="vendor",
    )
    assert _record(db, tenant_id, given) == 1
    (stored,) = _letters(db, tenant_id)
    for name in NewLetter.__slots__:
        assert getattr(stored, name) == getattr(given, name), name
    assert (stored.attempts, stored.status, stored.fingerprint) == (1, "open", given.fingerprint)


def test_the_same_failure_counts_up(db: Database, tenant_id: UUID) -> None:
    _record(db, tenant_id, _letter(), _letter(), _letter(2))
    _record(db, tenant_id, _letter(message="Newer words.", payload={"v": 2}))
    first, second = _letters(db, tenant_id)
    assert (first.attempts, first.message, first.payload) == (3, "Newer words.", {"v": 2})
    assert first.last_at > first.first_at
    assert second.attempts == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"vendor_id": "other"},
        {"code": "bad_phone"},
        {"field": "phone"},
        {"stage": "load"},
        {"object": "Lead"},
        {"connection_id": new_id()},
    ],
)
def test_another_record_or_cause_is_another_letter(db: Database, tenant_id: UUID, changes: dict[str, Any]) -> None:
    assert _record(db, tenant_id, _letter(), _letter(**changes)) == 2


def test_records_without_an_id_are_told_apart_by_place_or_content(db: Database, tenant_id: UUID) -> None:
    nameless = _letter(vendor_id=None)
    places = [replace(nameless, place=f"row {n}") for n in range(2)]
    contents = [replace(nameless, payload={"n": n}) for n in range(2)]
    assert _record(db, tenant_id, *places, *contents, *places) == 4


def test_a_resolved_letter_opens_again(db: Database, tenant_id: UUID) -> None:
    _record(db, tenant_id, _letter(), _letter(2))
    (letter, _) = _letters(db, tenant_id)
    with db.tenant(tenant_id) as conn:
        assert dead_letters.resolve(conn, [letter.id], "replayed") == 1
        assert dead_letters.resolve(conn, [letter.id], "replayed") == 0
    assert [x.vendor_id for x in _letters(db, tenant_id)] == ["0032"]
    assert [x.status for x in _letters(db, tenant_id, status=None)] == ["resolved", "open"]
    _record(db, tenant_id, _letter())
    assert [x.vendor_id for x in _letters(db, tenant_id)] == ["0031", "0032"]


def test_a_large_batch_is_stored_and_paged(db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_ROWS_AT_ONCE", 100)
    run = new_id()
    assert _record(db, tenant_id, *(_letter(n, run_id=run) for n in range(250))) == 250
    seen: list[str | None] = []
    after = None
    while page := _letters(db, tenant_id, run_id=run, limit=60, after=after):
        seen += [letter.vendor_id for letter in page]
        after = page[-1].id
    assert len(seen) == len(set(seen)) == 250


def test_counts_by_cause(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    run = new_id()
    _record(db, tenant_id, *(_letter(n, run_id=run) for n in range(3)), _letter(code="orphan", field="account_id"))
    _record(db, other_tenant_id, _letter())
    with db.tenant(tenant_id) as conn:
        everything = dead_letters.groups(conn)
        of_run = dead_letters.groups(conn, Filter(run_id=run))
    assert [(c.code, c.field, c.count) for c in everything] == [("bad_email", "email", 3), ("orphan", "account_id", 1)]
    assert [(c.code, c.count, c.message) for c in of_run] == [("bad_email", 3, "Email is not an address.")]


def _wait_until_blocked(db: Database, pids: list[int]) -> None:
    """Until the backend in ``pids`` (empty before it has begun) waits for a lock."""
    blocked = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with db._engine.connect() as conn:
            if pids and conn.exec_driver_sql(blocked, (pids[0],)).scalar():
                return
    pytest.fail("the second writer never waited")


def test_writers_of_the_same_letters_wait_but_never_for_each_other(db: Database, tenant_id: UUID) -> None:
    first, second = sorted([_letter(1), _letter(2)], key=lambda letter: letter.key)
    errors: list[BaseException] = []
    pids: list[int] = []

    def write_backwards() -> None:
        try:
            with db.tenant(tenant_id) as conn:
                pids.append(db.raw(conn).info.backend_pid)
                dead_letters.record(conn, tenant_id, [second, first])
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=write_backwards)
    with db.tenant(tenant_id) as conn:
        dead_letters.record(conn, tenant_id, [first])
        writer.start()
        _wait_until_blocked(db, pids)
        dead_letters.record(conn, tenant_id, [second])  # a deadlock, had the other begun with this one
    writer.join()
    assert errors == []
    assert [letter.attempts for letter in _letters(db, tenant_id)] == [2, 2]


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(payload=_anything, words=st.text())
def test_whatever_a_source_holds_can_be_kept(db: Database, tenant_id: UUID, payload: Any, words: str) -> None:
    """NUL, lone surrogates, NaN, bytes, dates: a dead letter must never fail for the reason it exists."""
    letter = _letter(vendor_id=words + "x", message=words, place=words, payload={"raw": payload})
    with db.tenant(tenant_id) as conn:
        dead_letters.record(conn, tenant_id, [letter])
        stored = dead_letters.list_letters(conn)[-1]
        assert stored.message == storable_text(words)
        conn.execute(text("DELETE FROM dead_letter"))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\0b", '"a\u2400b"'),
        ("a\ud800b", '"a\ufffdb"'),
        ("\ud83d\ude00", '"😀"'),
        (float("nan"), '"nan"'),
        (Decimal("1.50"), '"1.50"'),
        (date(2024, 2, 29), '"2024-02-29"'),
        (b"\xff\x00", '"\ufffd\u2400"'),
        ({"k\0": (1, {2})}, '{"k\u2400": [1, [2]]}'),
        (None, None),
    ],
)
def test_what_json_cannot_say_becomes_text(value: Any, stored: str | None) -> None:
    assert storable_json(value) == stored


# ---------------------------------------------------------------- file content


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[i : i + size] for i in range(0, len(content), size))


@pytest.mark.parametrize("size", [0, 1, blobs.PART_BYTES - 1, blobs.PART_BYTES, blobs.PART_BYTES + 1, 3_500_000])
@pytest.mark.parametrize("piece", [70_000, 2_000_000])
def test_content_comes_back_byte_by_byte(db: Database, tenant_id: UUID, size: int, piece: int) -> None:
    content = random.Random(size).randbytes(size)
    with db.tenant(tenant_id) as conn:
        info = blobs.write(conn, tenant_id, _pieces(content, piece))
        parts = list(blobs.read(conn, info.sha256))
        assert blobs.size_of(conn, info.sha256) == size
    assert info == blobs.BlobInfo(hashlib.sha256(content).hexdigest(), size, created=True)
    assert b"".join(parts) == content
    assert all(len(part) <= blobs.PART_BYTES for part in parts)


def test_the_same_content_is_stored_once_a_tenant(db: Database, tenant_id: UUID, other_tenant_id: UUID) -> None:
    def write(tenant: UUID) -> bool:
        with db.tenant(tenant) as conn:
            return blobs.write(conn, tenant, [b"same"]).created

    assert [write(t) for t in (tenant_id, tenant_id, other_tenant_id)] == [True, False, True]
    with db.tenant(tenant_id) as conn:
        assert conn.scalar(select(func.count()).select_from(blob_part)) == 1


def test_writers_of_the_same_content_at_once(db: Database, tenant_id: UUID) -> None:
    content = random.Random(1).randbytes(2_500_000)
    infos: list[blobs.BlobInfo] = []

    def write() -> None:
        with db.tenant(tenant_id) as conn:
            infos.append(blobs.write(conn, tenant_id, _pieces(content, 100_000)))

    writers = [threading.Thread(target=write) for _ in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(info.created for info in infos) == [False] * 4 + [True]
    with db.tenant(tenant_id) as conn:
        assert b"".join(blobs.read(conn, infos[0].sha256)) == content


def test_a_writer_that_fails_leaves_the_content_to_the_next(db: Database, tenant_id: UUID) -> None:
    def write(fail: bool) -> bool:
        with db.tenant(tenant_id) as conn:
            created = blobs.write(conn, tenant_id, [b"x" * 10]).created
            if fail:
                raise ConnectionAbortedError
            return created

    with pytest.raises(ConnectionAbortedError):
        write(fail=True)
    assert write(fail=False)


def test_large_content_takes_little_memory(db: Database, tenant_id: UUID) -> None:
    pieces = 40
    with db.tenant(tenant_id) as conn:
        tracemalloc.start()
        info = blobs.write(conn, tenant_id, (bytes([n]) * blobs.PART_BYTES for n in range(pieces)))
        total = sum(len(part) for part in blobs.read(conn, info.sha256))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == pieces * blobs.PART_BYTES
    assert peak < 12 * blobs.PART_BYTES


def test_missing_and_damaged_content_is_told(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        with pytest.raises(ConfigurationError, match="no stored file content"):
            list(blobs.read(conn, "00"))
        info = blobs.write(conn, tenant_id, [b"a" * (blobs.PART_BYTES + 1)])
        conn.execute(blob_part.delete().where(blob_part.c.part == 1))
        with pytest.raises(ConfigurationError, match="lacks its part 1"):
            list(blobs.read(conn, info.sha256))
        assert blobs.delete(conn, info.sha256)
        assert blobs.size_of(conn, info.sha256) is None
        assert conn.scalar(select(func.count()).select_from(blob_part)) == 0
