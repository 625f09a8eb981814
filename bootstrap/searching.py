"""Whether a file names somebody: text in any encoding, archives and workbooks unpacked. What cannot be looked into is told.

A search that finds nothing proves something only where everything could be read. So a damaged, locked or binary part is no "no".
"""

from __future__ import annotations

import codecs
import gzip
import lzma
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from storage import sweeping

DAMAGED: Final = "is damaged: it cannot be unpacked"
LOCKED: Final = "is locked by a password"
OLD_WORKBOOK: Final = "is an encrypted workbook, or one of an old binary format"
NOT_TEXT: Final = "is no text: what it says may be packed, encrypted or scanned"
BROKEN_TEXT: Final = "is damaged: parts of it are no text in its encoding"
UNKNOWN_TEXT: Final = "is text in an unknown encoding, and the person's address has letters beyond ASCII"
UNKNOWN_PACKING: Final = "is packed in a way that is not known here"
TOO_MUCH: Final = "unpacks to more than is looked into"
TOO_DEEP: Final = "is packed in more archives than are looked into"
UNREADABLE: Final = "cannot be read from disk"

_PIECE = 1 << 20
_SEAM = 4096
_HEAD = 8
_DEPTH_MOST = 4
_UNPACKED_LEAST, _UNPACKED_RATIO = 1 << 30, 250
_IN_MEMORY_MOST = 16 << 20

_ZIP, _GZIP, _OLE = b"PK", b"\x1f\x8b", b"\xd0\xcf\x11\xe0"
_PDF = b"%PDF"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x19]")
_BROKEN = re.compile("[\ud800-\udfff]")
_HIGH = re.compile("[^\x00-\x7f]")
_SETTINGS_OF_PRINTERS = re.compile(r"xl/printerSettings/[^/]+\.bin")
"""Binary parts that nearly every workbook has: wide text that is not packed, so a search for it sees all of it."""


@dataclass(slots=True)
class Searched:
    """``named``: somebody stands in the file, and the search ended there. ``unread``: parts ("" for the whole) and why."""

    named: bool = False
    unread: list[tuple[str, str]] = field(default_factory=list)


def search(path: Path, needles: Sequence[str]) -> Searched:
    """Look for ``needles`` (small letters) in a file. Raises FileNotFoundError."""
    found = Searched()
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            looking = _Looking(needles, max(_UNPACKED_LEAST, _UNPACKED_RATIO * size), found.unread)
            found.named = looking.at(file, "", 0)
    except FileNotFoundError:
        raise
    except OSError:
        found.unread.append(("", UNREADABLE))
    return found


class _TooMuchError(Exception):
    """More came out of an archive than is looked into."""


