"""One sender a scheme, as strict as the vendor: it signs with the vendor's own SDK where there is one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hubspot.utils.signature import Signature as HubSpotSignature
from joserfc import jwt
from joserfc.jwk import RSAKey
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from twilio.request_validator import RequestValidator

from webhooks.inbound.contract import Incoming, Scheme
from webhooks.inbound.schemes import scheme

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BASE = "https://hooks.example.com"
PATH = "/hooks/0197-endpoint"
Secret = Mapping[str, str]


def incoming(
    body: bytes = b"", headers: Mapping[str, str] | None = None, *, path: str = PATH, query: str = ""
) -> Incoming:
    """A request as it comes from the server, headers in the sender's case."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return Incoming.of("POST", BASE, path, query, pairs, body)


def public_text(key: Any) -> str:
    """A public key as vendors publish it: the base64 text within PEM."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(number: int) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Sender:
    """A vendor: ``sign(body, now, secret)`` makes the request. ``secrets[0]`` is in use, ``secrets[1]`` is another one.

    ``proof``: the header without which nothing is believed. ``covers``: what the proof depends on (body, url, time).
    ``parsed``: verifying means reading the body. ``timestamp``: the header with the time, where there is one.
    """

    scheme: Scheme
    secrets: tuple[Secret, Secret]
    sign: Callable[[bytes, datetime, Secret], Incoming]
    body: bytes
    proof: str
    covers: frozenset[str] = frozenset()
    parsed: bool = False
    timestamp: str | None = None
    wrong: str = "webhook_signature_wrong"
    past_s: int = 300

    def request(self, body: bytes | None = None, now: datetime = NOW, secret: int = 0) -> Incoming:
        return self.sign(self.body if body is None else body, now, self.secrets[secret])


def _seconds(now: datetime) -> str:
    return str(int(now.timestamp()))


# ---------------------------------------------------------------- vendors


def _hubspot(body: bytes, now: datetime, secret: Secret) -> Incoming:
    written = str(int(now.timestamp() * 1_000))
    signed = HubSpotSignature.get_signature(
        secret["client_secret"], body.decode("latin-1"), "v3", BASE + PATH, "POST", written
    )
    if not body.isascii():  # the SDK signs text only
        raw = hmac.new(
            secret["client_secret"].encode(), b"POST" + (BASE + PATH).encode() + body + written.encode(), "sha256"
        )
        signed = base64.b64encode(raw.digest()).decode()
    return incoming(body, {"X-HubSpot-Signature-v3": signed, "X-HubSpot-Request-Timestamp": written})


HUBSPOT_EVENT = {
    "eventId": 3181526809,
    "subscriptionId": 25,
    "portalId": 33,
    "appId": 1160452,
    "occurredAt": 1462216307945,
    "subscriptionType": "contact.propertyChange",
    "attemptNumber": 0,
    "objectId": 123,
    "propertyName": "email",
    "propertyValue": "new@example.com",
    "changeSource": "CRM_UI",
}
"""As documented at https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide"""


def _salesforce(body: bytes, now: datetime, secret: Secret) -> Incoming:
    return incoming(body, {"Content-Type": "text/xml"}, path=f"{PATH}/{secret['path_token']}")


ORGANIZATION = "00D7F00000107XsUAI"


def outbound_message(*records: tuple[str, str, str], organization: str = ORGANIZATION) -> bytes:
    """An outbound message: (notification id, object, record id)."""
    notifications = "".join(
        f"<Notification><Id>{own}</Id><sObject xsi:type='sf:{kind}' xmlns:sf='urn:sobject.enterprise.soap.sforce.com'>"
        f"<sf:Id>{record}</sf:Id><sf:Name>Ann &amp; Co</sf:Name></sObject></Notification>"
        for own, kind, record in records
    )
    return (
        "<?xml version='1.0' encoding='UTF-8'?><soapenv:Envelope xmlns:soapenv='http://schemas.xmlsoap.org/soap/envelope/'"
        " xmlns:xsd='http://www.w3.org/2001/XMLSchema' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><soapenv:Body>"
        f"<notifications xmlns='http://soap.sforce.com/2005/09/outbound'><OrganizationId>{organization}</OrganizationId>"
        "<ActionId>04k7F0000008V3hQAE</ActionId><SessionId xsi:nil='true'/>"
        "<EnterpriseUrl>https://example.my.salesforce.com/services/Soap/c/60.0</EnterpriseUrl>"
        "<PartnerUrl>https://example.my.salesforce.com/services/Soap/u/60.0</PartnerUrl>"
        f"{notifications}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


AUDIENCE = "https://hooks.example.com/gmail"
ACCOUNT = "push@project.iam.gserviceaccount.com"


@cache
def google_key(number: int) -> RSAKey:
    return RSAKey.import_key(rsa_key(number), {"kid": f"key-{number}", "use": "sig", "alg": "RS256"})


def google_keys(*numbers: int) -> str:
    return orjson.dumps({"keys": [google_key(n).as_dict(private=False) for n in numbers]}).decode()


def google_claims(now: datetime, **changes: Any) -> dict[str, Any]:
    at = int(now.timestamp())
    claims = {
        "aud": AUDIENCE,
        "azp": "113774264463038321964",
        "email": ACCOUNT,
        "email_verified": True,
        "exp": at + 3_600,
        "iat": at,
        "iss": "https://accounts.google.com",
        "sub": "113774264463038321964",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def google_request(token: str, body: bytes) -> Incoming:
    return incoming(body, {"Authorization": f"Bearer {token}"})


def _pubsub(body: bytes, now: datetime, secret: Secret) -> Incoming:
    kid = orjson.loads(secret["jwks"])["keys"][0]["kid"]
    key = google_key(int(kid.removeprefix("key-")))
    return google_request(jwt.encode({"alg": "RS256", "kid": kid}, google_claims(now), key), body)


def pubsub_body(
    mailbox: str = "user@example.com", history: int = 9876543210, message_id: str = "2070443601311540"
) -> bytes:
    """https://developers.google.com/workspace/gmail/api/guides/push#receive_notifications"""
    data = base64.b64encode(orjson.dumps({"emailAddress": mailbox, "historyId": history})).decode()
    message = {
        "data": data,
        "messageId": message_id,
        "message_id": message_id,
        "publishTime": "2026-03-01T11:59:58.191Z",
    }
    return orjson.dumps({"message": message, "subscription": "projects/p/subscriptions/s"})


