"""What a portal has before its first customer (users as owners), and what its admins added (properties, a pipeline, an object)."""

from __future__ import annotations

from sandbox.hubspot.owners import Owner
from sandbox.hubspot.pipelines import Pipeline, deal_stage
from sandbox.hubspot.portal import Portal
from sandbox.hubspot.routes.schemas import define
from sandbox.hubspot.schema import Group
from sandbox.hubspot.standard import parse_property
from sandbox.hubspot.times import to_ms
from sandbox.kit.clock import ANCHOR

_PEOPLE = (
    ("Ada", "Admin"), ("Priya", "Raman"), ("Jörg", "Müller"), ("Sofía", "Núñez"), ("Kenji", "山本"), ("Tom", "O'Brien"),
)  # fmt: skip
MONTH_MS = 30 * 86_400_000
_CUSTOM = {
    "contacts": (
        "loyalty_points number Loyalty points",
        "favourite_colours multi Favourite colours=red:Red;green:Green;blue:Blue",
        "birthday date Birthday",
        "newsletter bool Newsletter",
    ),
    "companies": ("erp_number text ERP number|unique",),
    "deals": ("renewal_date date Renewal date",),
}
_STAGES = (("Due", "0.6"), ("In talks", "0.8"), ("Renewed", "1.0"), ("Lapsed", "0.0"))
_MACHINE = {
    "name": "machines",
    "labels": {"singular": "Machine", "plural": "Machines"},
    "primaryDisplayProperty": "serial_number",
    "requiredProperties": ["serial_number"],
    "searchableProperties": ["serial_number", "model"],
    "associatedObjects": ["CONTACT", "COMPANY"],
    "properties": [
        {"name": "serial_number", "label": "Serial number", "type": "string", "fieldType": "text", "hasUniqueValue": True},
        {"name": "model", "label": "Model", "type": "string", "fieldType": "text"},
        {"name": "installed_on", "label": "Installed on", "type": "date", "fieldType": "date"},
        {"name": "operating_hours", "label": "Operating hours", "type": "number", "fieldType": "number"},
        {
            "name": "status", "label": "Status", "type": "enumeration", "fieldType": "select",
            "options": [{"value": v, "label": v.capitalize()} for v in ("running", "idle", "scrapped")],
        },
    ],
}  # fmt: skip


def owners(portal: Portal) -> list[str]:
    """Six; the last has left."""
    made = []
    for number, (first, last) in enumerate(_PEOPLE):
        owner_id = portal.counters.next("owners", 41_000_001)
        created = to_ms(ANCHOR) - (60 - number) * MONTH_MS
        owner = Owner(owner_id, f"owner{number}@syncline.example", first, last, 9_000_101 + number, created)
        owner.archived = number == len(_PEOPLE) - 1
        portal.owners[owner_id] = owner
        made.append(owner_id)
    return made


def custom_schema(portal: Portal) -> None:
    """Properties, a second pipeline whose ids are numbers, labels, and an object of the portal's own."""
    at = to_ms(ANCHOR) - 50 * MONTH_MS
    for kind, lines in _CUSTOM.items():
        item = portal.objects[kind]
        item.groups["own"] = Group("own", "Our own", len(item.groups))
        for line in lines:
            made = parse_property(line, "own")
            made.created = at
            item.properties[made.name] = made
    renewals = Pipeline(portal.counters.next("pipelines", 700_001), "Renewals", 1, at=at)
    for order, (label, probability) in enumerate(_STAGES):
        stage_id = portal.counters.next("stages", 900_001)
        renewals.stages[stage_id] = deal_stage(stage_id, label, order, probability)
    portal.pipelines["deals"][renewals.id] = renewals
    portal.associations.add_label("contacts", "companies", "Decision maker", "Decides here", "decision_maker")
    define(portal, _MACHINE)
