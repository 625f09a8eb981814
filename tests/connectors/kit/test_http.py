"""VendorClient: what is retried, what is raised, and what never leaves."""

from __future__ import annotations

import gzip
import logging
import socket
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from connectors.kit.contract import AuthKind, AuthMethod, CallRecord, Connection, Manifest, RateLimit
from connectors.kit.decode import BodyCap
from connectors.kit.faults import Again, ErrorTable, Fault, Rule
from connectors.kit.gate import Gate
from connectors.kit.hosts import HostPolicy
from connectors.kit.http import Signed, Timeouts, VendorClient
from connectors.kit.retry import RetryPolicy
from connectors.kit.tokens import MemoryTokens
from domain.errors import (
    ConfigurationError,
    ForeignHostError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    SynclineError,
    TransientError,
)
from tests.connectors.kit.conftest import Waits
from tests.connectors.kit.stub_vendor import Answer, StubVendor, as_json

CANARY = "canary-5ecr3t-t0ken"
PERSON = "jane.canary@example.org"


class FixedSigner:
    """Signs with ``tokens`` in turn; a renewal moves to the next one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.renewals = 0

    def sign(self) -> Signed:
        return Signed({"Authorization": f"Bearer {self.tokens[0]}"}, token=self.tokens[0])

    def renew(self, refused: Signed) -> bool:
        self.renewals += 1
        if len(self.tokens) == 1:
            return False
        self.tokens.pop(0)
        return True


@pytest.fixture
def client(gate: Gate) -> Iterator[VendorClient]:
    client = VendorClient(gate, timeouts=Timeouts(read_s=2.0))
    yield client
    client.close()


def test_reads_json_and_reports_the_call(client: VendorClient, vendor: StubVendor, calls: list[CallRecord]) -> None:
    vendor.script = [as_json({"id": 7})]
    reply = client.request("GET", f"/people/{PERSON}?email={PERSON}", params={"limit": 5})
    assert reply.json() == {"id": 7}
    assert vendor.arrived[0].path == f"/people/{PERSON}?email=jane.canary%40example.org&limit=5"
    assert [(c.method, c.path, c.status, c.attempt) for c in calls] == [("GET", "/people/*", 200, 1)]


def test_a_call_tells_how_long_it_waited_for_the_rate_limit(
    client: VendorClient, gate: Gate, vendor: StubVendor, calls: list[CallRecord]
) -> None:
    gate.limits = (RateLimit(calls=2, per_s=10.0),)
    vendor.script = [as_json({}), as_json({}), as_json({})]
    for _ in range(3):
        client.request("GET", "/a")
    assert [c.waited_s for c in calls] == [0.0, 0.0, 10.0]
    assert all(c.duration_s < 10.0 for c in calls)


def test_sends_json_form_and_bytes(client: VendorClient, vendor: StubVendor) -> None:
    client.request("POST", "/a", json={"x": [1]})
    client.request("POST", "/b", form={"grant_type": "a b"})
    client.request("PUT", "/c", content=lambda: iter([b"on", b"e"]), headers={"Content-Length": "3"})
    assert [a.body for a in vendor.arrived] == [b'{"x":[1]}', b"grant_type=a+b", b"one"]
    assert vendor.arrived[1].headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("status", "headers", "method", "sent"),
    [
        (503, {}, "GET", 2),
        (500, {}, "PUT", 2),
        (502, {}, "POST", 1),
        (503, {}, "POST", 1),
        (503, {"Retry-After": "3"}, "POST", 2),
        (429, {}, "POST", 2),
        (429, {"Retry-After": "3"}, "PATCH", 2),
        (408, {}, "POST", 1),
        (400, {}, "GET", 1),
    ],
)
def test_repeats_only_what_is_safe(
    client: VendorClient, vendor: StubVendor, status: int, headers: dict[str, str], method: str, sent: int
) -> None:
    vendor.script = [Answer(status, headers=headers)]
    if sent == 2:
        assert client.request(method, "/x").status == 200
    else:
        with pytest.raises(SynclineError):
            client.request(method, "/x")
    assert len(vendor.arrived) == sent


@pytest.mark.parametrize(("method", "idempotent", "sent"), [("POST", True, 2), ("POST", None, 1), ("GET", False, 1)])
def test_the_caller_may_say_what_is_idempotent(
    client: VendorClient, vendor: StubVendor, method: str, idempotent: bool | None, sent: int
) -> None:
    vendor.script = [Answer(drop=True)]
    if sent == 2:
        client.request(method, "/x", idempotent=idempotent)
    else:
        with pytest.raises(TransientError):
            client.request(method, "/x", idempotent=idempotent)
    assert len(vendor.arrived) == sent


@pytest.mark.parametrize(
    "answer", [Answer(drop=True), Answer(500), Answer(503), Answer(504), Answer(body=b"{", cut=9)], ids=str
)
def test_a_write_without_a_clear_answer_is_ambiguous(client: VendorClient, vendor: StubVendor, answer: Answer) -> None:
    vendor.script = [answer]
    with pytest.raises(TransientError) as caught:
        client.request("POST", "/contacts", json={"email": PERSON})
    assert caught.value.context["ambiguous"] is True
    assert len(vendor.arrived) == 1


def test_no_answer_in_time_is_ambiguous(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gate.hosts = HostPolicy((), f"http://127.0.0.1:{silent.getsockname()[1]}")
        client = VendorClient(gate, timeouts=Timeouts(read_s=0.1))
        with pytest.raises(TransientError, match="too long") as caught:
            client.request("POST", "/contacts", json={})
        client.close()
    assert caught.value.context["ambiguous"] is True


def test_unreachable_is_retried_even_for_writes_and_never_ambiguous(gate: Gate, waits: Waits) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gate.hosts = HostPolicy((), f"http://127.0.0.1:{port}")
    client = VendorClient(gate)
    with pytest.raises(TransientError, match="no connection could be made") as caught:
        client.request("POST", "/contacts", json={})
    client.close()
    assert caught.value.context["ambiguous"] is False
    assert caught.value.context["attempts"] == 4
    assert len(waits) == 3


@pytest.mark.parametrize("first", [Answer(drop=True), Answer(502)], ids=str)
def test_what_an_earlier_attempt_may_have_written_is_not_forgotten(
    client: VendorClient, vendor: StubVendor, first: Answer
) -> None:
    vendor.script = [first, Answer(412)]
    with pytest.raises(RecordRejectedError) as caught:
        client.request("PUT", "/contacts/1", json={})
    assert caught.value.context["ambiguous"] is True
    vendor.script = [Answer(429), Answer(412)]
    with pytest.raises(RecordRejectedError) as caught:
        client.request("PUT", "/contacts/1", json={})
    assert caught.value.context["ambiguous"] is False


def test_reads_are_never_ambiguous(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(drop=True)] * 4
    with pytest.raises(TransientError) as caught:
        client.request("GET", "/x")
    assert caught.value.context["ambiguous"] is False


def test_waits_as_long_as_the_vendor_says(client: VendorClient, vendor: StubVendor, waits: Waits) -> None:
    vendor.script = [Answer(429, headers={"Retry-After": "7"})]
    client.request("GET", "/x")
    assert 7 <= sum(waits) < 8


def test_a_date_in_retry_after_counts_from_the_vendors_own_clock(
    client: VendorClient, vendor: StubVendor, waits: Waits
) -> None:
    dates = {"Retry-After": "Fri, 01 Jan 2027 00:00:09 GMT"}
    vendor.script = [Answer(503, headers=dates)]
    client.gate.retry = RetryPolicy(attempts=2, retry_after_max_s=1e9, total_s=1e9)
    client.request("GET", "/x")
    assert sum(waits) > 0


def test_a_long_retry_after_is_raised_and_not_slept(client: VendorClient, vendor: StubVendor, waits: Waits) -> None:
    vendor.script = [Answer(429, headers={"Retry-After": "3600"})]
    with pytest.raises(RateLimitedError) as caught:
        client.request("GET", "/x")
    assert caught.value.retry_after_s == 3600
    assert waits == []
    with pytest.raises(RateLimitedError):
        client.request("GET", "/x")
    assert len(vendor.arrived) == 1, "nobody asks again before the vendor wants it"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, ConfigurationError, "request_refused"),
        (401, ReauthRequiredError, "reauth_required"),
        (403, PermissionMissingError, "permission_missing"),
        (404, ConfigurationError, "not_found"),
        (409, RecordRejectedError, "conflict"),
        (412, RecordRejectedError, "conflict"),
        (413, RecordRejectedError, "too_large"),
        (422, RecordRejectedError, "invalid_record"),
        (418, ConfigurationError, "request_refused"),
        (429, RateLimitedError, "rate_limited"),
        (599, TransientError, "vendor_unavailable"),
        (304, ConfigurationError, "request_refused"),
    ],
)
def test_status_to_error(
    client: VendorClient, vendor: StubVendor, status: int, error: type[SynclineError], code: str
) -> None:
    vendor.otherwise = lambda _request: Answer(status, b"")
    with pytest.raises(SynclineError) as caught:
        client.request("GET", "/things/1")
    assert type(caught.value) is error
    assert caught.value.code == code
    assert "GET /things/1" in str(caught.value)


def test_the_caller_may_accept_a_status(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [as_json({"gone": True}, 404)]
    assert client.request("GET", "/things/1", accept={404}).json() == {"gone": True}


def _parse(status: int, headers: object, body: bytes) -> Fault:
    return Fault(body.decode().split("|")[0], tuple(body.decode().split("|")[1:]), 4.0 if b"LIMIT" in body else None)


def test_a_connector_extends_the_table_by_vendor_codes(client: VendorClient, vendor: StubVendor, waits: Waits) -> None:
    client.gate.errors = ErrorTable("Acme").extended(
        by_code={"REQUEST_LIMIT": Rule(RateLimitedError, "is out of calls", again=Again.UNPROCESSED)},
        by_status={403: Rule(ReauthRequiredError, "has locked the user")},
        parse=_parse,
    )
    vendor.script = [Answer(403, b"REQUEST_LIMIT")]
    assert client.request("POST", "/x").status == 200
    assert 4 <= sum(waits) < 5
    vendor.script = [Answer(403, b"LOCKED|Email|Phone")]
    with pytest.raises(
        ReauthRequiredError, match=r"Acme has locked the user \(POST /x answered 403, LOCKED\)"
    ) as caught:
        client.request("POST", "/x")
    assert caught.value.context["fields"] == ["Email", "Phone"]


def test_prose_in_place_of_a_code_is_not_repeated(client: VendorClient, vendor: StubVendor) -> None:
    client.gate.errors = ErrorTable("Acme", parse=_parse)
    vendor.script = [Answer(400, f"Bad value {PERSON}".encode())]
    with pytest.raises(ConfigurationError) as caught:
        client.request("POST", "/x")
    assert PERSON not in f"{caught.value} {caught.value.context}"


def test_an_unreadable_error_body_is_no_bug(client: VendorClient, vendor: StubVendor) -> None:
    client.gate.errors = ErrorTable("Acme", parse=_parse)
    vendor.script = [Answer(400, b"\xff\xfe")]
    with pytest.raises(ConfigurationError):
        client.request("POST", "/x")


# ------------------------------------------------------------ signing


def test_401_renews_once_and_repeats_even_a_write(client: VendorClient, vendor: StubVendor) -> None:
    signer = FixedSigner("old", "new")
    vendor.script = [Answer(401)]
    assert client.signed_by(signer).request("POST", "/x", json={}).status == 200
    assert [a.headers["Authorization"] for a in vendor.arrived] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("tokens", [("old",), ("old", "new", "newer")])
def test_a_second_401_needs_a_person(client: VendorClient, vendor: StubVendor, tokens: tuple[str, ...]) -> None:
    signer = FixedSigner(*tokens)
    vendor.otherwise = lambda _request: Answer(401)
    with pytest.raises(ReauthRequiredError, match="Reconnect"):
        client.signed_by(signer).request("GET", "/x")
    assert signer.renewals == 1
    assert len(vendor.arrived) == min(len(tokens), 2)


def test_a_credential_that_http_cannot_carry_is_not_repeated_in_the_error(client: VendorClient) -> None:
    for bad in (f"{CANARY}\r\nX: y", f"{CANARY}\u2019"):
        with pytest.raises(ConfigurationError) as caught:
            client.signed_by(FixedSigner(bad)).request("GET", "/x")
        assert CANARY not in "".join(traceback.format_exception(caught.value))


# ------------------------------------------------------------ other hosts


@pytest.mark.parametrize(
    "address", ["https://evil.com/next", "http://api.example.com/", "https://api.example.com.evil.com/", "//evil.com/"]
)
def test_a_foreign_link_is_refused_before_a_byte_is_sent(
    client: VendorClient, vendor: StubVendor, calls: list[CallRecord], address: str
) -> None:
    signer = FixedSigner(CANARY)
    with pytest.raises(ForeignHostError):
        client.signed_by(signer).request("GET", address)
    assert calls == []
    assert vendor.arrived == []


def test_a_foreign_base_is_refused(client: VendorClient) -> None:
    with pytest.raises(ForeignHostError):
        client.signed_by(None, base="https://instance.evil.com")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_stay_on_the_host(
    client: VendorClient, vendor: StubVendor, calls: list[CallRecord], status: int
) -> None:
    vendor.script = [Answer(status, headers={"Location": "/moved?a=1"})]
    assert client.request("GET", "/x").status == 200
    assert vendor.arrived[1].path == "/moved?a=1"
    vendor.script = [Answer(status, headers={"Location": "https://evil.com/?t="})]
    with pytest.raises(ForeignHostError):
        client.request("GET", "/x")
    assert [c.path for c in calls] == ["/x", "/x"], "what was sent is told, whatever came back"


def test_a_redirect_that_the_caller_accepts_is_answered_and_not_followed(
    client: VendorClient, vendor: StubVendor
) -> None:
    vendor.script = [Answer(302, headers={"Location": "https://storage.example/x"})]
    reply = client.request("GET", "/x", accept=(302,))
    assert (reply.status, reply.headers["Location"]) == (302, "https://storage.example/x")
    assert len(vendor.arrived) == 1


def test_a_redirect_to_another_allowed_host_is_not_followed(gate: Gate) -> None:
    import httpx

    gate.hosts = HostPolicy(("*.example.com",))
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(str(request.url))
        return httpx.Response(302, headers={"Location": "https://b.example.com/x"})

    client = VendorClient(gate, base="https://a.example.com", transport=httpx.MockTransport(answer))
    with pytest.raises(ForeignHostError):
        client.request("GET", "/x")
    client.close()
    assert sent == ["https://a.example.com/x"]


def test_a_write_is_not_repeated_by_a_302(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(302, headers={"Location": "/moved"})]
    with pytest.raises(ConfigurationError):
        client.request("POST", "/x", json={})
    assert len(vendor.arrived) == 1


def test_endless_redirects_end(client: VendorClient, vendor: StubVendor) -> None:
    vendor.otherwise = lambda _request: Answer(302, headers={"Location": "/x"})
    with pytest.raises(ConfigurationError, match="circles"):
        client.request("GET", "/x")


# ------------------------------------------------------------ bodies


def test_a_reply_cut_short_is_read_again(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(body=b'{"a"', cut=10), as_json({"a": 1})]
    assert client.request("GET", "/x").json() == {"a": 1}


def test_an_error_page_in_place_of_json(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(body=f"<html>{PERSON}</html>".encode())]
    with pytest.raises(TransientError) as caught:
        client.request("GET", "/x").json()
    assert PERSON not in "".join(traceback.format_exception(caught.value))


def test_too_large_a_reply_is_not_held(client: VendorClient, vendor: StubVendor, gate: Gate) -> None:
    vendor.otherwise = lambda _request: Answer(body=b"x" * 5000)
    small = VendorClient(gate, cap=BodyCap(bytes_max=4000))
    with pytest.raises(ConfigurationError, match="smaller pages"):
        small.request("GET", "/x")
    small.close()


def test_a_decompression_bomb_is_not_held(client: VendorClient, vendor: StubVendor) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    vendor.script = [Answer(body=bomb, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(ConfigurationError, match="grew"):
        client.request("GET", "/x")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b'{"a":1}')), ("deflate", zlib.compress(b'{"a":1}'))],
    ids=["gzip", "deflate"],
)
def test_compressed_replies(client: VendorClient, vendor: StubVendor, encoding: str, body: bytes) -> None:
    vendor.script = [Answer(body=body, headers={"Content-Encoding": encoding})]
    assert client.request("GET", "/x").json() == {"a": 1}
    assert vendor.arrived[0].headers["Accept-Encoding"] == "gzip, deflate"


def test_streams_in_pieces_of_a_mebibyte(client: VendorClient, vendor: StubVendor) -> None:
    body = bytes(range(256)) * 12_000
    vendor.script = [Answer(503), Answer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})]
    with client.stream("GET", "/file") as reply:
        pieces = list(reply.pieces)
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 1 << 20


def test_a_stream_that_breaks_off_says_so(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(body=b"abc", cut=100)]
    with pytest.raises(TransientError, match="broke off"), client.stream("GET", "/file") as reply:
        list(reply.pieces)


def test_a_refused_stream_raises_as_a_request_does(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(401), Answer(404, b"no")]
    signed = client.signed_by(FixedSigner("old", "new"))
    with pytest.raises(ConfigurationError, match="404"), signed.stream("GET", "/file"):
        pass


# ------------------------------------------------------------ policies together


def test_an_outage_opens_the_circuit_and_a_probe_closes_it(
    client: VendorClient, vendor: StubVendor, waits: Waits, gate: Gate
) -> None:
    gate.retry = replace(gate.retry, attempts=1)
    vendor.otherwise = lambda _request: Answer(500)
    for _ in range(8):
        with pytest.raises(TransientError):
            client.request("GET", "/x")
    with pytest.raises(TransientError) as caught:
        client.request("GET", "/x")
    assert caught.value.code == "circuit_open"
    assert len(vendor.arrived) == 8
    waits.now += 31
    vendor.otherwise = lambda _request: Answer()
    assert client.request("GET", "/x").status == 200


def test_the_share_of_the_daily_quota(client: VendorClient, vendor: StubVendor, gate: Gate, waits: Waits) -> None:
    gate.read_quota = lambda headers: (int(headers["X-Used"]), 100) if "X-Used" in headers else None
    gate.budget = 0.8
    gate.shared.quotas.clock = waits.clock
    vendor.otherwise = lambda _request: Answer(headers={"X-Used": "80"})
    client.request("GET", "/x")
    with pytest.raises(RateLimitedError, match="80 of 100") as caught:
        client.request("GET", "/x")
    assert caught.value.code == "quota_share_used"
    waits.now += 901
    assert client.request("GET", "/x").status == 200


def test_a_default_client_is_built_from_manifest_and_connection(vendor: StubVendor) -> None:
    seen: list[CallRecord] = []
    connection = Connection("c1", "acme", {}, MemoryTokens(), base_url=vendor.origin, on_call=seen.append)
    manifest = Manifest("acme", "Acme", (AuthMethod(AuthKind.NONE),), hosts=("api.acme.com",))
    client = VendorClient.of(manifest, connection, base="https://api.acme.com")
    assert client.request("GET", "/x").status == 200
    client.close()
    assert len(seen) == 1


# ------------------------------------------------------------ secrets


class Leaky(FixedSigner):
    """Puts the token into header and query."""

    def sign(self) -> Signed:
        return Signed({"Authorization": f"Bearer {CANARY}"}, {"api_key": CANARY}, CANARY)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it hides behind ``__cause__`` and ``__context__``."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


TROUBLES = [
    *[Answer(status, CANARY.encode() + PERSON.encode()) for status in (400, 401, 403, 404, 409, 422, 429, 500, 503)],
    Answer(drop=True),
    Answer(body=b"x", cut=5),
    Answer(302, headers={"Location": f"https://evil.com/{PERSON}?t={CANARY}"}),
    Answer(302, headers={"Location": f"https://{CANARY}@evil.com/"}),
]


@pytest.mark.parametrize("answer", TROUBLES, ids=str)
def test_no_secret_in_any_error_or_log(
    client: VendorClient, vendor: StubVendor, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.otherwise = lambda _request: answer
    signed = client.signed_by(Leaky(CANARY))
    with pytest.raises(SynclineError) as caught:
        signed.request("GET", f"/people/{PERSON}", params={"q": PERSON}, json={"email": PERSON})
    error = caught.value
    shown = f"{error} {error!r} {error.context} {''.join(traceback.format_exception(error))} {signed!r} {client.gate!r}"
    assert CANARY not in shown
    assert PERSON not in shown
    assert [type(e) for e in chain(error)] == [type(error)], "an exception of httpx's holds the Authorization header"
    assert CANARY not in caplog.text