def _channel(body: bytes, now: datetime, secret: Secret) -> Incoming:
    return incoming(
        body,
        {
            "X-Goog-Channel-ID": "4ba78bf0-6a47-11e2-bcfd-0800200c9a66",
            "X-Goog-Channel-Token": secret["channel_token"],
            "X-Goog-Channel-Expiration": "Tue, 19 Nov 2030 01:13:52 GMT",
            "X-Goog-Resource-ID": "ret08u3rv24htgh289g",
            "X-Goog-Resource-URI": "https://www.googleapis.com/calendar/v3/calendars/ann%40example.com/events?alt=json",
            "X-Goog-Resource-State": "exists",
            "X-Goog-Message-Number": "10",
        },
    )


def graph_item(state: str, **changes: Any) -> dict[str, Any]:
    """https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks#change-notification-example"""
    resource = "Users/8e6f44d1/Messages/AAMkAGI1"
    item = {
        "id": "lsgTZMr9KwAAA",
        "subscriptionId": "7f105c7d-2dc5-4530-97cd-4e7ae6534c07",
        "subscriptionExpirationDateTime": "2026-03-19T22:11:09.952Z",
        "clientState": state,
        "changeType": "created",
        "resource": resource,
        "tenantId": "84bd8158-6d4d-4958-8b9f-9d6445542f95",
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Message",
            "@odata.id": resource,
            "@odata.etag": 'W/"CQAAABYAAADkrWGo7bouTKlsgTZMr9KwAAAUWRHf"',
            "id": "AAMkAGI1",
        },
    }
    return {name: value for name, value in (item | changes).items() if value is not None}


def graph_body(*items: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"value": list(items)})


def _graph(body: bytes, now: datetime, secret: Secret) -> Incoming:
    return incoming(
        body.replace(b"state-in-use", secret["client_state"].encode()), {"Content-Type": "application/json"}
    )


