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

from domain.errors import ConfigurationError, SynclineError, TransientError
from storage import inbound_endpoints, secrets
from storage.database import Database
from storage.inbound_endpoints import Endpoint
from storage.intake import Delivery, Outcome
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
LOOKUP_WITHIN_S: Final = 0.75
REFUSED_FOR_S: Final = 0.05
"""After a lookup failed because the database is away, so long none is tried."""
_NEVER: Final = (float("-inf"), None)


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
    """Endpoints as this process knows them, for `KNOWN_FOR_S` at most; renewed in the background while they are used.

    ``within_s``: how long a lookup is waited for, by all that wait for it; it goes on, and who comes later is told at once.
    """

    def __init__(
        self, look_up: Lookup, *, within_s: float = LOOKUP_WITHIN_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_up, self._within_s, self._clock = look_up, within_s, clock
        self._known: OrderedDict[tuple[UUID, UUID], tuple[float, Known | None]] = OrderedDict()
        self._asked: dict[tuple[UUID, UUID], tuple[float, asyncio.Task[Known | None]]] = {}
        self._refused_until = float("-inf")
        self._room = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    def at_hand(self, tenant_id: UUID, endpoint_id: UUID) -> Known | None:
        """The endpoint, if it is known and needs no renewal; None: ask `get`."""
        since, known = self._known.get((tenant_id, endpoint_id), _NEVER)
        return known if self._clock() - since < RENEWED_AFTER_S else None

    async def get(self, tenant_id: UUID, endpoint_id: UUID) -> Known | None:
        """The endpoint, or None. Raises what the lookup raises: the database away, settings or secrets that cannot be used."""
        key = (tenant_id, endpoint_id)
        since, known = self._known.get(key, _NEVER)
        now = self._clock()
        if now - since < RENEWED_AFTER_S:
            return known
        usable = now - since < KNOWN_FOR_S
        asked = self._asked.get(key)
        if asked is None:
            if now < self._refused_until:
                if usable:
                    return known
                raise _away()
            asked = self._asked[key] = now, asyncio.create_task(self._ask(key))
            asked[1].add_done_callback(_heard)
        return known if usable else await self._waited_for(*asked)

    async def _waited_for(self, began: float, task: asyncio.Task[Known | None]) -> Known | None:
        left = began + self._within_s - self._clock()
        if left <= 0 and not task.done():
            raise _away()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(task)
        except TimeoutError:
            raise _away() from None

    async def _ask(self, key: tuple[UUID, UUID]) -> Known | None:
        try:
            async with self._room:
                began = self._clock()
                found = await asyncio.to_thread(self._look_up, *key)
        except TransientError:
            self._refused_until = self._clock() + REFUSED_FOR_S
            raise
        finally:
            del self._asked[key]
        self._known[key] = (began, found)
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)
        return found


def _away() -> TransientError:
    return TransientError("The database does not answer.", code="database_unavailable", retry_after_s=1)


def _heard(task: asyncio.Task[Known | None]) -> None:
    """Whoever waits for a lookup hears its error; one in the background is tried again by the next request."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("an endpoint could not be looked up", extra={"code": getattr(task.exception(), "code", "bug")})


class Stores(Protocol):
    """Where deliveries go (`storage.intake.InboxWriter`)."""

    def store(self, delivery: Delivery) -> Awaitable[bool]: ...

    def put(self, delivery: Delivery, tell: Callable[[Outcome], None]) -> None: ...


Answer = Callable[[Reply | SynclineError], None]
"""Hears once what to answer, or that the delivery was not stored and has to be sent again."""


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
        try:
            greeting = self._greeting(known, request, now)
            if greeting is not None:
                return greeting
            verified = await self._verified(known, request, now)
        except SynclineError as error:
            self.counts[error.code] += 1
            raise
        stored = await self._writer.store(_delivery(known, request, verified, traceparent()))
        return self._stored(known, request, stored)

    def begin(self, known: Known, request: Incoming, answer: Answer) -> None:
        """As `receive`, without waiting: ``answer`` hears what comes of it. For a scheme that needs no published keys, untraced.

        Raises Refused, and TransientError where too much is waiting to be stored; then ``answer`` hears nothing.
        """
        now = self._clock()
        try:
            greeting = self._greeting(known, request, now)
            if greeting is not None:
                answer(greeting)
                return
            verified = known.scheme.verify(request, known.secrets, now)
        except SynclineError as error:
            self.counts[error.code] += 1
            raise

        def tell(outcome: Outcome) -> None:
            answer(outcome if isinstance(outcome, SynclineError) else self._stored(known, request, outcome))

        self._writer.put(_delivery(known, request, verified, None), tell)

    def _greeting(self, known: Known, request: Incoming, now: datetime) -> Reply | None:
        """The answer to a handshake; None: it is a delivery. Raises Refused."""
        kind = known.scheme
        if request.method not in kind.methods:
            raise Refused(f"Send {' or '.join(sorted(kind.methods))}.", code="webhook_method", status=405)
        greeting = kind.handshake(request, known.secrets, now)
        if greeting is not None:
            self.counts["handshakes"] += 1
        return greeting

    def _stored(self, known: Known, request: Incoming, new: bool) -> Reply:
        self.counts["stored" if new else "repeated"] += 1
        return known.scheme.reply(request)

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


def _delivery(known: Known, request: Incoming, verified: Verified, cause: str | None) -> Delivery:
    return Delivery(
        known.tenant_id,
        known.endpoint.id,
        verified.dedupe_key,
        request.body,
        _kept(known.kept_headers, request) if known.kept_headers else None,
        verified.occurred_at,
        cause,
    )


def _kept(names: tuple[str, ...], request: Incoming) -> str | None:
    kept = {name: value for name in names if (value := request.headers.get(name)) is not None}
    return orjson.dumps(kept).decode() if kept else None
