"""The schemes against the vendors' own verifiers: what one believes the other believes, what one refuses the other refuses."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
import stripe
from hubspot.exceptions import InvalidSignatureTimestampError
from hubspot.utils.signature import Signature
from hypothesis import given, settings
from hypothesis import strategies as st
from quickbooks import QuickBooks
from sendgrid.helpers.eventwebhook import EventWebhook
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook, WebhookVerificationError
from twilio.request_validator import RequestValidator, get_signature_algorithm

from tests.webhooks.schemes.senders import (
    BASE,
    FORM,
    PATH,
    SENDERS,
    TWILIO_FORM,
    ec_key,
    incoming,
    public_text,
    standard_request,
    stripe_header,
    twilio_json,
)
from webhooks.inbound.contract import Incoming, Refused
from webhooks.inbound.schemes import scheme

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
BODIES = st.dictionaries(TEXTS, TEXTS | st.integers(-(2**53), 2**53), max_size=4).map(orjson.dumps)


def ours(name: str, request: Incoming, now: datetime, secret: dict[str, str]) -> bool:
    try:
        scheme(name).verify(request, [secret], now)
    except Refused:
        return False
    return True


# ---------------------------------------------------------------- Twilio


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=6))
def test_twilio_forms_are_believed_as_the_sdk_signs_them(fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    signed = RequestValidator("tw").compute_signature(BASE + PATH, fields)
    request = incoming(body, {"X-Twilio-Signature": signed, "Content-Type": FORM})
    assert ours("twilio", request, datetime.now(UTC), {"auth_token": "tw"})


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_twilio_forms_are_refused_as_the_sdk_refuses_them(at: int, byte: int) -> None:
    """A changed byte is refused, unless it leaves the fields as they were (``%3d`` for ``%3D``)."""
    from urllib.parse import parse_qs

    request = SENDERS["twilio"].request()
    at %= len(request.body)
    altered = request.body[:at] + bytes([byte]) + request.body[at + 1 :]
    try:
        parsed = parse_qs(altered.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        theirs = False
    else:
        fields = {name: values[0] for name, values in parsed.items()}
        single = all(len(values) == 1 for values in parsed.values())
        signature = request.headers["x-twilio-signature"]
        theirs = single and RequestValidator("tw-token").validate(BASE + PATH, fields, signature)
    mine = ours("twilio", replace(request, body=altered), datetime.now(UTC), {"auth_token": "tw-token"})
    assert mine == theirs


@pytest.mark.parametrize(
    ("signed", "called"),
    [
        ("https://hooks.example.com:443/x?a=%20b", "https://hooks.example.com/x?a=%20b"),
        ("https://hooks.example.com/x", "https://hooks.example.com:443/x"),
        ("https://hooks.example.com/x", "https://hooks.example.com:8443/x"),
        ("https://hooks.example.com:8443/x", "https://hooks.example.com:8443/x"),
        ("http://hooks.example.com:80/x", "http://hooks.example.com/x"),
    ],
)
def test_twilio_signs_with_or_without_the_port(signed: str, called: str) -> None:
    validator = RequestValidator("tw")
    signature = validator.compute_signature(signed, TWILIO_FORM)
    assert validator.validate(called, TWILIO_FORM, signature)
    base, _, rest = called.partition("/x")
    request = Incoming.of(
        "POST", base, "/x", rest.removeprefix("?"),
        [(b"x-twilio-signature", signature.encode()), (b"content-type", FORM.encode())], urlencode(TWILIO_FORM).encode(),
    )  # fmt: skip
    assert ours("twilio", request, datetime.now(UTC), {"auth_token": "tw"})


def test_twilio_json_is_believed_by_both() -> None:
    body = '{"MessageSid":"SM1","text":"Grüße"}'.encode()
    request = twilio_json(body, datetime.now(UTC), {"auth_token": "tw"})
    assert RequestValidator("tw").validate(request.url, body.decode(), request.headers["x-twilio-signature"])
    assert ours("twilio", request, datetime.now(UTC), {"auth_token": "tw"})


@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
def test_twilio_shared_keys_sign_with_the_algorithm_that_they_name(algorithm: str) -> None:
    named = f"key=webhooks_sharedkey_1,algorithm={algorithm}"
    assert get_signature_algorithm(named) == algorithm
    signed = RequestValidator("shared").compute_signature(BASE + PATH, TWILIO_FORM, algorithm)
    headers = {"X-Twilio-Signature": signed, "Content-Type": FORM, "X-Twilio-Webhooks-Signature-Settings": named}
    request = incoming(urlencode(TWILIO_FORM).encode(), headers)
    assert ours("twilio", request, datetime.now(UTC), {"auth_token": "shared"})


@pytest.mark.parametrize("named", ["algorithm=MD5", "key=x,algorithm=none", "algorithm=HMAC_SHA256"])
def test_twilio_algorithms_that_were_not_used_are_refused(named: str) -> None:
    request = SENDERS["twilio"].request()
    headers = {**request.headers, "x-twilio-webhooks-signature-settings": named}
    assert not ours("twilio", replace(request, headers=headers), datetime.now(UTC), {"auth_token": "tw-token"})


# ---------------------------------------------------------------- HubSpot


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_hubspot_batches_are_believed_by_both(body: bytes) -> None:
    now = datetime.now(UTC)
    written = str(int(now.timestamp() * 1_000))
    signed = Signature.get_signature("secret", body.decode(), "v3", BASE + PATH, "POST", written)
    assert Signature.is_valid(signed, "secret", body.decode(), BASE + PATH, "POST", "v3", written)
    request = incoming(body, {"X-HubSpot-Signature-v3": signed, "X-HubSpot-Request-Timestamp": written})
    assert ours("hubspot", request, now, {"client_secret": "secret"})
    assert not ours("hubspot", request, now, {"client_secret": "secret2"})


def test_hubspot_signs_the_address_with_its_list_of_characters_decoded() -> None:
    """``:/?@!$'()*,;`` are signed decoded, whatever else is escaped (a blank, an ``&``) as it was sent."""
    now = datetime.now(UTC)
    written = str(int(now.timestamp() * 1_000))
    special = ":/?@!$'()*,;"
    sent = f"to={quote(special, safe='')}&lower=%2f&kept={quote(' &=%', safe='')}"
    seen = f"{BASE}{PATH}?to={special}&lower=/&kept=%20%26%3D%25"
    signed = Signature.get_signature("secret", "[]", "v3", seen, "POST", written)
    headers = {"X-HubSpot-Signature-v3": signed, "X-HubSpot-Request-Timestamp": written}
    assert ours("hubspot", incoming(b"[]", headers, query=sent), now, {"client_secret": "secret"})
    assert not ours("hubspot", incoming(b"[]", headers, query=f"{sent}x"), now, {"client_secret": "secret"})


