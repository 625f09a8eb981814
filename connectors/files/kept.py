"""Surveys kept on disk, so that the next process need not read the same files again.

One JSON file an object, in the connection's cache folder. An entry counts only if all that the survey came from is as it
was: names, sizes, times and both ends of the files, the settings, the limits and this version's format. Whatever else
lies there (cut off, changed by hand, from another version) is overlooked and overwritten.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

from connectors.files.dates import DateProbe
from connectors.files.identity import Identity
from connectors.files.infer import ColumnProbe
from connectors.files.library import FileObject
from connectors.files.limits import MIB, Limits
from connectors.files.repeats import Repeats
from connectors.files.survey import Survey
from domain.records import Place

FORMAT = 4
"""Raise it whenever a survey of the same file would come out otherwise, or is written otherwise."""

_ENTRIES_MAX = 1_000
_BYTES_MAX = 8 * MIB
_TICK_S = 2.0  # the coarsest times of files: FAT's, https://learn.microsoft.com/windows/win32/sysinfo/file-times
_TYPES: dict[str, type] = {t.__name__: t for t in (str, int, float, bool, dict, list, date, datetime, Decimal)}


@dataclass(frozen=True, slots=True)
class Kept:
    """Surveys in ``folder``; None keeps nothing. It may be emptied at any time."""

    folder: Path | None

    def get(self, name: str, key: str) -> Survey | None:
        """The survey of object ``name`` that was stored under ``key``, or None."""
        if self.folder is None:
            return None
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            path = self._path(self.folder, name)
            if path.stat().st_size <= _BYTES_MAX:
                entry = json.loads(path.read_bytes())
                if entry["key"] == key and entry["digest"] == _digest(entry["survey"]):
                    return _survey_from(entry["survey"])
        return None

    def put(self, name: str, key: str, survey: Survey) -> None:
        """Store it in place of the object's older one. A folder that cannot be written to is no error."""
        if self.folder is None or (value := _as_json(survey)) is None:
            return
        data = json.dumps({"key": key, "digest": _digest(value), "survey": value}).encode()
        if len(data) > _BYTES_MAX:
            return
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._trim(self.folder)
            _replace(self._path(self.folder, name), data)

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"survey-{sha256(name.encode()).hexdigest()[:24]}.json"

    def _trim(self, folder: Path) -> None:
        """Forget the oldest entries, and what interrupted writers left, beyond a thousand files."""
        files = sorted(folder.glob("survey-*"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[: max(len(files) - _ENTRIES_MAX + 1, 0)]:
            path.unlink(missing_ok=True)


def key_of(
    found: FileObject, settings: Mapping[str, str], limits: Limits, columns: tuple[str, ...] | None = None
) -> str:
    """A digest of everything that a survey of ``found`` depends on. ``columns``: those that it had before it was settled."""
    whole = [
        FORMAT,
        found.name,
        found.columns if columns is None else columns,
        sorted(settings.items()),
        asdict(limits),
    ]
    recognised = [found.recognised.dialect, found.recognised.object, found.recognised.id_column]
    parts = [[part.label, part.source.fingerprint()] for part in found.parts]
    return sha256(json.dumps([whole, recognised, parts]).encode()).hexdigest()


def at_rest(found: FileObject) -> bool:
    """Whether no file was written within one tick of its clock: a change within the tick could not be told."""
    newest = max((part.source.modified_s() for part in found.parts), default=0.0)
    return newest < time.time() - _TICK_S


def _replace(path: Path, data: bytes) -> None:
    """Write under another name, then rename: a reader sees the old file or the new one, whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _as_json(survey: Survey) -> dict[str, Any] | None:
    """The survey in JSON's types; None when a column holds values of a type that has no name here."""
    if any(kind.__name__ not in _TYPES for probe in survey.columns.values() for kind in probe.natives):
        return None
    return {
        "columns": [_probe_as_json(probe) for probe in survey.columns.values()],
        "counts": [survey.rows, survey.deleted, survey.rejected, survey.blank],
        "identity": list(astuple(survey.identity)),
        "settled": [dict(state) for state in survey.settled],
        "repeats": [survey.repeats.rows, [[place.file, place.row] for place in survey.repeats.places]],
    }


def _survey_from(value: Mapping[str, Any]) -> Survey:
    probes = [_probe_from(column) for column in value["columns"]]
    rows, deleted, rejected, blank = value["counts"]
    identity, settled = Identity(*value["identity"]), tuple(value["settled"])
    repeats = Repeats(value["repeats"][0], tuple(Place(*place) for place in value["repeats"][1]))
    return Survey({p.name: p for p in probes}, rows, deleted, rejected, blank, identity, settled, repeats)


def _probe_as_json(probe: ColumnProbe) -> dict[str, Any]:
    dates = probe.dates
    return {
        "name": probe.name,
        "filled": probe.filled,
        "natives": {kind.__name__: count for kind, count in probe.natives.items()},
        "options": None if probe.options is None else sorted(probe.options),
        "prefixes": sorted(probe.prefixes),
        "dates": [dates.fits, dates.misses, dates.first_max, dates.second_max, sorted(dates.shapes)],
        "alive": sorted(probe.alive),
        "fails": probe.fails,
        "tested": probe.tested,
        "settled": probe.settled,
    }


def _probe_from(value: Mapping[str, Any]) -> ColumnProbe:
    fits, misses, first, second, shapes = value["dates"]
    return ColumnProbe(
        value["name"],
        value["filled"],
        {_TYPES[kind]: count for kind, count in value["natives"].items()},
        None if value["options"] is None else set(value["options"]),
        set(value["prefixes"]),
        DateProbe(fits, misses, first, second, {tuple(shape) for shape in shapes}),
        set(value["alive"]),
        value["fails"],
        value["tested"],
        value["settled"],
    )
