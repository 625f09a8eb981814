"""Delimited files in blocks of about ten thousand records, each block ending where a record ends.

A block starts at a byte offset that is the start of a record, so the offset after any block resumes exactly. Blocks
begun at the same offset are the same blocks, whichever process reads them. Memory: a few times the block, or of the
longest record that `Limits` allows; a longer one is stepped over without being held.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import BinaryIO

from connectors.files import rejects as codes
from connectors.files.csvparse import Dialect, Malformed, Parsed, lines_of, parse
from connectors.files.encoding import MARK, Encoding
from connectors.files.limits import MIB, Limits
from connectors.files.rejects import reject
from domain.records import Place, Reject


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How to read one delimited file. Records start at byte ``offset``, which is line ``row`` (1-based)."""

    encoding: Encoding
    dialect: Dialect
    columns: tuple[str, ...]
    offset: int
    row: int
    block: int


@dataclass(slots=True)
class Block:
    """Rows as wide as the header with the 1-based line of each; ``offset`` and ``row`` are where the next block starts."""

    rows: list[list[str]]
    lines: Sequence[int]
    offset: int
    row: int
    last: bool = False
    blank: int = 0
    rejects: list[Reject] = field(default_factory=list)


@dataclass(slots=True)
class CsvReader:
    """Reads ``stream``, which stands at ``offset``."""

    stream: BinaryIO
    label: str
    format: CsvFormat
    limits: Limits
    offset: int
    row: int
    _ahead: bytes = b""
    _ended: bool = False

    def blocks(self) -> Iterator[Block]:
        """Blocks to the end of the stream; the last one says so, and may be empty."""
        while True:
            block = self._block()
            self.offset, self.row = block.offset, block.row
            yield block
            if block.last:
                return

    def _block(self) -> Block:
        want = self.format.block
        while True:
            self._fill(want)
            raw = self._ahead[:want]  # never more than ``want``, so that equal offsets give equal blocks
            whole = self._ended and len(self._ahead) <= want
            end = len(raw) if whole else self.format.encoding.last_break(raw)
            if end or whole:
                block = self._parsed(raw[:end], final=whole)
                if block is not None:
                    return block
            if want >= self.limits.record:
                return self._unclosed() if end else self._too_long()
            want = min(2 * want, self.limits.record)

    def _fill(self, size: int) -> None:
        while not self._ended and len(self._ahead) < size:
            more = self.stream.read(min(size - len(self._ahead), 8 * MIB))
            self._ended = not more
            self._ahead += more

    def _parsed(self, raw: bytes, *, final: bool) -> Block | None:
        """The records of ``raw``; None when it holds no complete one."""
        text, marked = self._decode(raw)
        parsed = parse(text, self.format.dialect, final=final, width=len(self.format.columns))
        if parsed.open_line == 0:
            return None
        used, lines = len(raw), parsed.lines
        if parsed.open_line is not None:
            used, lines = self._bytes_of(raw, text, parsed.open_line), parsed.open_line
        self._ahead = self._ahead[used:]
        block = self._checked(parsed, marked)
        block.offset, block.row = self.offset + used, self.row + lines
        block.last = self._ended and not self._ahead
        return block

    def _decode(self, raw: bytes) -> tuple[str, bool]:
        try:
            text = raw.decode(self.format.encoding.name)
            return text, "\0" in text
        except UnicodeDecodeError:
            return self.format.encoding.decode_marked(raw), True

    def _bytes_of(self, raw: bytes, text: str, lines: int) -> int:
        """How many bytes the first ``lines`` lines take."""
        encoding = self.format.encoding
        if encoding.unit == 1:  # no encoding of single bytes or of Asian pairs uses line breaks as a second byte
            return sum(map(len, raw.splitlines(keepends=True)[:lines]))
        kept = [line for line, _ in zip(lines_of(text), range(lines), strict=False)]
        return len(encoding.encode_marked("".join(kept)))

    def _checked(self, parsed: Parsed, marked: bool) -> Block:
        width, rows, first = len(self.format.columns), parsed.rows, self.row
        starts: Sequence[int] = parsed.starts
        lines = (
            range(first + starts.start, first + starts.stop)
            if isinstance(starts, range)
            else array("Q", [first + s for s in starts])
        )
        block = Block(rows, lines, 0, 0)
        block.rejects.extend(self._malformed(m) for m in parsed.malformed)
        if marked:
            self._drop_unreadable(block)
        if self.limits.record < self.format.block:
            self._drop_huge(block)
        if not (set(map(len, rows)) <= {width} and all(map(any, rows))):
            self._fit(block, width)
        return block

    def _fit(self, block: Block, width: int) -> None:
        """Leave out blank lines, cut empty cells beyond the header, reject what is still ragged."""
        keep = []
        for index, row in enumerate(block.rows):
            if len(row) > width and not any(row[width:]):
                del row[width:]
            blank = not any(row)
            block.blank += blank
            keep.append(len(row) == width and not blank)
            if len(row) != width and not blank:
                block.rejects.append(self._ragged(row, block.lines[index]))
        _keep_only(block, keep)

    def _ragged(self, row: list[str], line: int) -> Reject:
        columns = self.format.columns
        wanted, found = len(columns), len(row)
        column = str(found + 1) if found > wanted else columns[found]
        place = Place(self.label, line, column if found < wanted else str(wanted + 1))
        problem = f"the row has {found} cells, the header has {wanted}. Add the missing or quote the extra delimiters."
        return reject(codes.CODE_RAGGED, place, problem, codes.cells(columns, row, self.limits.raw_kept))

    def _drop_unreadable(self, block: Block) -> None:
        keep = []
        for index, row in enumerate(block.rows):
            column = next((n for n, cell in enumerate(row) if "\0" in cell or MARK.search(cell)), None)
            keep.append(column is None)
            if column is not None:
                block.rejects.append(self._unreadable(row, column, block.lines[index]))
        _keep_only(block, keep)

    def _unreadable(self, row: list[str], column: int, line: int) -> Reject:
        place = Place(self.label, line, self._column(column))
        raw = codes.cells(self.format.columns, row, self.limits.raw_kept)
        if "\0" in row[column]:
            return reject(codes.CODE_NUL, place, "the cell holds a NUL byte. Remove it, or export the file again.", raw)
        problem = f"the cell holds bytes that are not {self.format.encoding.name}. Save the file in one encoding."
        return reject(codes.CODE_ENCODING, place, problem, raw)

    def _drop_huge(self, block: Block) -> None:
        keep = []
        for index, row in enumerate(block.rows):
            column = next((n for n, cell in enumerate(row) if len(cell) > self.limits.record), None)
            keep.append(column is None)
            if column is not None:
                place = Place(self.label, block.lines[index], self._column(column))
                block.rejects.append(self._huge(place, codes.cells(self.format.columns, row, self.limits.raw_kept)))
        _keep_only(block, keep)

    def _huge(self, place: Place, raw: object) -> Reject:
        problem = f"the record is larger than {self.limits.record // MIB} MB. Raise max_cell_mb or shorten the cell."
        return reject(codes.CODE_TOO_LARGE, place, problem, raw)

    def _column(self, index: int) -> str:
        return self.format.columns[index] if index < len(self.format.columns) else str(index + 1)

    def _malformed(self, found: Malformed) -> Reject:
        place = Place(self.label, self.row + found.line, self._quote_column(found.text))
        raw = {"text": codes.storable(found.text, self.limits.raw_kept)}
        return reject(codes.CODE_QUOTE, place, f"{found.reason}. Mend the quotes of this row.", raw)

    def _quote_column(self, line: str) -> str:
        """The column whose quote is at fault: the last one that a lenient parse of the line alone finds."""
        dialect = self.format.dialect
        before = line[: line.rfind(f"{dialect.delimiter}{dialect.quote}") + 1]
        rows = parse(before + "\n", dialect, final=True).rows
        return self._column(max(len(rows[0]) - 1, 0) if rows else 0)

    def _unclosed(self) -> Block:
        """The first record is open for longer than a record may be: step over its first line only."""
        end = self.format.encoding.first_break(self._ahead) or len(self._ahead)
        text = self.format.encoding.decode_marked(self._ahead[:end])
        self._ahead = self._ahead[end:]
        found = self._malformed(Malformed(0, text, "a quote that opens here is not closed within the largest record"))
        return Block([], (), self.offset + end, self.row + 1, rejects=[found])

    def _too_long(self) -> Block:
        """The first line is longer than a record may be: step over it without holding it."""
        encoding, skipped = self.format.encoding, 0
        kept = encoding.decode_marked(self._ahead[: 4 * 1024])
        while not (end := encoding.first_break(self._ahead)):
            if self._ended:
                end = len(self._ahead)
                break
            tail = self._ahead[-4:]  # a carriage return at the very end waits for its line feed
            skipped += len(self._ahead) - len(tail)
            self._ahead = tail
            self._fill(MIB)
        self._ahead = self._ahead[end:]
        self._fill(1)
        block = Block([], (), self.offset + skipped + end, self.row + 1, last=self._ended and not self._ahead)
        raw = {"text": codes.storable(kept, self.limits.raw_kept)}
        block.rejects.append(self._huge(Place(self.label, self.row, self._column(0)), raw))
        return block


def _keep_only(block: Block, keep: list[bool]) -> None:
    if not all(keep):
        block.rows = list(compress(block.rows, keep))
        block.lines = array("Q", compress(block.lines, keep))
