"""What the platform fills in by itself when a record is written: names, stages, totals, documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import shared
from sandbox.salesforce.clock import parse_stamp, stamp
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.write import Writer

Row = dict[str, Any]
RELATION = "AccountContactRelation"
Rule = Callable[["Writer", Row, Row], None]
"""A rule gets the row as it is now and as it was before (empty when new)."""


def inserted(writer: Writer, item: ObjectType, row: Row) -> None:
    _apply(writer, item, row, {})


def updated(writer: Writer, item: ObjectType, row: Row, before: Row) -> None:
    _apply(writer, item, row, before)


def _apply(writer: Writer, item: ObjectType, row: Row, before: Row) -> None:
    if "LastName" in item.fields:
        parts = (row.get("FirstName"), row.get("LastName"))
        row["Name"] = " ".join(part for part in parts if part)
    rule = _RULES.get(item.name)
    if rule is not None:
        rule(writer, row, before)


# ---------------------------------------------------------------- people


def _contact(writer: Writer, row: Row, before: Row) -> None:
    """Where contacts may have several accounts, their own one has a direct relation, and the former one an indirect one.

    https://help.salesforce.com/s/articleView?id=sales.shared_contacts_considerations.htm
    """
    account = row.get("AccountId")
    if RELATION not in writer.org.objects or account == before.get("AccountId"):
        return
    held = relations_of(writer, row["Id"])
    if account is None and any(not r.get("IsDirect") for r in held.values()):
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", "A private contact can't be related to accounts", fields=["AccountId"]
        )
    for former in held.values():
        if account is None:
            writer.bury(RELATION, former)
        elif former.get("IsDirect") or former["AccountId"] == account:
            writer.system_update(RELATION, former, {"IsDirect": former["AccountId"] == account})
            writer.stamped(former)
    if account is not None and account not in held:
        relation = {"ContactId": row["Id"], "AccountId": account, "IsDirect": True, "IsActive": True}
        writer.system_insert(RELATION, relation)


def relations_of(writer: Writer, contact: str) -> dict[str, Row]:
    """A contact's relations by their accounts."""
    return {r["AccountId"]: r for r in writer.org.live(RELATION) if r["ContactId"] == contact}


def _relation(writer: Writer, row: Row, before: Row) -> None:
    """One relation a pair; none of a private contact. See IsDirect in

    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_accountcontactrelation.htm
    """
    if before:
        return
    if "AccountId" not in writer.org.tables["Contact"][row["ContactId"]]:
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", "A private contact can't be related to accounts", fields=["ContactId"]
        )
    twins = [
        r for r in writer.org.live(RELATION) if (r["ContactId"], r["AccountId"]) == (row["ContactId"], row["AccountId"])
    ]
    if len(twins) > 1:
        raise ApiError("DUPLICATE_VALUE", "This contact already has a relationship with this account.")


def may_delete(item: ObjectType, row: Row) -> None:
    """Raises ApiError for a relation to a contact's own account: it goes when the contact gets another one."""
    if item.name == RELATION and row.get("IsDirect"):
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", "You can't delete the relationship between a contact and its primary account"
        )


# ---------------------------------------------------------------- sales


def _opportunity(writer: Writer, row: Row, before: Row) -> None:
    """A new stage brings its probability and forecast category, unless the probability was given; history is written."""
    stage = next(
        (s for s in writer.org.tables["OpportunityStage"].values() if s["MasterLabel"] == row["StageName"]), None
    )
    moved = row["StageName"] != before.get("StageName")
    if stage is not None and moved:
        if row.get("Probability") == before.get("Probability"):
            row["Probability"] = stage["DefaultProbability"]
        row["ForecastCategory"] = row["ForecastCategoryName"] = stage["ForecastCategory"]
        row["IsClosed"], row["IsWon"] = stage["IsClosed"], stage["IsWon"]
        row["LastStageChangeDate"] = row["SystemModstamp"]
    if before and row.get("HasOpportunityLineItem") and "Amount" in before:
        row["Amount"] = before["Amount"]  # the sum of the lines; whatever else is written is passed over without a word
    if "Amount" in row and "Probability" in row:
        row["ExpectedRevenue"] = row["Amount"] * row["Probability"] / 100
    _contact_of_sale(writer, row, before)
    if any(row.get(name) != before.get(name) for name in ("StageName", "Amount", "Probability", "CloseDate")):
        stage_history(writer, row)
    for name, kind in (("Amount", "Currency"), ("CloseDate", "DateOnly"), ("StageName", "DynamicEnum")):
        if before and row.get(name) != before.get(name):
            change = {"Field": name, "DataType": kind, "OldValue": before.get(name), "NewValue": row.get(name)}
            writer.system_insert("OpportunityFieldHistory", {"OpportunityId": row["Id"], **change})


