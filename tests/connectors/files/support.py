"""What the tests of the files connector share: a connector on a folder, and its pages read to the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.files.connector import FilesConnector
from connectors.kit.contract import Connection, ReadRequest
from connectors.kit.tokens import MemoryTokens
from domain.records import Page, Reject

OPENED: list[FilesConnector] = []
"""Closed after each test."""


def connector(path: Path | None, **settings: str) -> FilesConnector:
    """A connector on ``path``; None leaves the setting out."""
    given = settings if path is None else {"path": str(path), **settings}
    OPENED.append(FilesConnector(Connection("c", "files", given, MemoryTokens())))
    return OPENED[-1]


@dataclass(frozen=True)
class Listing:
    pages: list[Page]

    @property
    def rows(self) -> list[list[Any]]:
        return [list(row) for page in self.pages for row in page.rows]

    @property
    def rejects(self) -> list[Reject]:
        return [r for page in self.pages for r in page.rejects]

    @property
    def places(self) -> list[tuple[str, int | None]]:
        return [(place.file, place.row) for page in self.pages for place in page.places or ()]

    def column(self, name: str) -> list[Any]:
        return [row[page.fields.index(name)] for page in self.pages for row in page.rows]


def listing(path: Path, name: str | None = None, cursor: Mapping[str, Any] | None = None, **settings: str) -> Listing:
    """Everything of one object: the only one, unless named."""
    files = connector(path, **settings)
    if name is None:
        (name,) = files.describe().objects
    resumed = json.loads(json.dumps(cursor)) if cursor else None
    return Listing(list(files.read(ReadRequest(name, cursor=resumed))))


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path
