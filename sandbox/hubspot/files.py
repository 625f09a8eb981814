"""Uploaded files.

https://developers.hubspot.com/docs/guides/api/files/files
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from sandbox.hubspot.times import iso

_KINDS = {
    "png": "IMG",
    "jpg": "IMG",
    "gif": "IMG",
    "pdf": "DOCUMENT",
    "docx": "DOCUMENT",
    "mp3": "AUDIO",
    "mp4": "MOVIE",
}
ACCESS = (
    "PUBLIC_INDEXABLE",
    "PUBLIC_NOT_INDEXABLE",
    "PRIVATE",
    "HIDDEN_INDEXABLE",
    "HIDDEN_NOT_INDEXABLE",
    "HIDDEN_PRIVATE",
)


@dataclass(slots=True)
class StoredFile:
    """``name`` without its ending, ``path`` with it. ``access`` decides whether its plain address answers."""

    id: str
    name: str
    extension: str
    content: bytes
    folder: str
    access: str
    at: int
    archived: bool = False

    @property
    def path(self) -> str:
        ending = f".{self.extension}" if self.extension else ""
        return f"{self.folder.rstrip('/')}/{self.name}{ending}"

    def as_json(self, base_url: str, portal_id: int) -> dict[str, Any]:
        hidden = self.access.startswith("HIDDEN") or self.access.endswith("PRIVATE")
        address = f"{base_url}/hubfs/{portal_id}{self.path}"
        return {
            "id": self.id,
            "createdAt": iso(self.at),
            "updatedAt": iso(self.at),
            "archived": self.archived,
            "path": self.path,
            "name": self.name,
            "extension": self.extension,
            "type": _KINDS.get(self.extension, "OTHER"),
            "size": len(self.content),
            "encoding": "utf-8",
            "fileMd5": hashlib.md5(self.content, usedforsecurity=False).hexdigest(),
            "defaultHostingUrl": address,
            "url": address,
            "isUsableInContent": not hidden,
            "access": self.access,
        }


@dataclass(slots=True)
class Files:
    stored: dict[str, StoredFile] = field(default_factory=dict)

    def put(self, file_id: str, file_name: str, content: bytes, *, folder: str, access: str, at: int) -> StoredFile:
        path = PurePosixPath(file_name)
        made = StoredFile(file_id, path.stem, path.suffix.lstrip(".").lower(), content, folder, access, at)
        self.stored[file_id] = made
        return made

    def live(self, file_id: str) -> StoredFile | None:
        found = self.stored.get(file_id)
        return None if found is None or found.archived else found

    def at_path(self, path: str) -> StoredFile | None:
        return next((f for f in self.stored.values() if f.path == path and not f.archived), None)
