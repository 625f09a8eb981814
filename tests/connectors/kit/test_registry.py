from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.kit import registry
from connectors.kit.registry import Registry
from domain.errors import ConfigurationError

CONNECTOR = """
from connectors.kit.contract import AuthKind, AuthMethod, Connector, Manifest

class {cls}:
    manifest = Manifest({name!r}, {name!r}.title(), (AuthMethod(AuthKind.NONE),))
    def __init__(self, connection): ...
    def check(self): ...
    def describe(self, objects=None): ...
    def read(self, request): ...
    def close(self): ...
"""
MakeVendor = Callable[[str, str], None]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A package of vendors: acme works, broken cannot be imported, half lacks a method, twins has two classes."""
    root = tmp_path / "shelf_of_vendors"
    sources = {
        "acme": CONNECTOR.format(cls="Acme", name="acme"),
        "broken": "import a_module_that_is_not_there",
        "quits": "raise SystemExit(3)",
        "half": CONNECTOR.format(cls="Half", name="half").replace("def read", "def reed"),
        "twins": CONNECTOR.format(cls="A", name="twins") + CONNECTOR.format(cls="B", name="twins"),
        "none": "",
        "misnamed": CONNECTOR.format(cls="M", name="other"),
        "kit": "raise AssertionError",
    }
    for name, source in sources.items():
        (root / name).mkdir(parents=True)
        (root / name / "connector.py").write_text(source)
        (root / name / "__init__.py").touch()
    (root / "no_vendor").mkdir()
    (root / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry(importlib.import_module("shelf_of_vendors"), entry_points=list)
    for name in [n for n in sys.modules if n.startswith("shelf_of_vendors")]:
        del sys.modules[name]


def test_the_folder_is_the_registration_and_nothing_is_imported_to_list_names(shelf: Registry) -> None:
    assert shelf.names() == ["acme", "broken", "half", "misnamed", "none", "quits", "twins"]
    assert [n for n in sys.modules if n.startswith("shelf_of_vendors.")] == []


def test_one_broken_connector_does_not_break_the_others(shelf: Registry) -> None:
    infos = {info.name: info for info in shelf.available()}
    assert shelf.load("acme").manifest.label == "Acme"
    assert infos["acme"].error is None
    errors = {name: info.error or "" for name, info in infos.items() if name != "acme"}
    assert "a_module_that_is_not_there" in errors["broken"]
    assert "SystemExit" in errors["quits"]
    assert errors["half"] == "it has no method read."
    assert "exactly one class with a manifest, and defines A, B" in errors["twins"]
    assert "defines none" in errors["none"]
    assert "named other and not misnamed" in errors["misnamed"]


def test_loading_a_broken_one_says_why(shelf: Registry) -> None:
    with pytest.raises(ConfigurationError, match="broken cannot be used: importing it failed") as caught:
        shelf.load("broken")
    assert caught.value.code == "broken_connector"


@pytest.mark.parametrize(
    ("asked", "hint"), [("acne", "Did you mean acme?"), ("ACME", "Did you mean acme?"), ("zzz", "There are: acme,")]
)
def test_an_unknown_name(shelf: Registry, asked: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        shelf.load(asked)
    assert hint in caught.value.remedy


def test_third_parties_register_by_entry_point(shelf: Registry) -> None:
    def points() -> list[importlib.metadata.EntryPoint]:
        return [
            importlib.metadata.EntryPoint(name, value, registry.ENTRY_POINT_GROUP)
            for name, value in {
                "other": "shelf_of_vendors.misnamed.connector:M",
                "acme": "shelf_of_vendors.acme.connector:Acme",
                "gone": "not_installed:Thing",
                "odd": "math:pi",
            }.items()
        ]

    both = Registry(shelf.package, points)
    infos = [(info.name, info.error) for info in both.available() if info.origin == "entry point"]
    assert [name for name, error in infos if error is None] == ["other"]
    assert dict(infos)["acme"] == "another connector already has this name; rename the entry point."
    assert "not_installed" in str(dict(infos)["gone"])
    assert dict(infos)["odd"] == "it is not a class."
    assert both.load("other").manifest.name == "other"
    assert both.load("acme").__module__ == "shelf_of_vendors.acme.connector"


def test_capabilities_are_what_the_class_implements() -> None:
    class Counts:
        def count(self) -> None: ...

        def download(self) -> None: ...

    assert registry.capabilities(Counts) == {"count"}


def test_the_products_own_connectors_load() -> None:
    assert [info.error for info in registry.available() if info.origin == "built in" and info.error] == []
