"""Folders that the hub makes for connectors."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from bootstrap.settings import load_settings
from bootstrap.wiring import Hub
from domain.errors import TransientError
from storage import connections
from storage.database import Database
from storage.embedded.state import State

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


NO_ROOM = 'PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device'


@pytest.mark.parametrize(
    ("line", "code", "seconds_ago", "told"),
    [
        (NO_ROOM, "database_unavailable", 0, "storage_full"),
        (NO_ROOM, "database_unavailable", 3600, "database_unavailable"),
        (NO_ROOM, "vendor_unavailable", 0, "vendor_unavailable"),
        ("PANIC:  something else", "database_unavailable", 0, "database_unavailable"),
        ("LOG:  No space left on device", "database_unavailable", 0, "database_unavailable"),
    ],
    ids=["full", "full long ago", "not the database", "another breakdown", "no breakdown"],
)
def test_a_server_that_broke_down_on_a_full_disk_is_told_so(
    tmp_path: Path, line: str, code: str, seconds_ago: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    state = State("c", str(tmp_path / "postgres"), 1, "admin", "app")
    state.log.parent.mkdir()
    state.save(tmp_path / "postgres.json")
    hub = Hub(load_settings(home=tmp_path))
    at = datetime.now(UTC) + timedelta(seconds=1 - seconds_ago)
    state.log.write_text(f"{at:%Y-%m-%d %H:%M:%S}.486 UTC [7] {line}\n" + "STATEMENT: x\n" * 2_000)
    error = TransientError("Lost.", code=code)
    assert hub.explained(error).code == told
