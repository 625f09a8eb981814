"""Whether the process lives and can work, for a load balancer: anybody may ask, and nothing else is told."""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from bootstrap.wiring import Hub
from domain.errors import SynclineError

router = APIRouter(prefix="/health", tags=["health"])
log = logging.getLogger("syncline.api")


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether calls can be served."""

    status: Literal["ready", "not_ready"]


class Readiness:
    """Whether ``hub`` can work, looked at once a second at most, however many ask: anybody may."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = Lock()
        self._until = 0.0
        self._error: SynclineError | None = None

    def problem(self) -> SynclineError | None:
        """What stands in the way."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._error = _problem_of(self._hub)
                self._until = time.monotonic() + 1
            return self._error


def _problem_of(hub: Hub) -> SynclineError | None:
    try:
        hub.assert_ready()
    except SynclineError as error:
        return error
    return None


@router.get("/live", operation_id="health_live")
def live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/ready", operation_id="health_ready", responses={503: {"model": Ready, "description": "Not ready"}})
def ready(request: Request, response: Response) -> Ready:
    """Whether the database answers with the schema that this version needs, and the broker takes connections; 503 if not."""
    error = request.app.state.readiness.problem()
    if error is None:
        return Ready(status="ready")
    log.warning("not ready: %s", error.message, extra={"code": error.code})
    response.status_code = 503
    return Ready(status="not_ready")
