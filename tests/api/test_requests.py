"""What a request may bring and how often; what stands around every answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text

from api.app import create_app
from api.bodies import DEPTH_MAX, depth
from api.errors import ApiError
from api.rates import Limiter, Strangers, network_of
from api.serving import behind_proxies
from bootstrap.logs import JsonFormatter, _Context, log_as, log_context
from bootstrap.wiring import Hub
from domain.access import SYSTEM_TENANT
from storage import rates
from storage.database import Database
from tests.api.conftest import As, Client

JSON = {"Content-Type": "application/json"}
GOOD = b'{"name": "n", "role": "read_only"}'


def nested(levels: int) -> bytes:
    return b'{"name": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b', "role": "member"}'


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        pytest.param(GOOD, JSON, 201, None, id="good"),
        pytest.param(GOOD, {"Content-Type": "application/json; charset=utf-8"}, 201, None, id="charset"),
        pytest.param(GOOD, {}, 415, "unsupported_media_type", id="no-type"),
        pytest.param(GOOD, {"Content-Type": "text/plain"}, 415, "unsupported_media_type", id="text"),
        pytest.param(GOOD, {"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported_media_type", id="utf16"),
        pytest.param(b"name=n", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", id="form"),
        pytest.param(GOOD, {**JSON, "Content-Encoding": "gzip"}, 415, "unsupported_media_type", id="gzip"),
        pytest.param(b" " * 1_048_577, JSON, 413, "too_large", id="large"),
        pytest.param(b"", {**JSON, "Content-Length": "1000000000"}, 413, "too_large", id="declared-large"),
        pytest.param(b"", {**JSON, "Content-Length": "-1"}, 400, "bad_request", id="negative-length"),
        pytest.param(nested(DEPTH_MAX), JSON, 422, "invalid_request", id="deep-enough"),
        pytest.param(nested(DEPTH_MAX + 1), JSON, 400, "bad_json", id="too-deep"),
        pytest.param(b"[" * 500_000, JSON, 400, "bad_json", id="bomb"),
        pytest.param(b'{"a":' * 100_000, JSON, 400, "bad_json", id="bomb-of-objects"),
        pytest.param(b'{"name": "a", "name": "b", "role": "member"}', JSON, 400, "bad_json", id="twice"),
        pytest.param(b'{"name": "a\\u0000", "role": "member"}', JSON, 400, "bad_json", id="nul"),
        pytest.param(b'{"name": "a\\ud800", "role": "member"}', JSON, 400, "bad_json", id="half-character"),
        pytest.param(b'{"name": "\\ud83d\\ude00", "role": "read_only"}', JSON, 201, None, id="pair"),
        pytest.param(b'{"name": "\xff", "role": "member"}', JSON, 400, "bad_json", id="not-utf8"),
        pytest.param(b'{"name": NaN, "role": "member"}', JSON, 400, "bad_json", id="nan"),
        pytest.param(b'{"name": ' + b"9" * 5_000 + b"}", JSON, 400, "bad_json", id="long-number"),
        pytest.param(b'{"name": "n"', JSON, 400, "bad_json", id="cut-off"),
        pytest.param(json.dumps({f"n{i}": 1 for i in range(1_001)}).encode(), JSON, 400, "bad_json", id="many-names"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, JSON, 400, "bad_json", id="bom"),
    ],
)  # fmt: skip
def test_bodies_are_judged(admin: Client, body: bytes, headers: dict[str, str], status: int, code: str | None) -> None:
    reply = admin.post("/v1/keys", content=body, headers=headers)
    assert (reply.status_code, reply.json().get("code")) == (status, code)


def test_a_body_without_an_end_is_cut_off_at_the_limit(admin: Client) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b" " * 65_536

    assert admin.post("/v1/keys", content=endless(), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 100 + b"]" * 100, DEPTH_MAX + 1),
        (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"," + b"[]" * 9, DEPTH_MAX),
        (b'["\\\\"' + b"[" * 70, DEPTH_MAX + 1),
        (b'["' + b"[" * 100 + b'"]', 1),
        (b'["\\"' + b"[" * 100 + b'"]', 1),
        (b"[]," * 100, 1),
        (b'"' + b'\\"' * 200_000 + b"[" * 100, 0),
    ],
)
def test_depth_is_told_without_parsing(body: bytes, deep: int) -> None:
    assert depth(body) == deep


@pytest.mark.parametrize("path", ["/v1/connectors/a%00b", "/v1/connectors?cursor=%00", "/v1/connectors/%ff"])
def test_an_address_that_no_text_can_hold_is_refused(admin: Client, path: str) -> None:
    assert (admin.get(path).status_code, admin.get(path).json()["code"]) == (400, "bad_request")


def test_every_answer_carries_the_headers_that_keep_browsers_from_harm(app_client: Client, admin: Client) -> None:
    for reply in (
        admin.get("/v1/keys"),
        app_client.get("/v1/keys"),
        app_client.get("/nowhere"),
        app_client.get("/docs"),
    ):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-request-id"]


def test_the_page_of_the_reference_needs_no_other_host_and_no_script(app_client: Client) -> None:
    page = app_client.get("/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//|@import|url\(""", page.text)
    assert "/v1/keys/{key_id}" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_other_origins_may_call_only_where_they_are_named(app_client: Client, hub: Hub) -> None:
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in app_client.options("/v1/keys", headers=asked).headers
    assert "access-control-allow-origin" not in app_client.get("/v1/keys", headers=asked).headers
    named = Hub(hub.settings.model_copy(update={"cors_origins": "https://app.example.com"}))
    named.__dict__.update(db=hub.db, vault=hub.vault)
    with TestClient(create_app(named)) as client:
        assert client.options("/v1/keys", headers=asked).headers["access-control-allow-origin"] == asked["Origin"]
        other = client.options("/v1/keys", headers={**asked, "Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("OPTIONS", "/v1/keys", 204, "HEAD, OPTIONS, GET, POST"),
        ("OPTIONS", "/v1/nothing", 404, None),
        ("PATCH", "/v1/keys", 405, "HEAD, OPTIONS, GET, POST"),
        ("HEAD", "/v1/keys", 200, None),
        ("HEAD", "/v1/nothing", 404, None),
        ("GET", "/v1/nothing", 404, None),
        ("TRACE", "/v1/keys", 405, "HEAD, OPTIONS, GET, POST"),
    ],
)
def test_methods(admin: Client, method: str, path: str, status: int, allow: str | None) -> None:
    reply = admin.request(method, path)
    assert (reply.status_code, reply.headers.get("allow")) == (status, allow)
    if method == "HEAD":
        assert reply.content == b""
    elif status >= 400 and method != "OPTIONS":
        assert reply.headers["content-type"] == "application/problem+json"


