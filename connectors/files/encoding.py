"""Which characters a file's bytes stand for: byte order marks, strict UTF-8, then a guess that says it is one.

Bytes that the chosen encoding cannot decode come out of `Encoding.decode_marked` as lone surrogates, so that the row
and column that hold them can be named; they never come out as some other letter.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from charset_normalizer import from_bytes

from connectors.files.limits import MIB
from domain.errors import ConfigurationError

MARK = re.compile("[\ud800-\udfff]")
"""Finds what could not be decoded in text that came from `Encoding.decode_marked`."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What guesses may end in, likeliest first: a tie goes to the earlier one. cp1252 and cp932 are the supersets that
# software means when it says Latin-1 and Shift-JIS (https://encoding.spec.whatwg.org/#names-and-labels).
_GUESSES = (
    *("cp1252", "cp932", "cp1251", "cp1250", "gb18030", "euc_jp", "big5", "euc_kr"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "mac_roman", "cp850"),
)
_TYPOGRAPHY = frozenset("‘’“”„–—…€£§°ºª·•¿¡«»®™´")
_SAMPLE_BYTES = 256 * 1024
_HIGH = bytes(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec and what is known of it. ``bom`` bytes stand before the text; ``guessed`` asks a person to look."""

    name: str
    bom: int = 0
    guessed: bool = False

    @property
    def unit(self) -> int:
        """Bytes of the smallest character."""
        return {"utf-16": 2, "utf-32": 4}.get(self.name[:6], 1)

    def decode_marked(self, raw: bytes) -> str:
        """Like decode, but what is undecodable becomes lone surrogates; `encode_marked` gives as many bytes back."""
        if self.unit == 1:
            return raw.decode(self.name, "surrogateescape")
        odd = len(raw) % self.unit
        text = raw[: len(raw) - odd].decode(self.name, "surrogatepass")
        return text + "\udc00" * bool(odd)

    def encode_marked(self, text: str) -> bytes:
        return text.encode(self.name, "surrogateescape" if self.unit == 1 else "surrogatepass")

    def last_break(self, raw: bytes) -> int:
        """Length of ``raw`` up to and with its last line break that no following byte can change; 0 if there is none."""
        line_feed, carriage_return = self._last(raw, "\n"), self._last(raw, "\r")
        if carriage_return == len(raw):  # a line feed may follow in the next block
            carriage_return = self._last(raw[: -self.unit], "\r")
        return max(line_feed, carriage_return)

    def first_break(self, raw: bytes) -> int:
        """Like `last_break`, of the first line break; a carriage return and line feed count as one."""
        found = [at for mark in "\n\r" if (at := self._first(raw, mark))]
        if not found:
            return 0
        at = min(found)
        pair = raw[at - self.unit : at + self.unit].decode(self.name, "replace")
        if pair == "\r":
            return 0
        return at + self.unit if pair == "\r\n" else at

    def _last(self, raw: bytes, mark: str) -> int:
        needle, end = mark.encode(self.name), len(raw)
        while (at := raw.rfind(needle, 0, end)) >= 0:
            if at % self.unit == 0:
                return at + self.unit
            end = at + self.unit - 1
        return 0

    def _first(self, raw: bytes, mark: str) -> int:
        needle, at = mark.encode(self.name), -1
        while (at := raw.find(needle, at + 1)) >= 0:
            if at % self.unit == 0:
                return at + self.unit
        return 0


def named(name: str) -> Encoding:
    """The encoding a person named. Raises ConfigurationError when there is none of that name."""
    try:
        codec = codecs.lookup(name.strip())
        "a,\n".encode(codec.name)
    except (LookupError, ValueError, UnicodeError):
        raise ConfigurationError(
            "The setting encoding names no known text encoding.", remedy="Try utf-8, windows-1252, shift_jis or utf-16."
        ) from None
    known = {"shift_jis": "cp932", "utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
    return Encoding(known.get(codec.name, codec.name))


def detect(stream: BinaryIO, wanted: str | None = None) -> Encoding:
    """The encoding of ``stream``, read once from its beginning to its end in blocks.

    ``wanted`` is a person's choice; a byte order mark still tells more. Memory: a few MiB.
    """
    head = stream.read(4 * 1024)
    by_bom = _from_bom(head)
    if wanted:
        chosen = named(wanted)
        return by_bom if by_bom and by_bom.unit == chosen.unit else chosen
    if by_bom and by_bom.unit > 1:
        return by_bom
    if wide := _wide(head):
        return Encoding(wide, guessed=True)
    good, bad, sample = _high_bytes(_lines_of(head, stream))
    if good >= bad:  # a few broken bytes in UTF-8 are rejects, not a reason to misread all the others
        return by_bom or Encoding("utf-8")
    return Encoding(_guess(sample), guessed=True)


def _from_bom(head: bytes) -> Encoding | None:
    return next((Encoding(name, len(bom)) for bom, name in _BOMS if head.startswith(bom)), None)


def _wide(head: bytes) -> str | None:
    """UTF-16 without its mark: every second byte of Western text is zero."""
    if len(head) < 4 or (half := len(head) // 2) == 0:
        return None
    low, high = head[0::2].count(0) / half, head[1::2].count(0) / half
    if high > 0.4 and low < 0.05:
        return "utf-16-le"
    return "utf-16-be" if low > 0.4 and high < 0.05 else None


def _lines_of(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """The stream in blocks that end with a line, so that no character is cut (lines beyond 1 MiB are cut)."""
    carry = head
    while block := stream.read(MIB):
        block = carry + block
        cut = block.rfind(b"\n") + 1 or len(block)
        yield block[:cut]
        carry = block[cut:]
    yield carry


def _high_bytes(blocks: Iterable[bytes]) -> tuple[int, int, bytes]:
    """How many bytes above 0x7f are part of UTF-8 characters and how many aren't, and some lines with the latter."""
    good = bad = 0
    sample = bytearray()
    for block in blocks:
        if block.isascii():
            continue
        high = len(block) - len(block.translate(None, _HIGH))
        broken = len(MARK.findall(block.decode("utf-8", "surrogateescape")))
        good, bad = good + high - broken, bad + broken
        for line in block.splitlines(keepends=True) if broken and len(sample) < _SAMPLE_BYTES else ():
            if MARK.search(line.decode("utf-8", "surrogateescape")):
                sample += line[:4096]
    return good, bad, bytes(sample)


def _guess(sample: bytes) -> str:
    matches = list(from_bytes(sample, cp_isolation=list(_GUESSES)))
    if not matches:
        return "cp1252"
    calm = min(m.chaos for m in matches) + 0.1
    likely = [m for m in matches if m.chaos <= calm]

    def rank(name: str, coherence: float) -> tuple[float, float, int]:
        return (round(_letters(sample, name), 1), round(coherence, 1), -_GUESSES.index(name))

    return max((rank(m.encoding, m.coherence), m.encoding) for m in likely if m.encoding in _GUESSES)[1]


def _letters(sample: bytes, name: str) -> float:
    """Share of the non-ASCII characters that people write, rather than symbols a wrong encoding makes of them."""
    high = [c for c in sample.decode(name, "replace") if c > "\x7f"]
    return sum(c.isalpha() or c in _TYPOGRAPHY for c in high) / max(len(high), 1)
