"""How much a second run costs in which every record changed, as a ratio to the first one.

    python -m benchmarks.changes --rows 50000

For N contacts (N/5 accounts, 3N/10 opportunities) on one embedded PostgreSQL: the first run creates them, the second one
finds an industry, a title or an amount changed in every record. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks import data, load
from storage.embedded import EmbeddedPostgres

CHANGED = {"Account": "Industry", "Contact": "Title", "Opportunity": "Type"}


def change(folder: Path, word: str) -> None:
    """Write ``word`` into one field of every record."""
    for name, field in CHANGED.items():
        path = folder / f"{name}.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, rows[0])
            out.writeheader()
            out.writerows(row | {field: word} for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="contacts")
    rows = parser.parse_args().rows
    work = Path(tempfile.mkdtemp(prefix="syncline-bench-"))
    server = EmbeddedPostgres(work / "home")
    try:
        data.write(work / "files", rows, max(1, rows // 5), rows * 3 // 10)
        urls = load.database(server, "bench_changes")
        plan = load.elsewhere(load.plan_of, work / "files", rows)
        first, _ = load.elsewhere(load.ours, urls, work / "files", plan)
        change(work / "files", "Other")
        second, _ = load.elsewhere(load.ours, urls, work / "files", plan)
        print(json.dumps({"rows": rows, "first_s": round(first, 1), "changed_ratio": round(second / first, 2)}))
    finally:
        server.destroy()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
