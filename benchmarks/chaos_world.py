"""The world of a chaos run: a database of its own, two sandbox vendors over HTTP, and both connected two-way."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import text

from bootstrap.settings import load_settings
from bootstrap.wiring import Hub
from domain.errors import SynclineError
from sandbox.hubspot.server import HubSpotServer
from sandbox.salesforce.server import SandboxServer

if TYPE_CHECKING:
    from benchmarks.chaos_processes import Processes

QUIET_S = 8.0
TOLD_LATE_S = 200.0
"""Salesforce tells of a delete by whole minutes, and only once two of them have passed."""
SETTINGS = {
    "SYNCLINE_LEASE_S": "6", "SYNCLINE_SWEEP_S": "0.5", "SYNCLINE_POLL_EVERY_S": "2", "SYNCLINE_SLICE_S": "2",
    "SYNCLINE_STOP_WITHIN_S": "10", "SYNCLINE_WORKER_THREADS": "2",
}  # fmt: skip

_HELD = """
SELECT DISTINCT c.name FROM stream s JOIN connection c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
WHERE s.reason ->> 'code' = 'mass_delete' AND s.status <> 'idle' ORDER BY 1"""
_STREAMS = "SELECT object, status, reason, failures, not_before, verified_at FROM stream ORDER BY object"
_STATE = """
SELECT (SELECT count(*) FROM push_work WHERE state <> 'waiting'), (SELECT count(*) FROM sync_notice),
       (SELECT count(*) FROM sync_intent),
       (SELECT count(*) FROM stream WHERE resync IS NOT NULL OR verified_at IS NULL OR verified_at < :since),
       (SELECT coalesce(sum(version), 0) FROM crm_contact), (SELECT coalesce(sum(version), 0) FROM crm_account),
       (SELECT count(*) FROM link)
"""


class World:
    """Use as a context manager. Starts everything but the workers, and stops it."""

    def __init__(self, home: Path, contacts: int) -> None:
        self.home, self._stack = home, ExitStack()
        self.salesforce = SandboxServer(contacts=contacts)
        self.hubspot = HubSpotServer(contacts=contacts, lag_s=(0.5, 3.0))

    def __enter__(self) -> World:
        try:
            self._stack.enter_context(self.salesforce)
            self._stack.enter_context(self.hubspot)
            self.hub = Hub(load_settings(home=self.home))
            self._stack.callback(self._stop_database)
            _ = self.hub.db
            self._connect()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _stop_database(self) -> None:
        self.hub.close()
        self.hub.server.destroy()

    # ------------------------------------------------------------ setting up

    def _connect(self) -> None:
        known = self.salesforce.credentials
        for name, secret in (("sf", known.password), ("st", known.security_token), ("hs", self.hubspot.token)):
            (self.home / name).write_text(secret)
        self.command(
            "connect", "salesforce", "--name", "org", "--base-url", self.salesforce.url,
            "--set", f"username={known.username}",
            "--secret", f"password=@{self.home / 'sf'}", "--secret", f"security_token=@{self.home / 'st'}",
        )  # fmt: skip
        self.command(
            "connect", "hubspot", "--name", "portal", "--base-url", self.hubspot.url,
            "--secret", f"access_token=@{self.home / 'hs'}",
        )  # fmt: skip
        self.command("sync", "add", "org", "--object", "Account", "--object", "Contact")
        self.command("sync", "add", "portal", "--object", "companies", "--object", "contacts", "--make-key-field")

    def command(self, *words: str) -> None:
        """Run a command of the product. Raises RuntimeError with what it said."""
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, env=self.environment(), check=False)
        if done.returncode:
            raise RuntimeError(f"syncline {' '.join(words[:2])}: {done.stderr}{done.stdout}")

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "cli.main", *words]

    def environment(self, broker: str | None = None) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SYNCLINE_", "DATABASE_", "BROKER_"))}
        given = {**kept, **SETTINGS, "SYNCLINE_HOME": str(self.home), "PYTHONPATH": str(Path(__file__).parents[1])}
        given["SYNCLINE_API_PORT"] = "0"
        return given if broker is None else {**given, "BROKER_URL": broker}

    def trouble(self, rng: random.Random) -> str:
        """Let a vendor fail a few of its next calls: a broken connection, an error, or a write whose answer is lost."""
        server = rng.choice((self.salesforce, self.hubspot))
        kinds = [rng.choice(("reset", "lost_answer", "error")) for _ in range(3)]
        faults = [{"kind": kind, "after": rng.randrange(12), "status": 503} for kind in kinds]
        httpx.post(f"{server.url}/__sandbox__/faults", json=faults, timeout=30).raise_for_status()
        return f"{'Salesforce' if server is self.salesforce else 'HubSpot'}: {', '.join(kinds)}"

    def let_through(self) -> list[str]:
        """Be the person whom the brake on mass deletes asks: these were meant. Returns the connections that went on.

        A hundred cycles delete more of a day's contacts than a stream takes away without asking.
        """
        with suppress(SynclineError, RuntimeError):  # the database is away: next time
            held = [row["name"] for row in self.query(_HELD)]
            for name in held:
                self.command("sync", "resume", name)
            return held
        return []

    # ------------------------------------------------------------ what stands where

    def query(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        """Rows of the hub, as dictionaries."""
        with self.hub.db.tenant(self.hub.tenant_id) as conn:
            return [dict(row) for row in conn.execute(text(statement), values).mappings()]

    def state(self, since: datetime) -> tuple[Any, ...]:
        """What must stand still once nothing is left to exchange: open work first, then versions on all sides.

        A stream that was not read to its end ``since`` then has something to do: it may be put off after a vendor's failures.
        """
        with self.hub.db.tenant(self.hub.tenant_id) as conn:
            hub = tuple(conn.execute(text(_STATE), {"since": since}).one())
        return (*hub, *(sum(map(len, self.created(url).values())) for url in (self.salesforce.url, self.hubspot.url)))

    def created(self, url: str) -> dict[str, list[str]]:
        """The ids of the records that calls created at a vendor, by object: its own journal."""
        found: dict[str, list[str]] = httpx.get(f"{url}/__sandbox__/journal", timeout=30).json()["created"]
        return found

    def settle(self, processes: Processes, most_s: float, at_least_s: float = 0.0) -> float:
        """Wait until nothing is due and nothing has changed for a while; returns how long it took. Raises TimeoutError.

        ``at_least_s``: how long a vendor may keep a change to itself, during which quiet proves nothing.
        """
        began = quiet_since = time.monotonic()
        since = datetime.now(UTC)
        before: tuple[Any, ...] | None = None
        while time.monotonic() - began < most_s:
            processes.revive()
            self.let_through()
            now: tuple[Any, ...] | None = None
            with suppress(SynclineError):
                now = self.state(since)
            if now is None or now != before or any(now[:4]):
                quiet_since, before = time.monotonic(), now
            elif time.monotonic() - max(quiet_since, began + at_least_s) >= QUIET_S:
                return quiet_since - began
            processes.pause(0.5)
        raise TimeoutError(f"not settled after {most_s:.0f} s: {before}; streams: {self.query(_STREAMS)}")
