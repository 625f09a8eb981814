"""What an org has before its first customer: itself, users, roles, a queue, currencies, record types, stages, products."""

from __future__ import annotations

from sandbox.kit import words
from sandbox.salesforce.data.seeder import Row, Seeder
from sandbox.salesforce.standard import CURRENCIES

# Stage, probability, forecast category, closed, won: the order in which a sale goes.
STAGES: tuple[tuple[str, int, str, bool, bool], ...] = (
    ("Prospecting", 10, "Pipeline", False, False),
    ("Qualification", 10, "Pipeline", False, False),
    ("Needs Analysis", 20, "Pipeline", False, False),
    ("Value Proposition", 50, "Pipeline", False, False),
    ("Id. Decision Makers", 60, "Pipeline", False, False),
    ("Perception Analysis", 70, "Pipeline", False, False),
    ("Proposal/Price Quote", 75, "BestCase", False, False),
    ("Negotiation/Review", 90, "Forecast", False, False),
    ("Closed Won", 100, "Closed", True, True),
    ("Closed Lost", 0, "Omitted", True, False),
)
RECORD_TYPES = (
    ("Account", "Business", "Business"), ("Account", "Partner", "Partner"), ("Opportunity", "New Business", "New_Business"),
    ("Opportunity", "Renewal", "Renewal"), ("Case", "Support", "Support"), ("Property__c", "Residential", "Residential"),
)  # fmt: skip
_RATES = {"USD": 1.0, "EUR": 0.92, "GBP": 0.79, "JPY": 147.5, "CHF": 0.88, "BRL": 5.4}


def basics(seed: Seeder, username: str, users: int) -> None:
    organization = seed.org.ids.next("00D")
    seed.me = seed.org.ids.next("005")
    seed.org.put("Organization", _organization(seed, organization))
    profiles = [
        seed.put("Profile", {"Name": name, "UserType": "Standard"})
        for name in ("System Administrator", "Standard User")
    ]
    roles = [
        seed.put("UserRole", {"Name": n, "DeveloperName": n.replace(" ", "_")})
        for n in ("CEO", "VP Sales", "Sales Rep")
    ]
    _users(seed, username, users, [p["Id"] for p in profiles], [r["Id"] for r in roles])
    queue = {
        "Name": "Inbound Leads",
        "DeveloperName": "Inbound_Leads",
        "Type": "Queue",
        "Email": "leads@sandbox.example",
    }
    seed.queue = seed.put("Group", queue | {"OwnerId": organization})["Id"]
    for kind, name, developer in RECORD_TYPES:
        seed.put("RecordType", {"SobjectType": kind, "Name": name, "DeveloperName": developer, "IsActive": True})
    for number, code in enumerate(CURRENCIES.split(";")):
        seed.put("CurrencyType", {
            "IsoCode": code, "ConversionRate": _RATES[code], "DecimalPlaces": 0 if code == "JPY" else 2, "IsActive": True,
            "IsCorporate": number == 0,
        })  # fmt: skip
    _stages(seed)


def _organization(seed: Seeder, organization: str) -> Row:
    row: Row = {
        "Id": organization, "Name": "Syncline Sandbox Org", "Street": "1 Market St", "City": "San Francisco", "State": "CA",
        "PostalCode": "94105", "Country": "US", "Phone": "(415) 555-0100", "PrimaryContact": "Sandbox Admin",
        "DefaultLocaleSidKey": "en_US", "TimeZoneSidKey": "America/Los_Angeles", "LanguageLocaleKey": "en_US",
        "OrganizationType": "Developer Edition", "InstanceName": "SBX1", "FiscalYearStartMonth": 1, "DefaultCurrencyIsoCode": "USD",
    }  # fmt: skip
    seed.audit(row)
    return row


def _users(seed: Seeder, username: str, count: int, profiles: list[str], roles: list[str]) -> None:
    admin = _user(seed, 0, "Sandbox", "Admin", profiles[0]) | {"Username": username, "Id": seed.me, "Email": username}
    seed.audit(admin)
    seed.org.put("User", admin)
    seed.users.append(seed.me)
    for number in range(1, count):
        first, last = words.FIRST[number % len(words.FIRST)], words.LAST[(number * 7) % len(words.LAST)]
        row = _user(seed, number, first, last, profiles[1])
        row["IsActive"] = number % 4 != 3
        row["UserRoleId"] = roles[min(number, 2)]
        row["ManagerId"] = seed.users[number // 3]
        seed.users.append(seed.put("User", row)["Id"])


def _user(seed: Seeder, number: int, first: str, last: str, profile: str) -> Row:
    return {
        "Username": f"user{number}@sandbox.example", "FirstName": first, "LastName": last, "Name": f"{first} {last}",
        "Email": f"user{number}@sandbox.example", "Alias": f"user{number}", "CommunityNickname": f"user{number}", "IsActive": True,
        "TimeZoneSidKey": "America/Los_Angeles", "LocaleSidKey": "en_US", "LanguageLocaleKey": "en_US", "EmailEncodingKey": "UTF-8",
        "ProfileId": profile, "UserType": "Standard", "Title": seed.pick(words.TITLES), "DefaultCurrencyIsoCode": "USD",
    }  # fmt: skip


def _stages(seed: Seeder) -> None:
    for number, (name, probability, forecast, closed, won) in enumerate(STAGES, 1):
        seed.put("OpportunityStage", {
            "MasterLabel": name, "ApiName": name, "IsActive": True, "SortOrder": number, "IsClosed": closed, "IsWon": won,
            "ForecastCategory": forecast, "ForecastCategoryName": forecast, "DefaultProbability": float(probability),
        })  # fmt: skip
