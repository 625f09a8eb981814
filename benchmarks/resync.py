"""What a full comparison costs when hardly anything changed, beside the same changes by their notices.

    python -m benchmarks.resync --rows 1000000

N contacts are linked as a migration leaves them, and one in a thousand is edited at the vendor. Measured are
  resync   a full comparison of everything, which finds the edits by their versions and applies them
  changes  as many edits more, by their notices alone
  listing  the vendor's own listing of ids and versions, which nobody can do without
The target: what is left of the comparison without the listing takes less than twice as long as the changes alone.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from benchmarks.hub import TENANT, BenchHub, Took, bench_hub, machine
from benchmarks.vendors import MemorySalesforce
from connectors.kit.contract import VersionPage
from domain.versions import comparable
from sync_engine.ports import Lane

EVERY = 1000
PAGE = 2000


class BigOrg(MemorySalesforce):
    """An org with so many contacts that each is made when it is asked for; ids and versions are lists."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.ids = [self.vendor_id(n) for n in range(count)]
        self.versions_now = [self.stamp(0)] * count

    def row(self, vendor_id: str) -> dict[str, Any]:
        return self.rows.get(vendor_id) or {**self.contact(int(vendor_id[3:15])), self.version_field: self.stamp(0)}

    def change(self, first: int) -> list[str]:
        """Edit one contact in a thousand, beginning with number ``first``; returns their ids."""
        numbers = range(first, len(self.ids), EVERY)
        for number in numbers:
            self.versions_now[number] = self.edit(self.ids[number], {"Title": f"Director {len(self.log)}"})
        return [self.ids[n] for n in numbers]

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:  # noqa: ARG002
        start = 0 if after is None else bisect_right(self.ids, after)
        for place in range(start, max(len(self.ids), 1), PAGE):
            self.calls["versions"] += 1
            end = place + PAGE
            yield VersionPage(self.ids[place:end], self.versions_now[place:end], end >= len(self.ids))


_CONTACTS = """
    INSERT INTO crm_contact (tenant_id, id, salutation, first_name, last_name, title, email, phone, mailing_street, mailing_city,
                             mailing_region, mailing_postal_code, mailing_country, description, email_opt_out,
                             source_created_at, source_updated_at)
    SELECT CAST(:t AS uuid), CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid),
           CASE n % 2 WHEN 1 THEN 'Ms.' ELSE 'Mr.' END, 'First' || n % 9973, 'Last' || n, 'Engineer',
           'contact' || n || '@example.com', '+1415' || 5550000 + n % 10000, n % 900 + 1 || ' Market Street', 'San Francisco', 'CA',
           '94105', 'United States', 'Met at event ' || n % 50 || '.', false, '2025-03-04T05:06:07Z', '2025-06-07T08:09:10Z'
    FROM generate_series(0, :rows - 1) n"""

_LINKS = """
    INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, vendor_version, fingerprint, origin)
    SELECT CAST(:t AS uuid), CAST(:c AS uuid), :o, '003' || lpad(CAST(n AS text), 12, '0') || 'AAA', 'contact',
           CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), :version, decode(md5(CAST(n AS text)), 'hex'),
           'created'
    FROM generate_series(0, :rows - 1) n"""


def fill(hub: BenchHub, lane: Lane, org: BigOrg) -> None:
    """Contacts and links as a migration leaves them."""
    rows = len(org.ids)
    with hub.db.tenant(TENANT) as conn:
        conn.execute(text(_CONTACTS), {"t": TENANT, "rows": rows})
        parameters = {"t": TENANT, "c": lane.connection_id, "o": lane.object, "version": comparable(org.stamp(0))}
        conn.execute(text(_LINKS), {**parameters, "rows": rows})
    hub.settle()


def resync(hub: BenchHub, lane: Lane, changed: int) -> Took:
    """One pass with a full comparison; it has to find every edit and nothing else."""
    hub.begin_resync(lane)
    with hub.timed() as took:
        report = hub.engine.run(lane, poll=False)
    assert report.error is None, report.error
    assert report.counts == {"updated": changed}, report.counts
    return took


def notices(hub: BenchHub, lane: Lane, vendor_ids: list[str]) -> Took:
    """One pass that answers notices alone."""
    hub.store.add_notices(lane, dict.fromkeys(vendor_ids, False))
    with hub.timed() as took:
        report = hub.engine.run(lane, poll=False)
    assert report.counts == {"updated": len(vendor_ids)}, report.counts
    return took


def listing(hub: BenchHub, lane: Lane) -> Took:
    """The vendor's listing, looked at by nobody."""
    with hub.timed() as took:
        for _ in hub.ports[lane].versions(None):
            pass
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="linked contacts")
    options = parser.parse_args()
    print(machine(), flush=True)
    org = BigOrg(options.rows)
    with bench_hub() as hub:
        lane = hub.connect(org)
        fill(hub, lane, org)
        print(f"{options.rows} contacts are linked", flush=True)
        first = notices(hub, lane, org.change(2))  # warms everything up; not counted
        print(f"notices, cold: {first}")
        changed = org.change(0)
        whole = resync(hub, lane, len(changed))
        print(f"resync: {whole}")
        alone = notices(hub, lane, org.change(1))
        print(f"changes: {alone}")
        listed = listing(hub, lane)
        print(f"listing: {listed}")
    print(
        json.dumps(
            {
                "rows": options.rows,
                "changed": len(changed),
                "resync_s": round(whole.wall, 2),
                "changes_s": round(alone.wall, 2),
                "listing_s": round(listed.wall, 2),
                "ratio": round((whole.wall - listed.wall) / alone.wall, 2),
                "ratio_cpu": round((whole.cpu - listed.cpu) / alone.cpu, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
