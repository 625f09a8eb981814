"""A file names somebody, or does not, or nobody can tell: the last is never taken for a "no"."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bootstrap import searching

ADA = "ada.byron@engine.example"
UMLAUT = "jörg@engine.example"


def packed(parts: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return held.getvalue()


def locked(parts: Mapping[str, bytes]) -> bytes:
    """An archive whose parts say that they are encrypted."""
    content = bytearray(packed(parts))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 4)
    return bytes(content)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


SCAN = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + random.Random(7).randbytes(2000)
ROWS = b"Name,Email\n" + b"".join(b"Bo%d,bo%d@engine.example\n" % (n, n) for n in range(500))
SHEET = {"xl/sharedStrings.xml": b"<sst/>", "xl/printerSettings/printerSettings1.bin": "HP\0\0\x01".encode("utf-16-le")}


def search(tmp_path: Path, content: bytes, *needles: str) -> searching.Searched:
    path = tmp_path / "file"
    path.write_bytes(content)
    return searching.search(path, needles or (ADA,))


@pytest.mark.parametrize(
    "content",
    [
        ADA.upper().encode(),
        ADA.encode("utf-16"),
        ADA.encode("utf-16-be"),
        ADA.encode("utf-32"),
        b"x" * ((1 << 20) - 7) + ADA.encode(),
        packed({"a.csv": b"", "b/c.csv": ADA.encode()}),
        packed({"inner.zip": packed({"a.csv": ADA.encode()})}),
        packed({"a.csv.gz": gzip.compress(ADA.encode())}),
        gzip.compress(packed({"a.csv": ADA.encode()})),
        packed({f"{ADA}.eml": b""}),
        b"self-extracting" + packed({"a.csv": ADA.encode()}),
        packed({"scan.png": SCAN, "a.csv": ADA.encode()}),
        b"\xd0\xcf\x11\xe0" + ADA.encode("utf-16-le"),
    ],
    ids=["small letters", "wide", "wide without mark", "four bytes", "at a seam", "archive", "archive in archive",
         "gzip in archive", "archive in gzip", "name of a part", "with a front", "beside a scan", "old workbook"],
)  # fmt: skip
def test_a_person_is_found_however_the_file_is_packed(tmp_path: Path, content: bytes) -> None:
    assert search(tmp_path, content).named


@pytest.mark.parametrize(
    "content",
    [b"", ROWS, ROWS.decode().encode("utf-16"), "Größe;Ж\n".encode() * 9, "Grüße\n".encode("cp1252"), packed(SHEET),
     packed({"a.csv": ROWS}), gzip.compress(ROWS), packed({})],
    ids=["empty", "ascii", "wide", "utf-8", "one byte a letter", "workbook", "archive", "gzip", "empty archive"],
)  # fmt: skip
def test_of_a_file_that_could_be_read_the_answer_is_no(tmp_path: Path, content: bytes) -> None:
    assert search(tmp_path, content) == searching.Searched(named=False, unread=[])


@pytest.mark.parametrize(
    ("content", "unread"),
    [
        (packed({"a.csv": ROWS})[:-30], [("", searching.DAMAGED)]),
        (flipped(packed({"a.csv": ROWS, "b.csv": ROWS}), 900), [("a.csv", searching.DAMAGED)]),
        (locked({"a.csv": ROWS}), [("a.csv", searching.LOCKED)]),
        (locked({"a.csv": ROWS, "b.csv": ROWS}), [("a.csv", searching.LOCKED), ("b.csv", searching.LOCKED)]),
        (packed({"x.zip": locked({"a.csv": ROWS})}), [("x.zip/a.csv", searching.LOCKED)]),
        (packed({"a.csv": ROWS}).replace(b"\x08\x00", b"\x63\x00"), [("a.csv", searching.UNKNOWN_PACKING)]),
        (gzip.compress(ROWS)[:-9], [("", searching.DAMAGED)]),
        (b"\xd0\xcf\x11\xe0" + SCAN, [("", searching.OLD_WORKBOOK)]),
        (SCAN, [("", searching.NOT_TEXT)]),
        (b"%PDF-1.7\nstream of packed text\n", [("", searching.NOT_TEXT)]),
        (packed({**SHEET, "xl/media/1.png": SCAN}), [("xl/media/1.png", searching.NOT_TEXT)]),
        (b"\x00" * 64 + packed({"a.csv": ROWS})[64:-30], [("", searching.NOT_TEXT)]),
        ("Größe Ж\n".encode() * 9 + b"\xff\xfe\n", [("", searching.BROKEN_TEXT)]),
        (ROWS.decode().encode("utf-16") + b"x", [("", searching.BROKEN_TEXT)]),
        (b"\xff\xfe\x00\xd8a\x00", [("", searching.BROKEN_TEXT)]),
    ],
    ids=["no end", "wrong checksum", "password", "passwords", "password inside", "packing", "gzip without end",
         "encrypted workbook", "scan", "pdf", "scan in a workbook", "overwritten", "broken utf-8", "half a letter",
         "lone surrogate"],
)  # fmt: skip
def test_what_could_not_be_searched_is_told_with_its_reason(
    tmp_path: Path, content: bytes, unread: list[tuple[str, str]]
) -> None:
    assert search(tmp_path, content) == searching.Searched(named=False, unread=unread)


def test_letters_beyond_ascii_are_found_in_both_cases_and_not_denied_in_an_unknown_encoding(tmp_path: Path) -> None:
    assert search(tmp_path, UMLAUT.upper().encode(), UMLAUT).named
    assert search(tmp_path, UMLAUT.upper().encode("utf-16"), UMLAUT).named
    unknown = search(tmp_path, UMLAUT.encode("cp1252"), UMLAUT)
    assert unknown == searching.Searched(named=False, unread=[("", searching.UNKNOWN_TEXT)])


def test_an_archive_that_unpacks_to_more_than_is_looked_into_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_UNPACKED_LEAST", 1 << 16)
    found = search(tmp_path, gzip.compress(b"x" * (4 << 20)))
    assert found == searching.Searched(named=False, unread=[("", searching.TOO_MUCH)])


def test_an_archive_of_archives_ends_somewhere(tmp_path: Path) -> None:
    content = b"Email\n"
    for _ in range(9):
        content = packed({"x.zip": content})
    assert [why for _, why in search(tmp_path, content).unread] == [searching.TOO_DEEP]
