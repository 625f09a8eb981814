"""Google: tokens that only Google can have made for this endpoint, and channels that prove themselves by a token."""

from __future__ import annotations

import base64
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from connectors.kit.contract import Notice, Signal
from domain.errors import RecordRejectedError
from tests.webhooks.schemes.senders import (
    AUDIENCE,
    NOW,
    SENDERS,
    google_claims,
    google_key,
    google_keys,
    google_request,
    pubsub_body,
    rsa_key,
)
from webhooks.inbound.contract import Refused

PUBSUB = SENDERS["google_pubsub"]
CHANNEL = SENDERS["google_channel"]


def code_of(token: str, jwks: str | None = None, body: bytes = b"") -> str:
    with pytest.raises(Refused) as caught:
        PUBSUB.scheme.verify(google_request(token, body or pubsub_body()), [{"jwks": jwks or google_keys(0)}], NOW)
    return caught.value.code


def token(header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
    return jwt.encode(
        {"alg": "RS256", "kid": "key-0", **(header or {})},
        google_claims(NOW, **claims),
        key or RSAKey.import_key(rsa_key(0)),
        algorithms=["RS256", "RS512", "PS256", "HS256", "none"],
    )


def unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], signature: str = "") -> str:
    return f"{unpadded(orjson.dumps(header))}.{unpadded(orjson.dumps(google_claims(NOW)))}.{signature}"


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_a_token_of_google_is_believed(issuer: str) -> None:
    request = google_request(token(iss=issuer), pubsub_body())
    assert PUBSUB.scheme.verify(request, [{"jwks": google_keys(1, 0)}], NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://accounts.example.com"},
        {"iss": "https://accounts.google.com.evil.example"},
        {"iss": None},
        {"iss": ["https://accounts.google.com"]},
        {"aud": "https://other.example.com"},
        {"aud": None},
        {"aud": f"{AUDIENCE}/"},
        {"email": "push@other.iam.gserviceaccount.com"},
        {"email": None},
        {"email": ["push@project.iam.gserviceaccount.com"]},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": int((NOW - timedelta(minutes=2)).timestamp())},
        {"iat": None},
        {"iat": int((NOW + timedelta(minutes=2)).timestamp())},
        {"nbf": int((NOW + timedelta(minutes=2)).timestamp())},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    assert code_of(token(**claims)) == "webhook_token_invalid"


def public_pem() -> bytes:
    return rsa_key(0).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256(secret: bytes) -> str:
    """Signed with a public key, taken for the secret of an HMAC."""
    signed = by_hand({"alg": "HS256", "kid": "key-0", "typ": "JWT"})[:-1]
    return f"{signed}.{unpadded(hmac.new(secret, signed.encode(), 'sha256').digest())}"


FORGED = {
    "no algorithm": by_hand({"alg": "none", "kid": "key-0"}),
    "no algorithm in capitals": by_hand({"alg": "None", "kid": "key-0"}),
    "blank algorithm": by_hand({"alg": "", "kid": "key-0"}),
    "algorithm missing": by_hand({"kid": "key-0"}),
    "HMAC with the public key": hs256(public_pem()),
    "HMAC with the public key, stripped": hs256(public_pem().strip()),
    "RS512": token({"alg": "RS512"}),
    "PS256": token({"alg": "PS256"}),
    "another key": token(key=RSAKey.import_key(rsa_key(1))),
    "signature cut": token()[:-4] + "AAAA",
    "signature missing": token().rpartition(".")[0] + ".",
    "a part more": token() + ".x",
    "unencoded payload": by_hand({"alg": "RS256", "kid": "key-0", "crit": ["b64"], "b64": False}, "AAAA"),
    **{f"header {header!r}": unpadded(orjson.dumps(header)) + ".e30.AAAA" for header in ([], 1, "x", None)},
    **{
        f"header with {name} {value!r}": by_hand({"alg": "RS256", "kid": "key-0", name: value}, "AAAA")
        for name, value in (("alg", ["RS256"]), ("alg", {"a": 1}), ("crit", 1), ("crit", "x"), ("typ", []), ("x5c", 1))
    },
    "a deep header": unpadded(b'{"kid":' + b"[" * 2_000 + b"]" * 2_000 + b"}") + ".e30.AAAA",
    "letters": "a.b.c",
    "dots": "....",
    "too long": "x" * 9_000,
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(forged: str) -> None:
    unpinned = google_keys(0).replace(',"alg":"RS256"', "").replace('"alg":"RS256",', "")
    assert '"alg"' not in unpinned
    for jwks in (google_keys(0), unpinned):
        assert code_of(forged, jwks) == "webhook_token_invalid"


def with_key_inside(**header: Any) -> str:
    """Signed by a stranger's key that the token itself brings along or points to."""
    return token(header, RSAKey.import_key(rsa_key(1)))


@pytest.mark.parametrize(
    ("forged", "code"),
    [
        (lambda: with_key_inside(jwk=google_key(1).as_dict(private=False)), "webhook_token_invalid"),
        (lambda: with_key_inside(jku="https://evil.example/keys"), "webhook_token_invalid"),
        (lambda: with_key_inside(x5u="https://evil.example/cert"), "webhook_token_invalid"),
        (lambda: with_key_inside(kid="key-1"), "webhook_key_unknown"),
        (lambda: with_key_inside(kid="../../key-0"), "webhook_key_unknown"),
        (lambda: with_key_inside(kid="key-0' OR '1'='1"), "webhook_key_unknown"),
        (lambda: by_hand({"alg": "RS256"}, "AAAA"), "webhook_key_unknown"),
        (lambda: by_hand({"alg": "RS256", "kid": ["key-0"]}, "AAAA"), "webhook_key_unknown"),
        (lambda: by_hand({"alg": "RS256", "kid": None}, "AAAA"), "webhook_key_unknown"),
    ],
)
def test_a_token_cannot_choose_its_own_key(forged: Any, code: str) -> None:
    assert code_of(forged()) == code


def test_an_unknown_key_has_a_code_by_which_keys_are_fetched_anew() -> None:
    assert code_of(token({"kid": "key-1"}, RSAKey.import_key(rsa_key(1)))) == "webhook_key_unknown"


def weak_keys() -> str:
    numbers = rsa.generate_private_key(public_exponent=65_537, key_size=1_024).public_key().public_numbers()  # noqa: S505
    key = {"kty": "RSA", "kid": "key-0", "n": unpadded(numbers.n.to_bytes(128, "big")), "e": "AQAB"}
    return orjson.dumps({"keys": [key]}).decode()


NO_KEYS = {
    "an empty object": "{}",
    "no JSON": "nonsense",
    "a list": "[]",
    "no key": '{"keys":[]}',
    "a text": '{"keys":"x"}',
    "a key of an HMAC": orjson.dumps(
        {"keys": [OctKey.generate_key(256, {"kid": "key-0"}).as_dict(private=True)]}
    ).decode(),
    "a short key": weak_keys(),
    "half a key": '{"keys":[{"kty":"RSA","kid":"key-0","n":"' + "A" * 400 + '"}]}',
}


@pytest.mark.parametrize("jwks", NO_KEYS.values(), ids=NO_KEYS)
def test_a_key_set_that_holds_no_rsa_key_is_a_fault_of_the_endpoint(jwks: str) -> None:
    assert code_of(token(), jwks) == "webhook_bad_key"


# ---------------------------------------------------------------- the message


def test_a_message_names_the_mailbox_that_changed() -> None:
    [notice] = list(PUBSUB.scheme.notices(pubsub_body("ann@example.com", 42), {}))
    assert isinstance(notice, Notice)
    assert (notice.object, notice.vendor_id, notice.account) == ("messages", "", "ann@example.com")
    assert notice.occurred_at is not None


def test_the_same_state_of_a_mailbox_told_twice_is_one_event_in_two_deliveries() -> None:
    one, two = pubsub_body(message_id="1"), pubsub_body(message_id="2")
    keys = [PUBSUB.scheme.verify(PUBSUB.request(b), [PUBSUB.secrets[0]], NOW).dedupe_key for b in (one, two)]
    assert len(set(keys)) == 2
    events = [next(iter(PUBSUB.scheme.notices(b, {}))) for b in (one, two, pubsub_body(history=1))]
    keys = [event.dedupe_key for event in events if isinstance(event, Notice)]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "message", [{}, {"messageId": "1"}, {"messageId": "1", "data": "!"}, {"messageId": "1", "data": "W10="}]
)
def test_a_message_of_another_kind_becomes_a_dead_letter(message: dict[str, Any]) -> None:
    with pytest.raises(RecordRejectedError):
        list(PUBSUB.scheme.notices(orjson.dumps({"message": message}), {}))


# ---------------------------------------------------------------- channels


def kept(**changes: str) -> dict[str, str]:
    request = CHANNEL.request()
    return {name: request.headers[name] for name in CHANNEL.scheme.kept_headers()} | changes


def test_a_change_names_the_collection_and_the_channel() -> None:
    assert list(CHANNEL.scheme.notices(b"", kept())) == [
        Notice(
            "events",
            "",
            dedupe_key="id:4ba78bf0-6a47-11e2-bcfd-0800200c9a66/10",
            account="4ba78bf0-6a47-11e2-bcfd-0800200c9a66",
        )
    ]


def test_the_first_message_of_a_channel_is_no_change() -> None:
    [notice] = list(CHANNEL.scheme.notices(b"", kept(**{"x-goog-resource-state": "sync"})))
    assert isinstance(notice, Notice)
    assert notice.signal is Signal.STARTED


def test_a_resource_that_is_gone_is_read_and_not_believed_deleted() -> None:
    [notice] = list(CHANNEL.scheme.notices(b"", kept(**{"x-goog-resource-state": "not_exists"})))
    assert isinstance(notice, Notice)
    assert (notice.deleted, notice.signal) == (False, None)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-goog-channel-id", ""),
        ("x-goog-channel-id", "x" * 65),
        ("x-goog-message-number", "ten"),
        ("x-goog-message-number", ""),
        ("x-goog-resource-state", "<b>"),
    ],
)
def test_wrong_headers_are_refused(header: str, value: str) -> None:
    request = CHANNEL.request()
    altered = replace(request, headers={**request.headers, header: value})
    with pytest.raises(Refused) as caught:
        CHANNEL.scheme.verify(altered, [CHANNEL.secrets[0]], NOW)
    assert caught.value.code == "webhook_header_invalid"


def test_messages_of_a_channel_are_told_apart_by_their_number() -> None:
    found = [next(iter(CHANNEL.scheme.notices(b"", kept(**{"x-goog-message-number": n})))) for n in ("10", "11")]
    assert len({notice.dedupe_key for notice in found if isinstance(notice, Notice)}) == 2
