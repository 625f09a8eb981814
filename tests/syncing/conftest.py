"""Two sandbox vendors and the hub between them, driven by the command line in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.salesforce.connector import SalesforceConnector
from sandbox.hubspot.server import HubSpotServer
from sandbox.salesforce.server import SandboxServer
from tests.cli.conftest import Syncline, home, syncline

__all__ = ["home", "syncline"]


@dataclass
class Both:
    """Two vendors connected under their own names."""

    salesforce: SandboxServer
    hubspot: HubSpotServer
    syncline: Syncline
    passed: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time that the vendors and their connectors agree on."""
        return datetime.now(UTC) + self.passed

    def edit(self, where: str, **edit: Any) -> Any:
        """Edit as a person of that vendor would; returns what the sandbox answers."""
        url = self.salesforce.url if where == "salesforce" else self.hubspot.url
        answer = httpx.post(f"{url}/__sandbox__/edit", json=edit)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def lag(self) -> None:
        """Let ten minutes pass: the vendors' indexes and logs catch up."""
        self.passed += timedelta(minutes=10)
        for url in (self.salesforce.url, self.hubspot.url):
            httpx.post(f"{url}/__sandbox__/clock", json={"advance_s": 600}).raise_for_status()

    def sync(self) -> Any:
        self.lag()
        done = self.syncline("sync", "run", "--json")
        assert done.code == 0, done.err + done.out
        return done.json


@pytest.fixture
def both(syncline: Syncline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    with SandboxServer(contacts=10) as salesforce, HubSpotServer(contacts=8) as hubspot:
        known = salesforce.credentials
        (tmp_path / "sf").write_text(known.password)
        (tmp_path / "token").write_text(known.security_token)
        (tmp_path / "hs").write_text(hubspot.token)
        done = syncline(
            "connect", "salesforce", "--name", "org", "--base-url", salesforce.url, "--set", f"username={known.username}",
            "--secret", f"password=@{tmp_path / 'sf'}", "--secret", f"security_token=@{tmp_path / 'token'}",
        )  # fmt: skip
        assert done.code == 0, done.err
        done = syncline(
            "connect", "hubspot", "--name", "portal", "--base-url", hubspot.url,
            "--secret", f"access_token=@{tmp_path / 'hs'}",
        )  # fmt: skip
        assert done.code == 0, done.err
        made = Both(salesforce, hubspot, syncline)
        for connector in (SalesforceConnector, HubSpotConnector):
            monkeypatch.setitem(connector.__init__.__kwdefaults__, "clock", made.now)  # type: ignore[index]
        yield made
