"""``syncline sandbox pipedrive``."""

from __future__ import annotations

from typing import Annotated

import typer

from sandbox.kit.cli import Contacts, FaultsFile, Port, run
from sandbox.pipedrive.model import PipedriveSandbox, SandboxOptions


def command(
    port: Port = 8092,
    contacts: Contacts = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same company.")] = 1,
    faults: FaultsFile = None,
) -> None:
    """A Pipedrive company on this machine."""
    run(port, faults, lambda: PipedriveSandbox(SandboxOptions(contacts=contacts, seed=seed)), greeting)


def greeting(sandbox: PipedriveSandbox, url: str) -> str:
    """Where the company is, what to sign in with, and a call to try."""
    known, store = sandbox.auth.known, sandbox.store
    counts = ", ".join(f"{len(store.live(name)):,} {name}" for name in ("organizations", "persons", "deals", "notes"))
    return f"""Pipedrive sandbox at {url}
  {counts}

  api token      {known.api_token}
  client id      {known.client_id}
  client secret  {known.client_secret}

Try it:
  curl -s '{url}/api/v2/persons?limit=3' -H 'x-api-token: {known.api_token}'

Calls so far: {url}/__sandbox__/journal · Ctrl-C stops it."""
