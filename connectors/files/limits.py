"""How much of anything a file may ask for before it is refused. Each bound is what keeps memory or disk bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import ConfigurationError

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes unless named otherwise.

    ``record``: the longest line, cell or record that is parsed; longer ones become rejects. ``ratio``: uncompressed to
    compressed size above which an archive member larger than ``ratio_from`` is taken for a decompression bomb (deflate
    cannot exceed 1,032; exports seldom pass 50).
    """

    record: int = 16 * MIB
    page_rows: int = 10_000
    block_max: int = 4 * MIB
    archive_entries: int = 500_000
    ratio: int = 250
    ratio_from: int = 64 * MIB
    member: int = 256 * GIB
    nested_archive: int = 8 * GIB
    json_document: int = 64 * MIB
    workbook_strings: int = 256 * MIB
    raw_kept: int = 16 * 1024


def limits_from(settings: Mapping[str, str]) -> Limits:
    """The defaults, changed by the setting ``max_cell_mb``. Raises ConfigurationError when it is no positive number."""
    text = settings.get("max_cell_mb") or "16"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise ConfigurationError(
            "The setting max_cell_mb is not a whole number of megabytes from 1 to 1024.",
            remedy="Leave it out for 16 MB, or give a number.",
        )
    return Limits(record=int(text) * MIB)
