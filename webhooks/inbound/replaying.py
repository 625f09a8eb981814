"""Replaying dead letters of webhooks, by the path that deliveries take. Replaying twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.errors import ConfigurationError, SynclineError
from storage import dead_letters, inbound_endpoints, inbox
from storage.database import Connection, Database
from storage.dead_letters import Letter
from storage.inbound_endpoints import Endpoint
from storage.inbox import Became
from storage.suppression import ERASED
from sync_engine.replay import Preview
from webhooks.inbound import posted
from webhooks.inbound.schemes import scheme

Refuse = Callable[[Connection, str, Mapping[str, Any]], None]
"""Raises RecordRejectedError for values of a person who was erased."""

_ENDPOINT = "endpoint "
_INBOX = "inbox "


class PostedReplays:
    """Takes up letters of the stage ``webhook`` (see `sync_engine.replay.StageReplay`)."""

    def __init__(self, db: Database, tenant_id: UUID, refuse: Refuse = lambda *_: None) -> None:
        self._db, self._tenant_id, self._refuse = db, tenant_id, refuse

    def preview(self, letter: Letter) -> Preview:
        """What replaying would do. Changes nothing."""
        if _delivery(letter) is not None:
            return Preview(letter.id, letter.vendor_id, "processed again")
        try:
            with self._db.tenant(self._tenant_id) as conn:
                endpoint, reader = self._reader(conn, letter)
                found = posted.preview(conn, self._tenant_id, endpoint, self._read(conn, reader, letter))
        except SynclineError as error:
            if error.code == ERASED:
                return Preview(letter.id, letter.vendor_id, "erased", problem=error.message)
            return Preview(letter.id, letter.vendor_id, "still open", problem=error.message)
        return Preview(letter.id, letter.vendor_id, found.outcome, found.entity_id, found.changes, found.problem)

    def replay(self, letter: Letter) -> tuple[str, str]:
        """Apply the letter; how it counts, and its resolution or what is wrong."""
        delivery = _delivery(letter)
        try:
            with self._db.tenant(self._tenant_id) as conn:
                if delivery is not None:
                    if inbox.get(conn, delivery).forgotten:
                        return "erased", "erased"
                    inbox.replay(conn, [delivery])
                    return "sent again", "processed again"
                endpoint, reader = self._reader(conn, letter)
                at = _occurred_at(letter)
                became = posted.apply(conn, self._tenant_id, endpoint, self._read(conn, reader, letter), at)
        except SynclineError as error:
            if error.code == ERASED:
                with self._db.tenant(self._tenant_id) as conn:
                    dead_letters.forget(conn, [letter.id])
                return "erased", "erased"
            return "still open", error.message
        if became is Became.SUPERSEDED:
            return "superseded", "superseded: a later post said otherwise"
        return "applied", "applied: posted"

    def _read(self, conn: Connection, reader: posted.Reader, letter: Letter) -> posted.Reading:
        """What the letter's post says. Raises RecordRejectedError where it is about a person who was erased since."""
        reading = reader.read(letter.payload)
        self._refuse(conn, reading.entity, reading.values)
        return reading

    def _reader(self, conn: Connection, letter: Letter) -> tuple[Endpoint, posted.Reader]:
        endpoint = inbound_endpoints.get(conn, UUID((letter.place or "").removeprefix(_ENDPOINT)))
        reader = posted.reader_of(scheme(endpoint.scheme, endpoint.settings))
        if reader is None:
            raise ConfigurationError(
                f"The endpoint {endpoint.name} makes no records of what is posted any more.",
                remedy="Give it an entity and fields again, or discard the letter.",
                code="no_such_stream",
            )
        return endpoint, reader


def _delivery(letter: Letter) -> UUID | None:
    """The delivery that the letter is about as a whole, or None where it is about one post."""
    place = letter.place or ""
    return UUID(place.removeprefix(_INBOX)) if place.startswith(_INBOX) else None


def _occurred_at(letter: Letter) -> datetime:
    """When the post happened; a person's edit makes it happen now."""
    told = (letter.mapped or {}).get("occurred_at")
    if letter.edited_at is not None or not isinstance(told, str):
        return letter.edited_at or datetime.now(UTC)
    return datetime.fromisoformat(told)
