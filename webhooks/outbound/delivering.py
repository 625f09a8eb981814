"""Sending what is due to one endpoint: claim, sign, send, write down how it went; pause, put off, or disable accordingly."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from opentelemetry.trace import Span, SpanKind, StatusCode

from connectors.kit.outward import Answer, Poster
from connectors.kit.retry import retry_after_s
from domain.access import Actor
from domain.errors import ConfigurationError
from storage import audit, deliveries, events, secrets, subscriptions
from storage.database import Connection, Database
from storage.deliveries import Attempt, Claimed
from storage.events import Event
from storage.subscriptions import Subscription
from storage.tracing import span
from storage.vault import Vault
from webhooks.outbound import schedule, signing
from webhooks.outbound.catalogue import DISABLED

BATCH = 20
SECRET = "secret"  # noqa: S105  # the name that a subscription's secret goes by
_USER_AGENT = "Syncline-Webhooks/1"
_EXCERPT_CHARACTERS = 1_000
_MARGIN_S = 30.0
_SYSTEM = Actor("system", "webhooks", "webhooks")

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Batch:
    subscription: Subscription
    claimed: list[Claimed]
    keys: list[str]


class Deliverer:
    """Sends to endpoints. Safe to share between threads; any number of processes may send at once.

    ``redact`` takes secrets and personal values out of what an endpoint answers before it is kept. ``disable_after``: how long
    nothing may get through before an endpoint is disabled.
    """

    def __init__(
        self,
        db: Database,
        vault: Vault,
        poster: Poster,
        clock: Callable[[], datetime],
        *,
        redact: Redact = lambda text: text,
        jitter: Callable[[], float] = random.random,
        disable_after: timedelta = timedelta(days=5),
    ) -> None:
        self._db, self._vault, self._poster, self._clock = db, vault, poster, clock
        self._redact, self._jitter, self._disable_after = redact, jitter, disable_after

    def due(self, tenant_id: UUID) -> list[UUID]:
        """Endpoints of a tenant to which something could be sent at once."""
        with self._db.tenant(tenant_id) as conn:
            return list(subscriptions.active_with_work(conn, self._clock()))

    def run(self, tenant_id: UUID, subscription_id: UUID, over: Callable[[], bool] = lambda: False) -> int:
        """Send one batch, in order; returns how many deliveries were tried. Whatever is not tried is given back.

        Stops at the endpoint's first failure of its own: the others would only wait for it, too.
        """
        batch = self._claim(tenant_id, subscription_id)
        if batch is None:
            return 0
        tried = 0
        for claimed in batch.claimed:
            if over():
                break
            tried += 1
            if not self._send(tenant_id, batch, claimed):
                break
        rest = batch.claimed[tried:]
        if rest:
            self._give_back(tenant_id, subscription_id, rest)
        return tried

    def _give_back(self, tenant_id: UUID, subscription_id: UUID, rest: list[Claimed]) -> None:
        """Release what was not tried; it does not count towards the endpoint's rate either."""
        with self._db.tenant(tenant_id) as conn:
            found = _standing(conn, subscription_id)
            if found is not None and found.next_at is not None:
                unused = timedelta(seconds=len(rest) / found.rate_per_s)
                subscriptions.set_columns(conn, subscription_id, next_at=found.next_at - unused)
                deliveries.give_back(conn, rest)

    def _claim(self, tenant_id: UUID, subscription_id: UUID) -> _Batch | None:
        """Take what is due, as much as the endpoint's rate allows; a single one where it has to prove that it is back."""
        now = self._clock()
        with self._db.tenant(tenant_id) as conn:
            found = _standing(conn, subscription_id)
            if (
                found is None
                or found.status != "active"
                or (found.paused_until is not None and found.paused_until > now)
            ):
                return None
            tripped = found.failures >= schedule.TRIPS_AT
            most = deliveries.allowance(found.next_at, now, found.rate_per_s, 1 if tripped else BATCH)
            until = now + timedelta(seconds=self._poster.total_s * max(most, 1) + _MARGIN_S)
            claimed = deliveries.claim(
                conn, subscription_id, ordered=found.ordered, now=now, until=until, limit=most
            )  # fmt: skip
            if not claimed:
                return None
            spent = deliveries.next_after(found.next_at, now, found.rate_per_s, len(claimed))
            probing = {"paused_until": until} if tripped else {}
            subscriptions.set_columns(conn, subscription_id, next_at=spent, **probing)
            valid = secrets.valid(conn, self._vault, subscription_id, now=now)
        return _Batch(found, claimed, [s[SECRET] for s in valid])

    def _send(self, tenant_id: UUID, batch: _Batch, claimed: Claimed) -> bool:
        """One attempt; returns whether to go on with the others. A span of the trace that caused what is told."""
        ids = {"tenant": str(tenant_id), "subscription": str(claimed.subscription_id), "event": str(claimed.event_id)}
        causes = [claimed.traceparent] if claimed.traceparent else []
        with span("webhook", causes=causes, kind=SpanKind.PRODUCER, **ids, type=claimed.type) as current:
            current.set_attribute("syncline.attempt", claimed.attempts + 1)
            return self._attempt(tenant_id, batch, claimed, current)

    def _attempt(self, tenant_id: UUID, batch: _Batch, claimed: Claimed, current: Span) -> bool:
        at = self._clock()
        signed = signing.headers(str(claimed.event_id), claimed.body, batch.keys, at)
        kind = {"Content-Type": "application/json", "User-Agent": _USER_AGENT}
        answer = self._poster.post(batch.subscription.url, claimed.body.encode(), {**kind, **signed})
        _note(current, answer)
        excerpt = self._redact(answer.excerpt)[:_EXCERPT_CHARACTERS] if answer.excerpt else None
        attempt = Attempt(at, round(answer.duration_s * 1000), answer.status, answer.error, excerpt)
        with self._db.tenant(tenant_id) as conn:
            found = _standing(conn, claimed.subscription_id)
            if found is None:
                return False
            deliveries.note(conn, claimed, attempt)
            if answer.ok:
                deliveries.delivered(conn, claimed, self._clock())
                self._well(conn, found)
                return True
            return self._failed(conn, found, claimed, answer)

    def _well(self, conn: Connection, found: Subscription) -> None:
        if found.failures or found.failing_since or found.paused_until:
            subscriptions.set_columns(conn, found.id, failures=0, failing_since=None, paused_until=None)

    def _failed(self, conn: Connection, found: Subscription, claimed: Claimed, answer: Answer) -> bool:
        now = self._clock()
        gone = answer.status == schedule.GONE
        asked = retry_after_s(answer.headers, now) if answer.status in (429, 503) else None
        # What is kept for a disabled endpoint goes out when it is enabled: its schedule begins anew then.
        due = now if gone else schedule.retry_at(claimed.attempts + 1, now, asked, self._jitter())
        if not deliveries.put_off(conn, claimed, due, now):
            return False
        own = schedule.is_endpoints_fault(answer.status)
        failures = found.failures + 1 if own else found.failures
        since = found.failing_since or now
        paused = schedule.pause_until(failures, now, asked) if own else None
        subscriptions.set_columns(conn, found.id, failures=failures, failing_since=since, paused_until=paused)
        if gone:
            disable(conn, found, "the endpoint answered that it is gone (410)", _SYSTEM)
        elif now - since >= self._disable_after:
            disable(conn, found, f"nothing got through for {self._disable_after.days} days", _SYSTEM)
        return not own and not gone


def _note(current: Span, answer: Answer) -> None:
    if answer.status is not None:
        current.set_attribute("http.response.status_code", answer.status)
    if not answer.ok:
        current.set_status(StatusCode.ERROR)
        current.set_attribute("error.type", answer.error or str(answer.status))


def _standing(conn: Connection, subscription_id: UUID) -> Subscription | None:
    """The endpoint, locked; None where it was removed meanwhile."""
    try:
        return subscriptions.get(conn, subscription_id, lock=True)
    except ConfigurationError:
        return None


def disable(conn: Connection, found: Subscription, reason: str, actor: Actor, request_id: str | None = None) -> None:
    """Disable an endpoint, tell the others, and note who did it."""
    if found.status == "disabled":
        return
    subscriptions.disable(conn, found.id, reason)
    data = {"subscription_id": str(found.id), "name": found.name, "reason": reason}
    events.emit(conn, Event(DISABLED, data, subject=found.id))
    audit.record(
        conn, actor, "webhook_subscription.disable", "webhook_subscription", found.id, {"reason": reason},
        request_id=request_id,
    )  # fmt: skip
