"""What people did and what was filed: tasks, events, cases, notes, documents, and the custom objects."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from datetime import timedelta

from sandbox.kit import words
from sandbox.salesforce.clock import parse_stamp, stamp
from sandbox.salesforce.data.seeder import Row, Seeder


def activities(seed: Seeder, count: int, people: list[Row], leads: list[Row], sales: list[Row]) -> None:
    for number in range(count):
        seed.put("Task", _task(seed, number, people, leads, sales))
    for number in range(count // 3):
        seed.put("Event", _event(seed, number, people, sales))


def _related(seed: Seeder, row: Row, people: list[Row], sales: list[Row]) -> None:
    person = seed.pick(people)
    row["WhoId"], row["WhoCount"] = person["Id"], 1
    if sales and seed.one_in(3):
        sale = seed.pick(sales)
        row["WhatId"], row["WhatCount"], row["AccountId"] = sale["Id"], 1, sale["AccountId"]
    elif "AccountId" in person:
        row["AccountId"] = person["AccountId"]


def _task(seed: Seeder, number: int, people: list[Row], leads: list[Row], sales: list[Row]) -> Row:
    row: Row = {
        "Subject": seed.pick(words.SUBJECTS), "Status": seed.pick(("Not Started", "Completed", "Completed", "In Progress")),
        "Priority": seed.pick(("Normal", "Normal", "High")), "OwnerId": seed.owner(), "ActivityDate": seed.day(),
        "TaskSubtype": "Task",
    }  # fmt: skip
    if leads and number % 6 == 0:
        row["WhoId"], row["WhoCount"] = seed.pick(leads)["Id"], 1
    elif number % 11:
        _related(seed, row, people, sales)
    if row["Status"] == "Completed":
        row["IsClosed"], row["CompletedDateTime"] = True, seed.pick(seed.moments)
    if row["Priority"] == "High":
        row["IsHighPriority"] = True
    if row["Subject"] == "Call":
        row |= {
            "Type": "Call",
            "TaskSubtype": "Call",
            "CallDurationInSeconds": int(seed.rng.random() * 3600),
            "CallType": "Outbound",
        }
    if seed.one_in(3):
        row["Description"] = seed.text()
    return row


def _event(seed: Seeder, number: int, people: list[Row], sales: list[Row]) -> Row:
    start = str(seed.pick(seed.moments))
    minutes = int(seed.pick((15, 30, 60, 60, 90, 480)))
    row: Row = {
        "Subject": seed.pick(words.SUBJECTS), "StartDateTime": start, "ActivityDateTime": start, "ActivityDate": start[:10],
        "DurationInMinutes": minutes, "EndDateTime": stamp(parse_stamp(start) + timedelta(minutes=minutes)),
        "OwnerId": seed.owner(), "Location": seed.pick(("Zoom", "HQ, room 4", "https://meet.example/a", "東京")),
        "ShowAs": "Busy",
    }  # fmt: skip
    row["EndDate"] = row["EndDateTime"][:10]
    if number % 20 == 0:
        day = start[:10] + "T00:00:00.000+0000"
        row |= {
            "IsAllDayEvent": True,
            "StartDateTime": day,
            "ActivityDateTime": day,
            "EndDateTime": day,
            "DurationInMinutes": 1440,
        }
    _related(seed, row, people, sales)
    return row


def cases(seed: Seeder, count: int, people: list[Row]) -> list[Row]:
    customers = [p for p in people if "AccountId" in p]
    rows: list[Row] = []
    for _ in range(count if customers else 0):
        person = seed.pick(customers)
        row: Row = {
            "CaseNumber": f"{1000 + seed.org.next_number('Case'):08d}", "ContactId": person["Id"], "AccountId": person["AccountId"],
            "Status": seed.pick(("New", "Working", "Escalated", "Closed", "Closed")),
            "Origin": seed.pick(("Email", "Phone", "Web")),
            "Priority": seed.pick(("High", "Medium", "Low")), "Subject": seed.pick(words.SUBJECTS), "Description": seed.text(),
            "OwnerId": seed.queue if seed.one_in(6) else seed.owner(),
        }  # fmt: skip
        if row["Status"] == "Closed":
            row["IsClosed"], row["ClosedDate"] = True, seed.pick(seed.moments)
        if rows and seed.one_in(12):
            row["ParentId"] = rows[-1]["Id"]
        rows.append(seed.put("Case", row))
        if seed.one_in(3):
            seed.put("CaseComment", {"ParentId": row["Id"], "CommentBody": seed.text()[:4000], "IsPublished": True})
    return rows


# ---------------------------------------------------------------- files

_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 0/Kids[]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)


def _png(shade: int) -> bytes:
    """A real picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes((0, shade))))
        + chunk(b"IEND", b"")
    )


def files(seed: Seeder, count: int, people: list[Row], sales: list[Row]) -> None:
    """Notes old and new, attachments, and documents; one in ten documents has two versions, one in five two homes."""
    for number in range(count):
        person = people[number * 5 % len(people)]
        note: Row = {
            "ParentId": person["Id"],
            "Title": f"Note {number}",
            "Body": seed.text()[:32_000],
            "OwnerId": seed.owner(),
        }
        seed.put("Note", note)
        _enhanced_note(seed, number, person)
        _document(seed, number, person, sales)
        if number % 3 == 0:
            content = f"attachment {number}\n".encode()
            kept: Row = {
                "ParentId": person["Id"],
                "Name": f"letter-{number}.txt",
                "ContentType": "text/plain",
                "OwnerId": seed.owner(),
            }
            seed.org.blobs[seed.put("Attachment", kept | {"BodyLength": len(content)})["Id"]] = content


