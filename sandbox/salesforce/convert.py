"""Converting a lead, as a person does it: an account, a contact and a lead that is history are made in one transaction.

https://help.salesforce.com/s/articleView?id=sf.leads_convert.htm
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.kit.wire import BadControl
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Row

if TYPE_CHECKING:
    from sandbox.salesforce.write import Writer

CONVERTED = "Closed - Converted"
_SAME = ("Salutation", "FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "LeadSource", "Description")
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


def convert(writer: Writer, lead_id: str, contact_id: str | None = None) -> str:
    """Convert a lead into a contact of its own, or into one that there is; returns the contact's id. No opportunity is made."""
    lead = writer.org.get("Lead", lead_id)
    if lead is None or lead.get("IsDeleted") or lead.get("IsConverted"):
        raise BadControl("this lead can't be converted")
    with writer.transaction():
        if contact_id is None:
            account_id = writer.insert("Account", {"Name": lead["Company"], "OwnerId": _owner(writer, lead)})
            contact_id = writer.insert("Contact", {**_contact(writer, lead), "AccountId": account_id})
        contact = writer.org.get("Contact", contact_id) or {}
        writer.system_update("Lead", lead, {
            "IsConverted": True, "Status": CONVERTED, "ConvertedDate": writer.org.clock.stamp()[:10],
            "ConvertedContactId": contact["Id"], "ConvertedAccountId": contact.get("AccountId"),
        })  # fmt: skip
        writer.stamped(lead)
    return contact_id


def check(object_name: str, row: Row) -> None:
    """A converted lead is changed by nobody. https://help.salesforce.com/s/articleView?id=000384333&type=1"""
    if object_name == "Lead" and row.get("IsConverted"):
        raise ApiError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")


def _contact(writer: Writer, lead: Row) -> dict[str, Any]:
    values = {name: lead[name] for name in _SAME if name in lead}
    values |= {f"Mailing{part}": lead[part] for part in _ADDRESS if part in lead}
    return {**values, "OwnerId": _owner(writer, lead)}


def _owner(writer: Writer, lead: Row) -> str:
    """A queue owns no contact: who converts does."""
    found = writer.org.find(str(lead.get("OwnerId")))
    return str(lead["OwnerId"]) if found is not None and found[0].name == "User" else writer.user_id
