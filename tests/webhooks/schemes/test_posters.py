"""Slack, SendGrid, Standard Webhooks and everyone else: what they post is data."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import jsonpath
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import (
    FORM,
    LEAD,
    NOW,
    SENDERS,
    ec_key,
    ed_key,
    incoming,
    public_text,
    rsa_key,
    standard_request,
)
from webhooks.inbound.contract import Incoming, Posted, Refused, Reply, Verified
from webhooks.inbound.schemes import scheme
from webhooks.inbound.schemes.generic import Filter, value_at

# ---------------------------------------------------------------- Slack

SLACK = SENDERS["slack"]
QUESTION = orjson.dumps({"type": "url_verification", "token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV"})


def slack_handshake(request: Incoming) -> Reply | None:
    return SLACK.scheme.handshake(request, [SLACK.secrets[0]], NOW)


def test_slacks_challenge_is_repeated() -> None:
    assert slack_handshake(SLACK.request(QUESTION)) == Reply(200, "text/plain; charset=utf-8", b"3eZbrw1aBm2rZgRNFdxV")


def test_slacks_challenge_has_to_be_signed() -> None:
    with pytest.raises(Refused) as caught:
        slack_handshake(SLACK.request(QUESTION, secret=1))
    assert caught.value.code == "webhook_signature_wrong"


@pytest.mark.parametrize("challenge", [None, "", "x" * 2_000, "a\r\nSet-Cookie: b", 0.5])
def test_a_challenge_that_cannot_be_one_is_refused(challenge: Any) -> None:
    with pytest.raises(Refused) as caught:
        slack_handshake(SLACK.request(orjson.dumps({"type": "url_verification", "challenge": challenge})))
    assert caught.value.code == "webhook_handshake_invalid"


@pytest.mark.parametrize(
    "body", [SLACK.body, b'{"type":"event_callback","text":"url_verification"}', b"[url_verification"]
)
def test_an_event_is_no_challenge(body: bytes) -> None:
    assert slack_handshake(SLACK.request(body)) is None


def test_a_slack_event_is_told_by_its_id() -> None:
    [posted] = list(SLACK.scheme.notices(SLACK.body, {}))
    assert isinstance(posted, Posted)
    assert (posted.kind, posted.account, posted.dedupe_key) == ("message", "T1", "id:Ev1")
    assert posted.occurred_at is not None
    retried = orjson.dumps(orjson.loads(SLACK.body) | {"event_context": "other"})
    keys = {SLACK.scheme.verify(SLACK.request(b), [SLACK.secrets[0]], NOW).dedupe_key for b in (SLACK.body, retried)}
    assert keys == {"id:Ev1"}


# ---------------------------------------------------------------- SendGrid


def test_sendgrids_events_are_told_by_their_ids_in_whatever_batch() -> None:
    events = [
        {"event": "open", "sg_event_id": "a", "timestamp": 1},
        {"event": "click"},
        {"event": "click", "sg_event_id": "b"},
    ]
    found = list(SENDERS["sendgrid"].scheme.notices(orjson.dumps(events), {}))
    assert [type(item) for item in found] == [Posted, RecordRejectedError, Posted]
    assert [item.dedupe_key for item in found if isinstance(item, Posted)] == ["id:a", "id:b"]
    assert [item.data for item in found if isinstance(item, Posted)] == [events[0], events[2]]


@pytest.mark.parametrize("key", [ed_key(0), rsa_key(0)], ids=["Ed25519", "RSA"])
def test_a_key_of_another_kind_verifies_nothing(key: Any) -> None:
    with pytest.raises(Refused) as caught:
        SENDERS["sendgrid"].scheme.verify(SENDERS["sendgrid"].request(), [{"public_key": public_text(key)}], NOW)
    assert caught.value.code == "webhook_signature_wrong"


# ---------------------------------------------------------------- Standard Webhooks

STANDARD = SENDERS["standard"]
MESSAGE = b"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"


def whpk(number: int) -> str:
    raw = ed_key(number).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"whpk_{base64.b64encode(raw).decode()}"


def asymmetric(body: bytes = b"{}", number: int = 0) -> Incoming:
    signed = ed_key(number).sign(b".".join((MESSAGE, str(int(NOW.timestamp())).encode(), body)))
    return standard_request(body, NOW, f"v1,AAAA v1a,{base64.b64encode(signed).decode()}")


def test_an_asymmetric_signature_is_verified_by_the_public_key() -> None:
    assert STANDARD.scheme.verify(asymmetric(), [{"secret": whpk(0)}], NOW).dedupe_key == f"id:{MESSAGE.decode()}"
    assert STANDARD.scheme.verify(asymmetric(), [STANDARD.secrets[0], {"secret": whpk(0)}], NOW)


@pytest.mark.parametrize(
    ("request_", "secret"),
    [
        (asymmetric(number=1), whpk(0)),
        (replace(asymmetric(), body=b"[]"), whpk(0)),
        (replace(asymmetric(), headers={**asymmetric().headers, "webhook-id": "msg_other"}), whpk(0)),
        (STANDARD.request(), whpk(0)),
        (asymmetric(), STANDARD.secrets[0]["secret"]),
    ],
    ids=["another key", "another body", "another id", "symmetric", "the endpoint expects a symmetric one"],
)
def test_another_signature_is_refused(request_: Incoming, secret: str) -> None:
    with pytest.raises(Refused) as caught:
        STANDARD.scheme.verify(request_, [{"secret": secret}], NOW)
    assert caught.value.code == "webhook_signature_wrong"


def test_a_public_key_is_no_secret_of_an_hmac() -> None:
    """Everyone knows it: a symmetric signature made with it proves nothing."""
    raw = base64.b64decode(whpk(0).removeprefix("whpk_"))
    signed = hmac.new(raw, b".".join((MESSAGE, str(int(NOW.timestamp())).encode(), b"{}")), hashlib.sha256).digest()
    forged = standard_request(b"{}", NOW, f"v1,{base64.b64encode(signed).decode()}")
    with pytest.raises(Refused) as caught:
        STANDARD.scheme.verify(forged, [{"secret": whpk(0)}], NOW)
    assert caught.value.code == "webhook_signature_wrong"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whsec_YWJj", "whpk_YWJj", "whpk_!!!"])
def test_a_secret_that_is_none_is_a_fault_of_the_endpoint(secret: str) -> None:
    with pytest.raises(Refused) as caught:
        STANDARD.scheme.verify(STANDARD.request(), [{"secret": secret}], NOW)
    assert (caught.value.code, caught.value.status) == ("webhook_bad_key", 503)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_secrets_of_every_length_are_read(size: int, padded: bool) -> None:
    text = "whsec_" + base64.b64encode(bytes(range(size))).decode()
    signed = Webhook(text).sign(MESSAGE.decode(), NOW, "{}")
    secret = text if padded else text.rstrip("=")
    assert STANDARD.scheme.verify(standard_request(b"{}", NOW, signed), [{"secret": secret}], NOW)


def test_a_secret_that_is_none_does_not_silence_one_that_is() -> None:
    assert STANDARD.scheme.verify(STANDARD.request(), [{"secret": "whsec_!!!"}, STANDARD.secrets[0]], NOW)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "x" * 201, "é"])
def test_an_id_that_could_move_the_border_of_what_is_signed_is_refused(message_id: str) -> None:
    request = STANDARD.request()
    with pytest.raises(Refused) as caught:
        STANDARD.scheme.verify(
            replace(request, headers={**request.headers, "webhook-id": message_id}), [STANDARD.secrets[0]], NOW
        )
    assert caught.value.status in {400, 401}


def test_a_message_is_posted_under_its_id() -> None:
    [posted] = list(STANDARD.scheme.notices(STANDARD.body, {"webhook-id": "msg_1"}))
    assert isinstance(posted, Posted)
    assert (posted.kind, posted.dedupe_key) == ("user.created", "id:msg_1")
    assert posted.data["data"] == {"id": 1}


# ---------------------------------------------------------------- everyone else


def generic(**given: Any) -> Any:
    return scheme("generic", {"proof": {"kind": "api_key"}, **given})


def post(body: bytes, **headers: str) -> Incoming:
    return incoming(body, {"X-API-Key": "key", **{name.replace("_", "-"): value for name, value in headers.items()}})


def verify(endpoint: Any, request: Incoming) -> Verified:
    verified: Verified = endpoint.verify(request, [{"api_key": "key"}], NOW)
    return verified


def test_a_post_is_told_by_the_value_at_its_path() -> None:
    endpoint = generic(idempotency_path="$.lead.id")
    keys = [verify(endpoint, post(b)).dedupe_key for b in (LEAD, LEAD + b" ", LEAD.replace(b"4711", b"4712"))]
    assert keys == ["id:4711", "id:4711", "id:4712"]


def test_a_post_is_told_by_its_header() -> None:
    endpoint = generic(idempotency_header="Idempotency-Key")
    keys = [verify(endpoint, post(b, Idempotency_Key=k)).dedupe_key for b, k in ((b"1", "a"), (b"2", "a"), (b"1", "b"))]
    assert keys == ["id:a", "id:a", "id:b"]
    assert endpoint.kept_headers() == ("idempotency-key",)


def test_a_post_is_told_by_its_body_otherwise() -> None:
    endpoint = generic()
    keys = [verify(endpoint, post(b)).dedupe_key for b in (b"{}", b"{}", b"{} ")]
    assert keys[0] == keys[1] != keys[2]


def test_what_is_stored_has_the_key_of_the_delivery() -> None:
    request = post(LEAD, Idempotency_Key="a")
    for endpoint in (generic(idempotency_path="$.lead.id"), generic(idempotency_header="Idempotency-Key"), generic()):
        kept = {name: request.headers[name] for name in endpoint.kept_headers()}
        [posted] = endpoint.notices(request.body, kept)
        assert posted.dedupe_key == verify(endpoint, request).dedupe_key


@pytest.mark.parametrize("value", ["", " ", None, True, 1.5, [], {}])
def test_a_post_that_does_not_say_what_tells_it_from_others_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as caught:
        verify(generic(idempotency_path="$.id"), post(orjson.dumps({"id": value})))
    assert (caught.value.code, caught.value.status) == ("webhook_no_identity", 400)


@pytest.mark.parametrize("value", ["é" * 300, "a b", "x" * 300, "a\nb"])
def test_any_text_makes_a_key_that_can_be_stored(value: str) -> None:
    key = verify(generic(idempotency_path="$.id"), post(orjson.dumps({"id": value}))).dedupe_key
    assert key.startswith("sha256:")


def test_a_form_is_read_as_an_object() -> None:
    endpoint = generic(format="form", idempotency_path="$.email", kind_path="$.form")
    body = urlencode(
        [("email", "ann@example.com"), ("interest", "a"), ("interest", "b"), ("form", "contact"), ("note", "")]
    )
    [posted] = endpoint.notices(body.encode(), {})
    assert posted.data == {"email": "ann@example.com", "interest": ["a", "b"], "form": "contact", "note": ""}
    assert posted.kind == "contact"
    assert verify(endpoint, incoming(body.encode(), {"X-API-Key": "key", "Content-Type": FORM}))


@pytest.mark.parametrize(("body", "code"), [(b"a=%ff", "webhook_body_not_form"), (b"a=%00", "webhook_body_nul")])
def test_a_form_that_cannot_be_kept_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        verify(generic(format="form"), post(body))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("condition", "admitted"),
    [
        ({"path": "$.type", "op": "equals", "value": "lead.created"}, True),
        ({"path": "$.type", "op": "equals", "value": "lead.deleted"}, False),
        ({"path": "$.lead.id", "op": "in", "value": [1, 4711]}, True),
        ({"path": "$.lead.id", "op": "in", "value": ["4711"]}, False),
        ({"path": "$.lead.id", "op": "in", "value": []}, False),
        ({"path": "$.lead.phone", "op": "exists"}, False),
        ({"path": "$.lead.phone", "op": "exists", "value": False}, True),
        ({"path": "$.lead.email", "op": "exists", "value": True}, True),
        ({"path": "$.lead.email", "op": "exists", "value": False}, False),
        ({"path": "$.lead.none", "op": "equals", "value": None}, False),
    ],
)
def test_filters_say_which_posts_count(condition: dict[str, Any], admitted: bool) -> None:
    endpoint = generic(filters=[condition])
    assert verify(endpoint, post(LEAD)), "what does not count is acknowledged all the same"
    assert len(list(endpoint.notices(LEAD, {}))) == (1 if admitted else 0)


@pytest.mark.parametrize(("found", "wanted"), [(1, True), (True, 1), (1, 1.0), ("1", 1), (0, False), (0, None)])
def test_filters_do_not_take_one_kind_of_value_for_another(found: Any, wanted: Any) -> None:
    assert not Filter(path="$.a", op="equals", value=wanted).admits({"a": found})


def test_what_becomes_of_a_post_is_kept_in_the_settings() -> None:
    endpoint = generic(entity="lead", fields={"email": "$.lead.email"})
    assert (endpoint.entity, endpoint.fields) == ("lead", {"email": "$.lead.email"})
    assert scheme("generic", endpoint.describe()) == endpoint


def sign(algorithm: str, key: Any, message: bytes) -> bytes:
    if algorithm == "rsa-sha256":
        signed: bytes = key.sign(message, PKCS1v15(), SHA256())
    elif algorithm == "ecdsa-sha256":
        signed = key.sign(message, ec.ECDSA(SHA256()))
    else:
        signed = key.sign(message)
    return signed


KEYS = {"rsa-sha256": rsa_key, "ecdsa-sha256": ec_key, "ed25519": ed_key}


@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
@pytest.mark.parametrize("algorithm", KEYS)
def test_signatures_of_every_kind_are_verified(algorithm: str, encoding: str) -> None:
    proof = {
        "kind": "public_key",
        "algorithm": algorithm,
        "encoding": encoding,
        "header": "X-Sig",
        "timestamp_header": "X-At",
    }
    endpoint: Any = scheme("generic", {"proof": proof})
    written = str(int(NOW.timestamp()))
    raw = sign(algorithm, KEYS[algorithm](0), f"{written}.".encode() + LEAD)
    texts = {
        "hex": raw.hex(),
        "base64": base64.b64encode(raw).decode(),
        "base64url": base64.urlsafe_b64encode(raw).decode(),
    }
    request = incoming(LEAD, {"X-Sig": texts[encoding], "X-At": written})
    assert endpoint.verify(request, [{"public_key": public_text(KEYS[algorithm](0))}], NOW).occurred_at == NOW
    others = [public_text(KEYS[name](1)) for name in KEYS]
    for other in others:
        with pytest.raises(Refused) as caught:
            endpoint.verify(request, [{"public_key": other}], NOW)
        assert caught.value.code == "webhook_signature_wrong"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_hmacs_of_every_kind_are_verified(algorithm: str, encoding: str) -> None:
    endpoint: Any = scheme(
        "generic", {"proof": {"kind": "hmac", "algorithm": algorithm, "encoding": encoding, "header": "X-Sig"}}
    )
    raw = hmac.new(b"secret", LEAD, algorithm).digest()
    texts = {
        "hex": raw.hex(),
        "base64": base64.b64encode(raw).decode(),
        "base64url": base64.urlsafe_b64encode(raw).decode(),
    }
    request = incoming(LEAD, {"X-Sig": texts[encoding]})
    assert endpoint.verify(request, [{"secret": "secret"}], NOW)
    with pytest.raises(Refused):
        endpoint.verify(replace(request, body=LEAD + b" "), [{"secret": "secret"}], NOW)


def test_hex_is_read_in_either_case() -> None:
    endpoint: Any = scheme("generic", {"proof": {"kind": "hmac", "header": "X-Sig"}})
    raw = hmac.new(b"secret", LEAD, "sha256").hexdigest().upper()
    assert endpoint.verify(incoming(LEAD, {"X-Sig": raw}), [{"secret": "secret"}], NOW)


def test_a_time_in_milliseconds_is_read_as_such() -> None:
    proof = {"kind": "hmac", "header": "X-Sig", "timestamp_header": "X-At", "timestamp_unit": "ms", "separator": ""}
    endpoint: Any = scheme("generic", {"proof": proof})
    written = str(int(NOW.timestamp() * 1_000))
    signed = hmac.new(b"secret", written.encode() + LEAD, "sha256").hexdigest()
    request = incoming(LEAD, {"X-Sig": signed, "X-At": written})
    assert endpoint.verify(request, [{"secret": "secret"}], NOW).occurred_at == NOW


def test_a_key_beyond_ascii_is_compared_as_the_bytes_that_were_sent() -> None:
    endpoint = generic()
    request = Incoming.of("POST", "https://h", "/", "", [(b"x-api-key", "Schlüssel".encode())], b"{}")
    assert endpoint.verify(request, [{"api_key": "Schlüssel"}], NOW)


def test_a_put_is_a_post_to_everyone_else() -> None:
    assert verify(generic(), replace(post(LEAD), method="PUT"))


# ---------------------------------------------------------------- paths

_NAMES = st.sampled_from(["a", "b", "0", "1", "-1"])
_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)
_STEPS = st.lists(
    _NAMES.map(lambda name: f"['{name}']") | st.integers(-3, 3).map(lambda place: f"[{place}]"), max_size=4
)


@given(document=_DOCUMENTS, steps=_STEPS)
def test_a_path_leads_where_the_library_says(document: Any, steps: list[str]) -> None:
    path = "$" + "".join(steps)
    match = jsonpath.match(path, document)
    assert value_at(path, document) == (None if match is None else match.obj)
