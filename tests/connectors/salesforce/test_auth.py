"""Signing in against the stand-in, each way; and what must never be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.kit.contract import AuthKind, ReadRequest
from connectors.salesforce.auth import api_version, audience, domain
from connectors.salesforce.connector import MANIFEST
from domain.errors import ConfigurationError, ForeignHostError, RateLimitedError, ReauthRequiredError, TransientError
from sandbox.salesforce.faults import Fault
from sandbox.salesforce.server import SandboxServer
from tests.connectors.salesforce.conftest import Connect
from tests.connectors.salesforce.stand_in import password


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


@pytest.fixture
def org(key: tuple[str, str]) -> Iterator[SandboxServer]:
    with SandboxServer(contacts=10, jwt_public_key=key[1], rotate_refresh_tokens=True) as server:
        yield server


def app(server: SandboxServer) -> dict[str, Any]:
    return {"client_id": server.credentials.client_id, "client_secret": server.credentials.client_secret}


def test_user_name_and_password(org: SandboxServer, connect: Connect) -> None:
    account = connect(org).check()
    assert account.user == org.credentials.username
    assert len(account.remote_account) == 18
    assert (account.currency, account.time_zone, account.country) == ("USD", "America/Los_Angeles", "US")


def test_the_user_name_may_stand_among_the_settings(org: SandboxServer, connect: Connect) -> None:
    secrets = password(org)
    settings = {"username": secrets.pop("username")}
    assert connect(org, secrets, settings=settings).check().user == org.credentials.username


def test_jwt_bearer(org: SandboxServer, connect: Connect, key: tuple[str, str]) -> None:
    secrets = {"client_id": app(org)["client_id"], "username": org.credentials.username, "private_key": key[0]}
    assert connect(org, secrets).check().remote_account


def test_client_credentials(org: SandboxServer, connect: Connect) -> None:
    assert connect(org, app(org), settings={"domain": "acme.my"}).check().remote_account


def test_a_rotated_refresh_token_replaces_the_old_one(org: SandboxServer, connect: Connect) -> None:
    token = org.sandbox.auth.issue_refresh()
    connector = connect(org, {**app(org), "refresh_token": token})
    connector.check()
    stored = connector._org.session.credentials()
    assert stored["refresh_token"] != token
    assert stored["refresh_token"] in org.sandbox.auth.refresh_tokens


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "not-the-password"},
        {"security_token": "stale-token"},
        {"username": "nobody@example.org"},
    ],
)
def test_a_wrong_password_is_tried_once_only(org: SandboxServer, connect: Connect, wrong: dict[str, str]) -> None:
    """Salesforce locks a user out after a few failures, and answers each with HTTP 500."""
    with pytest.raises(ReauthRequiredError, match="INVALID_LOGIN") as caught:
        connect(org, password(org) | wrong).check()
    assert org.sandbox.journal.kinds == {"login": 1}
    assert not any(value in repr(caught.value) for value in wrong.values())


def test_a_login_that_fails_otherwise_is_not_repeated_either(org: SandboxServer, connect: Connect) -> None:
    org.sandbox.faults.waiting.append(Fault("error", calls="login", status=503))
    with pytest.raises(TransientError):
        connect(org).check()
    assert org.sandbox.journal.kinds == {"login": 1}


def test_a_revoked_refresh_token_needs_a_person(org: SandboxServer, connect: Connect) -> None:
    with pytest.raises(ReauthRequiredError, match="invalid_grant"):
        connect(org, {**app(org), "refresh_token": "revoked-token"}).check()


def test_a_connection_without_credentials_says_so(org: SandboxServer, connect: Connect) -> None:
    with pytest.raises(ReauthRequiredError, match="no credentials"):
        connect(org, {}).check()
    assert org.sandbox.journal.kinds == {}


def test_an_expired_session_is_renewed_in_the_middle_of_a_listing(
    shared_server: SandboxServer, connect: Connect
) -> None:
    pages = connect(shared_server).read(ReadRequest("Contact"))
    first = next(pages)
    shared_server.sandbox.auth.expire_all()
    assert len(first) + sum(map(len, pages)) == 4200


def test_a_session_that_only_a_person_can_renew(org: SandboxServer, connect: Connect) -> None:
    with pytest.raises(ReauthRequiredError):
        connect(org, {"access_token": "expired-token", "instance_url": org.url}).check()


@pytest.mark.parametrize("secrets", [password, lambda s: {**app(s), "refresh_token": s.sandbox.auth.issue_refresh()}])
def test_an_instance_on_a_foreign_host_is_refused_and_gets_no_token(
    org: SandboxServer, connect: Connect, secrets: Any
) -> None:
    org.sandbox.faults.waiting.append(Fault("wrong_instance"))
    connector = connect(org, secrets(org))
    with pytest.raises(ForeignHostError, match=r"attacker\.example"):
        connector.check()
    assert set(org.sandbox.journal.kinds) <= {"login", "token"}
    assert not connector._org.session._connection.tokens.load().get("access_token")


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.my.salesforce.com.evil.example",
        "https://login.salesforce.com@evil.example",
        "https://evilsalesforce.com",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com:8443",
    ],
)
def test_lookalikes_of_an_instance_are_refused(org: SandboxServer, connect: Connect, address: str) -> None:
    with pytest.raises(ForeignHostError):
        connect(org, {"access_token": "a-token", "instance_url": address}).check()
    assert org.sandbox.journal.kinds == {}


def test_a_next_link_to_a_foreign_host_is_refused(shared_server: SandboxServer, connect: Connect) -> None:
    shared_server.sandbox.faults.waiting.append(Fault("foreign_next", calls="query"))
    with pytest.raises(ForeignHostError, match=r"attacker\.example"):
        list(connect(shared_server).read(ReadRequest("Contact")))


def test_the_quota_share_is_respected(org: SandboxServer, connect: Connect) -> None:
    connector = connect(org, budget=0.5)
    connector.check()
    org.sandbox.limits.daily_calls = 100
    org.sandbox.limits.set_used(60)
    connector.count(["Account"])  # its answer tells
    before = org.sandbox.journal.counted
    with pytest.raises(RateLimitedError, match="50%"):
        connector.count(["Account"])
    assert org.sandbox.journal.counted == before


def test_request_limit_exceeded_has_no_retry_after(org: SandboxServer, connect: Connect) -> None:
    org.sandbox.faults.waiting.append(Fault("limit", calls="composite"))
    with pytest.raises(RateLimitedError, match="last 24 hours") as caught:
        connect(org).count(["Account"])
    assert caught.value.retry_after_s is None
    assert org.sandbox.journal.kinds["composite"] == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "login"),
        ("login", "login"),
        ("TEST", "test"),
        ("acme.my", "acme.my"),
        ("acme.my.salesforce.com", "acme.my"),
        ("https://acme--uat.sandbox.my.salesforce.com/", "acme--uat.sandbox.my"),
    ],
)
def test_login_domains(given: str, expected: str) -> None:
    assert domain({"domain": given}) == expected


@pytest.mark.parametrize(
    "given", ["evil.example", "login.salesforce.com.evil.example", "a b", "a/../b", "https://", "x@y"]
)
def test_a_login_domain_elsewhere_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"salesforce\.com"):
        domain({"domain": given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acme.my", "https://login.salesforce.com"),
        ("test", "https://test.salesforce.com"),
        ("a--b.sandbox.my", "https://test.salesforce.com"),
    ],
)
def test_whom_an_assertion_addresses(given: str, expected: str) -> None:
    assert audience({"domain": given}) == expected


@pytest.mark.parametrize(("given", "expected"), [("", "60.0"), ("v58.0", "58.0"), ("61", "61.0")])
def test_api_versions(given: str, expected: str) -> None:
    assert api_version({"api_version": given}) == expected


@pytest.mark.parametrize("given", ["52.0", "latest", "60.5"])
def test_an_unusable_api_version_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="API version"):
        api_version({"api_version": given})


def test_the_manifest_offers_every_way_that_works() -> None:
    assert {m.kind for m in MANIFEST.auth} == {
        AuthKind.PASSWORD,
        AuthKind.OAUTH2_CODE,
        AuthKind.OAUTH2_JWT,
        AuthKind.OAUTH2_CLIENT,
    }
