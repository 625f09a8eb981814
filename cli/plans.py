"""Plan files: where they are, reading, writing and approving them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from domain.errors import ConfigurationError
from migration.plan_model import Plan


def default_path(connection_name: str) -> Path:
    """Where the plan of a connection is kept unless a person says otherwise: the current folder."""
    return Path(re.sub(r"[^\w.-]+", "-", connection_name).strip("-.") + "-plan.toml")


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises ConfigurationError naming file, line and field."""
    return Plan.from_toml(_text(path), str(path))


def approve(path: Path) -> str:
    """Approve the plan in a file, whose layout and comments stay; returns its checksum."""
    from migration.plan_reading import approved_text

    approved = approved_text(_text(path), str(path))
    _write(approved, path)
    return Plan.from_toml(approved, str(path)).checksum


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no plan {path}.",
            remedy="Make one with `syncline migrate plan`, or name another with --plan.",
            code="no_plan",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The plan {path} cannot be read: {error}.", code="no_plan") from None


def write_plan(plan: Plan, path: Path, *, overwrite: bool) -> None:
    """Write a plan file in one step. A plan that a person may have edited is not overwritten unless told so."""
    if not overwrite:
        refuse_overwriting(path)
    _write(plan.to_toml(), path)


def _write(text: str, path: Path) -> None:
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105  # one step
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The plan cannot be written to {path}: {error.strerror}.", remedy="Name another place with --out."
        ) from None


def refuse_overwriting(path: Path) -> None:
    """Raises ConfigurationError when there is a file already."""
    if path.exists():
        raise ConfigurationError(
            f"{path} exists already, and may hold somebody's choices.",
            remedy="Give --overwrite to make it anew, or --out to write another file.",
            code="plan_exists",
        )
