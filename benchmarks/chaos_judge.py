"""What became of every edit, and whether three sides agree: by the vendors' own state and journals, not by the hub's counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos_people import CONTACTS, GONE, NAMES, Edit, merged_into
from benchmarks.chaos_world import World

Sides = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """See `benchmarks.chaos`. ``differing``: contacts on which the sides do not agree, or that a side lacks.

    ``unsettled``: edits in flight, with the contact as it stands.
    """

    received: int
    applied: int
    superseded: int
    dead: int
    in_flight: int
    duplicate_creates: int
    equal: bool
    differing: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


def judge(world: World, edits: Sequence[Edit]) -> Verdict:
    """Compare once everything is settled."""
    contacts = [_on_all_sides(world, row) for row in world.query(CONTACTS)]
    by_email = {str(sides["hub"]["email"]): sides for sides in contacts if sides.get("hub")}
    dead = {row["email"] for row in world.query(_DEAD)}
    left = by_email.keys() | _emails_at_vendors(world)
    lost_values = " ".join(f"{row['hub_value']} {row['vendor_value']}" for row in world.query(_LOST))
    found = [
        _end(edit, edits, by_email.get(edit.record), dead, lost_values)
        if edit.record in left
        else _end_of_gone(edit, edits)
        for edit in edits
    ]
    ends = Counter(found)
    lost = [edit for edit, end in zip(edits, found, strict=True) if end == "in_flight"]
    unsettled = [f"{e}: {_name(world, by_email.get(e.record) or {}, edits, e.record)}" for e in lost[:10]]
    differing = [_name(world, sides, edits, str(sides["hub"]["email"])) for sides in contacts if not _agree(sides)]
    counts = {
        len(contacts),
        len(world.salesforce.sandbox.org.live("Contact")),
        len(world.hubspot.portal.live("contacts")),
    }
    return Verdict(
        received=len(edits), applied=ends["applied"], superseded=ends["superseded"], dead=ends["dead"],
        in_flight=ends["in_flight"], duplicate_creates=_doubles(world), equal=not differing and len(counts) == 1,
        differing=tuple(differing[:10]), unsettled=tuple(unsettled),
    )  # fmt: skip


_DEAD = """
SELECT DISTINCT h.email FROM dead_letter d
LEFT JOIN link l ON l.tenant_id = d.tenant_id AND l.connection_id = d.connection_id AND l.vendor_id = d.vendor_id
JOIN crm_contact h ON h.tenant_id = d.tenant_id AND h.id = coalesce(d.entity_id, l.entity_id)
WHERE d.status = 'open'
"""


def _on_all_sides(world: World, row: Mapping[str, Any]) -> dict[str, Any]:
    """The contact as each side has it, in the hub's words; a side that has it not exactly once is absent."""
    found: dict[str, Any] = {"hub": {name: row[name] for name in NAMES["hub"]}}
    for side in ("salesforce", "hubspot"):
        ids = row[side] or []
        values = _vendor_values(world, side, ids[0]) if len(ids) == 1 else None
        if values is not None:
            found[side] = {name: values.get(theirs) for name, theirs in NAMES[side].items()}
    return found


def _vendor_values(world: World, side: str, record_id: str) -> Mapping[str, Any] | None:
    if side == "salesforce":
        row = world.salesforce.sandbox.org.get("Contact", record_id)
        return None if row is None or row.get("IsDeleted") else row
    record = world.hubspot.portal.find_live("contacts", record_id)
    return None if record is None else record.values


def _agree(sides: Sides) -> bool:
    if len(sides) != len(NAMES):
        return False
    return all(len({_plain(sides[side][name]) for side in NAMES}) == 1 for name in NAMES["hub"])


