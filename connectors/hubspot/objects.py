"""The objects that a CRM migration from HubSpot is about, and their peculiarities, as data.

Three families: *records* (``/crm/v3/objects``, custom objects too), *lists of the set-up* (owners, pipelines, stages, lists),
and *association objects* such as ``association:contacts:companies``, whose rows are pairs of records with a label.

https://developers.hubspot.com/docs/guides/api/crm/understanding-the-crm
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.kit.contract import Ends, ObjectInfo, View

PAGE_SIZE = 100
SEARCH_PAGE_SIZE = 200
"""https://developers.hubspot.com/docs/api/crm/search"""
BATCH_SIZE = 100
ASSOCIATION_READ_SIZE = 1_000
"""https://developers.hubspot.com/changelog/bug-fix-batch-read-limit-for-hubspot-associations-api"""
ASSOCIATION_WRITE_SIZE = 2_000
"""https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4"""
ID_FIELD = "hs_object_id"
ASSOCIATED = "associations."
"""Begins the names of fields that hold the ids of associated records, joined by `SEPARATOR`, the primary one first."""
SEPARATOR = ";"
ASSOCIATION = "association:"
OWN = "USER_DEFINED"
DEFINED = "HUBSPOT_DEFINED"
"""The category of association types that HubSpot itself defines; an account numbers its own ones from 1 again."""


@dataclass(frozen=True, slots=True)
class CrmObject:
    """One object of records. ``targets``: objects whose associated ids every record brings along, a call each per page."""

    name: str
    entity: str | None
    label_field: str | None = None
    targets: tuple[str, ...] = ()
    modified: str = "hs_lastmodifieddate"
    created: str = "hs_createdate"
    writable: bool = True


_WHO = ("contacts", "companies", "deals", "tickets")

CRM_OBJECTS: Mapping[str, CrmObject] = {
    o.name: o
    for o in (
        CrmObject("companies", "account", "name", created="createdate"),
        CrmObject("contacts", "contact", "lastname", ("companies",), "lastmodifieddate", "createdate"),
        CrmObject("deals", "opportunity", "dealname", ("companies", "contacts"), created="createdate"),
        CrmObject("tickets", "ticket", "subject", ("companies", "contacts"), created="createdate"),
        CrmObject("products", "product", "name", created="createdate"),
        CrmObject("line_items", "line_item", "name", ("deals",), created="createdate"),
        CrmObject("quotes", "custom_record", "hs_title", ("deals", "contacts", "companies")),
        CrmObject("notes", "activity", None, _WHO),
        CrmObject("calls", "activity", "hs_call_title", _WHO),
        CrmObject("meetings", "activity", "hs_meeting_title", _WHO),
        CrmObject("tasks", "activity", "hs_task_subject", _WHO),
        CrmObject("emails", "communication", "hs_email_subject", ("contacts", "companies", "deals")),
    )
}

VIEWS: Mapping[str, View] = {
    "contact_leads": View(
        "contacts",
        "lifecyclestage",
        ("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead"),
        enters="lead",
        leaves="opportunity",
    )
}
"""Contacts in a lead stage: by HubSpot's own definitions the stages before somebody has to do with a deal.
https://knowledge.hubspot.com/records/use-lifecycle-stages

Not HubSpot's object of leads (0-136): that is a piece of work of a sales person, which hangs on a contact and has neither name,
address nor company of its own. https://developers.hubspot.com/docs/api-reference/crm-leads-v3/guide"""
VIEW_ENTITIES: Mapping[str, str] = {"contact_leads": "lead"}
VIEW_LABELS: Mapping[str, str] = {"contact_leads": "Contacts in a lead stage"}

PIPELINES: Mapping[str, str] = {"deal_pipelines": "deals", "ticket_pipelines": "tickets"}
STAGES: Mapping[str, str] = {"deal_stages": "deals", "ticket_stages": "tickets"}

