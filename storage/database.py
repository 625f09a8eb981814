"""The application's door to PostgreSQL: every transaction belongs to one tenant.

There is no way to read across tenants through it: who must (upgrades, partitions) uses the admin URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from uuid import UUID

import psycopg
from sqlalchemy import Connection as Connection  # what a transaction of `Database` is, for those above storage
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import ConfigurationError
from storage.failures import translated
from storage.roles import APP_ROLE
from storage.tenancy import driver_connection, table_states
from storage.tracing import traceparent

_LOOK_UPS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
_POOL_TIMEOUT_S = 30.0
_MINIMUM_VERSION = 150000


def engine_url(url: str) -> URL:
    """``url`` (postgres://, postgresql:// or SQLAlchemy's own form) for SQLAlchemy with psycopg.

    Raises ConfigurationError without repeating the URL, which may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read.", remedy="Write it as postgresql://user:password@host:5432/database."
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"The database URL names {parsed.get_backend_name()}; Syncline stores its data in PostgreSQL only.",
            remedy="Give a postgresql:// URL, or none for the embedded server.",
        )
    return parsed.set(drivername="postgresql+psycopg")


def driver_url(url: str) -> str:
    """``url`` as psycopg and libpq take it."""
    rendered = engine_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    place, mark, query = rendered.partition("?")
    return f"{place}{mark}{query.replace('+', '%20')}"  # libpq takes a plus sign for itself, not for a blank


def make_engine(url: str, *, pool_size: int = 5, max_overflow: int = 0, begins: bool = True) -> Engine:
    """An engine whose errors never quote parameters: they hold people's data.

    ``begins``: the first statement on a connection begins a transaction. Otherwise whoever wants one says so.
    """
    return create_engine(
        engine_url(url),
        isolation_level=None if begins else "AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=_POOL_TIMEOUT_S,
        hide_parameters=True,
        connect_args={"application_name": "syncline", "connect_timeout": 10},
    )


class Database:
    """A pool of connections that act as the application role. Safe to share between threads, not across fork."""

    def __init__(self, app_url: str, *, pool_size: int = 5) -> None:
        self.url = app_url
        """For connections of one's own: they act as the application role, too. Holds a password."""
        self._engine = make_engine(app_url, pool_size=pool_size, begins=False)
        self._pool_size = pool_size

    @classmethod
    def connect(cls, url: str, *, pool_size: int = 5) -> Database:
        """A checked database for any login: one that could bypass row-level security acts as the application role instead.

        Raises ConfigurationError (unsafe or missing schema, refused login) and TransientError (unreachable).
        """
        with translated(), psycopg.connect(driver_url(url), connect_timeout=10) as probe:
            privileged = _privilege(probe) is not None
            if privileged and not probe.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE]).fetchone():
                raise _no_schema()
        database = cls(as_app_role(url) if privileged else url, pool_size=pool_size)
        try:
            database.assert_safe()
        except BaseException:
            database.close()
            raise
        return database

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def tenant(self, tenant_id: UUID, *, look_ups: bool = False) -> Iterator[Connection]:
        """One transaction that sees, writes and refers to rows of ``tenant_id`` only: committed on leaving, else rolled back.

        ``look_ups``: its statements are about few records each, so every table is looked up by index, whatever is known of its
        size.

        Raises StorageFullError, TransientError (connection lost, deadlock: nothing was committed), ConfigurationError.
        """
        with translated():
            conn, driver = self._begin(_beginning(UUID(str(tenant_id)), look_ups=look_ups))
            try:
                yield conn
                driver.commit()
            except BaseException:
                _roll_back(conn, driver)
                raise
            finally:
                conn.close()

    def raw(self, conn: Connection) -> psycopg.Connection:
        """The driver's connection in the same transaction, for COPY and pipelines. Never commit it."""
        return driver_connection(conn)

    @contextmanager
    def loading(self, conn: Connection) -> Iterator[None]:
        """Within it, updates of records keep ``version``, ``updated_at`` and link bases as written by the statement itself."""
        conn.exec_driver_sql("SELECT set_config('app.loading', 'on', true)")
        yield
        conn.exec_driver_sql("SELECT set_config('app.loading', 'off', true)")

    @contextmanager
    def advisory_lock(self, key: int) -> Iterator[bool]:
        """Hold a session-level lock of its own connection, or learn (False) that another process does.

        It ends with this process, however the process ends. ``key``: a signed 64-bit number.
        """
        with translated(), self._engine.connect() as conn:
            held = bool(conn.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (key,)).scalar_one())
            try:
                yield held
            finally:
                if held and not conn.invalidated:
                    conn.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (key,))

    def assert_safe(self) -> None:
        """Refuse to work where one tenant could see another's rows. Raises ConfigurationError saying why."""
        with translated(), self._engine.connect() as conn:
            driver = driver_connection(conn)
            if driver.info.server_version < _MINIMUM_VERSION:
                raise ConfigurationError(
                    f"The database server is PostgreSQL {driver.info.server_version // 10000}; Syncline needs 15 or newer.",
                    remedy="Upgrade the server or name another one in DATABASE_URL.",
                )
            _assert_schema(driver)
            reason = _privilege(driver)
            if reason is not None:
                raise ConfigurationError(
                    f"The database user {reason}, so row-level security would not hold.",
                    remedy=f"Let the application log in as a plain member of the role {APP_ROLE}.",
                    code="unsafe_database_user",
                )

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    def _begin(self, beginning: bytes) -> tuple[Connection, psycopg.Connection]:
        """A connection in a transaction, and the driver's own. Those that died in the pool (with their server) are replaced."""
        for spare in reversed(range(self._pool_size + 1)):
            conn = self._engine.connect()
            try:
                driver = driver_connection(conn)
                driver.execute(beginning, prepare=False)
                return conn, driver
            except BaseException as error:
                dead = isinstance(error, psycopg.OperationalError) and driver.closed
                if dead:
                    conn.invalidate()
                conn.close()
                if not (dead and spare):
                    raise
        raise AssertionError  # the last one was returned or raised


