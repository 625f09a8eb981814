"""What undo knows of records that streams have sent on to another vendor."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from storage import undoing
from storage.undoing import Scope
from tests.migration.conftest import World
from tests.migration.test_run import contact, org

PORTAL = UUID(int=77)


def moved(world: World) -> tuple[Scope, list[UUID]]:
    """Three contacts migrated: the first was made at another vendor, the second was there before, the third is gone there again."""
    result = world.migrate(org([contact(1), contact(2), contact(3)]))
    links = world.rows("SELECT connection_id, entity_id FROM link WHERE vendor_object = 'Contact' ORDER BY vendor_id")
    ids = [row[1] for row in links]
    for number, (entity_id, origin, gone) in enumerate(
        zip(ids, ("pushed", "matched", "pushed"), (False, False, True), strict=True)
    ):
        world.execute(
            "INSERT INTO link (tenant_id, connection_id, vendor_object, vendor_id, entity, entity_id, origin, base, tombstoned_at) "
            "VALUES (:t, :c, 'contacts', :v, 'contact', :e, :o, '{}', CASE WHEN :g THEN now() END)",
            t=world.tenant_id, c=PORTAL, v=str(number), e=entity_id, o=origin, g=gone,
        )  # fmt: skip
    return Scope(world.tenant_id, result.run_id, links[0][0], "Contact", "contact"), ids


def test_only_what_streams_made_and_what_still_stands_counts_as_sent_on(world: World) -> None:
    scope, ids = moved(world)
    with world.db.tenant(world.tenant_id) as conn:
        assert undoing.sent_on(conn, scope) == {(PORTAL, "contacts"): 1}
        (copy,) = undoing.copies(conn, scope, [], 10)
        assert (copy.entity_id, copy.connection_id, copy.object, copy.vendor_id) == (ids[0], PORTAL, "contacts", "0")
        assert undoing.copies(conn, scope, [ids[0]], 10) == []
        undoing.bury_copies(conn, world.tenant_id, [copy])
        assert undoing.sent_on(conn, scope) == {}
        own = Scope(scope.tenant_id, scope.run_id, PORTAL, scope.object, scope.entity)
        assert undoing.sent_on(conn, own) == {}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        pytest.param([("custom_fields.hs_id", None, PORTAL)], False, id="filled in by the vendor"),
        pytest.param([("phone", None, PORTAL)], True, id="a field of everybody's"),
        pytest.param([("custom_fields.hs_id", '"old"', PORTAL)], True, id="something replaced"),
        pytest.param([("custom_fields.hs_id", None, None)], True, id="by a person of the hub"),
        pytest.param([("custom_fields.hs_id", None, UUID(int=78))], True, id="by somebody whom it was not sent to"),
        pytest.param([("custom_fields.a", None, PORTAL), ("custom_fields.b", None, PORTAL)], True, id="a second time"),
        pytest.param([None], True, id="nobody knows any more by whom"),
    ],
)
def test_what_a_vendor_fills_into_fields_of_its_own_is_no_edit(
    world: World, changes: list[tuple[str, str | None, UUID | None] | None], kept: bool
) -> None:
    scope, ids = moved(world)
    for version, change in enumerate(changes, 2):
        world.execute("UPDATE crm_contact SET version = :v WHERE id = :e", v=version, e=ids[0])
        if change is not None:
            field, old, by = change
            world.execute(
                "INSERT INTO field_history (tenant_id, id, entity, entity_id, field, old, new, origin, connection_id, version) "
                "VALUES (:t, :i, 'contact', :e, :f, CAST(:o AS jsonb), '\"new\"', 'sync', :c, :v)",
                t=world.tenant_id, i=uuid4(), e=ids[0], f=field, o=old, c=by, v=version,
            )  # fmt: skip
    with world.db.tenant(world.tenant_id) as conn:
        found = undoing.created_conflicts(conn, scope, [])
    assert [k.id for k in found] == ([ids[0]] if kept else [])
