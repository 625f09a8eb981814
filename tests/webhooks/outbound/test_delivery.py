"""Deliveries to real endpoints: signed, retried on schedule, in order, paused, disabled and taken up again, never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from connectors.kit.outward import Poster
from domain.ids import new_id
from storage import deliveries, events, secrets, subscriptions
from storage.deliveries import Filter
from storage.events import Event
from storage.subscriptions import Subscription
from tests.webhooks.outbound.conftest import LOOPBACK, Endpoint, Hooks, hooks_of
from webhooks.outbound import schedule, signing
from webhooks.outbound.delivering import SECRET


def happen(hooks: Hooks, *messages: str, subject: UUID | None = None) -> None:
    """Have something told to everyone who listens."""
    with hooks.db.tenant(hooks.tenant_id) as conn:
        events.emit(conn, *(Event("webhook.test", {"message": m}, subject=subject) for m in messages))
    hooks.tell()


def states(hooks: Hooks, subscription: Subscription) -> list[tuple[str, int]]:
    """Status and failed attempts of every delivery, the oldest first."""
    with hooks.db.tenant(hooks.tenant_id) as conn:
        found = deliveries.list_deliveries(conn, subscription.id, Filter())
    return [(d.status, d.attempts) for d in reversed(found)]


def messages(endpoint: Endpoint) -> list[str]:
    return [e["data"]["message"] for e in endpoint.events]


def keys(hooks: Hooks, subscription: Subscription) -> list[str]:
    with hooks.db.tenant(hooks.tenant_id) as conn:
        return [s[SECRET] for s in secrets.valid(conn, hooks.vault, subscription.id, now=hooks.clock())]


def test_a_delivery_is_signed_so_that_the_public_library_verifies_it(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "hello")
    assert hooks.send(subscription) == 1
    (got,) = endpoint.received
    verified = Webhook(keys(hooks, subscription)[0]).verify(got.body, got.headers)
    assert verified["type"] == "webhook.test"
    assert verified["id"] == got.headers["webhook-id"]
    assert (verified["tenant"], verified["version"]) == (str(hooks.tenant_id), 1)
    assert got.path == "/hook?x=1"
    assert states(hooks, subscription) == [("delivered", 0)]


def test_while_a_secret_is_replaced_either_one_verifies(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    (old,) = keys(hooks, subscription)
    new = signing.new_secret()
    with hooks.db.tenant(hooks.tenant_id) as conn:
        secrets.add(
            conn, hooks.vault, subscription.id, {SECRET: new}, overlap=timedelta(hours=1), now=hooks.clock()
        )  # fmt: skip
    happen(hooks, "during")
    hooks.send(subscription)
    during = endpoint.received[-1]
    for key in (old, new):
        assert Webhook(key).verify(during.body, during.headers)
    assert len(during.headers["webhook-signature"].split()) == 2
    hooks.clock.tick(3_601)
    happen(hooks, "after")
    hooks.send(subscription)
    assert len(endpoint.received[-1].headers["webhook-signature"].split()) == 1
    assert keys(hooks, subscription) == [new]


def test_failures_are_retried_exactly_on_schedule_and_then_never_again(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    endpoint.fails(100, 400)  # what was sent is refused: the endpoint itself is not left alone
    happen(hooks, "x")
    assert hooks.send(subscription) == 1
    for number, wait in enumerate(schedule.WAITS_S, 1):
        assert states(hooks, subscription) == [("pending", number)]
        hooks.clock.tick(wait - 1)
        assert hooks.send(subscription) == 0
        hooks.clock.tick(1)
        assert hooks.send(subscription) == 1
    assert states(hooks, subscription) == [("failed", len(schedule.WAITS_S) + 1)]
    assert timedelta(days=2) < timedelta(seconds=sum(schedule.WAITS_S)) <= timedelta(days=3)
    assert len({r.headers["webhook-id"] for r in endpoint.received}) == 1


def test_jitter_adds_up_to_a_tenth_and_takes_nothing_away(hooks: Hooks) -> None:
    now = hooks.clock()
    waits = [schedule.retry_at(1, now, None, jitter) for jitter in (0.0, 0.5, 1.0)]
    assert waits == [now + timedelta(seconds=s) for s in (10, 10.5, 11)]


def test_an_endpoint_that_comes_back_gets_everything(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    endpoint.fails(2)
    happen(hooks, "a", "b")
    assert hooks.send(subscription) == 2  # each its first failure, in two batches
    hooks.clock.tick(11)
    hooks.send(subscription)
    assert states(hooks, subscription) == [("delivered", 1), ("delivered", 1)]
    assert hooks.get(subscription).failing_since is None


@pytest.mark.parametrize("asked", ["3600", "date"])
def test_retry_after_is_waited_for(hooks: Hooks, endpoint: Endpoint, asked: str) -> None:
    from email.utils import format_datetime

    subscription = hooks.subscribe(endpoint.url)
    value = format_datetime(hooks.clock() + timedelta(hours=1), usegmt=True) if asked == "date" else asked
    endpoint.fails(1, 429, Retry_After=value)
    happen(hooks, "a", "b")
    hooks.send(subscription)
    hooks.clock.tick(3_590)
    assert hooks.send(subscription) == 0
    hooks.clock.tick(15)
    assert hooks.send(subscription) == 2


def test_after_five_failures_one_delivery_at_a_time_tries_whether_it_is_back(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    endpoint.fails(6, 503)
    happen(hooks, *(f"m{n}" for n in range(20)))
    hooks.send(subscription)
    assert len(endpoint.received) == schedule.TRIPS_AT
    assert hooks.send(subscription) == 0
    hooks.clock.tick(schedule.PAUSE_S + 1)
    assert hooks.send(subscription) == 1  # the probe fails, too, and the pause doubles
    hooks.clock.tick(schedule.PAUSE_S + 1)
    assert hooks.send(subscription) == 0
    hooks.clock.tick(600)
    hooks.send(subscription)
    hooks.clock.tick(3_600)
    hooks.send(subscription)
    assert {status for status, _ in states(hooks, subscription)} == {"delivered"}
    assert sorted(set(messages(endpoint))) == sorted(f"m{n}" for n in range(20))


def test_a_later_event_of_a_record_waits_for_the_earlier_one_and_others_do_not(
    hooks: Hooks, endpoint: Endpoint
) -> None:
    subscription = hooks.subscribe(endpoint.url)
    one, other = new_id(), new_id()
    endpoint.fails(1, 422)
    happen(hooks, "1", "2", "3", subject=one)
    happen(hooks, "other", subject=other)
    hooks.send(subscription)
    assert messages(endpoint) == ["1", "other"]
    hooks.clock.tick(11)
    hooks.send(subscription)
    assert messages(endpoint) == ["1", "other", "1", "2", "3"]


def test_who_does_not_ask_for_order_waits_for_nothing(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url, ordered=False)
    endpoint.fails(1, 422)
    happen(hooks, "1", "2", "3", subject=new_id())
    hooks.send(subscription)
    assert messages(endpoint) == ["1", "2", "3"]


def test_gone_disables_the_endpoint_and_tells_the_others(
    hooks: Hooks, endpoint: Endpoint, endpoints: Callable[[], Endpoint]
) -> None:
    subscription, ops = hooks.subscribe(endpoint.url, "webhook.*"), endpoints()
    hooks.subscribe(ops.url, "webhook_endpoint.*")
    endpoint.fails(1, 410)
    happen(hooks, "a")
    assert hooks.send(subscription) == 1
    assert hooks.get(subscription).status == "disabled"
    assert states(hooks, subscription) == [("pending", 1)]
    hooks.tell()
    (data,) = hooks.rows("SELECT data FROM event WHERE type = 'webhook_endpoint.disabled'")[0]
    assert data["subscription_id"] == str(subscription.id)
    assert hooks.rows("SELECT 1 FROM audit_log WHERE action = 'webhook_subscription.disable'")


def test_days_without_a_single_success_disable_the_endpoint(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    endpoint.fails(1_000)
    happen(hooks, "a")
    hooks.send(subscription)
    hooks.clock.tick(timedelta(days=5).total_seconds() - 10)
    hooks.send(subscription)
    assert hooks.get(subscription).status == "active"
    hooks.clock.tick(3_600)
    happen(hooks, "b")
    hooks.send(subscription)
    assert hooks.get(subscription).status == "disabled"


def test_what_happened_while_disabled_goes_out_in_order_when_enabled(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "0")
    with hooks.db.tenant(hooks.tenant_id) as conn:
        subscriptions.disable(conn, subscription.id, "a person did")
    subject = new_id()
    for n in range(1, 5):
        happen(hooks, str(n), subject=subject)
    assert hooks.send(subscription) == 0
    with hooks.db.tenant(hooks.tenant_id) as conn:
        subscriptions.enable(conn, subscription.id, hooks.clock())
    hooks.send(subscription)
    assert messages(endpoint) == ["0", "1", "2", "3", "4"]


def test_killed_between_sending_and_writing_down_it_is_sent_again_with_the_same_id(
    hooks: Hooks, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "once or twice")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "note", killed)
        with pytest.raises(KeyboardInterrupt):
            hooks.send(subscription)
    assert hooks.send(subscription) == 0  # the dead one's lease holds for a while
    hooks.clock.tick(3_600)
    assert hooks.send(subscription) == 1
    first, second = endpoint.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert states(hooks, subscription) == [("delivered", 0)]


def test_a_worker_taken_for_dead_does_not_count_its_failure(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "x")
    rival = hooks_of(hooks.db, hooks.tenant_id, hooks.vault, hooks.clock)

    def overtaken(_: object) -> None:
        endpoint.before = lambda _: None
        hooks.clock.tick(3_600)
        assert rival.send(subscription) == 1

    endpoint.before = overtaken
    endpoint.answers = [(204, {}, b""), (500, {}, b"late")]
    hooks.send(subscription)
    assert states(hooks, subscription) == [("delivered", 0)]
    assert hooks.get(subscription).failures == 0


def test_the_rate_of_an_endpoint_is_kept(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url, rate_per_s=3)
    happen(hooks, *(str(n) for n in range(10)))
    assert hooks.send(subscription) == 3
    hooks.clock.tick(1)
    assert hooks.send(subscription) == 3
    hooks.clock.tick(0.5)
    assert hooks.send(subscription) == 1
    hooks.clock.tick(60)
    assert hooks.send(subscription) == 3


def test_replaying_sends_the_same_event_again(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "a", "b")
    hooks.send(subscription)
    wanted = endpoint.events[0]["id"]
    with hooks.db.tenant(hooks.tenant_id) as conn:
        assert deliveries.replay(conn, subscription.id, Filter(event_id=UUID(wanted)), hooks.clock()) == 1
        assert deliveries.replay(conn, subscription.id, Filter(type="contact.created"), hooks.clock()) == 0
    hooks.send(subscription)
    assert [e["id"] for e in endpoint.events].count(wanted) == 2
    with hooks.db.tenant(hooks.tenant_id) as conn:
        assert len(deliveries.attempts(conn, subscription.id, UUID(wanted))) == 2
        assert deliveries.replay(conn, subscription.id, Filter(status="delivered"), hooks.clock()) == 2


def test_what_an_endpoint_answers_is_kept_in_short_and_redacted(hooks: Hooks, endpoint: Endpoint) -> None:
    from bootstrap.redact import redact

    hooks.deliverer._redact = redact
    subscription = hooks.subscribe(endpoint.url)
    endpoint.answers = [(500, {}, b"no entry for ada@example.com, password=hunter22 " + b"x" * 100_000)]
    happen(hooks, "a")
    hooks.send(subscription)
    (row,) = hooks.rows("SELECT http_status, excerpt FROM webhook_attempt")
    assert row.http_status == 500
    assert len(row.excerpt) <= 1_000
    assert "ada@" not in row.excerpt
    assert "hunter22" not in row.excerpt


def test_an_endpoint_that_is_removed_takes_its_deliveries_and_secrets_with_it(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "a")
    hooks.send(subscription)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        subscriptions.remove(conn, subscription.id)
    for table in ("webhook_delivery", "webhook_attempt", "secret"):
        assert hooks.rows(f"SELECT 1 FROM {table}") == []  # noqa: S608
    assert hooks.send(subscription) == 0


def test_old_deliveries_expire_and_go_with_their_events(hooks: Hooks, endpoint: Endpoint) -> None:
    subscription = hooks.subscribe(endpoint.url)
    happen(hooks, "sent")
    hooks.send(subscription)
    happen(hooks, "waiting")
    later = hooks.clock() + timedelta(days=31)
    with hooks.db.tenant(hooks.tenant_id) as conn:
        deliveries.expire(conn, later, later)
        assert deliveries.counts(conn, subscription.id) == {"delivered": 1, "expired": 1}
        deliveries.purge(conn, later + timedelta(days=1))
        events.purge(conn, later)
        assert deliveries.counts(conn, subscription.id) == {}
    assert hooks.rows("SELECT 1 FROM event") == []


def test_nothing_that_an_endpoint_does_is_raised(hooks: Hooks) -> None:
    subscription = hooks.subscribe("http://127.0.0.1:9/nobody-listens")
    hooks.deliverer._poster = Poster(LOOPBACK, total_s=1.0)
    happen(hooks, "a")
    hooks.send(subscription)
    assert hooks.rows("SELECT http_status, error FROM webhook_attempt") == [(None, "no_connection")]