ASSOCIATIONS: tuple[tuple[str, str], ...] = (
    ("contacts", "companies"),
    ("deals", "companies"),
    ("deals", "contacts"),
    ("tickets", "companies"),
    ("tickets", "contacts"),
    ("tickets", "deals"),
    ("companies", "companies"),
    ("contacts", "contacts"),
)
"""The pairs that people label. What activities, quotes and line items belong to comes with their own records."""

PRIMARY_TYPE_IDS: Mapping[tuple[str, str], int] = {
    ("contacts", "companies"): 1,
    ("deals", "companies"): 5,
    ("tickets", "companies"): 26,
}
"""Type ids of the association to the primary company.
https://developers.hubspot.com/docs/guides/api/crm/associations/associations-v4#association-type-id-values"""

SEVERAL: Mapping[str, tuple[Ends, ...]] = {
    "deals": (Ends(f"{ASSOCIATED}contacts", "contacts", SEPARATOR, labels=True),),
    "contacts": (Ends(f"{ASSOCIATED}companies", "companies", SEPARATOR, main=True),),
    **dict.fromkeys(
        ("notes", "calls", "meetings", "tasks"),
        tuple(Ends(f"{ASSOCIATED}{target}", target, SEPARATOR, rarely=target != "contacts") for target in _WHO),
    ),
}
"""Associations that are exchanged as lists. No modification date has to move when one comes or goes, so no listing tells.
To what an activity belongs besides its contacts, is asked for by full comparisons alone: a call for each kind of it."""

KEEPING: frozenset[tuple[str, str]] = frozenset({("contacts", "companies")})
"""Pairs of objects of which a record keeps the former primary one when it gets another: as HubSpot itself has it, which takes the
label from it alone. Of other pairs the hub knows one company, so that a former one would never go."""

OWNERS, LISTS, MEMBERSHIPS, FILES = "owners", "lists", "list_memberships", "files"
FILE_OBJECTS = (FILES,)


def association_name(source: str, target: str) -> str:
    """The object of the associations from ``source`` to ``target``."""
    return f"{ASSOCIATION}{source}:{target}"


def association_pair(name: str) -> tuple[str, str] | None:
    """The two ends of an association object; None for any other name."""
    if not name.startswith(ASSOCIATION):
        return None
    source, found, target = name.removeprefix(ASSOCIATION).partition(":")
    return (source, target) if found and source and target else None


SETUP_ENTITIES: Mapping[str, str | None] = {
    OWNERS: "user",
    "deal_pipelines": "pipeline",
    "deal_stages": "stage",
    "ticket_pipelines": "pipeline",
    "ticket_stages": "stage",
}
_AFTER: Mapping[str, str | None] = {LISTS: None, MEMBERSHIPS: None, FILES: "attachment"}

STANDARD_OBJECTS: tuple[str, ...] = (
    *SETUP_ENTITIES,
    *CRM_OBJECTS,
    *(association_name(*pair) for pair in ASSOCIATIONS),
    *_AFTER,
)
"""Described and migrated unless told otherwise, parents first."""


def _info(name: str) -> ObjectInfo:
    if name in VIEWS:
        return ObjectInfo(name, VIEW_ENTITIES[name], writable=True, page_size=PAGE_SIZE, batch_size=BATCH_SIZE)
    crm = CRM_OBJECTS.get(name)
    if crm is not None:
        return ObjectInfo(name, crm.entity, writable=crm.writable, page_size=PAGE_SIZE, batch_size=BATCH_SIZE)
    pair = association_pair(name)
    size = ASSOCIATION_WRITE_SIZE if pair else BATCH_SIZE
    return ObjectInfo(name, {**SETUP_ENTITIES, **_AFTER}.get(name), bool(pair), PAGE_SIZE, size)


OBJECT_INFOS: tuple[ObjectInfo, ...] = tuple(_info(name) for name in (*STANDARD_OBJECTS, *VIEWS))


def records_of(name: str) -> str:
    """The object whose records an object holds: another one for a view, else itself."""
    return VIEWS[name].of if name in VIEWS else name
