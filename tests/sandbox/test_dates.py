"""Answers are dated by the stand-in's own clock: connectors that go by the vendor's time find it there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from sandbox.hubspot.server import HubSpotServer
from sandbox.pipedrive.server import PipedriveServer
from sandbox.salesforce.server import SandboxServer


@pytest.mark.parametrize("vendor", [SandboxServer, HubSpotServer, PipedriveServer], ids=lambda v: v.__name__)
def test_answers_are_dated_by_the_vendors_clock(vendor: Callable[..., Any]) -> None:
    with vendor(contacts=1) as server:
        httpx.post(f"{server.url}/__sandbox__/clock", json={"advance_s": 86_400}).raise_for_status()
        said = httpx.get(f"{server.url}/nothing/here").headers.get_list("Date")
    assert len(said) == 1
    assert abs(parsedate_to_datetime(said[0]) - datetime.now(UTC) - timedelta(days=1)) < timedelta(hours=1)
