"""File content: versions of files, attachments of old, notes.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_sobject_insert_update_blob.htm
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import orjson

from connectors.kit.contract import FileInfo
from connectors.salesforce import soql
from connectors.salesforce.errors import faults, record_error
from connectors.salesforce.objects import FILE_OBJECTS, quirk
from connectors.salesforce.org import Org
from domain.errors import ConfigurationError, RecordRejectedError, SynclineError, TransientError
from domain.records import WriteResult

PIECE_BYTES = 512 * 1024


class Files:
    """File contents of one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """See `connectors.kit.contract.SupportsFiles`."""
        content = quirk(object_name).content
        if content is None:
            raise ConfigurationError(
                f"{object_name} holds no file content.", remedy=f"Objects with content: {', '.join(FILE_OBJECTS)}."
            )
        path = self._org.path(f"sobjects/{object_name}/{quote(vendor_id, safe='')}/{content}")
        try:
            with self._org.stream(path) as reply:
                yield from reply.pieces
        except ConfigurationError as error:
            if error.context.get("status") != 404:
                raise
            raise RecordRejectedError(
                f"The {object_name} has no content any more.", remedy="It may have been deleted in Salesforce."
            ) from error

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """See `connectors.kit.contract.SupportsFiles`: a new file, shared with the first parent in the same call."""
        parents = [vendor_id for _, vendor_id in info.parents]
        entity = {"Title": info.name.rpartition(".")[0] or info.name, "PathOnClient": info.name}
        if parents:
            entity["FirstPublishLocationId"] = parents[0]
        try:
            version_id = self._insert(entity, info.content_type, content)
            if parents[1:]:
                self._link(version_id, parents[1:])
        except RecordRejectedError as error:
            return WriteResult(info.vendor_id, error=error)
        return WriteResult(info.vendor_id, version_id, created=True)

    def _insert(self, entity: Mapping[str, str], content_type: str, content: BinaryIO) -> str:
        boundary = f"syncline-{secrets.token_hex(16)}"
        head, tail = _envelope(entity, content_type, boundary)
        start, size = content.tell(), _remaining(content)
        reply = self._org.request(
            "POST",
            self._org.path("sobjects/ContentVersion"),
            content=lambda: _pieces(head, content, start, tail),
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(head) + size + len(tail)),
            },
            idempotent=False,
            accept=(400,),
        )
        body = reply.json()
        if reply.status >= 400:
            raise _rejected(faults(body), "ContentVersion")
        return str(body["id"])

    def _link(self, version_id: str, parents: Iterable[str]) -> None:
        query = soql.select("ContentVersion", ("ContentDocumentId",), where=(soql.among("Id", [version_id]),))
        document = next(str(record["ContentDocumentId"]) for record in self._org.query_all(query))
        records = [
            {
                "attributes": {"type": "ContentDocumentLink"},
                "ContentDocumentId": document,
                "LinkedEntityId": parent,
                "ShareType": "V",
            }
            for parent in parents
        ]
        body = {"allOrNone": False, "records": records}
        for answer in self._org.request(
            "POST", self._org.path("composite/sobjects"), json=body, idempotent=False
        ).json():
            if not answer.get("success"):
                raise _rejected(faults(answer), "ContentDocumentLink")


def _rejected(found: Any, object_name: str) -> SynclineError:
    return record_error(found, object_name=object_name)


def _envelope(entity: Mapping[str, str], content_type: str, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the content: the vendor wants its JSON first, then the bytes."""
    safe_type = content_type if content_type.isprintable() and "/" in content_type else "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="entity_content"\r\n'
        "Content-Type: application/json\r\n\r\n"
    ).encode()
    head += orjson.dumps(entity)
    head += (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="VersionData"; filename="content"\r\n'
        f"Content-Type: {safe_type}\r\n\r\n"
    ).encode()
    return head, f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, content: BinaryIO, start: int, tail: bytes) -> Iterator[bytes]:
    yield head
    content.seek(start)
    while piece := content.read(PIECE_BYTES):
        yield piece
    yield tail


def _remaining(content: BinaryIO) -> int:
    start = content.tell()
    if not content.seekable():
        raise TransientError("The file to upload cannot be read again from its start.")
    end = content.seek(0, os.SEEK_END)
    content.seek(start)
    return end - start
