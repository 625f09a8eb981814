"""A delimited file as a table: encoding, dialect and header found from its start, the rest streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from connectors.files.csvparse import lines_of
from connectors.files.csvread import CsvFormat, CsvReader
from connectors.files.dialect import Layout, column_names, find_layout
from connectors.files.encoding import Encoding, detect
from connectors.files.limits import Limits
from connectors.files.sources import Source, opened
from connectors.files.table import Chunk, Position, Settled
from domain.errors import ConfigurationError

_SAMPLE_BYTES = 256 * 1024
_BLOCK_MIN = 64 * 1024
_HINTS = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_BINARY = ((b"PK\x03\x04", "an Excel workbook or archive"), (b"\xd0\xcf\x11\xe0", "an old Excel workbook"))


@dataclass(slots=True)
class CsvTable:
    """``settled``: the encoding is known for the whole file, not only for the part that the header stands in."""

    source: Source
    limits: Limits
    format: CsvFormat
    settled: bool
    sample: Sequence[Sequence[Any]] = ()
    warnings: list[str] = field(default_factory=list)
    native: bool = False

    @property
    def label(self) -> str:
        return self.source.label

    @property
    def stem(self) -> str:
        return PurePosixPath(self.source.name).stem

    @property
    def columns(self) -> tuple[str, ...]:
        return self.format.columns

    @property
    def notes(self) -> Mapping[str, Any]:
        form = self.format
        warnings = list(self.warnings)
        if form.encoding.guessed:
            warnings.append(
                f"{self.label} does not say its encoding; it is read as {form.encoding.name}. "
                "If names look wrong, set encoding."
            )
        return {
            "encoding": form.encoding.name,
            "delimiter": form.dialect.delimiter,
            "header_row": form.row - 1,
            "warnings": warnings,
        }

    def stamp(self) -> str:
        return self.source.stamp()

    def rename(self, columns: tuple[str, ...]) -> None:
        self.format = replace(self.format, columns=columns)

    def chunks(self, after: Position | None) -> Iterator[Chunk]:
        if after is None:
            self.settle()
            after = {"offset": self.format.offset, "row": self.format.row}
        elif "encoding" in after:
            self.format = replace(self.format, encoding=Encoding(after["encoding"], self.format.encoding.bom))
        offset, row = int(after["offset"]), int(after["row"])
        encoding = self.format.encoding.name
        with opened(self.source, offset) as stream:
            for block in CsvReader(stream, self.label, self.format, self.limits, offset, row).blocks():
                position = {"offset": block.offset, "row": block.row, "encoding": encoding}
                yield Chunk(block.rows, block.lines, position, block.last, block.rejects, block.blank)

    def settle(self) -> None:
        """Read the file once to know that its encoding holds beyond the header."""
        if not self.settled:
            with opened(self.source) as stream:
                found = detect(stream)
            self.format = replace(self.format, encoding=replace(found, bom=self.format.encoding.bom))
            self.settled = True

    def settled_as(self) -> Settled:
        encoding = self.format.encoding
        return {"encoding": [encoding.name, encoding.bom, encoding.guessed]}

    def resettle(self, found: Settled) -> None:
        self.format = replace(self.format, encoding=Encoding(*found["encoding"]))
        self.settled = True


def open_csv(source: Source, limits: Limits, settings: Mapping[str, str]) -> CsvTable | None:
    """The table in ``source``; None when it holds no record, not even a header. Raises ConfigurationError."""
    with opened(source) as stream:
        head = read_up_to(stream, _SAMPLE_BYTES)
        whole = len(head) < _SAMPLE_BYTES
    _refuse_binary(source, head)
    encoding, settled = _encoding(source, head, whole, settings)
    sample = head if whole else head[: encoding.last_break(head)]
    if head and not sample:
        raise ConfigurationError(
            f"{source.label}: its first line is longer than {_SAMPLE_BYTES // 1024} KB, so it has no header.",
            remedy="Export it again as a table with a header row.",
            code="file_cell_too_large",
        )
    text = encoding.decode_marked(sample[encoding.bom :])
    forced = settings.get("delimiter", "").replace("\\t", "\t").replace("tab", "\t")
    hint = _HINTS.get(PurePosixPath(source.name).suffix.lower())
    has_header = settings.get("header", "yes") != "no"
    layout = find_layout(text, hint=hint, forced=forced, whole=whole, has_header=has_header)
    return None if layout is None else _table(source, limits, encoding, settled, text, layout)


def read_up_to(stream: BinaryIO, size: int) -> bytes:
    """``size`` bytes, fewer only at the end: one read of a compressed stream may give less."""
    pieces = bytearray()
    while len(pieces) < size and (piece := stream.read(size - len(pieces))):
        pieces += piece
    return bytes(pieces)


def _refuse_binary(source: Source, head: bytes) -> None:
    for magic, kind in _BINARY:
        if head.startswith(magic):
            raise ConfigurationError(
                f"{source.label} is {kind}, whatever its name says.",
                remedy="Give it the ending it should have, or save it as CSV.",
                code="file_wrong_format",
            )


def _encoding(source: Source, head: bytes, whole: bool, settings: Mapping[str, str]) -> tuple[Encoding, bool]:
    """The encoding that reads the header, and whether it is certain for all of the file."""
    wanted = settings.get("encoding")
    by_head = detect(BytesIO(head if whole else head[: head.rfind(b"\n") + 1] or head), wanted)
    if wanted or whole or by_head.bom or by_head.unit > 1:
        return by_head, True
    if by_head.guessed:  # a later part may show that it is UTF-8 with some broken lines
        with opened(source) as stream:
            return detect(stream), True
    return by_head, not head.isascii()


def _table(source: Source, limits: Limits, encoding: Encoding, settled: bool, text: str, layout: Layout) -> CsvTable:
    columns, warnings = column_names(layout.header)
    if layout.header_line:
        warnings.append(f"{source.label}: the lines above line {layout.header_line + 1}, its header, are left out.")
    lines = list(lines_of(text))
    head = "".join(lines[: layout.lines])
    offset = encoding.bom + len(encoding.encode_marked(head))
    per_row = max(len(encoding.encode_marked(text)) // max(len(lines), 1), 1)
    block = min(max(per_row * limits.page_rows, _BLOCK_MIN), limits.block_max) // 4 * 4
    form = CsvFormat(encoding, layout.dialect, columns, offset, layout.lines + 1, block)
    sample = [row for row in layout.sample if len(row) == len(columns)]
    return CsvTable(source, limits, form, settled, sample, warnings)
