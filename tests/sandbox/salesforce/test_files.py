"""Documents, attachments and notes, and what they weigh."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.sandbox.salesforce.helpers import InProcess

PNG = b"\x89PNG\r\n\x1a\n\x00\xff--boundary--\r\n"


@pytest.fixture
def org(empty: InProcess) -> InProcess:
    return empty


def test_a_version_makes_its_document_and_links_it(org: InProcess) -> None:
    account = org.create("Account", Name="A")
    data = base64.b64encode(PNG).decode()
    version = org.create(
        "ContentVersion", Title="Plan", PathOnClient="plan.png", VersionData=data, FirstPublishLocationId=account
    )
    found = org.call("GET", f"sobjects/ContentVersion/{version}").json
    assert (found["FileType"], found["FileExtension"], found["ContentSize"], found["VersionNumber"]) == (
        "PNG",
        "png",
        len(PNG),
        "1",
    )
    assert found["Checksum"] == hashlib.md5(PNG).hexdigest()  # noqa: S324
    assert found["VersionData"] == f"/services/data/v59.0/sobjects/ContentVersion/{version}/VersionData"
    reply = org.call("GET", found["VersionData"])
    assert (reply.content(), reply.content_type) == (PNG, "application/octet-stream")
    links = org.soql(
        f"SELECT LinkedEntityId, ShareType FROM ContentDocumentLink WHERE ContentDocumentId = '{found['ContentDocumentId']}'"
    )
    assert {(link["LinkedEntityId"], link["ShareType"]) for link in links} == {
        (org.sandbox.auth.user_id, "I"),
        (account, "V"),
    }


def test_a_second_version_becomes_the_latest(org: InProcess) -> None:
    first = org.create(
        "ContentVersion", Title="Plan", PathOnClient="plan.txt", VersionData=base64.b64encode(b"1").decode()
    )
    document = org.call("GET", f"sobjects/ContentVersion/{first}").json["ContentDocumentId"]
    second = org.create(
        "ContentVersion",
        Title="Plan 2",
        PathOnClient="plan.txt",
        VersionData=base64.b64encode(b"22").decode(),
        ContentDocumentId=document,
    )
    assert org.call("GET", f"sobjects/ContentVersion/{first}").json["IsLatest"] is False
    assert org.call("GET", f"sobjects/ContentVersion/{second}").json["VersionNumber"] == "2"
    shown = org.call("GET", f"sobjects/ContentDocument/{document}").json
    assert (shown["LatestPublishedVersionId"], shown["Title"], shown["ContentSize"]) == (second, "Plan 2", 2)


def test_a_document_is_linked_to_a_record_once(org: InProcess) -> None:
    account = org.create("Account", Name="A")
    version = org.create("ContentVersion", Title="T", PathOnClient="t.txt", VersionData="")
    document = org.call("GET", f"sobjects/ContentVersion/{version}").json["ContentDocumentId"]
    org.create("ContentDocumentLink", ContentDocumentId=document, LinkedEntityId=account)
    reply = org.call("POST", "sobjects/ContentDocumentLink", {"ContentDocumentId": document, "LinkedEntityId": account})
    assert reply.json[0]["errorCode"] == "DUPLICATE_VALUE"


def test_a_file_can_come_as_multipart_byte_for_byte(org: InProcess) -> None:
    head = b'--b0\r\nContent-Disposition: form-data; name="entity_content";\r\nContent-Type: application/json\r\n\r\n'
    json = b'{"Title": "Plan", "PathOnClient": "plan.png"}\r\n'
    file = b'--b0\r\nContent-Type: image/png\r\nContent-Disposition: form-data; name="VersionData"; filename="p.png"\r\n\r\n'
    body = head + json + file + PNG + b"\r\n--b0--"
    reply = org.call("POST", "sobjects/ContentVersion", body, {"Content-Type": 'multipart/form-data; boundary="b0"'})
    assert reply.status == 201
    assert org.call("GET", f"sobjects/ContentVersion/{reply.json['id']}/VersionData").content() == PNG


def test_attachments_and_notes(org: InProcess) -> None:
    account = org.create("Account", Name="A")
    kept = org.create("Attachment", ParentId=account, Name="a.txt", Body=base64.b64encode(b"hello").decode())
    assert org.call("GET", f"sobjects/Attachment/{kept}").json["BodyLength"] == 5
    assert org.call("GET", f"sobjects/Attachment/{kept}/Body").content() == b"hello"
    note = org.create("ContentNote", Title="N", Content=base64.b64encode(b"<p>Hi &amp; bye</p>").decode())
    assert org.call("GET", f"sobjects/ContentNote/{note}/Content").content() == b"<p>Hi &amp; bye</p>"
    versions = org.soql(f"SELECT FileType, IsLatest FROM ContentVersion WHERE ContentDocumentId = '{note}'")
    assert [(v["FileType"], v["IsLatest"]) for v in versions] == [("SNOTE", True)]  # the note is a document, too


def test_content_that_is_not_base64_is_refused(org: InProcess) -> None:
    reply = org.call("POST", "sobjects/ContentVersion", {"Title": "T", "PathOnClient": "t", "VersionData": "%%%"})
    assert reply.json[0]["errorCode"] == "JSON_PARSER_ERROR"
    assert org.org.live("ContentDocument") == []
