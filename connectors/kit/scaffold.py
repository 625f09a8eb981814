"""`syncline new connector NAME`: a connector that works, passes the conformance suite's first half, and is honest."""

from __future__ import annotations

import keyword
import re
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from connectors.kit.quality import RULES
from domain.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RESERVED = frozenset({"kit", "skeleton", "connectors", "domain", "tests"})
NAME_CHARS_MAX = 40

_CODE = {"connector.py": "connector.py.tmpl", "README.md": "README.md.tmpl"}
_TESTS = {
    "test_{name}.py": "test_conformance.py.tmpl",
    "fixtures/contacts_page.json": "contacts_page.json.tmpl",
    "fixtures/README.md": "fixtures.md.tmpl",
}


def create(name: str, into: Path, label: str | None = None) -> list[Path]:
    """Write connector ``name`` into the source tree ``into`` and return the new files.

    ``label`` is how people call the vendor. Raises ConfigurationError, having written nothing, for a name that cannot be,
    a folder that exists, or a tree that cannot be written.
    """
    check_name(name)
    label = check_label(label or " ".join(word.capitalize() for word in name.split("_")))
    code, tests = into / "connectors" / name, into / "tests" / "connectors" / name
    if not (into / "connectors").is_dir():
        raise ConfigurationError(
            f"{into} holds no connectors folder.", remedy="Run this in the root of a checkout, or say where it is."
        )
    for folder in (code, tests):
        if folder.exists():
            raise ConfigurationError(f"{folder} exists already.", remedy="Choose another name, or remove the folder.")
    return _write(_rendered(code, tests, name, label), code, tests)


def check_name(name: str) -> None:
    """Raise ConfigurationError unless ``name`` can be a Python package and a vendor's name."""
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARS_MAX:
        raise ConfigurationError(
            f"{name[:80]!a} cannot name a connector.",
            remedy=f"Use small letters, digits and single underscores, a letter first, at most {NAME_CHARS_MAX}: zoho_crm.",
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in _RESERVED:
        raise ConfigurationError(
            f"{name} is a reserved word and cannot name a connector.", remedy="Add the product's name."
        )


def check_label(label: str) -> str:
    """``label`` if it can stand in a Python string and a heading. Raises ConfigurationError."""
    if not label.isprintable() or not 0 < len(label) <= 60 or set(label) & set("\"'\\{}$|`"):
        raise ConfigurationError(
            "This label cannot be used.", remedy="Use at most 60 letters, digits, blanks, dots and hyphens."
        )
    return label


def _rendered(code: Path, tests: Path, name: str, label: str) -> dict[Path, str]:
    camel, dashed = "".join(w.capitalize() for w in name.split("_")), name.replace("_", "-")
    words = {"name": name, "label": label, "class_name": camel, "dashed": dashed}
    rendered = {code / path: _render(template, words) for path, template in _CODE.items()}
    rendered[code / "__init__.py"] = f'"""{label}."""\n'
    rendered[code / "quality.toml"] = _quality()
    rendered |= {tests / path.format(name=name): _render(template, words) for path, template in _TESTS.items()}
    return rendered


def _render(template: str, words: Mapping[str, str]) -> str:
    text = files("connectors.kit.skeleton").joinpath(template).read_text("utf-8")
    return Template(text).substitute(words)


def _quality() -> str:
    """Claims nothing but what the skeleton shows by itself."""
    shown = {"hosts", "rate-limits"}
    lines = [
        "# What each rule asks for: RULES in connectors/kit/quality.py. done, todo, or exempt with a reason.",
        "[rules]",
    ]
    lines += [f'{rule} = "{"done" if rule in shown else "todo"}"' for rule in RULES]
    return "\n".join(lines) + "\n"


def _write(contents: Mapping[Path, str], *folders: Path) -> list[Path]:
    try:
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as exc:
        problem = exc.strerror or type(exc).__name__
    else:
        return sorted(contents)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    raise ConfigurationError(
        f"The connector could not be written: {problem}.", remedy="Choose a folder that you may write to."
    )
