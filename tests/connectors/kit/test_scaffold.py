from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.kit.scaffold import create
from domain.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with the kit and the conformance suite, and no vendor."""
    tree = tmp_path / "a tree"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "connectors" / "kit", tree / "connectors" / "kit", ignore=ignore)
    shutil.copytree(ROOT / "domain", tree / "domain", ignore=ignore)
    (tree / "tests" / "connectors").mkdir(parents=True)
    for path in ("connectors/__init__.py", "pyproject.toml", "tests/__init__.py"):
        shutil.copy(ROOT / path, tree / path)
    for suite in (ROOT / "tests" / "connectors").glob("*.py"):
        shutil.copy(suite, tree / "tests" / "connectors")
    return tree


def _in(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=tree, env=env, capture_output=True, text=True, check=False, timeout=240
    )


def test_a_generated_connector_passes_the_first_half_as_it_is(tree: Path) -> None:
    created = create("zoho_crm", tree)
    assert [str(p.relative_to(tree)) for p in created] == [
        "connectors/zoho_crm/README.md",
        "connectors/zoho_crm/__init__.py",
        "connectors/zoho_crm/connector.py",
        "connectors/zoho_crm/quality.toml",
        "tests/connectors/zoho_crm/fixtures/README.md",
        "tests/connectors/zoho_crm/fixtures/contacts_page.json",
        "tests/connectors/zoho_crm/test_zoho_crm.py",
    ]
    run = _in(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/connectors/zoho_crm")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "12 passed" in run.stdout


def test_a_generated_connector_is_clean_and_typed(tree: Path) -> None:
    create("acme", tree, "Acme CRM")
    for tool in (
        ("ruff", "check", "--no-cache", "connectors/acme", "tests/connectors/acme"),
        ("ruff", "format", "--no-cache", "--check", "connectors/acme", "tests/connectors/acme"),
        ("mypy", "--no-incremental", "-p", "connectors.acme"),
    ):
        run = _in(tree, *tool)
        assert run.returncode == 0, run.stdout + run.stderr


FAULTS = {
    "settings_are_named_once_and_secrets_are_marked": ("secret=True", "secret=False"),
    "hosts_are_listed": ('hosts=("api.', 'hosts=("*.'),
    "imports_no_other_vendor_and_no_storage": (
        "LABEL = ",
        "def late() -> None:\n    import storage.tables\n\nLABEL = ",
    ),
    "fits_the_contract": ("def close", "def shut"),
    "manifest_is_complete": ("calls=10", "calls=0"),
    "has_a_readme": ('"API key", "From', '"Unexplained", "From'),
}


def test_the_suite_catches_what_it_is_for(tree: Path) -> None:
    """Each fault in a generated connector fails the test that is named for it."""
    names = {f"acme{number}": fault for number, fault in enumerate(FAULTS)}
    for name, fault in names.items():
        create(name, tree)
        connector = tree / "connectors" / name / "connector.py"
        sound = connector.read_text()
        faulty = sound.replace(*FAULTS[fault]).replace(f"*.{name}.example", "*.example")
        assert faulty != sound
        connector.write_text(faulty if fault != "has_a_readme" else faulty.replace('"api_key"', '"access_key"'))
    create("liar", tree)
    claims = tree / "connectors" / "liar" / "quality.toml"
    claims.write_text(claims.read_text().replace('upsert = "todo"', 'upsert = "done"'))
    run = _in(tree, "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=no", "tests/connectors")
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    for name, fault in {**names, "liar": "quality_is_honest"}.items():
        assert any(f"/{name}/" in line and f"::test_{fault}" in line for line in failed), (fault, failed)


@pytest.mark.parametrize(
    "name",
    ["", "Acme", "1acme", "ac-me", "a__b", "_a", "a_", "class", "match", "kit", "../x", "ä", "a" * 41, "a b", "a.b"],
)
def test_names_that_cannot_be(tree: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        create(name, tree)
    assert sorted(p.name for p in (tree / "connectors").iterdir()) == ["__init__.py", "kit"]


@pytest.mark.parametrize("label", ['Ac"me', "x" * 61, "a\nb", "{x}", "$x"])
def test_labels_that_cannot_be(tree: Path, label: str) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        create("acme", tree, label)


@pytest.mark.parametrize("taken", ["connectors/acme", "tests/connectors/acme"])
def test_nothing_is_overwritten(tree: Path, taken: str) -> None:
    (tree / taken).mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        create("acme", tree)
    assert list((tree / taken).iterdir()) == []


def test_a_folder_that_is_no_source_tree(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="connectors folder"):
        create("acme", tmp_path)


def test_a_tree_that_cannot_be_written_is_left_as_it_was(tree: Path) -> None:
    shutil.rmtree(tree / "tests")
    (tree / "tests").write_text("a file in the way")
    with pytest.raises(ConfigurationError, match="could not be written"):
        create("acme", tree)
    assert not (tree / "connectors" / "acme").exists()
