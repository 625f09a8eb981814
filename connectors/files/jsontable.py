"""JSON Lines, streamed, and JSON documents small enough to hold: an array of records, or Salesforce's tree export.

The tree export (`sf data export tree`) is ``{"records": [{"attributes": {"type", "referenceId"}, …}]}``; its records
refer to each other as ``@referenceId``. https://developer.salesforce.com/docs/atlas.en-us.sfdx_dev.meta/sfdx_dev/sfdx_dev_data_tree.htm
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import orjson

from connectors.files import rejects as codes
from connectors.files.csvtable import read_up_to
from connectors.files.limits import MIB, Limits
from connectors.files.rejects import reject
from connectors.files.sources import Source, opened, too_large
from connectors.files.table import Chunk, Position, Settled
from domain.errors import ConfigurationError
from domain.records import MISSING, Place, Reject

_LONG_NUMBER = re.compile(rb"\d{16}|\d\.\d{15}")
_BLOCK = MIB
_WRAPPERS = ("records", "results", "data", "items")


@dataclass(slots=True)
class JsonTable:
    """``records`` holds a small document; of JSON Lines only the place of the lines is known."""

    source: Source
    limits: Limits
    columns: tuple[str, ...]
    sample: Sequence[Sequence[Any]]
    records: list[Any] | None = None
    object_type: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    settled: bool = False
    refers: dict[str, set[str]] = field(default_factory=dict)
    native: bool = True

    @property
    def label(self) -> str:
        return self.source.label

    @property
    def stem(self) -> str:
        return self.object_type or PurePosixPath(self.source.name).stem

    def stamp(self) -> str:
        return self.source.stamp()

    def rename(self, columns: tuple[str, ...]) -> None:
        """JSON has the names of the interface it came from: they stay."""

    def resolve(self, objects: Mapping[str, str]) -> None:
        """Turn ``@reference`` into the id it stands for; ``objects`` tells which object each id belongs to."""
        for record in self.records or ():
            for name, value in record.items() if isinstance(record, dict) else ():
                if isinstance(value, str) and value.startswith("@") and value[1:] in objects:
                    record[name] = value[1:]
                    self.refers.setdefault(name, set()).add(objects[value[1:]])

    def reference_ids(self) -> list[str]:
        """The ids that a tree export gave its records."""
        envelopes = [r.get("attributes") for r in self.records or () if isinstance(r, dict)]
        return [str(e["referenceId"]) for e in envelopes if isinstance(e, dict) and "referenceId" in e]

    def settle(self) -> None:
        """Find the names that only later lines use."""
        if self.settled:
            return
        names = dict.fromkeys(self.columns)
        with opened(self.source) as stream:
            for lines, _, _ in _line_blocks(stream, self.limits.record):
                for line in lines:
                    names.update(dict.fromkeys(_names(line)))
        self.columns, self.settled = tuple(names), True

    def settled_as(self) -> Settled:
        return {"columns": list(self.columns)}

    def resettle(self, found: Settled) -> None:
        self.columns, self.settled = tuple(found["columns"]), True

    def chunks(self, after: Position | None) -> Iterator[Chunk]:
        self.settle()
        if self.records is not None:
            return self._from_document(self.records, int((after or {}).get("row", 1)))
        return self._from_lines(int((after or {}).get("offset", 0)), int((after or {}).get("row", 1)))

    def _from_document(self, records: list[Any], first: int) -> Iterator[Chunk]:
        size = self.limits.page_rows
        for start in range(first - 1, max(len(records), 1), size):
            lines: list[int] = []
            chunk = Chunk([], lines, {"row": start + 1 + size}, last=start + size >= len(records))
            for number, record in enumerate(records[start : start + size], start + 1):
                self._take(chunk, lines, record, number, record)
            yield chunk
        if first > max(len(records), 1):
            yield Chunk([], (), {"row": first}, last=True)

    def _from_lines(self, offset: int, row: int) -> Iterator[Chunk]:
        with opened(self.source, offset) as stream:
            for lines, oversize, ended in _line_blocks(stream, self.limits.record):
                numbers: list[int] = []
                chunk = Chunk([], numbers, {}, last=ended)
                for line in lines:
                    self._parse(chunk, numbers, line, row)
                    offset, row = offset + len(line), row + 1
                if oversize:
                    chunk.rejects.append(self._too_long(row))
                    offset, row = offset + oversize, row + 1
                chunk.after = {"offset": offset, "row": row}
                yield chunk

    def _parse(self, chunk: Chunk, numbers: list[int], line: bytes, row: int) -> None:
        text = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not text:
            chunk.blank += 1
            return
        try:
            record = exact_json(text)
        except ValueError as error:
            raw = {"text": codes.storable(text.decode("utf-8", "backslashreplace"), self.limits.raw_kept)}
            problem = f"the line is no JSON ({error}). Mend it or leave it out."
            chunk.rejects.append(reject(codes.CODE_JSON, Place(self.label, row), problem, raw))
            return
        self._take(chunk, numbers, record, row, record)

    def _take(self, chunk: Chunk, numbers: list[int], record: Any, row: int, raw: Any) -> None:
        if not isinstance(record, dict):
            problem = "the value is no JSON object with named fields."
            chunk.rejects.append(reject(codes.CODE_JSON, Place(self.label, row), problem, raw))
            return
        values = flattened(record)
        bad = next((name for name, value in values.items() if _unstorable(value)), None)
        if bad is not None:
            problem = "the value holds a NUL character or half a surrogate pair. Remove it."
            raw_text = {"text": json.dumps(raw, default=str)[: self.limits.raw_kept]}
            chunk.rejects.append(reject(codes.CODE_NUL, Place(self.label, row, bad), problem, raw_text))
            return
        chunk.rows.append([values.get(name, MISSING) for name in self.columns])
        numbers.append(row)

    def _too_long(self, row: int) -> Reject:
        problem = f"the line is longer than {self.limits.record // MIB} MB. Raise max_cell_mb or shorten the record."
        return reject(codes.CODE_TOO_LARGE, Place(self.label, row), problem)


def open_json(source: Source, limits: Limits) -> JsonTable | None:
    """The table in ``source``; None when it is empty. Raises ConfigurationError."""
    with opened(source) as stream:
        head = read_up_to(stream, _BLOCK)
        whole = len(head) < _BLOCK
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ConfigurationError(
                f"{source.label} is UTF-16.", remedy="JSON is UTF-8: save it so.", code="file_bad_json"
            )
        text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not text:
            return None
        if not _is_lines(text, whole):
            rest = b"" if whole else read_up_to(stream, limits.json_document + 1)
            return _document(source, limits, head + rest)
    lines = head.splitlines(keepends=True)[: None if whole else -1]
    names = dict.fromkeys(name for line in lines for name in _names(line))
    table = JsonTable(source, limits, tuple(names), (), settled=whole)
    records = [flattened(record) for line in lines[:100] if isinstance(record := _quietly(line), dict)]
    table.sample = [[record.get(name) for name in names] for record in records]
    return table


def exact_json(text: bytes) -> Any:
    """The value, with numbers that a float cannot hold as int or Decimal. Raises ValueError saying where it fails."""
    value = orjson.loads(text)
    if _LONG_NUMBER.search(text):
        return json.loads(text, parse_float=Decimal)
    return value


def flattened(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without Salesforce's envelope: ``attributes`` goes, its ``referenceId`` serves as Id where none is given."""
    envelope = record.get("attributes")
    if not isinstance(envelope, dict) or "type" not in envelope:
        return dict(record)
    values = {name: value for name, value in record.items() if name != "attributes"}
    if "Id" not in values and "referenceId" in envelope:
        return {"Id": envelope["referenceId"], **values}
    return values


