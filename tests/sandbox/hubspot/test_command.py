"""The command, and the server as tests start it."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
from typer.testing import CliRunner

from sandbox.cli import app, vendors
from sandbox.hubspot.command import greeting
from sandbox.hubspot.server import HubSpotServer
from tests.sandbox.hubspot.helpers import InProcess


def test_every_folder_with_a_command_is_a_vendor() -> None:
    assert {"hubspot", "salesforce"} <= set(vendors())
    assert "kit" not in vendors()
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(vendor in shown for vendor in vendors())


def test_the_greeting_says_how_to_sign_in(small: InProcess) -> None:
    shown = greeting(small.sandbox, "http://127.0.0.1:1")
    assert f"access token    {small.token}" in shown
    assert "200 contacts, 40 companies" in shown


def test_a_taken_port_and_bad_faults_are_plain_sentences(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = CliRunner().invoke(app, ["hubspot", "--port", str(taken.getsockname()[1]), "--contacts", "0"])
    assert (outcome.exit_code, "can't be used" in outcome.output) == (2, True)
    file = tmp_path / "faults.json"
    file.write_text('[{"kind": "lock"}]')  # another vendor's
    outcome = CliRunner().invoke(app, ["hubspot", "--port", "0", "--contacts", "0", "--faults", str(file)])
    assert (outcome.exit_code, "there is no fault of kind 'lock'" in outcome.output) == (2, True)


def test_two_servers_are_two_portals() -> None:
    with HubSpotServer(contacts=0) as one, HubSpotServer(contacts=0) as other:
        headers = {"Authorization": f"Bearer {one.token}"}
        body = {"properties": {"email": "a@example.com"}}
        httpx.post(f"{one.url}/crm/v3/objects/contacts", json=body, headers=headers).raise_for_status()
        assert (len(one.portal.live("contacts")), other.portal.live("contacts")) == (1, [])
        about = httpx.get(f"{one.url}/__sandbox__").json()
        assert (about["token"], about["records"]["contacts"]) == (one.token, 1)
        assert one.model is one.sandbox


def test_the_account_says_which_portal_it_is(small: InProcess) -> None:
    details = small.ok("GET", "/account-info/v3/details")
    assert (details["portalId"], details["companyCurrency"]) == (small.portal.id, "USD")


def test_the_changes_can_be_read_from_outside(small: InProcess) -> None:
    small.create("contacts", email="new@example.com")
    told = small.ok("GET", "/__sandbox__/changes")
    assert {(c["object"], c["kind"]) for c in told} == {("contacts", "creation"), ("contacts", "propertyChange")}
