"""Row-level security on every table: a transaction sees and touches the rows of one tenant, or of none.

`protect` runs after every upgrade of the schema and looks at what is really there, so a table that a later revision adds
is covered without anyone remembering it.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from domain.errors import ConfigurationError
from storage.roles import APP_ROLE
from storage.tables_access import APPEND_ONLY

VERSION_TABLE = "alembic_version"
POLICY = "tenant_isolation"
OWNER_POLICY = "owner_lists_tenants"
"""Lets the owner of the schema, and nobody else, list the tenants: for `syncline_tenants()`, which runs as the owner."""

TENANT_SQL = "(SELECT nullif(current_setting('app.tenant_id', true), '')::uuid)"
"""The transaction's tenant, or NULL (which equals nothing). As a sub-select it is evaluated once a statement, and it stays
harmless after a SET LOCAL has ended, which leaves an empty string behind."""

_TABLES = """
SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
       EXISTS (SELECT FROM pg_attribute a
               WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull AND NOT a.attisdropped) AS has_tenant,
       (SELECT count(*) FROM pg_policy p
         WHERE p.polrelid = c.oid AND NOT (
             c.relname = 'tenant' AND p.polname = %(owner_policy)s AND p.polcmd = 'r' AND p.polroles = ARRAY[c.relowner])
       ) AS policies,
       EXISTS (SELECT FROM pg_policy p
               WHERE p.polrelid = c.oid AND p.polname = %(policy)s AND p.polcmd = '*' AND p.polroles = '{0}'
                 AND pg_get_expr(p.polqual, p.polrelid) = pg_get_expr(p.polwithcheck, p.polrelid)
                 AND pg_get_expr(p.polqual, p.polrelid) LIKE '(tenant_id = %%app.tenant_id%%') AS has_policy
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class TableState:
    """How one table stands. ``policies``: how many there are; more than ours would widen what a tenant sees."""

    name: str
    enabled: bool
    forced: bool
    is_partition: bool
    has_tenant: bool
    policies: int
    has_policy: bool

    @property
    def protected(self) -> bool:
        return self.enabled and self.forced and self.has_tenant and self.has_policy and self.policies == 1


def table_states(connection: psycopg.Connection) -> list[TableState]:
    """Every table and partition of the schema but Alembic's own."""
    rows = connection.execute(_TABLES, {"policy": POLICY, "owner_policy": OWNER_POLICY}).fetchall()
    return [TableState(*row[1:]) for row in rows if row[1] != VERSION_TABLE]


def protect(conn: Connection) -> list[str]:
    """Enable and force row-level security on every table, and grant the application role what it needs.

    Returns the names of the tables that were not protected before. Raises ConfigurationError for a table without a
    ``tenant_id`` that is NOT NULL.
    """
    driver = driver_connection(conn)
    states = table_states(driver)
    without = [t.name for t in states if not t.has_tenant]
    if without:
        raise ConfigurationError(
            f"Tables without a tenant_id NOT NULL: {', '.join(without)}.",
            remedy="Give them one as the first column of their primary key: every row belongs to a tenant.",
        )
    changed = [t.name for t in states if not t.protected]
    for name in changed:
        _protect_table(driver, sql.Identifier(name))
    if "tenant" in {t.name for t in states}:
        _let_owner_list_tenants(driver)
    _grant(driver, [t.name for t in states])
    return changed


def driver_connection(conn: Connection) -> psycopg.Connection:
    """The psycopg connection under a SQLAlchemy one, in the same transaction."""
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  # the only driver this package configures
    return driver


def current_tenant(conn: Connection) -> str:
    """The tenant of the running transaction, as text. Raises ConfigurationError outside of one."""
    tenant = conn.scalar(text(f"SELECT {TENANT_SQL}::text"))
    if tenant is None:
        raise ConfigurationError(
            "This work needs a tenant, and the transaction has none.", remedy="Use Database.tenant()."
        )
    return str(tenant)


def _protect_table(driver: psycopg.Connection, table: sql.Identifier) -> None:
    for name in _policies(driver, table):
        driver.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(name), table))
    condition = sql.SQL("tenant_id = " + TENANT_SQL)
    driver.execute(
        sql.SQL("CREATE POLICY {} ON {} USING ({c}) WITH CHECK ({c})").format(
            sql.Identifier(POLICY), table, c=condition
        )
    )
    driver.execute(sql.SQL("ALTER TABLE {t} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY").format(t=table))


def _let_owner_list_tenants(driver: psycopg.Connection) -> None:
    tenant = sql.Identifier("tenant")
    if OWNER_POLICY in _policies(driver, tenant):
        return
    driver.execute(
        sql.SQL("CREATE POLICY {} ON {} FOR SELECT TO CURRENT_USER USING (true)").format(
            sql.Identifier(OWNER_POLICY), tenant
        )
    )


def _policies(driver: psycopg.Connection, table: sql.Identifier) -> list[str]:
    rows = driver.execute("SELECT polname FROM pg_policy WHERE polrelid = %s::regclass", [table.as_string(driver)])
    return [row[0] for row in rows]


def _grant(driver: psycopg.Connection, tables: list[str]) -> None:
    # No TRUNCATE (it knows no row-level security), no REFERENCES, no TRIGGER, and nothing to anyone else.
    app = sql.Identifier(APP_ROLE)
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    driver.execute(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, {}").format(_schema(driver), app))
    driver.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(_schema(driver), app))
    if tables:
        driver.execute(sql.SQL("REVOKE ALL ON {} FROM PUBLIC, {}").format(names, app))
        driver.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(names, app))
    for name in APPEND_ONLY.intersection(tables):
        driver.execute(sql.SQL("REVOKE UPDATE, DELETE ON {} FROM {}").format(sql.Identifier(name), app))
    if driver.execute("SELECT to_regclass(%s)", [VERSION_TABLE]).fetchone() != (None,):
        driver.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.Identifier(VERSION_TABLE), app))


def _schema(driver: psycopg.Connection) -> sql.Identifier:
    row = driver.execute("SELECT current_schema()").fetchone()
    return sql.Identifier(row[0] if row else "public")
