"""Companies and contacts: duplicates, other scripts, addresses that are missing, records merged and archived."""

from __future__ import annotations

from typing import Any

from sandbox.hubspot.data.seeder import END, Seeder
from sandbox.hubspot.derive import LIFECYCLE_ORDER
from sandbox.hubspot.records import Record
from sandbox.hubspot.standard import INDUSTRIES
from sandbox.kit import words

_INDUSTRIES = INDUSTRIES.split(";")
_COLOURS = ("red", "green;blue", "blue", "red;green;blue")


def companies(seed: Seeder, count: int) -> list[Record]:
    """One in fifteen has the domain of another: HubSpot allows it."""
    made: list[Record] = []
    for number in range(count):
        values = _company(seed, number)
        if made and seed.one_in(15):
            values["domain"] = seed.pick(made).values.get("domain", "")
        made.append(seed.put("companies", values))
    for number in range(4, count, 9):
        seed.link("companies", made[number - 1], "companies", made[number], 13)
    return made


def _company(seed: Seeder, number: int) -> dict[str, Any]:
    name = f"{seed.pick(words.STEMS)} {seed.pick(words.TRADES)} {seed.pick(words.FORMS)}"
    domain = f"{''.join(c for c in name.split()[0].lower() if c.isascii() and c.isalnum()) or 'firm'}{number}.example"
    values: dict[str, Any] = {
        "name": f" {name.upper()} " if seed.one_in(60) else name,
        "domain": seed.pick((domain, domain, f"www.{domain}")) if not seed.one_in(10) else "",
        "phone": seed.phone(),
        "industry": seed.pick(_INDUSTRIES),
        "lifecyclestage": seed.pick(LIFECYCLE_ORDER[1:6]),
        "hubspot_owner_id": seed.owner(),
    }
    if seed.one_in(2):
        values |= seed.address() | {
            "website": f"https://{domain}/",
            "numberofemployees": int(seed.rng.random() ** 3 * 20_000),
        }
    if seed.one_in(3):
        values |= {
            "erp_number": f"ERP-{number:06d}",
            "annualrevenue": seed.amount(),
            "type": seed.pick(("PROSPECT", "PARTNER")),
        }
    return values | {"description": seed.maybe(4, seed.pick(words.TEXTS))}


def contacts(seed: Seeder, count: int, firms: list[Record]) -> list[Record]:
    """``count`` live contacts; one in a hundred more is archived, and a few were merged into others."""
    made: list[Record] = []
    for number in range(count):
        values = _contact(seed, number)
        if made and seed.one_in(25):
            _make_duplicate(seed, values, made[-1 - int(seed.rng.random() * min(50, len(made)))])
        record = seed.put("contacts", values)
        made.append(record)
        _employ(seed, record, firms, number)
    for number in range(count // 100):
        gone = seed.put("contacts", _contact(seed, 2_000_000 + number))
        gone.archived_at, gone.indexed = END - number * 1000, None
        _merged(seed, made[number * 37 % count], 3_000_000 + number)
    return made


def _contact(seed: Seeder, number: int) -> dict[str, Any]:
    first, last = seed.pick(words.FOREIGN) if seed.one_in(40) else (seed.pick(words.FIRST), seed.pick(words.LAST))
    values: dict[str, Any] = {
        "firstname": "" if seed.one_in(100) else first,
        "lastname": last,
        "email": _address(seed, first, last, number),
        "phone": seed.phone(),
        "jobtitle": seed.pick(words.TITLES),
        "lifecyclestage": seed.pick(LIFECYCLE_ORDER[:6]),
        "hubspot_owner_id": seed.owner(),
    }
    if seed.one_in(2):
        values |= seed.address() | {
            "mobilephone": seed.phone(),
            "hs_lead_status": seed.pick(("NEW", "OPEN", "CONNECTED")),
        }
    if seed.one_in(3):
        values |= {"loyalty_points": int(seed.rng.random() * 5000), "favourite_colours": seed.pick(_COLOURS)}
        values |= {"birthday": seed.date(back=25_000, ahead=-7000), "newsletter": seed.pick(("true", "false"))}
    return values | {"hs_email_optout": seed.maybe(12, "true"), "company": seed.maybe(3, seed.pick(words.STEMS))}


def _address(seed: Seeder, first: str, last: str, number: int) -> str:
    if seed.one_in(12):
        return ""
    local = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    return f"{local.strip('.') or 'person'}.{number}@{seed.pick(words.DOMAINS)}".lower()


def _make_duplicate(seed: Seeder, values: dict[str, Any], twin: Record) -> None:
    """The same person again: two contacts can't share an address, so this one has another, or none."""
    change = seed.pick((str.upper, str.lower, str.title, lambda text: f" {text}  "))
    for name in ("firstname", "lastname"):
        values[name] = change(twin.values.get(name, ""))
    values["phone"] = twin.values.get("phone", "")
    if "email" in twin.values and not seed.one_in(3):
        local, _, domain = twin.values["email"].partition("@")
        values["email"] = f"{local}+{seed.pick(('old', 'work', 'news'))}{int(seed.rng.random() * 100_000)}@{domain}"
    else:
        values["email"] = ""


def _employ(seed: Seeder, contact: Record, firms: list[Record], number: int) -> None:
    """Most have a company, some two, of which one is the primary one; a few are its decision makers."""
    if not firms or seed.one_in(20):
        return
    firm = firms[(number // 5) % len(firms)]
    seed.link("contacts", contact, "companies", firm)
    if seed.one_in(12):
        seed.link("contacts", contact, "companies", seed.pick(firms))
    if seed.one_in(10):
        label = next(
            t for t in seed.portal.associations.of("contacts", "companies").values() if t.label == "Decision maker"
        )
        seed.portal.associations.link("contacts", contact.id, "companies", firm.id, [label])
    seed.compute("contacts", contact, associatedcompanyid=firm.id)


def _merged(seed: Seeder, survivor: Record, number: int) -> None:
    gone = seed.put("contacts", _contact(seed, number))
    gone.merged_into, gone.indexed = survivor.id, None
    merged = ";".join(v for v in (survivor.values.get("hs_merged_object_ids", ""), gone.id) if v)
    more = {"hs_merged_object_ids": merged}
    if "email" in gone.values and "email" in survivor.values:
        more["hs_additional_emails"] = gone.values["email"]
    seed.compute("contacts", survivor, **more)


def count_associates(seed: Seeder) -> None:
    """What the vendor counts once everything is associated."""
    for kind, other, name in (
        ("companies", "contacts", "num_associated_contacts"), ("deals", "contacts", "num_associated_contacts"),
        ("contacts", "deals", "num_associated_deals"),
    ):  # fmt: skip
        for record in seed.portal.live(kind):
            held = seed.portal.associations.targets(kind, record.id, other)
            if held:
                seed.compute(kind, record, **{name: str(len(held))})