def _contact_of_sale(writer: Writer, row: Row, before: Row) -> None:
    """A contact given with a new opportunity becomes its primary role: see ContactId in

    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_opportunity.htm
    """
    if not before and row.get("ContactId"):
        role = {"OpportunityId": row["Id"], "ContactId": row["ContactId"], "IsPrimary": True}
        writer.system_insert("OpportunityContactRole", role)


def _role(writer: Writer, row: Row, before: Row) -> None:
    """One role of an opportunity is the primary one, and names its contact."""
    sale = writer.org.tables["Opportunity"][row["OpportunityId"]]
    if row.get("IsPrimary"):
        for other in writer.org.live("OpportunityContactRole"):
            if other["OpportunityId"] == sale["Id"] and other["Id"] != row["Id"] and other.get("IsPrimary"):
                writer.system_update("OpportunityContactRole", other, {"IsPrimary": False})
        writer.system_update("Opportunity", sale, {"ContactId": row["ContactId"]})
    elif before.get("IsPrimary"):
        writer.system_update("Opportunity", sale, {"ContactId": None})


def buried(writer: Writer, item: ObjectType, row: Row) -> None:
    """After a record went into the recycle bin."""
    if shared.has_no_bin(item.name):
        shared.buried(writer, item, row)
    if item.name == "OpportunityContactRole" and row.get("IsPrimary"):
        sale = writer.org.tables["Opportunity"].get(row["OpportunityId"])
        if sale is not None and sale.get("ContactId") == row["ContactId"]:
            writer.system_update("Opportunity", sale, {"ContactId": None})


def stage_history(writer: Writer, row: Row) -> None:
    names = (
        "StageName",
        "Amount",
        "ExpectedRevenue",
        "CloseDate",
        "Probability",
        "ForecastCategory",
        "CurrencyIsoCode",
    )
    writer.system_insert("OpportunityHistory", {"OpportunityId": row["Id"]} | {name: row.get(name) for name in names})


def _line_item(writer: Writer, row: Row, _before: Row) -> None:
    """Product, code and prices come from the price book entry; the sale's amount is the sum of its lines."""
    org = writer.org
    entry = org.tables["PricebookEntry"].get(row.get("PricebookEntryId", ""))
    if entry is None:
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", "field integrity exception: PricebookEntryId (price book entry not found)"
        )
    sale = org.tables["Opportunity"][row["OpportunityId"]]
    product = org.tables["Product2"][entry["Product2Id"]]
    row["Product2Id"], row["ProductCode"] = product["Id"], product.get("ProductCode")
    row["Name"] = f"{sale['Name']} {product['Name']}"[:376]
    row["ListPrice"] = entry["UnitPrice"]
    row.setdefault(
        "UnitPrice", row.get("TotalPrice", 0.0) / row["Quantity"] if "TotalPrice" in row else entry["UnitPrice"]
    )
    row["TotalPrice"] = round(row["Quantity"] * row["UnitPrice"] * (1 - row.get("Discount", 0.0) / 100), 2)
    lines = [line for line in org.live("OpportunityLineItem") if line["OpportunityId"] == sale["Id"]]
    total = round(sum(line["TotalPrice"] for line in lines), 2)
    writer.system_update("Opportunity", sale, {"Amount": total, "HasOpportunityLineItem": True})


