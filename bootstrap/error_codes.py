"""What each error code means and what mends it, in words."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One entry of the registry."""

    code: str
    group: str
    means: str
    fix: str


@cache
def registry() -> dict[str, ErrorCode]:
    """Every code, in the order of the file."""
    text = (Path(__file__).parent / "error_codes.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    titles = data.pop("groups")
    return {
        code: ErrorCode(code, titles[group], entry["means"], entry["fix"])
        for group, entries in data.items()
        for code, entry in entries.items()
    }


def meaning(reason: str) -> str:
    """A code, or ``code:field``, in words; an unknown one (of a third-party connector, say) as it is."""
    code, _, field = reason.partition(":")
    known = registry().get(code)
    if known is None:
        return reason
    return f"{field}: {known.means}" if field else known.means
