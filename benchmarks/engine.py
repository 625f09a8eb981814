"""How fast the two-way engine brings records from one vendor through the hub to another, beside plain upserts.

    python -m benchmarks.engine --rows 50000

Two stand-in vendors in this process, an org with N contacts and an empty portal, both behind their shipped mappings, on one
embedded PostgreSQL. Measured are
  engine   N contacts pulled, planned, applied and pushed: every contact ends in the hub and at both vendors
  upsert   the very rows that this ended in (contacts, links, the change log) by INSERT ... ON CONFLICT alone, in batches of the
           same size, into the same tables, emptied
  calls    what N/50 scattered edits at one vendor cost in calls until they are at the other, how few it could be, and how few
           if records were overwritten without a look at them
  latency  single edits at one sandbox until they are at the other, over HTTP and notices, on an idle system
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.hub import TENANT, BenchHub, Took, bench_hub, machine
from benchmarks.latency import latencies
from benchmarks.vendors import MemoryHubSpot, MemorySalesforce, pieces
from domain.collecting import SYNCING, collect_rarely
from sync_engine.engine import Report, Settings
from sync_engine.ports import Lane

KEYS = {"crm_contact": "tenant_id, id", "link": "tenant_id, connection_id, vendor_object, vendor_id"}


def run(hub: BenchHub, lane: Lane) -> Report:
    """Passes over a lane until nothing is left to do."""
    while True:
        report = hub.engine.run(lane)
        assert report.error is None, report.error
        if not report.more:
            return report


def through(hub: BenchHub, org: MemorySalesforce, portal: MemoryHubSpot, rows: int) -> tuple[Took, Took]:
    """Everything from the org to the portal; returns what pulling and pushing took."""
    from_org, to_portal = hub.connect(org), hub.connect(portal)
    org.fill(rows)
    with hub.timed() as pulled:
        run(hub, from_org)
    with hub.timed() as pushed:
        run(hub, to_portal)
    assert len(portal.rows) == rows, (len(portal.rows), rows)
    return pulled, pushed


# ---------------------------------------------------------------- plain upserts


def upserts(hub: BenchHub, org: MemorySalesforce, portal: MemoryHubSpot) -> Took:
    """Write what the run wrote by plain upserts: contacts with the org's links and changes by the page, then the portal's links."""
    with hub.db.tenant(TENANT) as conn:
        batches = [*_batches(conn, org), *_batches(conn, portal)]
        for table in ("link", "change", "crm_contact"):
            conn.execute(text(f"DELETE FROM {table}"))
    hub.settle()
    with hub.timed() as took:
        for batch in batches:
            with hub.db.tenant(TENANT) as conn:
                for table, rows in batch.items():
                    _upsert(conn, table, rows)
    return took


def _batches(conn: Connection, vendor: MemorySalesforce | MemoryHubSpot) -> list[dict[str, str]]:
    """The rows of each of the vendor's batches as JSON texts by table, made ahead of time."""
    size = vendor.page_size
    links = _rows(conn, "link", f"vendor_object = '{vendor.object}'", "vendor_id", size)
    if isinstance(vendor, MemoryHubSpot):
        return [{"link": rows} for rows in links]
    contacts, changes = (
        _rows(conn, "crm_contact", "true", "id", size),
        _rows(conn, "change", "kind = 'created'", "seq", size),
    )
    return [{"crm_contact": c, "change": x, "link": k} for c, x, k in zip(contacts, changes, links, strict=True)]


def _rows(conn: Connection, table: str, which: str, order: str, size: int) -> list[str]:
    found = conn.execute(text(f"SELECT CAST(to_jsonb(x) AS text) FROM {table} x WHERE {which} ORDER BY {order}"))
    return [f"[{','.join(piece)}]" for piece in pieces(found.scalars().all(), size)]


def _upsert(conn: Connection, table: str, rows: str) -> None:
    columns = [
        str(name)
        for name in conn.execute(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = CAST(:t AS regclass) AND attnum > 0 AND NOT attisdropped "
                "AND attidentity = '' ORDER BY attnum"
            ),
            {"t": table},
        ).scalars()
    ]
    names = ", ".join(columns)
    key = KEYS.get(table)
    sets = ", ".join(f"{c} = excluded.{c}" for c in columns)
    otherwise = f"ON CONFLICT ({key}) DO UPDATE SET {sets}" if key else "ON CONFLICT DO NOTHING"
    conn.execute(
        text(
            f"INSERT INTO {table} ({names}) "
            f"SELECT {names} FROM jsonb_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS jsonb)) {otherwise}"
        ),
        {"rows": rows},
    )


# ---------------------------------------------------------------- calls


def scattered(hub: BenchHub, org: MemorySalesforce, portal: MemoryHubSpot, count: int) -> dict[str, int]:
    """Edit records here and there at the org, and count calls until they are at the portal.

    A look at each record before it is changed is part of the minimum: without it, edits made at the portal meanwhile are lost
    (the planted bug ``no_pre_read`` of the simulation shows it), and the portal takes no conditions.
    """
    lanes = {lane.object: lane for lane in hub.ports}
    ids = list(org.rows)[:: max(1, len(org.rows) // count)][:count]
    run(hub, lanes[portal.object])  # what the portal itself said of the records that it was given is read and done with
    for vendor_id in ids:
        org.edit(vendor_id, {"Title": "Director"})
    hub.store.add_notices(lanes[org.object], dict.fromkeys(ids, False))
    org.calls.clear()
    portal.calls.clear()
    hub.engine.run(lanes[org.object], poll=False)
    hub.engine.run(lanes[portal.object], poll=False)
    titles = sum(row.get("jobtitle") == "Director" for row in portal.rows.values())
    assert titles == len(ids), (titles, len(ids))
    print(f"calls for {len(ids)} scattered edits: org {dict(org.calls)}, portal {dict(portal.calls)}")
    blind = math.ceil(len(ids) / org.ids_size) + math.ceil(len(ids) / portal.batch_size)
    looks = math.ceil(len(ids) / portal.ids_size)
    return {"calls": org.calls.total() + portal.calls.total(), "calls_minimum": blind + looks, "calls_blind": blind}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="contacts")
    parser.add_argument("--edits", type=int, default=50, help="single edits over HTTP")
    options = parser.parse_args(arguments)
    print(machine(), flush=True)
    collect_rarely(SYNCING)  # as a worker does
    org, portal = MemorySalesforce(), MemoryHubSpot()
    result: dict[str, Any] = {"rows": options.rows}
    with bench_hub(Settings(lease_for=timedelta(minutes=10), push_batches_max=1_000_000)) as hub:
        pulled, pushed = through(hub, org, portal, options.rows)
        print(f"pull: {pulled}\npush: {pushed}", flush=True)
        calls = scattered(hub, org, portal, max(1, options.rows // 50))
        plain = upserts(hub, org, portal)
        print(f"plain upserts: {plain}", flush=True)
    wall, cpu = pulled.wall + pushed.wall, pulled.cpu + pushed.cpu
    result |= {"records_per_s": round(options.rows / wall), "ratio_upsert": round(plain.wall / wall, 3)}
    result |= {"ratio_upsert_cpu": round(plain.cpu / cpu, 3)} | calls
    with bench_hub() as idle:
        result |= latencies(idle, idle.work, options.edits)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
