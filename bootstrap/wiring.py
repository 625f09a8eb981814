"""The hub, wired: the only place where real objects are built. Everything is made when it is first asked for."""

from __future__ import annotations

import logging
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

from bootstrap.metrics import count_call
from bootstrap.redact import redact, remember_credentials
from bootstrap.settings import Settings
from bootstrap.tracing import note_call
from connectors.kit import registry
from connectors.kit.contract import CallRecord, Connection, Connector
from domain.access import SYSTEM_TENANT
from domain.errors import ConfigurationError, StorageFullError, SynclineError, TransientError
from storage import connections, credentials, disconnecting, routes, schema, suppression, tenants
from storage.credentials import StoredTokens
from storage.database import Database
from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.vault import MasterKeys, Vault

if TYPE_CHECKING:
    from connectors.kit.outward import AllowList
    from migration.service import Migrations
    from webhooks.outbound.delivering import Deliverer

_AT_ONCE_S = 0.25
_BROKER_PORTS = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
_calls = logging.getLogger("syncline.calls")


def _silent(_text: str) -> None:
    """Say nothing."""


class Hub:
    """Settings turned into a database, a vault, connectors and services. ``say`` hears what takes a moment (a sentence each)."""

    def __init__(self, settings: Settings, *, say: Callable[[str], None] = _silent, pool_size: int = 5) -> None:
        self.settings = settings
        self._say = say
        self._pool_size = pool_size
        self._opened: list[Database] = []
        self._since = datetime.now(UTC)
        self.calls: Counter[UUID] = Counter()
        """Calls to vendors so far, by connection."""
        self.quotas: dict[UUID, tuple[int, int]] = {}
        """What vendors said last of their daily quotas, as (used, limit) by connection."""

    def of(self, tenant_id: UUID) -> Hub:
        """The same hub for another tenant. It shares this one's database, which this one closes."""
        other = Hub(self.settings.model_copy(update={"tenant": tenant_id}), say=self._say, pool_size=self._pool_size)
        other.__dict__.update(urls=self.urls, db=self.db, vault=self.vault)
        return other

    @property
    def tenant_id(self) -> UUID:
        return self.settings.tenant

    @cached_property
    def server(self) -> EmbeddedPostgres:
        """The embedded server (not started by asking). Raises ConfigurationError when DATABASE_URL names another one."""
        if not self.settings.embedded:
            raise ConfigurationError(
                "DATABASE_URL is set, so there is no embedded server.",
                remedy="Unset it, or use your server's own tools.",
            )
        return EmbeddedPostgres(self.settings.home)

    @cached_property
    def urls(self) -> ServerUrls:
        """Addresses of the database for its owner and for the application. Starts the embedded server."""
        given = self.settings.database_url
        if given is None:
            with self._if_it_takes_long("Starting the embedded PostgreSQL …"):
                return self.server.start()
        admin = self.settings.database_admin_url or given
        return ServerUrls(admin=admin.get_secret_value(), app=given.get_secret_value())

    def revision(self) -> str | None:
        """The schema's revision in the database; None before the first upgrade."""
        return schema.current_revision(self.urls.app)

    def head_revision(self) -> str:
        """The revision that this version of Syncline works with."""
        return schema.head_revision()

    def assert_ready(self) -> None:
        """Raise TransientError or ConfigurationError unless database, schema and broker can be worked with now."""
        with self.db.tenant(self.tenant_id) as conn:
            schema.assert_head(schema.revision_of(conn))
        if self.settings.broker_url is not None:
            _assert_listening(self.settings.broker_url.get_secret_value())

    def address(self) -> str:
        """Host, port and name of the database, without user and password."""
        parts = urlsplit(self.urls.app)
        return f"{parts.hostname}:{parts.port or 5432}{parts.path}"

    def upgrade(self) -> None:
        """Bring the schema up to date. Concurrent upgrades wait for each other."""
        schema.upgrade(self.urls.admin)

    @cached_property
    def db(self) -> Database:
        """The database as the application's role, its schema current and its isolation proven.

        The embedded database is upgraded by itself; a server of yours is upgraded by `syncline db upgrade` alone.
        """
        if not self.settings.embedded:
            schema.assert_current(self.urls.app)
        elif self.revision() != self.head_revision():
            self._say("Preparing the database …")
            self.upgrade()
        database = Database.connect(self.urls.app, pool_size=self._pool_size)
        self._opened.append(database)
        with database.tenant(self.tenant_id) as conn:
            tenants.ensure(conn, self.tenant_id)
        with database.tenant(SYSTEM_TENANT) as conn:
            tenants.ensure(conn, SYSTEM_TENANT, "System")
        return database

    @cached_property
    def vault(self) -> Vault:
        return Vault(MasterKeys.load(self.settings.home))

    def rotate_keys(self) -> int:
        """Put every credential of the tenant under the current master key; where keys are a file, under a fresh one.

        Returns how many were encrypted anew.
        """
        if self.settings.master_keys is None:
            self.__dict__["vault"] = Vault(MasterKeys.renew(self.settings.home))
        with self.db.tenant(self.tenant_id) as conn:
            resealed = suppression.reseal(conn, self.vault)
        return resealed + credentials.rotate(self.db, self.vault, self.tenant_id)

    def open_connector(self, connection_id: UUID) -> Connector:
        """The connector of a stored connection. The caller closes it. Raises ConfigurationError."""
        with self.db.tenant(self.tenant_id) as conn:
            stored = connections.get(conn, connection_id)
        if stored.status == "disconnected":
            raise ConfigurationError(
                f"The connection {stored.name} is disconnected.", remedy="Connect it again.", code="disconnected"
            )
        tokens = StoredTokens(self.db, self.vault, self.tenant_id, connection_id)
        remember_credentials(tokens.load())
        connection = Connection(
            id=str(connection_id), vendor=stored.vendor, settings=stored.settings, tokens=tokens,
            base_url=stored.base_url, on_call=self._heard(connection_id, stored.vendor), cache=self._cache_of(connection_id),
        )  # fmt: skip
        return registry.load(stored.vendor)(connection)

    def _heard(self, connection_id: UUID, vendor: str) -> Callable[[CallRecord], None]:
        def heard(call: CallRecord) -> None:
            _log_call(call)
            count_call(vendor, call.status, call.duration_s)
            note_call(vendor, call)
            self.calls[connection_id] += 1
            if call.quota_used is not None and call.quota_limit:
                self.quotas[connection_id] = (call.quota_used, call.quota_limit)

        return heard

    @cached_property
    def migrations(self) -> Migrations:
        from migration.service import Migrations

        return Migrations(
            self.db, self.urls.app, self.tenant_id, self.open_connector, on_done=self.empty_cache,
            suppression_key=self._suppression_key,
        )  # fmt: skip

    def _suppression_key(self) -> bytes | None:
        """Made before anyone was erased, so that who is erased during a run is kept out of the rest of it."""
        with self.db.tenant(self.tenant_id) as conn:
            return suppression.key_of(conn, self.vault, create=True)

    @cached_property
    def webhook_allow(self) -> AllowList:
        """Which addresses webhooks may be sent to although they are not public. Raises ConfigurationError."""
        from connectors.kit.outward import AllowList

        return AllowList.parse(e for e in self.settings.webhook_allow.split(",") if e.strip())

    def deliverer(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Deliverer:
        """Who sends webhooks, for every tenant."""
        from connectors.kit.outward import Poster
        from webhooks.outbound.delivering import Deliverer

        days = timedelta(days=self.settings.webhook_disable_after_days)
        poster = Poster(self.webhook_allow)
        return Deliverer(self.db, self.vault, poster, clock, redact=redact, disable_after=days)

    def forget_connection(self, connection_id: UUID) -> None:
        """Delete a connection, its credentials and what its connector kept of the source. What was migrated stays, and its links.

        Raises ConfigurationError (`connection_in_use`) while objects of it are kept in step.
        """
        with self.db.tenant(self.tenant_id) as conn:
            disconnecting.require_unused(conn, connection_id)
            connections.delete(conn, connection_id)
        routes.keep(self.db, self.tenant_id)
        self.empty_cache(connection_id)

    def empty_cache(self, connection_id: UUID) -> None:
        """Remove what the connector kept of the source: it may hold values of records, so it goes when it has served."""
        shutil.rmtree(self.settings.home / "cache" / str(connection_id), ignore_errors=True)

    def _cache_of(self, connection_id: UUID) -> Path | None:
        """The folder of what a connector may compute again, for this user alone; None where it cannot be made."""
        folder = self.settings.home / "cache" / str(connection_id)
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            return None
        return folder

    def explained(self, error: TransientError) -> SynclineError:
        """What lies behind ``error``: a lost embedded server may have broken down because the disk is full."""
        if error.code == "database_unavailable" and self.settings.embedded and self.server.ran_full(self._since):
            return StorageFullError(
                "The disk of the database is full; its server broke down and recovers by itself.",
                remedy="Make room and resume; everything committed so far is kept.",
            )
        return error

    @contextmanager
    def _if_it_takes_long(self, text: str) -> Iterator[None]:
        """Say ``text`` unless the block is done at once, as it is when the server is warm."""
        timer = Timer(_AT_ONCE_S, self._say, (text,))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close database connections. The embedded server stays up, so that the next command finds it warm."""
        while self._opened:
            self._opened.pop().close()


def _assert_listening(broker_url: str) -> None:
    """Raise TransientError unless something takes connections at the broker's address."""
    parts = urlsplit(broker_url)
    try:
        port = parts.port or _BROKER_PORTS.get(parts.scheme, 5672)
        socket.create_connection((parts.hostname or "localhost", port), timeout=2).close()
    except (OSError, ValueError):
        raise TransientError("The broker does not answer.", code="broker_unreachable") from None


def _log_call(call: CallRecord) -> None:
    _calls.info(
        "%s %s %s", call.method, call.path, call.status, extra={"duration_s": call.duration_s, "attempt": call.attempt}
    )
