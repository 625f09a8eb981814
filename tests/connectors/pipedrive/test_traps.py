"""Pipedrive's traps by name: the firewall, limits, foreign addresses, tokens that end."""

from __future__ import annotations

import io
from typing import Any

import pytest

from connectors.kit.contract import CallRecord, FileInfo, ReadRequest
from connectors.kit.gate import Gate
from connectors.pipedrive.company import company_host
from connectors.pipedrive.connector import MANIFEST, PipedriveConnector
from connectors.pipedrive.errors import ABUSE_WAIT_S, ERRORS
from domain.errors import (
    ConfigurationError,
    ForeignHostError,
    PermissionMissingError,
    RateLimitedError,
    ReauthRequiredError,
    RecordRejectedError,
    TransientError,
)
from sandbox.pipedrive import routes
from sandbox.pipedrive.server import PipedriveServer
from tests.connectors.pipedrive.conftest import Connect
from tests.connectors.pipedrive.stand_in import connection_to, oauth


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts take no time; that they are asked for is tested by the kit."""
    original = Gate.of.__func__  # type: ignore[attr-defined]

    def of(cls: type[Gate], *args: Any, **changes: Any) -> Gate:
        return original(cls, *args, **{"sleep": lambda _s: None, **changes})  # type: ignore[no-any-return]

    monkeypatch.setattr(Gate, "of", classmethod(of))


def test_a_403_that_is_a_page_is_abuse_and_nobody_is_asked_to_sign_in(
    connect: Connect, server: PipedriveServer
) -> None:
    told: list[CallRecord] = []
    pipedrive = connect(server, on_call=told.append)
    server.sandbox.faults.add([{"kind": "abuse", "times": 99}])
    with pytest.raises(RateLimitedError) as caught:
        pipedrive.check()
    assert caught.value.retry_after_s == ABUSE_WAIT_S
    assert len(told) == 1, "it was sent again"
    with pytest.raises(RateLimitedError):
        pipedrive.check()
    assert len(told) == 1, "the next call went out although Pipedrive locked us out"


def test_a_403_that_is_json_is_a_missing_right() -> None:
    fault = ERRORS.fault(403, {"content-type": "application/json"}, b'{"success":false,"error":"scope"}')
    rule = ERRORS.rule(403, fault.code if fault else None)
    assert rule is not None
    assert rule.error is PermissionMissingError


def test_a_burst_is_waited_out(connect: Connect, server: PipedriveServer) -> None:
    server.sandbox.faults.add([{"kind": "rate_limited", "times": 2}])
    assert connect(server).check().remote_account
    assert server.sandbox.journal.statuses[429] == 2


def test_a_used_up_day_is_not_waited_for(connect: Connect, server: PipedriveServer) -> None:
    server.sandbox.limits.daily_tokens = 0
    with pytest.raises(RateLimitedError) as caught:
        connect(server).check()
    assert caught.value.retry_after_s == 3600.0
    assert server.sandbox.journal.statuses[429] == 1


def test_only_the_connections_share_of_the_day_is_used(connect: Connect, server: PipedriveServer) -> None:
    pipedrive = connect(server, budget=0.5)
    pipedrive.check()
    server.sandbox.limits.used = 150_000
    pipedrive.check()
    with pytest.raises(RateLimitedError) as caught:
        pipedrive.check()
    assert caught.value.code == "quota_share_used"


def test_a_server_error_is_tried_again(connect: Connect, server: PipedriveServer) -> None:
    server.sandbox.faults.add([{"kind": "error", "status": 502}])
    assert connect(server).check().remote_account


def test_searches_have_a_limit_of_their_own() -> None:
    assert {(limit.scope, limit.calls, limit.per_s) for limit in MANIFEST.rate_limits} == {
        ("default", 20, 2.0),
        ("search", 10, 2.0),
    }


# ---------------------------------------------------------------- signing in


def test_an_access_token_that_ended_is_renewed(connect: Connect, server: PipedriveServer) -> None:
    pipedrive = connect(server, oauth(server))
    first = pipedrive.check()
    server.sandbox.faults.add([{"kind": "expire"}])
    assert pipedrive.check() == first
    assert server.sandbox.journal.kinds["token"] == 2


def test_a_refresh_token_that_was_revoked_needs_a_person(connect: Connect, server: PipedriveServer) -> None:
    with pytest.raises(ReauthRequiredError):
        connect(server, oauth(server) | {"refresh_token": "revoked"}).check()


def test_an_api_domain_of_somebody_else_never_hears_the_token(connect: Connect, server: PipedriveServer) -> None:
    server.sandbox.api_domain = "https://pipedrive.attacker.example"
    with pytest.raises(ForeignHostError, match=r"pipedrive\.attacker\.example"):
        connect(server, oauth(server)).check()
    assert server.sandbox.journal.kinds["me"] == 0


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("acme", "acme.pipedrive.com"),
        ("https://Acme.pipedrive.com/pipeline", "acme.pipedrive.com"),
        ("", "api.pipedrive.com"),
        ("acme-2.pipedrive.com", "acme-2.pipedrive.com"),
    ],
)
def test_a_company_domain_in_any_form(given: str, host: str) -> None:
    assert company_host({"company_domain": given}) == host


@pytest.mark.parametrize("given", ["evil.com", "acme.pipedrive.com.evil.com", "a b"])
def test_a_company_domain_elsewhere_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError):
        company_host({"company_domain": given})


# ---------------------------------------------------------------- files


def test_the_storage_host_does_not_hear_the_token(connect: Connect, server: PipedriveServer) -> None:
    """The stand-in's storage refuses a request that carries one, as the real one does."""
    [(file_id, content), *_] = server.sandbox.store.blobs.items()
    assert b"".join(connect(server).download("files", file_id)) == content
    assert server.sandbox.journal.kinds["storage"] == 1


