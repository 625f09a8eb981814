"""The REST API as one ASGI application: routes under ``/v1``, errors as problem documents, a request id on every answer."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.cors import CORSMiddleware

from api import document, errors, pages
from api.bodies import Bodies, rules
from api.envelope import Envelope
from api.errors import PROBLEM, Problem
from api.measured import Measured
from api.rates import Limiter, Strangers
from api.routes import OPEN, ROUTERS
from api.routes.health import Readiness
from api.tails import Tails
from api.tokens import Verifier
from api.unit import HEADER, REPLAYED, ReplayError, Units
from bootstrap.metrics import HubCollector
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import change_feed

_PROBLEMS = {
    400: "Cannot be understood",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not there, or another tenant's",
    408: "Sent too slowly",
    409: "Contradicts what is, or is under way",
    413: "Too large",
    415: "Of a type that is not taken",
    422: "Cannot be taken",
    429: "Too many calls",
    503: "Not possible at the moment; try again",
}
_EXPOSED = ("X-Request-Id", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", REPLAYED)


def create_app(hub: Hub) -> FastAPI:
    """The application over ``hub``, which the caller closes."""
    app = FastAPI(
        title="Syncline",
        version=version("syncline"),
        summary="Keep every connected system and one canonical CRM store in agreement.",
        responses={
            status: {
                "model": Problem,
                "description": text,
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for status, text in _PROBLEMS.items()
        },
        redirect_slashes=False,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        # FastAPI's own spans quote paths and queries, which may hold what somebody searched for; `Measured` makes ours.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    settings = hub.settings
    app.state.hub = hub
    app.state.readiness = Readiness(hub)
    app.state.collector = HubCollector(hub)
    app.state.verifier = Verifier.of(settings)
    app.state.limiter = Limiter(settings.calls_per_minute, settings.calls_at_once)
    app.state.strangers = Strangers(settings.failures_per_minute, lambda: hub.db)
    app.state.tails = Tails(lambda tenant_id: _newest(hub, tenant_id))
    errors.install(app)
    app.add_exception_handler(ReplayError, _replayed)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1")
    for router in OPEN:
        app.include_router(router)
    document.install(app, [*ROUTERS, *OPEN])
    pages.install(app)
    app.add_middleware(Units)
    uploads = settings.upload_max_mb * 1_000_000
    app.add_middleware(Bodies, bytes_max=settings.body_bytes_max, rules=rules(ROUTERS, "/v1", uploads))
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Syncline-Tenant", "X-Request-Id", HEADER],
            expose_headers=list(_EXPOSED),
        )
    app.add_middleware(Envelope)
    app.add_middleware(Measured)
    return app


def describe() -> dict[str, Any]:
    """The OpenAPI document, made without a database."""
    return create_app(Hub(Settings())).openapi()


def _newest(hub: Hub, tenant_id: UUID) -> tuple[int, int]:
    with hub.db.tenant(tenant_id) as conn:
        return change_feed.newest(conn)


async def _replayed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ReplayError)  # noqa: S101  # what it is registered for
    return error.response
