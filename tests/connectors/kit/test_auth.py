"""Signing in: strategies without I/O first, then kept signed in against a token endpoint."""

from __future__ import annotations

import base64
import hashlib
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.kit.auth import ApiKey, Auth, Authenticator, Basic, Bearer, NoAuth, Renewal, TokenCall, run
from connectors.kit.contract import AuthKind, AuthMethod
from connectors.kit.gate import Gate
from connectors.kit.http import Reply, VendorClient
from connectors.kit.oauth import (
    AuthorizationCode,
    ClientCredentials,
    JwtBearer,
    OAuth2,
    RefreshToken,
    SignInPage,
    address,
    strategy,
)
from connectors.kit.tokens import MemoryTokens
from domain.errors import (
    ConfigurationError,
    ForeignHostError,
    ReauthRequiredError,
    SynclineError,
    TransientError,
)
from tests.connectors.kit.stub_vendor import Answer, Arrived, StubVendor, as_json

TOKEN_URL = "https://login.example.com/token"
CANARY = "canary-5ecr3t"
CODE_FLOW = AuthorizationCode(
    token_url=TOKEN_URL,
    authorize_url="https://login.example.com/authorize?prompt=login",
    redirect_uri="https://hub.example.net/back",
    scopes=("api", "refresh_token"),
)


def replied(body: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, {}, orjson.dumps(body))


def play(renewal: Renewal | None, reply: Reply) -> tuple[TokenCall, Mapping[str, Any]]:
    """Answer the only call of ``renewal``; give that call and the credentials it led to."""
    assert renewal is not None
    call = next(renewal)
    with pytest.raises(StopIteration) as done:
        renewal.send(reply)
    return call, done.value.value


# ------------------------------------------------------------ strategies


@pytest.mark.parametrize(
    ("auth", "headers", "params"),
    [
        (NoAuth(), {}, {}),
        (ApiKey(), {"Authorization": "Bearer k"}, {}),
        (ApiKey("X-Key", ""), {"X-Key": "k"}, {}),
        (ApiKey(param="key"), {}, {"key": "k"}),
        (Basic(), {"Authorization": "Basic dTpww6Q="}, {}),
        (Bearer(), {"Authorization": "Bearer a"}, {}),
    ],
)
def test_static_credentials(auth: Auth, headers: dict[str, str], params: dict[str, str]) -> None:
    credentials = {"api_key": "k", "username": "u", "password": "pä", "access_token": "a"}
    signed = auth.sign(credentials)
    assert (signed.headers, signed.params) == (headers, params)
    assert not auth.due(credentials, 0)
    assert auth.renewal(credentials, 0) is None
    assert "dTpww6Q" not in repr(signed)


@pytest.mark.parametrize(
    ("auth", "missing"), [(ApiKey(), "API key"), (Basic(), "user name"), (Bearer(), "access token")]
)
def test_missing_credentials_name_what_is_missing(auth: Auth, missing: str) -> None:
    with pytest.raises(ReauthRequiredError, match=missing):
        auth.sign({"password": "p"})


def test_client_credentials_in_the_form_or_the_header() -> None:
    credentials = {"client_id": "i:d", "client_secret": "s/é"}
    auth = ClientCredentials(token_url=TOKEN_URL, scopes=("a", "b"))
    call, fresh = play(auth.renewal(credentials, 100), replied({"access_token": "t", "expires_in": 3600}))
    assert call.form == {"grant_type": "client_credentials", "scope": "a b", **credentials}
    assert fresh == {**credentials, "access_token": "t", "expires_at": 3700, "refresh_at": 3580}
    header, _ = play(
        ClientCredentials(token_url=TOKEN_URL, basic_client=True).renewal(credentials, 0),
        replied({"access_token": "t"}),
    )
    assert base64.b64decode(header.headers["Authorization"].split()[1]) == b"i%3Ad:s%2F%C3%A9"
    assert "client_secret" not in header.form


def test_a_rotated_refresh_token_replaces_the_old_one_and_an_unsent_one_stays() -> None:
    auth = RefreshToken(token_url=TOKEN_URL)
    old = {"access_token": "a", "refresh_token": "r", "expires_at": 1.0, "refresh_at": 0.5, "client_id": "c"}
    call, rotated = play(auth.renewal(old, 0), replied({"access_token": "b", "refresh_token": "r2"}))
    assert call.form == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}
    assert rotated == {"access_token": "b", "refresh_token": "r2", "client_id": "c"}
    _, kept = play(auth.renewal(old, 0), replied({"access_token": "b"}))
    assert kept["refresh_token"] == "r"
    assert auth.renewal({"access_token": "a"}, 0) is None


