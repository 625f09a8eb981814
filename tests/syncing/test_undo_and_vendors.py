"""A migration is taken back after streams have sent its records on to another vendor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.hubspot.faults import Fault
from tests.syncing.conftest import Both


@pytest.fixture
def moved(both: Both, tmp_path: Path) -> str:
    """Contacts migrated from Salesforce and sent on to HubSpot by its stream; the run's id."""
    for row in both.salesforce.sandbox.org.live("Contact")[4:]:
        both.edit("salesforce", object="Contact", id=row["Id"], delete=True)
    for record in list(both.hubspot.portal.live("contacts")):
        both.edit("hubspot", object="contacts", id=record.id, delete=True)
    plan = tmp_path / "plan.toml"
    done = both.syncline("migrate", "plan", "org", "--object", "Contact", "--out", plan, "--approve")
    assert done.code == 0, done.err
    run = both.syncline("migrate", "run", "org", "--plan", plan, "--json")
    assert run.code == 0, run.err
    both.add("portal", "--object", "contacts", "--make-key-field")
    both.sync()
    assert len(people(both)) == 4
    return str(run.json["run_id"])


def people(both: Both) -> list[Any]:
    return list(both.hubspot.portal.live("contacts"))


def known(both: Both) -> int:
    with both.db.tenant(both.tenant_id) as conn:
        return int(conn.exec_driver_sql("SELECT count(*) FROM crm_contact").scalar_one())


def test_what_was_sent_on_is_told_of_before_and_stays(both: Both, moved: str) -> None:
    undone = both.syncline("migrate", "undo", moved, "--yes")
    assert undone.code == 0, undone.err
    assert "4 of its records were sent on to portal (contacts)." in undone.err.replace("\n", " ")
    assert "4 records that streams made at other vendors still stand there." in undone.out
    assert (len(people(both)), known(both)) == (4, 0)


def test_what_was_sent_on_goes_with_the_run_where_a_person_wants_it(both: Both, moved: str) -> None:
    own = both.edit("hubspot", object="contacts", properties={"email": "own@example.org", "lastname": "Own"})["id"]
    both.sync()
    edited = next(p.id for p in people(both) if p.id != own)
    both.edit("hubspot", object="contacts", id=edited, properties={"jobtitle": "Somebody's own words"})
    both.sync()
    undone = both.syncline("migrate", "undo", moved, "--also-at-vendors", "--yes", "--json")
    assert undone.code == 3, undone.err
    assert [(r["object"], r["count"]) for r in undone.json["removed_elsewhere"]] == [("contacts", 3)]
    assert [k["why"] for k in undone.json["kept"]] == ["edited since it was created"]
    assert {p.id for p in people(both)} == {own, edited}, "what HubSpot's people entered stays"
    assert known(both) == 2
    assert len(both.salesforce.sandbox.org.live("Contact")) == 4, "the source is left alone"
    both.sync()
    assert (len(people(both)), known(both)) == (2, 2)
    assert '"braked"' not in both.syncline("sync", "status", "--json").out


def test_an_undo_that_a_vendor_interrupts_goes_on(both: Both, moved: str) -> None:
    both.hubspot.sandbox.faults.waiting.append(Fault("error", calls="batch_archive", status=503, times=50))
    broken = both.syncline("migrate", "undo", moved, "--also-at-vendors", "--yes", "--json")
    assert broken.code != 0
    assert known(both) == 4, "the hub's records go after those of the vendor"
    both.hubspot.sandbox.faults.waiting.clear()
    assert both.syncline("migrate", "resume", moved, "--json").code == 0
    assert (len(people(both)), known(both)) == (0, 0)
