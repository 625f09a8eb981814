"""Accounts, contacts and leads: hierarchies, duplicates, orphans and addresses that don't work."""

from __future__ import annotations

from sandbox.kit import words
from sandbox.salesforce.data.seeder import Row, Seeder
from sandbox.salesforce.derive import RELATION
from sandbox.salesforce.standard import INDUSTRIES

_INDUSTRIES = INDUSTRIES.split(";")
_TYPES = ("Prospect", "Customer - Direct", "Customer - Channel", "Other")
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other", "Old Import 2014")


def accounts(seed: Seeder, count: int) -> list[Row]:
    rows = [seed.put("Account", _account(seed, number)) for number in range(count)]
    for number, row in enumerate(rows):
        if number and seed.one_in(8):
            # Half of the parents were created after their children.
            parent = rows[number - 1] if number % 2 else rows[min(number + 3, count - 1)]
            if parent is not row and "ParentId" not in parent:
                row["ParentId"] = parent["Id"]
    for row in rows[:: max(40, count // 50)]:
        if row["Id"] not in {r.get("ParentId") for r in rows[:3]}:
            seed.delete(row)
    return rows


def _account(seed: Seeder, number: int) -> Row:
    name = f"{seed.pick(words.STEMS)} {seed.pick(words.TRADES)} {seed.pick(words.FORMS)}"
    row: Row = {
        "Name": f"  {name.upper()} " if seed.one_in(60) else name,
        "Type": seed.pick(_TYPES),
        "Industry": seed.pick(_INDUSTRIES),
        "OwnerId": seed.owner(),
        "CurrencyIsoCode": seed.currency(),
        "Phone": seed.phone(),
    }
    seed.address(row, "Billing")
    if seed.one_in(2):
        row["Website"] = f"https://www.{name.split()[0].lower()}{number}.example"
        row["NumberOfEmployees"] = int(seed.rng.random() ** 3 * 50_000)
        row["AnnualRevenue"] = seed.amount() * 100
    if seed.one_in(3):
        seed.address(row, "Shipping")
        row["ERP_Number__c"] = f"ERP-{number:06d}"
        row["Regions__c"] = seed.pick(("EMEA", "Americas;EMEA", "APAC", "Americas;EMEA;APAC"))
    if seed.one_in(4):
        row["Description"] = seed.text()
        row["Health_Score__c"] = round(seed.rng.random() * 100, 2)
        row["SLAExpirationDate__c"] = seed.day()
        row["CustomerPriority__c"] = seed.pick(("High", "Low", "Medium", "high "))
    return row


def contacts(seed: Seeder, count: int, parents: list[Row]) -> list[Row]:
    """``count`` live contacts, and one for every hundred of them that has been deleted."""
    rows: list[Row] = []
    for number in range(count + count // 100):
        made = _contact(seed, number, parents)
        if rows and seed.one_in(25):
            _make_duplicate(seed, made, rows[-1 - int(seed.rng.random() * min(50, len(rows)))])
        rows.append(seed.put("Contact", made))
    _managers(rows)
    for row in rows[50 : 50 + 101 * (count // 100) : 101]:
        seed.delete(row)
    return [row for row in rows if not row.get("IsDeleted")]


def relations(seed: Seeder, people: list[Row], firms: list[Row]) -> None:
    """Where contacts may have several accounts: each one's own, and one in nine people has another one beside it."""
    if RELATION not in seed.org.objects:
        return
    gone = {row["Id"] for row in firms if row.get("IsDeleted")}
    for number, person in enumerate(people):
        own = person.get("AccountId")
        if own is None or own in gone:
            continue
        pair = {"ContactId": person["Id"], "IsActive": True}
        seed.put(RELATION, pair | {"AccountId": own, "IsDirect": True})
        other = firms[(number * 7 + 3) % len(firms)]["Id"]
        if number % 9 == 0 and other != own and other not in gone:
            seed.put(
                RELATION, pair | {"AccountId": other, "Roles": seed.pick(("Influencer", "Decision Maker;Evaluator"))}
            )


def _contact(seed: Seeder, number: int, parents: list[Row]) -> Row:
    row = _person(seed, number)
    row["OwnerId"] = seed.owner()
    if parents and not seed.one_in(30):
        row["AccountId"] = parents[(number // 5) % len(parents)]["Id"]
    row["Title"] = seed.pick(words.TITLES)
    row["CurrencyIsoCode"] = "USD"
    if seed.one_in(2):
        seed.address(row, "Mailing")
        row["MobilePhone"] = seed.phone()
        row["LeadSource"] = seed.pick(_SOURCES)
    if seed.one_in(3):
        row["Legacy_Id__c"] = f"{number:08x}-legacy"
        row["Level__c"] = seed.pick(("Primary", "Secondary", "Tertiary"))
        row["Interests__c"] = seed.pick(("Golf", "Golf;Opera", "Chess;Cooking;Sailing"))
        row["Loyalty_Points__c"] = float(int(seed.rng.random() * 5000))
    if seed.one_in(5):
        row["Birthdate"] = seed.day(back=25_000, ahead=-7000)
        row["Description"] = seed.text()
        row["HasOptedOutOfEmail"] = True
    return row


def _person(seed: Seeder, number: int) -> Row:
    """Name, e-mail and phone. One in forty is written in another script, one in forty has no usable e-mail."""
    first, last = seed.pick(words.FOREIGN) if seed.one_in(40) else (seed.pick(words.FIRST), seed.pick(words.LAST))
    row: Row = {"LastName": last, "FirstName": first, "Name": f"{first} {last}", "Phone": seed.phone()}
    if seed.one_in(6):
        row["Salutation"] = seed.pick(("Mr.", "Ms.", "Dr.", "Prof."))
    if seed.one_in(40):
        row["Email"] = seed.pick(words.BAD_EMAILS)
    elif not seed.one_in(12):
        local = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
        row["Email"] = f"{local.strip('.') or 'person'}.{number}@{seed.pick(words.DOMAINS)}"
    if seed.one_in(300):
        del row["FirstName"]
        row["Name"] = last
    return row


def _make_duplicate(seed: Seeder, row: Row, twin: Row) -> None:
    """The same person again in other letters; or, one in five, someone else who shares the address."""
    if "Email" not in twin:
        return
    row["Email"] = seed.pick((twin["Email"], twin["Email"].upper(), twin["Email"].capitalize()))
    if seed.one_in(5):
        return
    first, last = twin.get("FirstName", ""), twin["LastName"]
    change = seed.pick((str.upper, str.lower, _spaced, _plain, str.title))
    row["FirstName"], row["LastName"] = change(first), change(last)
    row["Name"] = f"{row['FirstName']} {row['LastName']}".strip()
    row["Phone"] = twin["Phone"]
    if "AccountId" in twin:
        row["AccountId"] = twin["AccountId"]


def _spaced(text: str) -> str:
    return f" {text}  "


def _plain(text: str) -> str:
    """As someone without the right keyboard types it."""
    return text.translate(str.maketrans("éèëáàäåöøóúüíïñçłščžřů", "eeeaaaaooouuiincĺsczru".replace("ĺ", "l")))


def _managers(rows: list[Row]) -> None:
    """Reports-to, in both directions of time; and once two people who report to each other."""
    for number in range(0, len(rows) - 8, 7):
        row, boss = rows[number], rows[number + (5 if number % 2 else -3)]
        if boss is not row and number:
            row["ReportsToId"] = boss["Id"]
    if len(rows) > 20:
        rows[11]["ReportsToId"], rows[12]["ReportsToId"] = rows[12]["Id"], rows[11]["Id"]


def leads(seed: Seeder, count: int, known: list[Row]) -> list[Row]:
    """One in eight has been converted to a contact; one in ten is a contact all along."""
    rows = [seed.put("Lead", _lead(seed, number, known)) for number in range(count)]
    for row in rows[::101]:
        seed.delete(row)
    return rows


def _lead(seed: Seeder, number: int, known: list[Row]) -> Row:
    row = _person(seed, 1_000_000 + number)
    row["Company"] = f"{seed.pick(words.STEMS)} {seed.pick(words.TRADES)}"
    row["Status"] = seed.pick(("Open - Not Contacted", "Working - Contacted", "Closed - Not Converted"))
    row["OwnerId"] = seed.queue if seed.one_in(10) else seed.owner()
    row["LeadSource"] = seed.pick(_SOURCES)
    row["Industry"] = seed.pick(_INDUSTRIES)
    row["Score__c"] = round(seed.rng.random() * 100, 1)
    if seed.one_in(3):
        seed.address(row, "")
        row["AnnualRevenue"] = seed.amount()
    if known and seed.one_in(10) and "Email" in (twin := seed.pick(known)):
        row["Email"] = twin["Email"]
    if known and seed.one_in(8):
        _convert(seed, row, seed.pick(known))
    return row


def _convert(seed: Seeder, row: Row, contact: Row) -> None:
    row["IsConverted"], row["Status"] = True, "Closed - Converted"
    row["ConvertedDate"], row["ConvertedContactId"] = seed.day(ahead=0), contact["Id"]
    if "AccountId" in contact:
        row["ConvertedAccountId"] = contact["AccountId"]
