"""Attacks on the door for webhooks (``POST /hooks/…``): what is not believed is not stored, what is sent again is stored once.

Most are made twice: sent in one piece, which the connection hands over at once, and in two, which goes through the application.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID, uuid4

from benchmarks.attacks_siege import Score, Siege, status
from storage import inbox
from webhooks.inbound import endpoints
from webhooks.inbound.addresses import PREFIX, ref_of
from webhooks.inbound.schemes.checks import TOLERANCE_S

SETTINGS: dict[str, dict[str, Any]] = {
    "generic": {
        "proof": {"kind": "hmac", "header": "x-signature", "prefix": "sha256=", "timestamp_header": "x-timestamp"},
        "idempotency_path": "$.id",
    },
    "salesforce_outbound": {"organization_id": "00D7F00000107XsUAI"},
}
FORM = "application/x-www-form-urlencoded"
READ_MB_MAX = 64
_HTML = "<script>alert(1)</script>"

Headers = Mapping[str, str]


class Heard(NamedTuple):
    """An answer: 0 where the server hung up without one; ``code`` of a problem, else empty."""

    status: int
    code: str


@dataclass(frozen=True)
class Target:
    """An endpoint of a tenant, and what its sender knows."""

    siege: Siege
    tenant: UUID
    id: UUID
    secret: str

    @classmethod
    def make(cls, siege: Siege, scheme: str, tenant: UUID | None = None, **given: str) -> Target:
        of, hub = tenant or siege.tenant, siege.hub
        with hub.db.tenant(of) as conn:
            made, shown = endpoints.add(
                conn, hub.vault, name=f"{scheme} {uuid4()}", scheme_name=scheme, settings=SETTINGS.get(scheme), given=given
            )  # fmt: skip
        return cls(siege, of, made.id, next(iter((shown | given).values())))

    @property
    def path(self) -> str:
        return PREFIX + ref_of(self.tenant, self.id)

    @property
    def url(self) -> str:
        """The address that signatures cover."""
        return self.siege.hub.settings.public_url + self.path

    def stored(self) -> int:
        with self.siege.hub.db.tenant(self.tenant) as conn:
            return len(inbox.entries(conn, endpoint_id=self.id, limit=1_000))

    def signed(
        self, body: bytes, age_s: int = 0, secret: str | None = None, stamp: str | None = None
    ) -> dict[str, str]:
        written = stamp or str(int(time.time()) - age_s)
        key = (secret or self.secret).encode()
        digest = hmac.new(key, written.encode("latin-1") + b"." + body, hashlib.sha256).hexdigest()
        return {"x-signature": f"sha256={digest}", "x-timestamp": written, "content-type": "application/json"}

    def by_twilio(self, fields: Mapping[str, str], url: str = "") -> dict[str, str]:
        text = (url or self.url) + "".join(name + value for name, value in sorted(fields.items()))
        digest = hmac.new(self.secret.encode(), text.encode(), hashlib.sha1).digest()
        return {"x-twilio-signature": base64.b64encode(digest).decode(), "content-type": FORM}

    def post(self, body: bytes, headers: Headers, path: str = "", *, pieces: int = 1, method: str = "POST") -> Heard:
        """One request on a connection of its own, in one piece or with its body after its headers."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"{method} {path or self.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        )
        return self.heard(_in_pieces(f"{head}{lines}\r\n".encode("latin-1"), body, pieces))

    def heard(self, data: bytes | Iterator[bytes]) -> Heard:
        return heard(self.siege.raw(data))

    def each(self, score: Score, name: str, body: bytes, headers: Headers, expected: Heard, **more: Any) -> None:
        """Attack by both ways, and expect the same answer."""
        for pieces in (1, 2):
            got = self.post(body, headers, pieces=pieces, **more)
            score.expect(f"door: {name}, in {pieces}", got, expected)


def heard(answer: bytes) -> Heard:
    """The first answer of what a server sent."""
    body = answer.partition(b"\r\n\r\n")[2]
    code = json.loads(body).get("code", "") if b"application/problem+json" in answer.lower() else ""
    return Heard(status(answer), code)