# ---------------------------------------------------------------- how often


@pytest.fixture
def slow_client(hub: Hub) -> Iterator[Client]:
    slow = Hub(hub.settings.model_copy(update={"calls_at_once": 5, "calls_per_minute": 1}))
    slow.__dict__.update(db=hub.db, vault=hub.vault, urls=hub.urls)
    with TestClient(create_app(slow)) as client:
        yield client


def test_a_caller_who_calls_too_often_is_told_when_to_go_on(slow_client: Client, admin: Client, as_: As) -> None:
    slow_client.headers["Authorization"] = admin.headers["Authorization"]
    replies = [slow_client.get("/v1/keys") for _ in range(6)]
    assert [r.status_code for r in replies] == [200] * 5 + [429]
    assert [r.headers["ratelimit-remaining"] for r in replies] == ["4", "3", "2", "1", "0", "0"]
    assert replies[-1].json()["code"] == "too_many_calls"
    assert 0 < int(replies[-1].headers["retry-after"]) <= 60
    assert replies[0].headers["ratelimit-limit"] == "5"
    slow_client.headers["Authorization"] = as_("read_only").headers["Authorization"]
    assert slow_client.get("/v1/connectors").status_code == 200


def test_processes_agree_on_a_limit(db: Database, tenant_id: UUID) -> None:
    now = 0.0
    processes = [Limiter(60, 100, clock=lambda: now) for _ in range(3)]
    let_through = 0
    for _ in range(60):
        for process in processes:
            with db.tenant(tenant_id) as conn:
                let_through += process.take(conn, tenant_id, "key:x").allowed
    assert 100 <= let_through <= 105


