"""``syncline sandbox salesforce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.kit.cli import Contacts, FaultsFile, Port, fail, run
from sandbox.salesforce.model import SalesforceSandbox, SandboxOptions


def command(
    port: Port = 8090,
    contacts: Contacts = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same org.")] = 1,
    faults: FaultsFile = None,
    org: Annotated[
        Path | None, typer.Option(help="Folder with an sObject tree to load instead.", exists=True, file_okay=False)
    ] = None,
    several_accounts: Annotated[
        bool, typer.Option("--several-accounts", help="Switch on Contacts to Multiple Accounts.")
    ] = False,
    shared_activities: Annotated[
        bool, typer.Option("--shared-activities", help="Let tasks and events be related to several contacts.")
    ] = False,
    jwt_key: Annotated[Path | None, typer.Option(help="Public key (PEM) for the JWT bearer flow.", exists=True)] = None,
) -> None:
    """A Salesforce org on this machine."""
    public_key = jwt_key.read_text() if jwt_key else None
    options = SandboxOptions(
        contacts=contacts,
        seed=seed,
        tree=org,
        jwt_public_key=public_key,
        several_accounts=several_accounts,
        shared_activities=shared_activities,
    )
    run(port, faults, lambda: build(options), greeting)


def build(options: SandboxOptions) -> SalesforceSandbox:
    """Leaves with a plain sentence when the sample data can't be used."""
    try:
        return SalesforceSandbox(options)
    except (OSError, ValueError, KeyError) as error:
        fail(f"The sample data in {options.tree} can't be loaded: {error}.", error)


def greeting(sandbox: SalesforceSandbox, url: str) -> str:
    """Where the org is, what to sign in with, and a call to try."""
    known, org = sandbox.auth.credentials, sandbox.org
    shown = ("Account", "Contact", "Lead", "Opportunity", "Task", "Case", "ContentVersion", "Property__c")
    counts = ", ".join(f"{len(org.live(name)):,} {name}" for name in shown if org.tables[name])
    return f"""Salesforce sandbox at {url}
  {counts}

  username        {known.username}
  password        {known.password}
  security token  {known.security_token}
  client id       {known.client_id}
  client secret   {known.client_secret}

Try it:
  TOKEN=$(curl -s {url}/services/oauth2/token -d grant_type=client_credentials \\
    -d client_id={known.client_id} -d client_secret={known.client_secret} | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
  curl -sG {url}/services/data/v60.0/query -H "Authorization: Bearer $TOKEN" \\
    --data-urlencode 'q=SELECT Id, Name, Account.Name FROM Contact LIMIT 3'

Calls so far: {url}/__sandbox__/journal · Ctrl-C stops it."""  # noqa: S608