@pytest.mark.parametrize(
    ("life_s", "due_after_s"),
    [(3600, 3480), ("3600", 3480), (60, 30), (200, 100), (None, None), (0, None), ("x", None)],
)
def test_expires_in_is_honoured_early(life_s: object, due_after_s: float | None) -> None:
    auth = ClientCredentials(token_url=TOKEN_URL)
    credentials = {"client_id": "c", "client_secret": "s"}
    _, fresh = play(auth.renewal(credentials, 1000), replied({"access_token": "t", "expires_in": life_s}))
    if due_after_s is None:
        assert not auth.due(fresh, 1e12)
    else:
        assert not auth.due(fresh, 1000 + due_after_s - 1)
        assert auth.due(fresh, 1000 + due_after_s)


def test_jwt_bearer_signs_what_salesforce_asks_for() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credentials = {"client_id": "app", "username": "admin@acme.test", "private_key": pem}
    auth = JwtBearer(token_url=TOKEN_URL, audience="https://login.salesforce.com")
    call, _ = play(auth.renewal(credentials, 5000), replied({"access_token": "t"}))
    token = jwt.decode(call.form["assertion"], RSAKey.import_key(pem), algorithms=["RS256"])
    assert token.header["alg"] == "RS256"
    assert {n: token.claims[n] for n in ("iss", "sub", "aud", "exp")} == {
        "iss": "app",
        "sub": "admin@acme.test",
        "aud": "https://login.salesforce.com",
        "exp": 5170,
    }
    assert call.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert "client_secret" not in call.form


@pytest.mark.parametrize("key", [CANARY, f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"])
def test_an_unusable_key_is_not_repeated(key: str) -> None:
    auth = JwtBearer(token_url=TOKEN_URL, audience="a")
    renewal = auth.renewal({"client_id": "c", "username": "u", "private_key": key}, 0)
    assert renewal is not None
    with pytest.raises(ConfigurationError, match="PEM") as caught:
        next(renewal)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


# ------------------------------------------------------------ authorization code with PKCE


def test_the_sign_in_page() -> None:
    page = CODE_FLOW.start("app")
    query = dict(parse_qsl(urlsplit(page.url).query))
    digest = hashlib.sha256(page.verifier.encode()).digest()
    assert query == {
        "prompt": "login",
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": "https://hub.example.net/back",
        "scope": "api refresh_token",
        "state": page.state,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert 43 <= len(page.verifier) <= 128
    assert page.verifier not in page.url + repr(page)
    assert CODE_FLOW.start("app").state != page.state


def test_the_code_is_exchanged_with_the_verifier_and_never_twice() -> None:
    page = CODE_FLOW.start("app")
    code = CODE_FLOW.code(page, {"state": page.state, "code": "c0de"})
    renewal = CODE_FLOW.exchange({"client_id": "app"}, page, code, 0)
    call, fresh = play(
        renewal, replied({"access_token": "a", "refresh_token": "r", "instance_url": "https://x.example.com"})
    )
    assert call.form["code_verifier"] == page.verifier
    assert call.form["redirect_uri"] == CODE_FLOW.redirect_uri
    assert not call.idempotent
    assert fresh["instance_url"] == "https://x.example.com"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"state": "other", "code": "c"}, ConfigurationError),
        ({"code": "c"}, ConfigurationError),
        ({"state": "ü", "code": "c"}, ConfigurationError),
        ({"state": "right", "error": "access_denied"}, ReauthRequiredError),
        ({"state": "right", "error": "invalid_scope"}, ConfigurationError),
        ({"state": "right"}, ReauthRequiredError),
    ],
)
def test_an_answer_that_gives_no_code(answer: dict[str, str], error: type[SynclineError]) -> None:
    page = SignInPage("", "right", "v")
    with pytest.raises(error):
        CODE_FLOW.code(page, answer)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "invalid_grant", "error_description": f"user {CANARY}"}, ReauthRequiredError),
        (401, {"error": "invalid_client"}, ReauthRequiredError),
        (400, {"error": "inactive_user"}, ReauthRequiredError),
        (403, {}, ReauthRequiredError),
        (400, {"error": f"prose about {CANARY}"}, ReauthRequiredError),
        (400, {"error": "invalid_scope"}, ConfigurationError),
        (400, {"error": "unsupported_grant_type"}, ConfigurationError),
        (400, {"error": "temporarily_unavailable"}, TransientError),
        (200, {"error": "invalid_grant"}, ReauthRequiredError),
        (200, {}, TransientError),
        (200, {"access_token": 7}, TransientError),
    ],
)
def test_refusals_of_a_token_endpoint(status: int, body: dict[str, object], error: type[SynclineError]) -> None:
    renewal = RefreshToken(token_url=TOKEN_URL).renewal({"refresh_token": "r"}, 0)
    assert renewal is not None
    next(renewal)
    with pytest.raises(SynclineError) as caught:
        renewal.send(replied(body, status))
    assert type(caught.value) is error
    assert CANARY not in f"{caught.value} {caught.value.context}"