def _beginning(tenant_id: UUID, *, look_ups: bool) -> bytes:
    """What begins a tenant's transaction, as one message to the server. Nothing of it outlives the transaction."""
    settings = {"app.tenant_id": str(tenant_id)} | (dict.fromkeys(_LOOK_UPS, "off") if look_ups else {})
    if (cause := traceparent()) is not None:
        # Escaped so that it means the same whatever the server's standard_conforming_strings.
        settings["app.traceparent"] = cause.replace("\\", "\\\\").replace("'", "''")
    calls = ", ".join(f"set_config('{name}', E'{value}', true)" for name, value in settings.items())
    return f"BEGIN; SELECT {calls}".encode()


def as_app_role(url: str) -> str:
    """``url`` with every session acting as the application role from its first moment (RESET ROLE returns to it, too)."""
    parsed = engine_url(url)
    known = parsed.query.get("options", "")
    options = f"{known if isinstance(known, str) else ' '.join(known)} -c role={APP_ROLE}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _roll_back(conn: Connection, driver: psycopg.Connection) -> None:
    try:
        driver.rollback()
    except psycopg.Error:
        if not conn.invalidated:
            conn.invalidate()  # the connection is gone, and the transaction with it


_PRIVILEGE = """
SELECT r.rolsuper, r.rolbypassrls,
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
               AND c.relkind IN ('r', 'p') AND pg_has_role(current_user, c.relowner, 'USAGE')),
       has_schema_privilege(current_schema(), 'CREATE')
FROM pg_roles r WHERE r.rolname = current_user
"""


def _privilege(connection: psycopg.Connection) -> str | None:
    """What makes the current user unfit for the application, in words, or None."""
    row = connection.execute(_PRIVILEGE).fetchone() or (False, False, False, False)
    reasons = (
        "is a superuser",
        "has BYPASSRLS",
        "owns tables of the schema",
        "may create tables",
    )
    return next((reason for reason, applies in zip(reasons, row, strict=True) if applies), None)


def _assert_schema(connection: psycopg.Connection) -> None:
    states = table_states(connection)
    if not states:
        raise _no_schema()
    bare = [t.name for t in states if not t.protected]
    if bare:
        raise ConfigurationError(
            f"Row-level security is not forced on: {', '.join(bare)}.",
            remedy="Upgrade the schema with the admin URL, which protects every table.",
            code="unprotected_tables",
        )


def _no_schema() -> ConfigurationError:
    return ConfigurationError(
        "The database holds no Syncline schema yet, or not this user's to see.",
        remedy="Upgrade the schema with the admin URL first.",
        code="no_schema",
    )