def _in_pieces(head: bytes, body: bytes, pieces: int) -> Iterator[bytes]:
    if pieces == 1:
        yield head + body
    else:
        yield head
        time.sleep(0.02)
        yield body


def post_of(key: str, **more: Any) -> bytes:
    return json.dumps({"id": key, **more}).encode()


def door_signatures(siege: Siege, score: Score) -> None:
    """Deliveries that prove nothing, or prove something else."""
    target, body = Target.make(siege, "generic"), post_of("forged")
    good, wrong = target.signed(body), Heard(401, "webhook_signature_wrong")
    missing, invalid = Heard(401, "webhook_signature_missing"), Heard(400, "webhook_timestamp_invalid")
    for what, headers, expected in (
        ("no headers", {}, missing),
        ("no signature", _without(good, "x-signature"), missing),
        ("no timestamp", _without(good, "x-timestamp"), missing),
        ("empty signature", good | {"x-signature": ""}, missing),
        ("forged signature", good | {"x-signature": "sha256=" + "0" * 64}, wrong),
        ("another secret", target.signed(body, secret="guessed"), wrong),
        ("empty secret", target.signed(body, secret="\0"), wrong),
        ("signature cut short", good | {"x-signature": good["x-signature"][:-1]}, wrong),
        ("signature without its prefix", good | {"x-signature": good["x-signature"][7:]}, wrong),
        ("signature of odd characters", good | {"x-signature": "sha256=\xff\xfe" + "0" * 62}, wrong),
        ("signature of 30,000 characters", good | {"x-signature": "sha256=" + "0" * 30_000}, wrong),
        ("signature of another time", good | {"x-timestamp": str(int(good["x-timestamp"]) - 1)}, wrong),
        ("stale", target.signed(body, TOLERANCE_S + 10), Heard(401, "webhook_stale")),
        ("from the future", target.signed(body, -TOLERANCE_S - 30), Heard(401, "webhook_from_future")),
        *((f"timestamp {s!r}", target.signed(body, stamp=s), invalid) for s in ("-1", "1e9", "now", "\xb2", "9" * 40)),
    ):
        target.each(score, what, body, headers, expected)
    for what, altered in (("altered", body.replace(b"forged", b"forgee")), ("with a blank more", body + b" ")):
        target.each(score, f"body {what}", altered, good, wrong)
    twice = {**good, "X-Signature": "sha256=" + "0" * 64}
    target.each(score, "two signatures", body, twice, Heard(400, "webhook_repeated_header"))
    score.expect("door: nothing of what was not believed is stored", target.stored(), 0)


def door_replays(siege: Siege, score: Score) -> None:
    """The same delivery again: answered as the first time, stored once."""
    target, body = Target.make(siege, "generic"), post_of("replayed")
    good = target.signed(body)
    for number in range(6):
        score.expect("door: sent again", target.post(body, good, pieces=1 + number % 2), Heard(202, ""))
    with ThreadPoolExecutor(10) as threads:
        for got in threads.map(lambda n: target.post(body, good, pieces=1 + n % 2), range(40)):
            score.expect("door: sent again at once", got, Heard(202, ""))
    for age_s in (1, 100, TOLERANCE_S - 30):
        again = target.post(body, target.signed(body, age_s))
        score.expect("door: signed anew", again, Heard(202, ""))
    score.expect("door: what was sent 49 times is stored once", target.stored(), 1)


