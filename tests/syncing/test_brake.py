"""A vendor that loses most of its records at once does not take the hub's with it, unless a person says so."""

from __future__ import annotations

from tests.syncing.conftest import Both


def standing(both: Both) -> tuple[str, int]:
    (stream,) = both.syncline("sync", "status", "--json").json
    with_links = both.syncline("migrate", "status", "--json")
    assert with_links.code == 0
    return stream["status"], stream["counts"].get("deleted", 0)


def test_a_mass_delete_waits_for_a_persons_word(both: Both) -> None:
    assert both.syncline("sync", "add", "portal", "--object", "contacts", "--direction", "in").code == 0
    people = [
        both.edit("hubspot", object="contacts", properties={"email": f"p{n}@example.org", "lastname": f"Person {n}"})[
            "id"
        ]
        for n in range(25)
    ]
    both.sync()
    for person in people:
        both.edit("hubspot", object="contacts", id=person, delete=True)
    both.lag()
    both.syncline("sync", "run")
    assert standing(both) == ("braked", 0)
    assert "25" in both.syncline("sync", "status").out
    assert both.syncline("explain", "contact", people[0], "--json").json["records"][0]["state"] == "live"
    both.lag()
    both.syncline("sync", "run")
    assert standing(both) == ("braked", 0), "it stays so until somebody says that it was meant"
    assert both.syncline("sync", "resume", "portal").code == 0
    both.sync()
    assert standing(both) == ("idle", 25)
    assert both.syncline("explain", "contact", people[0], "--json").json["records"][0]["state"] == "deleted"


def test_deletes_that_come_bit_by_bit_wait_for_a_persons_word_too(both: Both) -> None:
    assert both.syncline("sync", "add", "portal", "--object", "contacts", "--direction", "in").code == 0
    people = [
        both.edit("hubspot", object="contacts", properties={"email": f"p{n}@example.org", "lastname": f"Person {n}"})[
            "id"
        ]
        for n in range(40)
    ]
    both.sync()
    for part, expected in ((people[:15], ("idle", 15)), (people[15:25], ("braked", 15))):
        for person in part:
            both.edit("hubspot", object="contacts", id=person, delete=True)
        both.lag()
        both.syncline("sync", "run")
        assert standing(both) == expected
    assert both.syncline("sync", "resume", "portal").code == 0
    both.sync()
    assert standing(both) == ("idle", 25)
    both.edit("hubspot", object="contacts", id=people[25], delete=True)
    both.lag()
    both.syncline("sync", "run")
    assert standing(both) == ("idle", 26), "what a person let through does not count"


def test_letters_of_a_migration_are_replayed_without_any_stream(both: Both) -> None:
    both.edit("hubspot", object="companies", properties={"domain": "nameless.example"})
    both.lag()
    assert both.syncline("migrate", "plan", "portal", "--approve").code == 0
    assert both.syncline("migrate", "run", "portal", "--no-certificate").code == 0
    letters = both.syncline("dead-letters", "list", "--object", "companies", "--json").json["letters"]
    mine = next(a for a in letters if a["code"])
    both.syncline("dead-letters", "edit", mine["id"], "--set", "name=Nameless & Sons")
    replayed = both.syncline("dead-letters", "replay", mine["id"], "--json")
    assert replayed.code == 0, replayed.err
    assert replayed.json["counts"] == {"applied": 1}
    told = both.syncline("explain", "account", mine["vendor_id"], "--json").json["records"][0]
    assert {f["field"]: f["value"] for f in told["fields"]}["name"] == "Nameless & Sons"
