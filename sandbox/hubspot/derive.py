"""What the vendor computes by itself: from a record's own values, and from its associations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.standard import LIFECYCLE

if TYPE_CHECKING:
    from sandbox.hubspot.portal import Portal
    from sandbox.hubspot.records import Record, Values
    from sandbox.hubspot.write import Writer

LIFECYCLE_ORDER = [part.split(":")[0] for part in LIFECYCLE.split(";")]
_COUNTED = {"companies": ("contacts", "num_associated_contacts"), "deals": ("contacts", "num_associated_contacts")}


def of(portal: Portal, item: ObjectType, values: Values) -> Values:
    """Calculated values for these values of a record; empty where there is nothing to tell."""
    if item.name == "contacts":
        full = " ".join(v for v in (values.get("firstname"), values.get("lastname")) if v)
        email = values.get("email", "")
        return {"hs_email_domain": email.rpartition("@")[2], "hs_full_name_or_email": full or email}
    if item.name == "deals":
        return _deal(portal, values)
    if item.name == "line_items" and values.get("price") and values.get("quantity"):
        gross = float(values["price"]) * float(values["quantity"])
        gross *= 1 - float(values.get("hs_discount_percentage") or 0) / 100
        return {"amount": f"{gross - float(values.get('discount') or 0):.2f}"}
    if item.name == "tasks":
        return {"hs_task_is_completed": str(int(values.get("hs_task_status") == "COMPLETED"))}
    return {}


def _deal(portal: Portal, values: Values) -> Values:
    pipeline = portal.pipelines["deals"].get(values.get("pipeline", "default"))
    stage = pipeline.stages.get(values.get("dealstage", "")) if pipeline else None
    if stage is None:
        return {}
    probability = stage.metadata.get("probability", "0.0")
    amount = float(values.get("amount") or 0)
    return {
        "hs_deal_stage_probability": probability,
        "hs_is_closed": stage.metadata.get("isClosed", "false"),
        "hs_is_closed_won": str(probability == "1.0").lower(),
        "hs_forecast_amount": f"{amount:g}" if values.get("amount") else "",
    }


def associated(writer: Writer, source: str, source_id: str, target: str, target_id: str) -> None:
    """After an association came or went: counts of contacts, and a contact's primary company."""
    for name, record_id in ((source, source_id), (target, target_id)):
        if name in _COUNTED:
            other, counted = _COUNTED[name]
            held = writer.portal.associations.targets(name, record_id, other)
            writer.derived(name, record_id, {counted: str(len(held))})
        if name == "contacts" and "companies" in {source, target}:
            writer.derived(name, record_id, {"associatedcompanyid": primary_company(writer.portal, record_id)})
        if name == "contacts" and "deals" in {source, target}:
            held = writer.portal.associations.targets(name, record_id, "deals")
            writer.derived(name, record_id, {"num_associated_deals": str(len(held))})


def primary_company(portal: Portal, contact: str) -> str:
    kind = portal.associations.primary("contacts", "companies")
    held = portal.associations.targets("contacts", contact, "companies")
    return next((c for c, specs in held.items() if kind and (kind.category, kind.id) in specs), "")


def company_named(writer: Writer, contact: Record, before: str) -> None:
    """Writing ``associatedcompanyid`` makes that company the primary one."""
    known, company = writer.portal.associations, contact.values.get("associatedcompanyid", "")
    primary = known.primary("contacts", "companies")
    if company and writer.portal.find_live("companies", company) and primary:
        known.link("contacts", contact.id, "companies", company, [primary])
        associated(writer, "contacts", contact.id, "companies", company)
    elif before and primary and not company:
        known.unlink("contacts", contact.id, "companies", before, [(primary.category, primary.id)])
