"""Credentials and personal values appear nowhere but where they belong: the store itself and the payloads of dead letters."""

from __future__ import annotations

import json
import logging
from typing import Any
from uuid import UUID

import pytest

from connectors.salesforce.connector import SalesforceConnector
from domain.errors import SynclineError
from sandbox.salesforce.auth import Credentials
from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from storage.database import Database
from storage.embedded import ServerUrls
from tests.connectors.salesforce.stand_in import FAST, connection_to, password
from tests.migration.conftest import World
from tests.migration.journey import Journey
from tests.migration.test_dry_run import messy
from tests.migration.test_run import contact

CANARIES = Credentials(
    username="canary.admin@sandbox.example",
    password="canary-password-7Qz",
    security_token="CanarySecurityToken7Qz",
    client_id="3MVG9CanaryConsumerKey",
    client_secret="CanaryConsumerSecret7Qz",
)
LETTERS = "SELECT message, coalesce(place, ''), code, coalesce(field, '') FROM dead_letter"


def secret(server: SandboxServer) -> list[str]:
    known = [CANARIES.password, CANARIES.security_token, CANARIES.client_secret, CANARIES.username]
    return known + list(server.sandbox.auth.sessions)


def personal(server: SandboxServer) -> list[str]:
    """Addresses and numbers of everybody in the org, as written there."""
    tables = server.sandbox.org.tables
    rows = [row for name in ("Contact", "Lead", "User") for row in tables[name].values()]
    values = {str(row[name]).strip() for row in rows for name in ("Email", "Phone", "MobilePhone") if row.get(name)}
    return sorted(v for v in values if len(v) > 7)


def leaks(text: str, canaries: list[str]) -> list[str]:
    return [canary for canary in canaries if canary in text]


def told(journey: World) -> str:
    """What a run tells of itself in the database."""
    rows = journey.rows(
        "SELECT CAST(error AS text), CAST(totals AS text), CAST(certificate AS text) FROM migration_run"
    )
    chunks = journey.rows("SELECT CAST(counts AS text), CAST(cursor AS text) FROM migration_chunk")
    return "\n".join(map(str, [*rows, *chunks, *journey.rows(LETTERS)]))


def test_a_migration_tells_no_credential_and_no_persons_value(
    db: Database, database_urls: ServerUrls, tenant_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with SandboxServer(SandboxOptions(contacts=60, credentials=CANARIES)) as server:
        journey = Journey(
            db, database_urls, tenant_id, lambda: SalesforceConnector(connection_to(server), polling=FAST)
        )
        plan = journey.propose()
        result = journey.run(plan)
        hidden = secret(server) + personal(server)
        assert len(hidden) > 60
        assert any(phone in told_everything(journey) for phone in personal(server)), "the canaries do live in the store"
        logged = "\n".join(f"{r.getMessage()} {r.__dict__}" for r in caplog.records if not r.name.startswith(SERVERS))
        assert leaks(told(journey), hidden) == []
        assert leaks(json.dumps(result.certificate.to_json()), hidden) == []
        assert leaks(json.dumps(result.to_json(), default=str), hidden) == []
        assert leaks(result.certificate.to_html(), hidden) == []
        assert leaks(logged, hidden) == []


SERVERS = ("uvicorn", "hypothesis", "asyncio")


def told_everything(journey: Journey) -> str:
    return "\n".join(row for rows in journey.everything().values() for row in rows)


@pytest.mark.parametrize("spoiled", ["password", "security_token"])
def test_a_login_that_fails_repeats_no_credential(
    db: Database, database_urls: ServerUrls, tenant_id: UUID, spoiled: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with SandboxServer(SandboxOptions(contacts=0, credentials=CANARIES)) as server:
        wrong = password(server) | {spoiled: "CanaryThatIsWrong9"}
        journey = Journey(
            db, database_urls, tenant_id, lambda: SalesforceConnector(connection_to(server, wrong), polling=FAST)
        )
        with pytest.raises(SynclineError) as caught:
            journey.propose()
    hidden = [*(v for v in secret(server)), "CanaryThatIsWrong9"]
    seen: BaseException | None = caught.value
    while seen is not None:
        assert leaks(f"{seen} {seen!r} {getattr(seen, 'context', '')}", hidden) == []
        seen = seen.__cause__ or seen.__context__
    assert leaks("\n".join(r.getMessage() for r in caplog.records), hidden) == []


BAD = "canary.person@secret.example"
NUMBER = "+1 415 555 0199"


def bad_records() -> dict[str, list[dict[str, Any]]]:
    """One refused by the mapping, one by staging, one by the canonical table: each full of personal values."""
    noise = "".join(f"{n * 7919 % 99991:05}" for n in range(1800))
    return messy() | {
        "Contact": [
            contact(1, Id="", Email=BAD, Phone=NUMBER),
            contact(2, Email=BAD, LastName=f"{NUMBER}\x00"),
            contact(3, Email=BAD, Phone=NUMBER, LastName=BAD + noise),
            contact(4, Email=f"{BAD} and {NUMBER}", Phone=BAD, Birthdate=BAD),
        ]
    }


def test_dead_letters_and_warnings_hold_values_in_their_payload_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result = world.migrate(bad_records())
    assert result.ledgers["Contact"].rejected >= 2
    hidden = [BAD, NUMBER, "canary.person"]
    assert leaks(told(world), hidden) == []
    assert leaks(json.dumps(result.to_json(), default=str), hidden) == []
    assert leaks(caplog.text, hidden) == []
    payloads = str(world.rows("SELECT CAST(payload AS text) FROM dead_letter"))
    assert BAD in payloads, "a person who repairs the record needs it"
