"""Pieces of a file that are no record, with everything a person needs to find and mend them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.records import Place, Reject

CODE_RAGGED = "file_ragged_row"
CODE_QUOTE = "file_bad_quote"
CODE_ENCODING = "file_undecodable"
CODE_NUL = "file_nul_byte"
CODE_TOO_LARGE = "file_cell_too_large"
CODE_JSON = "file_bad_json"
CODE_FORMULA = "file_formula_without_value"
CODE_EXCEL_ERROR = "file_excel_error"
CODE_MERGED = "file_merged_cells"
CODE_NO_ID = "file_no_id"


def reject(code: str, place: Place, problem: str, raw: Any = None, vendor_id: str | None = None) -> Reject:
    """A reject whose message names the place before the problem. ``raw`` must already be fit for JSON."""
    return Reject(code, f"{place}: {problem}", place, raw, vendor_id)


def cells(columns: Sequence[str], row: Sequence[str], keep: int) -> dict[str, Any]:
    """A row as the payload of a dead letter: columns and cells, cut to ``keep`` characters a cell, storable as JSON."""
    return {"columns": list(columns), "cells": [storable(cell, keep) for cell in row[: len(columns) + 100]]}


def storable(text: str, keep: int) -> str:
    """``text`` with what PostgreSQL and JSON refuse (NUL, lone surrogates) written as escapes, cut to ``keep``."""
    shown = text[:keep].replace("\0", "\\x00")
    escaped = "".join(_escape(c) if "\ud800" <= c <= "\udfff" else c for c in shown)
    return escaped if len(text) <= keep else f"{escaped}… ({len(text):,} characters)"


def _escape(surrogate: str) -> str:
    code = ord(surrogate)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