def test_hubspot_deliveries_that_are_old_are_refused_by_both() -> None:
    old = datetime.now(UTC) - timedelta(seconds=302)
    request = SENDERS["hubspot"].request(now=old)
    with pytest.raises(InvalidSignatureTimestampError):
        Signature.is_valid(
            request.headers["x-hubspot-signature-v3"], "app-secret", request.body.decode(), request.url, "POST", "v3",
            request.headers["x-hubspot-request-timestamp"],
        )  # fmt: skip
    assert not ours("hubspot", request, datetime.now(UTC), {"client_secret": "app-secret"})


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_hubspot_signatures_without_a_time_are_refused_by_their_code(version: str) -> None:
    signed = Signature.get_signature("secret", "[]", version, BASE + PATH, "POST")
    request = incoming(b"[]", {"X-HubSpot-Signature": signed, "X-HubSpot-Signature-Version": version})
    with pytest.raises(Refused) as caught:
        scheme("hubspot").verify(request, [{"client_secret": "secret"}], datetime.now(UTC))
    assert caught.value.code == "webhook_signature_version"


# ---------------------------------------------------------------- Stripe


def _stripe_accepts(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, 300))
    except stripe.SignatureVerificationError:
        return False


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_stripe_events_are_believed_as_the_sdk_signs_them(body: bytes) -> None:
    now = datetime.now(UTC)
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), "whsec_a", int(now.timestamp()))
    request = incoming(body, {"Stripe-Signature": header})
    assert ours("stripe", request, now, {"signing_secret": "whsec_a"})
    assert not ours("stripe", request, now, {"signing_secret": "whsec_b"})


@pytest.mark.parametrize(
    ("change", "believed"),
    [
        (lambda h: h, True),
        (lambda h: h + ",v0=" + "0" * 64, True),
        (lambda h: h.replace(",v1=", ",v1=" + "0" * 64 + ",v1="), True),
        (lambda h: h.replace("v1=", "v0="), False),
        (lambda h: h.replace("t=", "T="), False),
        (lambda h: h.partition(",")[2], False),
        (lambda h: h.partition(",")[0], False),
        (lambda h: h[:-1] + ("0" if h[-1] != "0" else "1"), False),
        (lambda h: "", False),
        (lambda h: "t=,v1=", False),
    ],
)
def test_stripe_headers_are_read_as_the_sdk_reads_them(change: Callable[[str], str], believed: bool) -> None:
    now = datetime.now(UTC)
    header = change(stripe_header(b"{}", now, "whsec_a"))
    assert _stripe_accepts(b"{}", header, "whsec_a") == believed
    assert ours("stripe", incoming(b"{}", {"Stripe-Signature": header}), now, {"signing_secret": "whsec_a"}) == believed


def test_stripe_headers_with_two_times_are_refused() -> None:
    now = datetime.now(UTC)
    header = stripe_header(b"{}", now, "whsec_a")
    request = incoming(b"{}", {"Stripe-Signature": f"t=1,{header}"})
    assert not ours("stripe", request, now, {"signing_secret": "whsec_a"})


