"""Events that come ten times each, in any order, while a worker is killed and PostgreSQL restarts: one effect each.

    python -m benchmarks.intake_faults --events 1000000

Every event is posted ``--copies`` times, shuffled, and again whenever the answer is not 202. Events are versions of contacts,
signed with the moment at which they happened: whatever the order of arrival, a contact has to end as its newest version says.
The last line is JSON: distinct events accepted; what they became (applied, superseded, dead); doubled effects; events lost,
which is what was acknowledged with 202 and has not had its effect; and answers of 503 while the database was away.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from benchmarks.intake.contenders import answers, free_port
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import inbox
from storage.embedded import EmbeddedPostgres
from webhooks.inbound import endpoints
from webhooks.inbound.addresses import PREFIX, ref_of

TENANT: Final = UUID("0192d3a0-0000-7000-8000-0000000000f1")
VERSIONS: Final = 5
"""Events of one contact."""
SETTINGS: Final[dict[str, Any]] = {
    "proof": {
        "kind": "hmac",
        "header": "x-signature",
        "timestamp_header": "x-at",
        "tolerance_s": 86_400,
    },
    "idempotency_path": "$.id",
    "entity": "contact",
    "fields": {"email": "$.email", "last_name": "$.name", "title": "$.title"},
}
_STALLED_S: Final = 120
_TOLD_EACH: Final = 100_000


@dataclass
class Sent:
    """What the senders saw."""

    acknowledged: set[int] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    pending_at_kill: int = 0
    moved_at: float = field(default_factory=time.monotonic)


@dataclass
class Sender:
    """Signs events and posts them over keep-alive connections until each is acknowledged."""

    port: int
    path: str
    secret: bytes
    began_s: int
    sent: Sent = field(default_factory=Sent)

    def request(self, event: int) -> bytes:
        contact, version = divmod(event, VERSIONS)
        post = {
            "id": f"e{event}",
            "email": f"c{contact}@example.com",
            "name": f"Contact {contact}",
            "title": title(version),
        }
        body, at = json.dumps(post).encode(), str(self.began_s + version)
        signed = hmac.digest(self.secret, at.encode() + b"." + body, hashlib.sha256).hex()
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nx-at: {at}\r\n"
            f"x-signature: {signed}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def send(self, events: list[int], clients: int) -> None:
        """Post all of ``events``, each until its 202."""
        waiting = list(reversed(events))
        self.sent.moved_at = time.monotonic()
        await asyncio.gather(*(self._client(waiting) for _ in range(clients)))

    async def _client(self, waiting: list[int]) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while waiting:
            event = waiting.pop()
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                status, close = await asyncio.wait_for(self._post(*streams, self.request(event)), 30)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.sent.broken += 1
                status, close = "", True
            if close and streams is not None:
                streams[1].close()
                streams = None
            if status == "202":
                self.sent.acknowledged.add(event)
                self.sent.moved_at = time.monotonic()
                if not self.sent.answers["202"] % _TOLD_EACH:
                    print(f"{self.sent.answers['202']:,} accepted", file=sys.stderr, flush=True)
            else:
                waiting.insert(0, event)
                await asyncio.sleep(0.05)
                if time.monotonic() - self.sent.moved_at > _STALLED_S:
                    raise RuntimeError(f"nothing was accepted for {_STALLED_S} s: {self.sent.answers}")
        if streams is not None:
            streams[1].close()

    async def _post(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[str, bool]:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        status = head[9:12].decode()
        self.sent.answers[status] += 1
        return status, b"connection: close" in head


def title(version: int) -> str:
    """What a contact's version is known by."""
    return f"Version {version}"


