"""Audit and plan of a stored connection: its connector, the shipped mappings and the hub's own users, brought together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from connectors.kit.contract import Connector, SupportsViews
from domain.errors import ConfigurationError
from domain.records import AccountInfo, Catalog, ObjectSchema
from mappings.compile import Lens, compile_spec
from migration.audit import audit
from migration.audit_model import Audit
from migration.plan import HubUser, build_plan
from migration.plan_mapping import aliases, base_mapping, context_of, with_aliases
from migration.plan_model import Plan
from storage import hub_users

if TYPE_CHECKING:
    from bootstrap.wiring import Hub


def audit_source(
    hub: Hub, connection_id: UUID, objects: Sequence[str] | None, on_progress: Callable[[Any], None]
) -> Audit:
    """What is in the source. Raises what the connector raises, and ConfigurationError for an unknown object."""
    with _opened(hub, connection_id) as connector:
        account, catalog = connector.check(), _described(connector, objects)
        return audit(connector, _lenses(connector, account, catalog), objects=objects, on_progress=on_progress)


def plan_source(
    hub: Hub, connection_id: UUID, objects: Sequence[str] | None, on_progress: Callable[[Any], None]
) -> Plan:
    """A proposal of how everything in the source maps, not approved yet. Raises like `audit_source`, and MappingSpecError."""
    with _opened(hub, connection_id) as connector:
        account, catalog = connector.check(), _described(connector, objects)
        found = audit(connector, _lenses(connector, account, catalog), objects=objects, on_progress=on_progress)
        return build_plan(found, catalog, account, _hub_users(hub))


def _described(connector: Connector, objects: Sequence[str] | None) -> Catalog:
    views = connector.views if isinstance(connector, SupportsViews) else {}
    if parts := sorted(set(objects or ()) & set(views)):
        raise ConfigurationError(
            f"{', '.join(parts)} of this connection are records of {views[parts[0]].of}, which a migration takes whole.",
            remedy=f"Migrate {views[parts[0]].of}; a stream can keep the others in step afterwards.",
            code="unknown_object",
        )
    catalog = connector.describe(objects)
    unknown = sorted(set(objects or ()) - set(catalog.objects))
    if unknown:
        raise ConfigurationError(
            f"The source has no object called {', '.join(unknown)}.",
            remedy="`syncline migrate audit` without --object lists them all.",
            code="unknown_object",
        )
    return catalog


def _lenses(connector: Connector, account: AccountInfo, catalog: Catalog) -> Callable[[ObjectSchema], Lens | None]:
    """How each object would be mapped by default, so that duplicates are found on normalised values."""
    vendor, context, names = connector.manifest.name, context_of(account), aliases(catalog)

    def lens(schema: ObjectSchema, /) -> Lens | None:
        return compile_spec(with_aliases(base_mapping(vendor, schema).spec, names), schema, context)

    return lens


def _hub_users(hub: Hub) -> list[HubUser]:
    with hub.db.tenant(hub.tenant_id) as conn:
        return [HubUser(u.id, u.email, u.name) for u in hub_users.with_email(conn)]


@contextmanager
def _opened(hub: Hub, connection_id: UUID) -> Iterator[Connector]:
    connector = hub.open_connector(connection_id)
    try:
        yield connector
    finally:
        connector.close()
