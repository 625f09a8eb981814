"""A vendor for the tests of the command line: two ways to sign in, one setting, and nothing to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest, ReadRequest, Setting
from domain.errors import ReauthRequiredError
from domain.records import AccountInfo, Catalog, Page

PASSWORD = "right-c4nary"


class AcmeConnector:
    """Accepts one password. The user name is the account."""

    manifest: ClassVar[Manifest] = Manifest(
        name="acme",
        label="Acme",
        auth=(
            AuthMethod(
                AuthKind.PASSWORD,
                settings=(
                    Setting("username", "User name"),
                    Setting("password", "Password", secret=True),
                    Setting("pin", "PIN", secret=True, required=False),
                ),
            ),
            AuthMethod(AuthKind.API_KEY, settings=(Setting("api_key", "API key", secret=True),)),
        ),
        settings=(Setting("region", "Region", default="eu", choices=("eu", "us")),),
        hosts=("*.acme.example",),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> AccountInfo:
        credentials = self._connection.tokens.load()
        if PASSWORD not in (credentials.get("password"), credentials.get("api_key")):
            raise ReauthRequiredError("Acme refused the password.", remedy="Connect again with the right one.")
        account = str(credentials.get("username", "key"))
        return AccountInfo(remote_account=account, display_name=f"Acme of {account}")

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        return Catalog({})

    def read(self, request: ReadRequest) -> Iterator[Page]:
        yield Page(request.object, (), [], {}, last=True)

    def close(self) -> None:
        self._connection = self._connection
