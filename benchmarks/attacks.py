"""Attacks on a running API: each has an expected answer, and the process must neither grow nor fall.

    python -m benchmarks.attacks          (make attacks; last line: {"attacks": n, "held": n, …})

The server is a process of its own over an embedded database in a temporary home.
"""

from __future__ import annotations

import gzip
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from api.bodies import READ_WITHIN_S
from api.protocol import HEADERS_WITHIN_S
from benchmarks.attacks_door import DOOR
from benchmarks.attacks_siege import (
    CALLS_AT_ONCE,
    FAILURES_PER_MINUTE,
    Score,
    Siege,
    bearer,
    besieged,
    rest,
    status,
    trickled,
    watched,
)
from storage import api_keys
from tests.api.issuer import claims, forged, signed
from tests.api.samples import ENDLESS, FACTORIES, FREE, NO_PERMISSION, PUBLIC, SHARED, example, operations

GROWTH_MB_MAX = 50.0
NAMES = {
    "SQL": "x'); DROP TABLE api_key; --",
    "SQL in a comment": "*/ UNION SELECT secret_hash FROM api_key /*",
    "CSV formula": "=cmd|' /C calc'!A0",
    "HTML": "<script>alert(1)</script>",
    "HTML attribute": '" onmouseover="alert(1)',
    "template": "{{7*7}} ${7*7} #{7*7}",
    "format": "%s%n {0.__class__}",
    "header": "a\r\nSet-Cookie: evil=1",
    "log": 'x\n{"level": "ERROR"}',
    "right to left": "\u202egnp.exe",
}


def tokens(siege: Siege, score: Score) -> None:
    """Tokens that prove nothing."""
    for what, token in forged().items():
        reply = siege.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        score.expect(f"token: {what}", reply.status_code, 401)
    good = siege.http.get("/v1/me", headers={"Authorization": f"Bearer {signed(claims())}"})
    score.expect("token: good, of nobody who was invited", good.status_code, 404)


def routes(siege: Siege, score: Score) -> None:
    """Every route: without a key, with ids and in the name of another tenant, with fields that it does not name."""
    for operation in operations():
        if operation.id in PUBLIC:
            continue
        theirs = {name: FACTORIES[name](siege.hub.db, siege.other) for name in operation.parameters}
        foreign = {name: str(uuid4()) if name in SHARED else value for name, value in theirs.items()}
        score.expect(f"{operation.id}: no key", siege.call(operation, theirs, ""), 401)
        visiting = siege.call(operation, theirs, siege.key, **{"Syncline-Tenant": str(siege.other)})
        score.expect(f"{operation.id}: another tenant by header", visiting, 404)
        if operation.parameters:
            score.expect(f"{operation.id}: foreign id", siege.call(operation, foreign, siege.key_for(operation)), 404)
            odd = dict.fromkeys(operation.parameters, "..%2f..%2fetc%2fpasswd")
            score.expect(f"{operation.id}: path", siege.call(operation, odd, siege.key_for(operation)), 404, 422)
        if operation.body is not None and operation.id not in {**NO_PERMISSION, **FREE}:
            body = {**example(operation.body), "tenant_id": str(siege.other)}
            code = siege.call(operation, theirs, siege.key_for(operation), body)
            score.expect(f"{operation.id}: tenant_id in the body", code, 422)


def bodies(siege: Siege, score: Score) -> None:
    """Bodies that are too large, too deep, compressed, ambiguous."""
    head = (
        f"POST /v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {siege.key}\r\nContent-Type: application/json\r\n"
    )
    score.expect("1 GB declared", status(siege.raw(f"{head}Content-Length: 1000000000\r\n\r\n{{".encode())), 413)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        while sent < 256 << 20:
            sent += 1 << 16
            yield b"10000\r\n" + b" " * 65_536 + b"\r\n"

    score.expect("endless chunks", status(siege.raw(endless())), 413, 0)
    score.expect("endless chunks are not read on", sent < 64 << 20, True)
    for name, body, code in (
        ("depth of lists", b"[" * 1_000_000, 400),
        ("depth of objects", b'{"a":' * 200_000, 400),
        ("quotes without an end", b'"' + b'\\"' * 500_000, 400),
        ("a name twice", b'{"name":"a","name":"b","role":"member"}', 400),
        ("NUL", b'{"name":"a\\u0000","role":"member"}', 400),
        ("half a character", b'{"name":"\\ud800","role":"member"}', 400),
        ("a number of 500,000 digits", b'{"name":' + b"9" * 500_000 + b"}", 400),
        ("a list of 500,000", b"[" + b"1," * 499_999 + b"1]", 422),
        ("an object of 60,000 names", json.dumps({f"n{i}": 1 for i in range(60_000)}).encode(), 400),
        ("UTF-16", '{"name":"a","role":"member"}'.encode("utf-16"), 400),
    ):
        score.expect(name, siege.http.post("/v1/keys", content=body, headers=bearer(siege.key)).status_code, code)
    bomb = gzip.compress(b" " * (64 << 20))
    packed = {**bearer(siege.key), "Content-Encoding": "gzip"}
    score.expect("gzip bomb", siege.http.post("/v1/keys", content=bomb, headers=packed).status_code, 415)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/xml"):
        headers = {**bearer(siege.key), "Content-Type": kind}
        score.expect(f"body as {kind}", siege.http.post("/v1/keys", content=b"{}", headers=headers).status_code, 415)
    for path in ("/v1/connectors/a%00", "/v1/connectors/%ff", "/v1/audit?action=%00"):
        score.expect(path, siege.http.get(path, headers=bearer(siege.key)).status_code, 400)


