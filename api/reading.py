"""Raw bodies of requests, for routes that run in a thread of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import anyio
from anyio import from_thread
from fastapi import Request

from api.bodies import READ_WITHIN_S, too_large, too_slow

SLOWEST_PER_S = 4_096
"""Whoever sends less, on average and after the first `READ_WITHIN_S`, holds a thread for nothing."""


def pieces(request: Request) -> Iterator[bytes]:
    """The body as it arrives. Raises ApiError 408 for one that trickles in."""
    stream = request.stream()
    began, size = time.monotonic(), 0

    async def following() -> bytes | None:
        with anyio.fail_after(READ_WITHIN_S):
            return await anext(stream, None)

    while True:
        try:
            piece = from_thread.run(following)
        except TimeoutError:
            raise too_slow() from None
        if piece is None:
            return
        size += len(piece)
        if time.monotonic() - began > READ_WITHIN_S + size / SLOWEST_PER_S:
            raise too_slow()
        yield piece


def whole(request: Request, bytes_max: int) -> bytes:
    """The body at once. Raises ApiError 408, and 413 for more than ``bytes_max``."""
    found = bytearray()
    for piece in pieces(request):
        found += piece
        if len(found) > bytes_max:
            raise too_large(bytes_max)
    return bytes(found)
