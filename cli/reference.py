"""The command line as data: what `docs/reference/` is made from, and what tests hold the documentation to.

``python -m cli.reference`` writes the pages again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from bootstrap.error_codes import registry
from bootstrap.metrics import FAMILIES, PROCESS_FAMILIES
from bootstrap.settings import Settings, variable_name
from cli.exits import MEANINGS
from domain import errors
from domain.access import PERMISSIONS, ROLES
from domain.errors import SynclineError

_API_INTRO = """\
A running installation describes each route with its fields under `/docs`, and for tools under `/openapi.json`.
[How to use it safely](../how-to/use-the-api.md). Errors are problem documents (RFC 9457) with a `code` out of
[error codes](error-codes.md). Every list is a page with `next`, given back as `cursor`."""

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


def pages() -> dict[str, Callable[[], str]]:
    """The generated pages of docs/reference/ by file name, each made when it is called for."""
    return {
        "cli.md": _cli_page,
        "settings.md": _settings_page,
        "exit-codes.md": _exit_page,
        "error-codes.md": _error_page,
        "api.md": _api_page,
        "metrics.md": _metrics_page,
        "events.md": _events_page,
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


def _api_page() -> str:
    from api.app import describe

    operations = [
        (method.upper(), path, told)
        for path, methods in describe()["paths"].items()
        for method, told in methods.items()
    ]
    routes = [
        f"| `{method}` | `{path}` | {_permission(told)} | {told['summary']} | {_one_paragraph(told['description'])} |"
        for method, path, told in operations
    ]
    roles = [f"| `{role}` | {', '.join(f'`{p}`' for p in sorted(allowed))} |" for role, allowed in ROLES.items()]
    permissions = [f"| `{name}` | {text} |" for name, text in PERMISSIONS.items()]
    parts = ["# The API", _DO_NOT_EDIT, _API_INTRO]
    parts += ["## Routes", "\n".join(["| | address | permission | | |\n|---|---|---|---|---|", *routes])]
    parts += ["## Permissions", "\n".join(["| permission | what it allows |\n|---|---|", *permissions])]
    parts += ["## Roles", "\n".join(["| role | permissions |\n|---|---|", *roles])]
    return "\n\n".join(parts) + "\n"


def _metrics_page() -> str:
    intro = (
        "`/metrics` of the API shows them all, and so do workers and schedulers with SYNCLINE_METRICS_PORT. What stands in the "
        "database is read when it is scraped, at most every ten seconds; what a process counts begins anew with it. Several "
        "processes of one API (SYNCLINE_API_WORKERS) count together: whichever is scraped tells of all. Names of counters end in "
        "`_total`; histograms have `_bucket`, `_sum` and `_count`. No label ever holds a value of a record."
    )
    rows = [
        f"| `{name}{'_total' if family.counter else ''}` | {', '.join(f'`{label}`' for label in family.labels)} | {family.help} |"
        for name, family in (FAMILIES | PROCESS_FAMILIES).items()
    ]
    return (
        "\n\n".join(["# Metrics", _DO_NOT_EDIT, intro, "\n".join(["| metric | labels | |\n|---|---|---|", *rows])])
        + "\n"
    )


def _permission(told: dict[str, Any]) -> str:
    return f"`{told['x-permission']}`" if "x-permission" in told else "none"


def _events_page() -> str:
    from domain.entities import ENTITIES
    from webhooks.outbound.catalogue import EVENTS

    example = "contact"
    records = {f"{entity}." for entity in (*ENTITIES, "association")}
    others = [
        e for e in EVENTS.values() if f"{e.name.partition('.')[0]}." not in records or e.name.endswith("stage_changed")
    ]
    of_records = [e for e in EVENTS.values() if e.name.startswith(f"{example}.")]
    kinds = ", ".join(f"`{entity}`" for entity in (*ENTITIES, "association"))
    return "\n\n".join([
        "# Events",
        _DO_NOT_EDIT,
        "What [webhook subscriptions](../how-to/listen-to-events.md) hear. Every body is an object with `id` (stable: a repeated "
        "delivery has the same one), `type`, `version` (grows when a field changes its meaning or goes; new fields may come at any "
        "time with a new version of the hub), `tenant`, `occurred_at` and `data`. JSON Schemas (2020-12) of all of them: "
        "`GET /v1/webhooks/events`.",
        "## Events of records",
        f"For each of {kinds}:",
        _event_table(of_records, example, "*entity*"),
        "`record` is the record in the form of the API as it stood when the event was made, perhaps a moment after the change: "
        "`record.version` tells, and `version` is the change's own. `changed` holds the old and new value of each field. A record "
        "that was created by a bulk load has no `created` event unless the subscription asks for each one.",
        "## Other events",
        _event_table(others, "", ""),
    ]) + "\n"  # fmt: skip


def _event_table(events: Iterable[Any], name: str, shown: str) -> str:
    rows = []
    for e in events:
        fields = ", ".join(f"`{field}`" for field in e.data["properties"])
        title = e.name.replace(f"{name}.", f"{shown}.") if name else f"`{e.name}`"
        rows.append(f"| {title} | {e.version} | {e.means} | {fields} |")
    return "| type | version | when | `data` |\n|---|---|---|---|\n" + "\n".join(rows)


def error_classes() -> list[type[SynclineError]]:
    """Every class of `domain.errors`, bases first."""
    found = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, SynclineError)]
    return sorted(found, key=lambda c: len(c.__mro__))


def main() -> None:
    """Write the pages into docs/reference/ of this checkout."""
    folder = Path(__file__).resolve().parents[1] / "docs" / "reference"
    for name, make in pages().items():
        (folder / name).write_text(make(), encoding="utf-8")
    sys.stdout.write(f"written: {', '.join(pages())}\n")


if __name__ == "__main__":
    main()
