"""`syncline keys`: API keys, and the master keys that encrypt stored credentials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from cli.noted import note, note_alone
from cli.output import table
from cli.session import Session, command
from domain.access import ROLES, SYSTEM_TENANT

app = typer.Typer(help="API keys, and the master keys that encrypt stored credentials.", no_args_is_help=True)


@command(app)
def rotate(session: Session) -> None:
    """Encrypt every stored credential of the tenant under the current master key. Can be repeated and interrupted."""
    note_alone(session, "master_key.rotate", "tenant", session.tenant_id)
    count = session.hub.rotate_keys()
    text = f"{count:,} credentials are encrypted under the current master key." if count else "Nothing to do."
    session.out.result({"rotated": count}, text)


@command(app)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help=f"{', '.join(ROLES)}.")] = "tenant_admin",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="PERMISSION", help="Narrow the role to this; may be given several times."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, metavar="N", help="Let it end after so many days. Default: never.")
    ] = None,
) -> None:
    """Make an API key and print its secret, which cannot be shown again.

    A key of the role system_admin belongs to the installation, not to the tenant.
    """
    from storage import api_keys

    tenant_id = SYSTEM_TENANT if role == "system_admin" else session.tenant_id
    ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with session.hub.db.tenant(tenant_id) as conn:
        key, secret = api_keys.create(
            conn, name=name, role=role, created_by="command:syncline", scopes=scope, expires_at=ends
        )
        note(conn, "key.create", "key", key.id, {"name": name, "role": role, "scopes": scope})
    made: dict[str, Any] = {"id": key.id, "name": key.name, "role": key.role, "secret": secret, "expires_at": ends}
    session.out.result(made, f"{secret}\n\nKeep it now: it is stored nowhere and cannot be shown again.")


@command(app, "list")
def list_keys(session: Session) -> None:
    """List the API keys of the tenant, without their secrets."""
    from storage import api_keys

    with session.hub.db.tenant(session.tenant_id) as conn:
        known = api_keys.list_all(conn)
    rows = [(k.name, k.role, k.id, k.created_at, k.last_used_at, k.revoked_at or k.expires_at) for k in known]
    shown = table(("name", "role", "id", "made", "last used", "ended or ends"), rows)
    session.out.result(known, shown if known else "There are no API keys yet. Make one with: syncline keys create NAME")


@command(app)
def revoke(session: Session, key_id: Annotated[UUID, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """End an API key at once and for good. It stays listed."""
    from storage import api_keys

    with session.hub.db.tenant(session.tenant_id) as conn:
        key = api_keys.revoke(conn, key_id)
        note(conn, "key.revoke", "key", key.id)
    session.out.result({"revoked": key.id}, f"Revoked {key.name}.")
