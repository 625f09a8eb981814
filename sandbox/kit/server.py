"""Serving a stand-in on 127.0.0.1: in the foreground, or in a thread for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
from datetime import timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

import uvicorn

from sandbox.kit.http import SandboxApp, TrackedProtocol
from sandbox.kit.stand_in import AnyStandIn

HOST = "127.0.0.1"
START_TIMEOUT = timedelta(seconds=30)


def bind(port: int = 0) -> socket.socket:
    """A socket on the loopback address; port 0 takes a free one. Raises OSError when the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """Tells when it is ready, and leaves signals to whoever owns the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


StandInT = TypeVar("StandInT", bound=AnyStandIn)


class VendorServer(Generic[StandInT]):
    """A running stand-in: ``with …Server(contacts=100) as server: … server.url``. Ends with the block.

    ``server.sandbox`` is the model itself, to look into or to change between requests.
    """

    def __init__(self, sandbox: StandInT, port: int = 0) -> None:
        self.sandbox = sandbox
        self.port = port
        self._listener: socket.socket | None = None
        self._server = _Server(server_config(self.sandbox))
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener] if self._listener else None)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def start(self) -> Self:
        """Raises OSError when the port is taken, RuntimeError when the server does not come up."""
        self._listener = bind(self.port)
        self.port = self._listener.getsockname()[1]
        self._thread.start()
        if not self._server.ready.wait(START_TIMEOUT.total_seconds()):
            raise RuntimeError(f"the sandbox did not start on {self.url} within {START_TIMEOUT.total_seconds():.0f} s")
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def server_config(sandbox: AnyStandIn) -> uvicorn.Config:
    return uvicorn.Config(
        SandboxApp(sandbox),
        http=TrackedProtocol,
        h11_max_incomplete_event_size=1_000_000,
        log_level="critical",
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
    )


def serve(sandbox: AnyStandIn, listener: socket.socket) -> None:
    """Serve in the foreground until Ctrl-C, which ends it in peace, or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(server_config(sandbox)).run(sockets=[listener])
