"""Serving a sandbox org in a thread, for tests."""

from __future__ import annotations

from typing import Any

from sandbox.kit.server import VendorServer
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.clock import Clock
from sandbox.salesforce.model import SalesforceSandbox, SandboxOptions


class SandboxServer(VendorServer[SalesforceSandbox]):
    """A running org: ``with SandboxServer(contacts=100) as server: … server.url``. ``server.sandbox`` is the org itself."""

    def __init__(
        self, options: SandboxOptions | None = None, *, port: int = 0, clock: Clock | None = None, **changes: Any
    ) -> None:
        super().__init__(SalesforceSandbox(options or SandboxOptions(**changes), clock), port)

    @property
    def credentials(self) -> Credentials:
        return self.sandbox.auth.credentials
