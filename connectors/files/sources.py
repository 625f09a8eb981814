"""Where bytes come from: a file on disk, a member of an archive, something compressed. All are streamed."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from connectors.files.limits import MIB, Limits
from domain.errors import ConfigurationError, PermissionMissingError

_HEAD_BYTES = 64 * 1024


class Source(ABC):
    """One file. ``label`` is its path as a person would write it, inside archives too; ``size`` in bytes when known."""

    label: str
    size: int | None

    @abstractmethod
    def open(self) -> BinaryIO:
        """A stream of the content from its start. Errors are the raw ones: use `opened`."""

    @abstractmethod
    def stamp(self) -> str:
        """A text that changes when the content does, found without reading it all."""

    @abstractmethod
    def fingerprint(self) -> list[str | int]:
        """More than `stamp`: where the file lies, its time and size, and both of its ends."""

    @abstractmethod
    def modified_s(self) -> float:
        """When the file was last written to, in seconds since 1970; 0 where its checksum says more."""

    @property
    def name(self) -> str:
        return self.label.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """Name of the folder that holds the file, or blank."""
        parts = self.label.rsplit("/", 2)
        return parts[-2] if len(parts) > 1 else ""


@dataclass(frozen=True)
class DiskFile(Source):
    path: Path
    label: str
    size: int | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", self.path.stat().st_size)

    def open(self) -> BinaryIO:
        return self.path.open("rb", buffering=0)

    def stamp(self) -> str:
        with reading(self.label):
            status = self.path.stat()
            with self.path.open("rb") as stream:
                head = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()[:16]
        return f"{status.st_size}-{status.st_mtime_ns}-{head}"

    def fingerprint(self) -> list[str | int]:
        with reading(self.label):
            return _fingerprint(self.path)

    def modified_s(self) -> float:
        with reading(self.label):
            return self.path.stat().st_mtime


@dataclass(frozen=True)
class ArchiveMember(Source):
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    label: str

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.info.file_size

    def open(self) -> BinaryIO:
        return cast(BinaryIO, self.archive.open(self.info))

    def stamp(self) -> str:
        return f"{self.info.file_size}-{self.info.CRC:08x}"

    def fingerprint(self) -> list[str | int]:
        own: list[str | int] = [self.stamp(), self.info.filename, self.info.header_offset]
        if not isinstance(self.archive.filename, str):  # an archive in an archive: its members' checksums have to do
            return own
        with reading(self.label):
            return [*own, *_fingerprint(Path(self.archive.filename))]

    def modified_s(self) -> float:
        return 0.0


@dataclass(frozen=True)
class Gzipped(Source):
    inner: Source
    limits: Limits
    size: int | None = None

    @property
    def label(self) -> str:  # type: ignore[override]
        return self.inner.label

    @property
    def name(self) -> str:
        return self.inner.name.removesuffix(".gz").removesuffix(".GZ")

    def open(self) -> BinaryIO:
        packed = self.inner.open()
        return cast(BinaryIO, io.BufferedReader(_Unpacked(packed, self.inner, self.limits), MIB))

    def stamp(self) -> str:
        return self.inner.stamp()

    def fingerprint(self) -> list[str | int]:
        return ["gzip", *self.inner.fingerprint()]

    def modified_s(self) -> float:
        return self.inner.modified_s()


class _Unpacked(io.RawIOBase):
    """Decompressed gzip that stops when it grows out of proportion to what was read."""

    def __init__(self, packed: BinaryIO, source: Source, limits: Limits) -> None:
        self._packed, self._source, self._limits = packed, source, limits
        self._stream = gzip.GzipFile(fileobj=packed)
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._out += len(data)
        limits = self._limits
        if self._out > limits.ratio_from and self._out > limits.ratio * max(self._packed.tell(), 1):
            raise bomb(self._source.label, limits.ratio)
        if self._out > limits.member:
            raise too_large(self._source.label, limits.member)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def _fingerprint(path: Path) -> list[str | int]:
    with path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        head = stream.read(_HEAD_BYTES)
        stream.seek(max(status.st_size - _HEAD_BYTES, 0))
        ends = hashlib.sha256(head + stream.read(_HEAD_BYTES)).hexdigest()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns, ends]


def bomb(label: str, ratio: int) -> ConfigurationError:
    return ConfigurationError(
        f"{label} unpacks to more than {ratio} times its size, like a decompression bomb; it was not unpacked further.",
        remedy="If it is a real export, unpack it and give the folder.",
        code="file_archive_bomb",
    )


def too_large(label: str, limit: int) -> ConfigurationError:
    return ConfigurationError(
        f"{label} is larger than {limit / MIB:,.0f} MB, which is more than is read from one file of its kind.",
        remedy="Split it, or save it as CSV and give the folder.",
        code="file_too_large",
    )


@contextmanager
def opened(source: Source, offset: int = 0) -> Iterator[BinaryIO]:
    """The stream of ``source``, standing at ``offset``. Raises ConfigurationError for all that may be wrong with a file."""
    with reading(source.label):
        stream = source.open()
        try:
            if isinstance(source, DiskFile):
                stream.seek(offset)
            else:
                skip(stream, offset)  # compressed data knows no offsets: unpack and forget
            yield stream
        finally:
            stream.close()


def skip(stream: BinaryIO, size: int) -> None:
    while size > 0 and (piece := stream.read(min(size, MIB))):
        size -= len(piece)


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Errors of the file system and of archives, as sentences about ``label``."""
    try:
        yield
    except PermissionError:
        raise PermissionMissingError(
            f"{label} may not be read by this user.",
            remedy="Change its permissions, or copy it.",
            code="file_permission",
        ) from None
    except FileNotFoundError:
        raise ConfigurationError(
            f"{label} is gone.", remedy="Put it back, or start again without it.", code="file_missing"
        ) from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError):
        raise ConfigurationError(
            f"{label} is damaged: its compressed data is cut off or fails its checksum.",
            remedy="Download or export it again.",
            code="file_damaged",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{label} cannot be read: {error.strerror or type(error).__name__}.",
            remedy="Check the disk or copy the file.",
            code="file_unreadable",
        ) from None
