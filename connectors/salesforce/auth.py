"""Signing in: how a connection's stored settings become a session, whichever way it was set up.

Whatever the way, the session's instance address is judged before the session is stored, so that no later call can carry
the token to a foreign host.

https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from connectors.kit.auth import Auth, Credentials, bearer, run
from connectors.kit.contract import Connection
from connectors.kit.http import Signed, VendorClient
from connectors.kit.oauth import ClientCredentials, JwtBearer, RefreshToken
from connectors.kit.sdk import KitSession
from connectors.salesforce.errors import MEANINGS
from domain.errors import ConfigurationError, ReauthRequiredError, SynclineError, TransientError

DEFAULT_API_VERSION = "60.0"
CLIENT_NAME = "Syncline"


class Session:
    """The `Signer` of one connection: current access token, renewed once however many calls are refused at once."""

    def __init__(self, connection: Connection, plain: VendorClient, sdk: KitSession) -> None:
        self._connection = connection
        self._plain = plain
        self._sdk = sdk
        self._known: Credentials = {}

    def credentials(self) -> Credentials:
        """Credentials with an access token, signing in first where there is none yet."""
        if not self._known.get("access_token"):
            self._known = self._load()
        if not self._known.get("access_token"):
            self._known = self._connection.tokens.refresh(self._known.get("access_token"), self._exchange)
        return self._known

    def instance_url(self) -> str:
        """Where this org's API is. Raises ForeignHostError when that is no host of Salesforce."""
        return self._plain.gate.hosts.resolve(str(self.credentials().get("instance_url") or self._login_url()))

    def sign(self) -> Signed:
        """See `connectors.kit.http.Signer`."""
        return bearer(self.credentials())

    def renew(self, refused: Signed) -> bool:
        """See `connectors.kit.http.Signer`. Also finds what another process stored meanwhile."""
        self._known = self._load()
        if self._known.get("access_token") == refused.token and can_sign_in(self._known):
            self._known = self._connection.tokens.refresh(refused.token, self._exchange)
        return self._known.get("access_token") != refused.token

    def _load(self) -> Credentials:
        return self._complete(self._connection.tokens.load())

    def _complete(self, stored: Credentials) -> Credentials:
        """With what is no secret and may be kept among the connection's settings."""
        settings = self._connection.settings
        return {**{name: settings[name] for name in ("username", "client_id") if settings.get(name)}, **stored}

    def _exchange(self, current: Credentials) -> Credentials:
        current = self._complete(current)
        strategy = self._strategy(current)
        if strategy is not None:
            renewal = strategy.renewal(current, time.time())
            fresh = run(renewal, self._plain) if renewal is not None else {}
        elif current.get("username") and current.get("password"):
            fresh = {**current, **self._password_login(current)}
        else:
            raise ReauthRequiredError(
                "This Salesforce connection has no credentials to sign in with.",
                remedy="Connect Salesforce again: user name, password and security token, or a connected app.",
            )
        self._plain.gate.hosts.resolve(str(fresh.get("instance_url") or self._login_url()))
        return fresh

    def _strategy(self, current: Credentials) -> Auth | None:
        token_url = f"{self._login_url()}/services/oauth2/token"
        if current.get("refresh_token"):
            return RefreshToken(token_url=token_url)
        if current.get("private_key"):
            return JwtBearer(token_url=token_url, audience=audience(self._connection.settings))
        if current.get("client_secret") and not current.get("password"):
            return ClientCredentials(token_url=token_url)
        return None

    def _password_login(self, current: Credentials) -> Credentials:
        """By the SDK's SOAP login, the only one that takes a security token and needs no connected app."""
        failed: SynclineError
        settings = self._connection.settings
        try:
            token, instance = SalesforceLogin(
                session=self._sdk,
                username=str(current["username"]),
                password=str(current["password"]),
                security_token=str(current.get("security_token") or ""),
                domain=domain(settings),
                sf_version=api_version(settings),
                client_id=CLIENT_NAME,
            )
        except SalesforceAuthenticationFailed as exc:
            failed = login_error(str(exc.code or ""))
        except (ExpatError, AttributeError):
            failed = TransientError("Salesforce's reply to the login cannot be read.", code="bad_reply")
        else:
            return {"access_token": token, "instance_url": f"https://{instance}"}
        raise failed

    def _login_url(self) -> str:
        return f"https://{domain(self._connection.settings)}.salesforce.com"


def can_sign_in(stored: Credentials) -> bool:
    """Whether ``stored`` credentials can open a session by themselves."""
    if stored.get("refresh_token"):
        return True
    if stored.get("username") and (stored.get("password") or (stored.get("private_key") and stored.get("client_id"))):
        return True
    return bool(stored.get("client_id") and stored.get("client_secret"))


def domain(settings: Mapping[str, str]) -> str:
    """The login domain before ``.salesforce.com``: ``login``, ``test`` (sandboxes) or a My Domain such as ``acme.my``.

    A whole address is understood, too. Raises ConfigurationError for one outside salesforce.com.
    """
    given = (settings.get("domain") or "login").strip().lower()
    parts = urlsplit(given if "://" in given else f"https://{given}")
    host = parts.hostname or ""
    bare = host.removesuffix(".salesforce.com")
    if (
        parts.netloc != host
        or parts.path not in ("", "/")
        or not bare
        or not all(part.replace("-", "").isalnum() for part in bare.split("."))
    ):
        raise _bad_domain()
    if "." in bare and bare == host and not bare.endswith((".my", ".sandbox")):
        raise _bad_domain()
    return bare


def audience(settings: Mapping[str, str]) -> str:
    """Whom a JWT assertion addresses: the login host, of production or of sandboxes, whatever the My Domain."""
    name = domain(settings)
    return f"https://{'test' if name == 'test' or '--' in name else 'login'}.salesforce.com"


def _bad_domain() -> ConfigurationError:
    return ConfigurationError(
        "The login domain of this Salesforce connection is not one of salesforce.com.",
        remedy="Use 'login', 'test', or your My Domain such as acme.my.salesforce.com.",
    )


def api_version(settings: Mapping[str, str]) -> str:
    """The API version as the SDK wants it: ``60.0``. Raises ConfigurationError."""
    given = (settings.get("api_version") or DEFAULT_API_VERSION).strip().lower().removeprefix("v")
    major, _, minor = given.partition(".")
    if not major.isdigit() or minor not in ("", "0") or not 53 <= int(major) <= 99:
        raise ConfigurationError(
            "The API version of this Salesforce connection is not usable.", remedy="Use 53.0 or later, such as 60.0."
        )
    return f"{int(major)}.0"


def login_error(code: str) -> SynclineError:
    """The error of a refused login. Codes come with a prefix from SOAP (``sf:INVALID_LOGIN``) and without from OAuth."""
    bare = code.rpartition(":")[2]
    meaning = MEANINGS.get(bare)
    if meaning is not None:
        named = f" ({bare})"
        return meaning.request(
            f"Salesforce {meaning.says}{named}.", remedy=meaning.remedy, context={"vendor_code": bare}
        )
    return ReauthRequiredError(
        "Salesforce refused the login.", remedy="Check the connection's credentials and the user's login policies."
    )
