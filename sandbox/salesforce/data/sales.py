"""What is sold, and how it goes: products, price books, campaigns, opportunities with their lines, people and history."""

from __future__ import annotations

from sandbox.kit import words
from sandbox.salesforce.data.basics import STAGES
from sandbox.salesforce.data.seeder import Row, Seeder

_ROLES = ("Business User", "Decision Maker", "Economic Buyer", "Evaluator", "Technical Buyer")
_SALE_TYPES = ("New Customer", "Existing Customer - Upgrade", "Existing Customer - Replacement")


def products(seed: Seeder) -> list[Row]:
    """Two price books; every product in the standard one, in dollars and euros. Returns the entries of the standard one."""
    standard = seed.put("Pricebook2", {"Name": "Standard Price Book", "IsActive": True, "IsStandard": True})
    partner = seed.put("Pricebook2", {"Name": "Partner Price Book", "IsActive": True})
    entries = []
    for number, name in enumerate(words.PRODUCTS):
        code = f"GC{1000 + number * 20}"
        row = {
            "Name": name,
            "ProductCode": code,
            "IsActive": number % 5 != 4,
            "Family": seed.pick(("Hardware", "Services")),
        }
        product = seed.put(
            "Product2", row | {"StockKeepingUnit": f"SKU-{number:04d}", "Description": seed.text()[:4000]}
        )
        price = float(number + 1) * 1250
        for book, currency, factor in ((standard, "USD", 1.0), (standard, "EUR", 0.92), (partner, "USD", 0.8)):
            entry = {
                "Name": name, "Pricebook2Id": book["Id"], "Product2Id": product["Id"], "UnitPrice": round(price * factor, 2),
                "CurrencyIsoCode": currency, "IsActive": True, "ProductCode": code,
            }  # fmt: skip
            entries.append(seed.put("PricebookEntry", entry))
    return [e for e in entries if e["Pricebook2Id"] == standard["Id"] and e["CurrencyIsoCode"] == "USD"]


def opportunities(seed: Seeder, count: int, people: list[Row], entries: list[Row], campaigns: list[Row]) -> list[Row]:
    customers = [p for p in people if "AccountId" in p]
    types = [r["Id"] for r in seed.org.record_types("Opportunity")]
    rows = []
    for number in range(count if customers else 0):
        person = customers[(number * 3) % len(customers)]
        row = seed.put("Opportunity", _opportunity(seed, number, person, types))
        if campaigns and seed.one_in(4):
            row["CampaignId"] = seed.pick(campaigns)["Id"]
        if seed.one_in(2):
            _lines(seed, row, entries)
        _history(seed, row)
        _roles(seed, row, person, customers, number)
        rows.append(row)
    for row in rows[::89]:
        seed.delete(row)
    return rows


def _opportunity(seed: Seeder, number: int, person: Row, types: list[str]) -> Row:
    name, probability, forecast, closed, won = STAGES[int(seed.rng.random() ** 0.7 * len(STAGES))]
    row: Row = {
        "AccountId": person["AccountId"], "Name": f"{seed.pick(words.STEMS)} {seed.pick(words.PRODUCTS)} #{number}"[:120],
        "StageName": name, "Probability": float(probability), "ForecastCategory": forecast, "ForecastCategoryName": forecast,
        "CloseDate": seed.day(), "Type": seed.pick(_SALE_TYPES), "RecordTypeId": types[number % len(types)],
        "CurrencyIsoCode": seed.currency(), "OwnerId": seed.owner(),
    }  # fmt: skip
    if closed:
        row["IsClosed"] = True
    if won:
        row["IsWon"] = True
    if not seed.one_in(20):
        row["Amount"] = seed.amount()
        row["ExpectedRevenue"] = row["Amount"] * probability / 100
    if seed.one_in(4):
        row["NextStep"], row["Description"] = seed.pick(words.SUBJECTS), seed.text()
    return row


def _lines(seed: Seeder, sale: Row, entries: list[Row]) -> None:
    total = 0.0
    for number in range(int(seed.rng.random() * 4) + 1):
        entry = seed.pick(entries)
        quantity = float(int(seed.rng.random() * 20) + 1)
        row: Row = {
            "OpportunityId": sale["Id"], "PricebookEntryId": entry["Id"], "Product2Id": entry["Product2Id"], "Quantity": quantity,
            "ProductCode": entry["ProductCode"], "Name": f"{sale['Name']} {entry['Name']}"[:376], "SortOrder": number + 1,
            "ListPrice": entry["UnitPrice"], "UnitPrice": entry["UnitPrice"], "CurrencyIsoCode": sale["CurrencyIsoCode"],
        }  # fmt: skip
        if seed.one_in(6):
            row["Discount"] = float(int(seed.rng.random() * 30))
        row["TotalPrice"] = round(quantity * row["UnitPrice"] * (1 - row.get("Discount", 0.0) / 100), 2)
        total += row["TotalPrice"]
        seed.put("OpportunityLineItem", row)
    sale["Amount"], sale["HasOpportunityLineItem"] = round(total, 2), True
    sale["ExpectedRevenue"], sale["Pricebook2Id"] = (
        sale["Amount"] * sale["Probability"] / 100,
        entries[0]["Pricebook2Id"],
    )


