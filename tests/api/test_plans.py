"""No route that reads goes through a whole table: PostgreSQL says how it ran each statement, and what it had to look at.

Two tenants have as much as each other. `EXPLAIN ANALYZE` runs every statement of a call once more, with its own values: nothing
is read from a large table in sequence, and a page looks at a few times the rows that it shows, whatever else the tenant has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text

from api.app import create_app
from api.paging import encode
from benchmarks import api_data
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.entities import ENTITIES
from storage import api_keys, browsing, inbound_endpoints, subscriptions
from storage.database import Connection
from storage.embedded import ServerUrls
from tests.conftest import new_tenant
from tests.support import server

ROWS = 8_000
LOOKED_AT_MOST = 800
"""Rows that one statement may look at: a tenth of what the tenant has, and enough for a page of 100 and its joins."""
RARE = 20
BEGAN = datetime.now(UTC)
LARGE = frozenset(
    (
        "crm_contact",
        "change",
        "field_history",
        "dead_letter",
        "inbox",
        "event",
        "webhook_delivery",
        "webhook_attempt",
        "conflict",
        "audit_log",
        "job",
    )
)
CONNECTION = UUID("0192d3a0-0000-7000-8000-0000000000c1")
RUN = UUID("0192d3a0-0000-7000-8000-0000000000c2")

# A value is rare when only one row in `ROWS / RARE` has it.
_FILL = {
    "dead_letter": """
        INSERT INTO dead_letter (tenant_id, id, connection_id, run_id, object, vendor_id, entity, entity_id, stage, code, message,
            fingerprint, fault, status, key, first_at, last_at)
        SELECT :t, uuidv7(), CASE WHEN n % :every = 1 THEN CAST(:c AS uuid) END, CASE WHEN n % :every = 1 THEN CAST(:r AS uuid) END,
            CASE WHEN n % :every = 1 THEN 'Rare' ELSE 'Contact' END, 'v' || n, 'contact', CAST(lpad(to_hex(n), 12, '0')
            || '70008000000000000000' AS uuid), CASE WHEN n % :every = 1 THEN 'push' ELSE 'map' END,
            CASE WHEN n % :every = 1 THEN 'bug' ELSE 'value_not_valid' END, 'It failed.',
            CASE WHEN n % :every = 1 THEN 'few' ELSE 'f' || n % 7 END, CASE WHEN n % :every = 1 THEN 'ours' ELSE 'data' END,
            CASE WHEN n % 2 = 0 THEN 'open' WHEN n % :every = 1 THEN 'open' ELSE 'resolved' END, 'k' || n,
            CAST(:began AS timestamptz) - (:rows - n) * :second, CAST(:began AS timestamptz) - (:rows - n) * :second
        FROM generate_series(1, :rows) n""",
    "inbox": """
        INSERT INTO inbox (tenant_id, id, endpoint_id, dedupe_key, body, status, outcome)
        SELECT :t, uuidv7(), CASE WHEN n <= :rare THEN CAST(:few AS uuid) ELSE CAST(:many AS uuid) END, 'id:' || n, 'x',
            CASE WHEN n <= :rare OR n > :rows - 5 THEN 'pending' ELSE 'done' END,
            CASE WHEN n <= :rare OR n > :rows - 5 THEN NULL WHEN n <= 2 * :rare THEN 'dead' ELSE 'applied' END
        FROM generate_series(1, :rows) n""",
    "event": "INSERT INTO event (tenant_id, id, type, data) SELECT :t, CAST(lpad(to_hex(n), 12, '0')"
    " || '70008000000000000000' AS uuid), CASE WHEN n <= :rare THEN 'sync.failed' ELSE 'record.updated' END, '{}'"
    " FROM generate_series(1, :rows) n",
    "webhook_delivery": """
        INSERT INTO webhook_delivery (tenant_id, subscription_id, event_id, type, status, created_at)
        SELECT :t, :s, CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid),
            CASE WHEN n <= :rare THEN 'sync.failed' ELSE 'record.updated' END,
            CASE WHEN n <= :rare THEN 'failed' ELSE 'delivered' END, CAST(:began AS timestamptz) - (:rows - n) * :second
        FROM generate_series(1, :rows) n""",
    "webhook_attempt": "INSERT INTO webhook_attempt (tenant_id, id, subscription_id, event_id, at, ms) SELECT :t, uuidv7(), :s,"
    " CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), now(), 7 FROM generate_series(1, :rows) n",
    "conflict": """
        INSERT INTO conflict (tenant_id, id, connection_id, object, entity, entity_id, vendor_id, field, status, rule, opened_at)
        SELECT :t, uuidv7(), CASE WHEN n <= :rare THEN CAST(:c AS uuid) ELSE gen_random_uuid() END, 'Contact', 'contact',
            CAST(lpad(to_hex(n), 12, '0') || '70008000000000000000' AS uuid), 'v' || n, 'title',
            CASE WHEN n <= :rare THEN 'open' ELSE 'settled' END, 'newest', CAST(:began AS timestamptz) - (:rows - n) * :second
        FROM generate_series(1, :rows) n""",
    "audit_log": """
        INSERT INTO audit_log (tenant_id, seq, at, actor_kind, actor, action, target_kind, target_id, previous, hash)
        SELECT :t, n, CAST(:began AS timestamptz) - (:rows - n) * :second, 'key', CASE WHEN n <= :rare THEN 'Ada' ELSE 'Bo' END,
            CASE WHEN n <= :rare THEN 'record.delete' ELSE 'record.update' END,
            CASE WHEN n <= :rare THEN 'key' ELSE 'contact' END, 'c' || n, 'x', 'x'
        FROM generate_series(1, :rows) n""",
    "job": """
        INSERT INTO job (tenant_id, id, kind, params, status, created_by)
        SELECT :t, uuidv7(), CASE WHEN n <= :rare THEN 'replay' ELSE 'export' END, '{}',
            CASE WHEN n <= :rare THEN 'failed' ELSE 'done' END, '{"kind": "system", "id": "tests"}'
        FROM generate_series(1, :rows) n""",
}


class World:
    """A tenant with a lot of everything, beside another one; and a client that may read all of it."""

    def __init__(self, hub: Hub, admin: str) -> None:
        self.hub, self.db = hub, hub.db
        self.tenant, self.few, self.many, self.subscription = self._tenant()
        self._tenant()
        with psycopg.connect(admin, autocommit=True) as owner:
            owner.execute("VACUUM ANALYZE")
        with self.db.tenant(self.tenant) as conn:
            _, secret = api_keys.create(conn, name="reader", role="tenant_admin", created_by="tests")
        self.client = TestClient(create_app(hub), headers={"Authorization": f"Bearer {secret}"})

    def _tenant(self) -> tuple[UUID, UUID, UUID, UUID]:
        tenant = new_tenant(self.db)
        with self.db.tenant(tenant) as conn:
            few = inbound_endpoints.create(conn, name="few", scheme="generic", settings={"proof": {"kind": "api_key"}})
            many = inbound_endpoints.create(
                conn, name="many", scheme="generic", settings={"proof": {"kind": "api_key"}}
            )
            heard = _subscribe(conn)
            names = {"t": tenant, "rows": ROWS, "c": CONNECTION, "r": RUN, "few": few.id, "many": many.id, "s": heard}
            names |= {"rare": RARE, "every": ROWS // RARE, "began": BEGAN, "second": timedelta(seconds=1)}
            for statement in _FILL.values():
                conn.execute(text(statement), names)
        api_data.fill_in_parts(self.db, tenant, ROWS, 500)
        return tenant, few.id, many.id, heard


def _subscribe(conn: Connection) -> UUID:
    return subscriptions.create(
        conn, created_by="tests", name="listener", url="https://hooks.example/in", types=["record.updated"]
    ).id


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    urls: ServerUrls = server.new_database("plans")
    hub = Hub(Settings(home=tmp_path_factory.mktemp("home"), DATABASE_URL=urls.app), pool_size=4)  # type: ignore[arg-type, call-arg]
    yield World(hub, urls.admin)
    hub.close()
    server.drop_database(urls)


@contextmanager
def explained() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Every reading statement that runs meanwhile, with what PostgreSQL says of how it ran it."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def after(conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "WITH")) or "set_config" in statement:
            return
        with conn.connection.driver_connection.cursor() as asking:
            asking.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            seen.append((statement, asking.fetchone()[0][0]["Plan"]))

    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield seen
    finally:
        event.remove(Engine, "after_cursor_execute", after)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def table_of(node: dict[str, Any]) -> str:
    """The table that a node reads, a partition under the name of its whole; "" for a node that reads none."""
    name = str(node.get("Relation Name", ""))
    return re.sub(r"_(y\d{4}m\d{2}|default)$", "", name)


def looked_at(plan: dict[str, Any]) -> float:
    """Rows of large tables that were fetched, those included that a condition threw away."""
    return sum(fetched(node) for node in nodes(plan) if table_of(node) in LARGE)


def fetched(node: dict[str, Any]) -> float:
    thrown = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + thrown) * node["Actual Loops"])


def judge(seen: list[tuple[str, dict[str, Any]]]) -> None:
    assert seen, "no statement was seen"
    for statement, plan in seen:
        for node in nodes(plan):
            in_sequence = node["Node Type"].endswith("Seq Scan") and table_of(node) in LARGE
            in_sequence = in_sequence and fetched(node) > 0  # a partition of another month is empty
            assert not in_sequence, f"{table_of(node)} is read in sequence:\n{statement}"
        assert looked_at(plan) <= LOOKED_AT_MOST, f"{looked_at(plan):.0f} rows for a page:\n{statement}\n{plan}"


def called(world: World, path: str, **query: Any) -> Any:
    """Call a route and judge every statement that it runs; returns its JSON."""
    asked = {name: str(value) for name, value in query.items()}
    with explained() as seen:
        answer = world.client.get(f"/v1{path}?{urlencode(asked)}")
    assert answer.status_code == 200, answer.text
    judge(seen)
    return answer.json()


CONTACT = api_data.contact_id(ROWS // 2)
_VALUES = {"email": "contact77@example.com", "phone": "+14155550077", "last_name": "Last77"}
_MOMENT = "2020-01-01T00:00:00+00:00"


def moment(row: int) -> str:
    """When the row with this number came: one a second, the last of them when the test began."""
    return (BEGAN - timedelta(seconds=ROWS - row)).isoformat()


def window(first: int, last: int) -> dict[str, str]:
    return {"since": moment(first), "until": moment(last)}


NARROW = {
    "the first": {"until": moment(60)}, "the last": {"since": moment(ROWS - 60)}, "the middle": window(ROWS // 2, ROWS // 2 + 60),
}  # fmt: skip
"""A minute's rows."""
WIDE = {
    "since": {"since": moment(ROWS // 2)},
    "until": {"until": moment(ROWS // 2)},
    "both": window(ROWS // 4, 3 * ROWS // 4),
}
"""Far more rows than a page has, and as many outside."""


def of_a_filter(name: str) -> str:
    return _VALUES.get(name, str(CONTACT))


@pytest.mark.parametrize("order", ["id", "updated"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_page_of_records_costs_a_page_wherever_it_stands(world: World, order: str, deep: bool) -> None:
    if not deep:
        more: dict[str, Any] = {}
    elif order == "id":
        more = {"cursor": encode([None, CONTACT])}
    else:
        more = {"cursor": encode([_MOMENT, CONTACT])}
    assert len(called(world, "/records/contact", order=order, limit=100, **more)["items"]) == 100


def test_records_changed_since_a_moment_are_found_by_it(world: World) -> None:
    assert len(called(world, "/records/contact", updated_since=_MOMENT, limit=100)["items"]) == 100


@pytest.mark.parametrize("order", ["id", "updated"])
@pytest.mark.parametrize("name", browsing.filterable(ENTITIES["contact"]))
def test_every_filter_of_records_is_served_by_an_index(world: World, name: str, order: str) -> None:
    found = called(world, "/records/contact", order=order, **{name: of_a_filter(name)})["items"]
    assert len(found) == (1 if name in _VALUES else 0)


@pytest.mark.parametrize("sought", ["Last77", "contact77@", "+1415555007", "First7 Last77", "nobody"])
def test_a_search_looks_only_where_the_word_begins(world: World, sought: str) -> None:
    found = called(world, "/records/contact/search", q=sought)
    assert bool(found) == (sought != "nobody")


def test_one_record_and_its_history(world: World) -> None:
    assert called(world, f"/records/contact/{CONTACT}")["id"] == str(CONTACT)
    for more in ({}, {"field": "title"}, {"cursor": encode(["2100-01-01T00:00:00+00:00", CONTACT])}):
        assert len(called(world, f"/records/contact/{CONTACT}/history", **more)["items"]) == api_data.CHANGES_EACH


@pytest.mark.parametrize("records", [False, True])
def test_the_change_feed_goes_on_from_any_place(world: World, records: bool) -> None:
    """Within a window of transactions; where each begins is looked up in the index, once a window."""
    answer = world.client.get("/v1/changes?limit=100")
    told = answer.json()
    assert (len(told["items"]), told["more"]) == (100, True)
    for _ in range(3):
        told = called(world, "/changes", cursor=told["next"], limit=100, records=str(records).lower())
        assert len(told["items"]) == 100


LETTERS: list[dict[str, Any]] = [
    {},
    {"status": "all"},
    {"status": "resolved"},
    {"run_id": RUN, "status": "all"},
    {"connection_id": CONNECTION},
    {"connection_id": CONNECTION, "object": "Rare"},
    {"object": "Rare"},
    {"code": "bug"},
    {"stage": "push"},
    {"fault": "ours"},
    {"fingerprint": "few"},
    {"vendor_id": "v77", "status": "all"},
    {"entity_id": CONTACT, "status": "all"},
    {"code": "bug", "connection_id": CONNECTION, "stage": "push"},
]


@pytest.mark.parametrize("query", LETTERS, ids=lambda query: "-".join(query) or "all")
def test_dead_letters_are_found_by_whatever_they_are_looked_for_by(world: World, query: dict[str, Any]) -> None:
    assert called(world, "/dead-letters", **query)["items"]


@pytest.mark.parametrize("query", NARROW.values(), ids=NARROW)
@pytest.mark.parametrize("status", ["open", "resolved", "all"])
def test_dead_letters_of_a_minute(world: World, query: dict[str, str], status: str) -> None:
    assert 10 < len(called(world, "/dead-letters", status=status, **query)["items"]) <= 90


INBOX: list[dict[str, Any]] = [
    {},
    {"status": "pending"},
    {"status": "done"},
    {"outcome": "dead"},
    {"outcome": "applied"},
]


@pytest.mark.parametrize("endpoint", [None, "few", "many"])
@pytest.mark.parametrize("query", INBOX, ids=str)
def test_an_inbox_is_listed_by_endpoint_status_and_outcome(
    world: World, endpoint: str | None, query: dict[str, Any]
) -> None:
    more = {} if endpoint is None else {"endpoint_id": getattr(world, endpoint)}
    found = called(world, "/webhooks/inbox", **query, **more)["items"]
    assert bool(found) == (endpoint != "few" or query in ({}, {"status": "pending"}))


DELIVERIES: list[dict[str, Any]] = [
    {},
    {"status": "failed"},
    {"status": "delivered"},
    {"since": "2020-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("query", DELIVERIES, ids=str)
def test_deliveries_of_a_subscription(world: World, query: dict[str, Any]) -> None:
    path = f"/webhooks/subscriptions/{world.subscription}/deliveries"
    assert called(world, path, **query)["items"]
    assert called(world, f"{path}/{CONTACT}")


@pytest.mark.parametrize("query", (NARROW | WIDE).values(), ids=NARROW | WIDE)
@pytest.mark.parametrize("more", [{}, {"status": "delivered"}, {"type": "record.updated"}], ids=str)
def test_deliveries_of_a_window(world: World, query: dict[str, str], more: dict[str, str]) -> None:
    found = called(world, f"/webhooks/subscriptions/{world.subscription}/deliveries", **query, **more)["items"]
    assert 10 < len(found) <= 100
    times = [d["created_at"] for d in found]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    "more", [{}, {"status": "failed"}, {"until": moment(60)}], ids=["alone", "with a status", "in a window"]
)
def test_deliveries_of_a_rare_type(world: World, more: dict[str, str]) -> None:
    path = f"/webhooks/subscriptions/{world.subscription}/deliveries"
    assert len(called(world, path, type="sync.failed", **more)["items"]) == RARE
    assert called(world, path, type="record.deleted", **more)["items"] == []


def test_a_deep_page_of_deliveries_goes_on_where_the_one_before_ended(world: World) -> None:
    path = f"/webhooks/subscriptions/{world.subscription}/deliveries"
    found = called(world, path, limit=100)
    for _ in range(4):
        last, found = found["items"][-1], called(world, path, limit=100, cursor=found["next"])
        assert found["items"][0]["created_at"] < last["created_at"]


CONFLICTS: list[dict[str, Any]] = [
    {},
    {"status": "all"},
    {"status": "settled"},
    {"connection_id": CONNECTION, "status": "all"},
    {"entity_id": CONTACT, "status": "all"},
]


@pytest.mark.parametrize("query", CONFLICTS, ids=str)
def test_conflicts(world: World, query: dict[str, Any]) -> None:
    assert called(world, "/conflicts", **query)["items"]


AUDIT: list[dict[str, Any]] = [
    {},
    {"order": "oldest"},
    {"actor": "Ada"},
    {"action": "record.delete"},
    {"target_kind": "key"},
    {"target_kind": "contact", "target_id": f"c{ROWS // 2}"},
]


@pytest.mark.parametrize("query", AUDIT, ids=str)
def test_the_audit_log(world: World, query: dict[str, Any]) -> None:
    assert called(world, "/audit", **query)["items"]


@pytest.mark.parametrize("query", (NARROW | WIDE).values(), ids=NARROW | WIDE)
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("more", [{}, {"action": "record.update"}, {"actor": "Bo"}], ids=str)
def test_the_audit_log_of_a_window(world: World, query: dict[str, str], order: str, more: dict[str, str]) -> None:
    found = called(world, "/audit", order=order, limit=30, **query, **more)
    numbers = [entry["seq"] for entry in found["items"]]
    assert len(numbers) == 30
    assert numbers == sorted(numbers, reverse=order == "newest")
    after = called(world, "/audit", order=order, limit=30, cursor=found["next"], **query, **more)["items"]
    assert abs(after[0]["seq"] - numbers[-1]) == 1


@pytest.mark.parametrize("query", [{}, {"kind": "replay"}, {"status": "failed"}], ids=str)
def test_jobs(world: World, query: dict[str, Any]) -> None:
    assert called(world, "/jobs", **query)["items"]
