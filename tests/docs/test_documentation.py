"""The documentation says what is, all of it, and its examples can be typed."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.error_codes import registry
from bootstrap.settings import Settings, variable_name
from cli.exits import MEANINGS
from cli.reference import Described, commands, error_classes, option_names, pages
from connectors.salesforce.errors import MEANINGS as MEANINGS_OF_SALESFORCE
from domain.errors import RecordRejectedError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
REFERENCE = DOCS / "reference"
COMMON = {"--json", "--home", "--tenant", "--help", "-h"}
NAMES = {str(p.relative_to(ROOT)): p for p in PAGES}
ROOM_FOR_VALUES = {"run", "resume", "undo"}


@pytest.mark.parametrize("name", pages())
def test_generated_pages_are_current(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == pages()[name](), "run `python -m cli.reference` and look at what changed"


@pytest.mark.parametrize("described", [c for c in commands() if not c.is_group], ids=lambda c: " ".join(c.path))
def test_every_command_and_option_is_documented(described: Described) -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"## `syncline {' '.join(described.path)}`\n(.*?)(?=\n## |\Z)", text, re.DOTALL)
    assert section, "no section"
    for option in option_names(described) - COMMON:
        assert option in section[1], f"{option} is not documented"
    undocumented = [o.name for o in (*described.options, *described.arguments) if not o.help]
    assert not undocumented, f"no help text for {undocumented}"


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented(field: str) -> None:
    assert Settings.model_fields[field].description
    assert f"`{variable_name(field)}`" in (REFERENCE / "settings.md").read_text(encoding="utf-8")


def environment_variables() -> set[str]:
    """Variables of ours that the product reads anywhere."""
    found: set[str] = set()
    for path in (ROOT / name for name in ("bootstrap", "cli", "connectors", "storage", "migration", "sandbox")):
        for file in path.rglob("*.py"):
            found |= set(
                re.findall(r"[\"'](SYNCLINE_[A-Z_]+|DATABASE_[A-Z_]*URL)[\"']", file.read_text(encoding="utf-8"))
            )
    return {name for name in found if not name.endswith("_")}


def test_every_variable_that_is_read_is_documented() -> None:
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert [name for name in sorted(environment_variables()) if name not in text] == []


def test_every_exit_code_of_an_error_has_a_meaning() -> None:
    assert {c.exit_code for c in error_classes()} <= set(MEANINGS)


def error_codes() -> dict[str, str]:
    """Every code that the product gives an error, a problem, a rejection or a dead letter, with a file that does."""
    found = {c.code: "domain/errors.py" for c in error_classes()}
    refusals = [
        code.lower() for code, meaning in MEANINGS_OF_SALESFORCE.items() if meaning.record is RecordRejectedError
    ]
    found |= dict.fromkeys(refusals, "connectors/salesforce/errors.py")
    for package in (
        "api",
        "bootstrap",
        "cli",
        "connectors",
        "domain",
        "mappings",
        "migration",
        "storage",
        "sync_engine",
        "webhooks",
        "workers",
    ):
        for path in (ROOT / package).rglob("*.py"):
            if "skeleton" not in path.parts:
                found |= dict.fromkeys(_codes_in(path), str(path.relative_to(ROOT)))
    return found


def _codes_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            given = [k.value for k in node.keywords if k.arg == "code"]
            if _called(node) in {
                "Failure",
                "Reject",
                "Problem",
                "UnreadableValueError",
                "reject",
                "ApiError",
                "Refused",
            }:
                given += node.args[:2]
            yield from (v.value for v in given if isinstance(v, ast.Constant) and _is_code(v.value))

        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id.startswith("CODE_") for t in node.targets
        ):
            yield from (v.value for v in [node.value] if isinstance(v, ast.Constant) and _is_code(v.value))


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", value) is not None


def test_every_error_code_is_documented() -> None:
    text = (REFERENCE / "error-codes.md").read_text(encoding="utf-8")
    missing = {code: where for code, where in error_codes().items() if f"`{code}`" not in text}
    assert not missing, f"describe in docs/reference/error-codes.md: {missing}"


def test_no_error_code_is_documented_that_nothing_gives() -> None:
    text = (REFERENCE / "error-codes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE))
    assert documented == set(registry())
    assert documented - set(error_codes()) - _texts_of_the_product() == set()


def _texts_of_the_product() -> set[str]:
    """String constants of the product: codes that tables hold rather than calls."""
    found: set[str] = set()
    for package in ("api", "connectors", "mappings", "migration", "storage", "cli", "webhooks"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found | {text.partition(":")[0] for text in found}


# ---------------------------------------------------------------- links and examples


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    path = NAMES[name]
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    dead = [link for link in links if not re.match(r"[a-z]+:", link) and not (path.parent / link).resolve().exists()]
    assert not dead


def test_every_page_is_reached_from_the_start() -> None:
    start = DOCS / "README.md"
    reached, new = {ROOT / "README.md", ROOT / "CHANGELOG.md", start}, [start]
    while new:
        page = new.pop()
        for link in re.findall(r"\]\(([^)#:]+\.md)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target not in reached:
                reached.add(target)
                new.append(target)
    assert [str(p.relative_to(ROOT)) for p in PAGES if p not in reached] == []


def examples() -> Iterator[tuple[str, str]]:
    """Every `syncline …` that a page shows in a code block or between backticks."""
    for name, path in NAMES.items():
        if path.parent == REFERENCE and path.name in pages():
            continue
        text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
        for line in re.findall(r"^(?: {4}|\t)+(?:\S*/)?syncline (.*)$", text, re.MULTILINE):
            yield name, line
        for line in re.findall(r"`syncline ([^`]+)`", text):
            yield name, line


TREE = {c.path: c for c in commands()}


@pytest.mark.parametrize(("page", "line"), sorted(set(examples())))
def test_examples_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line.split(" #")[0].replace("…", "x"))
    depth = max(n for n in range(len(words) + 1) if tuple(words[:n]) in TREE)
    described = TREE[tuple(words[:depth])]
    rest = words[depth:]
    if described.is_group:
        assert not rest or rest == ["x"], f"there is no command `syncline {line}`"
        return
    options = [w.split("=")[0] for w in rest if w.startswith("-") and w != "-"]
    assert set(options) <= option_names(described), f"unknown option in `syncline {line}`"
    given = len(rest) - len(options) - sum(_takes_value(described, o) for o in options)
    assert given <= len(described.arguments) or any(a.nargs == -1 for a in described.arguments), (
        f"too much in `syncline {line}`"
    )


def _takes_value(described: Described, name: str) -> bool:
    if name in COMMON:
        return name in {"--home", "--tenant"}
    return any(name in o.opts and not o.is_flag for o in described.options)


MAKE = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name: str) -> None:
    named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", NAMES[name].read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(MAKE)


def test_adrs_are_numbered_without_gaps_and_listed() -> None:
    files = sorted(p.name for p in (DOCS / "adr").glob("0*.md"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    assert [name for name in files if name not in index] == []


def test_readme_names_every_package() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    packages = [p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name not in {"tests", "benchmarks"}]
    assert [name for name in packages if f"`{name}/`" not in text] == []
