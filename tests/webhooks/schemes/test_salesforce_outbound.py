"""Salesforce's outbound messages: whose they are, what they name, and XML that wants to do harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from connectors.kit.contract import Notice
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import NOW, ORGANIZATION, PATH, SENDERS, outbound_message
from webhooks.inbound.contract import Incoming, Refused, Verified
from webhooks.inbound.schemes import scheme

SENDER = SENDERS["salesforce_outbound"]
FIRST = ("04l7F000008aeAyQAI", "Opportunity", "0067F000003pmdWQAQ")
SECOND = ("04l7F000008aeAzQAI", "Car__c", "a007F000003pmdWQAQ")


def verify(request: Incoming, organization: str = ORGANIZATION) -> Verified:
    return scheme("salesforce_outbound", {"organization_id": organization}).verify(request, [SENDER.secrets[0]], NOW)


def code_of(request: Incoming, organization: str = ORGANIZATION) -> str:
    with pytest.raises(Refused) as caught:
        verify(request, organization)
    return caught.value.code


def notices(body: bytes) -> list[Any]:
    return list(SENDER.scheme.notices(body, {}))


def test_every_notification_names_its_record() -> None:
    first, second = notices(outbound_message(FIRST, SECOND))
    assert (first.object, first.vendor_id, first.account) == ("Opportunity", "0067F000003pmdWQAQ", ORGANIZATION)
    assert (second.object, second.vendor_id) == ("Car__c", "a007F000003pmdWQAQ")
    assert first.dedupe_key != second.dedupe_key


def test_notifications_dealt_out_anew_are_the_same_ones() -> None:
    assert notices(outbound_message(SECOND))[0].dedupe_key == notices(outbound_message(FIRST, SECOND))[1].dedupe_key


def test_a_message_is_the_same_in_any_order() -> None:
    keys = {verify(SENDER.request(outbound_message(*order))).dedupe_key for order in ((FIRST, SECOND), (SECOND, FIRST))}
    assert len(keys) == 1
    assert verify(SENDER.request(outbound_message(FIRST))).dedupe_key not in keys


@pytest.mark.parametrize("expected", [ORGANIZATION, ORGANIZATION[:15]])
def test_ids_of_15_and_18_characters_are_the_same(expected: str) -> None:
    assert verify(SENDER.request(), expected)
    assert verify(SENDER.request(outbound_message(FIRST, organization=ORGANIZATION[:15])), expected)


@pytest.mark.parametrize("other", ["00D7F00000107xsUAI", "00D7F00000107XtUAI"])
def test_another_organisation_is_refused(other: str) -> None:
    assert code_of(SENDER.request(outbound_message(FIRST, organization=other))) == "webhook_wrong_account"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/", f"{PATH}/tok-in-us", f"{PATH}/tok-in-use/x", "/tok-in-use "])
def test_another_address_is_refused_before_the_body_is_read(path: str) -> None:
    assert code_of(replace(SENDER.request(b"<not xml"), path=path)) == "webhook_credentials_wrong"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "webhook_body_not_xml"),
        (b"<a>", "webhook_body_not_xml"),
        (b"<a>" * 65 + b"</a>" * 65, "webhook_body_too_deep"),
        (b"<a>" * 64 + b"</a>" * 64, "webhook_body_unexpected"),
        (b"\xff\xfe", "webhook_body_not_xml"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "webhook_body_not_xml"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "webhook_body_not_xml"),
        (b'<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><a/>', "webhook_body_not_xml"),
        (
            outbound_message(FIRST).replace(b"<?xml version='1.0' encoding='UTF-8'?>", b"<!DOCTYPE x>"),
            "webhook_body_not_xml",
        ),
        (b"<a/>", "webhook_body_unexpected"),
        (outbound_message(), "webhook_body_unexpected"),
        (outbound_message(*[FIRST] * 101), "webhook_body_unexpected"),
        (outbound_message(FIRST, organization=" "), "webhook_body_unexpected"),
        (outbound_message(("", "Lead", "1")), "webhook_body_unexpected"),
    ],
)
def test_what_is_no_outbound_message_is_refused(body: bytes, code: str) -> None:
    assert code_of(SENDER.request(body)) == code


def test_a_notification_without_a_record_does_not_hold_up_the_others() -> None:
    body = outbound_message(("04l1", "Lead", ""), FIRST)
    assert [type(item) for item in notices(body)] == [RecordRejectedError, Notice]


def test_the_reply_is_the_acknowledgement_that_salesforce_waits_for() -> None:
    reply = SENDER.scheme.reply(SENDER.request())
    assert reply.content_type.startswith("text/xml")
    ack = fromstring(reply.body).find(".//{http://soap.sforce.com/2005/09/outbound}Ack")
    assert ack is not None
    assert ack.text == "true"
