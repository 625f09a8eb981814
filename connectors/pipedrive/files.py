"""File contents. Pipedrive answers a download with the address of a storage host, which must not hear the credentials.

https://developers.pipedrive.com/docs/api/v1/Files#downloadFile
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from connectors.kit.contract import FileInfo
from connectors.pipedrive.company import Company
from connectors.pipedrive.objects import FILE_OBJECTS
from domain.errors import ConfigurationError, RecordRejectedError, TransientError
from domain.records import WriteResult

PIECE_BYTES = 512 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_PARENTS: Mapping[str, str] = {
    "deals": "deal_id",
    "persons": "person_id",
    "organizations": "org_id",
    "leads": "lead_id",
    "products": "product_id",
    "activities": "activity_id",
}


class Files:
    """File contents of one company."""

    def __init__(self, company: Company) -> None:
        self._company = company

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """See `connectors.kit.contract.SupportsFiles`. Raises ForeignHostError for a storage host that is not known."""
        if object_name not in FILE_OBJECTS or not vendor_id.isdigit():
            raise ConfigurationError(
                f"{object_name[:80]} holds no file content.", remedy="Objects with content: files."
            )
        path = f"/api/v1/files/{vendor_id}/download"
        reply = self._company.api.request("GET", path, accept=(*_REDIRECTS, 404, 410))
        if reply.status in (404, 410):
            raise RecordRejectedError(
                "The file has no content any more.", remedy="It may have been deleted in Pipedrive."
            )
        if reply.status not in _REDIRECTS:
            yield from _cut(reply.content)
            return
        target = reply.headers.get("Location")
        if not target:
            raise TransientError("Pipedrive's answer to a download names no address.", code="bad_reply")
        with self._company.storage.stream("GET", target) as stream:
            yield from stream.pieces

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """See `connectors.kit.contract.SupportsFiles`. A file hangs on one record of each object at most."""
        parents: dict[str, str] = {}
        for object_name, vendor_id in info.parents:
            if object_name in _PARENTS:
                parents.setdefault(_PARENTS[object_name], vendor_id)
        boundary = f"syncline-{secrets.token_hex(16)}"
        head, tail = _envelope(info, parents, boundary)
        start = content.tell()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        try:
            made = self._company.post_content("/api/v1/files", lambda: _pieces(head, content, start, tail), headers)
        except RecordRejectedError as error:
            return WriteResult(info.vendor_id, error=error)
        return WriteResult(info.vendor_id, str(made["id"]), created=True, version=made.get("update_time"))


def _cut(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]


def _envelope(info: FileInfo, fields: Mapping[str, Any], boundary: str) -> tuple[bytes, bytes]:
    name = "".join(c for c in info.name if c.isprintable() and c not in '"\\') or "file"
    kind = (
        info.content_type
        if info.content_type.isprintable() and "/" in info.content_type
        else "application/octet-stream"
    )
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    )
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()


def _pieces(head: bytes, content: BinaryIO, start: int, tail: bytes) -> Iterator[bytes]:
    yield head
    content.seek(start)
    while piece := content.read(PIECE_BYTES):
        yield piece
    yield tail
