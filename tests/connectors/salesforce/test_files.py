"""File contents against the stand-in org."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

from connectors.kit.contract import FileInfo
from connectors.salesforce.connector import SalesforceConnector
from domain.errors import ConfigurationError, RecordRejectedError, TransientError
from sandbox.salesforce.faults import Fault
from sandbox.salesforce.server import SandboxServer

MIB = 1 << 20


def first(server: SandboxServer, name: str) -> dict[str, Any]:
    return dict(server.sandbox.org.live(name)[0])


@pytest.mark.parametrize(("object_name", "size"), [("ContentVersion", "ContentSize"), ("Attachment", "BodyLength")])
def test_content_comes_whole(
    server: SandboxServer, salesforce: SalesforceConnector, object_name: str, size: str
) -> None:
    row = first(server, object_name)
    content = b"".join(salesforce.download(object_name, row["Id"]))
    assert len(content) == row[size]
    if "Checksum" in row:
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == row["Checksum"]


def test_a_note_is_its_text(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    note = first(server, "ContentNote")
    assert b"".join(salesforce.download("ContentNote", note["Id"])).decode()


def test_a_large_upload_is_streamed_and_comes_back(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    content = bytes(range(256)) * 12_000
    account, contact = first(server, "Account")["Id"], first(server, "Contact")["Id"]
    info = FileInfo("hub-1", "plan.v2.pdf", "application/pdf", parents=(("Account", account), ("Contact", contact)))
    result = salesforce.upload(info, io.BytesIO(content))
    assert result.ok, result.error
    assert (result.key, result.created) == ("hub-1", True)
    pieces = list(salesforce.download("ContentVersion", result.vendor_id or ""))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= MIB
    version = next(v for v in server.sandbox.org.live("ContentVersion") if v["Id"] == result.vendor_id)
    assert (version["Title"], version["PathOnClient"]) == ("plan.v2", "plan.v2.pdf")
    links = [
        k
        for k in server.sandbox.org.live("ContentDocumentLink")
        if k["ContentDocumentId"] == version["ContentDocumentId"]
    ]
    assert {k["LinkedEntityId"] for k in links} >= {account, contact}


def test_an_upload_begins_where_the_file_stands(salesforce: SalesforceConnector) -> None:
    content = io.BytesIO(b"skipped,kept")
    content.seek(8)
    result = salesforce.upload(FileInfo("f", "f.txt", "text/plain"), content)
    assert b"".join(salesforce.download("ContentVersion", result.vendor_id or "")) == b"kept"


def test_a_lost_upload_is_ambiguous_and_not_repeated(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    before = len(server.sandbox.org.live("ContentVersion"))
    server.sandbox.faults.waiting.append(Fault("lost_answer", calls="create"))
    with pytest.raises(TransientError) as caught:
        salesforce.upload(FileInfo("f", "f.txt", "text/plain"), io.BytesIO(b"once"))
    assert caught.value.context["ambiguous"] is True
    assert len(server.sandbox.org.live("ContentVersion")) == before + 1


def test_a_parent_that_is_gone_rejects_the_file(salesforce: SalesforceConnector) -> None:
    info = FileInfo("f", "f.txt", parents=(("Account", "001000000000000AAA"),))
    assert isinstance(salesforce.upload(info, io.BytesIO(b"x")).error, RecordRejectedError)


def test_content_that_is_gone_rejects_one_record(salesforce: SalesforceConnector) -> None:
    with pytest.raises(RecordRejectedError, match="ContentVersion"):
        list(salesforce.download("ContentVersion", "068000000000000AAA"))


def test_an_object_without_content_is_named(salesforce: SalesforceConnector) -> None:
    with pytest.raises(ConfigurationError, match="Account"):
        list(salesforce.download("Account", "001000000000000AAA"))


def test_a_download_that_breaks_off_is_transient(server: SandboxServer, salesforce: SalesforceConnector) -> None:
    version = first(server, "ContentVersion")
    server.sandbox.faults.waiting.append(Fault("truncated", calls="download"))
    with pytest.raises(TransientError):
        list(salesforce.download("ContentVersion", version["Id"]))