def test_a_storage_host_that_is_not_known_is_refused(
    connect: Connect, server: PipedriveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STORAGE", "https://files.attacker.example")
    with pytest.raises(ForeignHostError):
        list(connect(server).download("files", next(iter(server.sandbox.store.blobs))))


def test_a_file_without_content_is_one_records_trouble(connect: Connect, server: PipedriveServer) -> None:
    file_id = next(iter(server.sandbox.store.blobs))
    del server.sandbox.store.blobs[file_id]
    with pytest.raises(RecordRejectedError):
        list(connect(server).download("files", file_id))


def test_a_file_hangs_on_its_parents(connect: Connect, server: PipedriveServer) -> None:
    info = FileInfo("", 'odd "name"\r\n.txt', "text/plain", parents=(("deals", "3"), ("persons", "2"), ("deals", "4")))
    made = connect(server).upload(info, io.BytesIO(b"content"))
    row = server.sandbox.store.table("files")[str(made.vendor_id)]
    assert (row["deal_id"], row["person_id"], row["name"]) == (3, 2, "odd name.txt")
    assert server.sandbox.store.blobs[str(made.vendor_id)] == b"content"


def test_an_upload_whose_answer_was_lost_is_not_sent_again(connect: Connect, server: PipedriveServer) -> None:
    server.sandbox.faults.add([{"kind": "lost_answer", "calls": "create_files"}])
    with pytest.raises(TransientError) as caught:
        connect(server).upload(FileInfo("", "a.txt"), io.BytesIO(b"content"))
    assert caught.value.context["ambiguous"]
    assert len(server.sandbox.journal.created["files"]) == 1


# ---------------------------------------------------------------- the stand-in's own rules


def test_who_goes_on_after_many_429s_meets_the_firewall(server: PipedriveServer) -> None:
    limits = server.sandbox.limits
    refusals = [limits.refuse() for _ in range(51)]
    assert {r.status for r in refusals} == {429}
    pipedrive = PipedriveConnector(connection_to(server))
    with pytest.raises(RateLimitedError) as caught:
        pipedrive.check()
    pipedrive.close()
    assert caught.value.retry_after_s == ABUSE_WAIT_S


def test_listing_a_company_costs_a_page_for_each_five_hundred(server: PipedriveServer, connect: Connect) -> None:
    pipedrive = connect(server)
    pipedrive.describe(["persons"])
    server.sandbox.journal.clear()
    list(pipedrive.read(ReadRequest("persons")))
    assert server.sandbox.journal.counted == 1
