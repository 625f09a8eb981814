"""Folders that the hub makes for connectors."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from bootstrap.settings import load_settings
from bootstrap.wiring import Hub
from storage import connections
from storage.database import Database

CONNECTION = UUID("00000000-0000-7000-8000-00000000000c")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_connections_cache_is_its_users_alone(tmp_path: Path) -> None:
    hub = Hub(load_settings(home=tmp_path))
    folder = hub._cache_of(CONNECTION)
    assert folder == tmp_path / "cache" / str(CONNECTION)
    assert hub._cache_of(CONNECTION) == folder, "making it again is no error"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder.parent, folder)] == ["0o700", "0o700"]


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way", "utf-8")
    assert Hub(load_settings(home=tmp_path))._cache_of(CONNECTION) is None


def test_forgetting_a_connection_forgets_what_was_kept_of_its_source(
    tmp_path: Path, db: Database, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(load_settings(home=tmp_path, tenant=str(tenant_id)))
    monkeypatch.setattr(Hub, "db", db)
    with db.tenant(tenant_id) as conn:
        connections.create(conn, CONNECTION, vendor="files", name="export")
    folder = hub._cache_of(CONNECTION)
    assert folder is not None
    (folder / "survey.json").write_text("{}", "utf-8")
    hub.forget_connection(CONNECTION)
    assert not folder.exists()
    with db.tenant(tenant_id) as conn:
        assert connections.by_name(conn, "export") is None
