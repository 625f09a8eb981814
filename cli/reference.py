"""The command line as data: what `docs/reference/` is made from, and what tests hold the documentation to.

``python -m cli.reference`` writes the pages again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from bootstrap.error_codes import registry
from bootstrap.settings import Settings, variable_name
from cli.exits import MEANINGS
from domain import errors
from domain.errors import SynclineError

_COMMON = {"--json", "--home", "--tenant", "--help"}
_DO_NOT_EDIT = "<!-- Made by `python -m cli.reference`; a test fails when it is out of date. -->"


@dataclass(frozen=True, slots=True)
class Described:
    """One command or group of commands. ``path``: its words without `syncline`."""

    path: tuple[str, ...]
    help: str
    arguments: tuple[Any, ...]
    options: tuple[Any, ...]
    is_group: bool


def commands() -> Iterator[Described]:
    """Every command and group, in the order of the help."""
    from cli.main import app, mount_sandbox

    mount_sandbox()
    yield from _walk(typer.main.get_command(app), ())


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[Described]:
    children = getattr(command, "commands", None)
    arguments = tuple(p for p in command.params if p.param_type_name == "argument")
    options = tuple(p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False))
    yield Described(path, command.help or "", arguments, options, children is not None)
    for name, child in (children or {}).items():
        if not child.hidden:
            yield from _walk(child, (*path, name))


def command_paths() -> set[tuple[str, ...]]:
    """The words of every command: ``("migrate", "run")``, …"""
    return {c.path for c in commands() if not c.is_group}


def option_names(described: Described) -> set[str]:
    """Every spelling of every option of a command."""
    return {name for option in described.options for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}


def pages() -> dict[str, str]:
    """The generated pages of docs/reference/ by file name."""
    return {
        "cli.md": _cli_page(),
        "settings.md": _settings_page(),
        "exit-codes.md": _exit_page(),
        "error-codes.md": _error_page(),
    }


def _cli_page() -> str:
    parts = [
        "# The `syncline` command",
        _DO_NOT_EDIT,
        "Every command also takes `--json` (one JSON document on stdout instead of tables; errors as JSON on stderr), "
        "`--home FOLDER`, `--tenant UUID` and `--help`. They may stand before the command's name, too. Progress goes to stderr. "
        "[Exit codes](exit-codes.md), [settings](settings.md).",
    ]
    for described in commands():
        if described.path and not described.is_group:
            parts += _command_section(described)
    return "\n\n".join(parts) + "\n"


def _command_section(described: Described) -> list[str]:
    usage = " ".join(["syncline", *described.path, *(_argument_usage(a) for a in described.arguments)])
    rows = [(f"`{_name_of(a)}`", _help(a)) for a in described.arguments]
    rows += [
        (f"`{_option_usage(o)}`", _help(o)) for o in described.options if not _COMMON & {*o.opts, *o.secondary_opts}
    ]
    section = [
        f"## `{' '.join(('syncline', *described.path))}`",
        _one_paragraph(described.help),
        f"    {usage} [OPTIONS]",
    ]
    if rows:
        section.append("| | |\n|---|---|\n" + "\n".join(f"| {left} | {right} |" for left, right in rows))
    return section


def _name_of(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _argument_usage(argument: Any) -> str:
    name = _name_of(argument).strip("[]")
    return name if argument.required else f"[{name}]"


def _option_usage(option: Any) -> str:
    names = ", ".join((*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {option.metavar or option.name.upper()}"


def _help(param: Any) -> str:
    text = _one_paragraph(param.help or "")
    default = param.default
    if isinstance(default, str | int | float) and not isinstance(default, bool) and "efault" not in text:
        text += f" Default: {default}."
    if param.required and param.param_type_name == "option":
        text += " Required."
    return text.replace("|", "\\|")


def _one_paragraph(text: str) -> str:
    return " ".join(text.split())


def _settings_page() -> str:
    rows = [
        f"| `{variable_name(name)}` | {_one_paragraph(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    intro = "Environment variables. An empty one counts as unset; `--home` and `--tenant` beat theirs."
    return "\n\n".join(["# Settings", _DO_NOT_EDIT, intro, "| | |\n|---|---|\n" + "\n".join(rows)]) + "\n"


def _exit_page() -> str:
    intro = "A script can rely on these. The message on stderr says in words what happened and what to do."
    table = "| code | meaning |\n|---|---|\n" + "\n".join(f"| {n} | {text} |" for n, text in sorted(MEANINGS.items()))
    return "\n\n".join(["# Exit codes", _DO_NOT_EDIT, intro, table]) + "\n"


def _error_page() -> str:
    shape = '{"error": {"code": …, "message": …, "remedy": …, "exit_code": …}}'
    intro = (
        f"With `--json` an error is `{shape}` on stderr, and dead letters carry the same codes. "
        "Codes are stable; messages may be reworded. [Exit codes](exit-codes.md) group them by what happens next."
    )
    parts = ["# Error codes", _DO_NOT_EDIT, intro]
    for group in dict.fromkeys(entry.group for entry in registry().values()):
        rows = [f"| `{e.code}` | {e.means} | {e.fix} |" for e in registry().values() if e.group == group]
        parts += [f"## {group}", "| code | what it means | what to do |\n|---|---|---|\n" + "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def error_classes() -> list[type[SynclineError]]:
    """Every class of `domain.errors`, bases first."""
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SynclineError)]
    return sorted(found, key=lambda c: len(c.__mro__))


def main() -> None:
    """Write the pages into docs/reference/ of this checkout."""
    folder = Path(__file__).resolve().parents[1] / "docs" / "reference"
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"written: {', '.join(pages())}\n")


if __name__ == "__main__":
    main()
