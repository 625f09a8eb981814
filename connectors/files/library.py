"""The objects in a folder: tables of the same shape and name are parts of one object, each object has one name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.files.csvtable import open_csv
from connectors.files.jsontable import JsonTable, open_json
from connectors.files.limits import Limits
from connectors.files.recognise import PLAIN, SALESFORCE, Recognised, own_names, recognise
from connectors.files.sources import Source
from connectors.files.table import Settled, Table
from connectors.files.tree import Tree, find
from domain.errors import ConfigurationError, SynclineError

_PART = re.compile(r"(?P<base>.*?[^\s_\-.(])[\s_\-.]*(?:part)?[\s_\-.]*\(?(?P<number>\d{1,8})\)?\Z", re.I)


@dataclass(slots=True)
class FileObject:
    """Parts in the order they are read; all have the same columns in any order; in JSON some may lack."""

    name: str
    recognised: Recognised
    parts: list[Table]
    problem: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns))

    def settle(self) -> None:
        for part in self.parts:
            part.settle()

    def settled_as(self) -> tuple[Settled, ...]:
        return tuple(part.settled_as() for part in self.parts)

    def resettle(self, found: Sequence[Settled]) -> None:
        """Settle every part by what an earlier look at the same files found."""
        for part, settled in zip(self.parts, found, strict=True):
            part.resettle(settled)

    def adopt(self, columns: tuple[str, ...]) -> None:
        """Take columns that an earlier look at the same files found."""
        for part in self.parts:
            if isinstance(part, JsonTable):
                part.columns, part.settled = columns, True

    def stamp(self) -> str:
        """Changes when any part does, or one is added or removed."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{part.label}\0{part.stamp()}\0".encode())
        return digest.hexdigest()[:32]


@dataclass(slots=True)
class Library:
    """``skipped``: what was left out, and why."""

    tree: Tree
    objects: dict[str, FileObject]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def close(self) -> None:
        self.tree.close()


def open_library(root: Path, limits: Limits, settings: Mapping[str, str]) -> Library:
    """Open every table under ``root`` as far as its header. Raises ConfigurationError when there is no ``root``."""
    tree = find(root, limits)
    library = Library(tree, {}, list(tree.problems))
    tables: list[Table] = []
    for form, source in tree.tables:
        try:
            tables.extend(_open(form, source, limits, settings, library))
        except SynclineError as error:
            name = _free(library, source.name.rsplit(".", 1)[0], source.label)
            library.objects[name] = FileObject(name, Recognised(PLAIN, name), [], problem=str(error))
    _resolve_trees(tables)
    for parts, recognised in _grouped(tables):
        name = _free(library, _name(parts, recognised), parts[0].label)
        library.objects[name] = FileObject(name, recognised, parts)
    return library


def _open(form: str, source: Source, limits: Limits, settings: Mapping[str, str], library: Library) -> Sequence[Table]:
    if form == "workbook":
        from connectors.files.workbook import open_workbook  # its library takes longer to load than the rest of a start

        return open_workbook(source, limits)
    table = open_csv(source, limits, settings) if form == "text" else open_json(source, limits)
    if table is None:
        library.skipped.append((source.label, "is empty"))
        return ()
    if isinstance(table, JsonTable) and {"sobject", "files"} <= set(table.columns):
        library.skipped.append((source.label, "is the import plan of a tree export"))
        return ()
    if source.name.lower().endswith(".txt") and len(table.columns) < 2:
        library.skipped.append((source.label, "is text without columns"))
        return ()
    return (table,)


def _grouped(tables: Sequence[Table]) -> list[tuple[list[Table], Recognised]]:
    groups: dict[tuple[object, ...], tuple[list[Table], Recognised]] = {}
    for table in tables:
        recognised = _recognised(table)
        family = recognised.object if recognised.dialect != PLAIN else base_stem(table.stem)
        shape = "json" if isinstance(table, JsonTable) else frozenset(table.columns)
        key = (recognised.dialect, family.lower(), shape)
        groups.setdefault(key, ([], recognised))[0].append(table)
    return list(groups.values())


def _recognised(table: Table) -> Recognised:
    """What the table is; its columns are renamed to what its system calls them."""
    if isinstance(table, JsonTable) and table.object_type:
        return Recognised(SALESFORCE, table.object_type, "Id" if "Id" in table.columns else None)
    found = recognise(table.stem, table.columns, table.sample)
    names = own_names(found, table.columns)
    if found.id_column is None or names == table.columns or isinstance(table, JsonTable):
        return found
    id_column = names[table.columns.index(found.id_column)]
    table.rename(names)
    return replace(found, id_column=id_column)


def _resolve_trees(tables: Sequence[Table]) -> None:
    """Salesforce's tree exports refer to each other's records across files."""
    trees = [table for table in tables if isinstance(table, JsonTable) and table.object_type]
    objects = {reference: tree.object_type for tree in trees for reference in tree.reference_ids()}
    for tree in trees:
        tree.resolve(objects)


def base_stem(stem: str) -> str:
    """``contacts_2``, ``contacts (2)``, ``contacts-part-2`` and ``contacts_20240501`` without their numbers."""
    match = _PART.match(stem)
    return match["base"] if match else stem


def _name(parts: Sequence[Table], recognised: Recognised) -> str:
    if recognised.dialect != PLAIN:
        return recognised.object
    stems = {part.stem for part in parts}
    return stems.pop() if len(stems) == 1 else base_stem(parts[0].stem)


def _free(library: Library, wanted: str, label: str) -> str:
    """``wanted``, or the file's path without ending where that name is taken."""
    if wanted not in library.objects:
        return wanted
    longer = re.sub(r"\.\w+\Z", "", label).replace("/", ".")
    copy, name = 1, longer
    while name in library.objects:
        copy += 1
        name = f"{longer} ({copy})"
    return name


def object_named(library: Library, name: str) -> FileObject:
    """The object called ``name``. Raises ConfigurationError when there is none, or its file cannot be read."""
    found = library.objects.get(name)
    if found is None:
        known = ", ".join(sorted(library.objects)) or "none"
        raise ConfigurationError(
            f"There is no object {name} among the files.", remedy=f"Known objects: {known}.", code="unknown_object"
        )
    if found.problem:
        raise ConfigurationError(found.problem, code="file_unreadable")
    return found
