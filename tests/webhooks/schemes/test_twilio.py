"""Twilio: what a signature leaves open, and what a callback is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from defusedxml.ElementTree import fromstring

from connectors.kit.contract import Notice
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import FORM, NOW, SENDERS, TWILIO_FORM, incoming
from webhooks.inbound.contract import Incoming, Refused, Verified

SENDER, JSON = SENDERS["twilio"], SENDERS["twilio JSON"]


def verify(request: Incoming) -> Verified:
    return SENDER.scheme.verify(request, [SENDER.secrets[0]], NOW)


def code_of(request: Incoming) -> str:
    with pytest.raises(Refused) as caught:
        verify(request)
    return caught.value.code


def notices(fields: dict[str, str]) -> list[Any]:
    return list(SENDER.scheme.notices(urlencode(fields).encode(), {"content-type": FORM}))


def test_the_token_of_a_retry_is_not_what_tells_a_delivery() -> None:
    """It is not signed: whoever captured a request could send it again under another."""
    request = SENDER.request()
    tokens = [replace(request, headers={**request.headers, "i-twilio-idempotency-token": t}) for t in ("one", "two")]
    assert verify(tokens[0]) == verify(tokens[1])


def test_fields_cut_in_another_place_are_the_same_delivery() -> None:
    """Twilio signs names and values without anything between them; such a request must not count as a second one."""
    one = SENDER.request(urlencode({"MessageSid": "SM1", "Status": "x"}).encode())
    other = replace(one, body=urlencode({"Message": "SidSM1", "Status": "x"}).encode())
    assert verify(one) == verify(other)


@pytest.mark.parametrize("change", [{"MessageStatus": "sent"}, {"Body": "x"}, {"MessageSid": "SM2"}])
def test_other_fields_are_another_delivery(change: dict[str, str]) -> None:
    other = SENDER.request(urlencode(TWILIO_FORM | change).encode())
    assert verify(SENDER.request()) != verify(other)


def test_json_that_no_signature_covers_is_refused() -> None:
    bare = SENDER.request(b"")
    unsigned = replace(bare, body=b"{}", headers={**bare.headers, "content-type": "application/json"})
    assert code_of(unsigned) == "webhook_signature_wrong"


def test_a_form_passed_off_as_json_is_refused() -> None:
    request = SENDER.request()
    assert code_of(replace(request, headers={**request.headers, "content-type": "application/json"})) == (
        "webhook_signature_wrong"
    )


def test_two_digests_in_the_address_are_refused() -> None:
    request = JSON.request()
    assert code_of(replace(request, query=f"{request.query}&{request.query}")) == "webhook_signature_wrong"


def test_too_many_fields_are_refused() -> None:
    body = b"&".join(b"a=1" for _ in range(1_001))
    request = incoming(body, {"X-Twilio-Signature": "x", "Content-Type": FORM})
    assert code_of(request) == "webhook_body_not_form"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"MessageSid": "SM1", "SmsSid": "SM1"}, ("messages", "SM1")),
        ({"SmsSid": "SM1"}, ("messages", "SM1")),
        ({"CallSid": "CA1", "CallStatus": "completed"}, ("calls", "CA1")),
        ({"CallSid": "CA1", "RecordingSid": "RE1"}, ("recordings", "RE1")),
        ({"MessageSid": "SM1", "Body": "a\0b"}, ("messages", "SM1")),
    ],
)
def test_a_callback_names_the_most_particular_record(fields: dict[str, str], named: tuple[str, str]) -> None:
    [notice] = notices({"AccountSid": "AC1"} | fields)
    assert (notice.object, notice.vendor_id) == named
    assert notice.account == "AC1"


def test_a_callback_about_something_else_becomes_a_dead_letter() -> None:
    with pytest.raises(RecordRejectedError):
        notices({"AccountSid": "AC1", "WorkerSid": "WK1"})


def test_cloud_events_name_their_records() -> None:
    event = {
        "specversion": "1.0",
        "type": "com.twilio.messaging.message.delivered",
        "id": "EZ1",
        "time": "2026-03-01T11:59:00.000Z",
        "data": {"messageSid": "SM9", "accountSid": "AC9"},
    }
    body = orjson.dumps([event, {"data": {}}])
    found = list(SENDER.scheme.notices(body, {"content-type": "application/cloudevents-batch+json"}))
    assert [type(item) for item in found] == [Notice, RecordRejectedError]
    assert isinstance(found[0], Notice)
    assert (found[0].object, found[0].vendor_id, found[0].account, found[0].dedupe_key) == (
        "messages",
        "SM9",
        "AC9",
        "id:EZ1",
    )
    assert found[0].occurred_at is not None


def test_the_reply_is_empty_twiml() -> None:
    reply = SENDER.scheme.reply(SENDER.request())
    assert reply.content_type.startswith("text/xml")
    assert (fromstring(reply.body).tag, len(fromstring(reply.body))) == ("Response", 0)
