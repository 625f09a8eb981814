"""The change feed: every change once, in order, resumable; waiting holds neither a thread nor a connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.routes import events
from api.tails import Tails
from domain.errors import TransientError
from storage import change_feed
from storage.database import Database
from storage.sync import records
from tests.api.conftest import As

PATIENCE_S = 30.0
Write = Callable[..., UUID]


@pytest.fixture
def write(db: Database, tenant_id: UUID) -> Write:
    """``write("Ada")``: a contact, readable by everyone when it returns."""

    def one(name: str, *, settled: bool = True) -> UUID:
        with db.tenant(tenant_id) as conn:
            made = records.create(conn, tenant_id, "contact", {"last_name": name}, "tests")
            xid = conn.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")) or 0
        if settled:
            settle(db, tenant_id, xid)
        return made

    return one


def settle(db: Database, tenant_id: UUID, xid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with db.tenant(tenant_id) as conn:
            if change_feed.horizon(conn) > xid:
                return
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture
def reader(as_: As) -> TestClient:
    return as_("read_only")


def read(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/v1/changes", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def everything(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = read(client, **query, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next"]
        if not page["more"]:
            return found


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_every_change_comes_once_and_in_order(reader: TestClient, write: Write, limit: int) -> None:
    made = [write(f"P{n}", settled=n == 6) for n in range(7)]
    assert [i["entity_id"] for i in everything(reader, limit=limit)] == [str(m) for m in made]


def test_a_cursor_goes_on_behind_what_was_read_and_waits_for_late_commits(
    reader: TestClient, write: Write, db: Database, tenant_id: UUID
) -> None:
    write("first")
    cursor = read(reader)["next"]
    with db.tenant(tenant_id) as slow:
        late = records.create(slow, tenant_id, "contact", {"last_name": "late"}, "tests")
        early = write("early", settled=False)
        page = read(reader, cursor=cursor)
        assert page["items"] == []
        xid = slow.scalar(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")) or 0
    settle(db, tenant_id, xid + 1)
    assert [i["entity_id"] for i in read(reader, cursor=page["next"])["items"]] == [str(late), str(early)]


def test_from_now_on_nothing_of_before_is_told(reader: TestClient, write: Write) -> None:
    write("before")
    cursor = read(reader, cursor="now")["next"]
    after = write("after")
    assert [i["entity_id"] for i in read(reader, cursor=cursor)["items"]] == [str(after)]


def test_records_come_with_their_changes_where_asked_for(
    reader: TestClient, write: Write, db: Database, tenant_id: UUID
) -> None:
    stays, goes = write("stays"), write("goes")
    with db.tenant(tenant_id) as conn:
        records.delete(conn, tenant_id, "contact", goes, "tests")
    items = {i["entity_id"]: i for i in everything(reader, records=True)}
    assert items[str(stays)]["record"] == reader.get(f"/v1/records/contact/{stays}").json()
    assert items[str(goes)]["record"] is None
    assert all("record" not in i for i in everything(reader))


def test_a_wait_ends_with_the_change_that_comes(reader: TestClient, write: Write) -> None:
    cursor = read(reader, cursor="now")["next"]
    timer = threading.Timer(0.7, write, ("Ada",))
    timer.start()
    started = time.monotonic()
    page = read(reader, cursor=cursor, wait=25)
    timer.join()
    assert [i["kind"] for i in page["items"]] == ["created"]
    assert 0.5 < time.monotonic() - started < 20


def test_a_wait_in_vain_ends_in_time_with_a_cursor_to_go_on(reader: TestClient) -> None:
    started = time.monotonic()
    page = read(reader, cursor="now", wait=1)
    assert page["items"] == []
    assert 0.9 < time.monotonic() - started < 15


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMiwzLDRd", "WzUsMSwwXQ", "WyIxIiwyLDNd", "Wy0xLDIsM10", "bnVsbA"])
def test_a_cursor_that_is_not_ours_is_refused(reader: TestClient, cursor: str) -> None:
    answer = reader.get("/v1/changes", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


def test_a_cursor_before_what_was_purged_is_answered_410(
    reader: TestClient, write: Write, db: Database, tenant_id: UUID
) -> None:
    old = read(reader)["next"]
    write("gone")
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE change SET at = at - interval '100 days'"))
        horizon = conn.scalar(text("SELECT now() - interval '90 days'"))
        assert change_feed.purge(conn, horizon) == 1
    for path in ("/v1/changes", "/v1/changes/stream"):
        answer = reader.get(path, params={"cursor": old})
        assert (answer.status_code, answer.json()["code"]) == (410, "changes_expired")
    kept = write("kept")
    assert [i["entity_id"] for i in everything(reader)] == [str(kept)]


def test_other_tenants_changes_are_not_read(as_: As, write: Write, other_tenant_id: UUID) -> None:
    write("mine")
    assert everything(as_("read_only", other_tenant_id)) == []


def parsed(stream: str) -> list[dict[str, str]]:
    return [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in stream.split("\n\n")
        if block and not block.startswith(":")
    ]


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(events, "STREAM_S", 1.0)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.6)
    return


@pytest.mark.usefixtures("short_streams")
def test_a_stream_is_resumed_behind_its_last_id(reader: TestClient, write: Write) -> None:
    made = [str(write(f"P{n}")) for n in range(4)]
    whole = reader.get("/v1/changes/stream")
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert ": still here" in whole.text
    told = parsed(whole.text)
    assert [t["event"] for t in told] == ["change"] * 4
    for place in range(4):
        rest = reader.get("/v1/changes/stream", headers={"Last-Event-ID": told[place]["id"]})
        assert [m for m in made if m in rest.text] == made[place + 1 :]


# ---------------------------------------------------------------- those who wait


def test_however_many_wait_one_look_serves_them_all() -> None:
    looks: list[UUID] = []
    tenant = UUID(int=7)
    moved = threading.Event()

    def look(tenant_id: UUID) -> tuple[int, int]:
        looks.append(tenant_id)
        return (2, 2) if moved.is_set() else (1, 1)

    async def run() -> list[Any]:
        tails = Tails(look, every_s=0.05)
        waits = [asyncio.create_task(tails.moved(tenant, (1, 1), 20)) for _ in range(200)]
        await asyncio.sleep(0.3)
        assert len(looks) < 10
        assert threading.active_count() < 50
        moved.set()
        return await asyncio.gather(*waits)

    assert asyncio.run(run()) == [(2, 2)] * 200


def test_a_database_that_is_away_for_a_while_ends_no_wait() -> None:
    answers: list[Any] = [TransientError("away"), TransientError("away"), (2, 2)]

    def look(_: UUID) -> tuple[int, int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    tails = Tails(look, every_s=0.01)
    assert asyncio.run(tails.moved(UUID(int=1), (1, 1), 20)) == (2, 2)


def test_too_many_readers_are_told_to_come_back() -> None:
    async def run() -> None:
        tails = Tails(lambda _: (1, 1), every_s=0.05, at_most=2)
        waits = [asyncio.create_task(tails.moved(UUID(int=1), (1, 1), 0.5)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(TransientError) as caught:
            await tails.moved(UUID(int=1), (1, 1), 0.5)
        assert caught.value.code == "too_many_waiting"
        assert await asyncio.gather(*waits) == [None, None]

    asyncio.run(run())
