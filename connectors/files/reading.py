"""From chunks of tables to the hub's pages: ids, deletions, chosen fields, places and cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import itemgetter
from typing import Any

from connectors.files import rejects as codes
from connectors.files.identity import MADE_ID, Identity, id_text
from connectors.files.jsontable import JsonTable
from connectors.files.library import FileObject
from connectors.files.recognise import SALESFORCE
from connectors.files.rejects import reject
from connectors.files.survey import arranged, is_deleted
from connectors.files.table import Chunk, Places
from connectors.kit.contract import ReadRequest
from domain.errors import ConfigurationError, CursorExpiredError
from domain.records import MISSING, Cursor, Page, Place, Reject

_PART_SHIFT = 44  # more lines than a file can have
_ID_MAX = 255  # a longer first cell is no id but text that a quote left behind


def nothing_new(found: FileObject, cursor: Cursor, stamp: str) -> Page:
    """The page after a complete listing. Raises CursorExpiredError when there is a new export to list from its start."""
    if cursor.get("stamp") != stamp:
        raise CursorExpiredError(
            f"The files of {found.name} were replaced since they were read; they are read again from the start.",
            code="cursor_expired",
        )
    return Page(found.name, _fields(found, Identity(*cursor["identity"])), [], dict(cursor), last=True)


def _fields(found: FileObject, identity: Identity) -> tuple[str, ...]:
    return (MADE_ID, *found.columns) if identity.made else found.columns


@dataclass(slots=True)
class Reading:
    """One listing of one object, from ``cursor`` on."""

    found: FileObject
    request: ReadRequest
    stamp: str
    identity: Identity
    cursor: Cursor

    def pages(self) -> Iterator[Page]:
        fields = _fields(self.found, self.identity)
        indexes = self._indexes(fields)
        left = self.request.limit
        for page, start in self._all(fields):
            if left is not None and len(page.rows) > left:
                page = _cut(page, left, start)
            if left is not None:
                left -= len(page.rows)
            yield _narrowed(page, indexes) if indexes is not None else page
            if left == 0:
                return

    def _all(self, fields: tuple[str, ...]) -> Iterator[tuple[Page, Cursor]]:
        """Each page with the cursor that starts it."""
        start = self.cursor
        for number in range(int(start["part"]), len(self.found.parts)):
            after = start["after"] if number == int(start["part"]) else None
            for chunk in self.found.parts[number].chunks(after):
                page = self._page(fields, number, chunk)
                if skip := int(start.get("skip", 0)):
                    _keep(page, [index >= skip for index in range(len(page.rows))])
                yield page, start
                start = page.cursor

    def _page(self, fields: tuple[str, ...], number: int, chunk: Chunk) -> Page:
        part, last = self.found.parts[number], chunk.last and number == len(self.found.parts) - 1
        rows: list[Sequence[Any]] = [*arranged(self.found.columns, part, chunk.rows)]
        cursor = self._cursor(number, chunk, last)
        places = Places(part.label, chunk.lines)
        page = Page(self.found.name, fields, rows, cursor, last, rejects=chunk.rejects, places=places)
        if page.rejects:
            page.rejects = [self._named(reject) for reject in page.rejects]
        self._identify(page, number, chunk.lines)
        self._set_deleted_apart(page)
        if self.request.ids is not None:
            wanted, at = set(self.request.ids), fields.index(self._id_field())
            _keep(page, [str(row[at]) in wanted for row in page.rows])
        return page

    def _identify(self, page: Page, number: int, lines: Sequence[int]) -> None:
        """Give rows their made id, or reject those whose id cell is blank."""
        if self.identity.made:
            make = self.identity.maker(self.found.columns)
            first = number << _PART_SHIFT
            page.rows = [[make(row, first + line), *row] for row, line in zip(page.rows, lines, strict=True)]
            return
        at = page.fields.index(self._id_field())
        if _all_filled(map(itemgetter(at), page.rows)):
            return
        keep = [id_text(row[at]) != "" for row in page.rows]
        if all(keep):
            return
        for index, kept in enumerate(keep):
            if not kept:
                place = replace(self._places(page)[index], column=self._id_field())
                problem = "the id is blank, so nothing can refer to the record. Fill it in."
                page.rejects.append(reject(codes.CODE_NO_ID, place, problem, _raw(page, index)))
        _keep(page, keep)

    def _named(self, found: Reject) -> Reject:
        """A ragged row with its id, where that stands in the first column: later cells may have moved."""
        if found.code != codes.CODE_RAGGED or self.identity.made or found.raw["columns"][0] != self._id_field():
            return found
        name = id_text(found.raw["cells"][0])
        return replace(found, vendor_id=name) if 0 < len(name) <= _ID_MAX else found

    def _set_deleted_apart(self, page: Page) -> None:
        """Records in Salesforce's recycle bin, which an export may contain, are deletions and no records."""
        if self.found.recognised.dialect != SALESFORCE or "IsDeleted" not in page.fields:
            return
        at, id_at = page.fields.index("IsDeleted"), page.fields.index(self._id_field())
        if any(map(is_deleted, set(map(itemgetter(at), page.rows)))):
            page.deleted = [str(row[id_at]) for row in page.rows if is_deleted(row[at])]
            _keep(page, [not is_deleted(row[at]) for row in page.rows])

    def _cursor(self, number: int, chunk: Chunk, last: bool) -> Cursor:
        part, after = (number + 1, None) if chunk.last and not last else (number, dict(chunk.after))
        cursor: Cursor = {"v": 1, "stamp": self.stamp, "part": part, "after": after}
        cursor["identity"] = [self.identity.mode, self.identity.column]
        if any(isinstance(table, JsonTable) for table in self.found.parts):
            cursor["columns"] = list(self.found.columns)
        if last:
            cursor["done"] = True
        return cursor

    def _indexes(self, fields: tuple[str, ...]) -> list[int] | None:
        """Where the fields asked for stand. Raises ConfigurationError for one that the files lack."""
        wanted = self.request.fields
        if wanted is None or wanted == fields:
            return None
        unknown = [name for name in wanted if name not in fields]
        if unknown:
            raise ConfigurationError(
                f"{self.found.name} has no column {unknown[0]}.",
                remedy=f"Its columns: {', '.join(fields)}.",
                code="unknown_field",
            )
        return [fields.index(name) for name in wanted]

    def _id_field(self) -> str:
        return MADE_ID if self.identity.made else str(self.identity.column)

    def _places(self, page: Page) -> Sequence[Place]:
        return page.places or ()


def _all_filled(texts: Iterator[Any]) -> bool:
    """Are all of them texts and none blank? Quick for what nearly every page holds."""
    try:
        return all(map(str.strip, texts))
    except TypeError:
        return False


def _keep(page: Page, keep: Sequence[bool]) -> None:
    page.rows = list(compress(page.rows, keep))
    if isinstance(page.places, Places):
        page.places = page.places.keep(compress(range(len(keep)), keep))


def _cut(page: Page, size: int, start: Cursor) -> Page:
    """The first ``size`` rows; what else the page tells comes with its rest."""
    places = page.places[:size] if page.places is not None else None
    cursor = {**start, "identity": page.cursor["identity"], "skip": int(start.get("skip", 0)) + size}
    return Page(page.object, page.fields, page.rows[:size], cursor, places=places)


def _narrowed(page: Page, indexes: Sequence[int]) -> Page:
    names = tuple(page.fields[i] for i in indexes)
    return replace(page, fields=names, rows=[[row[i] for i in indexes] for row in page.rows])


def _raw(page: Page, index: int) -> dict[str, Any]:
    row = page.rows[index]
    return {"columns": list(page.fields), "cells": [None if v is MISSING else str(v)[:16_384] for v in row]}
