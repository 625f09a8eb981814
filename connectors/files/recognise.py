"""Whose export a file is, from its columns and ids: Salesforce, HubSpot, or nobody's in particular.

Salesforce: https://help.salesforce.com/s/articleView?id=sf.admin_exportdata.htm and the key prefixes of
https://help.salesforce.com/s/articleView?id=000385203. HubSpot: https://knowledge.hubspot.com/import-and-export/export-records
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SALESFORCE, HUBSPOT, PLAIN = "salesforce", "hubspot", "plain"

KEY_PREFIXES = {
    "001": "Account",
    "002": "Note",
    "003": "Contact",
    "005": "User",
    "006": "Opportunity",
    "008": "OpportunityHistory",
    "00G": "Group",
    "00K": "OpportunityContactRole",
    "00P": "Attachment",
    "00Q": "Lead",
    "00T": "Task",
    "00U": "Event",
    "00a": "CaseComment",
    "00e": "Profile",
    "00k": "OpportunityLineItem",
    "00v": "CampaignMember",
    "012": "RecordType",
    "015": "Document",
    "01J": "OpportunityStage",
    "01s": "Pricebook2",
    "01t": "Product2",
    "01u": "PricebookEntry",
    "02i": "Asset",
    "02s": "EmailMessage",
    "068": "ContentVersion",
    "07k": "AccountContactRelation",
    "0RE": "EventRelation",
    "0RT": "TaskRelation",
    "069": "ContentDocument",
    "06A": "ContentDocumentLink",
    "500": "Case",
    "501": "Solution",
    "701": "Campaign",
    "800": "Contract",
    "801": "Order",
    "802": "OrderItem",
}
_SALESFORCE_NAMES = """
Id IsDeleted MasterRecordId Name FirstName LastName MiddleName Salutation Suffix Title Department Email Phone
MobilePhone HomePhone OtherPhone AssistantPhone AssistantName Fax Birthdate Description LeadSource AccountId ParentId
ReportsToId OwnerId CreatedDate CreatedById LastModifiedDate LastModifiedById SystemModstamp LastActivityDate
LastViewedDate LastReferencedDate MailingStreet MailingCity MailingState MailingPostalCode MailingCountry
MailingStateCode MailingCountryCode OtherStreet OtherCity OtherState OtherPostalCode OtherCountry BillingStreet
BillingCity BillingState BillingPostalCode BillingCountry BillingStateCode BillingCountryCode ShippingStreet
ShippingCity ShippingState ShippingPostalCode ShippingCountry Street City State PostalCode Country HasOptedOutOfEmail
HasOptedOutOfFax DoNotCall EmailBouncedReason EmailBouncedDate IsEmailBounced PhotoUrl Jigsaw JigsawContactId Type
Industry AnnualRevenue NumberOfEmployees Website Ownership TickerSymbol Rating Site AccountNumber AccountSource Sic
SicDesc Company Status IsConverted ConvertedDate ConvertedAccountId ConvertedContactId ConvertedOpportunityId
IsUnreadByOwner RecordTypeId StageName Amount Probability ExpectedRevenue TotalOpportunityQuantity CloseDate NextStep
IsClosed IsWon ForecastCategory ForecastCategoryName CampaignId HasOpportunityLineItem Pricebook2Id ContactId
OpportunityId Role IsPrimary Product2Id PricebookEntryId ProductCode Family IsActive UnitPrice ListPrice TotalPrice
Subtotal Discount Quantity ServiceDate SortOrder UseStandardPrice IsStandard CurrencyIsoCode WhoId WhatId Subject
ActivityDate ActivityDateTime DurationInMinutes StartDateTime EndDateTime Location IsAllDayEvent IsPrivate ShowAs
Priority TaskSubtype CallDurationInSeconds CallType CallDisposition CallObject ReminderDateTime IsReminderSet
IsRecurrence CaseNumber SuppliedName SuppliedEmail SuppliedPhone SuppliedCompany Reason Origin ClosedDate IsEscalated
Comments StartDate EndDate BudgetedCost ActualCost ExpectedResponse NumberSent NumberOfLeads NumberOfContacts
NumberOfResponses LeadId HasResponded FirstRespondedDate Username Alias CommunityNickname TimeZoneSidKey LocaleSidKey
LanguageLocaleKey EmailEncodingKey ProfileId UserRoleId ManagerId UserType CompanyName Division EmployeeNumber
DeveloperName SobjectType NamespacePrefix Body BodyLength ContentType ContentDocumentId LinkedEntityId ShareType
Visibility VersionNumber VersionData PathOnClient FileType FileExtension ContentSize IsLatest
"""
SALESFORCE_NAMES = {name.upper(): name for name in _SALESFORCE_NAMES.split()}
_SF_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Z]{3})?\Z", re.ASCII)
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_HS_ID = re.compile(r"Record ID(?: - (?P<object>\w+))?\Z", re.I)
_HS_FILE = re.compile(r"hubspot-(?:crm-)?exports?-(?:all-)?(?P<object>[a-z]+)", re.I)
_HS_ASSOCIATED = re.compile(r"(?:Primary )?Associated (?P<object>\w+?) IDs?(?: \(.*\))?\Z|Associated IDs? ", re.I)
_HS_OBJECTS = {
    "contact": "contacts",
    "company": "companies",
    "companie": "companies",
    "deal": "deals",
    "ticket": "tickets",
    "product": "products",
    "quote": "quotes",
    "call": "calls",
    "meeting": "meetings",
    "task": "tasks",
    "note": "notes",
    "email": "emails",
    "order": "orders",
    "invoice": "invoices",
    "lead": "leads",
}
_HS_MARKS = (
    ("contacts", {"first name", "last name", "email"}),
    ("companies", {"company domain name"}),
    ("companies", {"company name", "company owner"}),
    ("deals", {"deal name", "deal stage"}),
    ("tickets", {"ticket name"}),
    ("tickets", {"ticket status"}),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """``dialect`` and the vendor's own name of the object; ``id_column`` where the dialect has one."""

    dialect: str
    object: str
    id_column: str | None = None


