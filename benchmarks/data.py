"""Files to load: what a CRM's data export looks like, any number of rows, the same for the same arguments."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


_ACCOUNT = (
    "Id Name Website Phone Industry AnnualRevenue NumberOfEmployees BillingStreet BillingCity BillingState BillingPostalCode "
    "BillingCountry ParentId Tier__c CreatedDate SystemModstamp"
)
_CONTACT = (
    "Id FirstName LastName Email Phone MobilePhone Title Department AccountId MailingStreet MailingCity MailingState "
    "MailingPostalCode MailingCountry Shoe_Size__c CreatedDate SystemModstamp"
)
_OPPORTUNITY = "Id Name AccountId StageName Amount Probability CloseDate Type LeadSource CreatedDate SystemModstamp"


def write(folder: Path, contacts: int, accounts: int, opportunities: int, seed: int = 1) -> None:
    """Write Account.csv, Contact.csv and Opportunity.csv. About 3 % of the contacts are duplicates, 1 % have a broken e-mail."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    _table(folder / "Account.csv", _ACCOUNT, (_account(i, rng) for i in range(accounts)))
    _table(folder / "Contact.csv", _CONTACT, (_contact(i, accounts, rng) for i in range(contacts)))
    _table(folder / "Opportunity.csv", _OPPORTUNITY, (_opportunity(i, accounts) for i in range(opportunities)))


def _table(path: Path, header: str, rows: Iterable[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(header.split())
        out.writerows(rows)


def _account(i: int, rng: random.Random) -> list[Any]:
    name = f"{LAST[i % 16]} {CITIES[i % 5][0]} {i} GmbH"
    parent = record_id("001", i // 2) if i % 10 == 3 else ""
    money = ("Energy", i * 1000.5, i % 5000)
    place = (f"{i} Main St", *CITIES[i % 5])
    tier = "Gold" if i % 3 else ""
    return [
        record_id("001", i),
        name,
        f"https://a{i}.example",
        _phone(rng),
        *money,
        *place,
        parent,
        tier,
        _moment(i),
        _moment(i + 99),
    ]


def _contact(i: int, accounts: int, rng: random.Random) -> list[Any]:
    twin = i - 1 if i % 33 == 32 else i
    email = f"person{twin}@c{twin % 977}.example" if i % 100 else f"person{i} at nowhere"
    person = (FIRST[twin % 16], LAST[twin // 16 % 16], email.upper() if i % 7 == 0 else email)
    phones = (_phone(rng), _phone(rng) if i % 3 == 0 else "")
    work = ("Manager", "Sales", record_id("001", i % accounts))
    return [
        record_id("003", i),
        *person,
        *phones,
        *work,
        f"{i} Side St",
        *CITIES[i % 5],
        i % 48,
        _moment(i),
        _moment(i + 77),
    ]


def _opportunity(i: int, accounts: int) -> list[Any]:
    deal = (f"Deal {i}", record_id("001", i % accounts), STAGES[i % 6], i * 12.25, i % 100, _moment(i)[:10])
    return [record_id("006", i), *deal, "New", "Web", _moment(i), _moment(i + 55)]
