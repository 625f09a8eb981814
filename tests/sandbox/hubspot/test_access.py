"""Who may call, and how often."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from sandbox.kit.wire import Reply, Request
from tests.sandbox.hubspot.helpers import InProcess

BACK = "https://hub.example/callback"


def form(portal: InProcess, **fields: str) -> Reply:
    known = portal.sandbox.auth.known
    body = {"client_id": known.client_id, "client_secret": known.client_secret, **fields}
    return portal.call("POST", "/oauth/v1/token", urlencode(body).encode(), token="none")


def consent(portal: InProcess, **more: str) -> str:
    query = {
        "client_id": portal.sandbox.auth.known.client_id,
        "redirect_uri": BACK,
        "scope": "crm.objects.contacts.read",
        **more,
    }
    reply = portal.call("GET", f"/oauth/authorize?{urlencode(query)}", token="none")
    assert reply.status == 302
    assert reply.headers["Location"].startswith(BACK)
    return parse_qs(urlsplit(reply.headers["Location"]).query)["code"][0]


def test_a_code_becomes_tokens_once_and_they_do_what_was_agreed_to(empty: InProcess) -> None:
    code = consent(empty)
    tokens = form(empty, grant_type="authorization_code", code=code, redirect_uri=BACK).json
    assert tokens["expires_in"] == 1800
    assert empty.call("GET", "contacts", token=tokens["access_token"]).status == 200
    refused = empty.call("GET", "deals", token=tokens["access_token"])
    assert (refused.status, refused.json["category"]) == (403, "MISSING_SCOPES")
    assert refused.json["errors"][0]["context"] == {"requiredGranularScopes": ["crm.objects.deals.read"]}
    again = form(empty, grant_type="authorization_code", code=code, redirect_uri=BACK)
    assert (again.status, again.json["status"]) == (400, "BAD_AUTH_CODE")


def test_a_token_lasts_as_long_as_expires_in_says_and_is_renewed(empty: InProcess) -> None:
    tokens = empty.sandbox.auth.connect()
    empty.clock.advance(1799)
    assert empty.call("GET", "contacts", token=tokens["access_token"]).status == 200
    empty.clock.advance(4)
    expired = empty.call("GET", "contacts", token=tokens["access_token"])
    assert (expired.status, expired.json["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert "expired 3 second(s) ago" in expired.json["message"]
    assert empty.call("GET", "contacts").status == 200  # a private app's doesn't expire
    renewed = form(empty, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json
    assert renewed["refresh_token"] == tokens["refresh_token"]
    assert empty.call("GET", "contacts", token=renewed["access_token"]).status == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "BAD_REFRESH_TOKEN"),
        ({"grant_type": "authorization_code", "code": "x", "redirect_uri": BACK}, "BAD_AUTH_CODE"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
        ({"grant_type": "refresh_token", "client_secret": "x"}, "BAD_CLIENT_ID"),
    ],
)
def test_the_token_endpoint_refuses_in_an_envelope_of_its_own(
    empty: InProcess, fields: dict[str, str], status: str
) -> None:
    reply = form(empty, **fields)
    assert (reply.status, reply.json["status"], reply.json["error"]) == (400, status, "invalid_grant")


def test_a_challenge_has_to_be_met(empty: InProcess) -> None:
    verifier = "v" * 50
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    known: dict[str, Any] = {"grant_type": "authorization_code", "redirect_uri": BACK}
    wrong = form(empty, **known, code=consent(empty, code_challenge=challenge), code_verifier="w" * 50)
    assert wrong.json["status"] == "BAD_CODE_VERIFIER"
    assert form(empty, **known, code=consent(empty, code_challenge=challenge), code_verifier=verifier).status == 200


def test_a_token_tells_whose_it_is(empty: InProcess) -> None:
    tokens = empty.sandbox.auth.connect()
    about = empty.ok("GET", f"/oauth/v1/access-tokens/{tokens['access_token']}")
    assert (about["hub_id"], about["token_type"]) == (empty.portal.id, "access")
    assert empty.ok("GET", f"/oauth/v1/refresh-tokens/{tokens['refresh_token']}")["token_type"] == "refresh"
    empty.call("DELETE", f"/oauth/v1/refresh-tokens/{tokens['refresh_token']}")
    assert form(empty, grant_type="refresh_token", refresh_token=tokens["refresh_token"]).status == 400


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic abc", "Bearer "])
def test_without_a_token_nothing_is_told(small: InProcess, header: str) -> None:
    reply = small.sandbox.handle(Request.of("GET", "/crm/v3/objects/contacts", headers={"Authorization": header}))
    assert (reply.status, reply.json["category"]) == (401, "INVALID_AUTHENTICATION")


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("contacts", "crm.objects.contacts.read"), ("0-2", "crm.objects.companies.read"), ("notes", "crm.objects.contacts.read"),
        ("tickets", "tickets"), ("machines", "crm.objects.custom.read"), ("/crm/v3/owners", "crm.objects.owners.read"),
        ("/crm/v3/properties/deals", "crm.schemas.deals.read"), ("/crm-object-schemas/v3/schemas", "crm.schemas.custom.read"),
        ("/crm/v3/lists/1", "crm.lists.read"),
    ],
)  # fmt: skip
def test_a_scope_taken_away_is_named(small: InProcess, path: str, scope: str) -> None:
    assert small.call("GET", path).status == 200
    small.call("POST", "/__sandbox__/scopes", {"revoke": [scope]})
    refused = small.refused("GET", path, status=403)
    assert refused["errors"][0]["context"]["requiredGranularScopes"] == [scope]
    small.call("POST", "/__sandbox__/scopes", {"grant": [scope]})
    assert small.call("GET", path).status == 200


def test_ten_seconds_have_so_many_calls() -> None:
    portal = InProcess(contacts=0, burst=3)
    replies = [portal.call("GET", "contacts") for _ in range(4)]
    assert [r.status for r in replies] == [200] * 3 + [429]
    assert [r.headers["X-HubSpot-RateLimit-Remaining"] for r in replies] == ["2", "1", "0", "0"]
    assert replies[0].headers["X-HubSpot-RateLimit-Max"] == "3"
    assert replies[0].headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert (replies[-1].json["policyName"], replies[-1].json["errorType"]) == ("TEN_SECONDLY_ROLLING", "RATE_LIMIT")
    assert replies[-1].json["category"] == "RATE_LIMITS"
    assert "Retry-After" not in replies[-1].headers
    portal.clock.advance(10)
    assert portal.call("GET", "contacts").status == 200


def test_a_day_has_so_many_calls_and_the_account_tells_how_many_are_left() -> None:
    portal = InProcess(contacts=0)
    portal.call("POST", "/__sandbox__/limits", {"daily": 100, "used_today": 98})
    last = portal.call("GET", "contacts")
    assert last.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "1"
    usage = portal.ok("GET", "/account-info/v3/api-usage/daily/private-apps")["results"][0]
    assert (usage["usageLimit"], usage["currentUsage"]) == (100, 100)
    assert portal.call("GET", "contacts").json["policyName"] == "DAILY"
    portal.clock.advance(12 * 3600)  # noon to midnight
    assert portal.call("GET", "contacts").status == 200


def test_oauth_apps_are_not_told_of_the_day() -> None:
    portal = InProcess(contacts=0, burst=1)
    token = portal.sandbox.auth.connect()["access_token"]
    replies = [portal.call("GET", "contacts", token=token) for _ in range(2)]
    assert [r.status for r in replies] == [200, 429]
    for reply in replies:
        assert reply.headers["X-HubSpot-RateLimit-Remaining"] == "0"
        assert "X-HubSpot-RateLimit-Daily" not in reply.headers