def recognise(stem: str, columns: Sequence[str], sample: Sequence[Sequence[object]]) -> Recognised:
    """What the table is. ``sample``: some of its first rows; a header without rows is judged by its columns."""
    return _salesforce(stem, columns, sample) or _hubspot(stem, columns) or Recognised(PLAIN, stem)


def own_names(found: Recognised, columns: Sequence[str]) -> tuple[str, ...]:
    """The names that the exporting system uses: Data Loader may write headers in capitals, HubSpot qualifies its id."""
    if found.dialect == HUBSPOT and found.id_column and "Record ID" not in columns:
        return tuple("Record ID" if name == found.id_column else name for name in columns)
    if found.dialect != SALESFORCE or not all(name == name.upper() for name in columns if name.lower() != "id"):
        return tuple(columns)
    names = [SALESFORCE_NAMES.get(name.upper(), re.sub(r"__C\Z", "__c", name)) for name in columns]
    return tuple(names) if len(set(names)) == len(names) else tuple(columns)


def checked_id(text: str) -> bool:
    """Is this a Salesforce id: 15 characters, or 18 whose last three tell which of the first are capitals?"""
    if not _SF_ID.match(text):
        return False
    return len(text) == 15 or long_id(text[:15]) == text


def long_id(short: str) -> str:
    """The 18 characters of a 15-character Salesforce id."""
    groups = (short[i : i + 5] for i in (0, 5, 10))
    return short + "".join(_CHECK[sum(c.isascii() and c.isupper() and 1 << n for n, c in enumerate(g))] for g in groups)


def associated(column: str) -> str | None:
    """The HubSpot object whose ids a column lists: ``Associated Company IDs`` names ``companies``."""
    match = _HS_ASSOCIATED.match(column)
    return _plural(match["object"]) if match and match["object"] else None


def _salesforce(stem: str, columns: Sequence[str], sample: Sequence[Sequence[object]]) -> Recognised | None:
    index = next((n for n, name in enumerate(columns) if name.lower() == "id"), None)
    if index is None:
        return None
    names = {name.lower() for name in columns}
    ids = [str(row[index]) for row in sample if row[index]]
    if not ids:
        stamped = {"isdeleted", "systemmodstamp"} <= names
        return Recognised(SALESFORCE, base_name(stem), columns[index]) if stamped else None
    prefixes = {value[:3] for value in ids}
    if len(prefixes) != 1 or not all(map(checked_id, ids)):
        return None
    prefix = prefixes.pop()
    if len(ids[0]) == 15 and prefix not in KEY_PREFIXES and "systemmodstamp" not in names:
        return None
    return Recognised(SALESFORCE, KEY_PREFIXES.get(prefix) or base_name(stem), columns[index])


def base_name(stem: str) -> str:
    """A custom object's name from its file: the export calls the file ``Property__c.csv``."""
    match = re.match(r"\w+?__c(?![a-z])", stem)
    return match.group() if match else stem


def _hubspot(stem: str, columns: Sequence[str]) -> Recognised | None:
    found = next(((name, match) for name in columns if (match := _HS_ID.match(name))), None)
    if found is None:
        return None
    column, match = found
    names = {name.lower() for name in columns}
    by_file = _HS_FILE.match(stem)
    by_marks = next((name for name, marks in _HS_MARKS if marks <= names), None)
    told = match["object"] or (by_file["object"] if by_file else None)
    if told is None and by_marks is None and not names & {"create date", "last modified date"}:
        return None
    return Recognised(HUBSPOT, _plural(told) if told else by_marks or _plural(stem), column)


def _plural(word: str) -> str:
    singular = word.lower().rstrip("s")
    return _HS_OBJECTS.get(singular, word.lower())
