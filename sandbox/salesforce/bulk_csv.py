"""The CSV of bulk jobs: delimiters by name, every value quoted on the way out.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_csv_valid_record_rows.htm
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDS = {"LF": "\n", "CRLF": "\r\n"}
NULL = "#N/A"


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str, line_end: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=DELIMITERS[delimiter], lineterminator=LINE_ENDS[line_end], quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def read_csv(data: bytes, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows. Raises ValueError for bytes that aren't UTF-8, or rows that are longer than the header."""
    text = data.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter]))
    if not rows:
        return [], []
    header = [name.strip() for name in rows[0]]
    body = [row for row in rows[1:] if row]
    wrong = next((number for number, row in enumerate(body, 1) if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"row {wrong} has {len(body[wrong - 1])} columns, the header has {len(header)}")
    return header, body


def wrong_line_end(data: bytes, line_end: str) -> bool:
    """Whether the file's first line ends otherwise than the job says."""
    first = data.find(b"\n")
    return first > 0 and (data[first - 1 : first] == b"\r") is (line_end == "LF")