# ---------------------------------------------------------------- Slack


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_slack_events_are_believed_by_both(body: bytes) -> None:
    now = datetime.now(UTC)
    verifier = SignatureVerifier("sl")
    written = str(int(now.timestamp()))
    signed = str(verifier.generate_signature(timestamp=written, body=body))
    assert verifier.is_valid(body, written, signed)
    request = incoming(body, {"X-Slack-Signature": signed, "X-Slack-Request-Timestamp": written})
    assert ours("slack", request, now, {"signing_secret": "sl"})
    assert not ours("slack", replace(request, body=body + b" "), now, {"signing_secret": "sl"})


# ---------------------------------------------------------------- QuickBooks


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_quickbooks_notifications_are_believed_by_both(body: bytes) -> None:
    client = object.__new__(QuickBooks)  # its constructor wants to sign in
    request = SENDERS["quickbooks"].request(body)
    header = request.headers["intuit-signature"]
    assert client.validate_webhook_signature(body.decode(), header, "verifier")
    assert ours("quickbooks", request, datetime.now(UTC), {"verifier_token": "verifier"})
    assert not client.validate_webhook_signature(body.decode() + " ", header, "verifier")
    assert not ours("quickbooks", replace(request, body=body + b" "), datetime.now(UTC), {"verifier_token": "verifier"})


# ---------------------------------------------------------------- SendGrid


@settings(max_examples=40, deadline=None)
@given(BODIES)
def test_sendgrid_batches_are_believed_by_both(body: bytes) -> None:
    now = datetime.now(UTC)
    request = SENDERS["sendgrid"].request(body, now)
    signed = request.headers["x-twilio-email-event-webhook-signature"]
    written = request.headers["x-twilio-email-event-webhook-timestamp"]
    sdk = EventWebhook(public_text(ec_key(0)))
    assert sdk.verify_signature(body.decode(), signed, written)
    assert ours("sendgrid", request, now, {"public_key": public_text(ec_key(0))})
    assert not sdk.verify_signature(body.decode() + " ", signed, written)
    assert not ours("sendgrid", replace(request, body=body + b" "), now, {"public_key": public_text(ec_key(0))})


def test_the_request_that_sendgrids_own_tests_verify_is_believed() -> None:
    """https://github.com/sendgrid/sendgrid-python/blob/main/test/unit/test_eventwebhook.py"""
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+"
        "2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
    )
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": (
            "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
        ),
        "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
    }
    sent = datetime.fromtimestamp(1600112502, UTC)
    request = incoming(orjson.dumps([event], option=orjson.OPT_SORT_KEYS) + b"\r\n", headers)
    assert ours("sendgrid", request, sent, {"public_key": key})
    assert not ours("sendgrid", replace(request, body=request.body.strip()), sent, {"public_key": key})


# ---------------------------------------------------------------- Standard Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def _standard_accepts(request: Incoming, secret: str) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(BODIES)
def test_standard_webhooks_are_believed_by_both(body: bytes) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    signed = Webhook(SECRET).sign("msg_1", now, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    request = incoming(body, headers)
    assert _standard_accepts(request, SECRET)
    assert ours("standard", request, now, {"secret": SECRET})
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(now.timestamp()) - 1)}):
        altered = incoming(body, headers | change)
        assert not _standard_accepts(altered, SECRET)
        assert not ours("standard", altered, now, {"secret": SECRET})


@pytest.mark.parametrize(
    "arrange",
    [lambda s: f"v1,AAAA {s}", lambda s: f"{s} v1a,AAAA", lambda s: f"v2,x {s} v1,{'A' * 44}"],
    ids=["second", "first", "middle"],
)
def test_standard_webhooks_with_several_signatures_need_one_that_fits(arrange: Callable[[str], str]) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    signed = Webhook(SECRET).sign("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", now, "{}")
    request = standard_request(b"{}", now, arrange(signed))
    assert _standard_accepts(request, SECRET)
    assert ours("standard", request, now, {"secret": SECRET})
    none_fits = standard_request(b"{}", now, arrange("v1," + "B" * 44))
    assert not _standard_accepts(none_fits, SECRET)
    assert not ours("standard", none_fits, now, {"secret": SECRET})


def test_the_specifications_example_is_believed() -> None:
    """The vector that the reference libraries test with."""
    body = b'{"test": 2432232314}'
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert ours("standard", incoming(body, headers), at, {"secret": SECRET})


# ---------------------------------------------------------------- documented vectors without an SDK


def test_githubs_documented_signature_fits_a_generic_endpoint() -> None:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""
    signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    body = b"Hello, World!"
    assert signed == "sha256=" + hmac.new(b"It's a Secret to Everybody", body, hashlib.sha256).hexdigest()
    proof = {"kind": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="}
    endpoint: Any = scheme("generic", {"proof": proof})
    request = incoming(body, {"X-Hub-Signature-256": signed})
    with pytest.raises(Refused) as caught:
        endpoint.verify(request, [{"secret": "It's a Secret to Everybody"}], datetime.now(UTC))
    assert caught.value.code == "webhook_body_not_json", "it is authentic, and no JSON"
    with pytest.raises(Refused) as caught:
        endpoint.verify(request, [{"secret": "It's a Secret"}], datetime.now(UTC))
    assert caught.value.code == "webhook_signature_wrong"