@contextmanager
def process(command: str, home: Path, url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the product, killed at the end if it still runs."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DATABASE_", "BROKER_"))}
    settings = {
        "SYNCLINE_HOME": str(home),
        "DATABASE_URL": url,
        "SYNCLINE_API_PORT": str(port),
        "SYNCLINE_TENANT": str(TENANT),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", command], env=kept | settings, stdout=subprocess.DEVNULL
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def run(events: int, copies: int, work: Path, *, clients: int = 16, seed: int = 1) -> dict[str, Any]:
    """Post everything with faults in the middle, let it be processed, and judge. ``work``: an empty folder."""
    events -= events % VERSIONS
    home = work / "home"
    server = EmbeddedPostgres(home)
    hub = Hub(Settings(home=home, tenant=TENANT), pool_size=4)
    try:
        with hub.db.tenant(TENANT) as conn:
            made, shown = endpoints.add(conn, hub.vault, name="faults", scheme_name="generic", settings=SETTINGS)
        port = free_port()
        sender = Sender(port, PREFIX + ref_of(TENANT, made.id), shown["secret"].encode(), int(time.time()) - 3_600)
        posts = [event for event in range(events) for _ in range(copies)]
        random.Random(seed).shuffle(posts)
        with process("api", home, hub.urls.app, port) as api:
            _until(lambda: answers(port) or api.poll() is not None, 120)
            _interrupted(sender, posts, clients, home, hub, server, made.id)
        return judge(hub, made.id, sender.sent, events)
    finally:
        hub.close()
        with suppress(Exception):
            server.stop()


def _interrupted(
    sender: Sender, posts: list[int], clients: int, home: Path, hub: Hub, server: EmbeddedPostgres, endpoint: UUID
) -> None:
    """Thirds: the worker is killed while it processes the first, the database restarts during the second."""
    third = len(posts) // 3
    with process("up", home, hub.urls.app, 0) as worker:
        asyncio.run(_killing(sender, posts[:third], clients, hub, worker, endpoint))
    with process("up", home, hub.urls.app, 0):
        asyncio.run(_restarting(sender, posts[third : 2 * third], clients, server))
        asyncio.run(sender.send(posts[2 * third :], clients))
        waiting = -1, 0.0
        while pending := _ledger(hub, endpoint).pending:
            if waiting[0] != pending:
                waiting = pending, time.monotonic()
            if time.monotonic() - waiting[1] > _STALLED_S:
                raise RuntimeError(f"{pending} deliveries are not processed")
            time.sleep(0.2)


async def _killing(
    sender: Sender, posts: list[int], clients: int, hub: Hub, worker: subprocess.Popen[bytes], endpoint: UUID
) -> None:
    """Kill the worker once it has processed something and more is waiting."""

    def amid() -> bool:
        ledger = _ledger(hub, endpoint)
        sender.sent.pending_at_kill = ledger.pending
        return bool(ledger.by_outcome) and (ledger.pending > 0 or sending.done())

    sending = asyncio.create_task(sender.send(posts, clients))
    await asyncio.to_thread(_until, amid, 120)
    worker.kill()
    await sending
    worker.wait()


async def _restarting(sender: Sender, posts: list[int], clients: int, server: EmbeddedPostgres) -> None:
    refused = sender.sent.answers["503"]
    sending = asyncio.create_task(sender.send(posts, clients))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.stop)
    while sender.sent.answers["503"] == refused and not sending.done():
        await asyncio.sleep(0.01)
    await asyncio.to_thread(server.start)
    await sending


def _ledger(hub: Hub, endpoint: UUID) -> inbox.Ledger:
    with hub.db.tenant(TENANT) as conn:
        return inbox.ledger(conn, endpoint)


def _until(condition: Any, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it takes too long")
        time.sleep(0.05)


def judge(hub: Hub, endpoint: UUID, sent: Sent, events: int) -> dict[str, Any]:
    """What became of every event that was acknowledged, by what stands in the database."""
    with hub.db.tenant(TENANT) as conn:
        given = {"t": TENANT, "e": endpoint}
        keys = Counter(
            conn.scalars(text("SELECT dedupe_key FROM inbox WHERE tenant_id = :t AND endpoint_id = :e"), given)
        )
        found = conn.execute(text("SELECT email, title FROM crm_contact WHERE tenant_id = :t"), given)
        contacts = [(row.email, row.title) for row in found]
        repeated = conn.scalar(
            text("""
            SELECT coalesce(sum(n - 1), 0) FROM (
                SELECT count(*) AS n FROM field_history WHERE tenant_id = :t AND field = 'title'
                GROUP BY entity_id, new) x"""),
            given,
        )
        outcomes = inbox.ledger(conn, endpoint).by_outcome
    titles = dict(contacts)
    unstored = sum(f"id:e{event}" not in keys for event in sent.acknowledged)
    newest = title(VERSIONS - 1)
    unapplied = sum(titles.get(f"c{number}@example.com") != newest for number in range(events // VERSIONS))
    return {
        "events": events,
        "posts": sum(sent.answers.values()),
        "accepted": len(sent.acknowledged),
        "applied": outcomes.get("applied", 0),
        "superseded": outcomes.get("superseded", 0),
        "dead": outcomes.get("dead", 0),
        "doubled": sum(n - 1 for n in keys.values()) + len(contacts) - len(titles) + int(repeated or 0),
        "lost": unstored + unapplied,
        "refused_503": sent.answers["503"],
        "broken_connections": sent.broken,
        "pending_at_kill": sent.pending_at_kill,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000, help="different events")
    parser.add_argument("--copies", type=int, default=10, help="how often each is posted")
    parser.add_argument("--clients", type=int, default=16, help="connections")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o711)
        print(json.dumps(run(given.events, given.copies, Path(folder), clients=given.clients, seed=given.seed)))


if __name__ == "__main__":
    main()
