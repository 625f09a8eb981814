"""Making and changing endpoints: settings that are checked before they are stored, secrets that are shown once."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from connectors.kit.outward import AllowList, target_of
from domain.errors import ConfigurationError
from storage import inbound_endpoints, secrets
from storage.database import Connection
from storage.inbound_endpoints import Endpoint
from storage.vault import Vault
from webhooks.inbound import posted
from webhooks.inbound.addresses import url_of
from webhooks.inbound.contract import PATH_TOKEN, Posted, Scheme
from webhooks.inbound.posted import Preview
from webhooks.inbound.schemes import scheme

OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret is accepted beside its successor, unless someone says otherwise."""

PUBLIC: Final = AllowList()
"""Nothing but what is public may be called."""

_MADE_HERE: Final = frozenset({PATH_TOKEN, "channel_token", "client_state"})
_MADE_FOR: Final = {"generic": frozenset({"secret", "username", "password", "api_key"})}


def add(
    conn: Connection,
    vault: Vault,
    *,
    name: str,
    scheme_name: str,
    settings: Mapping[str, Any] | None = None,
    given: Mapping[str, str] | None = None,
    connection_id: UUID | None = None,
    allowed: AllowList = PUBLIC,
) -> tuple[Endpoint, dict[str, str]]:
    """Make an endpoint; returns it with the secrets that the hub made, which cannot be shown again.

    Secrets that the sender makes are ``given``, now or by `rotate`; until then deliveries are answered with 503.
    ``allowed``: addresses that may be called although they are not public. Raises ConfigurationError.
    """
    kind = _checked(scheme_name, settings, allowed)
    endpoint = inbound_endpoints.create(
        conn, name=name, scheme=scheme_name, settings=kind.describe(), connection_id=connection_id
    )
    return endpoint, _give(conn, vault, endpoint, kind, given or {}, timedelta(0))


def rotate(
    conn: Connection,
    vault: Vault,
    endpoint_id: UUID,
    given: Mapping[str, str] | None = None,
    overlap: timedelta = OVERLAP,
) -> tuple[Endpoint, dict[str, str]]:
    """Replace the secrets of an endpoint; the old ones hold for ``overlap`` more. Returns those that the hub made."""
    endpoint = inbound_endpoints.lock(conn, endpoint_id)
    return endpoint, _give(conn, vault, endpoint, scheme(endpoint.scheme, endpoint.settings), given or {}, overlap)


def change(conn: Connection, endpoint_id: UUID, settings: Mapping[str, Any], allowed: AllowList = PUBLIC) -> Endpoint:
    """Replace the settings of an endpoint. Raises ConfigurationError."""
    endpoint = inbound_endpoints.lock(conn, endpoint_id)
    kind = _checked(endpoint.scheme, settings, allowed)
    return inbound_endpoints.update(conn, endpoint_id, settings=kind.describe())


def address(public_url: str, tenant_id: UUID, endpoint: Endpoint) -> str:
    """What the sender has to call; a path token stays hidden."""
    kind = scheme(endpoint.scheme, endpoint.settings)
    needs_token = any(secret.name == PATH_TOKEN for secret in kind.needed())
    return url_of(public_url.rstrip("/"), tenant_id, endpoint.id, "<token>" if needs_token else None)


def preview(conn: Connection, tenant_id: UUID, endpoint: Endpoint, body: bytes) -> list[Preview]:
    """What a body would become if it came to the endpoint. Stores nothing. Raises RecordRejectedError and ConfigurationError."""
    kind = scheme(endpoint.scheme, endpoint.settings)
    reader = posted.reader_of(kind)
    result: list[Preview] = []
    for item in kind.notices(body, {}):
        if isinstance(item, Exception):
            result.append(Preview("dead", problem=str(item)))
        elif not isinstance(item, Posted):
            result.append(Preview("noted", problem=f"A hint about {item.object}: the record is read from the vendor."))
        elif reader is None:
            result.append(Preview("kept"))
        else:
            result.append(posted.preview(conn, tenant_id, endpoint, reader.read(item.data)))
    return result or [Preview("ignored", problem="The endpoint's filters leave this post out.")]


def _checked(name: str, settings: Mapping[str, Any] | None, allowed: AllowList) -> Scheme:
    kind = scheme(name, settings)
    posted.reader_of(kind)
    keys = kind.keys_at()
    if keys is not None:
        target_of(keys, allowed)
    return kind


def _give(
    conn: Connection, vault: Vault, endpoint: Endpoint, kind: Scheme, given: Mapping[str, str], overlap: timedelta
) -> dict[str, str]:
    known = {secret.name for secret in kind.secrets}
    odd = sorted(set(given) - known)
    if odd:
        raise ConfigurationError(
            f"A {kind.label} endpoint has no secret called {', '.join(odd)}.",
            remedy=f"Its secrets are {', '.join(sorted(known)) or 'none'}.",
            code="unknown_secret",
        )
    ours = _MADE_HERE | _MADE_FOR.get(kind.name, frozenset())
    made = {s.name: randomness.token_urlsafe(32) for s in kind.needed() if s.name in ours and s.name not in given}
    values = {**made, **given}
    if values:
        secrets.add(conn, vault, endpoint.id, values, overlap=overlap)
    return made
