"""Who may do what: one group role that the application acts as, and logins that belong to it."""

from __future__ import annotations

import psycopg
from psycopg import sql

APP_ROLE = "syncline_app"
"""Group role without login, superuser or BYPASSRLS. It holds the grants on the tables and owns nothing."""


def ensure_app_role(connection: psycopg.Connection) -> None:
    """Create the group role unless it exists, and let the current user act as it (not a matter of course below superuser)."""
    _create_role(connection, APP_ROLE, "NOLOGIN")
    # Since 16 a role's creator may administer it, which does not include acting as it.
    may_act = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute("SELECT pg_has_role(current_user, %s, %s)", [APP_ROLE, may_act]).fetchone()
    if row is None or not row[0]:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(APP_ROLE)))
    _let_vouch(connection)


def _let_vouch(connection: psycopg.Connection) -> None:
    """Let the group role spare bulk loads the checks of foreign keys, where the current user may give that away.

    See `storage.loading.vouch_for_references`; without it a load is slower. Row-level security does not depend on it.
    """
    connection.execute(
        sql.SQL(
            "DO $do$ BEGIN "
            "IF has_parameter_privilege('session_replication_role', 'SET WITH GRANT OPTION') "
            "AND NOT has_parameter_privilege({name}, 'session_replication_role', 'SET') "
            "THEN GRANT SET ON PARAMETER session_replication_role TO {role}; END IF; "
            # Two databases set up at once grant the same thing: whoever comes second is content.
            "EXCEPTION WHEN unique_violation OR internal_error THEN NULL; END $do$"
        ).format(name=sql.Literal(APP_ROLE), role=sql.Identifier(APP_ROLE))
    )


def ensure_login(connection: psycopg.Connection, name: str, password: str) -> None:
    """Create or mend a login that acts as the group role; ``password`` replaces what it had."""
    ensure_app_role(connection)
    login = sql.Identifier(name)
    _create_role(connection, name, "LOGIN")
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN INHERIT PASSWORD {}").format(login, sql.Literal(password)))
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APP_ROLE), login))


def _create_role(connection: psycopg.Connection, name: str, options: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        return
    # Roles belong to the whole server, so two databases may be set up at once: whoever comes second is content.
    statement = (
        "DO $do$ BEGIN CREATE ROLE {} {}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$"
    )
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.SQL(options)))
