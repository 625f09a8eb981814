"""Webhooks at the door: what is believed is stored before it is answered, everything else is refused within limits."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest

from api import intake as door
from api.intake import IntakeApp
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.errors import TransientError
from storage import inbound_endpoints
from storage.embedded import EmbeddedPostgres, ServerUrls
from tests.api.intake_calls import SETTINGS, Address, Answer, post, send, with_app
from webhooks.inbound import intake as doorman
from webhooks.inbound.addresses import PREFIX, ref_of


@pytest.fixture
def address(hub: Hub, tenant_id: UUID) -> Address:
    return Address.make(hub, tenant_id)


def one(hub: Hub, address: Address, body: bytes, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """One post, correctly signed unless ``headers`` say otherwise."""
    given = address.signed(body) if headers is None else headers
    return with_app(hub, lambda app: send(app, more.pop("path", address.path), [body], given, **more))


def test_a_signed_post_is_stored_and_acknowledged(hub: Hub, address: Address) -> None:
    answer = one(hub, address, post("a"))
    assert (answer.status, answer.body) == (202, b'{"status":"accepted"}')
    assert address.keys() == ["a"]


def test_the_same_post_again_gets_the_same_answer_and_is_not_stored(hub: Hub, address: Address) -> None:
    body = post("a")
    answers = [one(hub, address, body) for _ in range(3)]
    assert {(a.status, a.body) for a in answers} == {(202, b'{"status":"accepted"}')}
    assert address.keys() == ["a"]


def test_the_same_post_many_times_at_once_is_stored_once(hub: Hub, address: Address) -> None:
    body = post("a")

    async def work(app: IntakeApp) -> list[Answer]:
        return await asyncio.gather(*(send(app, address.path, [body], address.signed(body)) for _ in range(200)))

    assert {a.status for a in with_app(hub, work)} == {202}
    assert address.keys() == ["a"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "webhook_signature_missing"),
        ({"x-signature": "sha256=" + "0" * 64}, 401, "webhook_signature_wrong"),
    ],
)
def test_what_is_not_signed_is_refused_and_not_stored(
    hub: Hub, address: Address, headers: dict[str, str], status: int, code: str
) -> None:
    answer = one(hub, address, post("a"), headers)
    assert (answer.status, answer.code) == (status, code)
    assert address.keys() == []


def test_a_signature_of_another_endpoints_secret_is_refused(hub: Hub, address: Address) -> None:
    other = Address.make(hub, address.tenant_id, "other")
    body = post("a")
    assert one(hub, address, body, other.signed(body)).status == 401


def test_another_tenants_id_in_the_address_leads_nowhere(hub: Hub, address: Address, other_tenant_id: UUID) -> None:
    body = post("a")
    answer = one(hub, address, body, address.signed(body), path=PREFIX + ref_of(other_tenant_id, address.id))
    assert (answer.status, answer.code) == (404, "no_such_endpoint")


@pytest.mark.parametrize(
    "ref", ["", "x", "A" * 43, "A" * 42 + "B", "A" * 42 + "=", "A" * 41 + "==", "!" * 43, "A" * 10_000]
)
def test_an_address_that_is_none_is_not_found(hub: Hub, ref: str) -> None:
    assert with_app(hub, lambda app: send(app, PREFIX + ref)).status == 404


def test_who_posts_to_no_endpoint_is_hung_up_on_instead_of_read_for_ever(hub: Hub, tenant_id: UUID) -> None:
    read: list[int] = []
    path = PREFIX + ref_of(tenant_id, tenant_id)
    answer = with_app(hub, lambda app: send(app, path, [b"x" * 1_000] * 100, read=read))
    assert (answer.status, answer.headers["connection"], read) == (404, "close", [])


def test_another_method_is_refused(hub: Hub, address: Address) -> None:
    assert one(hub, address, b"", method="DELETE").status == 405


def test_an_endpoint_without_a_secret_asks_the_sender_to_come_again(hub: Hub, tenant_id: UUID) -> None:
    with hub.db.tenant(tenant_id) as conn:
        made = inbound_endpoints.create(conn, name="bare", scheme="generic", settings=SETTINGS)
    address = Address(hub, tenant_id, made.id, "unknown")
    answer = one(hub, address, post("a"))
    assert (answer.status, answer.code) == (503, "webhook_no_secret")
    assert int(answer.headers["retry-after"]) > 0


def test_a_paused_endpoint_still_stores(hub: Hub, address: Address) -> None:
    with hub.db.tenant(address.tenant_id) as conn:
        inbound_endpoints.update(conn, address.id, status="paused")
    assert one(hub, address, post("a")).status == 202
    assert address.keys() == ["a"]


def test_a_removed_endpoint_accepts_nothing(hub: Hub, address: Address) -> None:
    with hub.db.tenant(address.tenant_id) as conn:
        inbound_endpoints.remove(conn, address.id)
    assert one(hub, address, post("a")).status == 404


def test_both_secrets_hold_during_the_overlap_and_only_the_new_one_without(hub: Hub, address: Address) -> None:
    new = address.rotated(timedelta(hours=1))
    body, later = post("a"), post("b")
    assert one(hub, address, body).status == 202
    assert one(hub, address, later, address.signed(later, new)).status == 202
    newest = address.rotated(timedelta(0))
    assert one(hub, address, post("c")).status == 401
    assert one(hub, address, post("d"), address.signed(post("d"), newest)).status == 202


def test_a_revoked_endpoint_is_forgotten_within_the_time_promised(hub: Hub, address: Address) -> None:
    now = 0.0
    known = doorman.Endpoints(doorman.lookup_in(hub.db, hub.vault), clock=lambda: now)

    async def work() -> list[bool]:
        nonlocal now
        found = [await known.get(address.tenant_id, address.id) is not None]
        with hub.db.tenant(address.tenant_id) as conn:
            inbound_endpoints.remove(conn, address.id)
        now = doorman.RENEWED_AFTER_S - 0.1
        found.append(await known.get(address.tenant_id, address.id) is not None)
        now = doorman.KNOWN_FOR_S
        found.append(await known.get(address.tenant_id, address.id) is not None)
        return found

    assert asyncio.run(work()) == [True, True, False]


def test_many_requests_to_an_unknown_endpoint_look_it_up_once(tenant_id: UUID) -> None:
    asked: list[UUID] = []

    def look_up(_tenant: UUID, endpoint: UUID) -> None:
        asked.append(endpoint)

    async def work() -> None:
        known = doorman.Endpoints(look_up)
        await asyncio.gather(*(known.get(tenant_id, tenant_id) for _ in range(100)))

    asyncio.run(work())
    assert asked == [tenant_id]


# ---------------------------------------------------------------- limits


@pytest.fixture
def small(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that takes two kilobytes."""
    limited = hub.of(hub.tenant_id)
    monkeypatch.setattr(limited, "settings", hub.settings.model_copy(update={"webhook_body_max_bytes": 2_048}))
    return limited


