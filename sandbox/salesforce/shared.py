"""Activities of several people: what *Allow Users to Relate Multiple Contacts to Tasks and Events* brings into an org.

https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_taskrelation.htm
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_eventattendee.htm
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.write import Writer

Row = dict[str, Any]
RELATIONS = {"Task": ("TaskRelation", "TaskId"), "Event": ("EventRelation", "EventId")}
"""The relations of each kind of activity, and their lookup to it."""
_ACTIVITIES = {relation: (activity, link) for activity, (relation, link) in RELATIONS.items()}
PEOPLE_MAX = 50
_STAMPS = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
ONLY_WHEN_SHARED = ("IsParent", "IsWhat", "AccountId", "IsInvitee")
"""Fields of EventRelation that an org without shared activities does not show: there it knows invitees alone."""

WHAT = "Account|Opportunity|Case|Campaign|Product2|Property__c"
OBJECTS: dict[str, str] = {
    'TaskRelation 0RT "Task Relation" "Task Relations"': f"""
TaskId reference(Task) required create rel=Task "Task ID"
RelationId reference(Contact|Lead|{WHAT}) required create rel=Relation "Relation ID"
AccountId reference(Account) ro rel=Account
IsWhat boolean create
""",
    'EventRelation 0RE "Event Relation" "Event Relations"': f"""
EventId reference(Event) required create rel=Event "Event ID"
RelationId reference(Contact|Lead|User|{WHAT}) required create rel=Relation "Relation ID"
AccountId reference(Account) ro rel=Account
IsWhat boolean create
IsParent boolean
IsInvitee boolean
Status picklist(New;Declined;Accepted;Uninvited;Maybe)
RespondedDate datetime
Response string(255)
""",
}


def switch_off(org: Org) -> None:
    """What an org looks like that has not switched it on."""
    org.remove_object("TaskRelation")
    for name in ONLY_WHEN_SHARED:
        org.remove_field("EventRelation", name)


def is_shared(writer: Writer) -> bool:
    """TaskRelation is there only where activities are shared."""
    return "TaskRelation" in writer.org.objects


def activity(writer: Writer, kind: str, row: Row, before: Row) -> None:
    """A task or event was written: its relations follow WhoId and WhatId.

    A contact who is not among its people becomes one, and the former one stays; without one, another one takes the place. See
    WhoId in https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_task.htm
    """
    if not is_shared(writer):
        row["WhoCount"], row["WhatCount"] = int("WhoId" in row), int("WhatId" in row)
        return
    if row.get("WhatId") != before.get("WhatId"):
        _follow(writer, kind, row, before.get("WhatId"), row.get("WhatId"), is_what=True)
    who, was = row.get("WhoId"), before.get("WhoId")
    if who != was:
        alone = who is None or "00Q" in (who[:3], (was or "")[:3])  # a lead, who is the only one
        _follow(writer, kind, row, was if alone else None, who, is_what=False)
        if (who or "").startswith("00Q"):
            for other in [r for i, r in people(writer, kind, row["Id"]).items() if i != who]:
                _bury(writer, kind, other)
    _promote(writer, kind, row)


def _follow(writer: Writer, kind: str, row: Row, former: str | None, now: str | None, *, is_what: bool) -> None:
    relation, link = RELATIONS[kind]
    for held in _of(writer, kind, row["Id"]):
        if held["RelationId"] == former and former is not None and bool(held.get("IsWhat")) is is_what:
            _bury(writer, kind, held)
    if now is None or (not is_what and now in people(writer, kind, row["Id"])):
        return
    standing = next((r for r in _of(writer, kind, row["Id"]) if r["RelationId"] == now), None)
    if standing is not None:  # an invitee
        writer.system_update(relation, standing, {"IsParent": True})
        return
    parent = {"IsParent": True, "IsInvitee": False} if kind == "Event" and not is_what else {}
    writer.system_insert(relation, {link: row["Id"], "RelationId": now, "IsWhat": is_what, **parent})


def relation(writer: Writer, name: str, row: Row, before: Row) -> None:
    """A relation was written by a caller: the activity's own lookups follow. Without WhoId the first one becomes it."""
    kind, link = _ACTIVITIES[name]
    others = [r for r in _of(writer, kind, row[link]) if r["Id"] != row["Id"]]
    if any(r["RelationId"] == row["RelationId"] for r in others):
        raise ApiError("DUPLICATE_VALUE", "duplicate value found: RelationId duplicates value on another relation")
    if not is_shared(writer):
        return  # an invitee
    row["IsWhat"] = is_what = row["RelationId"][:3] not in ("003", "00Q", "005")
    if kind == "Event" and not before and not is_what and not row.get("IsParent"):
        row["IsInvitee"] = True  # callers from before activities were shared say nothing, and mean invitees
    task = writer.org.tables[kind][row[link]]
    if is_what:
        if any(r.get("IsWhat") for r in others):
            raise ApiError("FIELD_INTEGRITY_EXCEPTION", "an activity can be related to one record besides its people")
        writer.system_update(kind, task, {"WhatId": row["RelationId"]})
        return
    held = people(writer, kind, row[link])
    leads = sum(i.startswith("00Q") for i in held)
    if leads > 1 or (leads and len(held) > leads) or len(held) > PEOPLE_MAX:
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", f"an activity can be related to one lead or up to {PEOPLE_MAX} contacts"
        )
    _promote(writer, kind, task)


