"""What happens to a source between plan and run, as a user meets it: a plain sentence, what to do, a documented exit code."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.salesforce.model import SandboxOptions
from sandbox.salesforce.server import SandboxServer
from tests.cli.conftest import Outcome, Syncline

RUN = ("migrate", "run", "salesforce", "--json")
FEW = ("--object", "User", "--object", "Account", "--object", "Contact")


@pytest.fixture
def org() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxOptions(contacts=10)) as server:
        yield server


@pytest.fixture
def planned(syncline: Syncline, org: SandboxServer, tmp_path: Path) -> SandboxServer:
    """An org that is connected, and whose plan is approved."""
    known = org.sandbox.auth.credentials
    (tmp_path / "password").write_text(known.password)
    (tmp_path / "token").write_text(known.security_token)
    given = ("--set", f"username={known.username}", "--secret", f"password=@{tmp_path / 'password'}")
    more = ("--secret", f"security_token=@{tmp_path / 'token'}")
    assert syncline("connect", "salesforce", "--base-url", org.url, *given, *more).code == 0
    assert syncline("migrate", "plan", "salesforce", "--approve", *FEW).code == 0
    return org


def change(org: SandboxServer, **schema: object) -> None:
    assert httpx.post(f"{org.url}/__sandbox__/schema", json=schema).status_code == 204


def told(outcome: Outcome, code: int, error: str) -> None:
    assert (outcome.code, outcome.error["code"]) == (code, error), outcome.err
    assert outcome.error["message"].endswith(".")
    assert outcome.error["remedy"]
    assert "Traceback" not in outcome.err


def test_a_session_that_ends_on_the_way_is_opened_again(syncline: Syncline, planned: SandboxServer) -> None:
    planned.sandbox.faults.add([{"kind": "expire", "calls": "query|query_more|composite", "after": 2}])
    outcome = syncline(*RUN)
    assert outcome.code == 0, outcome.err
    assert outcome.json["certificate"]["ok"]
    assert planned.sandbox.faults.waiting == [], "the fault did strike"


def test_revoked_credentials_pause_and_connecting_anew_goes_on(
    syncline: Syncline, planned: SandboxServer, tmp_path: Path
) -> None:
    auth = planned.sandbox.auth
    auth.credentials = dataclasses.replace(auth.credentials, password="another")
    auth.expire_all()
    told(syncline(*RUN), 77, "reauth_required")
    (tmp_path / "password").write_text("another")
    given = ("--set", f"username={auth.credentials.username}", "--secret", f"password=@{tmp_path / 'password'}")
    more = ("--secret", f"security_token=@{tmp_path / 'token'}")
    assert syncline("connect", "salesforce", "--base-url", planned.url, *given, *more).code == 0
    done = syncline(*RUN)
    assert done.code == 0 or syncline("migrate", "resume", "--json").json["certificate"]["ok"], done.err


def test_a_field_that_went_away_since_the_plan(syncline: Syncline, planned: SandboxServer) -> None:
    change(planned, object="Contact", remove="Title")
    told(syncline(*RUN), 65, "schema_drift")


def test_an_object_that_may_not_be_seen_any_more(syncline: Syncline, planned: SandboxServer) -> None:
    change(planned, hide=["Contact"])
    outcome = syncline(*RUN)
    told(outcome, 65, "schema_drift")
    assert "Contact" in outcome.error["message"]


def test_an_org_that_does_not_answer(syncline: Syncline, planned: SandboxServer) -> None:
    planned.stop()
    told(syncline(*RUN), 75, "vendor_unavailable")


def test_two_runs_at_once(syncline: Syncline, planned: SandboxServer) -> None:
    """The second one, a resume and an undo are refused while the first one works, and the first one ends well."""
    planned.sandbox.faults.add([{"kind": "slow", "calls": "query", "seconds": 6}])
    first = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *RUN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        (run_id,) = started(syncline, first)
        for line in (RUN, ("migrate", "resume", "--json"), ("migrate", "undo", run_id, "--yes", "--json")):
            told(syncline(*line), 73, "run_in_progress")
        assert first.poll() is None, "it was at work all the while"
        out, err = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 0, err
    assert json.loads(out)["certificate"]["ok"]
    assert len(syncline("migrate", "status", "--json").json) == 1


def started(syncline: Syncline, process: subprocess.Popen[str]) -> list[str]:
    """Ids of the runs that are at work, once there is one."""
    while process.poll() is None:
        runs = [run["run_id"] for run in syncline("migrate", "status", "--json").json if run["status"] == "running"]
        if runs:
            return runs
    raise AssertionError(process.communicate())
