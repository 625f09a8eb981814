"""Files as a vendor: a folder, a file or an archive of exported tables, read and never written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO, ClassVar

from connectors.files.identity import Identity
from connectors.files.kept import Kept, at_rest, key_of
from connectors.files.library import FileObject, Library, object_named, open_library
from connectors.files.limits import MIB, limits_from
from connectors.files.reading import Reading, nothing_new
from connectors.files.recognise import SALESFORCE
from connectors.files.relations import peers
from connectors.files.schema import hints_of, object_schema, own_prefixes, unreadable_schema
from connectors.files.sources import opened
from connectors.files.survey import Survey, survey
from connectors.kit.contract import (
    AuthKind,
    AuthMethod,
    Connection,
    FileInfo,
    Manifest,
    ReadRequest,
    Setting,
)
from domain.errors import ConfigurationError, PlanChangedError, RecordRejectedError
from domain.records import AccountInfo, Catalog, Cursor, ObjectSchema, Page, WriteResult

_SETTINGS = (
    Setting(
        "path",
        "Folder or file",
        "A folder of exports, one CSV, TSV, XLSX, JSONL or ZIP file, or a vendor's export archive.",
    ),
    Setting(
        "source",
        "Name of the system",
        "What the files were exported from. Exports under the same name update the same records. Default: the path's last part.",
        required=False,
    ),
    Setting("encoding", "Text encoding", "Only where it is not recognised, e.g. windows-1252.", required=False),
    Setting("delimiter", "Delimiter", "Only where it is not recognised; “tab” for tabulators.", required=False),
    Setting("header", "First row is a header", required=False, default="yes", choices=("yes", "no")),
    Setting("date_order", "Order of dates", "For dates like 03/04/2024.", required=False, choices=("dmy", "mdy")),
    Setting(
        "id_column", "Id column", "The column that tells records apart, where it is not recognised.", required=False
    ),
    Setting("max_cell_mb", "Largest cell, in MB", required=False, default="16"),
)


class _Surveys:
    """Surveys of this process by content: describing twice, or reading after describing, looks at the files once."""

    def __init__(self, size: int = 512) -> None:
        self._size, self._lock = size, Lock()
        self._kept: OrderedDict[tuple[str, ...], Survey] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> Survey | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: tuple[str, ...], value: Survey) -> None:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


_surveys = _Surveys()


class FilesConnector:
    """Settings: see the manifest. The folder is looked at once, when first needed; build a new connector to look again."""

    manifest: ClassVar[Manifest] = Manifest(
        name="files",
        label="Files (CSV, Excel, JSON, ZIP)",
        auth=(AuthMethod(AuthKind.NONE),),
        settings=_SETTINGS,
        docs_url="https://datatracker.ietf.org/doc/html/rfc4180",
    )
    file_objects: ClassVar[tuple[str, ...]] = ("ContentVersion", "Attachment")

    def __init__(self, connection: Connection) -> None:
        self._settings = {name: value.strip() for name, value in connection.settings.items() if value}
        self._limits = limits_from(self._settings)
        self._kept = Kept(connection.cache)
        self._opened: Library | None = None

    # ------------------------------------------------------------ contract

    def check(self) -> AccountInfo:
        """The name of the source, how many objects there are, and what was left out and why."""
        library = self._library()
        if not library.objects:
            raise ConfigurationError(
                f"{self._path().name} holds no table that can be read.",
                remedy="Put CSV, TSV, XLSX, JSON or ZIP files there, or give another path.",
                code="files_none",
            )
        source = self._settings.get("source") or self._path().name
        skipped = [{"file": label, "reason": reason} for label, reason in library.skipped]
        details = {"objects": len(library.objects), "bodies": len(library.tree.bodies), "skipped": skipped}
        return AccountInfo(source, display_name=source, details=details)

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        """Reads each object's files once, to their end. Unreadable ones are listed as such with their problem."""
        library = self._library()
        names = [name for name in library.objects if objects is None or name in objects]
        return Catalog({name: self._schema(library, name) for name in names})

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        """Records of the files, rejects included, without those in the exporter's recycle bin."""
        library = self._library()
        found = {name: self._survey(object_named(library, name)) for name in objects}
        return {name: survey.records - survey.deleted for name, survey in found.items()}

    def read(self, request: ReadRequest) -> Iterator[Page]:
        """Pages of about ten thousand rows. Raises PlanChangedError when the files changed since the cursor was made."""
        found = object_named(self._library(), request.object)
        stamp = found.stamp()
        if request.cursor and request.cursor.get("done"):
            return iter((nothing_new(found, request.cursor, stamp),))
        return Reading(found, request, stamp, *self._start(found, request.cursor, stamp)).pages()

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        """The body that a Salesforce export keeps in a file named by the record's id."""
        source = self._library().tree.bodies.get((object_name, vendor_id[:15]))
        if source is None:
            raise RecordRejectedError(
                f"{object_name} {vendor_id} has no file in the export.",
                remedy="Export again with attachments and files included.",
                code="file_body_missing",
            )
        with opened(source) as stream:
            while piece := stream.read(MIB):
                yield piece

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:  # noqa: ARG002
        """Always an error: exported files are read, never changed."""
        refusal = ConfigurationError("A folder of exported files is only read, never written to.", code="read_only")
        return WriteResult(info.vendor_id, error=refusal)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # ------------------------------------------------------------ parts

    def _path(self) -> Path:
        path = self._settings.get("path")
        if not path:
            raise ConfigurationError("No path is set.", remedy="Give the setting path: a folder or a file.")
        return Path(path).expanduser().resolve()

    def _library(self) -> Library:
        if self._opened is None:
            self._opened = open_library(self._path(), self._limits, self._settings)
        return self._opened

    def _schema(self, library: Library, name: str) -> ObjectSchema:
        found = library.objects[name]
        if found.problem:
            return unreadable_schema(found)
        try:
            result = self._survey(found)
        except ConfigurationError as error:
            found.problem = str(error)
            return unreadable_schema(found)
        delimiters = [str(part.notes.get("delimiter", "")) for part in found.parts]
        hints = hints_of(result, delimiters, self._settings)
        return object_schema(found, result, hints, own_prefixes(library.objects), peers(library.objects.values()))

    def _survey(self, found: FileObject) -> Survey:
        key = (found.stamp(), *(f"{name}={value}" for name, value in sorted(self._settings.items())))
        known = _surveys.get(key)
        if known is None:
            known = self._kept_or_made(found)
            _surveys.put(key, known)
        found.resettle(known.settled)
        return known

    def _kept_or_made(self, found: FileObject) -> Survey:
        key = key_of(found, self._settings, self._limits)
        if (known := self._kept.get(found.name, key)) is not None:
            return known
        before, columns = at_rest(found), found.columns
        found.settle()
        deleted = "IsDeleted" if found.recognised.dialect == SALESFORCE else None
        known = survey(found.columns, found.parts, found.name, self._id_column(found), deleted)
        known.settled = found.settled_as()
        if before and key_of(found, self._settings, self._limits, columns) == key:  # else it changed meanwhile
            self._kept.put(found.name, key, known)
        return known

    def _id_column(self, found: FileObject) -> str | None:
        wanted = self._settings.get("id_column", "")
        return found.recognised.id_column or (wanted if wanted in found.columns else None)

    def _start(self, found: FileObject, cursor: Cursor | None, stamp: str) -> tuple[Identity, Cursor]:
        if cursor is None:
            identity = self._survey(found).identity
            return identity, {"v": 1, "stamp": stamp, "part": 0, "after": None, "skip": 0}
        if cursor.get("v") != 1 or cursor.get("stamp") != stamp:
            raise PlanChangedError(
                f"The files of {found.name} changed since the reading began.",
                remedy="Put the old files back and resume, or start again with the new ones.",
                code="source_changed",
            )
        if cursor.get("columns"):
            found.adopt(tuple(cursor["columns"]))
        return Identity(*cursor["identity"]), cursor
