"""Where in a TOML text a value stands, so that an error can name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([\w-]+))\s*=""")

Path = tuple[str | int, ...]


class Lines:
    """The lines of the keys of a TOML text: tables, arrays of tables, and keys directly below them."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._scan(text)

    def line(self, path: Sequence[str | int]) -> int | None:
        """1-based line of ``path``, or of the nearest thing around it."""
        steps = tuple(path)
        while steps:
            if steps in self._lines:
                return self._lines[steps]
            steps = steps[:-1]
        return None

    def _scan(self, text: str) -> None:
        current: Path = ()
        fence = ""
        for number, line in enumerate(text.splitlines(), 1):
            if fence:
                fence = "" if fence in line else fence
                continue
            if header := _HEADER.match(line):
                current = self._enter(header[2].split("."), repeated=header[1] == "[[")
                self._lines.setdefault(current, number)
            elif key := _KEY.match(line):
                name = next(part for part in key.groups() if part is not None)
                self._lines.setdefault((*current, name), number)
                fence = _opened(line)

    def _enter(self, names: Sequence[str], *, repeated: bool) -> Path:
        path: Path = ()
        for position, raw in enumerate(names):
            name = raw.strip().strip("\"'")
            path = (*path, name)
            if repeated and position == len(names) - 1:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = (*path, self._counts[path])
        return path


def _opened(line: str) -> str:
    """The fence of a multi-line text that begins on this line and does not end on it."""
    for fence in ('"""', "'''"):
        if line.count(fence) % 2:
            return fence
    return ""