def people(writer: Writer, kind: str, activity_id: str) -> dict[str, Row]:
    """The relations to an activity's contacts or lead, by theirs ids; invitees alone are none."""
    return {
        r["RelationId"]: r
        for r in _of(writer, kind, activity_id)
        if not r.get("IsWhat") and (kind == "Task" or r.get("IsParent"))
    }


def _of(writer: Writer, kind: str, activity_id: str) -> list[Row]:
    name, link = RELATIONS[kind]
    return [r for r in writer.org.live(name) if r[link] == activity_id]


def _promote(writer: Writer, kind: str, row: Row) -> None:
    """WhoId names one of the people, where there are any; the counts tell how many records an activity belongs to."""
    held = people(writer, kind, row["Id"])
    whats = [r for r in _of(writer, kind, row["Id"]) if r.get("IsWhat")]
    changes: Row = {"WhoCount": len(held), "WhatCount": len(whats)}
    if row.get("WhoId") not in held:
        changes["WhoId"] = min(held, default=None)
    writer.system_update(kind, row, changes)


def _bury(writer: Writer, kind: str, row: Row) -> None:
    writer.system_update(RELATIONS[kind][0], row, {"IsDeleted": True})
    writer.stamped(row)
    writer.org.binless.add(row["Id"])


def buried(writer: Writer, item: ObjectType, row: Row) -> None:
    """After a relation went: another of the people takes the place of the one whom WhoId named."""
    kind, link = _ACTIVITIES[item.name]
    found = writer.org.tables[kind].get(row[link])
    if found is None or found.get("IsDeleted"):
        return
    if row.get("IsWhat") and found.get("WhatId") == row["RelationId"]:
        writer.system_update(kind, found, {"WhatId": None})
    if is_shared(writer):
        _promote(writer, kind, found)


def seeded(org: Org) -> None:
    """The relations of generated activities. One in nine activities with a contact belongs to another contact, too."""
    if "TaskRelation" not in org.objects:
        return
    contacts = [c["Id"] for c in org.live("Contact")]
    for kind, (name, link) in RELATIONS.items():
        parent = {"IsParent": True, "IsInvitee": False} if kind == "Event" else {}
        for number, row in enumerate(org.tables[kind].values()):
            others = (
                contacts[number * 7 % len(contacts) :][:1]
                if number % 9 == 0 and row.get("WhoId", "")[:3] == "003"
                else []
            )
            whos = dict.fromkeys([row["WhoId"], *others] if row.get("WhoId") else [])
            stamps = {n: row[n] for n in _STAMPS if n in row}
            for who in whos:
                org.put(name, {link: row["Id"], "RelationId": who, "IsWhat": False, **parent, **stamps})
            if row.get("WhatId"):
                org.put(name, {link: row["Id"], "RelationId": row["WhatId"], "IsWhat": True, **stamps})
            if whos:
                row["WhoCount"] = len(whos)


def has_no_bin(name: str) -> bool:
    """Whether records of an object that are deleted by themselves go for good: only getDeleted tells of them."""
    return name in _ACTIVITIES
