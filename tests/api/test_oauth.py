"""Connecting with a browser over the API: a test is the browser, the sandbox is Salesforce."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from api.app import create_app
from bootstrap.wiring import Hub
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from storage import audit, sign_ins
from storage.database import Database
from tests.api.conftest import As, Client

KNOWN = Credentials()
Start = Callable[..., str]


@pytest.fixture(scope="module")
def org() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxOptions(contacts=2)) as server:
        yield server


@pytest.fixture
def admin(connecting: As) -> Client:
    return connecting("tenant_admin")


def wanted(org: SandboxServer, **changes: Any) -> dict[str, Any]:
    app = {"client_id": KNOWN.client_id, "client_secret": KNOWN.client_secret}
    return {"vendor": "salesforce", "name": "org", "base_url": org.url, "credentials": app} | changes


@pytest.fixture
def browser(sandbox_app: Client) -> Client:
    """The browser of the person who connects: it has no key, and keeps the cookies that beginning set."""
    return Client(sandbox_app.app, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def start(admin: Client, org: SandboxServer, browser: Client) -> Start:
    """``start()``: the address that a person is sent to."""

    def begin(client: Client = admin, **changes: Any) -> str:
        reply = client.post("/v1/connections/oauth/start", json=wanted(org, **changes))
        assert reply.status_code == 200, reply.text
        browser.cookies.update(reply.cookies)
        client.cookies.clear()
        return str(reply.json()["authorize_url"])

    return begin


def allow(url: str) -> str:
    """Where the vendor sends a person who allows access, as path and query."""
    location = urlsplit(httpx.get(url).headers["location"])
    assert location.path == "/v1/oauth/callback"
    return f"{location.path}?{location.query}"


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def names(admin: Client) -> list[str]:
    return [c["name"] for c in admin.get("/v1/connections").json()["items"]]


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def test_allowing_access_connects_in_the_name_of_who_began(
    admin: Client, browser: Client, start: Start, org: SandboxServer, db: Database, tenant_id: UUID
) -> None:
    url = start()
    reply = browser.get(allow(url))
    assert reply.status_code == 200, reply.text
    shown = admin.get(f"/v1/connections/{reply.json()['connection_id']}")
    assert (shown.json()["name"], shown.json()["status"]) == ("org", "ok")
    auth = org.sandbox.auth
    secrets = [*auth.sessions, *auth.refresh_tokens, *auth.codes, KNOWN.client_secret, asked(url)["state"]]
    with db.tenant(tenant_id) as conn:
        entries = list(audit.entries(conn))
    assert [(e.action, e.actor) for e in entries] == [
        ("connection.sign_in", "test tenant_admin"),
        ("connection.create", "test tenant_admin"),
    ]
    told = reply.text + shown.text + str([e.detail for e in entries])
    assert [s for s in secrets if s in told] == []


def test_a_state_is_good_for_one_answer(admin: Client, browser: Client, start: Start) -> None:
    address = allow(start())
    assert browser.get(address).status_code == 200
    assert refused(browser.get(address)) == (422, "state_mismatch")
    assert names(admin) == ["org"]


@pytest.mark.parametrize("state", ["", "x", "é", "a" * 64, "AAAA"])
def test_what_is_no_state_of_ours_is_refused(admin: Client, browser: Client, start: Start, state: str) -> None:
    start()
    reply = browser.get("/v1/oauth/callback", params={"state": state, "code": "stolen"})
    assert refused(reply) == (422, "state_mismatch")
    assert names(admin) == []


def test_a_missing_state_is_refused(browser: Client) -> None:
    assert refused(browser.get("/v1/oauth/callback", params={"code": "x"})) == (422, "state_mismatch")


def test_a_state_that_is_given_another_tenant_is_refused_and_stays_good_for_its_own(
    admin: Client, browser: Client, start: Start, other_tenant_id: UUID
) -> None:
    address = allow(start())
    state = asked(address)["state"]
    prefix = sign_ins.new_state(other_tenant_id)[:20]
    moved = prefix + state[20:]
    assert refused(browser.get(address.replace(state, moved))) == (422, "state_mismatch")
    assert browser.get(address).status_code == 200
    assert names(admin) == ["org"]


def test_an_answer_that_comes_too_late_is_refused(
    admin: Client, browser: Client, start: Start, db: Database, tenant_id: UUID
) -> None:
    address = allow(start())
    with db.tenant(tenant_id) as conn:
        conn.execute(text("UPDATE sign_in SET expires_at = now() - :by"), {"by": timedelta(seconds=1)})
    assert refused(browser.get(address)) == (422, "sign_in_timeout")
    assert names(admin) == []


def test_what_waits_holds_neither_state_nor_secret_in_the_clear(start: Start, db: Database, tenant_id: UUID) -> None:
    state = asked(start())["state"]
    with db.tenant(tenant_id) as conn:
        row = bytes(conn.execute(text("SELECT convert_to(s::text, 'UTF8') FROM sign_in s")).scalar_one())
        held = conn.execute(text("SELECT state_hash, wrapped_key, ciphertext FROM sign_in")).one()
    for secret in (state.encode(), KNOWN.client_secret.encode()):
        assert secret not in row
        assert all(secret not in bytes(column) for column in held)


def test_a_refusal_is_told_in_words_and_uses_the_state_up(admin: Client, browser: Client, start: Start) -> None:
    state = asked(start())["state"]
    denied = {"state": state, "error": "access_denied"}
    reply = browser.get("/v1/oauth/callback", params=denied)
    assert refused(reply) == (409, "sign_in_declined")
    assert "declined" in reply.json()["detail"]
    assert refused(browser.get("/v1/oauth/callback", params=denied)) == (422, "state_mismatch")
    assert names(admin) == []


@pytest.mark.parametrize("address", ["/console/connections?tab=1", "https://crm.example/back"])
def test_a_person_goes_back_to_where_it_began(browser: Client, start: Start, address: str) -> None:
    reply = browser.get(allow(start(return_to=address)))
    assert reply.status_code == 303
    location = reply.headers["location"]
    assert location.startswith(address)
    assert UUID(asked(location)["connection_id"])
    assert reply.headers["referrer-policy"] == "no-referrer"


def test_a_person_who_declined_goes_back_too(browser: Client, start: Start) -> None:
    state = asked(start(return_to="/console"))["state"]
    reply = browser.get("/v1/oauth/callback", params={"state": state, "error": "access_denied"})
    assert (reply.status_code, asked(reply.headers["location"])["error"]) == (303, "sign_in_declined")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\evil.example", "javascript:alert(1)",
        "https://crm.example@evil.example/", "https://crm.example.evil.example/", "http://crm.example/", "evil",
        "https://testserver/", "/\tevil", "https://[", "",
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(admin: Client, org: SandboxServer, address: str) -> None:
    reply = admin.post("/v1/connections/oauth/start", json=wanted(org, return_to=address))
    assert refused(reply) == (422, "return_refused")


def test_more_scopes_are_asked_for_beside_those_granted(
    admin: Client, browser: Client, start: Start, org: SandboxServer
) -> None:
    made = browser.get(allow(start())).json()["connection_id"]
    body = {"connection_id": made, "scopes": ["chatter_api"]}
    begun = admin.post("/v1/connections/oauth/start", json=body)
    browser.cookies.update(begun.cookies)
    url = begun.json()["authorize_url"]
    scopes = asked(url)["scope"].split()
    assert "chatter_api" in scopes
    assert {"api", "refresh_token"} <= set(scopes)
    again = browser.get(allow(url))
    assert (again.status_code, again.json()) == (200, {"connection_id": made})
    assert names(admin) == ["org"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"vendor": "files"}, 422, "uploads_only"),
        ({"vendor": None}, 422, "invalid_request"),
        ({"credentials": {}}, 422, "missing_setting"),
        ({"scopes": ["two words"]}, 422, "invalid_request"),
    ],
)
def test_odd_beginnings_are_refused(
    admin: Client, org: SandboxServer, changes: dict[str, Any], status: int, code: str
) -> None:
    assert refused(admin.post("/v1/connections/oauth/start", json=wanted(org, **changes))) == (status, code)


def test_beginning_needs_a_permission(connecting: As, org: SandboxServer) -> None:
    assert connecting("member").post("/v1/connections/oauth/start", json=wanted(org)).status_code == 403


# ---------------------------------------------------------------- whose browser it is


def begin(client: Client, org: SandboxServer, **changes: Any) -> httpx.Response:
    reply = client.post("/v1/connections/oauth/start", json=wanted(org, **changes))
    assert reply.status_code == 200, reply.text
    client.cookies.clear()
    return reply


def test_an_answer_that_another_browser_brings_connects_nothing(
    admin: Client, sandbox_app: Client, browser: Client, start: Start, org: SandboxServer
) -> None:
    """An attacker begins in their own tenant and has a victim allow access, or open the answer: RFC 9700 section 4.7."""
    address = allow(start())
    codes = set(org.sandbox.auth.codes)
    victim = Client(sandbox_app.app, raise_server_exceptions=False, follow_redirects=False)
    reply = victim.get(address)
    assert refused(reply) == (403, "other_browser")
    assert "Start connecting again" in reply.json()["remedy"]
    assert set(org.sandbox.auth.codes) == codes, "the code was exchanged"
    assert refused(browser.get(address)) == (422, "state_mismatch"), "it was used up"
    assert names(admin) == []


@pytest.mark.parametrize("forged", ["", "x", "another sign-in's"])
def test_a_cookie_that_is_not_that_sign_ins_is_none(
    admin: Client, browser: Client, start: Start, org: SandboxServer, forged: str
) -> None:
    address = allow(start())
    other = begin(admin, org, name="other").cookies
    (mine,), (theirs,) = browser.cookies.items(), other.items()
    browser.cookies.clear()
    browser.cookies.set(mine[0], theirs[1] if forged == "another sign-in's" else forged)
    assert refused(browser.get(address)) == (403, "other_browser")
    assert names(admin) == []


def test_a_victim_whose_own_sign_in_is_under_way_is_not_given_the_attackers_account(
    admin: Client, browser: Client, start: Start, as_: As, connecting: As, org: SandboxServer, other_tenant_id: UUID
) -> None:
    mallory = connecting("tenant_admin", other_tenant_id)
    lure = allow(begin(mallory, org, name="mallory's").json()["authorize_url"])
    mine = allow(start())
    assert refused(browser.get(lure)) == (403, "other_browser")
    assert browser.get(mine).status_code == 200
    assert (names(admin), names(mallory)) == (["org"], [])


def test_several_sign_ins_of_one_browser_do_not_get_in_each_others_way(
    admin: Client, browser: Client, start: Start
) -> None:
    first, second = allow(start(name="first")), allow(start(name="second"))
    assert browser.get(second).status_code == 200
    # The same account under two names: what counts here is that each answer found its own cookie.
    assert browser.get(first).json().get("code") != "other_browser"
    assert not browser.cookies


def test_who_is_sent_back_is_told_that_it_was_another_browser(sandbox_app: Client, start: Start) -> None:
    reply = sandbox_app.get(allow(start(return_to="/console")))
    assert (reply.status_code, asked(reply.headers["location"])["error"]) == (303, "other_browser")


@pytest.mark.parametrize(
    ("public_url", "prefix", "secure"),
    [("https://hub.example.com", "__Host-", True), ("http://127.0.0.1:8080", "", False)],
)
def test_the_cookie_is_of_this_host_alone_and_out_of_reach_of_scripts(
    sandbox_hub: Hub, admin: Client, org: SandboxServer, public_url: str, prefix: str, secure: bool
) -> None:
    hub = Hub(sandbox_hub.settings.model_copy(update={"public_url": public_url}))
    hub.__dict__.update(urls=sandbox_hub.urls, db=sandbox_hub.db, vault=sandbox_hub.vault)
    with Client(create_app(hub), headers={"Authorization": admin.headers["Authorization"]}) as client:
        reply = begin(client, org)
    (cookie,) = reply.headers.get_list("set-cookie")
    name, *rest = cookie.split("; ")
    assert name.startswith(f"{prefix}syncline-sign-in-")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Max-Age=600"} <= set(rest)
    assert ("Secure" in rest) is secure
    assert not any(part.startswith("Domain") for part in rest)


# ---------------------------------------------------------------- callers who see to it themselves


def ticket_of(client: Client, org: SandboxServer, browser: Client) -> str:
    begun = begin(client, org, binding="caller", return_to="https://crm.example/back")
    assert "set-cookie" not in begun.headers
    reply = browser.get(allow(begun.json()["authorize_url"]))
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("https://crm.example/back?ticket=")
    return asked(reply.headers["location"])["ticket"]


def finish(client: Client, ticket: str) -> httpx.Response:
    return client.post("/v1/connections/oauth/finish", json={"ticket": ticket})


def test_a_server_finishes_by_its_ticket_once(admin: Client, org: SandboxServer, browser: Client) -> None:
    ticket = ticket_of(admin, org, browser)
    assert names(admin) == [], "nothing is connected before the server said whose it is"
    made = finish(admin, ticket)
    assert made.status_code == 200, made.text
    assert admin.get(f"/v1/connections/{made.json()['connection_id']}").json()["name"] == "org"
    assert refused(finish(admin, ticket)) == (422, "state_mismatch")


def test_a_ticket_is_of_use_to_nobody_else(
    admin: Client, connecting: As, org: SandboxServer, browser: Client, other_tenant_id: UUID
) -> None:
    ticket = ticket_of(admin, org, browser)
    for stranger in (connecting("tenant_admin"), connecting("tenant_admin", other_tenant_id)):
        assert refused(finish(stranger, ticket)) == (422, "state_mismatch")
    assert refused(browser.get("/v1/oauth/callback", params={"state": ticket, "code": "x"})) == (422, "state_mismatch")
    assert names(admin) == []


def test_a_state_is_no_ticket(admin: Client, start: Start) -> None:
    assert refused(finish(admin, asked(start())["state"])) == (422, "state_mismatch")
    assert names(admin) == []


def test_a_server_without_a_page_of_its_own_is_refused(admin: Client, org: SandboxServer) -> None:
    reply = admin.post("/v1/connections/oauth/start", json=wanted(org, binding="caller"))
    assert refused(reply) == (422, "invalid_request")


def test_a_person_who_declined_comes_back_with_a_ticket_that_says_so(
    admin: Client, org: SandboxServer, browser: Client
) -> None:
    begun = begin(admin, org, binding="caller", return_to="https://crm.example/back")
    state = asked(begun.json()["authorize_url"])["state"]
    reply = browser.get("/v1/oauth/callback", params={"state": state, "error": "access_denied"})
    assert refused(finish(admin, asked(reply.headers["location"])["ticket"])) == (409, "sign_in_declined")
