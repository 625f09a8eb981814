"""Signing in with a browser that comes back to the API: begun by one call, ended by another, in whichever process."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from bootstrap.connecting import BrowserSignIn, SignedIn, sign_in
from connectors.kit import registry
from connectors.kit.oauth import SignInPage
from domain.access import Actor
from domain.errors import ConfigurationError
from storage import sign_ins
from storage.credentials import StoredTokens

if TYPE_CHECKING:
    from bootstrap.wiring import Hub
    from storage.database import Connection

VALID_FOR = timedelta(minutes=10)
PUT_ASIDE_FOR = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be connected: a new account called ``name``, or (``connection_id``) one that is connected already.

    ``scopes``: to ask for beside those that the connector needs. ``return_to``: where the person goes afterwards.
    """

    vendor: str
    name: str
    settings: Mapping[str, str]
    secrets: Mapping[str, Any] = field(repr=False)
    actor: Actor
    base_url: str | None = None
    connection_id: UUID | None = None
    scopes: tuple[str, ...] = ()
    return_to: str | None = None

    @property
    def browser(self) -> BrowserSignIn:
        """The sign-in itself."""
        manifest = registry.load(self.vendor).manifest
        return BrowserSignIn(manifest, self.settings, self.secrets, self.base_url, self.scopes)


@dataclass(frozen=True, slots=True)
class Started:
    """A sign-in that waits for its answer: where to send the person, until when, and what proves their browser."""

    url: str
    until: datetime
    state: str = field(repr=False)
    binding: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in whose answer came.

    ``bound_to``: the digest of what the browser that began it holds; None where whoever began it sees to that (`postpone`).
    ``answer``: what the vendor said, where it was put aside.
    """

    wish: Wish
    page: SignInPage = field(repr=False)
    bound_to: str | None = None
    answer: Mapping[str, str] = field(default_factory=dict, repr=False)

    def is_of(self, binding: str | None) -> bool:
        """Whether the browser that shows ``binding`` is the one that began."""
        return self.bound_to is not None and hmac.compare_digest(self.bound_to, _digest(binding or ""))


def app_of(hub: Hub, vendor: str) -> dict[str, str]:
    """The operator's app at a vendor: client_id and client_secret, or nothing. Raises ConfigurationError."""
    if hub.settings.oauth_apps is None:
        return {}
    try:
        apps = orjson.loads(hub.settings.oauth_apps.get_secret_value())
        return {name: str(apps[vendor][name]) for name in ("client_id", "client_secret")} if vendor in apps else {}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigurationError(
            "SYNCLINE_OAUTH_APPS cannot be understood.",
            remedy="See docs/reference/settings.md for the form it takes.",
            code="bad_setting",
        ) from None


def known_answers(hub: Hub, connection_id: UUID) -> tuple[dict[str, str], tuple[str, ...]]:
    """The app that a connection signed in with, and the scopes that it was granted."""
    held = StoredTokens(hub.db, hub.vault, hub.tenant_id, connection_id).load()
    app = {name: str(held[name]) for name in ("client_id", "client_secret") if held.get(name)}
    return app, tuple(str(held.get("scope", "")).split())


def begin(hub: Hub, conn: Connection, wish: Wish, callback: str, now: datetime, *, to_browser: bool = True) -> Started:
    """Begin. ``to_browser``: only the browser that is given `Started.binding` may bring the answer (RFC 9700 section 4.7.1).

    Raises ConfigurationError.
    """
    page = wish.browser.start(callback, sign_ins.new_state(hub.tenant_id))
    until, binding = now + VALID_FOR, secrets.token_urlsafe(32)
    _put(hub, conn, page.state, Begun(wish, page, _digest(binding) if to_browser else None), now, until)
    return Started(page.url, until, page.state, binding)


def postpone(hub: Hub, conn: Connection, begun: Begun, answer: Mapping[str, str], now: datetime) -> str:
    """Put an answer aside until whoever began says that it came from the right person; returns the ticket to say it with."""
    ticket = sign_ins.new_state(hub.tenant_id)
    _put(hub, conn, ticket, replace(begun, answer=dict(answer)), now, now + PUT_ASIDE_FOR)
    return ticket


def take(hub: Hub, conn: Connection, state: str, now: datetime) -> Begun:
    """What was begun with ``state``, or put aside under it; from then on it is used up. Raises ConfigurationError."""
    held = sign_ins.take(conn, hub.vault, hub.tenant_id, state, now)
    given = held["wish"]
    wish = Wish(
        **given
        | {
            "actor": Actor(**given["actor"]),
            "connection_id": given["connection_id"] and UUID(given["connection_id"]),
            "scopes": tuple(given["scopes"]),
        }
    )
    page = SignInPage("", held["state"], held["verifier"], held["callback"])
    return Begun(wish, page, held["bound_to"], held["answer"])


def _put(hub: Hub, conn: Connection, key: str, begun: Begun, now: datetime, until: datetime) -> None:
    wish = begun.wish
    held = {
        "wish": {**asdict(wish), "connection_id": wish.connection_id and str(wish.connection_id)},
        "state": begun.page.state,
        "verifier": begun.page.verifier,
        "callback": begun.page.callback,
        "bound_to": begun.bound_to,
        "answer": dict(begun.answer),
    }
    sign_ins.put(conn, hub.vault, hub.tenant_id, key, held, now, until)


def _digest(binding: str) -> str:
    return hashlib.sha256(binding.encode()).hexdigest()


def complete(begun: Begun, answer: Mapping[str, str], now: datetime) -> SignedIn:
    """Exchange the answer for tokens and sign in with them. Stores nothing. Raises what the vendor's refusal means."""
    wish = begun.wish
    brought = wish.browser.finish(begun.page, answer, now.timestamp())
    account, tokens = sign_in(wish.vendor, wish.settings, brought, wish.base_url)
    return SignedIn(wish.vendor, account, wish.settings, tokens, wish.base_url)
