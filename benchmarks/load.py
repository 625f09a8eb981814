"""How fast a folder of CSV files becomes canonical records, as ratios to PostgreSQL's own COPY and to dlt.

    python -m benchmarks.load --rows 1000000

For N contacts (N/5 accounts, 3N/10 opportunities) on one embedded PostgreSQL, in one run of the program:
  ours   `Migrations.run` of an approved plan in a fresh process: read, map, normalise, dedupe, resolve references, link
         (looking through the files is the cost of the plan, which every run has)
  copy   COPY FROM of the very rows that ours ended in (entities and links) into the same empty, fully indexed tables
  dlt    its merge load of the same files (it maps and dedupes nothing)
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
import psycopg
from psycopg import sql

from benchmarks import data
from connectors.files.connector import FilesConnector
from connectors.kit.contract import Connection
from connectors.kit.tokens import MemoryTokens
from mappings.compile import MappingContext
from mappings.spec import load_shipped
from migration.plan_model import Phase, Plan, PlannedObject, PlannedPipeline, PlannedStage
from migration.progress import Progress
from migration.service import Migrations
from storage import connections, tenants
from storage.database import Database
from storage.embedded import EmbeddedPostgres, ServerUrls
from storage.schema import upgrade

T = TypeVar("T")
TENANT = UUID("0192d3a0-0000-7000-8000-000000000001")
CONNECTION = UUID("0192d3a0-0000-7000-8000-000000000002")
LOADED = ("crm_pipeline", "crm_stage", "crm_account", "crm_contact", "crm_opportunity", "link", "pending_reference")
PHASES = {"Account": Phase.MASTER_DATA, "Contact": Phase.MASTER_DATA, "Opportunity": Phase.TRANSACTIONS}
MATCH = {"Account": (("name", "domain"),), "Contact": (("email", "last_name"),)}


def _connector(folder: Path) -> FilesConnector:
    settings = {"path": str(folder), "source": "bench"}
    return FilesConnector(
        Connection("bench", "files", settings, MemoryTokens({}), cache=folder.parent / f"{folder.name}-cache")
    )


def plan_of(folder: Path, rows: int) -> Plan:
    """The plan, made in a process of its own as `syncline migrate plan` does: looking through the files is its cost."""
    counts = {"Account": max(1, rows // 5), "Contact": rows, "Opportunity": rows * 3 // 10}
    connector = _connector(folder)
    objects = []
    for name, phase in PHASES.items():
        spec = load_shipped("salesforce", name)
        assert spec is not None
        rules, mapping = MATCH.get(name, ()), f"salesforce/{name}"
        objects.append(
            PlannedObject(name, spec.entity, phase, spec, rules, expected_count=counts[name], mapping=mapping)
        )
    catalog = connector.describe(list(PHASES))
    stages = tuple(PlannedStage(name) for name in data.STAGES)
    pipelines = (PlannedPipeline("Opportunity", "Opportunity.StageName", stages),)
    account = connector.check().remote_account
    plan = Plan("files", account, tuple(objects), MappingContext(), catalog.fingerprint(), pipelines=pipelines)
    return plan.approve()


class PeakMemory:
    """Peak resident memory of this process and its children, in MiB, sampled twice a second.

    More often would cost what is measured: each sample looks through all processes of the machine, and takes turns with the reader.
    """

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.5):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.mib = max(self.mib, total / 2**20)


def ours(urls: ServerUrls, folder: Path, plan: Plan) -> tuple[float, float]:
    """One run in a process of its own; returns its seconds and the peak memory of it and its children."""
    with Database(urls.app, pool_size=6) as database:
        with database.tenant(TENANT) as connection:
            tenants.ensure(connection, TENANT, "Benchmark")
            if connections.by_name(connection, "bench") is None:
                connections.create(connection, CONNECTION, vendor="files", name="bench")
        finished: dict[str, float] = {}
        started = time.monotonic()

        def on_progress(progress: Progress) -> None:
            if progress.finished:
                finished[f"{progress.object} {progress.phase}"] = round(time.monotonic() - started, 2)

        with PeakMemory() as memory:
            migrations = Migrations(database, urls.app, TENANT, lambda _: _connector(folder))
            result = migrations.run(CONNECTION, plan, on_progress, certificate=False)
            seconds = time.monotonic() - started
    for name, ledger in result.ledgers.items():
        print(
            f"  {name}: {ledger.created} created, {ledger.merged} merged, {ledger.unchanged} unchanged, adds up: {ledger.adds_up}"
        )
    print(f"  {finished}, all {seconds:.1f} s", flush=True)
    return seconds, memory.mib


def database(server: EmbeddedPostgres, name: str) -> ServerUrls:
    urls = server.start()
    with psycopg.connect(urls.admin, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    result = urls.for_database(name)
    upgrade(result.admin)
    return result


def _run_ours(server: EmbeddedPostgres, name: str, folder: Path, rows: int) -> tuple[ServerUrls, list[float], float]:
    """Plan, run and run again, each in a process of its own; returns the two runs' seconds and the first one's peak memory."""
    urls = database(server, name)
    plan = elsewhere(plan_of, folder, rows)
    (first, mib), (second, _) = elsewhere(ours, urls, folder, plan), elsewhere(ours, urls, folder, plan)
    return urls, [first, second], mib


def elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    with ProcessPoolExecutor(1, mp.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _copy(server: EmbeddedPostgres, source: ServerUrls, folder: Path) -> tuple[float, int]:
    """COPY the rows that ours ended in into the same empty tables; returns seconds and records."""
    columns, records = {}, 0
    with psycopg.connect(source.admin) as connection:
        for table in LOADED:
            names = [
                r[0]
                for r in connection.execute(
                    "SELECT attname FROM pg_attribute "
                    "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                    (table,),
                )
            ]
            columns[table] = names
            order = "ORDER BY created_at" if table != "pending_reference" else ""
            with (
                (folder / f"{table}.copy").open("wb") as file,
                connection.cursor().copy(f"COPY (SELECT * FROM {table} {order}) TO STDOUT".encode()) as copy,
            ):
                for block in copy:
                    file.write(block)
    target = database(server, "bench_copy")
    with psycopg.connect(target.admin) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES (%s, 'Benchmark')", (TENANT,))
        connection.execute(
            "INSERT INTO connection (tenant_id, id, vendor, name) VALUES (%s, %s, 'files', 'bench')",
            (TENANT, CONNECTION),
        )
    started = time.monotonic()
    with psycopg.connect(target.admin) as connection:
        for table in LOADED:
            with connection.cursor() as cursor:
                with (
                    (folder / f"{table}.copy").open("rb") as file,
                    cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy,
                ):
                    while block := file.read(1 << 20):
                        copy.write(block)
                if table.startswith("crm_"):
                    records += cursor.rowcount
            connection.commit()
    return time.monotonic() - started, records


def _dlt(server: EmbeddedPostgres, folder: Path) -> float:
    """dlt's merge load of the three files."""
    import csv

    import dlt

    urls = database(server, "bench_dlt")

    def rows(name: str) -> Any:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            while batch := [row for _, row in zip(range(10_000), reader, strict=False)]:
                yield batch

    with tempfile.TemporaryDirectory() as pipelines:
        pipeline = dlt.pipeline(
            "bench", destination=dlt.destinations.postgres(urls.admin), dataset_name="bench", pipelines_dir=pipelines
        )
        started = time.monotonic()
        pipeline.run(
            [
                dlt.resource(rows(name), name=name.lower(), write_disposition="merge", primary_key="Id")
                for name in PHASES
            ]
        )
        return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="contacts")
    parser.add_argument("--no-dlt", action="store_true", help="leave dlt out")
    parser.add_argument(
        "--no-memory", action="store_true", help="leave the smaller run out that memory is compared with"
    )
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="syncline-bench-"))
    server = EmbeddedPostgres(work / "home")
    try:
        rows = options.rows
        print(f"writing files for {rows} contacts …", flush=True)
        data.write(work / "big", rows, max(1, rows // 5), rows * 3 // 10)
        small_mib = None
        if not options.no_memory:
            data.write(work / "small", rows // 10, max(1, rows // 50), rows * 3 // 100)
            small_mib = _run_ours(server, "bench_small", work / "small", rows // 10)[2]
        urls, (first, second), mib = _run_ours(server, "bench_ours", work / "big", rows)
        listed = rows + rows // 5 + rows * 3 // 10
        print(f"ours {first:.1f} s, again {second:.1f} s, peak {mib:.0f} MiB", flush=True)
        copy_s, copied = _copy(server, urls, work)
        print(f"copy {copy_s:.1f} s for {copied} records", flush=True)
        dlt_s = None if options.no_dlt else _dlt(server, work / "big")
        print(f"dlt {dlt_s} s", flush=True)
        print(
            json.dumps(
                {
                    "rows": rows,
                    "records_per_s": round(listed / first),
                    "ratio_copy": round((listed / first) / (copied / copy_s), 3),
                    "ratio_dlt": None if dlt_s is None else round(dlt_s / first, 2),
                    "rss_growth": None if small_mib is None else round(mib / small_mib - 1, 3),
                    "rerun_ratio": round(second / first, 3),
                    "seconds": round(first, 1),
                    "copy_seconds": round(copy_s, 1),
                    "peak_mib": round(mib),
                }
            )
        )
    finally:
        server.destroy()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
