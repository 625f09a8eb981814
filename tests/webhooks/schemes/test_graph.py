"""Microsoft Graph: the handshake, secrets within every notification, and signals about subscriptions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from connectors.kit.contract import Notice, Signal
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import NOW, SENDERS, graph_body, graph_item, incoming
from webhooks.inbound.contract import Refused, Reply, Verified
from webhooks.inbound.schemes import scheme

SECRETS = [{"client_state": "new"}, {"client_state": "former"}]


def verify(*items: dict[str, Any], now: Any = NOW) -> Verified:
    return scheme("graph").verify(incoming(graph_body(*items)), SECRETS, now)


def notices(*items: dict[str, Any]) -> list[Any]:
    return list(scheme("graph").notices(graph_body(*items), {}))


# ---------------------------------------------------------------- handshake


def handshake(query: str) -> Reply | None:
    return scheme("graph").handshake(incoming(query=query), [], NOW)


def test_the_token_is_repeated_as_plain_text() -> None:
    token = "Validation: Testing client application reachability for subscription Request-Id: 3e8a4b0c"
    assert handshake(f"a=b&validationToken={quote(token)}") == Reply(200, "text/plain; charset=utf-8", token.encode())


@pytest.mark.parametrize("token", ["<script>alert(1)</script>", "\"><img src=x onerror='alert(1)'>", "a&b"])
def test_a_page_in_the_token_is_no_page_in_the_reply(token: str) -> None:
    reply = handshake(f"validationToken={quote(token)}")
    assert reply is not None
    assert reply.content_type.startswith("text/plain")
    assert not set(b"<>\"'") & set(reply.body)


@pytest.mark.parametrize(
    "query",
    ["validationToken=", "validationToken=a&validationToken=b", "validationToken=a%0d%0aSet-Cookie:x", "validationToken=%00",
     "validationToken=" + "x" * 5_000],
)  # fmt: skip
def test_a_token_that_cannot_be_one_is_refused(query: str) -> None:
    with pytest.raises(Refused) as caught:
        handshake(query)
    assert (caught.value.code, caught.value.status) == ("webhook_handshake_invalid", 400)


def test_a_delivery_is_no_handshake() -> None:
    assert handshake("a=b") is None
    assert handshake("") is None
    assert handshake("&".join(["validationToken=x"] * 2_000)) is None


# ---------------------------------------------------------------- secrets


def test_every_notification_of_a_batch_has_to_repeat_a_secret() -> None:
    assert verify(graph_item("new"), graph_item("former", subscriptionId="another"))


@pytest.mark.parametrize("state", ["", "ne", "new ", "NEW", None, 1, ["new"]])
def test_one_wrong_secret_in_a_batch_refuses_all_of_it(state: Any) -> None:
    with pytest.raises(Refused) as caught:
        verify(graph_item("new"), {**graph_item("x"), "clientState": state})
    assert caught.value.code == "webhook_credentials_wrong"


def test_an_empty_batch_proves_nothing() -> None:
    with pytest.raises(Refused):
        verify()


# ---------------------------------------------------------------- identity


def test_a_batch_is_the_same_in_any_order() -> None:
    one, two = graph_item("new", id="1"), graph_item("new", id="2")
    assert verify(one, two) == verify(two, one) != verify(one)


@pytest.mark.parametrize("other", [{"id": "2"}, {"changeType": "updated"}, {"resource": "Users/x/Messages/2"}])
def test_other_notifications_have_other_keys(other: dict[str, Any]) -> None:
    assert verify(graph_item("new")) != verify(graph_item("new", **other))


def test_two_changes_that_look_alike_are_never_taken_for_one() -> None:
    """Without an id or a version, the second of two changes is the first one's twin: dropping it would lose it."""
    bare = graph_item("new", id=None, resourceData={"id": "AAMkAGI1"})
    assert verify(bare) != verify(bare, now=NOW + timedelta(milliseconds=1))
    assert notices(bare)[0].dedupe_key is None


# ---------------------------------------------------------------- notices


def test_a_notification_names_subscription_collection_and_record() -> None:
    [notice] = notices(graph_item("new"))
    assert (notice.object, notice.vendor_id, notice.account) == (
        "messages",
        "AAMkAGI1",
        "7f105c7d-2dc5-4530-97cd-4e7ae6534c07",
    )
    assert not notice.deleted


@pytest.mark.parametrize(
    ("resource", "collection", "vendor_id"),
    [
        ("users/a@t/events/AAMk=", "events", "AAMk="),
        ("Users('8e6f')/Messages('AAMk')", "messages", "AAMk"),
        ("/me/contacts/AAMk/", "contacts", "AAMk"),
        ("communications", "", "communications"),
    ],
)
def test_resources_are_read_in_every_way_of_writing(resource: str, collection: str, vendor_id: str) -> None:
    [notice] = notices(graph_item("new", resource=resource, resourceData=None))
    assert (notice.object, notice.vendor_id) == (collection, vendor_id)


def test_a_deletion_is_told() -> None:
    assert notices(graph_item("new", changeType="deleted"))[0].deleted


@pytest.mark.parametrize(
    ("event", "signal"),
    [
        ("reauthorizationRequired", Signal.REAUTHORIZE),
        ("subscriptionRemoved", Signal.REMOVED),
        ("missed", Signal.MISSED),
        ("somethingNew", Signal.MISSED),
    ],
)
def test_lifecycle_notifications_are_signals_about_the_subscription(event: str, signal: Signal) -> None:
    item = graph_item("new", id=None, resourceData=None, resource=None, changeType=None, lifecycleEvent=event)
    assert verify(item)
    [notice] = notices(item)
    assert (notice.object, notice.vendor_id, notice.signal) == ("subscription", item["subscriptionId"], signal)


def test_a_notification_that_cannot_be_understood_does_not_hold_up_the_others() -> None:
    found = notices(graph_item("new", resource=None), graph_item("new"))
    assert [type(item) for item in found] == [RecordRejectedError, Notice]


def test_the_reply_says_accepted() -> None:
    assert scheme("graph").reply(SENDERS["graph"].request()).status == 202


def test_a_handshake_is_answered_to_post_only() -> None:
    with pytest.raises(Refused) as caught:
        scheme("graph").handshake(replace(incoming(query="validationToken=x"), method="GET"), [], NOW)
    assert caught.value.status == 405
