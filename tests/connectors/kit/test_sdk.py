"""KitSession under a real SDK's conditions: simple-salesforce, which hard-codes https and has no timeouts."""

from __future__ import annotations

import gzip
import io
import logging
import socket
import traceback
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest
from urllib3 import HTTPResponse

from connectors.kit.contract import CallRecord
from connectors.kit.decode import BodyCap
from connectors.kit.gate import Gate
from connectors.kit.hosts import HostPolicy
from connectors.kit.http import Timeouts
from connectors.kit.sdk import KitSession
from domain.errors import ConfigurationError, ForeignHostError, RateLimitedError, SynclineError, TransientError
from tests.connectors.kit.conftest import Waits
from tests.connectors.kit.stub_vendor import Answer, StubVendor, as_json
from tests.connectors.kit.test_http import CANARY, PERSON, TROUBLES, FixedSigner, Leaky, chain

URL = "https://api.example.com/x"


@pytest.fixture
def session(gate: Gate) -> KitSession:
    return KitSession(gate, timeouts=Timeouts(read_s=2.0))


def test_simple_salesforce_reads_pages_through_it(gate: Gate, vendor: StubVendor, calls: list[CallRecord]) -> None:
    gate.hosts = HostPolicy(("*.salesforce.com",), vendor.origin)
    vendor.script = [
        as_json({"totalSize": 2, "done": False, "records": [{"Id": "1"}], "nextRecordsUrl": "/services/data/v59.0/query/01g-1"}),
        Answer(503),
        as_json({"totalSize": 2, "done": True, "records": [{"Id": "2"}]}),
    ]  # fmt: skip
    org = Salesforce(instance="acme.my.salesforce.com", session_id="s", session=KitSession(gate))
    assert [r["Id"] for r in org.query_all_iter("SELECT Id FROM Contact")] == ["1", "2"]
    assert [(c.path, c.status) for c in calls] == [
        ("/services/data/v59.0/query/", 200),
        ("/services/data/v59.0/query/01g-1", 503),
        ("/services/data/v59.0/query/01g-1", 200),
    ]


def test_simple_salesforce_logs_in_at_a_host_that_it_hard_codes(gate: Gate, vendor: StubVendor) -> None:
    gate.hosts = HostPolicy(("*.salesforce.com",), vendor.origin)
    login = f"<r><sessionId>s</sessionId><serverUrl>{vendor.origin}/services/Soap/u/59.0</serverUrl></r>"
    vendor.script = [Answer(body=login.encode()), as_json({"totalSize": 0, "done": True, "records": []})]
    org = Salesforce(username="u", password="p", security_token="t", session=KitSession(gate))
    org.query("SELECT Id FROM Contact")
    assert [a.path.split("?")[0] for a in vendor.arrived] == ["/services/Soap/u/59.0", "/services/data/v59.0/query/"]


def test_an_instance_on_a_foreign_host_gets_no_token(gate: Gate, vendor: StubVendor) -> None:
    gate.hosts = HostPolicy(("*.salesforce.com",), vendor.origin)
    org = Salesforce(instance="salesforce.com.evil.com", session_id=CANARY, session=KitSession(gate))
    with pytest.raises(ForeignHostError):
        org.query("SELECT Id FROM Contact")
    assert vendor.arrived == []


def test_other_answers_go_to_the_sdk(gate: Gate, vendor: StubVendor) -> None:
    gate.hosts = HostPolicy(("*.salesforce.com",), vendor.origin)
    vendor.script = [as_json([{"errorCode": "MALFORMED_QUERY", "message": "no"}], 400)]
    org = Salesforce(instance="acme.my.salesforce.com", session_id="s", session=KitSession(gate))
    with pytest.raises(SalesforceMalformedRequest):
        org.query("SELECT")


@pytest.mark.parametrize(
    ("status", "headers", "method", "sent"),
    [
        (503, {}, "GET", 2),
        (503, {}, "POST", 1),
        (503, {"Retry-After": "3"}, "POST", 2),
        (429, {"Retry-After": "3"}, "PATCH", 2),
        (500, {}, "DELETE", 2),
    ],
)
def test_the_same_retries_as_the_client(
    session: KitSession, vendor: StubVendor, status: int, headers: dict[str, str], method: str, sent: int
) -> None:
    vendor.script = [Answer(status, headers=headers)]
    if sent == 2:
        assert session.request(method, URL).status_code == 200
    else:
        with pytest.raises(TransientError) as caught:
            session.request(method, URL)
        assert caught.value.context["ambiguous"] is True
    assert len(vendor.arrived) == sent


def test_retries_used_up(session: KitSession, vendor: StubVendor) -> None:
    vendor.otherwise = lambda _request: Answer(429)
    with pytest.raises(RateLimitedError):
        session.get(URL)
    assert len(vendor.arrived) == 4


def test_an_sdk_call_may_be_classified(gate: Gate, vendor: StubVendor) -> None:
    session = KitSession(gate, classify=lambda method, path: ("search", path == "/query"))
    vendor.script = [Answer(drop=True)]
    assert session.post("https://api.example.com/query?q=1", data=b"{}").status_code == 200
    vendor.script = [Answer(drop=True)]
    with pytest.raises(TransientError):
        session.post("https://api.example.com/create", data=b"{}")
    assert len(vendor.arrived) == 3


