"""What reading costs at the API when a tenant has a million contacts, each call beside a plain `SELECT` by primary key.

    python -m benchmarks.api --rows 1000000                 (make bench-api ROWS=1000000)

One `syncline api` process on an embedded PostgreSQL, one caller with a keep-alive connection who asks one thing after another;
every call has its own record, page or word. The plain `SELECT` is prepared, on a connection of its own, between the calls, so that
both see the same server in the same state. The last line is JSON: milliseconds at the median and the 95th percentile, the ratio of
the medians, and the processor time that a call costs the API's process, which a busy machine distorts least.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

import psutil
import psycopg

from api.paging import encode
from benchmarks import api_data
from benchmarks.api_data import contact_id
from benchmarks.hub import machine
from benchmarks.intake.contenders import free_port, serving, spent_s
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from storage import api_keys

TENANT: Final = UUID("0192d3a0-0000-7000-8000-0000000000a1")
PAGE: Final = 100
_SELECT: Final = "SELECT * FROM crm_contact WHERE tenant_id = %s AND id = %s"
Ask = Callable[[int], str]
"""The path of a call about contact number n."""


@dataclass(frozen=True)
class Took:
    """Milliseconds of a kind of call, and of the plain `SELECT` beside it."""

    name: str
    p50_ms: float
    p95_ms: float
    select_p50_ms: float
    server_ms: float

    @property
    def ratio(self) -> float:
        return self.p50_ms / self.select_p50_ms

    def __str__(self) -> str:
        return (
            f"{self.name:18} p50 {self.p50_ms:8.2f} ms   p95 {self.p95_ms:8.2f} ms"
            f"   SELECT {self.select_p50_ms:6.3f} ms   ratio {self.ratio:7.1f}"
            f"   processor {self.server_ms:6.2f} ms"
        )


class Caller:
    """A caller with a key, on one keep-alive connection. The one who made it closes it."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}"}

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return json.loads(body)


def listing(caller: Caller, rows: int, order: str) -> tuple[str, str]:
    """Paths of the first page and of the one behind the contact in the middle."""
    middle = caller.get(f"/v1/records/contact/{contact_id(rows // 2)}")
    cursor = encode([middle["updated_at"] if order == "updated" else None, middle["id"]])
    first = f"/v1/records/contact?{urlencode({'limit': PAGE, 'order': order})}"
    return first, f"{first}&cursor={cursor}"


def questions(caller: Caller, rows: int, feed: str) -> dict[str, Ask]:
    """Each kind of call, by what it asks for about contact n."""
    by_id, deep = listing(caller, rows, "id")
    by_change, deep_change = listing(caller, rows, "updated")

    def about(path: str) -> Ask:
        return lambda n: f"/v1/records/contact/{contact_id(n)}{path}"

    def search(word: str) -> Ask:
        return lambda n: f"/v1/records/contact/search?q={quote(word.format(n=n, last=n % api_data.LAST_NAMES))}"

    return {
        "list": lambda _: by_id,
        "list deep": lambda _: deep,
        "list by change": lambda _: by_change,
        "list by change deep": lambda _: deep_change,
        "filter by e-mail": lambda n: f"/v1/records/contact?email=contact{n}@example.com",
        "filter by name": lambda n: f"/v1/records/contact?last_name=Last{n % api_data.LAST_NAMES}",
        "search by name": search("Last{last}"),
        "search by e-mail": search("contact{n}@"),
        "get": about(""),
        "history": about("/history"),
        "change feed": lambda _: feed,
    }


def prepare(hub: Hub, rows: int) -> str:
    """The tenant's data; returns a key that may read it."""
    api_data.fill_in_parts(hub.db, TENANT, rows)
    with psycopg.connect(hub.urls.admin, autocommit=True) as admin:
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")
    with hub.db.tenant(TENANT) as conn:
        return api_keys.create(conn, name="bench", role="tenant_admin", created_by="bench")[1]


def measure(
    caller: Caller, plain: psycopg.Connection[Any], server: psutil.Process, name: str, ask: Ask, rows: int, calls: int
) -> Took:
    """So many calls about contacts drawn at random, a plain `SELECT` of the same contact after each."""
    drawn = random.Random(1)
    took: list[float] = []
    selects: list[float] = []
    spent = 0.0
    for number in range(-max(3, calls // 10), calls):  # what comes before 0 warms up
        if number == 0:
            spent = spent_s(server)
        about = drawn.randrange(rows)
        began = time.perf_counter()
        caller.get(ask(about))
        middle = time.perf_counter()
        plain.execute(_SELECT, (TENANT, contact_id(about)), prepare=True).fetchone()
        if number >= 0:
            took.append(middle - began)
            selects.append(time.perf_counter() - middle)
    return Took(
        name,
        1_000 * statistics.median(took),
        1_000 * statistics.quantiles(took, n=20)[-1],
        1_000 * statistics.median(selects),
        1_000 * (spent_s(server) - spent) / calls,
    )


def run(work: Path, rows: int, calls: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Everything, in the empty folder ``work``."""
    home = work / "home"
    hub = Hub(Settings(home=home, tenant=TENANT), pool_size=2)
    try:
        began = time.monotonic()
        key = prepare(hub, rows)
        say(f"{rows} contacts with {api_data.CHANGES_EACH} changes each, filled in {time.monotonic() - began:.0f} s")
        port = free_port()
        environment = {
            "SYNCLINE_HOME": str(home),
            "SYNCLINE_API_PORT": str(port),
            "SYNCLINE_TENANT": str(TENANT),
            "SYNCLINE_CALLS_PER_MINUTE": "1000000",
        }
        with (
            serving(["-m", "cli.main", "api"], port, environment) as server,
            psycopg.connect(hub.urls.admin, autocommit=True) as plain,
            closing(Caller(port, key)) as caller,
        ):
            feed = caller.get(f"/v1/changes?limit={PAGE}")["next"]
            found = []
            for name, ask in questions(caller, rows, f"/v1/changes?limit={PAGE}&cursor={quote(feed)}").items():
                found.append(measure(caller, plain, server, name, ask, rows, calls))
                say(str(found[-1]))
    finally:
        hub.close()
        hub.server.stop()
    return {
        "rows": rows,
        "calls": calls,
        "reads": {
            took.name: {
                "p50_ms": round(took.p50_ms, 2),
                "p95_ms": round(took.p95_ms, 2),
                "ratio_select": round(took.ratio, 1),
                "server_ms": round(took.server_ms, 2),
            }
            for took in found
        },
        "select_p50_ms": round(statistics.median(took.select_p50_ms for took in found), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="contacts of the tenant")
    parser.add_argument("--calls", type=int, default=200, help="measured calls of each kind")
    given = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        Path(folder).chmod(0o711)
        print(json.dumps(run(Path(folder), given.rows, given.calls)))


if __name__ == "__main__":
    main()
