"""The data of a new portal: the same for a seed, in proportion, and as messy as real ones."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.hubspot.clean import BadValueError, clean
from sandbox.hubspot.model import HubSpotSandbox, SandboxOptions
from sandbox.kit.clock import ANCHOR, Clock


def made(contacts: int = 600, seed: int = 1) -> HubSpotSandbox:
    return HubSpotSandbox(SandboxOptions(contacts=contacts, seed=seed), Clock(ANCHOR))


@pytest.fixture(scope="module")
def portal() -> HubSpotSandbox:
    return made()


def contents(sandbox: HubSpotSandbox) -> Any:
    records = {
        name: {r.id: (r.values, r.archived_at, r.merged_into) for r in table.values()}
        for name, table in sandbox.portal.tables.items()
    }
    return records, sandbox.portal.associations.links


def test_one_seed_gives_one_portal() -> None:
    assert contents(made(100)) == contents(made(100))
    assert contents(made(100)) != contents(made(100, seed=2))


def test_sizes_are_in_proportion(portal: HubSpotSandbox) -> None:
    counts = portal.portal.counts()
    assert counts["contacts"] == 600
    assert (counts["companies"], counts["deals"], counts["tickets"], counts["machines"]) == (120, 180, 60, 30)
    assert sum(counts[kind] for kind in ("notes", "calls", "emails", "meetings", "tasks")) == 300


def test_an_empty_portal_has_owners_and_pipelines_only() -> None:
    empty = made(0)
    assert set(empty.portal.counts().values()) == {0}
    assert len(empty.portal.owners) == 6
    assert list(empty.portal.pipelines["deals"]) == ["default"]
    assert not any(item.custom for item in empty.portal.objects.values())


def values(portal: HubSpotSandbox, kind: str, name: str) -> list[str]:
    return [r.values.get(name, "") for r in portal.portal.live(kind)]


def test_it_is_messy_where_real_portals_are(portal: HubSpotSandbox) -> None:
    phones = {re.sub(r"\d+", "9", phone) for phone in values(portal, "contacts", "phone")}
    assert len(phones) >= 8
    assert any(not name.isascii() for name in values(portal, "contacts", "lastname"))
    assert "" in values(portal, "contacts", "email")
    domains = [d for d in values(portal, "companies", "domain") if d]
    assert len(set(domains)) < len(domains)
    names = [
        f"{r.values.get('firstname', '')}{r.values.get('lastname', '')}".replace(" ", "").lower()
        for r in portal.portal.live("contacts")
    ]
    assert len(set(names)) < len(names)
    assert any("<" in body for body in values(portal, "notes", "hs_note_body"))
    assert any("<" not in body for body in values(portal, "notes", "hs_note_body"))
    assert {r.values["pipeline"] for r in portal.portal.live("deals")} == set(portal.portal.pipelines["deals"])


def test_someone_who_left_still_owns_records(portal: HubSpotSandbox) -> None:
    gone = [owner.id for owner in portal.portal.owners.values() if owner.archived]
    assert len(gone) == 1
    assert gone[0] in values(portal, "contacts", "hubspot_owner_id")


def test_there_are_archived_and_merged_contacts(portal: HubSpotSandbox) -> None:
    table = portal.portal.tables["contacts"].values()
    assert sum(r.archived for r in table) == 6
    merged = [r for r in table if r.merged_into]
    assert merged
    for record in merged:
        survivor = portal.portal.find("contacts", record.id)
        assert survivor is not None
        assert record.id in survivor.values["hs_merged_object_ids"].split(";")


def test_notes_have_files_one_of_them_shared(portal: HubSpotSandbox) -> None:
    attached = [ids.split(";") for ids in values(portal, "notes", "hs_attachment_ids") if ids]
    listed = [each for ids in attached for each in ids]
    assert set(listed) == set(portal.portal.files.stored)
    assert len(listed) == len(set(listed)) + 1
    assert max(len(ids) for ids in attached) == 2


def test_every_value_is_one_that_the_portal_would_take(portal: HubSpotSandbox) -> None:
    state = portal.portal
    for kind, item in state.objects.items():
        for record in state.live(kind):
            for name, value in record.values.items():
                found = item.properties[name]
                options = None if found.referenced or found.read_only else state.options(item, found, record.values)
                try:
                    assert clean(found, value, options, "") == value, (kind, name, value)
                except BadValueError as error:
                    pytest.fail(f"{kind}.{name}: {error}")


def test_what_is_computed_agrees_with_what_it_is_computed_from(portal: HubSpotSandbox) -> None:
    state = portal.portal
    for company in state.live("companies"):
        held = state.associations.targets("companies", company.id, "contacts")
        assert company.values.get("num_associated_contacts", "0") == str(len(held))
    emails = [e for e in values(portal, "contacts", "email") if e]
    assert len(set(emails)) == len(emails)
    assert all(r.searchable(state.now()) is r.values for r in state.live("contacts"))