def test_a_body_that_says_it_is_too_large_is_refused_unread(small: Hub, address: Address) -> None:
    read: list[int] = []
    headers = {"content-length": "2049"}
    answer = with_app(small, lambda app: send(app, address.path, [b"x" * 2049], headers, read=read))
    assert (answer.status, answer.code, answer.headers["connection"]) == (413, "webhook_body_too_large", "close")
    assert read == []


def test_a_body_of_unsaid_length_is_read_up_to_the_limit_and_no_further(small: Hub, address: Address) -> None:
    read: list[int] = []
    pieces = [b"x" * 1_000] * 1_000
    answer = with_app(small, lambda app: send(app, address.path, pieces, read=read))
    assert (answer.status, answer.code) == (413, "webhook_body_too_large")
    assert sum(read) == 3_000


def test_a_body_in_pieces_is_put_together(small: Hub, address: Address) -> None:
    body = post("a", filler="x" * 900)
    pieces = [body[:3], body[3:500], body[500:]]
    answer = with_app(small, lambda app: send(app, address.path, pieces, address.signed(body)))
    assert answer.status == 202


def test_a_body_that_trickles_in_is_given_up(hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_WITHIN_S", 0.1)
    answer = with_app(hub, lambda app: send(app, address.path, [b"x"] * 1_000, pause_s=0.05))
    assert (answer.status, answer.code, answer.headers["connection"]) == (408, "webhook_too_slow", "close")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused_unread(hub: Hub, address: Address, encoding: str) -> None:
    bomb, read = gzip.compress(b"0" * 10_000_000), list[int]()
    headers = address.signed(bomb) | {"content-encoding": encoding}
    answer = with_app(hub, lambda app: send(app, address.path, [bomb], headers, read=read))
    assert (answer.status, answer.code) == (415, "webhook_encoded")
    assert read == []


def test_a_sender_that_hangs_up_gets_no_answer_and_nothing_is_stored(hub: Hub, address: Address) -> None:
    async def work(app: IntakeApp) -> Answer:
        return await send(app, address.path, [])

    assert with_app(hub, work).status == 0
    assert address.keys() == []


def test_too_much_being_received_at_once_is_refused_and_room_is_given_back(
    hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HELD_BYTES_MOST", 5_000)

    async def work(app: IntakeApp) -> tuple[list[Answer], Answer]:
        pieces = [b"x" * 900] * 3
        crowd = await asyncio.gather(*(send(app, address.path, pieces, pause_s=0.05) for _ in range(20)))
        body = post("after")
        return crowd, await send(app, address.path, [body[:5], body[5:]], address.signed(body))

    crowd, after = with_app(hub, work)
    assert {a.code for a in crowd if a.status == 503} == {"intake_busy"}
    assert after.status == 202


# ---------------------------------------------------------------- a full disk


def crowd(hub: Hub, address: Address, count: int = 40) -> list[Answer]:
    """So many posts at once, of a kilobyte that does not compress."""

    async def work(app: IntakeApp) -> list[Answer]:
        bodies = [post(str(n), filler=base64.b64encode(os.urandom(768)).decode()) for n in range(count)]
        return await asyncio.gather(*(send(app, address.path, [b], address.signed(b)) for b in bodies))

    return with_app(hub, work)


def refused_and_told_to_come_again(answers: list[Answer]) -> bool:
    return {(a.status, a.code) for a in answers} == {(503, "storage_full")} and all(
        int(a.headers["retry-after"]) > 0 for a in answers
    )


@pytest.mark.parametrize("moment", ["BEFORE INSERT", "AFTER INSERT"])
def test_an_error_53100_raised_by_a_trigger_is_answered_503_and_nothing_is_stored(
    hub: Hub, address: Address, admin_url: str, moment: str
) -> None:
    """``AFTER INSERT`` is deferred: only the commit fails."""
    late = "CONSTRAINT" if moment.startswith("AFTER") else ""
    deferred = "DEFERRABLE INITIALLY DEFERRED" if late else ""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
        )
        admin.execute(
            f"CREATE {late} TRIGGER full_disk {moment} ON inbox {deferred} FOR EACH ROW"
            f" WHEN (NEW.endpoint_id = '{address.id}') EXECUTE FUNCTION full_disk()"
        )
        try:
            assert refused_and_told_to_come_again(crowd(hub, address))
        finally:
            admin.execute("DROP FUNCTION full_disk() CASCADE")
    assert address.keys() == []
    assert {a.status for a in crowd(hub, address)} == {202}


def test_a_disk_that_is_really_full_is_answered_503_and_what_got_202_is_stored(
    fresh_database: ServerUrls, small_disk: Path, tmp_path: Path
) -> None:
    """The inbox lies on a file system of two megabytes."""
    with psycopg.connect(fresh_database.admin, autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        try:
            admin.execute("ALTER TABLE inbox SET TABLESPACE small")
            hub = Hub(Settings(home=tmp_path, DATABASE_URL=fresh_database.app), pool_size=2)  # type: ignore[arg-type, call-arg]
            try:
                address = Address.make(hub, hub.tenant_id)
                answers = fill(hub, address)
                acknowledged = [str(n) for n, a in enumerate(answers) if a.status == 202]
                refused = [a for a in answers if a.status != 202]
                assert acknowledged
                assert refused_and_told_to_come_again(refused)
                assert set(acknowledged) <= set(address.keys())
                assert len(address.keys()) == len(acknowledged)
            finally:
                hub.close()
        finally:
            admin.execute("ALTER TABLE inbox SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")


def fill(hub: Hub, address: Address) -> list[Answer]:
    """Post one after the other until 10 were refused."""

    async def work(app: IntakeApp) -> list[Answer]:
        answers: list[Answer] = []
        while sum(a.status != 202 for a in answers) < 10:
            body = post(str(len(answers)), filler=base64.b64encode(os.urandom(48_000)).decode())
            answers.append(await send(app, address.path, [body], address.signed(body)))
            assert len(answers) < 1_000, "the disk is not full"
        return answers

    return with_app(hub, work)


@pytest.fixture
def small_disk(fresh_database: ServerUrls) -> Iterator[Path]:
    """A folder of the database server's on a file system of two megabytes, where this user may make one."""
    place = Path(tempfile.mkdtemp(prefix="syncline-small-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        place.rmdir()
        pytest.skip("only root can mount a small file system; the errors of a full disk are tested by a trigger, too")
    try:
        with psycopg.connect(fresh_database.admin) as admin:
            row = admin.execute("SHOW data_directory").fetchone()
        assert row is not None
        owner, inside = Path(row[0]).stat(), place / "data"
        inside.mkdir(mode=0o700)
        os.chown(inside, owner.st_uid, owner.st_gid)
        yield inside
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


# ---------------------------------------------------------------- a database that does not answer


def soon(hub: Hub, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """Let nobody wait longer than that."""
    monkeypatch.setattr(hub, "settings", hub.settings.model_copy(update={"webhook_answer_within_s": seconds}))


async def until_202(app: IntakeApp, address: Address, key: str) -> None:
    body = post(key)
    async with asyncio.timeout(30):
        while (await send(app, address.path, [body], address.signed(body))).status != 202:
            await asyncio.sleep(0.02)


def come_again(answer: Answer) -> tuple[int, str, bool]:
    return answer.status, answer.code, int(answer.headers["retry-after"]) > 0


AWAY = (503, "database_unavailable", True)


@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE"])
def test_while_somebody_holds_the_inbox_the_answer_is_503_and_afterwards_202(
    hub: Hub, address: Address, admin_url: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = hub.of(hub.tenant_id)
    soon(limited, monkeypatch)

    async def work(app: IntakeApp) -> list[Answer]:
        await until_202(app, address, "before")
        bodies = [post(str(n)) for n in range(40)]
        with psycopg.connect(admin_url) as admin:
            admin.execute(f"LOCK TABLE inbox IN {mode} MODE")
            async with asyncio.timeout(7):  # less than the database's own limit
                held = await asyncio.gather(*(send(app, address.path, [b], address.signed(b)) for b in bodies))
        for number in range(40):  # sent again, as their senders would
            await until_202(app, address, str(number))
        return held

    assert {come_again(a) for a in with_app(limited, work)} == {AWAY}
    assert sorted(address.keys()) == sorted(["before", *map(str, range(40))])


@pytest.mark.parametrize("known", [True, False], ids=["endpoint known", "endpoint to be looked up"])
def test_a_server_that_hangs_is_answered_503_within_the_bound_and_202_once_it_goes_on(
    tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of PostgreSQL's processes are stopped: connections stay, new ones are accepted, nothing answers."""
    home = tmp_path / "home"
    home.mkdir()
    server = EmbeddedPostgres(home)
    hub = Hub(Settings(home=home), pool_size=3)
    soon(hub, monkeypatch)
    stopped: list[psutil.Process] = []

    async def work(app: IntakeApp) -> list[Answer]:
        await until_202(app, address, "before")
        monkeypatch.setattr(doorman, "RENEWED_AFTER_S", 1_000.0 if known else 0.0)
        monkeypatch.setattr(doorman, "KNOWN_FOR_S", 1_000.0 if known else 0.0)
        stop(postmaster)  # first: it starts no others from then on
        for process in postmaster.children(recursive=True):
            stop(process)
        bodies = [post(str(n)) for n in range(20)]
        try:
            async with asyncio.timeout(20):
                found = await asyncio.gather(*(send(app, address.path, [b], address.signed(b)) for b in bodies))
                found += [await send(app, address.path, [b], address.signed(b)) for b in bodies]
        finally:
            go_on()
        await until_202(app, address, "after")
        return found

    def stop(process: psutil.Process) -> None:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
            stopped.append(process)

    def go_on() -> None:
        while stopped:
            stopped.pop().resume()

    try:
        address = Address.make(hub, hub.tenant_id)
        with psycopg.connect(hub.urls.admin) as admin:
            parent = psutil.Process(admin.info.backend_pid).parent()
            assert parent is not None
            postmaster = parent
        assert {come_again(a) for a in with_app(hub, work)} == {AWAY}
        keys = address.keys()
        assert keys[0] == "before"
        assert keys.count("after") == 1
    finally:
        go_on()
        hub.close()
        with suppress(Exception):
            server.stop()


def test_a_lookup_that_hangs_is_waited_for_once_and_not_by_every_request(tenant_id: UUID) -> None:
    now, release = 0.0, threading.Event()
    known = doorman.Endpoints(lambda *_: release.wait(30) and None, within_s=0.2, clock=lambda: now)

    async def work() -> list[str]:
        nonlocal now
        codes = []
        with pytest.raises(TransientError) as first:
            await known.get(tenant_id, tenant_id)
        codes.append(first.value.code)
        now = 0.3
        for _ in range(3):
            asking = known.get(tenant_id, tenant_id)
            with pytest.raises(TransientError) as raised:
                asking.send(None)  # it raises at once: there is nothing that it waits for
            codes.append(raised.value.code)
        release.set()
        async with asyncio.timeout(20):
            while known._asked:
                await asyncio.sleep(0.01)
        assert await known.get(tenant_id, tenant_id) is None
        return codes

    assert asyncio.run(work()) == ["database_unavailable"] * 4


def test_lookups_that_fail_are_not_tried_by_every_request(tenant_id: UUID) -> None:
    now, asked = 0.0, list[UUID]()

    def look_up(_tenant: UUID, endpoint: UUID) -> None:
        asked.append(endpoint)
        raise TransientError("It is away.", code="database_unavailable")

    known = doorman.Endpoints(look_up, clock=lambda: now)

    async def work() -> list[int]:
        nonlocal now
        counts = []
        for moment in (0.0, 0.0, doorman.REFUSED_FOR_S / 2, doorman.REFUSED_FOR_S * 2):
            now = moment
            with pytest.raises(TransientError):
                await known.get(tenant_id, tenant_id)
            counts.append(len(asked))
        return counts

    assert asyncio.run(work()) == [1, 1, 1, 2]


def test_an_endpoint_that_is_still_known_needs_no_lookup_while_these_fail(tenant_id: UUID) -> None:
    now, found = 0.0, ["known"]

    def look_up(_tenant: UUID, _endpoint: UUID) -> Any:
        if not found:
            raise TransientError("It is away.", code="database_unavailable")
        return found.pop()

    known = doorman.Endpoints(look_up, clock=lambda: now)

    async def work() -> list[Any]:
        nonlocal now
        answers: list[Any] = [await known.get(tenant_id, tenant_id)]
        now = doorman.KNOWN_FOR_S - 0.1
        for _ in range(3):
            answers.append(await known.get(tenant_id, tenant_id))
            while known._asked:  # the renewal in the background fails
                await asyncio.sleep(0.01)
        assert known._refused_until > now
        return answers

    assert asyncio.run(work()) == ["known"] * 4


def test_how_long_senders_wait_is_as_the_settings_say(
    hub: Hub, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = hub.of(hub.tenant_id)
    soon(limited, monkeypatch, 7.5)

    async def work(app: IntakeApp) -> tuple[float, float]:
        await until_202(app, address, "a")
        assert app._writer is not None
        return app._writer._answer_within_s, app._endpoints._within_s

    assert with_app(limited, work) == (7.5, 7.5)
    assert Settings.model_fields["webhook_answer_within_s"].default < 1


def test_everything_else_is_answered_by_the_api(hub: Hub) -> None:
    assert with_app(hub, lambda app: send(app, "/v1/nothing", method="GET")).code == "no_such_route"
