"""The API over a real database, in process; callers of every role, each by a key of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from bootstrap.settings import Settings, variable_name
from bootstrap.wiring import Hub
from domain.access import SYSTEM_TENANT
from storage import api_keys
from storage.database import Database
from storage.embedded import ServerUrls

Client = TestClient


@pytest.fixture(scope="session")
def hub(database_urls: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub on this worker's database."""
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(variable_name(name), raising=False)
        home: Path = tmp_path_factory.mktemp("home")
        # All tests call from one address.
        settings = Settings(home=home, DATABASE_URL=database_urls.app, failures_per_minute=1_000_000)  # type: ignore[arg-type, call-arg]
        hub = Hub(settings, pool_size=10)
        yield hub
        hub.close()


@pytest.fixture(scope="session")
def app_client(hub: Hub) -> Iterator[Client]:
    """The application without anyone's key."""
    with TestClient(create_app(hub), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def sandbox_hub(hub: Hub) -> Hub:
    """The same hub, where callers may name sandboxes and send people back to one other site."""
    changes = {"sandbox_addresses": True, "return_origins": ("https://crm.example",)}
    other = Hub(hub.settings.model_copy(update=changes))
    other.__dict__.update(urls=hub.urls, db=hub.db, vault=hub.vault)
    return other


@pytest.fixture(scope="session")
def sandbox_app(sandbox_hub: Hub) -> Iterator[Client]:
    """An application that may connect to sandboxes, without anyone's key."""
    with TestClient(create_app(sandbox_hub), raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


As = Callable[..., Client]


@pytest.fixture
def connecting(sandbox_app: Client, as_: As) -> As:
    """`as_` at the application that may connect to sandboxes."""

    def client(*role: object, **more: object) -> Client:
        key = as_(*role, **more).headers["Authorization"]
        return TestClient(
            sandbox_app.app, raise_server_exceptions=False, follow_redirects=False, headers={"Authorization": key}
        )

    return client


@pytest.fixture
def as_(app_client: Client, db: Database, tenant_id: UUID) -> As:
    """``as_("member")``: a client with a key of that role, of the test's tenant or of another; ``scopes`` narrow it.

    An administrator of the system belongs to the system's tenant and visits.
    """

    def client(role: str, tenant: UUID | None = None, scopes: list[str] | None = None) -> Client:
        of = tenant or tenant_id
        home = SYSTEM_TENANT if role == "system_admin" else of
        with db.tenant(home) as conn:
            _, secret = api_keys.create(conn, name=f"test {role}", role=role, created_by="tests", scopes=scopes)
        headers = {"Authorization": f"Bearer {secret}"} | ({} if home == of else {"Syncline-Tenant": str(of)})
        return TestClient(app_client.app, raise_server_exceptions=False, headers=headers)

    return client


@pytest.fixture
def admin(as_: As) -> Client:
    """The test tenant's administrator."""
    return as_("tenant_admin")
