"""Files to load: what a CRM's data export looks like, any number of rows, the same for the same arguments."""

from __future__ import annotations

import csv
import random
from pathlib import Path

FIRST = (
    "Ada",
    "Bo",
    "Chloé",
    "Dmitri",
    "Emeka",
    "Fatima",
    "Grete",
    "Hiro",
    "Ines",
    "Jonas",
    "Keiko",
    "Lars",
    "Mei",
    "Noor",
    "Olga",
    "Pedro",
)
LAST = (
    "Jones",
    "Li",
    "Martin",
    "Ivanov",
    "Okafor",
    "Haddad",
    "Müller",
    "Tanaka",
    "Silva",
    "Berg",
    "Sato",
    "Holm",
    "Chen",
    "Khan",
    "Petrova",
    "Díaz",
)
CITIES = (
    ("Boston", "MA", "02110", "US"),
    ("Berlin", "BE", "10115", "DE"),
    ("Lyon", "ARA", "69001", "FR"),
    ("Osaka", "", "530-0001", "JP"),
    ("Austin", "TX", "73301", "US"),
)
STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation", "Closed Won", "Closed Lost")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def record_id(prefix: str, number: int) -> str:
    """An 18-character id with a valid checksum (docs: Salesforce, 'ID Field Type')."""
    body = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        body = _LETTERS[digit] + body
    short = prefix + "5g0" + body
    return short + "".join(_SUFFIX[sum(c.isupper() << i for i, c in enumerate(short[n : n + 5]))] for n in (0, 5, 10))


def _phone(rng: random.Random) -> str:
    area, number = rng.choice((212, 415, 617, 512, 303)), rng.randrange(2000000, 9999999)
    text = str(number)
    kind = rng.randrange(5)
    if kind == 0:
        return f"({area}) {text[:3]}-{text[3:]}"
    if kind == 1:
        return f"{area}-{text[:3]}-{text[3:]}"
    if kind == 2:
        return f"+1 {area} {text[:3]} {text[3:]}"
    if kind == 3:
        return f"{area}{text}"
    return f"+49 30 {text}"


def _moment(number: int) -> str:
    day, rest = divmod(number, 1440)
    return (
        f"20{15 + day // 336 % 10:02}-{day // 28 % 12 + 1:02}-{day % 28 + 1:02}T{rest // 60:02}:{rest % 60:02}:00.000Z"
    )


def write(folder: Path, contacts: int, accounts: int, opportunities: int, seed: int = 1) -> None:
    """Write Account.csv, Contact.csv and Opportunity.csv. About 3 % of the contacts are duplicates, 1 % have a broken e-mail."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    with (folder / "Account.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "Id",
                "Name",
                "Website",
                "Phone",
                "Industry",
                "AnnualRevenue",
                "NumberOfEmployees",
                "BillingStreet",
                "BillingCity",
                "BillingState",
                "BillingPostalCode",
                "BillingCountry",
                "ParentId",
                "Tier__c",
                "CreatedDate",
                "SystemModstamp",
            ]
        )
        for i in range(accounts):
            city = CITIES[i % 5]
            out.writerow(
                [
                    record_id("001", i),
                    f"{LAST[i % 16]} {CITIES[i % 5][0]} {i} GmbH",
                    f"https://a{i}.example",
                    _phone(rng),
                    "Energy",
                    i * 1000.5,
                    i % 5000,
                    f"{i} Main St",
                    *city,
                    record_id("001", i // 2) if i % 10 == 3 else "",
                    "Gold" if i % 3 else "",
                    _moment(i),
                    _moment(i + 99),
                ]
            )
    with (folder / "Contact.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "Id",
                "FirstName",
                "LastName",
                "Email",
                "Phone",
                "MobilePhone",
                "Title",
                "Department",
                "AccountId",
                "MailingStreet",
                "MailingCity",
                "MailingState",
                "MailingPostalCode",
                "MailingCountry",
                "Shoe_Size__c",
                "CreatedDate",
                "SystemModstamp",
            ]
        )
        for i in range(contacts):
            twin = i - 1 if i % 33 == 32 else i
            email = f"person{twin}@c{twin % 977}.example" if i % 100 else f"person{i} at nowhere"
            out.writerow(
                [
                    record_id("003", i),
                    FIRST[twin % 16],
                    LAST[twin // 16 % 16],
                    email.upper() if i % 7 == 0 else email,
                    _phone(rng),
                    _phone(rng) if i % 3 == 0 else "",
                    "Manager",
                    "Sales",
                    record_id("001", i % accounts),
                    f"{i} Side St",
                    *CITIES[i % 5],
                    i % 48,
                    _moment(i),
                    _moment(i + 77),
                ]
            )
    with (folder / "Opportunity.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "Id",
                "Name",
                "AccountId",
                "StageName",
                "Amount",
                "Probability",
                "CloseDate",
                "Type",
                "LeadSource",
                "CreatedDate",
                "SystemModstamp",
            ]
        )
        for i in range(opportunities):
            out.writerow(
                [
                    record_id("006", i),
                    f"Deal {i}",
                    record_id("001", i % accounts),
                    STAGES[i % 6],
                    i * 12.25,
                    i % 100,
                    _moment(i)[:10],
                    "New",
                    "Web",
                    _moment(i),
                    _moment(i + 55),
                ]
            )
