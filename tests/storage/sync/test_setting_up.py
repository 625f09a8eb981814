"""Stages and pipelines as connections have them, and what people call them."""

from __future__ import annotations

from uuid import UUID

from domain.ids import new_id
from storage import connections, streams
from storage.database import Database
from storage.streams import Stream
from storage.sync import linking, records, setting_up
from storage.sync.lanes import LaneKey
from sync_engine.ports import Lane
from sync_engine.postgres import PostgresSyncStore


def _link(conn: object, key: LaneKey, entity: str, record: UUID, vendor_id: str) -> None:
    row = {
        "vendor_id": vendor_id,
        "entity_id": record,
        "base": {},
        "version": "",
        "fingerprint": "",
        "origin": "created",
    }
    linking.put(conn, key, entity, [{**row, "tombstone": False, "drop_sent": False}])  # type: ignore[arg-type]


def test_every_stage_is_told_with_where_it_is_and_how_it_is_called(
    db: Database, tenant_id: UUID, other_tenant_id: UUID
) -> None:
    org, portal = new_id(), new_id()
    names = [
        ["stage", "Prospecting ", "s1"],
        ["stage", "Start", "s1"],
        ["pipeline", "*", "p1"],
        ["stage", "Else", "s2"],
    ]
    with db.tenant(tenant_id) as conn:
        for connection in (org, portal):
            connections.create(conn, connection, vendor="sandbox", name=connection.hex)
        streams.put(conn, Stream(portal, "deals", "opportunity", settings={"names": names}))
        streams.put(conn, Stream(org, "Opportunity", "opportunity", settings={}))
        pipeline = records.create(conn, tenant_id, "pipeline", {"name": "Sales"}, "ada")
        stage = records.create(conn, tenant_id, "stage", {"name": "First", "pipeline_id": pipeline}, "ada")
        alone = records.create(conn, tenant_id, "stage", {"name": "Nowhere"}, "ada")
        _link(conn, LaneKey(tenant_id, portal, "deal_pipelines"), "pipeline", pipeline, "p1")
        _link(conn, LaneKey(tenant_id, portal, "deal_stages"), "stage", stage, "s1")
        stored = setting_up.records(conn)
    assert {s.id: s.links for s in stored} == {
        pipeline: ((portal, "deal_pipelines", "p1"),), stage: ((portal, "deal_stages", "s1"),), alone: (),
    }  # fmt: skip

    there = PostgresSyncStore(db).set_up(Lane(tenant_id, portal, "deals")).records
    assert (there[stage].parent, there[stage].objects) == (pipeline, {"deal_stages"})
    assert (there[stage].names, there[pipeline].names) == ({"prospecting", "start"}, {"*"})
    here = PostgresSyncStore(db).set_up(Lane(tenant_id, org, "Opportunity")).records
    assert (here[stage].objects, here[stage].names) == (frozenset(), {"prospecting", "start"}), "names count everywhere"
    assert PostgresSyncStore(db).set_up(Lane(other_tenant_id, portal, "deals")).records == {}
