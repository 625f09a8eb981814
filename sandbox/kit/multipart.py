"""``multipart`` bodies, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from sandbox.kit.wire import Request


@dataclass(frozen=True, slots=True)
class Part:
    """``name`` and ``filename`` are empty when the part has none."""

    name: str
    filename: str
    content_type: str
    content: bytes


def parts_of(request: Request) -> list[Part] | None:
    """The parts of a ``multipart/form-data`` body, or None when the request has no such body."""
    content_type = _header("content-type", request.headers.get("content-type", ""))
    boundary = content_type.get_param("boundary")
    if content_type.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        return None
    return [_part(head, body) for head, body in _split(request.body, boundary.encode())]


def _part(head: list[str], content: bytes) -> Part:
    disposition = _header("content-disposition", _of(head, "content-disposition"))
    name = disposition.get_param("name", "", header="content-disposition")
    return Part(str(name), disposition.get_filename() or "", _of(head, "content-type"), content)


def _split(body: bytes, boundary: bytes) -> list[tuple[list[str], bytes]]:
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