def _content(seed: Seeder, number: int) -> tuple[str, str, bytes]:
    if number % 3 == 0:
        return "png", "PNG", _png(number % 256)
    if number % 3 == 1:
        return "pdf", "PDF", _PDF + f"% {number}\n".encode()
    return "txt", "TEXT", (seed.text()[:2000] + f"\n{number}").encode()


def _document(seed: Seeder, number: int, person: Row, sales: list[Row]) -> None:
    extension, kind, content = _content(seed, number)
    title = f"Angebot & plan {number}" if number % 4 else f"見積書 {number}"
    document = seed.put(
        "ContentDocument", {"Title": title, "FileType": kind, "FileExtension": extension, "PublishStatus": "P"}
    )
    document["OwnerId"] = document["CreatedById"]
    versions = 2 if number % 10 == 0 else 1
    for order in range(1, versions + 1):
        body = content if order == versions else content + b"% earlier\n"
        latest = order == versions
        _version(seed, document, f"{title}.{extension}", order, latest, body)
    _links(seed, document, person["Id"])
    if sales and number % 5 == 0:
        _link(seed, document, sales[number % len(sales)]["Id"], "V")


def _version(seed: Seeder, document: Row, path: str, order: int, latest: bool, content: bytes) -> Row:
    row: Row = {
        "ContentDocumentId": document["Id"], "Title": document["Title"], "PathOnClient": path, "VersionNumber": str(order),
        "FileType": document["FileType"], "FileExtension": document["FileExtension"], "ContentSize": len(content),
        "Checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(), "OwnerId": document["OwnerId"], "PublishStatus": "P",
        "Origin": "H", "ContentLocation": "S",
    }  # fmt: skip
    if latest:
        row["IsLatest"] = True
    seed.put("ContentVersion", row)
    row["ContentModifiedDate"], row["ContentModifiedById"] = row["LastModifiedDate"], row["LastModifiedById"]
    seed.org.blobs[row["Id"]] = content
    document["LatestPublishedVersionId"], document["ContentSize"] = row["Id"], len(content)
    document["ContentModifiedDate"] = row["LastModifiedDate"]
    return row


def _links(seed: Seeder, document: Row, parent: str) -> None:
    _link(seed, document, document["OwnerId"], "I")
    _link(seed, document, parent, "V")


def _link(seed: Seeder, document: Row, parent: str, share: str) -> None:
    row: Row = {
        "Id": seed.org.ids.next("06A"), "ContentDocumentId": document["Id"], "LinkedEntityId": parent, "ShareType": share,
        "Visibility": "AllUsers", "SystemModstamp": document["SystemModstamp"],
    }  # fmt: skip
    seed.org.tables["ContentDocumentLink"][row["Id"]] = row


def _enhanced_note(seed: Seeder, number: int, person: Row) -> None:
    """A note of the newer kind: a document with the same id, and a version that holds its HTML."""
    content = f"{seed.pick(words.HTML)}<p>{number}</p>".encode()
    document = seed.put(
        "ContentDocument", {"Title": f"Meeting note {number}", "FileType": "SNOTE", "FileExtension": "snote"}
    )
    document["OwnerId"] = document["CreatedById"]
    _version(seed, document, f"Meeting note {number}.snote", 1, True, content)
    note = {k: v for k, v in document.items() if k not in {"PublishStatus", "ContentModifiedDate"}}
    note["TextPreview"] = content.decode()[:255]
    seed.org.tables["ContentNote"][note["Id"]] = note
    seed.org.blobs[note["Id"]] = content
    _links(seed, document, person["Id"])


# ---------------------------------------------------------------- custom objects


def properties(seed: Seeder, count: int, people: list[Row]) -> None:
    brokers = [seed.put("Broker__c", _broker(seed, number)) for number in range(max(1, count // 10))]
    kind = seed.org.record_types("Property__c")[0]["Id"]
    for number in range(count):
        _, city, state, code, _ = seed.pick(words.PLACES)
        row: Row = {
            "Name": f"{seed.pick(('Stunning', 'Cosy', 'Modern'))} {seed.pick(words.STEMS)}", "OwnerId": seed.owner(),
            "Reference__c": f"P-{number:05d}", "City__c": city, "State__c": state or None, "Zip__c": code, "CurrencyIsoCode": "USD",
            "Price__c": float(int(seed.rng.random() * 2_000_000)), "Beds__c": float(number % 6), "Baths__c": 1.5 + number % 3,
            "Commission__c": 2.75, "Status__c": seed.pick(("Available", "Under Agreement", "Contracted", "Closed")),
            "Tags__c": seed.pick(("victorian", "colonial;city", "contemporary;water front")), "Date_Listed__c": seed.day(ahead=0),
            "Location__Latitude__s": round(42 + seed.rng.random(), 5), "Location__Longitude__s": round(-71 - seed.rng.random(), 5),
            "Description__c": seed.pick(words.HTML), "Broker__c": seed.pick(brokers)["Id"], "RecordTypeId": kind,
            "Viewing_At__c": seed.pick(seed.moments), "Days_On_Market__c": float(number % 90),
        }  # fmt: skip
        if number % 4 == 0:
            row["Buyer__c"], row["Furnished__c"] = seed.pick(people)["Id"], True
        seed.put("Property__c", {name: value for name, value in row.items() if value is not None})


def _broker(seed: Seeder, number: int) -> Row:
    first, last = seed.pick(words.FIRST), seed.pick(words.LAST)
    token = base64.b32encode(str(number).encode()).decode().rstrip("=").lower()
    return {
        "Name": f"{first} {last}", "OwnerId": seed.me, "Broker_Id__c": float(number), "Title__c": "Senior Broker",
        "Phone__c": seed.phone(), "Email__c": f"broker{number}@example.com", "Picture__c": f"https://example.com/people/{token}.jpg",
    }  # fmt: skip
