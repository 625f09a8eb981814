"""Deliveries share commits: each hears of its own after it, one that cannot be stored fails alone, tenants stay apart."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest

from domain.errors import RecordRejectedError, StorageFullError, SynclineError, TransientError
from domain.ids import new_id
from storage import inbox
from storage.database import Database
from storage.embedded import ServerUrls
from storage.intake import AT_ONCE, UNDER_WAY_MOST, Delivery, InboxWriter
from tests.conftest import PATIENT_S, new_tenant

T = TypeVar("T")
ENDPOINT = new_id()


def with_writer(url: str, work: Callable[[InboxWriter], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        writer = InboxWriter(url, **{"answer_within_s": float(PATIENT_S)} | options)
        try:
            return await work(writer)
        finally:
            await writer.close()

    return asyncio.run(run())


def delivery(tenant_id: UUID, key: str, **more: Any) -> Delivery:
    return dataclasses.replace(Delivery(tenant_id, ENDPOINT, key, b"{}"), **more)


def counted_connections(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each connection that any writer tries to make from now on."""
    tries: list[None] = []
    connected = InboxWriter._connected

    async def counted(self: InboxWriter) -> Any:
        tries.append(None)
        return await connected(self)

    monkeypatch.setattr(InboxWriter, "_connected", counted)
    return tries


def stored(db: Database, tenant_id: UUID) -> list[str]:
    """Keys of what a tenant's inbox holds, in the order of arrival."""
    with db.tenant(tenant_id) as conn:
        return [e.dedupe_key for e in reversed(inbox.entries(conn, limit=100_000))]


def test_a_delivery_comes_back_as_it_was_sent(db: Database, tenant_id: UUID, database_urls: ServerUrls) -> None:
    sent = delivery(tenant_id, "k", body=bytes(range(256)), headers='{"x-topic": "a"}')
    assert with_writer(database_urls.app, lambda w: w.store(sent)) is True
    with db.tenant(tenant_id) as conn:
        [entry] = inbox.entries(conn)
        assert inbox.payload(conn, entry.id) == ({"x-topic": "a"}, bytes(range(256)))
    assert (entry.status, entry.endpoint_id) == ("pending", ENDPOINT)


