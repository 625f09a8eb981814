"""Reading a reply within bounded memory: a size cap, and a cap on what a compressed reply may grow to."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from domain.errors import ConfigurationError, TransientError

PIECE_BYTES_MAX = 1 << 20
_RATIO_FROM_BYTES = 8 << 20
ACCEPT_ENCODING = "gzip, deflate"


@dataclass(frozen=True, slots=True)
class BodyCap:
    """``bytes_max``: the reply after decompression. ``ratio_max``: decompressed to compressed, looked at above 8 MiB.

    ``total_s``: the whole body, because a read timeout alone never ends on a server that drips a byte at a time.
    """

    bytes_max: int = 256 << 20
    ratio_max: float = 500.0
    total_s: float = 900.0


def bounded(
    raw: Iterable[bytes], encoding: str, cap: BodyCap, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Decode ``raw`` in pieces of at most 1 MiB.

    Raises ConfigurationError (code ``reply_too_large``) beyond a cap, before the excess is held in memory, and
    TransientError (code ``bad_reply``) for what is cut short, damaged, too slow or encoded in a way nobody asked for.
    """
    deadline = clock() + cap.total_s
    taken = given = 0
    decode = _decoder(encoding)
    for chunk in raw:
        taken += len(chunk)
        for piece in decode(chunk):
            given += len(piece)
            _check(taken, given, cap)
            yield piece
        if clock() > deadline:
            raise TransientError(f"The reply was not complete after {cap.total_s:.0f} seconds.", code="bad_reply")
    yield from decode(None)


def _check(taken: int, given: int, cap: BodyCap) -> None:
    if given > cap.bytes_max:
        raise ConfigurationError(
            f"A reply of the vendor is larger than {cap.bytes_max >> 20} MiB and was not read.",
            remedy="Ask for smaller pages.",
            code="reply_too_large",
        )
    if given > _RATIO_FROM_BYTES and given > taken * cap.ratio_max:
        raise ConfigurationError(
            f"A compressed reply grew to more than {cap.ratio_max:.0f} times its size and was not read.",
            remedy="Treat the reply as hostile, or ask for it uncompressed.",
            code="reply_too_large",
        )


def _decoder(encoding: str) -> Callable[[bytes | None], Iterator[bytes]]:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _plain
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflate().feed
    raise TransientError("The vendor sent a reply in an encoding that was not asked for.", code="bad_reply")


def _plain(chunk: bytes | None) -> Iterator[bytes]:
    view = chunk or b""
    for start in range(0, len(view), PIECE_BYTES_MAX):
        yield view[start : start + PIECE_BYTES_MAX]


class _Inflate:
    """Gzip (several members too), zlib, and the raw deflate that some servers send under its name."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(wbits=47)
        self._begun = False

    def feed(self, chunk: bytes | None) -> Iterator[bytes]:
        if chunk is None:
            yield from self._rest()
            return
        while chunk:
            if self._engine.eof:
                if not chunk.strip(b"\0"):  # padding, as after a tar file
                    return
                self._engine = zlib.decompressobj(wbits=47)
            yield self._step(chunk)
            chunk = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail

    def _rest(self) -> Iterator[bytes]:
        if not self._begun:
            return
        while not self._engine.eof and (piece := self._step(b"")):
            yield piece
        if not self._engine.eof:
            raise TransientError("The vendor's compressed reply was cut short.", code="bad_reply")

    def _step(self, chunk: bytes) -> bytes:
        first, self._begun = not self._begun, True
        piece = _inflated(self._engine, chunk)
        if piece is None and first:
            self._engine = zlib.decompressobj(wbits=-15)
            piece = _inflated(self._engine, chunk)
        if piece is None:
            raise TransientError("The vendor's compressed reply is damaged.", code="bad_reply")
        return piece


def _inflated(engine: zlib._Decompress, chunk: bytes) -> bytes | None:
    try:
        return engine.decompress(chunk, PIECE_BYTES_MAX)
    except zlib.error:
        return None