def door_addresses(siege: Siege, score: Score) -> None:
    """Signatures that cover the address (Twilio's): neither it nor the form can be another one."""
    fields = {"MessageSid": "SM" + "0" * 32, "AccountSid": "AC" + "0" * 32, "Body": "hello"}
    target, body = Target.make(siege, "twilio", auth_token="token"), urlencode(fields).encode()
    good, wrong = target.by_twilio(fields), Heard(401, "webhook_signature_wrong")
    for what, path in (("with a query", "?a=b"), ("with a path behind it", "/x"), ("with a slash behind it", "/")):
        target.each(score, f"address {what}", body, good, wrong, path=target.path + path)
    elsewhere = target.by_twilio(fields, "https://evil.example" + target.path)
    claims = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil.example"}
    target.each(score, "address that only headers claim", body, elsewhere | claims, wrong)
    target.each(score, "form altered", body.replace(b"hello", b"hellp"), good, wrong)
    target.each(score, "form with a field more", body + b"&To=me", good, wrong)
    target.each(score, "form as JSON", body, good | {"content-type": "application/json"}, wrong)
    target.each(score, "form of parts", body, good | {"content-type": "multipart/form-data; boundary=x"}, wrong)
    score.expect("door: nothing of another address is stored", target.stored(), 0)
    for number in range(4):
        headers = good | {"i-twilio-idempotency-token": str(number)}
        score.expect("door: under another token", target.post(body, headers, pieces=1 + number % 2).status, 200)
    score.expect("door: under another token, stored once", target.stored(), 1)


def door_places(siege: Siege, score: Score) -> None:
    """Endpoints that are nobody's or somebody else's."""
    mine, theirs = Target.make(siege, "generic"), Target.make(siege, "generic", siege.other)
    body, nobody = post_of("misplaced"), Heard(404, "no_such_endpoint")
    good = mine.signed(body)
    for what, ref in (
        ("unknown", ref_of(siege.tenant, uuid4())),
        ("of no tenant", ref_of(uuid4(), mine.id)),
        ("another tenant's under mine", ref_of(siege.tenant, theirs.id)),
        ("mine under another tenant", ref_of(siege.other, mine.id)),
        ("none", ""),
        ("too long", "A" * 10_000),
        ("not as it is written", ref_of(siege.tenant, mine.id)[:-1] + "="),
        ("escaped", "%41" * 43),
        ("NUL", "%00"),
        ("a way up", "../v1/me"),
        ("an escaped way up", "%2e%2e%2fv1%2fme"),
        ("SQL", "';--"),
    ):
        mine.each(score, f"endpoint: {what}", body, good, nobody, path=PREFIX + ref)
    wrong = Heard(401, "webhook_signature_wrong")
    mine.each(score, "another tenant's secret", body, theirs.signed(body), wrong)
    theirs.each(score, "my secret at another tenant's", body, good, wrong)
    for method in ("GET", "DELETE", "PATCH", "OPTIONS"):
        mine.each(score, f"method {method}", body, good, Heard(405, "webhook_method"), method=method)
    mine.each(score, "method of another", body, good | {"x-http-method-override": "DELETE"}, Heard(202, ""))
    score.expect("door: stored is what was posted to its endpoint", (mine.stored(), theirs.stored()), (1, 0))
    paths, other = Target.make(siege, "salesforce_outbound"), Target.make(siege, "salesforce_outbound", siege.other)
    refused = Heard(401, "webhook_credentials_wrong")
    for what, end in (
        ("another tenant's", f"/{other.secret}"),
        ("cut short", f"/{paths.secret[:-1]}"),
        ("escaped", "/" + "".join(f"%{ord(c):02x}" for c in paths.secret)),
        ("in the query", f"?token={paths.secret}"),
        ("missing", ""),
    ):
        paths.each(score, f"token of the path: {what}", b"<a/>", {}, refused, path=paths.path + end)