def test_what_is_there_already_is_not_stored_again_whoever_sends_it_at_the_same_time(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def work(writer: InboxWriter) -> list[bool]:
        other = InboxWriter(database_urls.app)
        posts = [w.store(delivery(tenant_id, f"k{n % 50}")) for n in range(500) for w in (writer, other)]
        found = await asyncio.gather(*posts)
        await other.close()
        return found

    found = with_writer(database_urls.app, work)
    assert found.count(True) == 50
    assert sorted(stored(db, tenant_id)) == sorted(f"k{n}" for n in range(50))


def test_deliveries_keep_the_order_of_their_arrival(db: Database, tenant_id: UUID, database_urls: ServerUrls) -> None:
    keys = [f"{n * 7919 % 1000:03}" for n in range(1000)]

    async def work(writer: InboxWriter) -> None:
        await asyncio.gather(*(writer.store(delivery(tenant_id, key)) for key in keys))

    with_writer(database_urls.app, work)
    assert stored(db, tenant_id) == keys


def test_what_queues_during_a_commit_shares_the_next_one(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    told: list[Any] = []

    async def work(writer: InboxWriter) -> None:
        await asyncio.gather(*(writer.store(delivery(tenant_id, str(n))) for n in range(300)))

    with_writer(database_urls.app, work, on_stored=told.append)
    assert len(told) < 10
    assert told[0] == {(tenant_id, ENDPOINT)}


def test_one_that_cannot_be_stored_fails_alone(db: Database, tenant_id: UUID, database_urls: ServerUrls) -> None:
    keys = [f"bad\0{n}" if n in (3, 40, 41) else f"good{n}" for n in range(64)]

    async def work(writer: InboxWriter) -> list[Any]:
        posts = [writer.store(delivery(tenant_id, key)) for key in keys]
        return await asyncio.gather(*posts, return_exceptions=True)

    found = with_writer(database_urls.app, work)
    assert [n for n, r in enumerate(found) if isinstance(r, RecordRejectedError)] == [3, 40, 41]
    assert found.count(True) == 61
    assert stored(db, tenant_id) == [key for key in keys if key.startswith("good")]


def test_a_row_that_the_server_refuses_fails_alone(db: Database, tenant_id: UUID, database_urls: ServerUrls) -> None:
    async def work(writer: InboxWriter) -> list[Any]:
        posts = [writer.store(delivery(tenant_id, str(n), headers="{" if n == 5 else None)) for n in range(20)]
        return await asyncio.gather(*posts, return_exceptions=True)

    found = with_writer(database_urls.app, work)
    assert [n for n, r in enumerate(found) if isinstance(r, RecordRejectedError)] == [5]
    assert len(stored(db, tenant_id)) == 19


def test_tenants_in_one_batch_stay_apart(db: Database, database_urls: ServerUrls) -> None:
    tenants = [new_tenant(db) for _ in range(5)]

    async def work(writer: InboxWriter) -> None:
        await asyncio.gather(*(writer.store(delivery(tenants[n % 5], f"{n}")) for n in range(100)))

    with_writer(database_urls.app, work)
    for place, tenant in enumerate(tenants):
        assert stored(db, tenant) == [f"{n}" for n in range(100) if n % 5 == place]


def test_the_same_key_at_another_tenant_is_another_delivery(
    db: Database, tenant_id: UUID, other_tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def work(writer: InboxWriter) -> list[bool]:
        return await asyncio.gather(*(writer.store(delivery(t, "same")) for t in (tenant_id, other_tenant_id)))

    assert with_writer(database_urls.app, work) == [True, True]


def _cut(admin_url: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'syncline intake' AND datname = current_database()"
        )


def test_a_connection_lost_under_a_commit_is_told_and_the_next_delivery_finds_a_new_one(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def work(writer: InboxWriter) -> list[object]:
        outcomes: list[object] = [await writer.store(delivery(tenant_id, "before"))]
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            posts = [asyncio.ensure_future(writer.store(delivery(tenant_id, f"lost {n}"))) for n in range(20)]
            await asyncio.sleep(0.1)  # on their way, and in the queue behind them
            await asyncio.to_thread(_cut, database_urls.admin)
            found = await asyncio.gather(*posts[:8], return_exceptions=True)
            outcomes += {getattr(e, "code", e) for e in found}
        await asyncio.gather(*posts, return_exceptions=True)
        outcomes.append(await writer.store(delivery(tenant_id, "after")))
        return outcomes

    found = with_writer(database_urls.app, work)
    assert found == [True, "database_unavailable", True]
    assert {"before", "after"} <= set(stored(db, tenant_id))


def test_a_connection_lost_while_nothing_is_under_way_costs_no_delivery(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def work(writer: InboxWriter) -> list[object]:
        first = await writer.store(delivery(tenant_id, "before"))
        lost = writer._pipeline
        await asyncio.to_thread(_cut, database_urls.admin)
        async with asyncio.timeout(10):
            while writer._pipeline is lost:
                await asyncio.sleep(0.01)
        return [first, await writer.store(delivery(tenant_id, "after"))]

    assert with_writer(database_urls.app, work) == [True, True]
    assert stored(db, tenant_id) == ["before", "after"]


def test_a_batch_that_is_refused_takes_nothing_of_the_one_behind_it_along(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    """Both are on their way at once, on one connection."""

    async def work(writer: InboxWriter) -> list[Any]:
        await writer.store(delivery(tenant_id, "first"))
        keys = ["bad\0", *(f"good{n}" for n in range(AT_ONCE * UNDER_WAY_MOST))]
        posts = [asyncio.ensure_future(writer.store(delivery(tenant_id, key))) for key in keys]
        await asyncio.sleep(0)
        assert writer._under_way == UNDER_WAY_MOST
        return await asyncio.gather(*posts, return_exceptions=True)

    refused, *others = with_writer(database_urls.app, work)
    assert isinstance(refused, RecordRejectedError)
    assert set(others) == {True}
    assert len(stored(db, tenant_id)) == 1 + AT_ONCE * UNDER_WAY_MOST


def test_one_who_cannot_be_told_keeps_nobody_else_from_hearing(
    db: Database, tenant_id: UUID, database_urls: ServerUrls, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(_outcome: object) -> None:
        raise RuntimeError("hung up")

    async def work(writer: InboxWriter) -> bool:
        writer.put(delivery(tenant_id, "a"), gone)
        return await writer.store(delivery(tenant_id, "b"))

    assert with_writer(database_urls.app, work) is True
    assert stored(db, tenant_id) == ["a", "b"]
    assert "nobody could be told" in caplog.text


def test_a_server_that_is_not_there_is_told_at_once(tenant_id: UUID) -> None:
    async def work(writer: InboxWriter) -> SynclineError:
        with pytest.raises(TransientError) as raised:
            await writer.store(delivery(tenant_id, "k"))
        return raised.value

    assert with_writer("postgresql://nobody@127.0.0.1:1/none", work).code == "database_unavailable"


def test_a_server_that_does_not_answer_leaves_the_loop_free_and_everyone_told(
    db: Database, tenant_id: UUID, database_urls: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.intake.COMMIT_WITHIN_S", 0.5)
    longest = 0.0

    async def beats() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - before)

    async def work(writer: InboxWriter) -> list[Any]:
        await writer.store(delivery(tenant_id, "first"))
        beating = asyncio.create_task(beats())
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            posts = [writer.store(delivery(tenant_id, str(n))) for n in range(5)]
            found = await asyncio.gather(*posts, return_exceptions=True)
        beating.cancel()
        assert await _accepting(writer, tenant_id) == [True]
        return found

    found = with_writer(database_urls.app, work)
    assert {getattr(e, "code", e) for e in found} == {"database_unavailable"}
    assert longest < 1.5
    assert stored(db, tenant_id)[0] == "first"


def test_whoever_waits_too_long_is_told_and_the_commit_under_way_goes_on(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    """Somebody holds the table. The answer comes while he still does, and later ones without any wait."""

    async def work(writer: InboxWriter) -> tuple[list[Any], list[Any], list[bool]]:
        await _first(writer, tenant_id, 0.2)
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            under_way = [asyncio.ensure_future(writer.store(delivery(tenant_id, f"sent {n}"))) for n in range(AT_ONCE)]
            under_way += [
                asyncio.ensure_future(writer.store(delivery(tenant_id, f"sent, too {n}"))) for n in range(AT_ONCE)
            ]
            queued = [asyncio.ensure_future(writer.store(delivery(tenant_id, f"queued {n}"))) for n in range(3)]
            waited = await asyncio.gather(*under_way, *queued, return_exceptions=True)
            at_once: list[Any] = []
            for n in range(3):
                with pytest.raises(TransientError) as raised:
                    writer.put(delivery(tenant_id, f"refused {n}"), at_once.append)
                at_once.append(raised.value)
        after = await _accepting(writer, tenant_id)
        assert writer._queued_bytes == 0, "the room of those who were sent away is not given back"
        return waited, at_once, after

    waited, at_once, after = with_writer(database_urls.app, work)
    assert {getattr(e, "code", e) for e in [*waited, *at_once]} == {"database_unavailable"}
    assert (len(waited), len(at_once)) == (2 * AT_ONCE + 3, 3)
    assert after == [True]
    keys = stored(db, tenant_id)
    assert {f"sent {n}" for n in range(AT_ONCE)} <= set(keys), "the commit that was under way was given up"
    assert not [key for key in keys if key.startswith(("queued", "refused"))]


async def _first(writer: InboxWriter, tenant_id: UUID, within_s: float) -> None:
    """Store one with patience; whoever comes after it waits for ``within_s``."""
    await writer.store(delivery(tenant_id, "first"))
    writer._answer_within_s = within_s
    if writer._watch is not None:  # set for the patient one
        writer._watch.cancel()
        writer._watch = None


async def _accepting(writer: InboxWriter, tenant_id: UUID) -> list[bool]:
    """Try, with patience, until one is stored."""
    writer._answer_within_s = float(PATIENT_S)
    async with asyncio.timeout(20):
        while True:
            try:
                return [await writer.store(delivery(tenant_id, "after"))]
            except TransientError:
                await asyncio.sleep(0.01)


def test_what_was_told_is_not_kept_and_late_for_nobody(tenant_id: UUID, database_urls: ServerUrls) -> None:
    async def work(writer: InboxWriter) -> None:
        await asyncio.gather(*(writer.store(delivery(tenant_id, str(n))) for n in range(50)))
        assert not writer._untold
        writer._look()
        assert writer._watch is None
        assert not writer._silent

    with_writer(database_urls.app, work)


def test_whoever_was_told_that_it_took_too_long_hears_nothing_more(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    """The commit goes through afterwards; a second word would be an answer to nobody's question."""

    async def work(writer: InboxWriter) -> list[Any]:
        heard: list[Any] = []
        await _first(writer, tenant_id, 0.1)
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            for n in range(AT_ONCE):
                writer.put(delivery(tenant_id, str(n)), heard.append)
            async with asyncio.timeout(7):
                while len(heard) < AT_ONCE:
                    await asyncio.sleep(0.01)
        await _accepting(writer, tenant_id)
        return heard

    heard = with_writer(database_urls.app, work)
    assert [getattr(outcome, "code", outcome) for outcome in heard] == ["database_unavailable"] * AT_ONCE
    assert {str(n) for n in range(AT_ONCE)} <= set(stored(db, tenant_id))


def test_a_silent_connection_that_ends_is_made_anew(tenant_id: UUID, database_urls: ServerUrls) -> None:
    async def work(writer: InboxWriter) -> list[bool]:
        await _first(writer, tenant_id, 0.1)
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TransientError):
                await writer.store(delivery(tenant_id, "away"))
            await asyncio.to_thread(_cut, database_urls.admin)
            async with asyncio.timeout(7):
                while writer._pipeline is not None:
                    await asyncio.sleep(0.01)
        return await _accepting(writer, tenant_id)

    assert with_writer(database_urls.app, work) == [True]


def test_a_silent_server_is_asked_again_without_anybody_waiting_for_it(
    db: Database, tenant_id: UUID, database_urls: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was given up, and the next ones hang as well: preparing needs the table that somebody holds."""
    tries = counted_connections(monkeypatch)

    async def work(writer: InboxWriter) -> list[bool]:
        await _first(writer, tenant_id, 0.1)
        monkeypatch.setattr("storage.intake.COMMIT_WITHIN_S", 1.0)
        with psycopg.connect(database_urls.admin) as admin:
            admin.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TransientError):
                await writer.store(delivery(tenant_id, "away"))
            async with asyncio.timeout(20):
                while len(tries) < 4:
                    await asyncio.sleep(0.01)
            with pytest.raises(TransientError):
                writer.put(delivery(tenant_id, "refused"), lambda _: None)
        async with asyncio.timeout(20):
            while writer._pipeline is None:
                await asyncio.sleep(0.01)
        writer._answer_within_s = float(PATIENT_S)
        return [await writer.store(delivery(tenant_id, "after"))]

    assert with_writer(database_urls.app, work) == [True]
    assert stored(db, tenant_id)[0] == "first"


def test_what_was_answered_while_the_loop_was_busy_is_not_late(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    """Timers are looked at before sockets: the commit has long arrived."""

    async def work(writer: InboxWriter) -> bool:
        await _first(writer, tenant_id, 0.2)
        waiting = asyncio.ensure_future(writer.store(delivery(tenant_id, "second")))
        while not writer._under_way:
            await asyncio.sleep(0)
        with psycopg.connect(database_urls.app) as conn:
            conn.execute("SELECT set_config('app.tenant_id', %s, false)", [str(tenant_id)])
            asked = "SELECT count(*) FROM inbox WHERE dedupe_key = 'second'"
            while conn.execute(asked).fetchone() != (1,):
                time.sleep(0.01)
            time.sleep(0.3)  # so busy is this process with something else
        return await waiting

    assert with_writer(database_urls.app, work) is True
    assert stored(db, tenant_id) == ["first", "second"]


def test_too_much_waiting_is_refused_and_not_kept_in_memory(
    tenant_id: UUID, database_urls: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.intake.QUEUED_BYTES_MOST", 1_000)

    async def work(writer: InboxWriter) -> list[Any]:
        posts = [writer.store(delivery(tenant_id, str(n), body=b"x" * 400)) for n in range(10)]
        return await asyncio.gather(*posts, return_exceptions=True)

    found = with_writer(database_urls.app, work)
    assert found[:3] == [True, True, True]
    assert {getattr(e, "code", e) for e in found[3:]} == {"intake_busy"}


def test_closing_stores_what_is_queued_and_takes_nothing_more(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def run() -> None:
        writer = InboxWriter(database_urls.app)
        posts = [asyncio.ensure_future(writer.store(delivery(tenant_id, str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        await writer.close()
        assert await asyncio.gather(*posts) == [True] * 50
        with pytest.raises(TransientError):
            await writer.store(delivery(tenant_id, "late"))

    asyncio.run(run())
    assert len(stored(db, tenant_id)) == 50


def test_it_writes_as_the_application_role_and_waits_for_the_disk_whatever_the_login_and_the_server_say(
    database_urls: ServerUrls,
) -> None:
    async def work(writer: InboxWriter) -> Any:
        pipeline = await writer._connected()
        await pipeline.prepare({b"ask": b"SELECT current_user::text, current_setting('synchronous_commit')"})
        [answer] = await pipeline.run([(b"ask", ())])
        return answer.get_value(0, 0), answer.get_value(0, 1)

    with Database.connect(database_urls.admin) as privileged:
        assert with_writer(privileged.url, work) == (b"syncline_app", b"on")


def test_a_commit_that_fails_is_told_to_everyone_and_nothing_of_it_stands(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    """The statements went well and the commit itself does not: a constraint that is only checked then."""
    with psycopg.connect(database_urls.admin, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$"
        )
        admin.execute(
            "CREATE CONSTRAINT TRIGGER refuse_late AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED"
            f" FOR EACH ROW WHEN (NEW.tenant_id = '{tenant_id}') EXECUTE FUNCTION refuse_late()"
        )
        try:

            async def work(writer: InboxWriter) -> list[Any]:
                posts = [writer.store(delivery(tenant_id, str(n))) for n in range(10)]
                return await asyncio.gather(*posts, return_exceptions=True)

            found = with_writer(database_urls.app, work)
        finally:
            admin.execute("DROP TRIGGER refuse_late ON inbox")
            admin.execute("DROP FUNCTION refuse_late()")
    assert {type(e) for e in found} == {StorageFullError}
    assert stored(db, tenant_id) == []


def test_a_full_disk_costs_no_connection_and_is_not_tried_for_every_delivery(
    db: Database, tenant_id: UUID, database_urls: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.intake.REFUSED_FOR_S", 600)

    async def work(writer: InboxWriter) -> bool:
        await writer.store(delivery(tenant_id, "first"))
        before = writer._pipeline
        with pytest.raises(StorageFullError):
            await writer.store(delivery(tenant_id, "full"))
        for _ in range(2):
            with pytest.raises(StorageFullError) as raised:
                writer.put(delivery(tenant_id, "refused"), lambda _: None)
            assert raised.value.code == "storage_full"
        assert writer._pipeline is before
        writer._refused = 0.0, writer._refused[1]  # the time has passed
        return await writer.store(delivery(tenant_id, "after"))

    with psycopg.connect(database_urls.admin, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$"
        )
        admin.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON inbox FOR EACH ROW"
            f" WHEN (NEW.tenant_id = '{tenant_id}' AND NEW.dedupe_key = 'full') EXECUTE FUNCTION no_room()"
        )
        try:
            assert with_writer(database_urls.app, work) is True
        finally:
            admin.execute("DROP FUNCTION no_room() CASCADE")
    assert stored(db, tenant_id) == ["first", "after"]


def test_a_server_that_refuses_connections_is_not_tried_for_every_delivery(
    tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.intake.REFUSED_FOR_S", 600)
    tries = counted_connections(monkeypatch)

    async def work(writer: InboxWriter) -> list[str]:
        codes = []
        for n in range(5):
            with pytest.raises(TransientError) as raised:
                await writer.store(delivery(tenant_id, str(n)))
            codes.append(raised.value.code)
        return codes

    assert with_writer("postgresql://nobody@127.0.0.1:1/none", work) == ["database_unavailable"] * 5
    assert len(tries) == 1


def test_a_moment_is_kept_to_the_microsecond(db: Database, tenant_id: UUID, database_urls: ServerUrls) -> None:
    moments = [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 3, 1, 12, 0, 0, 1, timezone(timedelta(hours=5, minutes=30))),
        None,
    ]

    async def work(writer: InboxWriter) -> None:
        await asyncio.gather(
            *(writer.store(delivery(tenant_id, f"{n}", occurred_at=at)) for n, at in enumerate(moments))
        )

    with_writer(database_urls.app, work)
    with db.tenant(tenant_id) as conn:
        assert [entry.occurred_at for entry in reversed(inbox.entries(conn))] == moments


def test_a_batch_larger_than_the_sockets_buffers_is_stored_whole(
    db: Database, tenant_id: UUID, database_urls: ServerUrls
) -> None:
    async def work(writer: InboxWriter) -> list[bool]:
        posts = [writer.store(delivery(tenant_id, f"{n:03}", body=b"x" * 500_000)) for n in range(30)]
        return await asyncio.gather(*posts)

    assert with_writer(database_urls.app, work) == [True] * 30
    assert len(stored(db, tenant_id)) == 30
