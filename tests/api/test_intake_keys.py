"""Deliveries that published keys prove: keys are fetched once, kept, fetched anew when they change, and nobody can force more."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from api.intake import IntakeApp
from bootstrap.wiring import Hub
from connectors.kit import jwks
from connectors.kit.jwks import Document, PublishedKeys, fresh_for_s
from connectors.kit.outward import AllowList, Poster, RefusedAddressError
from domain.errors import TransientError
from tests.api.intake_calls import Address, Answer, send, with_app
from tests.webhooks.schemes.senders import ACCOUNT, AUDIENCE, google_claims, google_keys, pubsub_body, rsa_key
from webhooks.inbound import endpoints
from webhooks.inbound.keysets import KeySets
from webhooks.inbound.schemes.google_pubsub import GOOGLES_KEYS

LOCAL = AllowList.parse(["127.0.0.0/8"])


@dataclass
class Publisher:
    """A stand-in for Google's address of keys: ``keys`` are published, or nothing (``status``)."""

    url: str = ""
    keys: list[int] = field(default_factory=lambda: [0])
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Cache-Control": "public, max-age=3600"})
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            made.gate.wait(30)
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(google_keys(*made.keys).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/certs"
    yield made
    made.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def near(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose operator allows addresses of this machine."""
    allowing = hub.of(hub.tenant_id)
    changed = hub.settings.model_copy(update={"webhook_allow": "127.0.0.0/8"})
    monkeypatch.setattr(allowing, "settings", changed)
    return allowing


@pytest.fixture
def mailbox(near: Hub, tenant_id: UUID, publisher: Publisher) -> Address:
    """An endpoint for Gmail's notices whose keys the stand-in publishes."""
    given = {"audience": AUDIENCE, "service_account": ACCOUNT, "keys_url": publisher.url}
    with near.db.tenant(tenant_id) as conn:
        made, shown = endpoints.add(
            conn, near.vault, name="gmail", scheme_name="google_pubsub", settings=given, allowed=near.webhook_allow
        )
    assert shown == {}
    return Address(near, tenant_id, made.id, "")


def signed(key: int, **header: Any) -> dict[str, str]:
    token = jwt.encode(
        {"alg": "RS256", "kid": f"key-{key}", **header},
        google_claims(datetime.now(UTC)),
        RSAKey.import_key(rsa_key(key)),
        algorithms=["RS256", "PS256", "RS512"],
    )
    return {"Authorization": f"Bearer {token}"}


def pushed(app: IntakeApp, mailbox: Address, key: int, message: str = "1", **header: Any) -> Any:
    return send(app, mailbox.path, [pubsub_body(message_id=message)], signed(key, **header))


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code if answer.body else ""


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def ticking(app: IntakeApp) -> Clock:
    """A clock of the test's for the keys that the application keeps."""
    clock = Clock()
    app._keysets = KeySets(jwks.outward(Poster(LOCAL, total_s=5.0)), clock=clock)
    return clock


def test_keys_are_fetched_once_for_many_deliveries_at_once(near: Hub, mailbox: Address, publisher: Publisher) -> None:
    async def work(app: IntakeApp) -> list[Answer]:
        crowd = await asyncio.gather(*(pushed(app, mailbox, 0, f"m{n}") for n in range(50)))
        return [*crowd, await pushed(app, mailbox, 0, "last")]

    assert {a.status for a in with_app(near, work)} == {200}
    assert publisher.asked == 1
    assert len(mailbox.keys()) == 51


def test_a_new_key_is_fetched_when_a_token_names_it(near: Hub, mailbox: Address, publisher: Publisher) -> None:
    async def work(app: IntakeApp) -> list[tuple[int, str]]:
        clock = ticking(app)
        found = [told(await pushed(app, mailbox, 0, "a"))]
        publisher.keys = [1, 0]
        found.append(told(await pushed(app, mailbox, 1, "b")))  # within a minute of the last look
        clock.now += 61
        found.append(told(await pushed(app, mailbox, 1, "c")))
        return found

    assert with_app(near, work) == [(200, ""), (401, "webhook_key_unknown"), (200, "")]
    assert publisher.asked == 2


def test_unknown_keys_cannot_force_a_fetch_a_request(near: Hub, mailbox: Address, publisher: Publisher) -> None:
    async def work(app: IntakeApp) -> set[tuple[int, str]]:
        clock = ticking(app)
        await pushed(app, mailbox, 0)
        found = set()
        for _ in range(3):
            clock.now += 61
            crowd = await asyncio.gather(*(pushed(app, mailbox, 1, kid=f"made-up-{n}") for n in range(40)))
            found |= {told(a) for a in crowd}
        return found

    assert with_app(near, work) == {(401, "webhook_key_unknown")}
    assert publisher.asked == 1 + 3
    assert len(mailbox.keys()) == 1


@pytest.mark.parametrize("status", [404, 500, 302])
def test_without_keys_the_sender_is_asked_to_come_again(
    near: Hub, mailbox: Address, publisher: Publisher, status: int
) -> None:
    publisher.status = status

    async def work(app: IntakeApp) -> list[Answer]:
        clock = ticking(app)
        found = [await pushed(app, mailbox, 0) for _ in range(5)]
        publisher.status = 200
        clock.now += 7
        return [*found, await pushed(app, mailbox, 0)]

    *refused, after = with_app(near, work)
    assert {told(a) for a in refused} == {(503, "bad_jwks")}
    assert all(int(a.headers["retry-after"]) > 0 for a in refused)
    assert (after.status, publisher.asked) == (200, 2)


def test_a_token_that_may_name_a_newer_key_is_kept_by_its_sender_while_the_keys_cannot_be_read(
    near: Hub, mailbox: Address, publisher: Publisher
) -> None:
    async def work(app: IntakeApp) -> list[tuple[int, str]]:
        clock = ticking(app)
        await pushed(app, mailbox, 0)
        publisher.status, publisher.keys = 500, [1]
        clock.now += 61
        found = [told(await pushed(app, mailbox, 1, "b")), told(await pushed(app, mailbox, 0, "c"))]
        publisher.status = 200
        clock.now += 61
        return [*found, told(await pushed(app, mailbox, 1, "b")), told(await pushed(app, mailbox, 0, "d"))]

    # The withdrawn key is refused as soon as the new set is there.
    assert with_app(near, work) == [(503, "bad_jwks"), (200, ""), (200, ""), (401, "webhook_key_unknown")]


def test_keys_that_grew_old_are_renewed_in_the_background(near: Hub, mailbox: Address, publisher: Publisher) -> None:
    async def work(app: IntakeApp) -> None:
        clock = ticking(app)
        await pushed(app, mailbox, 0)
        publisher.gate.clear()
        clock.now += 3_601
        answers = [await asyncio.wait_for(pushed(app, mailbox, 0, f"m{n}"), 20) for n in range(3)]
        assert {a.status for a in answers} == {200}
        publisher.gate.set()
        async with asyncio.timeout(20):
            while app._keysets._asked:
                await asyncio.sleep(0.01)
        assert publisher.asked == 2

    with_app(near, work)


def test_a_fetch_that_hangs_holds_up_no_other_endpoint(near: Hub, mailbox: Address, publisher: Publisher) -> None:
    other = Address.make(near, mailbox.tenant_id, "other")
    publisher.gate.clear()

    async def work(app: IntakeApp) -> Answer:
        waiting = asyncio.create_task(pushed(app, mailbox, 0))
        async with asyncio.timeout(20):
            while not publisher.asked:
                await asyncio.sleep(0.01)
        body = b'{"id": "x"}'
        quick = await asyncio.wait_for(send(app, other.path, [body], other.signed(body)), 20)
        assert not waiting.done()
        publisher.gate.set()
        assert (await waiting).status == 200
        return quick

    assert with_app(near, work).status == 202


@pytest.mark.parametrize("algorithm", ["PS256", "RS512"])
def test_no_other_algorithm_is_taken(near: Hub, mailbox: Address, algorithm: str) -> None:
    answer = with_app(near, lambda app: pushed(app, mailbox, 0, alg=algorithm))
    assert told(answer) == (401, "webhook_token_invalid")


@pytest.mark.parametrize("address", ["https://169.254.169.254/keys", "http://keys.example.com/", "https://127.0.0.1/k"])
def test_keys_are_fetched_from_no_inner_address(hub: Hub, tenant_id: UUID, address: str) -> None:
    given = {"audience": AUDIENCE, "service_account": ACCOUNT, "keys_url": address}
    with hub.db.tenant(tenant_id) as conn, pytest.raises(RefusedAddressError):
        endpoints.add(
            conn, hub.vault, name="gmail", scheme_name="google_pubsub", settings=given, allowed=hub.webhook_allow
        )


def test_a_name_that_leads_inside_is_not_fetched_from_either() -> None:
    fetch = jwks.outward(Poster(resolver=lambda *_: ["10.0.0.1"]))
    with pytest.raises(TransientError) as caught:
        fetch("https://keys.example.com/")
    assert caught.value.code == "bad_jwks"


def test_googles_own_keys_do_not_wait_for_slow_addresses_of_customers() -> None:
    gate = threading.Event()

    def fetch(address: str) -> Document:
        if address != GOOGLES_KEYS:
            gate.wait(30)
        return Document(google_keys(0).encode())

    async def work() -> None:
        sets = KeySets(fetch)
        slow = [asyncio.create_task(sets.get(f"https://slow{n}.example.com/")) for n in range(20)]
        await asyncio.sleep(0)
        assert orjson.loads(await asyncio.wait_for(sets.get(GOOGLES_KEYS), 20))["keys"]
        assert not any(task.done() for task in slow)
        gate.set()
        await asyncio.gather(*slow)
        sets.close()

    asyncio.run(work())


# ---------------------------------------------------------------- for how long


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Cache-Control": "public, max-age=19204, must-revalidate"}, 19_204),
        ({"Cache-Control": "max-age=100", "Age": "40"}, 60),
        ({"Cache-Control": "max-age=100", "Age": "400"}, 0),
        ({"Cache-Control": "s-maxage=5"}, None),
        ({"Cache-Control": "no-store"}, 0),
        ({"Cache-Control": "max-age=100, no-cache"}, 0),
        ({"Cache-Control": "max-age=nonsense"}, None),
        ({"Expires": "Sun, 01 Mar 2026 12:00:30 GMT", "Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, 30),
        ({"Expires": "0"}, None),
        ({"Cache-Control": "max-age=7", "Expires": "Sun, 01 Mar 2026 12:00:30 GMT"}, 7),
    ],
)
def test_how_long_an_answer_holds(headers: dict[str, str], seconds: float | None) -> None:
    assert fresh_for_s(headers) == seconds


@pytest.mark.parametrize(("said", "held_s"), [(None, 3_600), (0.0, 60), (500.0, 500), (1e9, 86_400)])
def test_keys_are_kept_as_long_as_their_publisher_says(said: float | None, held_s: float) -> None:
    clock, asked = Clock(), list[str]()

    def fetch(address: str) -> Document:
        asked.append(address)
        return Document(google_keys(0).encode(), said)

    keys = PublishedKeys("https://keys.example.com", clock=clock, fetch=fetch)
    keys.current()
    clock.now += held_s - 1
    keys.current()
    assert len(asked) == 1
    clock.now += 2
    keys.current()
    assert len(asked) == 2


def test_keys_of_a_publisher_that_fell_silent_end_after_a_day() -> None:
    clock, answers = Clock(), [Document(google_keys(0).encode())]

    def fetch(_: str) -> Document:
        if not answers:
            raise TransientError("away")
        return answers.pop()

    keys = PublishedKeys("https://keys.example.com", clock=clock, fetch=fetch)
    keys.current()
    clock.now += 86_000
    assert keys.current()
    clock.now += 1_000
    with pytest.raises(TransientError):
        keys.current()


def test_who_has_keys_does_not_wait_while_another_reads_them_anew() -> None:
    clock, gate, reading = Clock(), threading.Event(), threading.Event()
    gate.set()

    def fetch(_: str) -> Document:
        reading.set()
        gate.wait(30)
        return Document(google_keys(0).encode())

    keys = PublishedKeys("https://keys.example.com", clock=clock, fetch=fetch)
    keys.current()
    gate.clear()
    reading.clear()
    clock.now += 4_000
    reader = threading.Thread(target=keys.current)
    reader.start()
    assert reading.wait(20)
    began = time.monotonic()
    assert keys.current()
    assert time.monotonic() - began < 10
    gate.set()
    reader.join(20)
    assert not reader.is_alive()