def door_bodies(siege: Siege, score: Score) -> None:
    """Bodies that their sender signed, and that no one can read or store; those too large are not read at all."""
    target = Target.make(siege, "generic")
    digits = b'{"id":' + b"9" * 500_000 + b"}"
    for what, body, code in (
        ("depth of lists", b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        ("depth of objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too_deep"),
        ("depth without an end", b"[" * 100_000, "too_deep"),
        ("a name twice", b'{"id":"a","id":"b"}', "repeats_key"),
        ("NUL", b'{"id":"a\\u0000"}', "nul"),
        ("a bare NUL", b'{"id":"a\0"}', "not_json"),
        ("half a character", b'{"id":"\\ud800"}', "not_json"),
        ("a number of 500,000 digits", digits, "not_json"),
        ("a number beyond 64 bits", b'{"id":18446744073709551616}', "number"),
        ("NaN", b'{"id":NaN}', "not_json"),
        ("UTF-16", '{"id":"a"}'.encode("utf-16"), "not_json"),
        ("nothing", b"", "not_json"),
        ("a form", b"id=a", "not_json"),
        ("a bomb that says not what it is", gzip.compress(b" " * (64 << 20)), "not_json"),
    ):
        target.each(score, f"body: {what}", body, target.signed(body), Heard(400, f"webhook_body_{code}"))
    body = b'{"no":"id"}'
    target.each(score, "body without identity", body, target.signed(body), Heard(400, "webhook_no_identity"))
    large = post_of("large", filler="x" * (1 << 20))
    target.each(score, "body of 1 MB and more", large, target.signed(large), Heard(413, "webhook_body_too_large"))
    bomb = gzip.compress(b" " * (64 << 20))
    for encoding in ("gzip", "br", "identity, gzip"):
        packed = target.signed(bomb) | {"content-encoding": encoding}
        target.each(score, f"bomb by {encoding}", bomb, packed, Heard(415, "webhook_encoded"))
    score.expect("door: no body that cannot be read is stored", target.stored(), 0)
    for number, kind in enumerate(("text/plain", FORM, "text/xml", "multipart/form-data; boundary=x", "a" * 5_000)):
        body = post_of(f"kind {number}")
        headers = target.signed(body) | {"content-type": kind}
        target.each(score, f"signed JSON as {kind[:20]}", body, headers, Heard(202, ""))
    score.expect("door: a wrong type makes no other delivery of it", target.stored(), 5)
    _xml(siege, score)


def _xml(siege: Siege, score: Score) -> None:
    target = Target.make(siege, "salesforce_outbound")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for what, body, code in (
        ("entities that multiply", f'<!DOCTYPE a [<!ENTITY l0 "lol">{laughs}]><a>&l9;</a>', "not_xml"),
        ("an entity from a file", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "not_xml"),
        ("depth", "<a>" * 100_000, "too_deep"),
    ):
        refused = Heard(400, f"webhook_body_{code}")
        target.each(score, f"XML: {what}", body.encode(), {}, refused, path=f"{target.path}/{target.secret}")


def door_lengths(siege: Siege, score: Score) -> None:
    """Bodies without an end, or whose length is a threat: refused before they are read, and not read on."""
    target = Target.make(siege, "generic")
    nobody = PREFIX + ref_of(siege.tenant, uuid4())
    for what, path, expected in (
        ("an endpoint", target.path, Heard(413, "webhook_body_too_large")),
        ("no endpoint", nobody, Heard(404, "no_such_endpoint")),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n"
        for size in ("1000000000", "9" * 18):
            got = target.heard(f"{head}Content-Length: {size}\r\n\r\n{{".encode())
            score.expect(f"door: {size} bytes declared to {what}", got, expected)
        got, sent = _endless(target, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), b"10000\r\n", b"\r\n")
        score.expect(f"door: endless chunks to {what}", got, expected, Heard(0, ""))
        score.expect(f"door: endless chunks to {what} are not read on", sent < READ_MB_MAX << 20, True)
        got, sent = _endless(target, f"{head}Content-Length: 9999999999\r\n\r\n".encode())
        score.expect(f"door: endless body to {what}", got, expected, Heard(0, ""))
        score.expect(f"door: endless body to {what} is not read on", sent < READ_MB_MAX << 20, True)
    got = target.heard(f"POST {target.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {'9' * 30}\r\n\r\n{{".encode())
    score.expect("door: a length beyond 64 bits", got.status, 400)


def _endless(target: Target, head: bytes, before: bytes = b"", after: bytes = b"") -> tuple[Heard, int]:
    """Send until the server hangs up, 256 MB at most; what it said, and how many bytes were sent."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield head
        while sent < 256 << 20:
            sent += 1 << 16
            yield before + b" " * 65_536 + after

    return target.heard(pieces()), sent


def door_handshakes(siege: Siege, score: Score) -> None:
    """Microsoft Graph's validation token is repeated as text, and never as a page or a header."""
    target = Target.make(siege, "graph")
    for what, token in (("HTML", _HTML), ("an attribute", '" onload="alert(1)'), ("a template", "{{7*7}}${7*7}")):
        query = urlencode({"validationToken": token})
        reply = siege.http.post(f"{target.path}?{query}")
        score.expect(
            f"door: token: {what}",
            (reply.status_code, reply.headers["content-type"]),
            (200, "text/plain; charset=utf-8"),
        )
        bare = any(sign in reply.text for sign in '<>"')
        score.expect(f"door: token: {what}, escaped", bare, False)
    invalid = Heard(400, "webhook_handshake_invalid")
    for what, query in (
        ("two", "validationToken=a&validationToken=b"),
        ("a line of headers", "validationToken=a%0d%0aSet-Cookie:%20evil=1"),
        ("NUL", "validationToken=%00"),
        ("empty", "validationToken="),
        ("of 5,000 characters", "validationToken=" + "a" * 5_000),
    ):
        target.each(score, f"token: {what}", b"", {}, invalid, path=f"{target.path}?{query}")
    for what, state in (("forged", "guessed"), ("of no text", 1), ("missing", None)):
        body = json.dumps({"value": [{"id": "1", "clientState": state}]}).encode()
        target.each(score, f"client state {what}", body, {}, Heard(401, "webhook_credentials_wrong"))
    mixed = [{"id": "1", "clientState": target.secret}, {"id": "2", "clientState": "guessed"}]
    body = json.dumps({"value": mixed}).encode()
    target.each(score, "client state forged beside a good one", body, {}, Heard(401, "webhook_credentials_wrong"))
    score.expect("door: no handshake is stored", target.stored(), 0)


def door_smuggling(siege: Siege, score: Score) -> None:
    """Requests within requests: refused, and the hidden one neither answered nor stored."""
    target, body = Target.make(siege, "generic"), post_of("hidden")
    lines = "".join(f"{name}: {value}\r\n" for name, value in target.signed(body).items())
    length = f"Content-Length: {len(body)}\r\n"
    inner = f"POST {target.path} HTTP/1.1\r\nHost: x\r\n{lines}{length}\r\n{body.decode()}"
    post = f"POST {target.path} HTTP/1.1\r\nHost: x\r\n"
    for what, text in {
        "length and chunks": f"{post}Content-Length: {len(inner) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
        "chunks and length": f"{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{len(inner):x}\r\n{inner}\r\n0\r\n\r\n",
        "two lengths": f"{post}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
        "two equal lengths": f"{post}Content-Length: {len(inner)}\r\nContent-Length: {len(inner)}\r\n\r\n{inner}",
        "two lengths in one": f"{post}Content-Length: 0, {len(inner)}\r\n\r\n{inner}",
        "length with a sign": f"{post}Content-Length: +0\r\n\r\n{inner}",
        "chunks misspelt": f"{post}Transfer-Encoding: xchunked\r\n\r\n{inner}",
        "chunks with a blank": f"{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}",
        "chunks after another encoding": f"{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}",
        "folded header": f"{post}X: a\r\n Content-Length: 0\r\nContent-Length: 5\r\n\r\n{inner}",
        "bare line feeds": f"{post.replace(chr(13), '')}Content-Length: 0\n\n{inner}",
        "chunk size with a sign": f"{post}Transfer-Encoding: chunked\r\n\r\n-1\r\n{inner}",
    }.items():
        answer = siege.raw(text.encode())
        score.expect(f"door: smuggling: {what}", heard(answer).status, 400, 401)
        score.expect(f"door: smuggling: {what}, hidden not stored", target.stored(), 0)
    score.expect("door: the same in the open", siege.raw(inner.encode()).startswith(b"HTTP/1.1 202"), True)


DOOR: tuple[Callable[[Siege, Score], None], ...] = (
    door_signatures, door_replays, door_addresses, door_places, door_bodies, door_lengths, door_handshakes, door_smuggling,
)  # fmt: skip


def _without(headers: Headers, name: str) -> dict[str, str]:
    return {known: value for known, value in headers.items() if known != name}