def test_a_bucket_fills_again_and_never_over(db: Database, tenant_id: UUID) -> None:
    with db.tenant(tenant_id) as conn:
        assert rates.lease(conn, "k", 10, per_s=2, burst=10).tokens == 10
        assert rates.lease(conn, "k", 10, per_s=2, burst=10).tokens == 0
        conn.execute(text("UPDATE rate_bucket SET refilled_at = refilled_at - interval '2 seconds'"))
        assert rates.lease(conn, "k", 10, per_s=2, burst=10).tokens == 4
        conn.execute(text("UPDATE rate_bucket SET refilled_at = refilled_at - interval '1 day'"))
        assert rates.lease(conn, "k", 3, per_s=2, burst=10) == rates.Granted(3, 7, 0.0)


# ---------------------------------------------------------------- what the log says


def test_lines_of_the_log_name_request_tenant_and_actor(tmp_path: Path) -> None:
    log, handler = logging.getLogger("syncline.test"), logging.FileHandler(tmp_path / "log")
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_Context())
    log.addHandler(handler)
    with log_context(request_id="r-1"):
        log_as(tenant="t-1", actor="key:k-1")
        log.warning("inside", extra={"record_id": "x-1"})
    log.warning("outside")
    handler.close()
    log.removeHandler(handler)
    inside, outside = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    expected: dict[str, Any] = {"request_id": "r-1", "tenant": "t-1", "actor": "key:k-1", "record_id": "x-1"}
    assert expected.items() <= inside.items()
    assert not expected.keys() & outside.keys()


