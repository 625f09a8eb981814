"""`syncline sync compare`: what no listing of changes tells is found when a person asks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.progress import ProgressView
from connectors.kit.retry import RetryPolicy
from sandbox.hubspot.write import Writer
from sandbox.pipedrive.server import PipedriveServer
from storage import connections, scheduling, stream_health, streams
from storage.stream_health import StreamHealth
from storage.sync import lanes
from tests.cli.conftest import Outcome, Syncline
from tests.syncing.conftest import Both


@pytest.fixture
def portal(both: Both) -> Both:
    """A portal whose contacts and companies are read."""
    for name in ("Ash", "Birch", "Cedar"):
        both.edit("hubspot", object="companies", properties={"domain": f"{name.lower()}.example", "name": name})
    both.add("portal", "--object", "contacts", "--object", "companies", "--direction", "in")
    both.sync()
    return both


def standing(both: Both, name: str = "companies") -> StreamHealth:
    with both.db.tenant(both.tenant_id) as conn:
        found = connections.by_name(conn, "portal")
        assert found is not None
        return stream_health.get(conn, found.id, name)


def forget(both: Both, count: int = 1) -> list[str]:
    """Delete companies of the portal for good: no listing tells of it."""
    hubspot = both.hubspot.portal
    gone = list(hubspot.live("companies"))[:count]
    for record in gone:
        Writer(hubspot, "CRM_UI").forget(hubspot.objects["companies"], record)
    both.lag()
    return [record.id for record in gone]


def state(both: Both, vendor_id: str) -> Any:
    return both.told("account", vendor_id, "companies")["state"]


def compared(done: Outcome) -> dict[str, Any]:
    return {row["object"]: row for row in done.json}


def test_what_vanished_without_a_trace_is_found(portal: Both) -> None:
    there = len(portal.hubspot.portal.live("companies"))
    (gone,) = forget(portal)
    portal.sync()
    assert state(portal, gone) == "live"
    before = datetime.now(UTC)
    done = portal.syncline("sync", "compare", "portal", "--json")
    assert done.code == 0, done.err
    assert state(portal, gone) == "deleted"
    found = compared(done)
    assert list(found) == ["companies", "contacts"], "parents first"
    companies = found["companies"]
    assert (companies["outcome"], companies["listed"], companies["counts"]) == ("compared", there - 1, {"deleted": 1})
    assert datetime.fromisoformat(companies["verified_at"]) >= before
    assert found["contacts"]["outcome"] == "compared"
    assert f"companies: compared {there - 1} of {there}" in done.err
    assert "goes on to other connections" in done.err
    passes = portal.syncline("sync", "runs", "portal", "--object", "companies", "--json").json
    assert passes[0]["kind"] == "comparison"
    again = standing(portal).compare_at
    assert again is not None
    assert again > datetime.now(UTC) + timedelta(hours=23), "workers need not compare it once more"


def test_only_the_objects_that_are_named_are_compared(portal: Both) -> None:
    done = portal.syncline("sync", "compare", "portal", "--object", "contacts", "--object", "contacts")
    assert done.code == 0, done.err
    assert "contacts" in done.out
    assert "companies" not in done.out + done.err
    assert standing(portal).compare_at is None
    assert "goes on to other connections" not in done.err, "nothing was found"


def test_a_stream_that_was_never_read_is_read_whole(both: Both) -> None:
    both.add("portal", "--object", "contacts", "--direction", "in")
    both.lag()
    contacts = compared(both.syncline("sync", "compare", "portal", "--json"))["contacts"]
    assert (contacts["outcome"], contacts["listed"], contacts["counts"]) == (
        "read for the first time",
        8,
        {"created": 8},
    )


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("nobody",), "There is no connection called nobody.", "no_such_connection"),
        (("portal", "--object", "deals"), "deals of this connection is not kept in step.", "no_such_stream"),
        (("portal", "--object", "companies"), "companies is paused, so it is not compared.", "stream_stopped"),
        (("org", "--object", "Account"), "Account is only written, so there is nothing to compare.", "bad_setting"),
    ],
    ids=["connection", "object", "paused", "written"],
)
def test_what_cannot_be_compared_is_refused_in_words(
    portal: Both, arguments: tuple[str, ...], message: str, code: str
) -> None:
    portal.add("org", "--object", "Account", "--direction", "out")
    portal.syncline("sync", "pause", "portal", "--object", "companies")
    done = portal.syncline("sync", "compare", *arguments, "--json")
    assert done.code == 78
    assert (done.error["message"], done.error["code"]) == (message, code)
    assert done.error["remedy"]


def test_of_all_objects_those_that_do_not_run_are_left_out_and_said(portal: Both) -> None:
    portal.syncline("sync", "pause", "portal", "--object", "companies")
    done = portal.syncline("sync", "compare", "portal", "--json")
    assert done.code == 0, "somebody paused it, and knows"
    assert {n: r["outcome"] for n, r in compared(done).items()} == {"companies": "paused", "contacts": "compared"}
    portal.add("org", "--object", "Account", "--direction", "out")
    assert compared(portal.syncline("sync", "compare", "org", "--json"))["Account"]["outcome"] == "only written"


def test_where_nothing_is_kept_in_step_it_says_so(both: Both) -> None:
    done = both.syncline("sync", "compare", "portal")
    assert (done.code, done.out) == (0, "Nothing of portal is kept in step yet: add it with `syncline sync add`.\n")
    assert both.syncline("sync", "compare", "portal", "--json").json == []


def test_while_somebody_else_works_on_it_a_worker_is_asked(portal: Both) -> None:
    lane = standing(portal)
    now = datetime.now(UTC)
    with portal.db.tenant(portal.tenant_id) as conn:
        lanes.take(
            conn,
            lanes.LaneKey(portal.tenant_id, lane.connection_id, "contacts"),
            "a worker",
            now,
            now + timedelta(minutes=2),
        )
    done = portal.syncline("sync", "compare", "portal", "--json")
    assert (done.code, done.error["code"]) == (73, "lane_busy")
    assert {n: r["outcome"] for n, r in compared(done).items()} == {"companies": "compared", "contacts": "busy"}
    with portal.db.tenant(portal.tenant_id) as conn:
        found = scheduling.waiting(conn, datetime.now(UTC), timedelta(days=9), timedelta(days=9))
    assert [(w.object, w.comparing) for w in found] == [("contacts", True)]


def test_one_that_somebody_takes_over_is_left_to_them(portal: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(portal)
    connection = standing(portal).connection_id

    def take_over(_view: ProgressView, event: Any) -> None:
        if event.object == "companies" and event.done:
            with portal.db.tenant(portal.tenant_id) as conn:
                streams.compare_anew(conn, connection, "companies", "another rule", None)

    monkeypatch.setattr(ProgressView, "__call__", take_over)
    done = portal.syncline("sync", "compare", "portal", "--json")
    assert (done.code, done.error["code"]) == (73, "lane_busy"), done.err
    assert {n: r["outcome"] for n, r in compared(done).items()} == {"companies": "busy", "contacts": "compared"}


def test_suspiciously_many_deletes_wait_for_a_persons_word(portal: Both) -> None:
    for n in range(30):
        portal.edit("hubspot", object="companies", properties={"domain": f"c{n}.example", "name": f"Company {n}"})
    portal.sync()
    forget(portal, 25)
    done = portal.syncline("sync", "compare", "portal", "--json")
    assert done.code == 3
    companies = compared(done)["companies"]
    assert (companies["outcome"], companies["counts"], companies["listed"]) == ("braked", {}, None)
    assert "25" in companies["why"]


def test_one_that_is_stopped_goes_on_where_it_was(portal: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone,) = forget(portal)
    showing = ProgressView.__call__

    def stop(view: ProgressView, event: Any) -> None:
        if event.done:
            raise KeyboardInterrupt
        showing(view, event)

    monkeypatch.setattr(ProgressView, "__call__", stop)
    stopped = portal.syncline("sync", "compare", "portal", "--object", "companies")
    assert stopped.code == 130
    assert "syncline sync compare portal" in stopped.err
    assert standing(portal).comparing, "so that workers go on with it, too"
    monkeypatch.setattr(ProgressView, "__call__", showing)
    assert portal.syncline("sync", "compare", "portal", "--object", "companies").code == 0
    assert state(portal, gone) == "deleted"
    assert not standing(portal).comparing


def test_a_vendor_that_fails_is_said_and_nothing_is_lost(portal: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "wait_s", lambda *_: 0.0)
    (gone,) = forget(portal)
    portal.hubspot.sandbox.faults.add([{"kind": "error", "status": 503, "times": 1000}])
    failed = portal.syncline("sync", "compare", "portal", "--json")
    assert failed.code == 75, failed.err
    portal.hubspot.sandbox.faults.waiting.clear()
    assert portal.syncline("sync", "compare", "portal").code == 0
    assert state(portal, gone) == "deleted"


def test_a_vendor_that_lists_no_versions_is_read_again(
    syncline: Syncline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PipedriveServer(contacts=6) as company:
        (tmp_path / "token").write_text(company.credentials.api_token)
        words = ("--base-url", company.url, "--secret", f"api_token=@{tmp_path / 'token'}")
        connected = syncline("connect", "pipedrive", "--name", "deals", *words)
        assert connected.code == 0, connected.err
        assert syncline("sync", "add", "deals", "--object", "persons", "--direction", "in").code == 0
        assert syncline("sync", "run").code == 0
        store = company.sandbox.store
        gone = str(next(iter(store.live("persons")))["id"])
        company.sandbox.edit({"object": "persons", "id": gone, "delete": True})
        assert syncline("sync", "run").code == 0

        def told() -> Any:
            return syncline("explain", "contact", gone, "--json").json["records"][0]["state"]

        assert told() == "live", "Pipedrive lists deleted deals alone"
        done = syncline("sync", "compare", "deals", "--json")
        assert done.code == 0, done.err
        persons = compared(done)["persons"]
        assert (persons["outcome"], persons["counts"]["deleted"]) == ("compared", 1)
        assert told() == "deleted"
