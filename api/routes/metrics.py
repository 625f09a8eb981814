"""Metrics for Prometheus, of every tenant: for the operator of the installation alone."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response

from api.access import authenticated
from api.errors import ApiError
from bootstrap.metrics import CONTENT_TYPE, exposition
from domain.access import SYSTEM_TENANT

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
def get_metrics(request: Request) -> Response:
    """What stands in the database, and what this process counted. Needs SYNCLINE_METRICS_TOKEN, or a system administrator's key."""
    _require_operator(request)
    return Response(exposition(request.app.state.collector), media_type=CONTENT_TYPE)


def _require_operator(request: Request) -> None:
    known = request.app.state.hub.settings.metrics_token
    sent = request.headers.get("authorization", "").partition(" ")[2].strip()
    if known is not None and hmac.compare_digest(sent.encode(), known.get_secret_value().encode()):
        return
    caller = authenticated(request)
    if caller.tenant_id != SYSTEM_TENANT or not caller.may("metrics:read"):
        raise ApiError(
            403,
            "forbidden",
            "Metrics tell of every tenant.",
            remedy="Use the metrics token, or a key of the installation.",
        )