TWILIO_FORM = {
    "AccountSid": "AC00000000000000000000000000000001",
    "ApiVersion": "2010-04-01",
    "Body": "Ärger & Freude = 100 %+",
    "From": "+14155550100",
    "MessageSid": "SM00000000000000000000000000000001",
    "NumMedia": "0",
    "Empty": "",
    "To": "+14155550101",
}
FORM = "application/x-www-form-urlencoded"


def _twilio(body: bytes, now: datetime, secret: Secret) -> Incoming:
    from urllib.parse import parse_qs

    validator = RequestValidator(secret["auth_token"])
    fields = {name: values[0] for name, values in parse_qs(body.decode("latin-1"), keep_blank_values=True).items()}
    signed = validator.compute_signature(BASE + PATH, fields)
    return incoming(body, {"X-Twilio-Signature": signed, "Content-Type": f"{FORM}; charset=UTF-8"})


def twilio_json(body: bytes, now: datetime, secret: Secret) -> Incoming:
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    signed = RequestValidator(secret["auth_token"]).compute_signature(f"{BASE}{PATH}?{query}", {})
    return incoming(body, {"X-Twilio-Signature": signed, "Content-Type": "application/json"}, query=query)


def _quickbooks(body: bytes, now: datetime, secret: Secret) -> Incoming:
    raw = hmac.new(secret["verifier_token"].encode(), body, "sha256").digest()
    return incoming(body, {"intuit-signature": base64.b64encode(raw).decode()})


def _basic(body: bytes, now: datetime, secret: Secret) -> Incoming:
    given = base64.b64encode(f"{secret['username']}:{secret['password']}".encode()).decode()
    return incoming(body, {"Authorization": f"Basic {given}"})


def _highlevel(body: bytes, now: datetime, secret: Secret) -> Incoming:
    key = next(k for k in (ed_key(0), ed_key(1)) if public_text(k) == secret["public_key"])
    dated = body.replace(b"2026-03-01T12:00:00.000Z", now.strftime("%Y-%m-%dT%H:%M:%S.000Z").encode())
    return incoming(dated, {"X-GHL-Signature": base64.b64encode(key.sign(dated)).decode()})


def highlevel_rsa(body: bytes, key: rsa.RSAPrivateKey) -> Incoming:
    raw = key.sign(body, PKCS1v15(), SHA256())
    return incoming(body, {"X-WH-Signature": base64.b64encode(raw).decode()})


def stripe_header(body: bytes, now: datetime, secret: str) -> str:
    written = _seconds(now)
    return f"t={written},v1={hmac.new(secret.encode(), written.encode() + b'.' + body, 'sha256').hexdigest()}"


def _stripe(body: bytes, now: datetime, secret: Secret) -> Incoming:
    return incoming(body, {"Stripe-Signature": stripe_header(body, now, secret["signing_secret"])})


def _slack(body: bytes, now: datetime, secret: Secret) -> Incoming:
    written = _seconds(now)
    if body.isascii():
        signed = SignatureVerifier(secret["signing_secret"]).generate_signature(timestamp=written, body=body)
    else:  # the SDK signs text only
        raw = hmac.new(secret["signing_secret"].encode(), f"v0:{written}:".encode() + body, "sha256")
        signed = f"v0={raw.hexdigest()}"
    return incoming(body, {"X-Slack-Signature": str(signed), "X-Slack-Request-Timestamp": written})


def _sendgrid(body: bytes, now: datetime, secret: Secret) -> Incoming:
    key = next(k for k in (ec_key(0), ec_key(1)) if public_text(k) == secret["public_key"])
    raw = key.sign(_seconds(now).encode() + body, ec.ECDSA(SHA256()))
    return incoming(
        body,
        {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(raw).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": _seconds(now),
        },
    )


def _standard(body: bytes, now: datetime, secret: Secret) -> Incoming:
    try:
        signed = Webhook(secret["secret"]).sign("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", now, body.decode())
    except UnicodeDecodeError:
        signed = "v1,AAAA"
    return standard_request(body, now, signed)


