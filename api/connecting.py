"""What callers may connect to: never a path on the server, and no address of their own unless the operator says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from api.access import Caller
from api.errors import ApiError
from bootstrap.connecting import SignedIn, sign_in
from bootstrap.filling_in import Answers, fill_in
from bootstrap.redact import remember_credentials
from connectors.kit import registry
from connectors.kit.contract import Manifest
from domain.errors import ReauthRequiredError

Settings = Annotated[dict[str, str], Field(max_length=50)]
Secrets = Annotated[dict[str, SecretStr], Field(max_length=50)]

_ODD_IN_ADDRESS = re.compile(r"[\x00-\x20\x7f\\]")

_READS_THE_SERVER = frozenset({"files"})
"""Connectors that read what lies on the machine of the hub."""


def manifest_of(vendor: str) -> Manifest:
    """The manifest of a connector that callers may connect by themselves. Raises ConfigurationError, ApiError 422."""
    if vendor in _READS_THE_SERVER:
        raise ApiError(
            422, "uploads_only", "Files are sent here, not read from the server.", remedy="Make an upload instead."
        )
    return registry.load(vendor).manifest


def check_address(caller: Caller, base_url: str | None) -> None:
    """Refuse an address of the caller's own. Raises ApiError 422."""
    if base_url is not None and not caller.hub.settings.sandbox_addresses:
        raise ApiError(
            422, "address_refused", "This installation talks to vendors at their own addresses only.",
            remedy="Leave base_url out.",
        )  # fmt: skip


def answered(manifest: Manifest, settings: Mapping[str, str], secrets: Secrets, auth: str | None) -> Answers:
    """What the manifest asks for, from a request. Raises ConfigurationError naming what is missing or unknown."""
    plain = {name: value.get_secret_value() for name, value in secrets.items()}
    remember_credentials({**settings, **plain})
    return fill_in(manifest, {**settings, **plain}, auth=auth)


def signed_in(manifest: Manifest, answers: Answers, base_url: str | None) -> SignedIn:
    """Sign in. Raises ApiError 422 where the vendor says no, and what the connector raises otherwise."""
    try:
        account, secrets = sign_in(manifest.name, answers.settings, answers.credentials, base_url)
    except ReauthRequiredError as error:
        raise ApiError(422, error.code, error.message, remedy="Check the credentials; nothing was stored.") from None
    return SignedIn(manifest.name, account, answers.settings, secrets, base_url)


def callback_of(caller: Caller) -> str:
    """Where vendors send a person back to."""
    return caller.hub.settings.public_url.rstrip("/") + "/v1/oauth/callback"


def check_return(caller: Caller, address: str | None) -> None:
    """Refuse to send people anywhere but to this site or one that the operator named. Raises ApiError 422."""
    if address is None:
        return
    settings = caller.hub.settings
    known = {_origin(own) for own in (*settings.return_origins, settings.public_url)}
    if not _ODD_IN_ADDRESS.search(address) and (_is_path(address) or _origin(address) in known):
        return
    raise ApiError(
        422, "return_refused", "Nobody is sent to that address after signing in.",
        remedy="Give a path of this site, or have the operator allow the other one.",
    )  # fmt: skip


def _is_path(address: str) -> bool:
    return address.startswith("/") and not address.startswith("//")


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()
