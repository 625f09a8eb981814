"""The API and the intake of webhooks as one server process (uvicorn on uvloop and httptools)."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.app import create_app
from api.intake import IntakeApp
from api.protocol import Punctual
from domain.collecting import set_aside
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from bootstrap.settings import Settings
    from bootstrap.wiring import Hub

CONNECTIONS_MOST: Final = 1_000
_BACKLOG: Final = 2_048
KEEP_ALIVE_S: Final = 65
"""Longer than load balancers keep theirs (60 seconds as a rule), so that none is closed under a request."""

Told = Callable[[Collection[tuple[UUID, UUID]]], None]


def application(hub: Hub, *, on_stored: Told = lambda _: None) -> IntakeApp:
    """Everything that is served: webhooks, then the API. The caller closes ``hub``."""
    # What proxies say about the caller matters to the API alone: a signature covers the address that the sender was given.
    return IntakeApp(behind_proxies(create_app(hub), hub.settings), hub, on_stored=on_stored)


def settle() -> None:
    """Keep what the start left out of later collections: one through all of it stops every answer for a tenth of a second.

    For the process that serves, once all is loaded.
    """
    gc.collect()
    set_aside()


def behind_proxies(app: ASGIApp, settings: Settings) -> Any:
    """The application, told who really called where a configured proxy says so."""
    proxies = [p.strip() for p in settings.trusted_proxies.split(",") if p.strip()]
    return ProxyHeadersMiddleware(cast("Any", app), proxies) if proxies else app


def config(app: ASGIApp | str, settings: Settings, *, factory: bool = False, workers: int = 1) -> uvicorn.Config:
    """How uvicorn serves. Nothing it logs could hold a token of a path: it logs no requests at all."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=Punctual,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        limit_concurrency=CONNECTIONS_MOST,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.stop_within_s) or 1,
        backlog=_BACKLOG,
        factory=factory,
        workers=workers,
    )


def listen(settings: Settings) -> socket.socket:
    """The socket to serve on; port 0 takes any that is free. Raises ConfigurationError where it is taken or not ours to take."""
    try:
        found = socket.create_server((settings.api_host, settings.api_port), backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"Nothing can listen on {settings.api_host}, port {settings.api_port}: {getattr(error, 'strerror', error)}.",
            remedy="Choose another with SYNCLINE_API_HOST and SYNCLINE_API_PORT, or stop what listens there.",
            code="port_taken",
        ) from None
    os.set_inheritable(found.fileno(), True)
    return found


class Serving:
    """A server in a thread of its own, beside the workers of the same process."""

    def __init__(self, app: IntakeApp, settings: Settings) -> None:
        self._socket = listen(settings)
        self.port: int = self._socket.getsockname()[1]
        self.server = uvicorn.Server(config(app, settings))
        self._thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self._socket]}, name="api", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, within_s: float) -> bool:
        """Finish the requests under way; returns whether all of them were."""
        self.server.should_exit = True
        self._thread.join(within_s)
        return not self._thread.is_alive()
