"""Webhook intake against pgbench and against a plain endpoint, on one embedded PostgreSQL with its usual durability.

    python -m benchmarks.intake [--rounds 3] [--seconds 6] [--clients 32] [--workers 1]

Each round measures pgbench (single-row commits of the same kilobyte, prepared), the intake, and the plain endpoint, one after
the other, the latter two also at half of their own rates, for latencies; ratios are medians over rounds. Beside throughput
stands what one delivery costs in processor time, of the server, of PostgreSQL and of the client: on a machine that others use,
too, that is the fairer comparison. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.intake.contenders import HEADER, Run, free_port, load, pgbench, serving
from benchmarks.intake.plain import SECRET, TENANT, Base
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import inbound_endpoints, secrets
from storage.database import make_engine
from webhooks.inbound.addresses import PREFIX, ref_of

SETTINGS = {
    "proof": {"kind": "hmac", "header": HEADER, "prefix": "sha256="},
    "idempotency_path": "$.id",
}


def prepare(hub: Hub) -> str:
    """An endpoint, and the tables to compare with; returns the path to post to."""
    with hub.db.tenant(TENANT) as conn:
        endpoint = inbound_endpoints.create(conn, name="bench", scheme="generic", settings=SETTINGS)
        secrets.add(conn, hub.vault, endpoint.id, {"secret": SECRET.decode()})
    with psycopg.connect(hub.urls.admin, autocommit=True) as admin:
        admin.execute("CREATE DATABASE bench")
    theirs = hub.urls.for_database("bench")
    engine = make_engine(theirs.admin)
    Base.metadata.create_all(engine)
    engine.dispose()
    with psycopg.connect(theirs.admin, autocommit=True) as admin:
        admin.execute("CREATE TABLE bench_plain (id uuid PRIMARY KEY, dedupe_key text UNIQUE, body bytea)")
        admin.execute(
            "CREATE POLICY tenant_isolation ON bench_event USING"
            " (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid))"
        )
        admin.execute("ALTER TABLE bench_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        admin.execute("GRANT ALL ON bench_event TO PUBLIC")
    return PREFIX + ref_of(TENANT, endpoint.id)


def measure(work: Path, rounds: int, seconds: float, clients: int, workers: int) -> dict[str, Any]:
    settings = Settings(home=work / "home", tenant=TENANT)
    hub = Hub(settings, say=print)
    try:
        target = prepare(hub)
        theirs = hub.urls.for_database("bench")
        with psycopg.connect(hub.urls.admin) as admin:
            durable = admin.execute("SHOW synchronous_commit").fetchone(), admin.execute("SHOW fsync").fetchone()
        assert durable == (("on",), ("on",)), durable
        ours_port, plain_port = free_port(), free_port()
        ours = {
            "SYNCLINE_HOME": str(settings.home),
            "SYNCLINE_API_PORT": str(ours_port),
            "SYNCLINE_API_WORKERS": str(workers),
        }
        plain = {"BENCH_URL": theirs.app, "BENCH_PORT": str(plain_port)}
        found: list[dict[str, Run]] = []
        for number in range(rounds):
            one = {"pgbench": pgbench(work, theirs.admin, clients, seconds)}
            with serving(["-m", "cli.main", "api"], ours_port, ours) as server:
                load(work, server, theirs.admin, ours_port, target, clients, 1)
                one["ours"] = load(work, server, theirs.admin, ours_port, target, clients, seconds)
                half = one["ours"].rps / 2
                one["half"] = load(work, server, theirs.admin, ours_port, target, clients, seconds, half)
            with serving(["-m", "benchmarks.intake.plain"], plain_port, plain) as server:
                one["plain"] = load(
                    work, server, theirs.admin, plain_port, "/hooks/bench", clients, seconds, most=20_000
                )
                slow = one["plain"].rps / 2
                one["plain half"] = load(work, server, theirs.admin, plain_port, "/hooks/bench", clients, seconds, slow)
            print(f"round {number + 1}:", flush=True)
            for name, run in one.items():
                print(f"  {name:10} {asdict(run)}", flush=True)
            found.append(one)
        return summary(found)
    finally:
        hub.close()
        hub.server.stop()


def summary(found: list[dict[str, Run]]) -> dict[str, Any]:
    """Medians over rounds. ``cpu_us``: processor time of a delivery; ratios above 1 are in favour of the intake."""

    def middle(values: list[float], digits: int = 2) -> float:
        return round(statistics.median(values), digits)

    return {
        "rps": middle([f["ours"].rps for f in found], 0),
        "pgbench_tps": middle([f["pgbench"].rps for f in found], 0),
        "ratio_pgbench": middle([f["ours"].rps / f["pgbench"].rps for f in found]),
        "ratio_plain": middle([f["ours"].rps / f["plain"].rps for f in found]),
        "p50_ms": middle([f["half"].p50_ms for f in found]),
        "p99_ms": middle([f["half"].p99_ms for f in found]),
        "p999_ms": middle([f["half"].p999_ms for f in found]),
        "plain_p50_ms": middle([f["plain half"].p50_ms for f in found]),
        "plain_p99_ms": middle([f["plain half"].p99_ms for f in found]),
        "cpu_us": {
            part: {
                name: middle([getattr(f[name], f"{part}_us") for f in found], 1)
                for name in ("ours", "pgbench", "plain")
            }
            for part in ("server", "postgres", "client")
        },
        "ratio_cpu_pgbench": middle([f["pgbench"].cpu_us / f["ours"].cpu_us for f in found]),
        "ratio_cpu_plain": middle([f["plain"].cpu_us / f["ours"].cpu_us for f in found]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1, help="processes of `syncline api`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o711)
        print(json.dumps(measure(Path(folder), given.rounds, given.seconds, given.clients, given.workers)))
