"""Every way in, and every way to be turned away."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey
from simple_salesforce import Salesforce

from sandbox.kit.wire import Reply, Request
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.server import SandboxServer
from tests.sandbox.salesforce.helpers import InProcess, LocalSession

KNOWN = Credentials()
APP = {"client_id": KNOWN.client_id, "client_secret": KNOWN.client_secret}


@pytest.fixture
def org() -> InProcess:
    return InProcess(contacts=0)


def token(org: InProcess, **form: str) -> Reply:
    return org.sandbox.handle(Request("POST", "/services/oauth2/token", body=urlencode(form).encode()))


def works(org: InProcess, access_token: str) -> bool:
    org.token = access_token
    return org.call("GET", "limits").status == 200


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "client_credentials", **APP},
        {
            "grant_type": "password",
            "username": KNOWN.username,
            "password": KNOWN.password + KNOWN.security_token,
            **APP,
        },
    ],
    ids=["client_credentials", "password"],
)
def test_a_grant_opens_a_session(org: InProcess, form: Mapping[str, str]) -> None:
    body = token(org, **form).json
    assert works(org, body["access_token"])
    assert body["token_type"] == "Bearer"
    assert body["instance_url"] == "https://sandbox.example"
    assert body["id"].endswith(f"{org.org.organization()['Id']}/{org.sandbox.auth.user_id}")
    assert body["issued_at"] == "1751284800000"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": KNOWN.client_id, "client_secret": "y"}, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": KNOWN.client_id}, "invalid_client"),
        ({"grant_type": "password", "username": KNOWN.username, "password": "no", **APP}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "no", **APP}, "invalid_grant"),
        (
            {"grant_type": "authorization_code", "code": "no", "redirect_uri": "https://a.example", **APP},
            "invalid_grant",
        ),
    ],
)
def test_a_bad_grant_is_refused_by_name(org: InProcess, form: Mapping[str, str], error: str) -> None:
    reply = token(org, **form)
    assert (reply.status, reply.json["error"]) == (400, error)


def test_a_session_ends_when_its_time_is_up(org: InProcess) -> None:
    assert org.call("GET", "limits").status == 200
    org.clock.advance(2 * 3600)
    reply = org.call("GET", "limits")
    assert reply.status == 401
    assert reply.json == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


# ---------------------------------------------------------------- authorization code with PKCE

BACK = "https://app.example/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-in-all"


def code(org: InProcess, **extra: str) -> str:
    asked = {"response_type": "code", "client_id": KNOWN.client_id, "redirect_uri": BACK, "state": "s t", **extra}
    reply = org.sandbox.handle(Request("GET", "/services/oauth2/authorize", asked))
    assert reply.status == 302
    answer = parse_qs(urlsplit(reply.headers["Location"]).query)
    assert reply.headers["Location"].startswith(BACK)
    assert answer["state"] == ["s t"]
    return answer["code"][0]


def challenge() -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def exchange(org: InProcess, granted: str, **changes: str) -> Reply:
    return token(
        org,
        **{
            "grant_type": "authorization_code",
            "code": granted,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
            **APP,
            **changes,
        },
    )


def test_a_code_is_exchanged_for_a_session_and_a_refresh_token(org: InProcess) -> None:
    body = exchange(org, code(org, code_challenge=challenge(), code_challenge_method="S256")).json
    assert works(org, body["access_token"])
    again = token(org, grant_type="refresh_token", refresh_token=body["refresh_token"], **APP).json
    assert works(org, again["access_token"])
    assert again["access_token"] != body["access_token"]


def test_a_code_works_once_for_its_address_and_its_verifier_and_for_15_minutes(org: InProcess) -> None:
    granted = code(org, code_challenge=challenge())
    assert exchange(org, granted, code_verifier="another").json["error"] == "invalid_grant"
    assert exchange(org, granted).json["error"] == "invalid_grant"  # the failed try used it up
    assert exchange(org, code(org), redirect_uri="https://b.example").json["error"] == "redirect_uri_mismatch"
    late = code(org)
    org.clock.advance(901)
    assert exchange(org, late).json["error_description"] == "expired authorization code"


def test_rotated_refresh_tokens_replace_each_other() -> None:
    org = InProcess(contacts=0, rotate_refresh_tokens=True)
    first = exchange(org, code(org)).json["refresh_token"]
    second = token(org, grant_type="refresh_token", refresh_token=first, **APP).json["refresh_token"]
    assert second != first
    assert token(org, grant_type="refresh_token", refresh_token=first, **APP).json["error"] == "invalid_grant"
    assert token(org, grant_type="refresh_token", refresh_token=second, **APP).status == 200


def test_an_unknown_app_gets_no_code(org: InProcess) -> None:
    asked = {"response_type": "code", "client_id": "stranger", "redirect_uri": BACK}
    assert org.sandbox.handle(Request("GET", "/services/oauth2/authorize", asked)).status == 400


def test_userinfo_tells_who_one_is(org: InProcess) -> None:
    body = org.call("GET", "/services/oauth2/userinfo").json
    assert body["preferred_username"] == KNOWN.username
    assert body["organization_id"] == org.org.organization()["Id"]
    org.token = "nobody"
    assert org.call("GET", "/services/oauth2/userinfo").status == 401


# ---------------------------------------------------------------- JWT bearer


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem.decode(), public.decode()


def assertion(private: str, **changes: Any) -> str:
    claims = {
        "iss": KNOWN.client_id,
        "sub": KNOWN.username,
        "aud": "https://login.salesforce.com",
        "exp": 1751284800 + 180,
    }
    return jwt.encode({"alg": "RS256"}, claims | changes, RSAKey.import_key(private))


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({}, None),
        ({"aud": "https://other.example"}, "audience is invalid"),
        ({"exp": 1751284800 - 1}, "assertion is expired"),
        ({"sub": "someone@else.example"}, "user hasn't approved this consumer"),
        ({"iss": "another app"}, "client identifier invalid"),
    ],
)
def test_jwt_bearer_checks_every_claim(
    key_pair: tuple[str, str], changes: dict[str, Any], description: str | None
) -> None:
    org = InProcess(contacts=0, jwt_public_key=key_pair[1])
    reply = token(
        org, grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=assertion(key_pair[0], **changes)
    )
    if description is None:
        assert works(org, reply.json["access_token"])
    else:
        assert (reply.status, reply.json["error_description"]) == (400, description)


def test_jwt_bearer_checks_the_signature(key_pair: tuple[str, str]) -> None:
    org = InProcess(contacts=0, jwt_public_key=key_pair[1])
    head, body, _ = assertion(key_pair[0]).split(".")
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(b'x' * 256).decode().rstrip('=')}"
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + f".{body}."
    for attempt in (forged, unsigned, "nonsense"):
        reply = token(org, grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=attempt)
        assert (reply.status, reply.json["error"]) == (400, "invalid_grant")


# ---------------------------------------------------------------- the library's own logins


def test_the_library_signs_in_by_every_flow_it_has(key_pair: tuple[str, str]) -> None:
    with SandboxServer(contacts=0, jwt_public_key=key_pair[1]) as server:
        flows: list[dict[str, Any]] = [
            {"username": KNOWN.username, "password": KNOWN.password, "security_token": KNOWN.security_token},
            {
                "username": KNOWN.username,
                "password": KNOWN.password,
                "organizationId": server.sandbox.org.organization()["Id"],
            },
            {
                "username": KNOWN.username,
                "password": KNOWN.password,
                "consumer_key": KNOWN.client_id,
                "consumer_secret": KNOWN.client_secret,
            },
            {"consumer_key": KNOWN.client_id, "consumer_secret": KNOWN.client_secret, "domain": "acme.my"},
            {"username": KNOWN.username, "consumer_key": KNOWN.client_id, "privatekey": key_pair[0]},
        ]
        for flow in flows:
            client = Salesforce(**flow, session=LocalSession(server.url))
            assert client.sf_instance == f"127.0.0.1:{server.port}"
            assert client.query("SELECT Id FROM Organization")["totalSize"] == 1


@pytest.mark.parametrize(
    ("version", "code"),
    [("59.0", "INVALID_LOGIN"), ("65.0", "UNSUPPORTED_API_VERSION"), ("30.0", "UNSUPPORTED_API_VERSION")],
)
def test_soap_login_is_gone_from_version_65_on(org: InProcess, version: str, code: str) -> None:
    body = b"<a xmlns:u='urn:partner.soap.sforce.com'><u:username>x</u:username><u:password>y</u:password></a>"
    reply = org.sandbox.handle(Request("POST", f"/services/Soap/u/{version}", body=body))
    assert reply.status == 500
    assert f"<sf:exceptionCode>{code}</sf:exceptionCode>".encode() in reply.content()


def test_a_soap_body_that_is_not_xml_is_a_fault(org: InProcess) -> None:
    reply = org.sandbox.handle(Request("POST", "/services/Soap/u/59.0", body=b"<oops"))
    assert (reply.status, b"not well-formed" in reply.content()) == (500, True)


def test_a_revoked_token_is_dead(connect: Callable[[], Salesforce], server: SandboxServer) -> None:
    client = connect()
    session = LocalSession(server.url)
    assert (
        session.post(
            "https://login.salesforce.com/services/oauth2/revoke", data={"token": client.session_id}
        ).status_code
        == 200
    )
    headers = {"Authorization": f"Bearer {client.session_id}"}
    assert session.get("https://x/services/data/v59.0/limits", headers=headers).status_code == 401
