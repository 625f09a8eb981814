"""Two sandbox vendors and the hub between them, driven by the command line in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from connectors.hubspot.connector import HubSpotConnector
from connectors.salesforce.connector import SalesforceConnector
from sandbox.hubspot.server import HubSpotServer
from sandbox.hubspot.write import Writer
from sandbox.salesforce.server import SandboxServer
from storage.database import Database
from storage.sync import records
from tests.cli.conftest import Syncline, home, syncline

__all__ = ["home", "syncline"]


@dataclass
class Both:
    """Two vendors connected under their own names."""

    salesforce: SandboxServer
    hubspot: HubSpotServer
    syncline: Syncline
    db: Database
    tenant_id: UUID
    passed: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time that the vendors and their connectors agree on."""
        return datetime.now(UTC) + self.passed

    def edit(self, where: str, **edit: Any) -> Any:
        """Edit as a person of that vendor would; returns what the sandbox answers."""
        url = self.salesforce.url if where == "salesforce" else self.hubspot.url
        answer = httpx.post(f"{url}/__sandbox__/edit", json=edit)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def edit_hub(self, entity: str, record: str, **fields: Any) -> None:
        """Edit as a person of the hub would; no field at all deletes the record."""
        with self.db.tenant(self.tenant_id) as conn:
            if fields:
                records.edit(conn, self.tenant_id, entity, UUID(record), fields, "a person")
            else:
                records.delete(conn, self.tenant_id, entity, UUID(record), "a person")

    def link_in_hubspot(self, source: str, source_id: str, target: str, target_id: str, *, on: bool = True) -> None:
        """Associate two records of HubSpot as a person would, or part them."""
        portal = self.hubspot.portal
        writer = Writer(portal, "CRM_UI")
        if on:
            types = portal.associations.typed(source, target, [])
            writer.associate(source, source_id, target, target_id, types)
        else:
            writer.dissociate(source, source_id, target, target_id)

    def add(self, connection: str, *arguments: str) -> Any:
        """Keep objects in step: the words of ``syncline sync add`` behind the connection."""
        done = self.syncline("sync", "add", connection, *arguments, "--json")
        assert done.code == 0, done.err
        return done.json

    def told(self, entity: str, sought: str, kind: str = "") -> Any:
        """What `explain` says of the one record that is sought. ``kind``: the vendor's object, where ids repeat."""
        found = self.syncline("explain", entity, sought, "--json").json["records"]
        (record,) = [
            r for r in found if not kind or (kind, sought) in {(k["object"], k["vendor_id"]) for k in r["links"]}
        ]
        return record

    def ids(self, entity: str, sought: str, kind: str = "") -> tuple[str, str]:
        """A record that stands in both systems: its Salesforce id and its HubSpot id."""
        links = self.told(entity, sought, kind)["links"]
        known = {k["connection"]: k["vendor_id"] for k in links if not k["tombstoned"]}
        return known["org"], known["portal"]

    def letters(self) -> list[Any]:
        return self.syncline("dead-letters", "list", "--json").json["letters"]  # type: ignore[no-any-return]

    def writes(self) -> list[str]:
        """The calls so far that wrote to a vendor."""
        calls = [e for v in (self.salesforce.sandbox, self.hubspot.sandbox) for e in v.journal.entries]
        return [f"{e['method']} {e['path']}" for e in calls if _writes(e["method"], e["path"])]

    def assert_silent(self) -> None:
        """What the vendors made of what they were sent is read; after that nobody is sent anything any more."""
        self.sync()
        before = len(self.writes())
        assert self.sync()["rounds"] == 1, "nothing is left to exchange"
        assert self.writes()[before:] == []

    def lag(self) -> None:
        """Let ten minutes pass: the vendors' indexes and logs catch up."""
        self.passed += timedelta(minutes=10)
        for url in (self.salesforce.url, self.hubspot.url):
            httpx.post(f"{url}/__sandbox__/clock", json={"advance_s": 600}).raise_for_status()

    def sync(self) -> Any:
        self.lag()
        done = self.syncline("sync", "run", "--json")
        assert done.code == 0, done.err + done.out
        return done.json


def _writes(method: str, path: str) -> bool:
    if path.startswith("/__sandbox__"):
        return False
    sends = ("/composite/sobjects", "/batch/create", "/batch/update", "/batch/upsert", "/batch/archive")
    return method in ("PATCH", "DELETE", "PUT") or (method == "POST" and any(s in path for s in sends))


@contextmanager
def connected(
    syncline: Syncline, db: Database, tenant_id: UUID, folder: Path, monkeypatch: pytest.MonkeyPatch, **org: Any
) -> Iterator[Both]:
    """Two new vendors, connected, of whom nobody limits how often they are called: waiting was half of these tests.

    ``org``: more options of the Salesforce org.
    """
    unlimited = {"burst": 1_000_000, "searches": 1_000_000}
    monkeypatch.setattr(HubSpotConnector, "manifest", replace(HubSpotConnector.manifest, rate_limits=()))
    with SandboxServer(contacts=10, **org) as salesforce, HubSpotServer(contacts=8, **unlimited) as hubspot:
        known = salesforce.credentials
        (folder / "sf").write_text(known.password)
        (folder / "token").write_text(known.security_token)
        (folder / "hs").write_text(hubspot.token)
        done = syncline(
            "connect", "salesforce", "--name", "org", "--base-url", salesforce.url, "--set", f"username={known.username}",
            "--secret", f"password=@{folder / 'sf'}", "--secret", f"security_token=@{folder / 'token'}",
        )  # fmt: skip
        assert done.code == 0, done.err
        done = syncline(
            "connect", "hubspot", "--name", "portal", "--base-url", hubspot.url,
            "--secret", f"access_token=@{folder / 'hs'}",
        )  # fmt: skip
        assert done.code == 0, done.err
        made = Both(salesforce, hubspot, syncline, db, tenant_id)
        for connector in (SalesforceConnector, HubSpotConnector):
            monkeypatch.setitem(connector.__init__.__kwdefaults__, "clock", made.now)  # type: ignore[index]
        yield made


@pytest.fixture
def both(
    syncline: Syncline, db: Database, tenant_id: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Both]:
    with connected(syncline, db, tenant_id, tmp_path, monkeypatch) as made:
        yield made