def _price(writer: Writer, row: Row, before: Row) -> None:
    """One entry a product, price book and currency; the standard price book's comes before any other's.

    https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_pricebookentry.htm
    """
    org = writer.org
    product = org.tables["Product2"][row["Product2Id"]]
    row["Name"], row["ProductCode"] = product["Name"], product.get("ProductCode")
    if before:
        return
    row.setdefault("CurrencyIsoCode", org.organization()["DefaultCurrencyIsoCode"])
    others = [
        e
        for e in org.live("PricebookEntry")
        if e["Id"] != row["Id"]
        and (e["Product2Id"], e["CurrencyIsoCode"]) == (row["Product2Id"], row["CurrencyIsoCode"])
    ]
    if any(e["Pricebook2Id"] == row["Pricebook2Id"] for e in others):
        raise ApiError("DUPLICATE_VALUE", "This price definition already exists in this price book")
    books = org.tables["Pricebook2"]
    if not books[row["Pricebook2Id"]].get("IsStandard") and not any(
        books[e["Pricebook2Id"]].get("IsStandard") and e.get("IsActive") for e in others
    ):
        raise ApiError("STANDARD_PRICE_NOT_DEFINED", "Before creating a custom price, create a standard price.")


def _member(_writer: Writer, row: Row, _before: Row) -> None:
    if "LeadId" not in row and "ContactId" not in row:
        raise ApiError(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LeadId or ContactId]",
            fields=["LeadId", "ContactId"],
        )
    row["HasResponded"] = row.get("Status") == "Responded"


# ---------------------------------------------------------------- service and activities


def _case(writer: Writer, row: Row, before: Row) -> None:
    if not before:
        row["CaseNumber"] = f"{1000 + writer.org.next_number('Case'):08d}"
    row["IsClosed"] = row.get("Status") == "Closed"
    if row["IsClosed"] and "ClosedDate" not in row:
        row["ClosedDate"] = row["SystemModstamp"]


def _task(writer: Writer, row: Row, before: Row) -> None:
    row["IsClosed"] = row.get("Status") == "Completed"
    row["IsHighPriority"] = row.get("Priority") == "High"
    shared.activity(writer, "Task", row, before)
    activity_account(writer, row)


def _event(writer: Writer, row: Row, before: Row) -> None:
    """Start and end from whichever of the two forms was given. Raises ApiError when neither was."""
    start = row.get("StartDateTime") or row.get("ActivityDateTime")
    if start is None:
        raise ApiError(
            "FIELD_INTEGRITY_EXCEPTION", "Start Date Time: field integrity exception: unknown (due date required)"
        )
    row["StartDateTime"] = row["ActivityDateTime"] = start
    if "EndDateTime" in row:
        minutes = (parse_stamp(row["EndDateTime"]) - parse_stamp(start)).total_seconds() / 60
        row["DurationInMinutes"] = int(minutes)
    row["EndDateTime"] = stamp(parse_stamp(start) + timedelta(minutes=row.get("DurationInMinutes", 60)))
    row.setdefault("DurationInMinutes", 60)
    row["ActivityDate"], row["EndDate"] = start[:10], row["EndDateTime"][:10]
    shared.activity(writer, "Event", row, before)
    activity_account(writer, row)


def activity_account(writer: Writer, row: Row) -> None:
    found = writer.org.find(row.get("WhatId")) or writer.org.find(row.get("WhoId"))
    if found is not None:
        account = found[1]["Id"] if found[0].name == "Account" else found[1].get("AccountId")
        if account:
            row["AccountId"] = account


# ---------------------------------------------------------------- files


def _attachment(writer: Writer, row: Row, _before: Row) -> None:
    row["BodyLength"] = len(writer.org.blobs.get(row["Id"], b""))


