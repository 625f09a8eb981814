"""From a request to a stored delivery: which endpoint, is it believed, is it committed? Without knowing any web framework."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import orjson

from domain.errors import ConfigurationError, SynclineError
from storage import inbound_endpoints, secrets
from storage.database import Database
from storage.inbound_endpoints import Endpoint
from storage.intake import Delivery
from storage.tracing import traceparent
from storage.vault import Vault
from webhooks.inbound.contract import JWKS, Incoming, Refused, Reply, Scheme, Secrets, Verified
from webhooks.inbound.keysets import KeySets
from webhooks.inbound.schemes import scheme

log = logging.getLogger("syncline.intake")

KNOWN_FOR_S: Final = 5.0
"""After so many seconds at most, a change of an endpoint (rotated or revoked secret, removal) holds in every process."""
RENEWED_AFTER_S: Final = 2.0
KNOWN_MOST: Final = 10_000
KEY_UNKNOWN: Final = "webhook_key_unknown"
LOOKUPS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint ready to verify deliveries."""

    tenant_id: UUID
    endpoint: Endpoint
    scheme: Scheme
    secrets: Secrets
    kept_headers: tuple[str, ...]


Lookup = Callable[[UUID, UUID], Known | None]


def lookup_in(db: Database, vault: Vault) -> Lookup:
    """Looks an endpoint up within its own tenant; None for one that there is not, or not any more. Blocks."""

    def look_up(tenant_id: UUID, endpoint_id: UUID) -> Known | None:
        with db.tenant(tenant_id) as conn:
            try:
                endpoint = inbound_endpoints.get(conn, endpoint_id)
            except ConfigurationError:
                return None
            if endpoint.status == "removed":
                return None
            valid: Sequence[dict[str, str]] = secrets.valid(conn, vault, endpoint_id)
        made = scheme(endpoint.scheme, endpoint.settings)
        return Known(tenant_id, endpoint, made, tuple(valid), made.kept_headers())

    return look_up


class Endpoints:
    """Endpoints as this process knows them, for `KNOWN_FOR_S` at most; renewed in the background while they are used."""

    def __init__(self, look_up: Lookup, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up, self._clock = look_up, clock
        self._known: OrderedDict[tuple[UUID, UUID], tuple[float, Known | None]] = OrderedDict()
        self._asked: dict[tuple[UUID, UUID], asyncio.Task[Known | None]] = {}
        self._room = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def get(self, tenant_id: UUID, endpoint_id: UUID) -> Known | None:
        """The endpoint, or None. Raises what the lookup raises: the database away, settings or secrets that cannot be used."""
        key = (tenant_id, endpoint_id)
        since, known = self._known.get(key, (float("-inf"), None))
        age = self._clock() - since
        if age < RENEWED_AFTER_S:
            return known
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(_heard)
        return known if age < KNOWN_FOR_S else await asyncio.shield(task)

    async def _ask(self, key: tuple[UUID, UUID]) -> Known | None:
        try:
            async with self._room:
                began = self._clock()
                found = await asyncio.to_thread(self._look_up, *key)
        finally:
            del self._asked[key]
        self._known[key] = (began, found)
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)
        return found


def _heard(task: asyncio.Task[Known | None]) -> None:
    """Whoever waits for a lookup hears its error; one in the background is tried again by the next request."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("an endpoint could not be looked up", extra={"code": getattr(task.exception(), "code", "bug")})


class Stores(Protocol):
    """Where deliveries go (`storage.intake.InboxWriter`)."""

    def store(self, delivery: Delivery) -> Awaitable[bool]: ...


class Intake:
    """What happens to each request. ``counts`` since the start: stored, repeated, handshakes, refused by code."""

    def __init__(
        self, writer: Stores, keysets: KeySets, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._writer, self._keysets, self._clock = writer, keysets, clock
        self.counts: Counter[str] = Counter()

    async def receive(self, known: Known, request: Incoming) -> Reply:
        """Answer a handshake; or verify a delivery, store it, and answer after its commit.

        Raises Refused, and what storing raises: the delivery was not acknowledged, so it will be sent again.
        """
        now = self._clock()
        kind = known.scheme
        try:
            if request.method not in kind.methods:
                raise Refused(f"Send {' or '.join(sorted(kind.methods))}.", code="webhook_method", status=405)
            greeting = kind.handshake(request, known.secrets, now)
            if greeting is not None:
                self.counts["handshakes"] += 1
                return greeting
            verified = await self._verified(known, request, now)
        except SynclineError as error:
            self.counts[error.code] += 1
            raise
        stored = await self._writer.store(
            Delivery(
                known.tenant_id,
                known.endpoint.id,
                verified.dedupe_key,
                request.body,
                _kept(known.kept_headers, request),
                verified.occurred_at,
                traceparent(),
            )
        )
        self.counts["stored" if stored else "repeated"] += 1
        return kind.reply(request)

    async def _verified(self, known: Known, request: Incoming, now: datetime) -> Verified:
        """Raises Refused, and TransientError where keys that are needed cannot be had."""
        address = known.scheme.keys_at()
        if address is None:
            return known.scheme.verify(request, known.secrets, now)
        keys = await self._keysets.get(address)
        try:
            return known.scheme.verify(request, [{JWKS: keys}], now)
        except Refused as error:
            if error.code != KEY_UNKNOWN:
                raise
            newer = await self._keysets.get(address, renew=True)
            if newer == keys:
                raise
        return known.scheme.verify(request, [{JWKS: newer}], now)


def _kept(names: tuple[str, ...], request: Incoming) -> str | None:
    kept = {name: value for name in names if (value := request.headers.get(name)) is not None}
    return orjson.dumps(kept).decode() if kept else None
