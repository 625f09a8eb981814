"""The routes of the API, one module a resource. Each route names one permission and one operation id."""

from __future__ import annotations

from fastapi import APIRouter

from api.routes import (
    audit,
    conflicts,
    connections,
    connectors,
    dead_letters,
    events,
    health,
    jobs,
    keys,
    mappings,
    me,
    members,
    metrics,
    migrations,
    oauth,
    privacy,
    records,
    streams,
    tenants,
    webhooks_inbound,
    webhooks_outbound,
)

ROUTERS: tuple[APIRouter, ...] = (
    audit.router,
    conflicts.router,
    connections.router,
    connectors.router,
    dead_letters.router,
    events.router,
    jobs.router,
    keys.router,
    mappings.catalogue,
    mappings.router,
    me.router,
    members.router,
    migrations.router,
    oauth.callback,
    oauth.router,
    privacy.router,
    records.catalogue,
    records.router,
    streams.everywhere,
    streams.router,
    tenants.router,
    webhooks_inbound.router,
    webhooks_outbound.router,
)
"""Under ``/v1``."""

OPEN: tuple[APIRouter, ...] = (health.router, metrics.router)
"""At the root: for anybody, and for the operator."""