def _version(writer: Writer, row: Row, before: Row) -> None:
    """A version without a document makes one; a further one becomes the latest of its document."""
    content = writer.org.blobs.get(row["Id"], b"")
    path = row.get("PathOnClient") or row["Title"]
    extension = path.rsplit(".", 1)[-1].lower() if "." in path else ""
    row["ContentSize"], row["FileExtension"] = len(content), extension
    row["FileType"] = FILE_TYPES.get(extension, extension.upper() or "UNKNOWN")
    row["Checksum"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    row["PublishStatus"], row["IsLatest"] = "P", True
    row.setdefault("ContentLocation", "S")
    row["ContentModifiedDate"], row["ContentModifiedById"] = row["SystemModstamp"], row["LastModifiedById"]
    if not before:
        _publish(writer, row)


FILE_TYPES = {"txt": "TEXT", "pdf": "PDF", "png": "PNG", "jpg": "JPG", "csv": "CSV", "html": "HTML", "snote": "SNOTE"}


def _publish(writer: Writer, row: Row) -> None:
    org = writer.org
    shared = {
        name: row.get(name)
        for name in ("Title", "FileType", "FileExtension", "ContentSize", "ContentModifiedDate", "OwnerId")
    }
    if "ContentDocumentId" in row:
        document = org.tables["ContentDocument"][row["ContentDocumentId"]]
        earlier = [
            v for v in org.live("ContentVersion") if v.get("ContentDocumentId") == document["Id"] and v is not row
        ]
        for version in earlier:
            writer.system_update("ContentVersion", version, {"IsLatest": None})
        row["VersionNumber"] = str(len(earlier) + 1)
        writer.system_update("ContentDocument", document, {**shared, "LatestPublishedVersionId": row["Id"]})
        return
    document = writer.system_insert(
        "ContentDocument", {**shared, "PublishStatus": "P", "LatestPublishedVersionId": row["Id"]}
    )
    row["ContentDocumentId"], row["VersionNumber"] = document["Id"], "1"
    link(writer, document["Id"], row["OwnerId"], "I")
    if "FirstPublishLocationId" in row and row["FirstPublishLocationId"] != row["OwnerId"]:
        link(writer, document["Id"], row["FirstPublishLocationId"], "V")


def link(writer: Writer, document: str, entity: str, share: str) -> None:
    writer.system_insert(
        "ContentDocumentLink",
        {"ContentDocumentId": document, "LinkedEntityId": entity, "ShareType": share, "Visibility": "AllUsers"},
    )


def _document_link(writer: Writer, row: Row, before: Row) -> None:
    twins = [
        other
        for other in writer.org.live("ContentDocumentLink")
        if other is not row
        and other["ContentDocumentId"] == row["ContentDocumentId"]
        and other["LinkedEntityId"] == row["LinkedEntityId"]
    ]
    if twins and not before:
        raise ApiError(
            "DUPLICATE_VALUE", "duplicate value found: ContentDocumentId and LinkedEntityId are linked already"
        )
    row.setdefault("ShareType", "V")
    row.setdefault("Visibility", "AllUsers")


def _note(writer: Writer, row: Row, before: Row) -> None:
    """An enhanced note is a document of type SNOTE that shares its id, with a version of its own."""
    content = writer.org.blobs.get(row["Id"], b"")
    row |= {"ContentSize": len(content), "FileType": "SNOTE", "FileExtension": "snote"}
    row["TextPreview"] = content.decode(errors="replace")[:255]
    if before:
        return
    version_id = writer.org.ids.next("068")
    shared = {
        "Title": row["Title"],
        "FileType": "SNOTE",
        "FileExtension": "snote",
        "ContentSize": len(content),
        "OwnerId": row["OwnerId"],
    }
    writer.system_insert(
        "ContentDocument", {**shared, "Id": row["Id"], "PublishStatus": "P", "LatestPublishedVersionId": version_id}
    )
    version = {
        **shared,
        "Id": version_id,
        "ContentDocumentId": row["Id"],
        "IsLatest": True,
        "VersionNumber": "1",
        "PublishStatus": "P",
    }
    writer.system_insert("ContentVersion", version | {"PathOnClient": f"{row['Title']}.snote"})
    writer.org.blobs[version_id] = content
    row["LatestPublishedVersionId"] = version_id
    link(writer, row["Id"], row["OwnerId"], "I")


_RULES: dict[str, Rule] = {
    "Contact": _contact,
    RELATION: _relation,
    "Opportunity": _opportunity,
    "OpportunityLineItem": _line_item,
    "OpportunityContactRole": _role,
    "PricebookEntry": _price,
    "CampaignMember": _member,
    "Case": _case,
    "Task": _task,
    "Event": _event,
    "TaskRelation": lambda writer, row, before: shared.relation(writer, "TaskRelation", row, before),
    "EventRelation": lambda writer, row, before: shared.relation(writer, "EventRelation", row, before),
    "Attachment": _attachment,
    "ContentVersion": _version,
    "ContentDocumentLink": _document_link,
    "ContentNote": _note,
}