def test_a_file_is_sent_whole_again(session: KitSession, vendor: StubVendor) -> None:
    vendor.script = [Answer(429)]
    session.put(URL, data=io.BytesIO(b"content"))
    assert [a.body for a in vendor.arrived] == [b"content", b"content"]


def test_a_timeout_is_always_set(gate: Gate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        gate.hosts = HostPolicy((), f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TransientError, match="too long") as caught:
            KitSession(gate, timeouts=Timeouts(read_s=0.1)).post(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
    assert caught.value.context["ambiguous"] is True


def test_unreachable_is_never_ambiguous(gate: Gate, waits: Waits) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gate.hosts = HostPolicy(("api.example.com",), f"http://127.0.0.1:{port}")
    with pytest.raises(TransientError, match="no connection could be made") as caught:
        KitSession(gate).post(URL)
    assert caught.value.context["ambiguous"] is False
    assert len(waits) == 3


def test_signer_replaces_the_sdks_token_and_renews_it(gate: Gate, vendor: StubVendor) -> None:
    vendor.script = [Answer(401)]
    session = KitSession(gate, signer=FixedSigner("old", "new"))
    assert session.get(URL, headers={"Authorization": "Bearer stale"}).status_code == 200
    assert [a.headers["Authorization"] for a in vendor.arrived] == ["Bearer old", "Bearer new"]


def test_a_netrc_entry_does_not_replace_the_token(
    gate: Gate, vendor: StubVendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.example.com login other password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = KitSession(gate)
    session.trust_env = True
    session.get(URL, headers={"Authorization": "Bearer mine"})
    assert vendor.arrived[0].headers["Authorization"] == "Bearer mine"


def test_redirects_stay_on_the_host(session: KitSession, vendor: StubVendor) -> None:
    vendor.script = [Answer(302, headers={"Location": "/moved"})]
    assert session.get(URL).status_code == 200
    vendor.script = [Answer(302, headers={"Location": "https://evil.com/"})]
    with pytest.raises(ForeignHostError):
        session.get(URL)
    assert [a.path for a in vendor.arrived] == ["/x", "/moved", "/x"]


def test_a_redirect_to_another_allowed_host_is_not_followed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.hosts = HostPolicy(("*.example.com",))
    sent: list[str | None] = []

    def answer(_adapter: HTTPAdapter, request: requests.PreparedRequest, **_options: object) -> requests.Response:
        sent.append(request.url)
        response = requests.Response()
        response.status_code, response.raw = 302, HTTPResponse(io.BytesIO(b""), preload_content=False)
        response.headers["Location"] = "https://b.example.com/x"
        return response

    monkeypatch.setattr(HTTPAdapter, "send", answer)
    with pytest.raises(ForeignHostError):
        KitSession(gate).get("https://a.example.com/x")
    assert sent == ["https://a.example.com/x"]


def test_bodies_are_decoded_within_the_caps(gate: Gate, vendor: StubVendor) -> None:
    packed = {"Content-Encoding": "gzip"}
    session = KitSession(gate, cap=BodyCap(bytes_max=4000))
    vendor.script = [Answer(body=gzip.compress(b'{"a":1}'), headers=packed)]
    assert session.get(URL).json() == {"a": 1}
    vendor.script = [Answer(body=gzip.compress(bytes(5000)), headers=packed)]
    with pytest.raises(ConfigurationError, match="smaller pages"):
        session.get(URL)
    vendor.script = [Answer(body=b"abc", cut=5), Answer(body=b"abcdefgh")]
    assert session.get(URL).content == b"abcdefgh"


def test_streamed_bodies(session: KitSession, vendor: StubVendor) -> None:
    body = bytes(range(256)) * 10_000
    vendor.script = [Answer(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})]
    with session.get(URL, stream=True) as response:
        assert b"".join(response.iter_content(1 << 16)) == body


@pytest.mark.parametrize("bad", [f"{CANARY}\r\nX: y", f"{CANARY}\u2019"])
def test_a_header_that_cannot_be_sent_is_not_repeated(session: KitSession, gate: Gate, bad: str) -> None:
    for attempt in (session, KitSession(gate, signer=FixedSigner(bad))):
        with pytest.raises(ConfigurationError) as caught:
            attempt.get(URL, headers={"Authorization": bad} if attempt is session else None)
        assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("answer", TROUBLES, ids=str)
def test_no_secret_in_any_error_or_log(
    gate: Gate, vendor: StubVendor, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.otherwise = lambda _request: answer
    session = KitSession(gate, signer=Leaky(CANARY))
    error: SynclineError | None = None
    try:
        response = session.get(f"https://api.example.com/people/{PERSON}", params={"q": PERSON})
    except SynclineError as exc:
        error = exc
    else:
        assert isinstance(response, requests.Response)
        assert 400 <= response.status_code < 500
    shown = "" if error is None else f"{error!r} {error.context} {''.join(traceback.format_exception(error))}"
    assert CANARY not in shown + caplog.text
    assert PERSON not in shown + caplog.text
    assert all(not isinstance(e, requests.RequestException) for e in chain(error))
