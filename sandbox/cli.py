"""``syncline sandbox …``: stand-in vendors to try things on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from sandbox.salesforce.model import SalesforceSandbox, SandboxOptions
from sandbox.salesforce.server import HOST, bind, serve

app = typer.Typer(
    no_args_is_help=True, help="Stand-in vendors: whole systems to connect to, without an account anywhere."
)


@app.callback()
def main() -> None:
    """Stand-in vendors: whole systems to connect to, without an account anywhere."""


@app.command()
def salesforce(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8090,
    contacts: Annotated[int, typer.Option(min=0, help="How many contacts; everything else in proportion.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same org.")] = 1,
    faults: Annotated[
        Path | None, typer.Option(help="JSON file with faults to inject.", exists=True, dir_okay=False)
    ] = None,
    org: Annotated[
        Path | None, typer.Option(help="Folder with an sObject tree to load instead.", exists=True, file_okay=False)
    ] = None,
    jwt_key: Annotated[Path | None, typer.Option(help="Public key (PEM) for the JWT bearer flow.", exists=True)] = None,
) -> None:
    """A Salesforce org on this machine."""
    try:
        listener = bind(port)
    except OSError as error:
        fail(
            f"Port {port} of {HOST} can't be used ({error.strerror}): choose another with --port, or 0 for a free one.",
            error,
        )
    public_key = jwt_key.read_text() if jwt_key else None
    with closing(listener):
        sandbox = build(SandboxOptions(contacts=contacts, seed=seed, tree=org, jwt_public_key=public_key), faults)
        typer.echo(greeting(sandbox, f"http://{HOST}:{listener.getsockname()[1]}"))
        serve(sandbox, listener)
    typer.echo("Sandbox stopped.")


def build(options: SandboxOptions, faults: Path | None) -> SalesforceSandbox:
    """The org, with its faults. Leaves with a plain sentence when a file can't be used."""
    try:
        sandbox = SalesforceSandbox(options)
    except (OSError, ValueError, KeyError) as error:
        fail(f"The sample data in {options.tree} can't be loaded: {error}.", error)
    if faults is not None:
        try:
            listed: Any = orjson.loads(faults.read_bytes())
            sandbox.faults.add(listed if isinstance(listed, list) else [listed])
        except (ValueError, TypeError) as error:
            fail(f"{faults} is not a list of faults: {error}.", error)
    return sandbox


def fail(message: str, cause: Exception) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2) from cause


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