def _history(seed: Seeder, sale: Row) -> None:
    """The stages that the sale went through, spread between its creation and its last change."""
    names = [stage[0] for stage in STAGES]
    end = names.index(sale["StageName"])
    path = sorted({0, *(int(seed.rng.random() * min(end, 7)) for _ in range(2 if end else 0)), end})
    times = _between(seed, sale["CreatedDate"], sale["LastModifiedDate"], len(path))
    previous = None
    for number, at in zip(path, times, strict=True):
        stage = STAGES[number]
        step: Row = {
            "Id": seed.org.ids.next("008"), "OpportunityId": sale["Id"], "StageName": stage[0], "Probability": float(stage[1]),
            "ForecastCategory": stage[2], "CloseDate": sale["CloseDate"], "CreatedDate": at, "CreatedById": sale["OwnerId"],
            "SystemModstamp": at, "CurrencyIsoCode": sale["CurrencyIsoCode"],
        }  # fmt: skip
        if "Amount" in sale:
            step["Amount"], step["ExpectedRevenue"] = sale["Amount"], sale["Amount"] * stage[1] / 100
        seed.org.tables["OpportunityHistory"][step["Id"]] = step
        if previous is not None:
            change = {
                "Id": seed.org.ids.next("017"), "OpportunityId": sale["Id"], "Field": "StageName", "DataType": "DynamicEnum",
                "OldValue": previous, "NewValue": stage[0], "CreatedDate": at, "CreatedById": sale["OwnerId"],
            }  # fmt: skip
            seed.org.tables["OpportunityFieldHistory"][change["Id"]] = change
        previous = stage[0]
    sale["LastStageChangeDate"] = times[-1]


def _between(seed: Seeder, first: str, last: str, count: int) -> list[str]:
    start, end = seed.index_of(first), seed.index_of(last)
    return [seed.moments[start + (end - start) * i // max(1, count - 1)] for i in range(count)]


def _roles(seed: Seeder, sale: Row, person: Row, people: list[Row], number: int) -> None:
    seed.put(
        "OpportunityContactRole",
        {"OpportunityId": sale["Id"], "ContactId": person["Id"], "Role": seed.pick(_ROLES), "IsPrimary": True},
    )
    if number % 3 == 0:
        other = people[(number * 3 + 1) % len(people)]
        seed.put(
            "OpportunityContactRole", {"OpportunityId": sale["Id"], "ContactId": other["Id"], "Role": seed.pick(_ROLES)}
        )


def campaigns(seed: Seeder, count: int, people: list[Row], leads: list[Row]) -> list[Row]:
    """Campaigns with two member statuses each, and contacts and leads as members."""
    rows: list[Row] = []
    for number in range(count):
        row: Row = {
            "Name": f"{seed.pick(words.STEMS)} Webinar {number}"[:80], "Type": seed.pick(("Webinar", "Trade Show", "Email")),
            "Status": seed.pick(("Planned", "In Progress", "Completed")), "IsActive": True, "OwnerId": seed.owner(),
            "StartDate": seed.day(), "BudgetedCost": seed.amount(), "CurrencyIsoCode": "USD",
        }  # fmt: skip
        if rows and seed.one_in(3):
            row["ParentId"] = rows[0]["Id"]
        rows.append(seed.put("Campaign", row))
        for order, (label, responded) in enumerate((("Sent", False), ("Responded", True)), 1):
            status: Row = {"CampaignId": rows[-1]["Id"], "Label": label, "SortOrder": order}
            seed.put("CampaignMemberStatus", status | ({"HasResponded": True} if responded else {"IsDefault": True}))
    if rows:
        _members(seed, rows, people, leads)
    return rows


def _members(seed: Seeder, rows: list[Row], people: list[Row], leads: list[Row]) -> None:
    for number, person in enumerate(people[::7]):
        _member(seed, rows[number % len(rows)], "ContactId", person)
    for number, lead in enumerate(leads[::4]):
        _member(seed, rows[number % len(rows)], "LeadId", lead)


def _member(seed: Seeder, campaign: Row, key: str, person: Row) -> None:
    responded = seed.one_in(3)
    row: Row = {"CampaignId": campaign["Id"], key: person["Id"], "Status": "Responded" if responded else "Sent"}
    seed.put(
        "CampaignMember", row | ({"HasResponded": True, "FirstRespondedDate": seed.day(ahead=0)} if responded else {})
    )