@dataclass(slots=True)
class _Looking:
    """One search. ``left``: bytes that may still be unpacked."""

    needles: Sequence[str]
    left: int
    unread: list[tuple[str, str]]

    def at(self, file: IO[bytes], place: str, depth: int) -> bool:
        """Whether the part at ``place`` names somebody. ``file`` is seekable."""
        head = file.read(_HEAD)
        file.seek(0)
        if self._plain(file, place, told=not head.startswith((_ZIP, _GZIP, _OLE))):
            return True
        file.seek(0)
        if head.startswith(_OLE):
            self.unread.append((place, OLD_WORKBOOK))
        elif depth > _DEPTH_MOST and head.startswith((_ZIP, _GZIP)):
            self.unread.append((place, TOO_DEEP))
        elif head.startswith(_GZIP):
            return self._gzipped(file, place, depth)
        elif head.startswith(_ZIP) or zipfile.is_zipfile(file):
            return self._archive(file, place, depth)
        return False

    def _archive(self, file: IO[bytes], place: str, depth: int) -> bool:
        def look() -> bool:
            archive = zipfile.ZipFile(file)
            return any(self._member(archive, info, place, depth) for info in archive.infolist() if not info.is_dir())

        return self._tried(place, look)

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str, depth: int) -> bool:
        inside = f"{place}/{info.filename}" if place else info.filename

        def look() -> bool:
            with archive.open(info) as packed, self._unpacked(packed) as part:
                return self.at(part, inside, depth + 1)

        if info.flag_bits & 1:
            self.unread.append((inside, LOCKED))
            return False
        return self._tried(inside, look)

    def _gzipped(self, file: IO[bytes], place: str, depth: int) -> bool:
        def look() -> bool:
            with gzip.GzipFile(fileobj=file, mode="rb") as packed, self._unpacked(cast(IO[bytes], packed)) as part:
                return self.at(part, place, depth + 1)

        return self._tried(place, look)

    def _tried(self, place: str, look: Callable[[], bool]) -> bool:
        """What ``look`` finds; where a part cannot be unpacked, that is noted, and the search goes on after it."""
        try:
            return look()
        except _TooMuchError:
            why = TOO_MUCH
        except RuntimeError as error:  # what is locked raises just this, what is packed in an unknown way a kind of it
            why = LOCKED if type(error) is RuntimeError else UNKNOWN_PACKING
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError):
            why = DAMAGED
        self.unread.append((place, why))
        return False

    @contextmanager
    def _unpacked(self, packed: IO[bytes]) -> Iterator[IO[bytes]]:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_MOST) as part:
            while piece := packed.read(min(_PIECE, max(self.left, 0) + 1)):
                self.left -= len(piece)
                if self.left < 0:
                    raise _TooMuchError
                part.write(piece)
            part.seek(0)
            yield part

    def _plain(self, file: IO[bytes], place: str, *, told: bool) -> bool:
        """Search what stands there as it is. ``told``: it should be text, so say where it is not."""
        text, seam, shown_seam = _Text(), b"", b""
        while piece := file.read(_PIECE):
            shown = text.shown(piece)
            forms = [seam + piece] if shown is piece else [seam + piece, shown_seam + shown]
            if any(sweeping.names(form, self.needles) for form in forms):
                return True
            seam, shown_seam = piece[-_SEAM:], shown[-_SEAM:]
        why = text.problem(self.needles) if told else None
        if why is not None and not _SETTINGS_OF_PRINTERS.fullmatch(place):
            self.unread.append((place, why))
        return False


class _Text:
    """Reads bytes as the text that they most likely are, and knows afterwards whether they were one."""

    def __init__(self) -> None:
        self._codec: str | None = None
        self._marked = self._pdf = False
        self._control = self._good = self._bad = 0

    def shown(self, piece: bytes) -> bytes:
        """The next piece, read as text, in small letters and UTF-8; the piece itself where it is ASCII."""
        if self._codec is None:
            self._begin(piece)
        elif self._codec == "utf-8" and piece.isascii() and not self._decoder.getstate()[0]:
            self._control += bool(_CONTROL.search(piece.decode("ascii")))
            return piece
        decoded = self._decoder.decode(piece)
        self._control += bool(_CONTROL.search(decoded))
        self._bad += len(_BROKEN.findall(decoded))
        self._good += len(_HIGH.findall(decoded))
        return decoded.lower().encode("utf-8", "surrogatepass")

    def problem(self, needles: Sequence[str]) -> str | None:
        """Why a search of it proves nothing; None where it does."""
        if self._codec is None:
            return None
        rest = self._decoder.decode(b"", final=True)
        bad = self._bad + len(_BROKEN.findall(rest))
        good = self._good - self._bad
        wide = self._codec != "utf-8"
        if self._pdf or self._control or (wide and bad and not self._marked):
            return NOT_TEXT
        if bad and (wide or self._marked or good >= bad):
            return BROKEN_TEXT
        if bad and not all(n.isascii() for n in needles):
            return UNKNOWN_TEXT
        return None

    def _begin(self, piece: bytes) -> None:
        marked = next((name for bom, name in _BOMS if piece.startswith(bom)), None)
        self._marked, self._pdf = marked is not None, piece.startswith(_PDF)
        self._codec = marked or _wide(piece[:_SEAM]) or "utf-8"
        one_byte = self._codec == "utf-8"
        self._decoder = codecs.getincrementaldecoder(self._codec)("surrogateescape" if one_byte else _MARKING)


def _wide(head: bytes) -> str | None:
    """UTF-16 without its mark: every second byte of Western text is zero."""
    low, high = head[0::2].count(0), head[1::2].count(0)
    if max(low, high) <= 0.4 * (len(head) // 2):
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  # nothing is encoded with it
    return "\udc80", max(error.end, error.start + 1)


_MARKING = "syncline.mark"
codecs.register_error(_MARKING, _mark)