def test_a_call_that_goes_wrong_is_logged_with_its_caller(
    admin: Client, tenant_id: UUID, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.handler.addFilter(_Context())
    monkeypatch.setattr("api.routes.keys.api_keys.list_all", lambda _conn: 1 / 0)
    reply = admin.get("/v1/keys", headers={"X-Request-Id": "req-12345"})
    record = next(r for r in caplog.records if getattr(r, "code", "") == "bug")
    assert (reply.status_code, reply.headers["x-request-id"]) == (500, "req-12345")
    assert (record.__dict__["request_id"], record.__dict__["tenant"]) == ("req-12345", str(tenant_id))


def test_a_call_about_a_record_is_logged_with_its_id_and_nothing_else_of_its_address(
    admin: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.handler.addFilter(_Context())
    monkeypatch.setattr("api.routes.records.browsing.get", lambda *_: 1 / 0)
    sought = uuid4()
    assert admin.get(f"/v1/records/contact/{sought}").status_code == 500
    record = next(r for r in caplog.records if getattr(r, "code", "") == "bug")
    assert record.__dict__["record_id"] == str(sought)
    assert "entity" not in record.__dict__


# ---------------------------------------------------------------- addresses that fail to sign in


class Ticking:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """An address that nobody else calls from, before processes of one API that share the database and a clock."""

    def __init__(self, db: Database, per_minute: int, processes: int = 1) -> None:
        self.db, self.clock = db, Ticking()
        self.address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        self.each = [Strangers(per_minute, lambda: db, self.clock) for _ in range(processes)]

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        with self.db.tenant(SYSTEM_TENANT) as conn:
            conn.execute(text("UPDATE failed_sign_in SET at = at - make_interval(secs => :s)"), {"s": seconds})

    def fail(self, process: int = 0) -> None:
        self.each[process].failed(self.address)

    def retry_after(self, process: int = 0, credential: str = "sk_wrong", address: str | None = None) -> int | None:
        """Seconds to wait, or None where the address may try."""
        try:
            self.each[process].require(address or self.address, credential)
        except ApiError as error:
            return int(error.headers["Retry-After"])
        return None


def test_an_address_that_fails_too_often_waits_and_others_do_not(db: Database) -> None:
    door = Door(db, 6)
    for _ in range(6):
        assert door.retry_after() is None
        door.fail()
    assert door.retry_after() == 10
    assert door.retry_after(address="192.0.2.2") is None
    door.wait(9.5)
    assert door.retry_after() == 1
    door.wait(0.6)
    assert door.retry_after() is None
    door.fail()
    assert door.retry_after() is not None
    door.wait(3_600)
    for _ in range(6):
        assert door.retry_after() is None
        door.fail()
    assert door.retry_after() is not None, "no more is saved up than one go"


def test_several_processes_count_failures_together(db: Database) -> None:
    door = Door(db, 6, processes=3)
    let_in = 0
    for number in range(30):
        if door.retry_after(number % 3) is None:
            let_in += 1
            door.fail(number % 3)
    assert let_in == 6
    door.wait(10.1)
    assert [door.retry_after(process) for process in range(3)] == [None] * 3
    door.fail(1)
    assert None not in [door.retry_after(process) for process in range(3)]


def test_tries_at_the_same_moment_are_paid_back(db: Database) -> None:
    """Each process looked before any of them had counted; it is no way to try more often for long."""
    door = Door(db, 6, processes=3)
    for process in (0, 1, 2) * 3:
        door.fail(process)
    assert [door.retry_after(process) for process in range(3)] == [20, 30, 40], "each as it saw last"
    for _ in range(30):
        door.fail()
    assert door.retry_after() == 70, "nobody waits for longer than two times a go"


def test_who_signed_in_from_an_address_is_not_locked_out_by_others_there(db: Database) -> None:
    door = Door(db, 2)
    door.each[0].succeeded(door.address, "sk_good")
    for _ in range(5):
        door.fail()
    assert door.retry_after(credential="sk_good") is None
    assert door.retry_after() is not None
    assert door.retry_after(credential="sk_good", address="192.0.2.9") is None
    door.wait(601)
    for _ in range(5):
        door.fail()
    assert door.retry_after(credential="sk_good") is not None, "it may have been revoked since"


def test_who_is_known_and_who_has_to_wait_costs_the_database_nothing(db: Database) -> None:
    door = Door(db, 1)
    door.each[0].succeeded(door.address, "sk_good")
    door.fail()
    asked: list[str] = []

    def seen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        assert door.retry_after(credential="sk_good") is None
        assert door.retry_after() is not None
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    assert asked == []


def test_addresses_that_may_try_again_are_forgotten(db: Database) -> None:
    door = Door(db, 60)
    with db.tenant(SYSTEM_TENANT) as conn:
        conn.execute(text("DELETE FROM failed_sign_in"))
    for number in range(5):
        door.each[0].failed(f"192.0.2.{number}")
    door.wait(3_600)
    for _ in range(3):
        door.fail()
    with db.tenant(SYSTEM_TENANT) as conn:
        assert conn.scalar(text("SELECT count(*) FROM failed_sign_in")) == 1


def test_memory_is_bounded_however_many_addresses_try(db: Database) -> None:
    strangers = Strangers(1, lambda: db, Ticking())
    for number in range(25_000):
        strangers._note(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
        strangers.succeeded("10.0.0.1", str(number))
    assert len(strangers._refused) == len(strangers._known) == 10_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("testclient", "", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


@pytest.fixture
def strict(hub: Hub) -> Hub:
    """A hub on which three failures are too many."""
    made = Hub(hub.settings.model_copy(update={"failures_per_minute": 3}))
    made.__dict__.update(urls=hub.urls, db=hub.db, vault=hub.vault)
    return made


def test_failed_sign_ins_are_limited_and_calls_without_a_key_are_none(strict: Hub, admin: Client) -> None:
    good = {"Authorization": admin.headers["Authorization"]}
    with TestClient(create_app(strict)) as client:
        assert {client.get("/v1/me").status_code for _ in range(10)} == {401}
        assert client.get("/v1/me", headers=good).status_code == 200
        wrong = [client.get("/v1/me", headers={"Authorization": f"Bearer sk_wrong{n}"}) for n in range(6)]
        assert [r.status_code for r in wrong] == [401] * 3 + [429] * 3
        assert int(wrong[-1].headers["retry-after"]) >= 1
        assert wrong[-1].json()["code"] == "too_many_failures"
        assert client.get("/v1/me", headers=good).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "peer", "counted"),
    [
        ("", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.5", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.5", "10.0.0.5", "198.51.100.7"),
        ("10.0.0.0/8, 127.0.0.1", "127.0.0.1", "198.51.100.7"),
    ],
)
def test_who_called_is_believed_of_configured_proxies_alone(hub: Hub, trusted: str, peer: str, counted: str) -> None:
    """What comes before the last address that a proxy added is the caller's own invention."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    served = behind_proxies(app, hub.settings.model_copy(update={"trusted_proxies": trusted}))
    scope = {
        "type": "http", "method": "GET", "path": "/", "scheme": "http", "client": (peer, 1),
        "headers": [(b"x-forwarded-for", b"203.0.113.9, 198.51.100.7")],
    }  # fmt: skip
    asyncio.run(served(scope, None, None))  # type: ignore[arg-type, unused-ignore]
    assert seen == [counted]