def standard_request(body: bytes, now: datetime, signed: str) -> Incoming:
    return incoming(
        body,
        {
            "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            "webhook-timestamp": _seconds(now),
            "webhook-signature": signed,
        },
    )


def _generic_hmac(body: bytes, now: datetime, secret: Secret) -> Incoming:
    written = _seconds(now)
    raw = hmac.new(secret["secret"].encode(), written.encode() + b"." + body, "sha512").hexdigest()
    return incoming(body, {"X-Signature": f"sha512={raw}", "X-Timestamp": written})


def _generic_key(body: bytes, now: datetime, secret: Secret) -> Incoming:
    return incoming(body, {"Authorization": f"Bearer {secret['api_key']}"})


def _generic_signed(body: bytes, now: datetime, secret: Secret) -> Incoming:
    key = next(k for k in (ed_key(0), ed_key(1)) if public_text(k) == secret["public_key"])
    return incoming(body, {"X-Signature": base64.b64encode(key.sign(body)).decode()})


LEAD = orjson.dumps({"lead": {"id": 4711, "email": "ann@example.com"}, "type": "lead.created"})
BODY = frozenset({"body"})

SENDERS: dict[str, Sender] = {
    "hubspot": Sender(
        scheme("hubspot"), ({"client_secret": "app-secret"}, {"client_secret": "old-secret"}), _hubspot,
        orjson.dumps([HUBSPOT_EVENT]), "x-hubspot-signature-v3", BODY | {"url", "time"},
        timestamp="x-hubspot-request-timestamp",
    ),
    "salesforce_outbound": Sender(
        scheme("salesforce_outbound", {"organization_id": ORGANIZATION}),
        ({"path_token": "tok-in-use"}, {"path_token": "tok-former"}), _salesforce,
        outbound_message(("04l7F000008aeAyQAI", "Opportunity", "0067F000003pmdWQAQ")), "", parsed=True,
        wrong="webhook_credentials_wrong",
    ),
    "google_pubsub": Sender(
        scheme("google_pubsub", {"audience": AUDIENCE, "service_account": ACCOUNT}),
        ({"jwks": google_keys(0)}, {"jwks": google_keys(1)}), _pubsub, pubsub_body(), "authorization",
        frozenset({"time"}), parsed=True, wrong="webhook_key_unknown", past_s=3_660,
    ),
    "google_channel": Sender(
        scheme("google_channel"), ({"channel_token": "chan-in-use"}, {"channel_token": "chan-former"}), _channel,
        b"", "x-goog-channel-token", wrong="webhook_credentials_wrong",
    ),
    "graph": Sender(
        scheme("graph"), ({"client_state": "state-in-use"}, {"client_state": "state-former"}), _graph,
        graph_body(graph_item("state-in-use")), "", parsed=True, wrong="webhook_credentials_wrong",
    ),
    "twilio": Sender(
        scheme("twilio"), ({"auth_token": "tw-token"}, {"auth_token": "tw-former"}), _twilio,
        urlencode(TWILIO_FORM).encode(), "x-twilio-signature", BODY | {"url"},
    ),
    "twilio JSON": Sender(
        scheme("twilio"), ({"auth_token": "tw-token"}, {"auth_token": "tw-former"}), twilio_json,
        orjson.dumps({"MessageSid": "SM1", "AccountSid": "AC1"}), "x-twilio-signature", BODY | {"url"},
    ),
    "quickbooks": Sender(
        scheme("quickbooks"), ({"verifier_token": "verifier"}, {"verifier_token": "former"}), _quickbooks,
        orjson.dumps([{
            "specversion": "1.0", "id": "88cd52aa-33b6-4351-9aa4-47572edbd068", "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJd=",
            "type": "qbo.customer.created.v1", "datacontenttype": "application/json", "time": "2026-02-28T21:00:00Z",
            "intuitentityid": "1234", "intuitaccountid": "310687",
        }]), "intuit-signature", BODY,
    ),
    "pipedrive": Sender(
        scheme("pipedrive"),
        ({"username": "hub", "password": "pä:ss"}, {"username": "hub", "password": "former"}), _basic,
        orjson.dumps({
            "meta": {
                "action": "change", "entity": "deal", "company_id": "77", "correlation_id": "c", "entity_id": "12",
                "id": "0f0e0d0c-0000-4000-8000-000000000001", "is_bulk_edit": False, "timestamp": "2026-03-01T11:59:00.000Z",
                "type": "general", "user_id": "5", "version": "2.0", "webhook_id": "9", "change_source": "app", "attempt": 1,
            },
            "data": {"id": 12}, "previous": {"title": "x"},
        }), "authorization", wrong="webhook_credentials_wrong",
    ),
    "gohighlevel": Sender(
        scheme("gohighlevel"), ({"public_key": public_text(ed_key(0))}, {"public_key": public_text(ed_key(1))}), _highlevel,
        orjson.dumps({
            "type": "ContactCreate", "locationId": "loc1", "webhookId": "wh-1", "timestamp": "2026-03-01T12:00:00.000Z",
            "data": {"id": "c1"},
        }), "x-ghl-signature", BODY | {"time"}, past_s=7_200,
    ),
    "stripe": Sender(
        scheme("stripe"), ({"signing_secret": "whsec_now"}, {"signing_secret": "whsec_former"}), _stripe,
        orjson.dumps({
            "id": "evt_1", "object": "event", "created": 1772366000, "type": "customer.updated", "pending_webhooks": 1,
            "data": {"object": {"id": "cus_1", "object": "customer"}},
        }), "stripe-signature", BODY | {"time"},
    ),
    "slack": Sender(
        scheme("slack"), ({"signing_secret": "sl-now"}, {"signing_secret": "sl-former"}), _slack,
        orjson.dumps({
            "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event_time": 1772366000,
            "event": {"type": "message", "text": "hello"},
        }), "x-slack-signature", BODY | {"time"}, timestamp="x-slack-request-timestamp",
    ),
    "sendgrid": Sender(
        scheme("sendgrid"), ({"public_key": public_text(ec_key(0))}, {"public_key": public_text(ec_key(1))}), _sendgrid,
        orjson.dumps([{"event": "delivered", "sg_event_id": "e1", "timestamp": 1772366000, "email": "ann@example.com"}]),
        "x-twilio-email-event-webhook-signature", BODY | {"time"}, past_s=86_700,
        timestamp="x-twilio-email-event-webhook-timestamp",
    ),
    "standard": Sender(
        scheme("standard"),
        ({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, {"secret": "whsec_" + "QUJD" * 8}), _standard,
        orjson.dumps({"type": "user.created", "timestamp": "2026-03-01T11:59:00Z", "data": {"id": 1}}),
        "webhook-signature", BODY | {"time"}, timestamp="webhook-timestamp",
    ),
    "generic HMAC": Sender(
        scheme("generic", {
            "proof": {"kind": "hmac", "algorithm": "sha512", "header": "X-Signature", "prefix": "sha512=",
                      "timestamp_header": "X-Timestamp"},
            "idempotency_path": "$.lead.id",
        }),
        ({"secret": "shared"}, {"secret": "former"}), _generic_hmac, LEAD, "x-signature", BODY | {"time"}, parsed=True,
        timestamp="x-timestamp",
    ),
    "generic basic": Sender(
        scheme("generic", {"proof": {"kind": "basic"}}),
        ({"username": "u", "password": "p"}, {"username": "u", "password": "q"}), _basic, LEAD, "authorization",
        parsed=True, wrong="webhook_credentials_wrong",
    ),
    "generic key": Sender(
        scheme("generic", {"proof": {"kind": "api_key", "header": "Authorization", "prefix": "Bearer "}}),
        ({"api_key": "k-1"}, {"api_key": "k-2"}), _generic_key, LEAD, "authorization", parsed=True,
        wrong="webhook_credentials_wrong",
    ),
    "generic signed": Sender(
        scheme("generic", {"proof": {"kind": "public_key", "algorithm": "ed25519", "header": "X-Signature"}}),
        ({"public_key": public_text(ed_key(0))}, {"public_key": public_text(ed_key(1))}), _generic_signed, LEAD,
        "x-signature", BODY, parsed=True,
    ),
}  # fmt: skip
