"""Mappings of streams: checked against the vendor's own fields, tried on real records, changed, applied again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bootstrap.syncing import Syncs
from bootstrap.syncing_rules import StreamSettings
from connectors.kit.contract import ReadRequest
from domain.errors import MappingSpecError
from domain.records import MISSING, Problem
from mappings.spec import MappingSpec, load_shipped, parse_spec, spec_to_toml, with_override
from storage import audit, mapping_versions, streams
from storage.streams import Stream

if TYPE_CHECKING:
    from bootstrap.jobs import Work
    from storage.database import Connection

Noting = Callable[["Connection", int], None]

SHIPPED = "syncline"
"""The author of a mapping that comes with the product."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """One record as a mapping reads it. ``source``: as the vendor sent it; ``links``: (label, vendor id)."""

    vendor_id: str
    source: Mapping[str, Any]
    values: Mapping[str, Any]
    custom_fields: Mapping[str, Any]
    links: Sequence[tuple[str, str]]
    problems: Sequence[Problem]


def read_spec(stream: Stream, vendor: str, text: str, *, override: bool) -> MappingSpec:
    """The spec that ``text`` holds, or (``override``) what it changes of the shipped one. Raises MappingSpecError."""
    name = f"{stream.object}.toml"
    if override:
        shipped = load_shipped(vendor, stream.object)
        if shipped is None:
            raise MappingSpecError(
                f"No mapping of {stream.object} comes with the product.", remedy="Write a whole one."
            )
        spec = with_override(shipped, text, name)
    else:
        spec = parse_spec(text, name)
    current = parse_spec(str(stream.settings["spec"]), name)
    for key in ("vendor", "object", "entity"):
        if getattr(spec, key) != getattr(current, key):
            raise MappingSpecError(
                f"{name}: {key} differs from {getattr(current, key)!r}, which this stream maps.",
                remedy="Keep vendor, object and entity.",
                context={"field": key},
            )
    return spec


def try_on(syncs: Syncs, stream: Stream, spec: MappingSpec, limit: int) -> list[Mapped]:
    """The first ``limit`` records that the vendor lists, mapped. Changes nothing."""
    lens = syncs.lens(stream.connection_id, stream.object, spec)
    request = ReadRequest(stream.object, lens.source_fields, limit=limit)
    found: list[Mapped] = []
    for page in syncs.connector(stream.connection_id).read(request):
        for record in islice(page.records(), limit - len(found)):
            source = {name: value for name, value in record.items() if value is not MISSING}
            one = lens.forward_one(record)
            found.append(Mapped(one.vendor_id, source, one.values, one.custom_fields, one.links, one.problems))
        if len(found) >= limit:
            break
    return found


def change(syncs: Syncs, stream: Stream, spec: MappingSpec, author: str, reason: str, noting: Noting) -> int:
    """Put another mapping in force for what is exchanged from now on; returns its version.

    ``noting`` is called in the same transaction. Records that are here already stay as they are until `apply_job`.
    """
    made = 0

    def store(conn: Connection, _made: Sequence[Stream]) -> None:
        nonlocal made
        known = mapping_versions.list_all(conn, stream.connection_id, stream.object, before=None, limit=1)
        if not known:
            mapping_versions.add(
                conn,
                stream.connection_id,
                stream.object,
                str(stream.settings["spec"]),
                SHIPPED,
                "before the first change",
            )
        made = mapping_versions.add(conn, stream.connection_id, stream.object, spec_to_toml(spec), author, reason)
        mapping_versions.take_over(conn, stream.connection_id, stream.object)
        noting(conn, made)

    syncs.lens(stream.connection_id, stream.object, spec)
    settings = StreamSettings.from_json(stream.settings)
    syncs.add(stream.connection_id, [stream.object], settings, {stream.object: spec}, noting=store)
    return made


def apply_job(work: Work) -> Mapping[str, Any]:
    """Have every linked record of a stream mapped again. ``params``: connection_id, object.

    Fingerprints are forgotten, so that the comparison that follows reads each record once more and merges what the mapping
    makes of it now; fields that come out as before are not touched. Beginning again does no harm.
    """
    hub, connection_id, name = work.hub, UUID(work.params["connection_id"]), str(work.params["object"])
    count, after = 0, None
    while True:
        with hub.db.tenant(hub.tenant_id) as conn:
            streams.get(conn, connection_id, name)
            cleared, last = mapping_versions.forget_fingerprints(conn, connection_id, name, after)
            if not cleared:
                streams.compare_anew(conn, connection_id, name, "the mapping is applied again", datetime.now(UTC))
                audit.record(conn, work.actor, "mapping.apply", "stream", f"{connection_id}/{name}", {"records": count})
                return {"records": count}
        count, after = count + cleared, last
        work.report({"records": count})
