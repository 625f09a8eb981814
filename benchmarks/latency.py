"""How long an edit at one vendor takes to the other on an idle system: sandboxes as processes of their own, real connectors, HTTP.

From the moment the notice is noted to the moment the other vendor has answered the write. The time inside HTTP calls is the
vendors', and so is what a call waits for the vendor's rate limit; the rest is the hub's: reading work, planning, committing.
Between two edits there is a pause: edits one after another use up HubSpot's 100 calls in ten seconds after some three
seconds, and the next one then waits for the other seven.
"""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.hub import TENANT, BenchHub
from cli.sandbox_process import SandboxProcess
from connectors.kit import registry
from connectors.kit.contract import CallRecord, Connection
from connectors.kit.tokens import MemoryTokens
from domain.ids import record_namespace
from mappings.compile import compile_spec
from mappings.spec import load_shipped
from sandbox.hubspot.auth import Credentials as HubSpotCredentials
from sandbox.salesforce.auth import Credentials as SalesforceCredentials
from sync_engine.ports import Lane
from sync_engine.ruling import rules_of
from sync_engine.vendor import ConnectorObject

CONTACTS = 20
CALLS_PER_S = 8.0
"""How many calls the edits make in a second, so that no limit is met."""


@contextmanager
def _port(
    vendor: str, name: str, url: str, secrets: dict[str, Any], calls: list[CallRecord]
) -> Iterator[ConnectorObject]:
    connection = Connection("bench", vendor, {}, MemoryTokens(secrets), base_url=url, on_call=calls.append)
    connector = registry.load(vendor)(connection)
    spec = load_shipped(vendor, name)
    assert spec is not None
    lens = compile_spec(spec, connector.describe([name]).objects[name])
    space = record_namespace(TENANT, vendor, connector.check().remote_account, name)
    yield ConnectorObject(connector, lens, rules_of(lens, match_keys=(("email",),)), space)
    connector.close()


def latencies(hub: BenchHub, work: Path, edits: int) -> dict[str, Any]:
    """Edit single contacts in Salesforce, and let notices bring them to HubSpot; milliseconds, and the hub's share of them."""
    calls: list[CallRecord] = []
    org, portal = SalesforceCredentials(), HubSpotCredentials()
    signs_in = {"username": org.username, "password": org.password, "security_token": org.security_token}
    with (
        SandboxProcess("salesforce", ("--contacts", str(CONTACTS)), work / "salesforce.log") as salesforce,
        SandboxProcess("hubspot", ("--contacts", "0"), work / "hubspot.log") as hubspot,
        _port("salesforce", "Contact", salesforce.url, signs_in, calls) as from_org,
        _port(
            "hubspot", "contacts", hubspot.url, {"auth": "api_key", "access_token": portal.token}, calls
        ) as to_portal,
    ):
        lanes = hub.keep(from_org), hub.keep(to_portal)
        for lane in lanes:
            report = hub.engine.run(lane)
            assert report.error is None, report.error
        linked = _linked(hub, lanes)
        took = [
            _edit(hub, lanes, salesforce.url, linked[n % len(linked)], f"Director {n}", calls) for n in range(edits + 2)
        ][2:]
    return _figures(took)


@dataclass(frozen=True)
class Took:
    """Seconds of one edit: by the clock, inside HTTP calls, waiting for a rate limit, and of this process's processor time."""

    wall: float
    http: float
    waited: float
    cpu: float


def _figures(took: Sequence[Took]) -> dict[str, Any]:
    seconds = sorted(t.wall for t in took)
    ours = sum(t.wall - t.http - t.waited for t in took) / sum(seconds)
    return {
        "edits": len(took),
        "edit_p50_ms": round(1000 * statistics.median(seconds)),
        "edit_p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1]),
        "edit_max_ms": round(1000 * seconds[-1]),
        "edit_waited_max_ms": round(1000 * max(t.waited for t in took)),
        "edit_share_ours": round(ours, 2),
        "edit_cpu_ms": round(1000 * statistics.median(t.cpu for t in took)),
    }


def _linked(hub: BenchHub, lanes: tuple[Lane, Lane]) -> list[str]:
    """Salesforce ids of the contacts that stand in both systems."""
    with hub.db.tenant(TENANT) as conn:
        found = conn.execute(
            text(
                "SELECT a.vendor_id FROM link a JOIN link b USING (tenant_id, entity_id) "
                "WHERE a.connection_id = :a AND b.connection_id = :b ORDER BY 1"
            ),
            {"a": lanes[0].connection_id, "b": lanes[1].connection_id},
        )
        ids = [str(i) for i in found.scalars()]
    assert ids, "no contact stands in both systems"
    return ids


def _edit(
    hub: BenchHub, lanes: tuple[Lane, Lane], url: str, vendor_id: str, title: str, calls: list[CallRecord]
) -> Took:
    """One edit, and a pause after it."""
    body = {"object": "Contact", "id": vendor_id, "properties": {"Title": title}}
    request = urllib.request.Request(
        f"{url}/__sandbox__/edit", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()
    calls.clear()
    started, cpu = time.monotonic(), time.process_time()
    hub.store.add_notices(lanes[0], {vendor_id: False})
    reports = [hub.engine.run(lane, poll=False) for lane in lanes]
    seconds = time.monotonic() - started
    assert reports[0].counts["updated"], reports
    assert reports[1].counts["pushed_update"] == 1, reports
    took = Took(seconds, sum(c.duration_s for c in calls), sum(c.waited_s for c in calls), time.process_time() - cpu)
    time.sleep(max(0.0, len(calls) / CALLS_PER_S - seconds))
    return took
