"""Signing in: how a connection's stored settings become a session, whichever way it was set up.

The vendor's SDK makes the logins; the session's instance address is judged before the session is stored, so that no
later call can carry the token to a foreign host.

https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

import requests
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.login import SalesforceLogin

from connectors.kit.contract import Connection
from connectors.kit.http import Signed, VendorClient
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

    def credentials(self) -> Mapping[str, Any]:
        """Stored credentials with an access token, signing in first where there is none yet."""
        stored = self._connection.tokens.load()
        if stored.get("access_token"):
            return stored
        return self._connection.tokens.refresh(stored.get("access_token"), self._exchange)

    def instance_url(self) -> str:
        """Where this org's API is. Raises ForeignHostError when that is no host of Salesforce."""
        return self._plain.gate.hosts.resolve(str(self.credentials().get("instance_url") or self._login_url()))

    def sign(self) -> Signed:
        """See `connectors.kit.http.Signer`."""
        token = str(self.credentials()["access_token"])
        return Signed(headers={"Authorization": f"Bearer {token}"}, token=token)

    def renew(self, refused: Signed) -> bool:
        """See `connectors.kit.http.Signer`."""
        if not can_sign_in(self._connection.tokens.load()):
            return False
        self._connection.tokens.refresh(refused.token, self._exchange)
        return True

    def _exchange(self, current: Mapping[str, Any]) -> Mapping[str, Any]:
        if current.get("refresh_token"):
            fresh = self._refresh_grant(current)
        elif can_sign_in(current):
            fresh = self._sdk_login(current)
        else:
            raise ReauthRequiredError(
                "This Salesforce connection has no credentials to sign in with.",
                remedy="Connect Salesforce again: user name, password and security token, or a connected app.",
            )
        self._plain.gate.hosts.resolve(str(fresh["instance_url"]))
        return {**current, **fresh}

    def _refresh_grant(self, current: Mapping[str, Any]) -> dict[str, Any]:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": str(current["refresh_token"]),
            "client_id": str(current.get("client_id", "")),
        }
        if current.get("client_secret"):
            form["client_secret"] = str(current["client_secret"])
        url = f"{self._login_url()}/services/oauth2/token"
        payload = self._plain.request("POST", url, form=form, idempotent=True).json()
        return _token_fields(payload)

    def _sdk_login(self, current: Mapping[str, Any]) -> dict[str, Any]:
        failed: SynclineError
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # the SDK warns with an address to approve the app at; our error says it
                token, instance = SalesforceLogin(session=self._sdk, **self._login_arguments(current))
            return _token_fields({"access_token": token, "instance_url": f"https://{instance}"})
        except SalesforceAuthenticationFailed as exc:
            failed = login_error(str(exc.code or ""))
        except (ExpatError, AttributeError, requests.RequestException):
            failed = TransientError("Salesforce's reply to the login cannot be read.", code="bad_reply")
        except ValueError:
            failed = ConfigurationError(
                "The private key of the connected app cannot be read.", remedy="Give an RSA private key in PEM form."
            )
        raise failed

    def _login_arguments(self, current: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._connection.settings
        common = {"domain": domain(settings), "sf_version": api_version(settings), "client_id": CLIENT_NAME}
        if current.get("private_key"):
            return common | {
                "username": current.get("username"),
                "consumer_key": current.get("client_id"),
                "privatekey": current["private_key"],
            }
        if current.get("password"):
            return common | {
                "username": current.get("username"),
                "password": current["password"],
                "security_token": current.get("security_token") or "",
            }
        return common | {"consumer_key": current["client_id"], "consumer_secret": current["client_secret"]}

    def _login_url(self) -> str:
        return f"https://{domain(self._connection.settings)}.salesforce.com"


def can_sign_in(stored: Mapping[str, Any]) -> bool:
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
    host = urlsplit(given if "://" in given else f"https://{given}").hostname or ""
    bare = host.removesuffix(".salesforce.com")
    if not bare or not all(part.replace("-", "").isalnum() for part in bare.split(".")):
        raise _bad_domain()
    if "." in bare and bare == host and not bare.endswith((".my", ".sandbox")):
        raise _bad_domain()
    return bare


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


def _token_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    if not payload.get("access_token") or not payload.get("instance_url"):
        raise TransientError("Salesforce's reply to the login holds no session.", code="bad_reply")
    fields = {"access_token": payload["access_token"], "instance_url": payload["instance_url"]}
    if payload.get("refresh_token"):
        fields["refresh_token"] = payload["refresh_token"]  # rotated: the old one is worthless from now on
    return fields
