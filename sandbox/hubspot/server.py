"""Serving a sandbox portal in a thread, for tests."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.model import HubSpotSandbox, SandboxOptions
from sandbox.hubspot.portal import Portal
from sandbox.kit.clock import Clock
from sandbox.kit.server import VendorServer


class HubSpotServer(VendorServer[HubSpotSandbox]):
    """A running portal: ``with HubSpotServer(contacts=50) as server: server.url, server.token, server.portal``."""

    def __init__(
        self, options: SandboxOptions | None = None, *, port: int = 0, clock: Clock | None = None, **changes: Any
    ) -> None:
        super().__init__(HubSpotSandbox(options or SandboxOptions(**changes), clock), port)

    @property
    def model(self) -> HubSpotSandbox:
        return self.sandbox

    @property
    def portal(self) -> Portal:
        return self.sandbox.portal

    @property
    def token(self) -> str:
        """Of a private app with every scope."""
        return self.sandbox.auth.known.token