def _is_lines(text: bytes, whole: bool) -> bool:
    """JSON Lines: the first line is a whole value and more than an opening bracket."""
    first = text.split(b"\n", 1)[0].strip()
    value = _quietly(first)
    if isinstance(value, dict):
        only = text.rstrip() == first and whole
        return not (only and any(isinstance(value.get(name), list) for name in _WRAPPERS))
    return not text.startswith((b"[", b"{")) or (not whole and first.startswith(b"{") and len(first) == len(text))


def _document(source: Source, limits: Limits, data: bytes) -> JsonTable:
    if len(data) > limits.json_document:
        raise too_large(source.label, limits.json_document)
    try:
        value = exact_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise ConfigurationError(
            f"{source.label} is no valid JSON: {error}.",
            remedy="Export it again, as JSON Lines if you can.",
            code="file_bad_json",
        ) from None
    if isinstance(value, dict):
        value = next((value[name] for name in _WRAPPERS if isinstance(value.get(name), list)), [value])
    records = list(value)
    flat = [flattened(record) for record in records if isinstance(record, dict)]
    names = tuple(dict.fromkeys(name for record in flat for name in record))
    sample = [[record.get(name) for name in names] for record in flat[:100]]
    return JsonTable(source, limits, names, sample, records, _object_type(records), settled=True)


def _object_type(records: Sequence[Any]) -> str:
    """The Salesforce object that all records say they are."""
    types = {
        r["attributes"].get("type") for r in records if isinstance(r, dict) and isinstance(r.get("attributes"), dict)
    }
    return str(types.pop()) if len(types) == 1 and None not in types else ""


def _names(line: bytes) -> Sequence[str]:
    record = _quietly(line)
    return tuple(flattened(record)) if isinstance(record, dict) else ()


def _quietly(line: bytes) -> Any:
    try:
        return orjson.loads(line.removeprefix(b"\xef\xbb\xbf").strip())
    except ValueError:
        return None


def _unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value))
    if isinstance(value, dict):
        return any(_unstorable(v) or _unstorable(k) for k, v in value.items())
    return isinstance(value, list) and any(map(_unstorable, value))


def _line_blocks(stream: BinaryIO, limit: int) -> Iterator[tuple[list[bytes], int, bool]]:
    """Whole lines, the size of a line over ``limit`` that follows them (0: none), and whether the stream has ended."""
    ahead = b""
    while True:
        piece = stream.read(_BLOCK)
        ended = not piece
        ahead += piece
        cut = len(ahead) if ended else ahead.rfind(b"\n") + 1
        lines, ahead = ahead[:cut].split(b"\n"), ahead[cut:]
        whole = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
        oversize = 0
        if len(ahead) > limit:
            oversize, ahead, ended = _beyond(stream, ahead)
        if whole or oversize or ended:
            yield whole, oversize, ended
        if ended:
            return


def _beyond(stream: BinaryIO, ahead: bytes) -> tuple[int, bytes, bool]:
    """Pass over the rest of a line: its size, what was read beyond it, and whether the stream ended."""
    size = len(ahead)
    while piece := stream.read(_BLOCK):
        end = piece.find(b"\n") + 1
        if end:
            return size + end, piece[end:], False
        size += len(piece)
    return size, b"", True
