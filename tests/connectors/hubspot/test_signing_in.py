"""Tokens, 401s, limits and foreign hosts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from bootstrap.connecting import sign_in
from cli.connect import fill_in
from connectors.hubspot.errors import error_table, parse_fault
from connectors.hubspot.portal import read_quota
from connectors.kit.faults import Again
from connectors.kit.registry import load
from domain.errors import ForeignHostError, RateLimitedError, ReauthRequiredError
from tests.connectors.hubspot.conftest import Connect
from tests.connectors.hubspot.portal_double import TOKEN, PortalDouble, refusal
from tests.connectors.kit.stub_vendor import Answer, Arrived, as_json

FIXTURES = Path(__file__).parent / "fixtures"
APP = {"client_id": "i", "client_secret": "s", "refresh_token": "r"}


def tokens(portal: PortalDouble) -> list[Arrived]:
    return [a for a in portal.vendor.arrived if a.path == "/oauth/v1/token"]


def issuing(request: Arrived) -> Answer | None:
    if request.path == "/oauth/v1/token":
        return as_json({"access_token": TOKEN, "refresh_token": "r", "expires_in": 1800})
    return None


def test_an_account_is_told(portal: PortalDouble, connect: Connect) -> None:
    account = connect().check()
    assert (account.remote_account, account.time_zone, account.currency) == ("4711", "Europe/Berlin", "EUR")
    assert account.details["ui_domain"] == "app.hubspot.com"


def test_a_token_is_renewed_by_its_age(portal: PortalDouble, connect: Connect) -> None:
    portal.intercept = issuing
    old = {**APP, "access_token": "old", "refresh_at": time.time() - 1, "expires_at": time.time() - 1}
    connect(old).check()
    assert len(tokens(portal)) == 1


def test_a_401_is_no_reason_to_refresh(portal: PortalDouble, connect: Connect) -> None:
    portal.intercept = issuing
    good = {**APP, "access_token": "revoked", "refresh_at": time.time() + 999, "expires_at": time.time() + 999}
    with pytest.raises(ReauthRequiredError):
        connect(good).check()
    assert tokens(portal) == []


def test_an_expired_token_is_renewed_once(portal: PortalDouble, connect: Connect) -> None:
    def expired(request: Arrived) -> Answer | None:
        if request.headers.get("Authorization") == "Bearer old":
            return refusal(401, "EXPIRED_AUTHENTICATION")
        return issuing(request)

    portal.intercept = expired
    stored = {**APP, "access_token": "old", "refresh_at": time.time() + 999, "expires_at": time.time() + 999}
    assert connect(stored).check().remote_account == "4711"
    assert len(tokens(portal)) == 1


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


def test_only_the_connections_share_of_the_day_is_used(portal: PortalDouble, connect: Connect) -> None:
    spent = {"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": "500"}
    portal.intercept = lambda _r: as_json({"portalId": 1}, 200, **spent)
    hubspot = connect(budget=0.5)
    hubspot.check()
    with pytest.raises(RateLimitedError):
        hubspot.check()


def test_a_signed_address_elsewhere_is_refused_before_anything_is_sent(portal: PortalDouble, connect: Connect) -> None:
    portal.intercept = lambda r: as_json({"url": "https://evil.example/x"}) if "signed-url" in r.path else None
    with pytest.raises(ForeignHostError):
        list(connect().download("files", "77"))


def test_what_a_person_fills_in_signs_in(portal: PortalDouble) -> None:
    given = {"access_token": TOKEN}
    answers = fill_in(load("hubspot").manifest, given, auth=None, ask=None)
    account, stored = sign_in("hubspot", answers.settings, answers.credentials, portal.vendor.origin)
    assert account.remote_account == "4711"
    assert stored["access_token"] == TOKEN
    assert answers.settings == {}
