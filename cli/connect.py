"""`syncline connect`: everything that a vendor's manifest asks for, tried before it is stored."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bootstrap.filling_in import BROWSER, all_settings, fill_in
from bootstrap.redact import remember_credentials
from cli.noted import note
from cli.oauth import CALLBACK, Browsing, browse
from cli.output import table, to_plain
from cli.session import Session
from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from connectors.kit.contract import Manifest, Setting
    from storage.connections import StoredConnection
    from storage.database import Connection

ENVIRONMENT_PREFIX = "SYNCLINE_CONNECT_"


Vendor = Annotated[
    str, typer.Argument(metavar="VENDOR", help="`salesforce`, `hubspot`, `files`, or another connector's name.")
]
Place = Annotated[
    str | None, typer.Argument(metavar="[PATH]", help="For `files`: the file, folder or archive to read.")
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="What to call the connection. Default: the vendor's name, or the file's."
    ),
]
Method = Annotated[
    str | None, typer.Option("--auth", metavar="KIND", help="The way to sign in, where the vendor has several.")
]
Pairs = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting; may be given several times.")
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=WHERE",
        help="Where a secret is: @FILE, env:VARIABLE, or - for stdin. Values themselves are refused: others could see them "
        "in the list of processes.",
    ),
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Talk to a sandbox at this address instead.")
]
OAuth = Annotated[bool, typer.Option("--oauth", help="Sign in with a browser: the same as `--auth oauth2_code`.")]
NoBrowser = Annotated[
    bool,
    typer.Option("--no-browser", help="With --oauth: print the address, and paste the one that a browser ends at."),
]
Callback = Annotated[
    str,
    typer.Option(
        "--callback",
        metavar="URL",
        help="With --oauth: the callback address registered with the app. It is listened to on 127.0.0.1; port 0 takes a "
        "free one.",
    ),
]
Wait = Annotated[
    float, typer.Option("--wait", min=1, metavar="SECONDS", help="With --oauth: how long to wait for the browser.")
]


def connect(
    session: Session,
    vendor: Vendor,
    path: Place = None,
    name: Name = None,
    auth: Method = None,
    settings: Pairs = None,
    secrets: Secrets = None,
    base_url: BaseUrl = None,
    oauth: OAuth = False,
    no_browser: NoBrowser = False,
    callback: Callback = CALLBACK,
    wait: Wait = 300.0,
) -> None:
    """Connect a vendor or a folder of files. What is missing is asked for; nothing is stored unless signing in works.

    A connection of the same name and account is connected anew: same id, new credentials.
    """
    from bootstrap.connecting import BrowserSignIn, sign_in, store_connection
    from cli.sources import free_name
    from connectors.kit import registry

    kind = registry.load(vendor)
    given = {**_from_environment(kind.manifest), **parse_settings(settings or []), **read_secrets(secrets or [])}
    if path is not None:
        given["path"] = path
    if "path" in given:
        given["path"] = str(Path(given["path"]).expanduser().resolve())
    answers = fill_in(kind.manifest, given, auth=_auth(auth, oauth, no_browser), ask=_asker(), where=how_to_give)
    remember_credentials(answers.credentials)
    secrets_now: Mapping[str, Any] = answers.credentials
    if secrets_now["auth"] == BROWSER:
        way = BrowserSignIn(kind.manifest, answers.settings, secrets_now, base_url)
        secrets_now = browse(session.out, way, Browsing(callback, opens=not no_browser, timeout_s=wait))
    session.out.say(f"Signing in to {kind.manifest.label} …")
    account, credentials = sign_in(vendor, answers.settings, secrets_now, base_url)
    default_name = free_name(Path(path).resolve().name, set()) if path else vendor
    stored = store_connection(
        session.hub,
        vendor=vendor,
        name=name or default_name,
        settings=answers.settings,
        secrets=credentials,
        account=account,
        base_url=base_url,
        noting=_note_stored,
    )
    session.out.result(
        {**to_plain(stored), "display_name": account.display_name},
        table(("connection", "account"), [(stored.name, account.display_name or account.remote_account)]),
    )
    session.out.say(f"Next: [bold]syncline migrate audit {stored.name}[/bold]")


def _note_stored(conn: Connection, action: str, stored: StoredConnection) -> None:
    note(conn, action, "connection", stored.id, {"vendor": stored.vendor, "name": stored.name})


def _auth(auth: str | None, oauth: bool, no_browser: bool) -> str | None:
    """The way to sign in that the options name. Raises a usage error when they contradict each other."""
    if auth not in (None, BROWSER) and (oauth or no_browser):
        raise typer.BadParameter(f"with --oauth it can only be {BROWSER}", param_hint="--auth")
    return BROWSER if oauth or no_browser else auth


# ---------------------------------------------------------------- what was given


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs as a dictionary. Raises a usage error without repeating the value."""
    result = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name:
            raise typer.BadParameter("write it as NAME=VALUE", param_hint="--set")
        result[name] = value
    return result


def read_secrets(pairs: Sequence[str]) -> dict[str, str]:
    """Secrets by name, read from where each pair says they are. Raises a usage error for a literal value."""
    result = {}
    for pair in pairs:
        name, found, where = pair.partition("=")
        if not found or not name:
            raise typer.BadParameter("write it as NAME=@FILE, NAME=env:VARIABLE or NAME=-", param_hint="--secret")
        result[name] = _read_secret(name, where)
    return result


def _read_secret(name: str, where: str) -> str:
    if where == "-":
        return sys.stdin.readline().rstrip("\r\n")
    if where.startswith("env:"):
        variable = where.removeprefix("env:")
        if variable not in os.environ:
            raise ConfigurationError(f"The variable {variable} for {name} is not set.", remedy="Export it first.")
        return os.environ[variable]
    if where.startswith("@"):
        try:
            return Path(where[1:]).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(
                f"The file for {name} cannot be read.", remedy="Check its path and permissions."
            ) from None
    raise typer.BadParameter(
        f"{name}: say where the secret is (@FILE, env:VARIABLE or -), not what it is; others can see command lines",
        param_hint="--secret",
    )


def _from_environment(manifest: Manifest) -> dict[str, str]:
    names = {s.name for s in all_settings(manifest)}
    return {n: os.environ[v] for n in names if os.environ.get(v := ENVIRONMENT_PREFIX + n.upper())}


def how_to_give(setting: Setting) -> str:
    """How the command line is told a setting that is missing."""
    option = "--secret" if setting.secret else "--set"
    return f"Give {option} {setting.name}=…, or the variable {ENVIRONMENT_PREFIX}{setting.name.upper()}."


# ---------------------------------------------------------------- asking


def _asker() -> Any:
    """A function that asks on the terminal, or None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(setting: Setting) -> str:
        text = f"{setting.label} ({setting.help})" if setting.help else setting.label
        return str(typer.prompt(text, hide_input=setting.secret, err=True))

    return ask