def _plain(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold()


_STANDING = """
SELECT c.name, l.vendor_id, l.vendor_version, l.tombstoned_at IS NOT NULL AS gone, CAST(l.sent AS text) AS sent, w.state
FROM crm_contact h JOIN link l ON l.tenant_id = h.tenant_id AND l.entity = 'contact' AND l.entity_id = h.id
JOIN connection c ON c.tenant_id = l.tenant_id AND c.id = l.connection_id
LEFT JOIN push_work w ON w.tenant_id = l.tenant_id AND w.connection_id = l.connection_id AND w.entity_id = h.id
WHERE h.email = :email ORDER BY c.name, l.vendor_id
"""


_LETTERS = """
SELECT c.name, d.object, d.stage, d.code, d.message, d.last_at FROM dead_letter d JOIN crm_contact h ON h.tenant_id = d.tenant_id
JOIN connection c ON c.tenant_id = d.tenant_id AND c.id = d.connection_id
WHERE d.status = 'open' AND h.email = :email AND (d.entity_id = h.id OR d.vendor_id IN (
    SELECT l.vendor_id FROM link l WHERE l.tenant_id = h.tenant_id AND l.entity_id = h.id)) ORDER BY d.id
"""


_LOST = """
SELECT CASE WHEN winner = 'vendor' THEN CAST(hub_value AS text) END AS hub_value,
       CASE WHEN winner = 'hub' THEN CAST(vendor_value AS text) END AS vendor_value FROM conflict
"""

_HISTORY = """
SELECT f.at, f.entity_id, f.field, f.old, f.new, f.origin, c.name, f.rule FROM field_history f
LEFT JOIN connection c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
WHERE f.entity_id IN (SELECT id FROM crm_contact WHERE email = :email
    UNION SELECT entity_id FROM tombstone WHERE snapshot->>'email' = :email
    UNION SELECT from_id FROM redirect WHERE to_id IN (SELECT id FROM crm_contact WHERE email = :email)) ORDER BY f.at
"""

_CONTESTED = """
SELECT k.opened_at, k.object, k.entity_id, k.vendor_id, k.field, k.status, k.rule, k.winner, k.hub_value, k.vendor_value
FROM conflict k WHERE k.entity_id IN (SELECT id FROM crm_contact WHERE email = :email
    UNION SELECT entity_id FROM tombstone WHERE snapshot->>'email' = :email) ORDER BY k.opened_at
"""


def _name(world: World, sides: Sides, edits: Sequence[Edit], email: str) -> str:
    """The contact as each side has it, its links with what is due, its letters, and what people did to it: to find out why."""
    said = ", ".join(f"{side} {dict(sides[side]) if side in sides else 'has it not once'}" for side in NAMES)
    links = "; ".join(str(dict(row)) for row in world.query(_STANDING, email=email))
    letters = "; ".join(str(dict(row)) for row in world.query(_LETTERS, email=email))
    addresses = [
        (r, [r.values.get("email"), *r.values.get("hs_additional_emails", "").split(";")])
        for r in world.hubspot.portal.tables["contacts"].values()
    ]
    there = "; ".join(
        f"{r.id} merged into {r.merged_into or 'nothing'}, {'archived' if r.archived else 'live'}, {names}"
        for r, names in addresses
        if email in names
    )
    kin = _swallowed(email, edits)
    past = "; ".join(str(dict(row)) for row in world.query(_HISTORY, email=email))
    lost = "; ".join(str(dict(row)) for row in world.query(_CONTESTED, email=email))
    done = "; ".join(f"{e.side} {e.record} {e.field}={e.token}" for e in edits if e.record == email or e.record in kin)
    lanes = "; ".join(str(dict(row)) for row in world.query("SELECT object, status, failures, verified_at FROM stream"))
    return (
        f"{email}: {said}. Links: {links}. Letters: {letters}. HubSpot: {there}. Edits: {done}. Streams: {lanes}. "
        f"History: {past}. Conflicts: {lost}"
    )


def _emails_at_vendors(world: World) -> set[str]:
    rows = [*world.salesforce.sandbox.org.live("Contact"), *(r.values for r in world.hubspot.portal.live("contacts"))]
    return {str(row.get("Email") or row.get("email") or "").casefold() for row in rows}


def _end_of_gone(edit: Edit, edits: Sequence[Edit]) -> str:
    """The end of an edit whose record is on no side any more: somebody must have deleted or merged it."""
    if edit.field == GONE:
        return "applied"
    return "superseded" if any((e.record, e.field) == (edit.record, GONE) for e in edits) else "in_flight"


def _end(edit: Edit, edits: Sequence[Edit], sides: Sides | None, dead: set[str], lost_values: str = "") -> str:
    """``lost_values``: what the conflict log holds of losers, as JSON."""
    if (
        edit.field == GONE
    ):  # it stands all the same: an edit or a merge of another side must have been faster, or beaten the delete
        beaten = any(_keeps(e, edit.record) for e in edits if e.side != edit.side)
        return "superseded" if sides is not None and _agree(sides) and beaten else "in_flight"
    if sides is not None and len(sides) == len(NAMES):
        values = {_plain(sides[side][edit.field]) for side in NAMES}
        if values == {_plain(edit.token)}:
            return "applied"
        of = {edit.record, *_swallowed(edit.record, edits)}
        rivals = {_plain(e.token) for e in edits if e.record in of and e.field == edit.field and e != edit}
        logged = f'"{edit.token}"' in lost_values
        if len(values) == 1 and (values <= rivals or _went(edit, edits) or logged):
            return "superseded"
    return "dead" if edit.record in dead else "in_flight"


def _keeps(edit: Edit, record: str) -> bool:
    """Whether an edit speaks against the delete of a record: it changes it, or merges another one into it."""
    return edit.token == merged_into(record) if edit.field == GONE else edit.record == record


def _swallowed(record: str, edits: Sequence[Edit]) -> set[str]:
    """The records that were merged into this one, and into those.

    HubSpot takes a write to one of them for one to the survivor: what was on its way to it overtakes what the survivor said.
    """
    found, news = set[str](), {record}
    while news:
        tokens = {merged_into(name) for name in news}
        news = {e.record for e in edits if e.field == GONE and e.token in tokens} - found - {record}
        found |= news
    return found


def _went(edit: Edit, edits: Sequence[Edit]) -> bool:
    """Whether the edit's own side deleted the record afterwards: by another side's edit it may stand again, without this one."""
    later = edits[edits.index(edit) + 1 :]
    return any((e.side, e.record, e.field) == (edit.side, edit.record, GONE) for e in later)


def _doubles(world: World) -> int:
    """Records that calls created at a vendor and that are not the one record of something: unlinked, or a second of its kind.

    One that stands there no more is no second: an edit that beats a delete has its record created again.
    """
    doubles = 0
    for connection, server in (("org", world.salesforce), ("portal", world.hubspot)):
        linked = {
            row["vendor_id"]: row["entity_id"]
            for row in world.query(
                "SELECT l.vendor_id, l.entity_id FROM link l JOIN connection c ON c.tenant_id = l.tenant_id "
                "AND c.id = l.connection_id WHERE c.name = :name",
                name=connection,
            )
        }
        for kind in ("Account", "Contact", "companies", "contacts"):
            made = world.created(server.url).get(kind, [])
            owners = [linked[i] for i in made if i in linked and _stands(world, kind, i)]
            doubles += sum(1 for i in made if i not in linked) + len(owners) - len(set(owners))
    return doubles


def _stands(world: World, kind: str, vendor_id: str) -> bool:
    if kind in ("Account", "Contact"):
        row = world.salesforce.sandbox.org.get(kind, vendor_id)
        return row is not None and not row.get("IsDeleted")
    return world.hubspot.portal.find_live(kind, vendor_id) is not None
