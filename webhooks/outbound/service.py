"""What people do with subscriptions, whichever way they come: by the API or by the command line. Each is noted in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from connectors.kit.outward import AllowList, target_of
from domain.access import Actor
from domain.errors import ConfigurationError
from storage import audit, deliveries, events, relaying, secrets, subscriptions
from storage.database import Connection
from storage.deliveries import Filter
from storage.events import Event
from storage.relaying import Due
from storage.subscriptions import Subscription
from storage.vault import Vault
from webhooks.outbound import delivering, signing
from webhooks.outbound.catalogue import TEST, unknown_types
from webhooks.outbound.delivering import SECRET

AT_MOST = 100
OVERLAP = timedelta(hours=24)
KIND = "webhook_subscription"


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Subscriptions of one tenant, in the caller's transaction, changed by ``actor``."""

    conn: Connection
    vault: Vault
    allowed: AllowList
    actor: Actor
    request_id: str | None = None

    def create(self, given: Mapping[str, Any]) -> tuple[Subscription, str]:
        """Add an endpoint; returns it with its secret, which cannot be shown again. Raises ConfigurationError."""
        self._check(given)
        if len(subscriptions.list_all(self.conn)) >= AT_MOST:
            raise ConfigurationError(
                f"There are {AT_MOST} webhook subscriptions already.",
                remedy="Remove one that is not used any more.",
                code="too_many_subscriptions",
            )
        made = subscriptions.create(self.conn, created_by=self.actor.label, **given)
        secret = signing.new_secret()
        secrets.add(self.conn, self.vault, made.id, {SECRET: secret})
        self._note("create", made.id, {"name": made.name, "types": list(made.types)})
        return made, secret

    def change(self, subscription_id: UUID, given: Mapping[str, Any]) -> Subscription:
        """Change what is given. Raises ConfigurationError."""
        self._check(given)
        changed = subscriptions.change(self.conn, subscription_id, given)
        self._note("change", subscription_id, {"fields": sorted(given)})
        return changed

    def rotate(self, subscription_id: UUID, overlap: timedelta = OVERLAP, *, now: datetime) -> str:
        """Give an endpoint a new secret and return it; for ``overlap`` what is sent is signed with the old one, too."""
        subscriptions.get(self.conn, subscription_id, lock=True)
        secret = signing.new_secret()
        secrets.add(self.conn, self.vault, subscription_id, {SECRET: secret}, overlap=overlap, now=now)
        self._note("rotate", subscription_id, {"overlap_s": int(overlap.total_seconds())})
        return secret

    def enable(self, subscription_id: UUID, now: datetime) -> Subscription:
        """Send again, what waited first. Raises ConfigurationError."""
        enabled = subscriptions.enable(self.conn, subscription_id, now)
        self._note("enable", subscription_id, {})
        return enabled

    def disable(self, subscription_id: UUID) -> Subscription:
        """Send nothing any more; what happens is kept. Raises ConfigurationError."""
        found = subscriptions.get(self.conn, subscription_id, lock=True)
        delivering.disable(self.conn, found, f"by {self.actor.label}", self.actor, self.request_id)
        return subscriptions.get(self.conn, subscription_id)

    def remove(self, subscription_id: UUID) -> None:
        """Forget an endpoint and what was to be delivered to it. Raises ConfigurationError."""
        subscriptions.remove(self.conn, subscription_id)
        self._note("remove", subscription_id, {})

    def test(self, subscription_id: UUID, now: datetime) -> UUID:
        """Queue a test event for this endpoint alone; returns the event's id. Raises ConfigurationError."""
        found = subscriptions.get(self.conn, subscription_id)
        event = Event(TEST, {"message": f"A test of the webhook subscription {found.name}."})
        events.emit_unheard(self.conn, event)
        relaying.deliver(self.conn, [Due(subscription_id, event.id, None)], now)
        self._note("test", subscription_id, {"event": str(event.id)})
        return event.id

    def replay(self, subscription_id: UUID, wanted: Filter, now: datetime) -> int:
        """Send again what was delivered or failed, with the same event ids; returns how many. Raises ConfigurationError."""
        subscriptions.get(self.conn, subscription_id)
        if wanted == Filter():
            raise ConfigurationError(
                "A replay needs to know what to send again.",
                remedy="Name an event, a status, a type, or a window of time.",
                code="replay_of_everything",
            )
        count = deliveries.replay(self.conn, subscription_id, wanted, now)
        chosen = {k: str(v) for k in Filter.__slots__ if (v := getattr(wanted, k)) is not None}
        self._note("replay", subscription_id, {"deliveries": count, **chosen})
        return count

    def _check(self, given: Mapping[str, Any]) -> None:
        if "url" in given:
            target_of(given["url"], self.allowed)
        odd = unknown_types(list(given.get("types", ())))
        if odd:
            raise ConfigurationError(
                f"There is no event {', '.join(odd)}.",
                remedy="The reference of events lists them; contact.* and * are understood, too.",
                code="unknown_event",
            )

    def _note(self, verb: str, subscription_id: UUID, detail: Mapping[str, Any]) -> None:
        audit.record(
            self.conn, self.actor, f"{KIND}.{verb}", KIND, subscription_id, detail, request_id=self.request_id
        )  # fmt: skip
