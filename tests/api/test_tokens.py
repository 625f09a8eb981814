"""Tokens of identity providers: only what a trusted issuer signed for us, now, opens anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.tokens import RefusedTokenError, Verifier
from bootstrap.settings import Settings
from bootstrap.wiring import Hub
from connectors.kit.jwks import PublishedKeys
from domain.access import SYSTEM_TENANT
from domain.errors import ConfigurationError, TransientError
from storage import audit, members
from storage.database import Database
from tests.api.conftest import Client
from tests.api.issuer import AUDIENCE, ISSUER, Published, claims, ec, forged, rsa, signed


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def verifier(published: Published) -> Verifier:
    return Verifier({ISSUER: published}, AUDIENCE)


def test_a_good_token_tells_who_it_is(verifier: Verifier) -> None:
    who = verifier.identity(signed(claims(email="Ada@Example.com", name="Ada")))
    assert (who.issuer, who.subject, who.email, who.name) == (ISSUER, "ada", "ada@example.com", "Ada")
    assert verifier.identity(signed(claims(aud=["other", AUDIENCE]))).subject == "ada"


@pytest.mark.parametrize("what", forged())
def test_a_forged_token_is_refused(verifier: Verifier, what: str) -> None:
    with pytest.raises(RefusedTokenError):
        verifier.identity(forged()[what])


@pytest.mark.parametrize("verified", [None, False, "true", 1])
def test_an_address_counts_only_where_the_issuer_vouches_for_it(verifier: Verifier, verified: Any) -> None:
    assert verifier.identity(signed(claims(email_verified=verified))).email is None


def test_es256_is_taken_where_it_is_configured(published: Published) -> None:
    verifier = Verifier({ISSUER: published}, AUDIENCE, ["ES256"])
    assert verifier.identity(signed(claims(), ec("e1"), alg="ES256", kid="e1")).subject == "ada"
    with pytest.raises(RefusedTokenError):
        verifier.identity(signed(claims()))


def test_a_new_key_is_found_by_asking_once_more(published: Published, verifier: Verifier) -> None:
    published.later = ["k2"]
    assert verifier.identity(signed(claims(), rsa("k2"), kid="k2")).subject == "ada"
    assert published.asked == 1
    verifier.identity(signed(claims(), rsa("k2"), kid="k2"))
    assert published.asked == 1


def test_without_a_kid_a_token_is_taken_only_where_there_is_no_choice(published: Published, verifier: Verifier) -> None:
    assert verifier.identity(signed(claims(), kid=None)).subject == "ada"
    published.names.append("k2")
    with pytest.raises(RefusedTokenError):
        verifier.identity(signed(claims(), kid=None))


def test_keys_of_one_issuer_sign_nothing_for_another() -> None:
    class Other(Published):
        def current(self) -> list[dict[str, Any]]:
            return [rsa("k9").as_dict(private=False)]

    verifier = Verifier({ISSUER: Published(), "https://other.example.com": Other()}, AUDIENCE)
    with pytest.raises(RefusedTokenError):
        verifier.identity(signed(claims(iss="https://other.example.com")))


# ---------------------------------------------------------------- where keys come from


def keys_document(*names: str) -> bytes:
    return json.dumps({"keys": [rsa(name).as_dict(private=False) for name in names]}).encode()


def test_keys_are_fetched_from_the_configured_address_once_a_minute_at_most() -> None:
    now, asked, replies = [0.0], [], [200]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(replies[0], stream=httpx.ByteStream(keys_document("k1")))

    address = "https://login.example.com/jwks.json"
    keys = PublishedKeys(address, clock=lambda: now[0], transport=httpx.MockTransport(answer))
    assert [k["kid"] for k in keys.current()] == ["k1"]
    for moment, times in ((0.0, 1), (59.0, 1), (61.0, 2), (100.0, 2), (122.0, 3)):
        now[0] = moment
        keys.renewed()
        assert len(asked) == times
    replies[0] = 500
    now[0] = 10_000.0
    assert [k["kid"] for k in keys.current()] == ["k1"], "what was had before stays in use"
    assert set(asked) == {address}


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(302, headers={"Location": "https://evil.example.com/jwks.json"}),
        httpx.Response(404),
        httpx.Response(200, stream=httpx.ByteStream(b"<html>")),
        httpx.Response(200, stream=httpx.ByteStream(b"[]")),
        httpx.Response(200, stream=httpx.ByteStream(b'{"keys": []}' + b" " * 300_000)),
    ],
    ids=["redirect", "missing", "page", "list", "large"],
)
def test_keys_that_cannot_be_had_are_no_keys(reply: httpx.Response) -> None:
    keys = PublishedKeys("https://login.example.com/k", transport=httpx.MockTransport(lambda _: reply))
    with pytest.raises(TransientError) as caught:
        keys.current()
    assert caught.value.code == "bad_jwks"


@pytest.mark.parametrize("address", ["http://login.example.com/k", "ftp://x/k", "https://user@host/k", "https:///k"])
def test_an_address_that_anybody_could_answer_for_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PublishedKeys(address)
    assert caught.value.code == "bad_setting"


@pytest.mark.parametrize(
    ("issuers", "audience", "algorithms"),
    [
        (ISSUER, "a", "RS256"),
        (f"{ISSUER}=k.json", "", "RS256"),
        (f"{ISSUER}=k.json", "a", "HS256"),
        ("=k", "a", "RS256"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(issuers: str, audience: str, algorithms: str) -> None:
    settings = Settings(oidc_issuers=issuers, oidc_audience=audience, oidc_algorithms=algorithms)
    with pytest.raises(ConfigurationError) as caught:
        Verifier.of(settings)
    assert caught.value.code == "bad_setting"


# ---------------------------------------------------------------- who gets in where


@pytest.fixture(scope="module")
def signing_in(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_bytes(keys_document("k1"))
    given = {"oidc_issuers": f"{ISSUER}={path}", "oidc_audience": AUDIENCE}
    made = Hub(hub.settings.model_copy(update=given))
    made.__dict__.update(db=hub.db, vault=hub.vault, urls=hub.urls)
    with TestClient(create_app(made), raise_server_exceptions=False) as client:
        yield client


def invited(db: Database, tenant_id: UUID, role: str = "member") -> tuple[str, str]:
    """Address and subject of a person who was just invited."""
    name = uuid4().hex
    with db.tenant(tenant_id) as conn:
        members.invite(conn, email=f"{name}@Example.com", name="", role=role, invited_by="tests")
    return f"{name}@example.com", name


def ask(client: Client, tenant_id: UUID | None, path: str = "/v1/me", **changed: Any) -> Any:
    headers = {"Authorization": f"Bearer {signed(claims(**changed))}"}
    return client.get(path, headers=headers | ({"Syncline-Tenant": str(tenant_id)} if tenant_id else {}))


def test_an_invitation_is_taken_up_by_its_address_and_then_belongs_to_the_subject(
    signing_in: Client, db: Database, tenant_id: UUID
) -> None:
    email, subject = invited(db, tenant_id)
    assert ask(signing_in, tenant_id, sub=subject, email=email, email_verified=False).status_code == 404
    me = ask(signing_in, tenant_id, sub=subject, email=email)
    assert me.status_code == 200
    assert (me.json()["kind"], me.json()["role"], me.json()["tenant"]["id"]) == ("person", "member", str(tenant_id))
    assert ask(signing_in, tenant_id, sub=subject, email="new@example.com").status_code == 200
    assert ask(signing_in, tenant_id, sub="somebody-else", email=email).status_code == 404
    with db.tenant(tenant_id) as conn:
        assert [e.action for e in audit.entries(conn)] == ["member.join"]


def test_a_person_of_two_tenants_names_one(
    signing_in: Client, db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    email, subject = invited(db, tenant_id)
    with db.tenant(other_tenant_id) as conn:
        members.invite(conn, email=email, name="", role="read_only", invited_by="tests")
    roles = [ask(signing_in, t, sub=subject, email=email).json()["role"] for t in (tenant_id, other_tenant_id)]
    assert roles == ["member", "read_only"]
    assert ask(signing_in, uuid4(), sub=subject, email=email).json()["code"] == "no_such_tenant"
    assert ask(signing_in, None, sub=subject, email=email).json()["code"] == "no_such_tenant"


def test_who_was_removed_stays_out_until_invited_anew(signing_in: Client, db: Database, tenant_id: UUID) -> None:
    email, subject = invited(db, tenant_id)
    member_id = UUID(ask(signing_in, tenant_id, sub=subject, email=email).json()["id"])
    with db.tenant(tenant_id) as conn:
        members.remove(conn, member_id)
    assert ask(signing_in, tenant_id, sub=subject, email=email).status_code == 404
    with db.tenant(tenant_id) as conn:
        members.invite(conn, email=email, name="", role="read_only", invited_by="tests")
    assert ask(signing_in, tenant_id, sub=subject, email=email).json()["role"] == "read_only"


def test_an_administrator_of_the_system_visits_and_is_written_down(
    signing_in: Client, db: Database, tenant_id: UUID
) -> None:
    email, subject = invited(db, SYSTEM_TENANT, "system_admin")
    me = ask(signing_in, tenant_id, sub=subject, email=email).json()
    assert (me["visiting"], me["role"]) == (True, "system_admin")
    with db.tenant(tenant_id) as conn:
        entries = audit.entries(conn)
    assert [(e.action, e.actor, e.detail["path"]) for e in entries] == [("system.visit", email, "/v1/me")]
    assert ask(signing_in, uuid4(), sub=subject, email=email).status_code == 404


def test_support_of_the_system_visits_nobody(signing_in: Client, db: Database, tenant_id: UUID) -> None:
    email, subject = invited(db, SYSTEM_TENANT, "support")
    assert ask(signing_in, SYSTEM_TENANT, sub=subject, email=email).status_code == 200
    assert ask(signing_in, tenant_id, sub=subject, email=email).status_code == 404


@pytest.mark.parametrize("token", ["a.b.c", "sk_x", "", "."])
def test_what_is_no_token_is_refused_alike(signing_in: Client, token: str) -> None:
    reply = signing_in.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
