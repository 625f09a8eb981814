"""Tokens, 401s, limits and foreign hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from bootstrap.connecting import sign_in
from bootstrap.filling_in import fill_in
from connectors.hubspot.errors import error_table, parse_fault
from connectors.hubspot.portal import read_quota
from connectors.kit.faults import Again
from connectors.kit.registry import load
from domain.errors import ForeignHostError, RateLimitedError, ReauthRequiredError
from sandbox.hubspot.server import HubSpotServer
from tests.connectors.hubspot.conftest import Connect
from tests.connectors.hubspot.stand_in import answering

FIXTURES = Path(__file__).parent / "fixtures"


def app(portal: HubSpotServer, **stored: Any) -> dict[str, Any]:
    """What is stored of an app whose user has agreed."""
    auth = portal.sandbox.auth
    known = {"client_id": auth.known.client_id, "client_secret": auth.known.client_secret}
    tokens = auth.connect()
    later = time.time() + 999
    return {**known, "access_token": tokens["access_token"], "refresh_token": tokens["refresh_token"],
            "refresh_at": later, "expires_at": later, **stored}  # fmt: skip


def renewals(portal: HubSpotServer) -> int:
    return portal.sandbox.journal.kinds["token"]


def test_an_account_is_told(connect: Connect) -> None:
    account = connect().check()
    assert (account.remote_account, account.time_zone, account.currency) == ("62515", "US/Eastern", "USD")
    assert account.details["ui_domain"] == "app.hubspot.com"


def test_a_token_is_renewed_by_its_age(portal: HubSpotServer, connect: Connect) -> None:
    connect(app(portal, refresh_at=time.time() - 1, expires_at=time.time() - 1)).check()
    assert renewals(portal) == 1


def test_a_401_is_no_reason_to_refresh(portal: HubSpotServer, connect: Connect) -> None:
    with pytest.raises(ReauthRequiredError):
        connect(app(portal, access_token="revoked")).check()
    assert renewals(portal) == 0


def test_an_expired_token_is_renewed_once(portal: HubSpotServer, connect: Connect) -> None:
    stored = app(portal)
    portal.sandbox.auth.expire_all()
    assert connect(stored).check().remote_account == "62515"
    assert renewals(portal) == 1


def test_a_revoked_installation_needs_a_person(portal: HubSpotServer, connect: Connect) -> None:
    stored = app(portal)
    portal.sandbox.auth.refreshes.clear()
    portal.sandbox.auth.expire_all()
    with pytest.raises(ReauthRequiredError):
        connect(stored).check()


@pytest.mark.parametrize(("name", "again"), [("rate_limit_daily.json", Again.NEVER),
                                             ("rate_limit_ten_seconds.json", Again.UNPROCESSED)])  # fmt: skip
def test_which_limit_was_hit_decides_what_happens_next(name: str, again: Again) -> None:
    body = (FIXTURES / name).read_bytes()
    fault = parse_fault(429, {"X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}, body)
    assert fault is not None
    rule = error_table().rule(429, fault.code)
    assert rule is not None
    assert (rule.error, rule.again) == (RateLimitedError, again)
    assert fault.retry_after_s == (None if again is Again.NEVER else 10.0)


def test_retry_after_wins_over_the_window() -> None:
    body = orjson.dumps({"policyName": "SECONDLY"})
    fault = parse_fault(429, {"Retry-After": "3", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}, body)
    assert fault is not None
    assert fault.retry_after_s == 3.0


@pytest.mark.parametrize(("headers", "quota"), [
    ({"X-HubSpot-RateLimit-Daily": "650000", "X-HubSpot-RateLimit-Daily-Remaining": "600000"}, (50_000, 650_000)),
    ({}, None),
])  # fmt: skip
def test_the_days_quota_is_read(headers: dict[str, str], quota: Any) -> None:
    assert read_quota(headers) == quota


def test_only_the_connections_share_of_the_day_is_used(portal: HubSpotServer, connect: Connect) -> None:
    spent = {"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": "500"}
    answering(portal, "/account-info/", {"portalId": 1}, 200, headers=spent)
    hubspot = connect(budget=0.5)
    hubspot.check()
    with pytest.raises(RateLimitedError):
        hubspot.check()


def test_a_signed_address_elsewhere_is_refused_before_anything_is_sent(portal: HubSpotServer, connect: Connect) -> None:
    answering(portal, "signed-url", {"url": "https://evil.example/x"}, 200)
    with pytest.raises(ForeignHostError):
        list(connect().download("files", "77"))


def test_what_a_person_fills_in_signs_in(portal: HubSpotServer) -> None:
    given = {"access_token": portal.token}
    answers = fill_in(load("hubspot").manifest, given, auth=None, ask=None)
    account, stored = sign_in("hubspot", answers.settings, answers.credentials, portal.url)
    assert account.remote_account == "62515"
    assert stored["access_token"] == portal.token
    assert answers.settings == {}
