"""The standard objects that a CRM migration is about, and their peculiarities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.kit.contract import ObjectInfo

PAGE_SIZE = 2_000
COLLECTION_SIZE = 200
IDS_PER_QUERY = 400
COMPOSITE_SIZE = 25
COMPOSITE_QUERIES = 5
"""Queries and collections among a composite call's 25 parts:
https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_composite.htm"""


@dataclass(frozen=True, slots=True)
class Quirk:
    """What an object does differently.

    ``listed_by``: it cannot be listed as such, only by the ids of another object (field here, object, field there).
    ``content``: the field that holds bytes; with ``inline`` they are text, and a listing brings them at one call a
    record. ``bulk``: whether Bulk API 2.0 serves it. ``where``: only these records matter. ``archived``: Salesforce hides
    old records from queries, and only queryAll finds them. ``of``: these are records of that object, and no object of
    their own at Salesforce. ``new``: what each says that is made here.
    """

    listed_by: tuple[str, str, str] | None = None
    content: str | None = None
    inline: bool = False
    bulk: bool = True
    where: str = ""
    archived: bool = False
    of: str = ""
    new: Mapping[str, str] = field(default_factory=dict)


_EMAIL = "TaskSubtype IN ('Email','ListEmail')"

QUIRKS: Mapping[str, Quirk] = {
    "ContentDocumentLink": Quirk(listed_by=("ContentDocumentId", "ContentVersion", "ContentDocumentId"), bulk=False),
    "ContentVersion": Quirk(content="VersionData"),
    "Attachment": Quirk(content="Body"),
    "ContentNote": Quirk(content="Content", inline=True, bulk=False),
    # Activities that ended more than a year ago are archived:
    # https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_task.htm
    # E-mails are logged as tasks of a subtype that is chosen when they are made, and stays. They are no work to be done.
    "Task": Quirk(where=f"IsDeleted = false AND (NOT {_EMAIL})", archived=True),
    "EmailTask": Quirk(
        where=f"IsDeleted = false AND {_EMAIL}",
        archived=True,
        of="Task",
        new={"TaskSubtype": "Email", "Status": "Completed"},
    ),
    "Event": Quirk(where="IsDeleted = false", archived=True),
    "TaskRelation": Quirk(where="IsDeleted = false", archived=True),
    "EventRelation": Quirk(where="IsDeleted = false", archived=True),
    "Group": Quirk(where="Type = 'Queue'", bulk=False),
    "OpportunityStage": Quirk(bulk=False),
    "CampaignMemberStatus": Quirk(bulk=False),
    "RecordType": Quirk(bulk=False),
}
"""https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_contentdocumentlink.htm"""

_NO_QUIRK = Quirk()

_ENTITIES: Mapping[str, str | None] = {
    "User": "user",
    "Group": None,
    "RecordType": None,
    "OpportunityStage": "stage",
    "Account": "account",
    "Contact": "contact",
    "AccountContactRelation": None,
    "Lead": "lead",
    "Product2": "product",
    "Pricebook2": None,
    "PricebookEntry": "price",
    "Campaign": "campaign",
    "CampaignMemberStatus": None,
    "Opportunity": "opportunity",
    "OpportunityHistory": "stage_change",
    "OpportunityContactRole": None,
    "OpportunityLineItem": "line_item",
    "Case": "ticket",
    "CaseComment": "activity",
    "CampaignMember": None,
    "Task": "activity",
    "EmailTask": "communication",
    "Event": "activity",
    "TaskRelation": None,
    "EventRelation": None,
    "Note": "activity",
    "ContentNote": "activity",
    "ContentVersion": "attachment",
    "ContentDocument": None,
    "ContentDocumentLink": None,
    "Attachment": "attachment",
}

_READ_ONLY = frozenset({"OpportunityStage", "OpportunityHistory", "RecordType"})

STANDARD_OBJECTS: tuple[str, ...] = tuple(_ENTITIES)
"""Described and migrated unless told otherwise, parents first."""

OBJECT_INFOS: tuple[ObjectInfo, ...] = tuple(
    ObjectInfo(
        name,
        entity=entity,
        writable=name not in _READ_ONLY,
        page_size=PAGE_SIZE,
        batch_size=COLLECTION_SIZE,
        ids_size=IDS_PER_QUERY,
    )
    for name, entity in _ENTITIES.items()
)

FILE_OBJECTS: tuple[str, ...] = tuple(name for name, quirk in QUIRKS.items() if quirk.content)


def quirk(object_name: str) -> Quirk:
    """The peculiarities of an object; none for most."""
    return QUIRKS.get(object_name, _NO_QUIRK)


def vendors_own(object_name: str) -> str:
    """The object at Salesforce whose records these are."""
    return quirk(object_name).of or object_name
