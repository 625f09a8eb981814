"""Starting and stopping."""

from __future__ import annotations

import threading
from urllib.parse import urlencode

import httpx
import pytest

from sandbox.kit.server import bind
from sandbox.salesforce.server import SandboxServer


def test_the_server_is_there_in_the_block_and_gone_after_it() -> None:
    before = threading.active_count()
    with SandboxServer(contacts=0) as server:
        about = httpx.get(f"{server.url}/__sandbox__").json()
        assert about["username"] == server.credentials.username
        assert about["records"]["User"] == 12
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/__sandbox__")


def test_two_servers_are_two_orgs() -> None:
    with SandboxServer(contacts=0) as one, SandboxServer(contacts=0) as other:
        assert one.url != other.url
        token = one.sandbox.auth.open_session()
        headers = {"Authorization": f"Bearer {token}"}
        httpx.post(
            f"{one.url}/services/data/v59.0/sobjects/Account", json={"Name": "A"}, headers=headers
        ).raise_for_status()
        assert len(one.sandbox.org.live("Account")) == 1
        assert other.sandbox.org.live("Account") == []


def test_a_taken_port_is_an_error_and_leaves_nothing_open() -> None:
    with bind() as taken:
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            SandboxServer(port=taken.getsockname()[1], contacts=0).start()


def test_it_listens_on_the_loopback_address_only() -> None:
    with SandboxServer(contacts=0) as server:
        assert server.url.startswith("http://127.0.0.1:")
        with bind() as another:
            assert another.getsockname()[0] == "127.0.0.1"


def test_a_query_too_long_for_a_url_is_414_and_fits_into_composite() -> None:
    long = "SELECT Id FROM Account WHERE Name IN (" + ",".join(f"'{n:040d}'" for n in range(500)) + ")"
    with SandboxServer(contacts=0) as server:
        token = server.sandbox.auth.open_session()
        with httpx.Client(
            base_url=f"{server.url}/services/data/v59.0", headers={"Authorization": f"Bearer {token}"}
        ) as client:
            assert client.get("/query", params={"q": long}).status_code == 414
            url = f"/services/data/v59.0/query?{urlencode({'q': long})}"
            part = {"method": "GET", "url": url, "referenceId": "q"}
            answer = client.post("/composite", json={"compositeRequest": [part]}).json()["compositeResponse"][0]
    assert (answer["httpStatusCode"], answer["body"]["totalSize"]) == (200, 0)
