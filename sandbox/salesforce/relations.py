"""Lookups seen from the parent: the child relationships that describe lists and sub-selects name."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import Field, ObjectType

_NAMED = {
    ("Account", "Account", "ParentId"): "ChildAccounts",
    ("Account", "AccountContactRelation", "AccountId"): "AccountContactRelations",
    ("Task", "TaskRelation", "TaskId"): "TaskRelations",
    ("Event", "EventRelation", "EventId"): "EventRelations",
    ("Contact", "AccountContactRelation", "ContactId"): "AccountContactRelations",
    ("Opportunity", "OpportunityLineItem", "OpportunityId"): "OpportunityLineItems",
    ("Opportunity", "OpportunityHistory", "OpportunityId"): "OpportunityHistories",
    ("Opportunity", "OpportunityFieldHistory", "OpportunityId"): "Histories",
    ("Campaign", "CampaignMember", "CampaignId"): "CampaignMembers",
    ("Campaign", "Campaign", "ParentId"): "ChildCampaigns",
    ("Case", "CaseComment", "ParentId"): "CaseComments",
    ("Contact", "CampaignMember", "ContactId"): "CampaignMembers",
    ("Lead", "CampaignMember", "LeadId"): "CampaignMembers",
    ("Contact", "OpportunityContactRole", "ContactId"): "OpportunityContactRoles",
    ("Opportunity", "OpportunityContactRole", "OpportunityId"): "OpportunityContactRoles",
    ("Product2", "PricebookEntry", "Product2Id"): "PricebookEntries",
    ("Pricebook2", "PricebookEntry", "Pricebook2Id"): "PricebookEntries",
    ("ContentDocument", "ContentVersion", "ContentDocumentId"): "ContentVersions",
    ("ContentDocument", "ContentDocumentLink", "ContentDocumentId"): "ContentDocumentLinks",
}
_PLAIN = {("Contact", "AccountId"), ("Opportunity", "AccountId"), ("Case", "AccountId"), ("Case", "ContactId")}
_ANY = {
    "Task": {"WhoId", "WhatId"},
    "Event": {"WhoId", "WhatId"},
    "Note": {"ParentId"},
    "Attachment": {"ParentId"},
    "ContentDocumentLink": {"LinkedEntityId"},
}


def relation_name(parent: str, child: ObjectType, link: Field) -> str | None:
    """``Contacts`` for Contact.AccountId seen from Account; None where the vendor gives the relationship no name."""
    named = _NAMED.get((parent, child.name, link.name))
    if named:
        return named
    if (child.name, link.name) in _PLAIN or link.name in _ANY.get(child.name, ()):
        return "ContentDocumentLinks" if child.name == "ContentDocumentLink" else child.plural.replace(" ", "")
    if link.custom:
        return child.plural.replace(" ", "_") + "__r"
    return None


def children(org: Org, parent: ObjectType) -> Iterator[tuple[ObjectType, Field, str | None]]:
    for child in org.visible_objects():
        for link in child.fields.values():
            if parent.name in link.refers_to:
                yield child, link, relation_name(parent.name, child, link)


def child_relation(org: Org, parent: ObjectType, name: str) -> tuple[ObjectType, Field]:
    """The child object and its lookup that ``name`` stands for in a sub-select. Raises INVALID_TYPE."""
    for child, link, relation in children(org, parent):
        if relation is not None and relation.lower() == name.lower():
            return child, link
    raise ApiError(
        "INVALID_TYPE",
        f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a custom relationship, "
        "be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the "
        "appropriate names.",
    )
