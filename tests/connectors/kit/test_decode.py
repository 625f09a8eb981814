from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.decode import PIECE_BYTES_MAX, BodyCap, bounded
from domain.errors import ConfigurationError, TransientError


def _raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", lambda d: d),
    "identity": ("identity", lambda d: d),
    "gzip": ("gzip", gzip.compress),
    "gzip in upper case": (" GZIP ", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", _raw_deflate),
    "two members": ("gzip", lambda d: gzip.compress(d[: len(d) // 2]) + gzip.compress(d[len(d) // 2 :])),
    "padded": ("gzip", lambda d: gzip.compress(d) + bytes(100)),
}


def _chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("name", ENCODERS)
@given(data=st.binary(max_size=3000), size=st.integers(2, 500))
def test_what_was_encoded_comes_back_whatever_the_chunks(name: str, data: bytes, size: int) -> None:
    encoding, encode = ENCODERS[name]
    assert b"".join(bounded(_chunks(encode(data), size), encoding, BodyCap())) == data


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_pieces_are_small(encoding: str) -> None:
    data = bytes(range(256)) * 20_000
    pieces = list(bounded([gzip.compress(data) if encoding else data], encoding, BodyCap()))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE_BYTES_MAX


def test_a_bomb_is_refused_within_bounded_memory() -> None:
    bomb = gzip.compress(bytes(256 << 20))
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="grew"):
        for _ in bounded([bomb], "gzip", BodyCap(bytes_max=1 << 40)):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_the_size_cap_counts_what_comes_out() -> None:
    with pytest.raises(ConfigurationError, match="larger than 1 MiB"):
        list(bounded([gzip.compress(bytes(2 << 20))], "gzip", BodyCap(bytes_max=1 << 20)))


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_what_is_cut_short_is_no_reply(cut: int) -> None:
    with pytest.raises(TransientError, match="cut short"):
        list(bounded([gzip.compress(b"some text")[:-cut]], "gzip", BodyCap()))


@pytest.mark.parametrize(
    "damaged",
    [b"\x1f\x8b\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"<html>", gzip.compress(b"x", mtime=0) + b"trailing"],
    ids=["bits", "text", "trailing"],
)
def test_what_is_damaged_is_no_reply(damaged: bytes) -> None:
    with pytest.raises(TransientError):
        list(bounded([damaged], "gzip", BodyCap()))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_nobody_asked_for(encoding: str) -> None:
    with pytest.raises(TransientError, match="not asked for"):
        list(bounded([b"x"], encoding, BodyCap()))


def test_a_server_that_drips_is_left() -> None:
    ticks = iter(range(0, 10_000, 10))
    with pytest.raises(TransientError, match="60 seconds"):
        list(bounded((b"x" for _ in range(1000)), "", BodyCap(total_s=60), lambda: float(next(ticks))))


def test_an_empty_body_of_any_encoding() -> None:
    assert list(bounded([], "gzip", BodyCap())) == []
