"""Tenants with one stream each, at a vendor that notes what it is asked; settings fit for tests."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from bootstrap.settings import Settings, variable_name
from bootstrap.syncing import Syncs
from bootstrap.syncing_rules import StreamSettings
from bootstrap.wiring import Hub
from connectors.kit import registry
from domain.ids import new_id
from mappings.spec import parse_spec
from storage import connections, credentials, streams
from storage.embedded import ServerUrls
from storage.streams import Stream
from sync_engine.ports import Lane
from tests.workers import vendor
from tests.workers.vendor import Remote


@pytest.fixture(autouse=True)
def _rolodex(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor comes as a third-party package would: by entry point."""
    point = importlib.metadata.EntryPoint(
        "rolodex", "tests.workers.vendor:RolodexConnector", registry.ENTRY_POINT_GROUP
    )
    monkeypatch.setattr(registry, "DEFAULT", dataclasses.replace(registry.DEFAULT, entry_points=lambda: [point]))
    vendor.REMOTES.clear()
    vendor.LOG.clear()


@pytest.fixture
def settings(fresh_database: ServerUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_name(name), raising=False)
    chosen: dict[str, Any] = {
        "home": tmp_path, "DATABASE_URL": fresh_database.app, "sweep_s": 0.05, "worker_threads": 1, "stop_within_s": 10.0,
    }  # fmt: skip
    return Settings(**chosen)


@pytest.fixture
def hub(settings: Settings) -> Iterator[Hub]:
    hub = Hub(settings, pool_size=10)
    yield hub
    hub.close()


@dataclasses.dataclass
class Company:
    """One tenant, one connection, one stream."""

    hub: Hub
    lane: Lane
    remote: Remote

    def stream(self) -> Stream:
        with self.hub.db.tenant(self.lane.tenant_id) as conn:
            return streams.get(conn, self.lane.connection_id, self.lane.object)

    def set(self, **values: Any) -> None:
        pairs = ", ".join(f"{name} = :{name}" for name in values)
        with self.hub.db.tenant(self.lane.tenant_id) as conn:
            conn.execute(text(f"UPDATE stream SET {pairs}"), values)  # noqa: S608  # names of columns, by tests

    def get(self, column: str) -> Any:
        with self.hub.db.tenant(self.lane.tenant_id) as conn:
            return conn.scalar(text(f"SELECT {column} FROM stream"))  # noqa: S608

    def contacts(self) -> int:
        with self.hub.db.tenant(self.lane.tenant_id) as conn:
            return int(conn.scalar(text("SELECT count(*) FROM crm_contact")) or 0)

    def notice(self, vendor_id: str = "00000") -> None:
        Syncs(self.hub.of(self.lane.tenant_id)).store.add_notices(self.lane, {vendor_id: False})


@pytest.fixture
def company(hub: Hub) -> Callable[..., Company]:
    """``company("a", pages=3)``: a new tenant whose vendor has three people."""

    def make(name: str = "a", pages: int = 1) -> Company:
        tenant, connection_id = new_id(), new_id()
        remote = vendor.REMOTES[name] = Remote(name, pages)
        mine = hub.of(tenant)
        with hub.db.tenant(tenant) as conn:
            conn.execute(text("INSERT INTO tenant (tenant_id, name) VALUES (:t, :n)"), {"t": tenant, "n": name})
            connections.create(
                conn, connection_id, vendor="rolodex", name=name, settings={"account": name}, remote_account=name
            )
            credentials.save(conn, hub.vault, tenant, connection_id, {"api_key": "k"})
        syncs = Syncs(mine)
        syncs.add(
            connection_id, ["Person"], StreamSettings(direction="in"), {"Person": parse_spec(vendor.SPEC, "p.toml")}
        )
        syncs.close()
        return Company(hub, Lane(tenant, connection_id, "Person"), remote)

    return make


Make = Callable[..., Company]


def tenant_of(company: Company) -> UUID:
    return company.lane.tenant_id