def names(siege: Siege, score: Score) -> None:
    """Names that mean something to somebody else: stored and shown as they are, as JSON."""
    for what, name in NAMES.items():
        made = siege.http.post("/v1/keys", json={"name": name, "role": "read_only"}, headers=bearer(siege.key))
        score.expect(f"name: {what}", made.status_code, 201)
        listed = siege.http.get("/v1/keys", headers=bearer(siege.key))
        score.expect(f"name: {what}, shown as it is", name.strip() in [k["name"] for k in listed.json()], True)
        safe = (listed.headers["content-type"], listed.headers["x-content-type-options"], "set-cookie" in made.headers)
        score.expect(f"name: {what}, as JSON", safe, ("application/json", "nosniff", False))
    for what, text in NAMES.items():
        reply = siege.http.get("/v1/audit", params={"action": text, "cursor": text}, headers=bearer(siege.key))
        score.expect(f"filter: {what}", reply.status_code, 422)
        reply = siege.http.get("/v1/audit", params={"actor": text}, headers=bearer(siege.key))
        score.expect(f"filter: {what}, which finds nothing", (reply.status_code, reply.json()["items"]), (200, []))


def smuggling(siege: Siege, score: Score) -> None:
    """Requests within requests: never two answers, never the hidden one's."""
    hidden = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    post = (
        f"POST /v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {siege.key}\r\nContent-Type: application/json\r\n"
    )
    for what, text in {
        "length and chunks": f"{post}Content-Length: {len(hidden) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        "chunks and length": f"{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{hidden}\r\n0\r\n\r\n",
        "two lengths": f"{post}Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
        "two lengths in one": f"{post}Content-Length: 0, {len(hidden)}\r\n\r\n{hidden}",
        "length with a sign": f"{post}Content-Length: +{len(hidden)}\r\n\r\n{hidden}",
        "chunks misspelt": f"{post}Transfer-Encoding: xchunked\r\n\r\n{hidden}",
        "chunks with a blank": f"{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}",
        "folded header": f"{post}X: a\r\n Content-Length: 0\r\nContent-Length: 5\r\n\r\n{hidden}",
        "bare line feeds": f"{post.replace(chr(13), '')}Content-Length: 0\n\n{hidden}",
    }.items():
        answer = siege.raw(text.encode())
        score.expect(f"smuggling: {what}", b'"live"' in answer, False)
    for what, text in {
        "no host of sense": "GET /v1/keys HTTP/1.1\r\nHost: a b\r\n\r\n",
        "absolute address": "GET http://evil.example.com/v1/keys HTTP/1.1\r\nHost: x\r\n\r\n",
        "method of another": "GET /v1/keys HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    }.items():
        score.expect(f"request: {what}", status(siege.raw(text.encode())), 400, 401, 404)
    large = f"GET /v1/keys HTTP/1.1\r\nHost: x\r\nX: {'a' * (1 << 20)}\r\n\r\n"
    score.expect("header of 1 MB", status(siege.raw(large.encode())), 400, 401, 431, 0)


def slow(siege: Siege, score: Score) -> None:
    """A hundred callers who never finish their headers or bodies, and one who does; they are answered and let go."""
    lines = [socket.create_connection(("127.0.0.1", siege.port)) for _ in range(100)]
    for number, line in enumerate(lines):
        begun = "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{" if number % 2 else "X-Slow: "
        line.sendall(f"POST /v1/keys HTTP/1.1\r\nHost: x\r\n{begun}".encode())
    began = time.monotonic()
    score.expect("while others never finish", siege.http.get("/v1/me", headers=bearer(siege.key)).status_code, 200)
    score.expect("while others never finish, at once", time.monotonic() - began < 5, True)
    for number, line in enumerate(lines):
        part, within_s = ("body", READ_WITHIN_S) if number % 2 else ("headers", HEADERS_WITHIN_S)
        line.settimeout(max(1.0, began + within_s + 15 - time.monotonic()))
        score.expect(f"never finished: {part}", status(rest(line)), 408)
        line.close()
    line = socket.create_connection(("127.0.0.1", siege.port), timeout=HEADERS_WITHIN_S + 15)
    began = time.monotonic()
    line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n")
    score.expect("headers that trickle in", status(trickled(line, b"X-Slow: 1\r\n")), 408)
    score.expect("headers that trickle in, ended in time", time.monotonic() - began < HEADERS_WITHIN_S + 10, True)
    silent = socket.create_connection(("127.0.0.1", siege.port), timeout=HEADERS_WITHIN_S + 15)
    score.expect("a connection on which nothing comes is closed", rest(silent), b"")


def limits(siege: Siege, score: Score) -> None:
    """Callers who call too often, and strangers who try keys, whatever address they claim to call from."""
    mine = [siege.strict.get("/v1/me", headers=bearer(siege.key)) for _ in range(CALLS_AT_ONCE + 20)]
    score.expect("too many calls of a key", mine[-1].status_code, 429)
    score.expect("too many calls of a key, let through at first", mine[0].status_code, 200)
    score.expect("too many calls of a key, told when to go on", int(mine[-1].headers.get("retry-after", 0)) > 0, True)
    other = siege.strict.get("/v1/keys", headers=bearer(siege.root))
    score.expect("too many calls of another key", other.status_code, 200)
    tries = []
    for number in range(FAILURES_PER_MINUTE + 10):
        headers = {
            "Authorization": f"Bearer sk_{number}",
            "X-Forwarded-For": f"203.0.113.{number}",
            "Forwarded": "for=x",
        }
        tries.append(siege.strict.get("/v1/me", headers=headers))
    score.expect("tried keys, at first", tries[0].status_code, 401)
    score.expect("tried keys, from an address that is claimed", tries[-1].status_code, 429)
    score.expect("tried keys, told when to go on", int(tries[-1].headers.get("retry-after", 0)) > 0, True)
    good = siege.strict.get("/v1/keys", headers=bearer(siege.root))
    score.expect("tried keys do not lock out who signed in from there", good.status_code, 200)


def keys(siege: Siege, score: Score) -> None:
    """What was kept for one caller is replayed to no other."""
    repeated = {"Idempotency-Key": str(uuid4())}
    body = {"name": "once", "role": "read_only"}
    mine = siege.http.post("/v1/keys", json=body, headers={**bearer(siege.key), **repeated})
    with siege.hub.db.tenant(siege.other) as conn:
        _, theirs = api_keys.create(conn, name="theirs", role="tenant_admin", created_by="attacks")
    other = siege.http.post("/v1/keys", json=body, headers={**bearer(theirs), **repeated})
    score.expect("replay of another's answer", other.json().get("secret") == mine.json()["secret"], False)
    for what, key in {"too long": "k" * 300, "blank": "a b", "empty": ""}.items():
        reply = siege.http.post("/v1/keys", json=body, headers={**bearer(siege.key), "Idempotency-Key": key})
        score.expect(f"idempotency key: {what}", reply.status_code, 400)


ATTACKS: tuple[Callable[[Siege, Score], None], ...] = (
    tokens, routes, names, keys, smuggling, slow, limits, bodies, *DOOR,
)  # fmt: skip


def main() -> int:
    score = Score()
    with tempfile.TemporaryDirectory(prefix="syncline-attacks-") as folder, besieged(Path(folder)) as (siege, process):
        for operation in (o for o in operations() if o.id not in ENDLESS):  # what is loaded on first use is no growth
            siege.call(
                operation, {n: FACTORIES[n](siege.hub.db, siege.tenant) for n in operation.parameters}, siege.root
            )
        with watched(process) as memory:
            for attack in ATTACKS:
                before, seen = score.attacks, len(memory)
                attack(siege, score)
                peak = max(memory[seen - 1 :]) - memory[0]
                print(f"{attack.__name__}: {score.attacks - before} attacks, memory {peak:+.1f} MB at most")
        growth = max(memory) - memory[0]
        score.expect("memory stays within bounds", growth < GROWTH_MB_MAX, True)
        score.expect("the process still answers", siege.http.get("/health/ready").status_code, 200)
    for failure in score.failed:
        print(f"NOT HELD  {failure}")
    held = score.attacks - len(score.failed)
    print(json.dumps({"attacks": score.attacks, "held": held, "memory_growth_mb": round(growth, 1)}))
    return 0 if held == score.attacks else 1


if __name__ == "__main__":
    sys.exit(main())