# ------------------------------------------------------------ kept signed in


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(gate: Gate) -> Iterator[VendorClient]:
    client = VendorClient(gate)
    yield client
    client.close()


class TokenEndpoint:
    """Issues access-1, access-2, ... with rotating refresh tokens, and accepts the newest access token only."""

    def __init__(self, vendor: StubVendor, expires_in: int | None = 3600) -> None:
        self.issued = 0
        self.expires_in = expires_in
        self.trouble: Callable[[], Answer] | None = None
        self._lock = threading.Lock()
        vendor.otherwise = self.answer

    def answer(self, request: Arrived) -> Answer:
        if request.path != "/token":
            return Answer(200 if request.headers["Authorization"] == f"Bearer access-{self.issued}" else 401)
        form = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
        with self._lock:
            if self.trouble is not None:
                return self.trouble()
            if form.get("refresh_token", f"refresh-{self.issued}") != f"refresh-{self.issued}":
                return as_json({"error": "invalid_grant"}, 400)
            self.issued += 1
            life = {} if self.expires_in is None else {"expires_in": self.expires_in}
            return as_json({"access_token": f"access-{self.issued}", "refresh_token": f"refresh-{self.issued}", **life})


def _signed(client: VendorClient, tokens: MemoryTokens, clock: Clock, auth: OAuth2 | None = None) -> VendorClient:
    strategy = auth or RefreshToken(token_url=TOKEN_URL)
    return client.signed_by(Authenticator(strategy, tokens, client, clock))  # type: ignore[arg-type]


def _exchanges(vendor: StubVendor) -> int:
    return sum(a.path == "/token" for a in vendor.arrived)


def test_fifty_concurrent_refreshes_make_one_token_exchange(
    client: VendorClient, vendor: StubVendor, clock: Clock
) -> None:
    endpoint = TokenEndpoint(vendor)
    endpoint.issued = 1
    persisted: list[Mapping[str, Any]] = []
    tokens = MemoryTokens({"access_token": "revoked", "refresh_token": "refresh-1"}, on_replace=persisted.append)
    clients = [_signed(client, tokens, clock) for _ in range(5)]
    barrier = threading.Barrier(50)

    def call(number: int) -> int:
        barrier.wait()
        return clients[number % 5].request("GET", "/x").status

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(call, range(50))) == {200}
    assert _exchanges(vendor) == 1
    assert [p["refresh_token"] for p in persisted] == ["refresh-2"]
    assert tokens.load()["access_token"] == "access-2"


def test_the_first_call_signs_in(client: VendorClient, vendor: StubVendor, clock: Clock) -> None:
    TokenEndpoint(vendor)
    tokens = MemoryTokens({"client_id": "c", "client_secret": "s"})
    signed = _signed(client, tokens, clock, ClientCredentials(token_url=TOKEN_URL))
    assert signed.request("GET", "/x").status == 200
    assert signed.request("GET", "/x").status == 200
    assert _exchanges(vendor) == 1


def test_renewed_before_it_expires(client: VendorClient, vendor: StubVendor, clock: Clock) -> None:
    TokenEndpoint(vendor)
    tokens = MemoryTokens({"refresh_token": "refresh-0"})
    signed = _signed(client, tokens, clock)
    signed.request("GET", "/x")
    clock.now += 3479
    signed.request("GET", "/x")
    assert _exchanges(vendor) == 1
    clock.now += 1
    signed.request("GET", "/x")
    assert _exchanges(vendor) == 2
    assert [a.path for a in vendor.arrived if a.path != "/token"] == ["/x"] * 3, "no call was refused on the way"


def test_a_good_token_is_used_on_while_the_token_endpoint_is_down(
    client: VendorClient, vendor: StubVendor, clock: Clock
) -> None:
    endpoint = TokenEndpoint(vendor)
    signed = _signed(client, MemoryTokens({"refresh_token": "refresh-0"}), clock)
    signed.request("GET", "/x")
    endpoint.trouble = lambda: Answer(503)
    clock.now += 3500
    assert signed.request("GET", "/x").status == 200
    tried = _exchanges(vendor)
    assert signed.request("GET", "/x").status == 200
    assert _exchanges(vendor) == tried, "not asked again at once"
    clock.now += 101
    with pytest.raises(TransientError):
        signed.request("GET", "/x")


