"""File contents: read by a signed address that carries no token, stored and attached to records by a note.

https://developers.hubspot.com/docs/guides/api/library/files
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import orjson

from connectors.hubspot.links import LinkWriter
from connectors.hubspot.portal import Portal
from connectors.kit.contract import FileInfo
from domain.errors import ConfigurationError
from domain.records import WriteResult

FOLDER = "/syncline"
PIECE_BYTES = 1 << 20


class Files:
    """Files of one account. ``now_ms``: the time of the notes that attach them."""

    def __init__(self, portal: Portal, now_ms: Callable[[], int]) -> None:
        self._portal, self._now_ms = portal, now_ms
        self._links = LinkWriter(portal)

    def download(self, vendor_id: str) -> Iterator[bytes]:
        """The content in pieces. The signed address is judged before anything is sent there, and gets no token."""
        if not vendor_id.isdigit():
            raise ConfigurationError("This is not the id of a HubSpot file.", remedy="Use the id from the listing.")
        signed = self._portal.get(f"/files/v3/files/{vendor_id}/signed-url")
        with self._portal.stream(str(signed["url"])) as reply:
            yield from reply.pieces

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        """Store a private file, and attach it to its parents by a note. A lost answer is not repeated."""
        boundary = secrets.token_hex(16)
        # seekable content, so that an attempt that was certainly not processed can be made anew
        begin = content.tell()
        head, tail = _around(info, boundary)
        length = len(head) + content.seek(0, io.SEEK_END) - begin + len(tail)

        def body() -> Iterator[bytes]:
            content.seek(begin)
            yield head
            while piece := content.read(PIECE_BYTES):
                yield piece
            yield tail

        reply = self._portal.request(
            "POST",
            "/files/v3/files",
            content=body,
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)},
            idempotent=False,
        )
        file_id = str(reply.json()["id"])
        if info.parents:
            self._attach(file_id, info)
        return WriteResult(info.vendor_id, file_id, created=True)

    def _attach(self, file_id: str, info: FileInfo) -> None:
        properties = {"hs_attachment_ids": file_id, "hs_timestamp": str(self._now_ms()), "hs_note_body": ""}
        note = self._portal.request(
            "POST", "/crm/v3/objects/notes", json={"properties": properties}, idempotent=False
        ).json()
        links: dict[str, list[str]] = {}
        for target, record_id in info.parents:
            links.setdefault(target, []).append(record_id)
        note_id = str(note["id"])
        for error in self._links.write("notes", [(note_id, links)], {note_id}).values():
            raise error


def _around(info: FileInfo, boundary: str) -> tuple[bytes, bytes]:
    """What stands before and after the content in a multipart form."""
    options = orjson.dumps({"access": "PRIVATE", "duplicateValidationStrategy": "NONE"}).decode()
    fields = {"folderPath": FOLDER, "fileName": info.name, "options": options}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{value}\r\n"
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(info.name)}"\r\n'
        f"Content-Type: {_header(info.content_type)}\r\n\r\n"
    )
    return "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()


def _quoted(name: str) -> str:
    """As browsers write a file name: quotes and line breaks percent-encoded."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _header(value: Any) -> str:
    text = str(value)
    return text if text.isascii() and text.isprintable() else "application/octet-stream"
