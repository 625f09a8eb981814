"""Records that come with a file: ``multipart/form-data`` with one JSON part and one binary part.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_sobject_insert_update_blob.htm
"""

from __future__ import annotations

from email.message import Message
from typing import Any

import orjson

from sandbox.salesforce.errors import json_error
from sandbox.salesforce.wire import Request


def record_of(request: Request) -> dict[str, Any]:
    """The record that a request carries, binary fields as bytes. Raises ApiError when there is no JSON part."""
    content_type = _header("content-type", request.headers.get("content-type", ""))
    boundary = content_type.get_param("boundary")
    if content_type.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        return request.json_object()
    record: dict[str, Any] | None = None
    files: dict[str, bytes] = {}
    for head, body in _parts(request.body, boundary.encode()):
        if _of(head, "content-type").startswith("application/json"):
            record = orjson.loads(body)
        else:
            name = _header("content-disposition", _of(head, "content-disposition")).get_param(
                "name", header="content-disposition"
            )
            files[str(name)] = body
    if record is None:
        raise json_error("Multipart message must include a non-binary part")
    return record | files


def _parts(body: bytes, boundary: bytes) -> list[tuple[list[str], bytes]]:
    """Head lines and content of each part. Line ends around the boundary are not content."""
    found = []
    for piece in body.split(b"--" + boundary)[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found.append((head.decode().split("\r\n"), content.removesuffix(b"\r\n")))
    return found


def _of(head: list[str], name: str) -> str:
    return next((line.partition(":")[2].strip() for line in head if line.lower().startswith(name + ":")), "")


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value
    return message
