"""Quotas: what is counted, what is told, what is refused."""

from __future__ import annotations

import pytest

from tests.sandbox.salesforce.helpers import InProcess


@pytest.fixture
def org() -> InProcess:
    return InProcess(contacts=0, daily_calls=5)


def test_every_answer_tells_what_is_used(org: InProcess) -> None:
    assert org.call("GET", "limits").headers["Sforce-Limit-Info"] == "api-usage=1/5"
    reply = org.call("GET", "limits")
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=2/5"
    assert reply.json["DailyApiRequests"] == {"Max": 5, "Remaining": 3}


def test_one_call_too_many_is_403_without_retry_after_until_24_hours_are_over(org: InProcess) -> None:
    for _ in range(5):
        assert org.call("GET", "limits").status == 200
    reply = org.call("GET", "limits")
    assert (reply.status, reply.json) == (
        403,
        [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
    )
    assert not {name.lower() for name in reply.headers} & {"retry-after"}
    org.clock.advance(86_400)
    org.token = org.sandbox.auth.open_session()
    assert org.call("GET", "limits").headers["Sforce-Limit-Info"] == "api-usage=1/5"


def test_signing_in_and_listing_versions_are_free(org: InProcess) -> None:
    org.call("GET", "/services/data/")
    org.call("GET", "/services/oauth2/userinfo")
    assert org.sandbox.limits.used == 0


def test_long_calls_have_a_limit_of_their_own(org: InProcess) -> None:
    org.sandbox.limits.long_running = 25
    reply = org.call("GET", "limits")
    assert (reply.status, reply.json[0]["message"]) == (
        403,
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
    )


def test_the_quota_can_be_set(org: InProcess) -> None:
    assert org.call("POST", "/__sandbox__/limits", {"daily": 1000, "used": 999}).json == {"Max": 1000, "Remaining": 1}
    assert [org.call("GET", "limits").status for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/services/data/v59.0/nowhere", 404, "NOT_FOUND"),
        ("/services/data/v99.0/limits", 404, "NOT_FOUND"),
        ("/services/data/v59/limits", 404, "NOT_FOUND"),
        ("/services/data/v30.0/limits", 410, "UNSUPPORTED_API_VERSION"),
        ("/services/data/v59.0/sobjects/Nope/describe", 404, "NOT_FOUND"),
        ("/services/data/v59.0/sobjects/Account/001000000000000AAA", 404, "NOT_FOUND"),
    ],
)
def test_what_is_not_there(org: InProcess, path: str, status: int, code: str) -> None:
    reply = org.call("GET", path)
    assert (reply.status, reply.json[0]["errorCode"]) == (status, code)


def test_a_wrong_method_names_the_right_ones(org: InProcess) -> None:
    reply = org.call("PUT", "sobjects/Account/001000000000000AAA", {})
    assert (reply.status, reply.json[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    assert "DELETE, GET, PATCH" in reply.json[0]["message"]


def test_versions_carry_their_season(org: InProcess) -> None:
    listed = {v["version"]: v["label"] for v in org.call("GET", "/services/data").json}
    assert (listed["31.0"], listed["59.0"], listed["65.0"]) == ("Summer '14", "Winter '24", "Winter '26")
