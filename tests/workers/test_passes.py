"""One pass for one hint: what it does, when it makes room, and what it leaves beside the lane."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bootstrap.metrics import LANE_ERRORS
from bootstrap.wiring import Hub
from domain.errors import ReauthRequiredError, TransientError
from storage import dead_letters, stream_runs
from storage.dead_letters import NewLetter
from tests.workers.conftest import Company, Make
from workers.actors import Hint
from workers.fairness import Kind
from workers.passes import Passes
from workers.scheduler import Scheduler


def hint(company: Company, **changes: Any) -> Hint:
    return replace(Hint(*_key(company)), **changes)


def _key(company: Company) -> tuple[Any, Any, str]:
    return company.lane.tenant_id, company.lane.connection_id, company.lane.object


@pytest.fixture
def passes(hub: Hub) -> Any:
    made = Passes(hub, jitter=lambda: 1.0)
    yield made
    made.close()


def test_a_pass_reads_everything_and_is_noted(company: Make, passes: Passes) -> None:
    a = company(pages=3)
    passes.run_lane(hint(a))
    assert a.contacts() == 3
    assert passes.counts["passes"] == 1
    assert a.get("polled_at") is not None
    assert a.get("lease_owner") is None


def test_a_hint_that_somebody_followed_already_is_dropped(company: Make, passes: Passes) -> None:
    a = company()
    passes.run_lane(hint(a, generation=a.get("generation")))
    assert passes.counts["passes"] == 1
    passes.run_lane(hint(a, generation=0))
    assert passes.counts["seen to"] == 1
    assert a.remote.asked == ["page 0"]


def test_a_lane_that_is_not_kept_in_step_any_more_is_left_alone(company: Make, passes: Passes) -> None:
    a = company()
    passes.run_lane(hint(a, object="Ghost"))
    assert passes.counts == {"seen to": 1}
    assert a.remote.asked == []


def test_without_polling_only_notices_are_answered(company: Make, passes: Passes) -> None:
    a = company(pages=3)
    a.notice()
    passes.run_lane(hint(a, poll=False, kind=Kind.NOTICE))
    assert a.remote.asked == ["fetch"]
    assert a.get("polled_at") is None


def test_a_pass_makes_room_for_what_is_more_urgent_and_goes_on_later(company: Make, passes: Passes) -> None:
    a = company(pages=5)
    asked = []
    passes.after_pass = asked.append
    passes.more_urgent = lambda priority: priority == Kind.BACKFILL.urgency and len(a.remote.asked) == 2
    passes.run_lane(hint(a, kind=Kind.BACKFILL))
    assert a.remote.asked == ["page 0", "page 1"]
    assert asked == [a.lane.tenant_id]
    assert (a.get("verified_at"), a.get("polled_at"), a.get("lease_owner")) == (None, None, None)
    passes.run_lane(hint(a, kind=Kind.BACKFILL))
    assert a.remote.asked == [f"page {n}" for n in range(5)]
    assert a.contacts() == 5
    assert a.get("verified_at") is not None


def test_a_pass_ends_when_its_time_is_up(company: Make, hub: Hub) -> None:
    a = company(pages=5)
    other = Hub(hub.settings.model_copy(update={"slice_s": 0.0}))
    passes = Passes(other)
    passes.run_lane(hint(a))
    passes.close()
    other.close()
    assert a.remote.asked == ["page 0"]


def test_a_worker_that_stops_takes_nothing_new_and_ends_after_the_page(company: Make, passes: Passes) -> None:
    a = company(pages=5)
    a.remote.on_page = lambda number: passes.stopping.set() if number == 1 else None
    passes.run_lane(hint(a))
    assert a.remote.asked == ["page 0", "page 1"]
    assert a.contacts() == 2
    assert a.get("lease_owner") is None
    passes.run_lane(hint(a))
    assert len(a.remote.asked) == 2


def test_a_comparison_in_full_comes_when_its_time_has_come_and_finds_what_nobody_told(
    company: Make, hub: Hub, passes: Passes
) -> None:
    a = company(pages=3)
    passes.run_lane(hint(a))
    told: list[Hint] = []
    scheduler = Scheduler(hub, told.append)
    assert scheduler.sweep() == 0
    a.remote.gone.add(1)  # deleted, and the vendor's listing of changes says nothing of it
    a.set(compare_at=datetime.now(UTC) - timedelta(seconds=1))
    assert scheduler.sweep() == 1
    assert (told[0].kind, told[0].compare) == (Kind.BACKFILL, True)
    passes.run_lane(told[0])
    assert a.remote.asked[3:] == ["versions", "versions", "fetch"]
    assert a.contacts() == 2
    assert a.get("compare_at") > datetime.now(UTC) + timedelta(hours=23)
    assert scheduler.sweep() == 0


def test_a_lease_that_was_renewed_is_given_back(company: Make, hub: Hub) -> None:
    a = company(pages=3)
    now = [datetime(2026, 3, 1, tzinfo=UTC)]

    def a_while(_number: int) -> None:
        now[0] += timedelta(seconds=hub.settings.lease_s * 0.7)

    a.remote.on_page = a_while
    passes = Passes(hub, clock=lambda: now[0])
    passes.run_lane(hint(a))
    passes.close()
    assert passes.counts == {"passes": 1}
    assert a.get("generation") > 1
    assert a.get("lease_owner") is None


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    ("error", "failures", "delays_s"),
    [
        (TransientError("Down."), 1, (5.0, 10.0)),
        (TransientError("Slow down.", retry_after_s=77.0), 1, (77.0, 77.0)),
        (RuntimeError("a bug"), 1, (5.0, 10.0)),
    ],
)
def test_a_lane_that_failed_waits_longer_each_time(
    company: Make, hub: Hub, error: Exception, failures: int, delays_s: tuple[float, float]
) -> None:
    a = company()
    a.remote.error = error
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for attempt, delay_s in enumerate(delays_s, 1):
        passes = Passes(hub, clock=lambda: now, jitter=lambda: 1.0)  # a new one: a restart forgets nothing
        passes.run_lane(hint(a))
        passes.close()
        assert a.get("failures") == attempt
        assert a.get("not_before") == now + timedelta(seconds=delay_s)
        assert a.get("lease_owner") is None
        a.set(not_before=None)
    a.remote.error = None
    passes = Passes(hub, clock=lambda: now)
    passes.run_lane(hint(a))
    passes.close()
    assert (a.get("failures"), a.get("not_before"), a.contacts()) == (0, None, 1)


def test_a_stream_that_needs_a_person_is_paused_and_its_connectors_are_closed(company: Make, passes: Passes) -> None:
    a = company()
    a.remote.error = ReauthRequiredError("Sign in again.")
    passes.run_lane(hint(a))
    assert a.get("status") == "reauth"
    assert a.get("not_before") is None
    assert a.remote.opened == 0


def test_a_zombie_is_refused_and_leaves_the_lane_to_its_successor(company: Make, hub: Hub) -> None:
    """Its lease ran out while it was held up; another worker finished meanwhile."""
    a = company(pages=3)
    zombie, successor = Passes(hub), Passes(hub)

    def held_up(number: int) -> None:
        if number == 1:
            a.remote.on_page = lambda _: None
            a.set(lease_until=datetime(2020, 1, 1, tzinfo=UTC))
            successor.run_lane(hint(a))

    a.remote.on_page = held_up
    zombie.run_lane(hint(a))
    assert zombie.counts == {"taken over": 1}
    assert successor.counts["passes"] == 1
    assert a.contacts() == 3
    assert a.stream().counts["created"] == 3
    assert [(r.status, r.stopped) for r in runs_of(a, hub)] == [("ended", None), ("ended", "taken over")]
    zombie.close()
    successor.close()


def runs_of(company: Company, hub: Hub) -> list[stream_runs.StreamRun]:
    lane = company.lane
    with hub.db.tenant(lane.tenant_id) as conn:
        return stream_runs.page(conn, lane.connection_id, lane.object, before=None, limit=10)


@pytest.mark.parametrize(
    ("error", "stopped"),
    [(ZeroDivisionError(), "broken off"), (TransientError("Away."), "retry")],
    ids=["a bug", "a failure"],
)
def test_a_pass_that_ends_in_an_error_is_noted(
    company: Make, hub: Hub, passes: Passes, error: Exception, stopped: str
) -> None:
    a = company()
    a.remote.error = error
    code = error.code if isinstance(error, TransientError) else "bug"
    counted = LANE_ERRORS.labels(*map(str, _key(a)), code)
    passes.run_lane(hint(a))
    assert [(r.status, r.stopped, r.complete) for r in runs_of(a, hub)] == [("ended", stopped, False)]
    assert counted._value.get() == 1


def test_a_pass_that_died_after_its_note_is_noted_once(company: Make, hub: Hub, passes: Passes) -> None:
    a = company()
    passes.run_lane(hint(a))
    [noted] = runs_of(a, hub)
    a.set(lease_owner=str(noted.id), lease_until=datetime(2020, 1, 1, tzinfo=UTC))
    assert runs_of(a, hub) == [noted]
    passes.run_lane(hint(a))
    assert runs_of(a, hub)[1:] == [noted]


def test_a_lane_that_somebody_holds_answers_busy(company: Make, passes: Passes) -> None:
    a = company()
    a.set(lease_owner="another", lease_until=datetime(2100, 1, 1, tzinfo=UTC))
    passes.run_lane(hint(a))
    assert passes.counts == {"busy": 1}
    assert (a.remote.asked, a.get("lease_owner")) == ([], "another")


# ---------------------------------------------------------------- what is kept open


def test_connectors_stay_open_between_passes_until_the_rules_change(company: Make, passes: Passes) -> None:
    a = company()
    passes.run_lane(hint(a))
    first = passes._here()._by_tenant[a.lane.tenant_id]
    passes.run_lane(hint(a))
    assert passes._here()._by_tenant[a.lane.tenant_id] is first
    a.set(settings='{"direction": "out"}')
    passes.run_lane(hint(a))
    assert a.remote.opened <= 1
    assert passes._here()._by_tenant.get(a.lane.tenant_id) is not first


def test_no_more_tenants_are_held_open_than_fit(company: Make, passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.passes.OPENED_MOST", 2)
    made = [company(name) for name in "abc"]
    for one in made:
        passes.run_lane(hint(one))
    assert [one.remote.opened for one in made] == [0, 1, 1]
    passes.close()
    assert [one.remote.opened for one in made] == [0, 0, 0]


def test_what_a_vendor_says_of_its_quota_is_kept(company: Make, passes: Passes) -> None:
    a = company()
    passes.run_lane(hint(a))
    opened = passes._here()._by_tenant[a.lane.tenant_id]
    opened.hub.quotas[a.lane.connection_id] = (10, 100)
    passes.run_lane(hint(a))
    with passes._hub.db.tenant(a.lane.tenant_id) as conn:
        assert conn.exec_driver_sql("SELECT quota_used, quota_limit FROM connection").one() == (10, 100)


def test_settled_letters_are_purged_after_their_time(company: Make, hub: Hub) -> None:
    a = company()
    with hub.db.tenant(a.lane.tenant_id) as conn:
        letters = [NewLetter(stage="map", code="c", message="m", vendor_id=str(n)) for n in range(2)]
        dead_letters.record(conn, a.lane.tenant_id, letters)
        first = dead_letters.list_letters(conn)[0].id
        dead_letters.resolve(conn, [first], "mended")
    later = datetime.now(UTC) + timedelta(days=hub.settings.letters_kept_days, minutes=1)
    for clock, left in ((datetime.now(UTC), 2), (later, 1)):
        Passes(hub, clock=lambda clock=clock: clock).purge(a.lane.tenant_id)  # type: ignore[misc]
        with hub.db.tenant(a.lane.tenant_id) as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM dead_letter").scalar_one() == left
