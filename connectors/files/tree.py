"""What a path holds: the tables and the file bodies in a folder, in its archives, and in archives inside those.

Nothing is ever written under a name that an archive chose, links that lead out of the folder are not followed, and what
is left out is listed with its reason.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from connectors.files.limits import MIB, Limits
from connectors.files.sources import ArchiveMember, DiskFile, Gzipped, Source, bomb, opened, reading, too_large
from domain.errors import ConfigurationError, SynclineError

FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".txt"), "text"),
    **dict.fromkeys((".xlsx", ".xlsm"), "workbook"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
}
_UNREAD = {
    ".xls",
    ".xlsb",
    ".ods",
    ".numbers",
    ".parquet",
    ".avro",
    ".7z",
    ".rar",
    ".tar",
    ".tgz",
    ".bz2",
    ".xz",
    ".zst",
}
BODY_FOLDERS = {"contentversion": "ContentVersion", "attachments": "Attachment", "attachment": "Attachment"}
"""Folders of a Salesforce export that hold file bodies named by record id, and the object the ids belong to."""
_BODY_NAME = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?(?=\.|\Z)")
_NOISE = re.compile(r"\.|~\$|__MACOSX\Z|thumbs\.db\Z|desktop\.ini\Z", re.IGNORECASE)


@dataclass(slots=True)
class Tree:
    """``tables``: sources by format; ``bodies``: (object, first 15 characters of an id) to source; ``problems``: label, reason."""

    tables: list[tuple[str, Source]] = field(default_factory=list)
    bodies: dict[tuple[str, str], Source] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    _open: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        self._open.close()


def find(root: Path, limits: Limits) -> Tree:
    """Everything under ``root``, a folder or a file. Raises ConfigurationError when it is missing or not readable."""
    tree = Tree()
    with reading(str(root.name)):
        single = not stat.S_ISDIR(root.stat().st_mode)
        if single:
            _add_path(tree, root, root.name, limits)
        else:
            os.scandir(root).close()
            for path, label in _walk(root, tree):
                _add_path(tree, path, label, limits)
    tree.tables.sort(key=lambda table: table[1].label)
    return tree


def _walk(root: Path, tree: Tree) -> Iterator[tuple[Path, str]]:
    inside = root.resolve()

    def unlisted(error: OSError) -> None:
        tree.problems.append((Path(error.filename).name, "is a folder that this user may not list"))

    for folder, folders, names in os.walk(root, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not _NOISE.match(name))
        for name in sorted(names):
            path = Path(folder, name)
            label = path.relative_to(root).as_posix()
            if _NOISE.match(name):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                tree.problems.append((label, "is a link that leads out of the folder; copy the file itself"))
            else:
                yield path, label


def _add_path(tree: Tree, path: Path, label: str, limits: Limits) -> None:
    try:
        with reading(label):
            if not stat.S_ISREG(path.stat().st_mode):
                tree.problems.append((label, "is not a regular file"))
                return
            source = DiskFile(path, label)
    except ConfigurationError as error:
        tree.problems.append((label, error.message))
        return
    _add(tree, source, limits, depth=0)


def _add(tree: Tree, source: Source, limits: Limits, depth: int) -> None:
    name = source.name.lower()
    if body := _body_key(source):
        tree.bodies[body] = source
        return
    if name.endswith(".gz") and not name.endswith(".tar.gz"):
        source = Gzipped(source, limits)
        name = source.name.lower()
    suffix = PurePosixPath(name).suffix
    if suffix == ".zip":
        _add_archive(tree, source, limits, depth)
    elif suffix in FORMATS:
        tree.tables.append((FORMATS[suffix], source))
    elif suffix in _UNREAD:
        tree.problems.append((source.label, f"is a {suffix} file, which is not read; save it as CSV or XLSX"))
    else:
        tree.problems.append((source.label, "is not a table (CSV, TSV, XLSX, JSON or ZIP)"))


def _body_key(source: Source) -> tuple[str, str] | None:
    owner = BODY_FOLDERS.get(source.folder.lower())
    match = _BODY_NAME.match(source.name)
    return (owner, match.group()[:15]) if owner and match else None


def _add_archive(tree: Tree, source: Source, limits: Limits, depth: int) -> None:
    if depth > 1:
        tree.problems.append((source.label, "is an archive in an archive in an archive; unpack it first"))
        return
    try:
        with reading(source.label):
            archive = tree._open.enter_context(zipfile.ZipFile(_seekable(tree, source, limits)))
        _check_archive(archive, source.label, limits)
    except SynclineError as error:
        tree.problems.append((source.label, str(error)))
        return
    for info in archive.infolist():
        name = member_name(info)
        label = f"{source.label}/{name}"
        if info.is_dir() or any(_NOISE.match(part) for part in name.split("/") if part != ".."):
            continue
        problem = _member_problem(info, name, limits)
        if problem:
            tree.problems.append((label, problem))
        else:
            _add(tree, ArchiveMember(archive, info, label), limits, depth + 1)


def _seekable(tree: Tree, source: Source, limits: Limits) -> IO[bytes]:
    """A handle that zipfile can seek in: the file itself, or an unnamed copy on disk of what is packed."""
    if isinstance(source, DiskFile):
        return tree._open.enter_context(source.path.open("rb"))
    copy = tree._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  (closed with the tree)
    written = 0
    with opened(source) as stream:
        while piece := stream.read(MIB):
            written += len(piece)
            if written > limits.nested_archive:
                raise too_large(source.label, limits.nested_archive)
            copy.write(piece)
    copy.seek(0)
    return copy


def _check_archive(archive: zipfile.ZipFile, label: str, limits: Limits) -> None:
    infos = archive.infolist()
    if len(infos) > limits.archive_entries:
        raise ConfigurationError(
            f"{label} has {len(infos):,} entries, more than {limits.archive_entries:,}.",
            remedy="Unpack it and give the folder.",
            code="file_archive_bomb",
        )
    archive_size = archive.fp.seek(0, os.SEEK_END) if archive.fp else 0
    if sum(info.compress_size for info in infos) > archive_size:  # entries that share their bytes
        raise bomb(label, limits.ratio)


def _member_problem(info: zipfile.ZipInfo, name: str, limits: Limits) -> str:
    if info.flag_bits & 0x1:
        return "is encrypted; unpack the archive with its password and give the folder"
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or re.match(r"[A-Za-z]:", name):
        return "has a path that leads out of the archive; it was not read"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return "is packed by a method that is not supported; unpack it and give the folder"
    if info.file_size > limits.ratio_from and info.file_size > limits.ratio * max(info.compress_size, 1):
        return bomb(name, limits.ratio).message
    return too_large(name, limits.member).message if info.file_size > limits.member else ""


def member_name(info: zipfile.ZipInfo) -> str:
    """The entry's name: old archivers write UTF-8 without saying so, and it comes out as DOS characters."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
