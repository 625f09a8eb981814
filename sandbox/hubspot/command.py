"""``syncline sandbox hubspot``."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.hubspot.model import HubSpotSandbox, SandboxOptions
from sandbox.kit.cli import Contacts, FaultsFile, Port, run


def command(
    port: Port = 8091,
    contacts: Contacts = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same portal.")] = 1,
    faults: FaultsFile = None,
) -> None:
    """A HubSpot portal on this machine."""
    run(port, faults, lambda: HubSpotSandbox(SandboxOptions(contacts=contacts, seed=seed)), greeting)


def greeting(sandbox: HubSpotSandbox, url: str) -> str:
    """Where the portal is, what to sign in with, and a call to try."""
    known = sandbox.auth.known
    counts = ", ".join(f"{count:,} {name}" for name, count in sandbox.portal.counts().items() if count)
    return f"""HubSpot sandbox at {url}
  {counts or "empty"}

  portal id       {sandbox.portal.id}
  access token    {known.token}
  client id       {known.client_id}
  client secret   {known.client_secret}

Try it:
  curl -s '{url}/crm/v3/objects/contacts?limit=3' -H 'Authorization: Bearer {known.token}'

Calls so far: {url}/__sandbox__/journal · Ctrl-C stops it."""
