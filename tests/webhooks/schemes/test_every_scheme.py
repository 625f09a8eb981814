"""What holds for every scheme: it believes what is proved, and nothing else, whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.contract import Notice
from domain.errors import ConfigurationError, RecordRejectedError
from tests.webhooks.schemes.senders import NOW, SENDERS, Sender, incoming
from webhooks.inbound.contract import JWKS, Carries, Incoming, Posted, Refused, Verified
from webhooks.inbound.schemes import SCHEMES, scheme
from webhooks.inbound.schemes.proofs import ApiKey, Basic, Hmac, PublicKeySignature

PROVED = {name: s for name, s in SENDERS.items() if s.proof}
"""Those whose proof is a header, not the address or the body."""
EVERY = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
TIMED = {name: s for name, s in SENDERS.items() if "time" in s.covers}
SIGNING = {name: s for name, s in SENDERS.items() if "body" in s.covers}
MINUTE = timedelta(minutes=1)


def verify(sender: Sender, request: Incoming, *secrets: Any, now: Any = NOW) -> Verified:
    return sender.scheme.verify(request, list(secrets) or [sender.secrets[0]], now)


def refused(sender: Sender, request: Incoming, *secrets: Any, now: Any = NOW) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(sender, request, *secrets, now=now)
    return caught.value


def with_header(request: Incoming, name: str, value: str | None) -> Incoming:
    headers = {key: text for key, text in request.headers.items() if key != name}
    if value is not None:
        headers[name] = value
    return replace(request, headers=MappingProxyType(headers))


def kept(sender: Sender, request: Incoming) -> dict[str, str]:
    return {name: request.headers[name] for name in sender.scheme.kept_headers() if name in request.headers}


def items(sender: Sender, body: bytes | None = None) -> list[Any]:
    request = sender.request(body)
    return list(sender.scheme.notices(request.body, kept(sender, request)))


def test_every_scheme_has_a_sender() -> None:
    assert {s.scheme.name for s in SENDERS.values()} == set(SCHEMES)


# ---------------------------------------------------------------- what is believed


@EVERY
def test_an_authentic_delivery_is_verified(sender: Sender) -> None:
    verified = verify(sender, sender.request())
    assert verified.dedupe_key.isascii()
    assert verified.dedupe_key.isprintable()
    assert 0 < len(verified.dedupe_key) <= 255


@EVERY
def test_a_delivery_sent_again_has_the_same_key(sender: Sender) -> None:
    if "time" in sender.covers and sender.scheme.name == "gohighlevel":
        again = sender.request()  # the time is within the body, which is sent again as it was
    else:
        again = sender.request(now=NOW + MINUTE)
    first, second = verify(sender, sender.request()), verify(sender, again, now=NOW + MINUTE)
    assert first.dedupe_key == second.dedupe_key


@EVERY
def test_the_former_secret_still_verifies_while_it_is_rotated(sender: Sender) -> None:
    new, former = sender.secrets
    assert verify(sender, sender.request(secret=1), new, former)
    assert verify(sender, sender.request(secret=0), new, former)


NO_SECRET_INSIDE = {name: s for name, s in SENDERS.items() if name != "graph"}  # it repeats the secret in the body


@pytest.mark.parametrize("sender", NO_SECRET_INSIDE.values(), ids=NO_SECRET_INSIDE)
def test_the_key_does_not_depend_on_the_secret(sender: Sender) -> None:
    new, former = sender.secrets
    keys = {verify(sender, sender.request(secret=n), new, former).dedupe_key for n in (0, 1)}
    assert len(keys) == 1, "a delivery that is sent again after a rotation is the same one"


@EVERY
def test_items_say_what_the_scheme_says_they_are(sender: Sender) -> None:
    found = items(sender)
    kind = Notice if sender.scheme.carries is Carries.HINT else Posted
    assert found
    assert all(isinstance(item, kind) for item in found)
    assert all(item.dedupe_key for item in found)


@EVERY
def test_the_reply_is_a_success(sender: Sender) -> None:
    assert 200 <= sender.scheme.reply(sender.request()).status < 300


@EVERY
def test_settings_survive_storage(sender: Sender) -> None:
    assert scheme(sender.scheme.name, sender.scheme.describe()) == sender.scheme


# ---------------------------------------------------------------- what is refused


@EVERY
@pytest.mark.parametrize("secrets", [[], [{}], "blank", "spaces"], ids=str)
def test_without_a_secret_nothing_is_believed(sender: Sender, secrets: Any) -> None:
    if isinstance(secrets, str):
        secrets = [dict.fromkeys(sender.secrets[0], "" if secrets == "blank" else "  ")]
    with pytest.raises(Refused) as caught:
        sender.scheme.verify(sender.request(), secrets, NOW)
    assert (caught.value.code, caught.value.status) == ("webhook_no_secret", 503)


@EVERY
def test_another_secret_is_refused(sender: Sender) -> None:
    error = refused(sender, sender.request(secret=1))
    assert (error.code, error.status) == (sender.wrong, 401)


@EVERY
def test_no_refusal_repeats_what_was_sent(sender: Sender) -> None:
    error = refused(sender, sender.request(secret=1))
    for generation in sender.secrets:
        assert not any(value in str(error) for value in generation.values() if len(value) > 3)


@EVERY
def test_a_missing_proof_is_refused(sender: Sender) -> None:
    request = sender.request()
    bare = with_header(request, sender.proof, None) if sender.proof else incoming(b'{"value":[{"a":1}]}')
    assert refused(sender, bare).status == 401


@pytest.mark.parametrize("sender", PROVED.values(), ids=PROVED)
@pytest.mark.parametrize(
    "forged", ["", " ", "x", "v1,", "t=,v1=", "Basic", "Bearer ", "Bearer a.b.c", "Basic !!", "é" * 40]
)
def test_a_forged_proof_is_refused(sender: Sender, forged: str) -> None:
    assert refused(sender, with_header(sender.request(), sender.proof, forged)).status in {400, 401}


@pytest.mark.parametrize("sender", PROVED.values(), ids=PROVED)
def test_a_proof_that_comes_twice_is_refused(sender: Sender) -> None:
    request = with_header(sender.request(), sender.proof, None)
    assert refused(sender, replace(request, repeated=frozenset({sender.proof}))).code == "webhook_repeated_header"


@EVERY
@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "post"])
def test_another_method_is_refused(sender: Sender, method: str) -> None:
    assert refused(sender, replace(sender.request(), method=method)).status == 405


@pytest.mark.parametrize("sender", TIMED.values(), ids=TIMED)
def test_an_old_delivery_is_refused(sender: Sender) -> None:
    request = sender.request()
    late = NOW + timedelta(seconds=sender.past_s)
    assert verify(sender, request, now=late - timedelta(seconds=1))
    assert refused(sender, request, now=late + timedelta(seconds=2)).status == 401


@pytest.mark.parametrize("sender", TIMED.values(), ids=TIMED)
def test_a_delivery_from_the_future_is_refused(sender: Sender) -> None:
    request = sender.request()
    assert verify(sender, request, now=NOW - timedelta(seconds=30))
    assert refused(sender, request, now=NOW - timedelta(seconds=301)).status == 401


WITH_TIMESTAMP = {name: s for name, s in SENDERS.items() if s.timestamp}


@pytest.mark.parametrize("sender", WITH_TIMESTAMP.values(), ids=WITH_TIMESTAMP)
@pytest.mark.parametrize(
    "written",
    ["", "now", "-1", "1e9", " 1772366400", "1772366400.5", "٠", "9" * 17, "9" * 16, "0", "1_772_366_400", "0x1"],
)
def test_a_time_that_is_none_is_refused(sender: Sender, written: str) -> None:
    assert sender.timestamp
    assert refused(sender, with_header(sender.request(), sender.timestamp, written)).status in {400, 401}


@pytest.mark.parametrize("sender", WITH_TIMESTAMP.values(), ids=WITH_TIMESTAMP)
def test_another_time_than_the_signed_one_is_refused(sender: Sender) -> None:
    assert sender.timestamp
    request = sender.request()
    other = str(int(request.headers[sender.timestamp]) + 1)
    assert refused(sender, with_header(request, sender.timestamp, other)).code == "webhook_signature_wrong"


@pytest.mark.parametrize("sender", SIGNING.values(), ids=SIGNING)
@pytest.mark.parametrize("change", [b" ", b"\n", b"\0", b"&x=y"])
def test_an_altered_body_is_refused(sender: Sender, change: bytes) -> None:
    request = sender.request()
    assert refused(sender, replace(request, body=request.body + change)).status in {400, 401}


URL = {name: s for name, s in SENDERS.items() if "url" in s.covers}


@pytest.mark.parametrize("sender", URL.values(), ids=URL)
@pytest.mark.parametrize("change", ["/", "?a=b", "%20", "&x"])
def test_an_altered_address_is_refused(sender: Sender, change: str) -> None:
    request = sender.request()
    assert refused(sender, replace(request, url=request.url + change)).code == "webhook_signature_wrong"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", [n for n in SIGNING if n != "twilio"])
def test_no_byte_of_a_signed_body_can_be_changed(name: str, data: st.DataObject) -> None:
    sender = SIGNING[name]
    request = sender.request()
    at = data.draw(st.integers(0, len(request.body) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != request.body[at]))
    altered = request.body[:at] + bytes([byte]) + request.body[at + 1 :]
    assert refused(sender, replace(request, body=altered)).status in {400, 401}


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 9_999), choice=st.integers(0, 9_999))
@pytest.mark.parametrize("name", PROVED)
def test_no_byte_of_a_proof_can_be_changed(name: str, place: int, choice: int) -> None:
    """Some proofs are another one each time, of another length: so what is drawn must not depend on them."""
    sender = SENDERS[name]
    request = sender.request()
    proof = request.headers[sender.proof]
    at = place % len(proof)
    others = [c for c in map(chr, range(33, 127)) if c.lower() != proof[at].lower()]
    other = others[choice % len(others)]
    altered = with_header(request, sender.proof, proof[:at] + other + proof[at + 1 :])
    assert refused(sender, altered).status in {400, 401}


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200), header=st.text(max_size=60), query=st.text(max_size=60))
@pytest.mark.parametrize("name", SENDERS)
def test_noise_is_refused_and_nothing_else_happens(name: str, body: bytes, header: str, query: str) -> None:
    sender = SENDERS[name]
    headers = MappingProxyType(dict.fromkeys(sender.request().headers, header))
    request = replace(incoming(body, query=query), headers=headers)
    assert refused(sender, request).status in {400, 401}


# ---------------------------------------------------------------- bodies that no one should send

NASTY = {
    "empty": b"",
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "65 deep": b"[" * 65 + b"]" * 65,
    "equal keys": b'{"id":"evt_1","id":"evt_2","event_id":"a","event_id":"b"}',
    "NUL": b'{"id":"a\\u0000b"}',
    "beyond 64 bits": b'{"id":18446744073709551616}',
    "lone surrogate": b'{"id":"\\ud800"}',
    "not a number": b'{"id":NaN}',
    "no JSON": b"<html>",
    "a number": b"1",
    "null": b"null",
    "an entity bomb": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
    "XML 100,000 deep": b"<a>" * 100_000 + b"</a>" * 100_000,
}
BODIED = {name: s for name, s in SENDERS.items() if name != "google_channel"}


def outcomes(sender: Sender, body: bytes) -> Iterator[Refused | RecordRejectedError | Any]:
    """What becomes of a body: the refusal, or what is read from what was stored."""
    request = sender.request(body)
    try:
        assert verify(sender, request)
    except Refused as error:
        yield error
        return
    try:
        yield from sender.scheme.notices(request.body, kept(sender, request))
    except RecordRejectedError as error:
        yield error


@pytest.mark.parametrize("sender", BODIED.values(), ids=BODIED)
@pytest.mark.parametrize("body", NASTY.values(), ids=NASTY)
def test_a_body_that_cannot_be_read_is_refused_or_becomes_a_dead_letter(sender: Sender, body: bytes) -> None:
    found = list(outcomes(sender, body))
    for error in found:
        if isinstance(error, Posted):
            assert sender.scheme.name == "generic"
            assert error.data in (1, None), "any JSON may be posted to a generic endpoint"
            continue
        assert isinstance(error, Refused | RecordRejectedError)
        assert error.code.startswith("webhook_")
        assert not isinstance(error, Refused) or error.status in {400, 401, 413}
    assert found


STORED = {name: s for name, s in SIGNING.items() if not s.parsed}


@pytest.mark.parametrize("sender", STORED.values(), ids=STORED)
def test_a_signed_body_that_cannot_be_read_is_not_lost(sender: Sender) -> None:
    assert verify(sender, sender.request(b'{"id":"a\\u0000b","id":1}'))


# ---------------------------------------------------------------- the catalogue


@pytest.mark.parametrize("name", SCHEMES)
def test_the_catalogue_tells_what_a_form_needs(name: str) -> None:
    kind = SCHEMES[name]
    assert kind.label
    assert kind.__doc__
    assert kind.docs_url.startswith("https://") or name == "generic"
    assert kind.secrets or kind.model_fields.keys() & {"keys_url"}, "something has to verify"
    assert all(secret.label and secret.help for secret in kind.secrets)
    assert kind.model_json_schema()["type"] == "object"


@EVERY
def test_what_is_needed_is_among_the_secrets(sender: Sender) -> None:
    names = {secret.name for secret in sender.scheme.needed()}
    assert names == set(sender.secrets[0]) - ({JWKS} if sender.scheme.keys_at() else set())
    assert names <= {secret.name for secret in sender.scheme.secrets}


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheme("hubspott")
    assert caught.value.code == "no_such_scheme"
    assert "hubspot" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("hubspot", {"client_secret": "x"}),
        ("salesforce_outbound", {}),
        ("salesforce_outbound", {"organization_id": "001000000000001"}),
        ("google_pubsub", {"audience": "a"}),
        ("gohighlevel", {"past_s": 0}),
        ("generic", {}),
        ("generic", {"proof": {"kind": "none"}}),
        ("generic", {"proof": {"kind": "hmac", "header": "x", "algorithm": "md5"}}),
        ("generic", {"proof": {"kind": "hmac", "header": "x y"}}),
        ("generic", {"proof": {"kind": "basic"}, "idempotency_path": "$..id"}),
        ("generic", {"proof": {"kind": "basic"}, "idempotency_path": "$.a[?search(@.b, '(a+)+$')]"}),
        ("generic", {"proof": {"kind": "basic"}, "idempotency_path": "$.a | $.b"}),
        ("generic", {"proof": {"kind": "basic"}, "idempotency_path": "/a/b"}),
        ("generic", {"proof": {"kind": "basic"}, "idempotency_path": "$.a", "idempotency_header": "x-id"}),
        ("generic", {"proof": {"kind": "basic"}, "fields": {"email": "$.email"}}),
        ("generic", {"proof": {"kind": "basic"}, "filters": [{"path": "$.a", "op": "in", "value": 1}]}),
        ("generic", {"proof": {"kind": "basic"}, "filters": [{"path": "$.a", "op": "exists", "value": 1}]}),
    ],
)
def test_wrong_settings_are_refused_by_name(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheme(name, given)
    assert caught.value.code == "scheme_settings"


REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "webhook-schemes.md"


@pytest.mark.parametrize("name", SCHEMES)
def test_the_reference_has_every_scheme_secret_and_setting(name: str) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    [row] = [line for line in text.splitlines() if line.startswith(f"| `{name}` |") and line.count("|") == 7]
    assert [secret.name for secret in SCHEMES[name].secrets if f"`{secret.name}`" not in row] == []
    assert SCHEMES[name].carries.value in row
    assert [field for field in SCHEMES[name].model_fields if f"`{field}`" not in text] == []


@pytest.mark.parametrize("proof", [Hmac, PublicKeySignature, Basic, ApiKey])
def test_the_reference_has_every_setting_of_a_proof(proof: Any) -> None:
    text = REFERENCE.read_text(encoding="utf-8").partition("## Proofs")[2]
    assert [field for field in proof.model_fields if f"`{field}`" not in text] == []
    assert f"| `{proof.model_fields['kind'].default}` |" in text
