"""Which connectors there are. The folder is the registration; other packages register by entry point.

A connector is the one class with a ``manifest`` that ``connectors/<vendor>/connector.py`` defines. An installed package
adds one by an entry point of the group ``syncline.connectors`` whose name is the vendor and whose value the class
(``acme_syncline.connector:AcmeConnector``). Nothing is imported before someone asks for it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import connectors
from connectors.kit.contract import Connector, Manifest
from domain.errors import ConfigurationError

ENTRY_POINT_GROUP = "syncline.connectors"
_NOT_VENDORS = frozenset({"kit"})


@dataclass(frozen=True, slots=True)
class ConnectorInfo:
    """One connector as a list shows it. ``error``: why it cannot be used, in one sentence; then ``manifest`` is None."""

    name: str
    origin: str
    manifest: Manifest | None = None
    folder: Path | None = None
    error: str | None = None

    @property
    def label(self) -> str:
        return self.manifest.label if self.manifest else self.name


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    origin: str
    get: Callable[[], Any]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """The connectors below ``package`` and those of ``entry_points``."""

    package: ModuleType = field(default=connectors)
    entry_points: Callable[[], Iterable[importlib.metadata.EntryPoint]] = field(
        default=lambda: importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    )

    def names(self) -> list[str]:
        """Names of all connectors, broken ones too, without importing any."""
        return sorted({found.name for found in self._found()})

    def available(self) -> list[ConnectorInfo]:
        """All connectors by name. One that cannot be imported, or whose name is taken, is listed with its error."""
        infos = []
        taken: set[str] = set()
        for found in self._found():
            infos.append(_clash(found) if found.name in taken else _info(found))
            taken.add(found.name)
        return sorted(infos, key=lambda info: info.name)

    def load(self, vendor: str) -> type[Connector]:
        """The connector class of ``vendor``. Raises ConfigurationError for an unknown or broken one."""
        found = next((f for f in self._found() if f.name == vendor), None)
        if found is None:
            raise ConfigurationError(
                f"There is no connector named {vendor[:80]!a}.",
                remedy=self._hint(vendor),
                code="unknown_connector",
            )
        try:
            return _checked(found)
        except _BrokenError as exc:
            problem = str(exc)
        raise ConfigurationError(
            f"The connector {vendor} cannot be used: {problem}",
            remedy="Mend or reinstall it; the other connectors are not affected.",
            code="broken_connector",
        )

    def _hint(self, vendor: str) -> str:
        close = difflib.get_close_matches(vendor.lower(), self.names(), n=1, cutoff=0.6)
        if close:
            return f"Did you mean {close[0]}?"
        return f"There are: {', '.join(self.names()) or 'none'}."

    def _found(self) -> list[_Found]:
        return [*_folders(self.package), *(_plugin(point) for point in self.entry_points())]


class _BrokenError(Exception):
    pass


def _folders(package: ModuleType) -> list[_Found]:
    """Vendors beside the kit; a folder without connector.py is none."""
    found = []
    for root in package.__path__:
        for path in sorted(Path(root).glob("*/connector.py")):
            if path.parent.name not in _NOT_VENDORS:
                found.append(_folder(package.__name__, path.parent))
    return found


def _folder(package: str, folder: Path) -> _Found:
    module = f"{package}.{folder.name}.connector"
    return _Found(folder.name, "built in", lambda: importlib.import_module(module), folder)


def _plugin(point: importlib.metadata.EntryPoint) -> _Found:
    origin = point.dist.name if point.dist else "entry point"
    return _Found(point.name, origin, point.load)


def _info(found: _Found) -> ConnectorInfo:
    try:
        manifest = _checked(found).manifest
    except _BrokenError as exc:
        return ConnectorInfo(found.name, found.origin, folder=found.folder, error=str(exc))
    return ConnectorInfo(found.name, found.origin, manifest, found.folder)


def _clash(found: _Found) -> ConnectorInfo:
    error = "another connector already has this name; rename the entry point."
    return ConnectorInfo(found.name, found.origin, folder=found.folder, error=error)


def _checked(found: _Found) -> type[Connector]:
    try:
        thing = found.get()
    except (Exception, SystemExit) as exc:
        first_line = str(exc).partition("\n")[0][:200]
        raise _BrokenError(f"importing it failed with {type(exc).__name__}: {first_line}") from exc
    connector = _only_class(thing) if isinstance(thing, ModuleType) else thing
    problems = contract_problems(connector, found.name)
    if problems:
        raise _BrokenError("; ".join(problems) + ".")
    return cast("type[Connector]", connector)


def _only_class(module: ModuleType) -> Any:
    classes = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "manifest")
    ]
    if len(classes) != 1:
        names = ", ".join(c.__name__ for c in classes) or "none"
        raise _BrokenError(f"connector.py must define exactly one class with a manifest, and defines {names}.")
    return classes[0]


def contract_problems(connector: Any, name: str) -> list[str]:
    """What keeps ``connector`` from being the connector ``name``; empty when nothing does."""
    if not inspect.isclass(connector):
        return ["it is not a class"]
    manifest = getattr(connector, "manifest", None)
    if not isinstance(manifest, Manifest):
        return [f"{connector.__name__}.manifest is not a Manifest"]
    problems = [
        f"it has no method {m}" for m in ("check", "describe", "read", "close") if not callable(_get(connector, m))
    ]
    if manifest.name != name:
        problems.append(f"its manifest is named {manifest.name} and not {name}")
    return problems


def _get(connector: type, name: str) -> Any:
    return getattr(connector, name, None)


CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "count": ("count",),
    "upsert": ("upsert",),
    "delete": ("delete",),
    "versions": ("id_order", "versions"),
    "find": ("find",),
    "files": ("file_objects", "download", "upload"),
    "webhooks": ("parse",),
}


def capabilities(connector: type) -> frozenset[str]:
    """Which optional protocols of the contract the class implements: names of CAPABILITIES."""
    return frozenset(n for n, members in CAPABILITIES.items() if all(hasattr(connector, m) for m in members))


DEFAULT = Registry()


def available() -> list[ConnectorInfo]:
    """`Registry.available` of the default registry."""
    return DEFAULT.available()


def load(vendor: str) -> type[Connector]:
    """`Registry.load` of the default registry."""
    return DEFAULT.load(vendor)
