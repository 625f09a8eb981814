"""Rules that hold for every file of the repository, however it came here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "api", "bootstrap", "cli", "connectors", "domain", "mappings", "migration", "sandbox", "storage", "sync_engine",
    "webhooks", "workers",
)  # fmt: skip
LONGEST_FUNCTION = 60
LONGEST_FILE = 600

# Written in pieces, so that this file does not find itself.
_MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:ho" + r"me/(?!user\b|you\b)\w|Use" + r"rs/\w|ro" + r"ot/|wo" + r"rk/)")
_REGISTRY_HOSTS = re.compile(
    r"py"
    + r"pi\.org|python"
    + r"hosted\.org|arti"
    + r"factory|jfr"
    + r"og|dev"
    + r"pi\b|--(?:extra-)?index"
    + r"-url[ =]\S"
)
_UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git tracks, plus what it would track; without git, everything that looks like source."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [p for p in ROOT.rglob("*") if not {".venv", "__pycache__", ".git"} & set(p.parts)]
    return tuple(p for p in paths if p.is_file())


def texts() -> Iterator[tuple[Path, int, str]]:
    """Every line of every text file, with its number."""
    for path in tracked_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            yield path.relative_to(ROOT), number, line


def product_files() -> list[Path]:
    return [p for p in tracked_files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in PACKAGES]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a path of somebody's machine", _MACHINE_PATHS), ("the host of a package registry", _REGISTRY_HOSTS)],
    ids=["machine-paths", "registry-hosts"],
)
def test_no_file_names(what: str, pattern: re.Pattern[str]) -> None:
    found = [f"{path}:{number}: {line.strip()[:120]}" for path, number, line in texts() if pattern.search(line)]
    assert not found, f"{what} stands in:\n" + "\n".join(found)


def test_the_patterns_find_what_they_look_for() -> None:
    assert _MACHINE_PATHS.search("open('/ho" + "me/somebody/x')")
    assert _MACHINE_PATHS.search("cd /wo" + "rk/x")
    assert not _MACHINE_PATHS.search("https://example.com/ho" + "me/x")
    assert _REGISTRY_HOSTS.search("https://py" + "pi.org/simple")


def test_nothing_is_left_unfinished_in_the_product() -> None:
    found = []
    for path, number, line in texts():
        if path.parts[0] in PACKAGES and path.suffix in {".py", ".toml", ".sql"}:
            said = line.partition("#")[2] if path.suffix == ".toml" else line  # a mapping may name a vendor's value so
            said = said.replace('"TODO"', "").replace("=TODO:", "")  # HubSpot's own word for a kind of task
            if _UNFINISHED.search(said):
                found.append(f"{path}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_lock_pins_every_requirement_with_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [n for n, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    loose = [lines[n] for n in pins if "==" not in lines[n] or "--hash=sha256:" not in lines[n + 1]]
    assert pins
    assert not loose


def test_lock_holds_every_dependency_of_the_project() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", w, maxsplit=1)[0].lower().replace("_", "-") for w in wanted}
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    assert names <= locked, f"`make lock` was forgotten after adding {sorted(names - locked)}"


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* kept, 0 broken", done.stdout)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {length} lines"
        for path in product_files()
        for name, length in functions(path)
        if length > LONGEST_FUNCTION
    ]
    assert not long, f"functions of more than {LONGEST_FUNCTION} lines:\n" + "\n".join(long)


def test_files_are_short() -> None:
    lengths = {p.relative_to(ROOT): len(p.read_text(encoding="utf-8").splitlines()) for p in product_files()}
    long = [f"{path}: {length}" for path, length in lengths.items() if length > LONGEST_FILE]
    assert not long, f"files of more than {LONGEST_FILE} lines:\n" + "\n".join(long)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(p.relative_to(ROOT)) for p in product_files() if not ast.get_docstring(ast.parse(p.read_text("utf-8")))
    ]
    assert not silent, "no docstring at the top of: " + ", ".join(silent)


def test_every_connector_declares_its_quality_and_explains_itself() -> None:
    folders = [p.parent for p in (ROOT / "connectors").glob("*/connector.py") if p.parent.name != "kit"]
    missing = [
        f"connectors/{folder.name}/{name}"
        for folder in folders
        for name in ("README.md", "quality.toml")
        if not (folder / name).is_file()
    ]
    assert not missing, "missing: " + ", ".join(missing)
