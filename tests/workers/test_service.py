"""Workers and schedulers together, on every broker there is: what is lost is told again, nobody waits behind a long read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import pytest

from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from domain.errors import ConfigurationError, TransientError
from storage import scheduling
from tests.workers import vendor
from tests.workers.conftest import Make
from workers.actors import Actors, Hint
from workers.broker import MemoryBroker, make_broker, probe
from workers.scheduler import Scheduler
from workers.service import Service

BROKERS = {
    "memory": None,
    "rabbitmq": os.environ.get("SYNCLINE_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672"),
    "redis": os.environ.get("SYNCLINE_TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
}
PATIENCE_S = 60.0


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


@pytest.fixture(params=BROKERS)
def broker_url(request: pytest.FixtureRequest) -> str | None:
    """Each broker. One that does not run is skipped, and missed in CI."""
    url = BROKERS[request.param]
    try:
        broker = make_broker(url)
        probe(broker)
        broker.close()
    except TransientError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {request.param} at {url}")
    return url


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"test-{os.getpid()}-{time.monotonic_ns()}"


@pytest.fixture
def serve(hub: Hub, prefix: str) -> Iterator[Callable[..., Service]]:
    """``serve(broker_url)``: a process of workers and scheduler in this one, stopped and swept up afterwards."""
    made: list[Service] = []

    def serve(url: str | None = None, *, start: bool = True, **changes: Any) -> Service:
        parts = {name: changes.pop(name) for name in ("works", "schedules") if name in changes}
        given = Settings(**{**hub.settings.model_dump(exclude={"database_url", "broker_url"}), **changes,
                            "DATABASE_URL": hub.settings.database_url, "BROKER_URL": url})  # fmt: skip
        other = Hub(given, pool_size=8)
        service = Service(other, prefix=prefix, **parts)
        made.append(service)
        hubs.append(other)
        if start:
            service.start()
        return service

    hubs: list[Hub] = []
    yield serve
    for service in made:
        service.stop()
    _sweep_up(made)
    for other in hubs:
        other.close()


def _sweep_up(services: list[Service]) -> None:
    for service in services:
        if isinstance(service.broker, MemoryBroker):
            continue
        broker = make_broker(service.settings.broker_url.get_secret_value())  # type: ignore[union-attr]
        for name in service.actors.queues:
            for queue in (name, f"{name}.DQ", f"{name}.XQ"):
                channel = getattr(broker, "channel", None)
                if channel is not None:
                    channel.queue_delete(queue=queue)
                else:
                    broker.client.delete(f"syncline:{queue}", f"syncline:{queue}.msgs")  # type: ignore[attr-defined]
        broker.close()


Serve = Callable[..., Service]


def test_what_is_due_is_done(company: Make, serve: Serve, broker_url: str | None) -> None:
    made = [company(name, pages=3) for name in "abc"]
    service = serve(broker_url, worker_threads=3)
    wait_until(lambda: all(a.contacts() == 3 for a in made), "three first reads")
    made[1].notice()
    wait_until(lambda: "fetch" in made[1].remote.asked, "a notice is answered")
    wait_until(lambda: service.passes.under_way == 0, "quiet")
    assert service.stop()
    assert service.passes.counts["failed"] == 0
    assert [a.remote.opened for a in made] == [0, 0, 0]


def test_a_purged_queue_loses_nothing(company: Make, serve: Serve, broker_url: str | None) -> None:
    """Every message is thrown away before a worker sees it; the sweeps after that tell the workers again."""
    a = company()
    scheduler = serve(broker_url, start=False)
    assert scheduler.scheduler.sweep() == 1
    flush(scheduler.broker)
    assert scheduler.scheduler.sweep() == 0, "told, and not yet old enough to be taken for lost"
    a.set(hinted_at=None)
    serve(broker_url)
    wait_until(lambda: a.contacts() == 1, "told again")


def flush(broker: dramatiq.Broker) -> None:
    for name in broker.get_declared_queues():
        broker.flush(name)


def test_two_schedulers_tell_a_lane_once_and_either_is_enough(
    company: Make, serve: Serve, broker_url: str | None
) -> None:
    made = [company(name) for name in "abcd"]
    if broker_url is None:  # without a broker each process hears its own scheduler alone
        services = [serve(None), serve(None)]
    else:
        services = [serve(broker_url, works=False), serve(broker_url, works=False), serve(broker_url, schedules=False)]
    wait_until(lambda: all(a.contacts() == 1 for a in made), "first reads")
    assert [a.remote.asked for a in made] == [["page 0"]] * 4
    assert sum(s.scheduler.counts["told"] for s in services) == 4
    services[0].stop()
    made[0].notice()
    wait_until(lambda: "fetch" in made[0].remote.asked, "the other scheduler goes on")


def test_a_notice_of_one_tenant_waits_for_one_page_of_another_tenants_thousand(company: Make, serve: Serve) -> None:
    """One thread, in the middle of a first read of a thousand pages."""
    long, short = company("long", pages=1000), company("short")
    short.set(verified_at="2100-01-01", compare_at="2100-01-01")
    service = serve(worker_threads=1, schedules=True, slice_s=3600.0, start=False)
    worker_queue: list[Any] = []

    def in_the_middle(number: int) -> None:
        if number == 3:
            short.notice()
            service.scheduler.sweep()
            wait_until(lambda: worker_queue[0].qsize(), "the worker hears of the notice")

    long.remote.on_page = in_the_middle
    service.start()
    assert service._worker is not None
    worker_queue.append(service._worker.work_queue)
    wait_until(lambda: "fetch" in short.remote.asked, "the notice")
    wait_until(lambda: "page 5" in long.remote.asked, "the read goes on")
    place = vendor.LOG.index("short:fetch")
    assert vendor.LOG[:place] == [f"long:page {n}" for n in range(4)]
    assert vendor.LOG[place + 1 : place + 3] == ["long:page 4", "long:page 5"]
    assert long.get("verified_at") is None


def test_no_tenant_gets_more_lanes_at_a_time_than_its_share(company: Make, hub: Hub) -> None:
    a, b = company("a"), company("b")
    with hub.db.tenant(a.lane.tenant_id) as conn:
        conn.exec_driver_sql(
            "INSERT INTO stream (tenant_id, connection_id, object, entity, settings) "
            "SELECT tenant_id, connection_id, 'Person' || n, entity, settings FROM stream, generate_series(1, 9) n"
        )
    told: list[Hint] = []
    scheduler = Scheduler(hub, told.append)
    assert scheduler.sweep() == 4
    assert [h.tenant_id for h in told[:2]] == [a.lane.tenant_id, b.lane.tenant_id]
    assert [h.tenant_id for h in told].count(a.lane.tenant_id) == hub.settings.lanes_per_tenant - 1
    assert scheduler.sweep() == 0


def test_a_broker_that_is_away_is_no_end(company: Make, hub: Hub) -> None:
    a = company()
    sent: list[Hint] = []

    def send(hint: Hint) -> None:
        if not sent:
            sent.append(hint)
            raise ConnectionRefusedError
        sent.append(hint)

    scheduler = Scheduler(hub, send)
    with pytest.raises(TransientError, match="broker"):
        scheduler.sweep()
    a.set(hinted_at=None)
    assert scheduler.sweep() == 1
    assert len(sent) == 2


def test_the_loop_outlives_a_database_that_is_away(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, calls = threading.Event(), []

    def tenants(_db: Any) -> list[Any]:
        calls.append(scheduler.trouble)
        if len(calls) == 1:
            raise TransientError("The database cannot be reached.", code="database_unavailable")
        stop.set()
        return []

    scheduler = Scheduler(hub, lambda _: None)
    monkeypatch.setattr(scheduling, "tenants", tenants)
    scheduler.run(stop)
    assert calls[:2] == ["", "database_unavailable"]
    assert scheduler.trouble == ""


def test_the_sweep_looks_at_health_once_a_minute(company: Make, hub: Hub) -> None:
    old, moment = company("old"), [datetime.now(UTC)]
    old.set(verified_at=moment[0] - hub.settings.health_target, not_before="2100-01-01")
    scheduler = Scheduler(hub, lambda _: None, clock=lambda: moment[0])
    changes = []
    for seconds in (0, 1, 58, 1, 60):
        moment[0] += timedelta(seconds=seconds)
        scheduler.sweep(old.lane.tenant_id)
        changes.append(scheduler.counts["health changes"])
    assert changes == [0, 0, 0, 1, 1]


# ---------------------------------------------------------------- stopping


def test_stopping_finishes_the_page_and_gives_the_lane_back(company: Make, serve: Serve) -> None:
    a = company(pages=1000)
    service = serve()
    wait_until(lambda: len(a.remote.asked) >= 3, "a read under way")
    assert service.stop()
    pages = len(a.remote.asked)
    assert a.contacts() == pages < 1000
    assert (a.get("lease_owner"), a.get("not_before")) == (None, None)


def test_a_batch_that_takes_too_long_is_given_back(company: Make, serve: Serve) -> None:
    a = company(pages=3)
    hanging = threading.Event()

    def hang(_number: int) -> None:
        hanging.set()
        for _ in range(6000):
            time.sleep(0.01)

    a.remote.on_page = hang
    service = serve(stop_within_s=0.2)
    assert hanging.wait(PATIENCE_S)
    began = time.monotonic()
    assert not service.stop()
    assert time.monotonic() - began < 10
    assert (a.get("lease_owner"), a.contacts()) == (None, 0)


def test_a_lease_of_a_worker_that_died_runs_out_and_another_goes_on(company: Make, serve: Serve) -> None:
    a = company(pages=2)
    a.set(lease_owner="dead", generation=7)
    with a.hub.db.tenant(a.lane.tenant_id) as conn:
        conn.exec_driver_sql("UPDATE stream SET lease_until = now() + interval '1 second'")
    began = time.monotonic()
    serve()
    wait_until(lambda: a.contacts() == 2, "the lease runs out")
    assert time.monotonic() - began > 0.5


# ---------------------------------------------------------------- brokers


@pytest.mark.parametrize(
    "url",
    ["kafka://127.0.0.1", "127.0.0.1:5672", "amqp://guest:s3cret@127.0.0.1:port", "redis://:s3cret@127.0.0.1:x/0"],
)
def test_a_broker_url_that_means_nothing_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="BROKER_URL") as caught:
        make_broker(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["amqp://guest:s3cret@127.0.0.1:1", "redis://:s3cret@127.0.0.1:1/0"])
def test_a_broker_that_does_not_answer(url: str) -> None:
    with pytest.raises(TransientError) as caught:
        probe(make_broker(url))
    assert caught.value.code == "broker_unreachable"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("parts", [{"works": False}, {"schedules": False}])
def test_without_a_broker_worker_and_scheduler_must_be_one(hub: Hub, parts: dict[str, bool]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Service(hub, **parts)
    assert caught.value.code == "no_broker"


def test_importing_and_declaring_sets_no_global_broker(hub: Hub) -> None:
    Service(hub)
    assert dramatiq.broker.global_broker is None


def test_the_memory_broker_hands_back_what_was_not_worked_on() -> None:
    broker = MemoryBroker()

    class Deaf:
        def run_lane(self, hint: Hint) -> None: ...
        def sweep(self, tenant_id: Any) -> None: ...
        def process_inbox(self, tenant_id: Any, endpoint_id: Any) -> None: ...
        def purge(self, tenant_id: Any) -> None: ...
        def tell_events(self, tenant_id: Any) -> None: ...

    actors = Actors(broker, Deaf())
    actors.send_sweep()
    consumer = broker.consume("syncline.jobs")
    message = next(consumer)
    assert message is not None
    assert next(broker.consume("syncline.jobs", timeout=1)) is None
    consumer.requeue([message])
    assert next(broker.consume("syncline.jobs", timeout=1)) is not None
    broker.flush_all()
    assert next(broker.consume("syncline.jobs", timeout=1)) is None
