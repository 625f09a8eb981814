"""Serving a company in a thread, for tests."""

from __future__ import annotations

from typing import Any

from sandbox.kit.clock import Clock
from sandbox.kit.server import VendorServer
from sandbox.pipedrive.auth import Credentials
from sandbox.pipedrive.model import PipedriveSandbox, SandboxOptions


class PipedriveServer(VendorServer[PipedriveSandbox]):
    """A running company: ``with PipedriveServer(contacts=100) as server: … server.url``."""

    def __init__(
        self, options: SandboxOptions | None = None, *, port: int = 0, clock: Clock | None = None, **changes: Any
    ) -> None:
        super().__init__(PipedriveSandbox(options or SandboxOptions(**changes), clock), port)

    @property
    def credentials(self) -> Credentials:
        return self.sandbox.auth.known