def test_invalid_grant_needs_a_person(client: VendorClient, vendor: StubVendor, clock: Clock) -> None:
    TokenEndpoint(vendor)
    tokens = MemoryTokens({"access_token": "old", "refresh_token": CANARY})
    with pytest.raises(ReauthRequiredError, match="invalid_grant") as caught:
        _signed(client, tokens, clock).request("GET", "/x")
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert tokens.load()["access_token"] == "old"


def test_a_token_without_a_way_to_renew_is_refused_as_it_is(
    client: VendorClient, vendor: StubVendor, clock: Clock
) -> None:
    vendor.otherwise = lambda _request: Answer(401)
    with pytest.raises(ReauthRequiredError, match="Reconnect"):
        _signed(client, MemoryTokens({"access_token": "old"}), clock).request("GET", "/x")
    assert [a.path for a in vendor.arrived] == ["/x"]


def test_what_a_person_stored_meanwhile_is_found(client: VendorClient, vendor: StubVendor, clock: Clock) -> None:
    endpoint = TokenEndpoint(vendor)
    tokens = MemoryTokens({"access_token": "access-0"})
    signed = client.signed_by(Authenticator(Bearer(), tokens, client, clock))
    assert signed.request("GET", "/x").status == 200
    endpoint.issued = 5
    tokens.refresh("access-0", lambda _c: {"access_token": "access-5"})
    assert signed.request("GET", "/x").status == 200


def test_an_instance_on_a_foreign_host_is_never_stored(client: VendorClient, vendor: StubVendor, clock: Clock) -> None:
    vendor.script = [as_json({"access_token": "a", "instance_url": "https://x.example.com.evil.com"})]
    tokens = MemoryTokens({"client_id": "c", "client_secret": "s"})
    with pytest.raises(ForeignHostError):
        _signed(client, tokens, clock, ClientCredentials(token_url=TOKEN_URL)).request("GET", "/x")
    assert "access_token" not in tokens.load()


def test_a_code_is_exchanged_over_the_wire(client: VendorClient, vendor: StubVendor) -> None:
    TokenEndpoint(vendor)
    fresh = run(CODE_FLOW.exchange({"client_id": "app"}, CODE_FLOW.start("app"), "c0de", 0.0), client)
    assert fresh["access_token"] == "access-1"


def test_a_lost_answer_to_a_code_exchange_is_not_repeated(client: VendorClient, vendor: StubVendor) -> None:
    vendor.script = [Answer(drop=True)]
    with pytest.raises(TransientError):
        run(CODE_FLOW.exchange({"client_id": "app"}, CODE_FLOW.start("app"), "c0de", 0.0), client)
    assert len(vendor.arrived) == 1


# ------------------------------------------------------------ from a manifest


def test_strategies_of_a_manifest() -> None:
    url = "https://{domain}.example.com/token"
    made = {
        kind: strategy(AuthMethod(kind, token_url=url, authorize_url=url), {"domain": "login"})
        for kind in AuthKind
        if kind is not AuthKind.PASSWORD
    }
    assert {k: type(v).__name__ for k, v in made.items()} == {
        "none": "NoAuth",
        "basic": "Basic",
        "api_key": "ApiKey",
        "oauth2_code": "AuthorizationCode",
        "oauth2_client": "ClientCredentials",
        "oauth2_jwt": "JwtBearer",
    }
    assert made[AuthKind.OAUTH2_JWT] == JwtBearer(
        token_url="https://login.example.com/token", audience="https://login.example.com"
    )
    with pytest.raises(ConfigurationError):
        strategy(AuthMethod(AuthKind.PASSWORD), {})


@pytest.mark.parametrize("value", ["evil.com/", "a@b", "", "a:1", "x?", "a#", ".x", "ä"])
def test_a_setting_cannot_move_an_address(value: str) -> None:
    with pytest.raises(ConfigurationError, match="domain"):
        address("https://{domain}.example.com/token", {"domain": value})


@pytest.mark.parametrize("value", ["acme.my", "acme.my.vendor.example", "https://acme.my.vendor.example/"])
def test_a_setting_may_hold_the_whole_host(value: str) -> None:
    assert address("https://{domain}.vendor.example/t", {"domain": value}) == "https://acme.my.vendor.example/t"
