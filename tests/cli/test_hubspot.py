"""A HubSpot account through the command line: consent in a browser, audit, plan, run, certificate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.hubspot.server import HubSpotServer
from tests.cli.conftest import Outcome, Syncline
from tests.connectors.hubspot.stand_in import unhurried


@pytest.fixture
def portal() -> Iterator[HubSpotServer]:
    with HubSpotServer(contacts=20) as server:
        yield unhurried(server)


@pytest.fixture
def agreed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.Response]]:
    """A person whose browser is opened and who agrees: the pages they end at."""
    pages: list[httpx.Response] = []
    opened: list[threading.Thread] = []

    def opens(url: str) -> bool:
        opened.append(threading.Thread(target=lambda: pages.append(httpx.get(url, follow_redirects=True))))
        opened[-1].start()
        return True

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", opens)
    yield pages
    for thread in opened:
        thread.join(30)


def test_consent_in_a_browser_connects_for_good_and_the_account_moves_in(
    syncline: Syncline, portal: HubSpotServer, agreed: list[httpx.Response], tmp_path: Path
) -> None:
    connected = connect_by_consent(syncline, portal, tmp_path)
    assert connected.code == 0, connected.err
    assert "Signed in" in agreed[0].text
    portal.sandbox.auth.expire_all()
    assert syncline("connections", "test").code == 0, "the refresh token opens a new session"
    secrets = [*portal.sandbox.auth.grants, *portal.sandbox.auth.refreshes, portal.sandbox.auth.known.client_secret]
    assert [s for s in secrets if s in connected.out + connected.err] == []

    audit = syncline("migrate", "audit", "hubspot", "--json")
    assert audit.code == 0, audit.err
    counts = {o["object"]: o["count"] for o in audit.json["objects"]}
    live = {name: len(portal.portal.live(name)) for name in ("contacts", "companies", "deals", "tickets")}
    assert {name: counts[name] for name in live} == live

    assert syncline("migrate", "plan", "hubspot", "--approve").code == 0
    done = syncline("migrate", "run", "hubspot", "--json")
    assert done.code == 0, done.err
    assert done.json["certificate"]["ok"], done.json["certificate"]
    moved = {name: done.json["objects"][name] for name in live}
    assert {name: row["created"] + row["merged"] + row["rejected"] for name, row in moved.items()} == live


def connect_by_consent(syncline: Syncline, portal: HubSpotServer, folder: Path) -> Outcome:
    known = portal.sandbox.auth.known
    (folder / "secret").write_text(known.client_secret)
    app = ("--set", f"client_id={known.client_id}", "--secret", f"client_secret=@{folder / 'secret'}")
    callback = ("--oauth", "--callback", "http://127.0.0.1:0/callback")
    return syncline("connect", "hubspot", "--base-url", portal.url, *app, *callback, "--json")


def test_a_private_apps_token_connects(syncline: Syncline, portal: HubSpotServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(portal.token)
    secret = ("--secret", f"access_token=@{tmp_path / 'token'}")
    made = syncline("connect", "hubspot", "--base-url", portal.url, *secret, "--json")
    assert made.code == 0, made.err
    assert portal.token not in made.out + made.err
