"""Values of unknown origin made storable: PostgreSQL's text and JSON refuse what files and vendors send now and then."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_NUL_SHOWN = "\u2400"  # the picture of NUL, which cannot be stored itself


def storable_text(value: str) -> str:
    """``value`` with NUL shown as a picture and lone surrogates as replacement characters."""
    if "\0" in value:
        value = value.replace("\0", _NUL_SHOWN)
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def storable_json(value: Any) -> str | None:
    """``value`` as JSON text that a jsonb column takes; what JSON cannot say becomes text. None stays None."""
    return None if value is None else json.dumps(_clean(value), ensure_ascii=False)


def _clean(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case str():
            return storable_text(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray() | memoryview():
            return storable_text(bytes(value).decode("utf-8", "replace"))
        case Mapping():
            return {storable_text(str(key)): _clean(item) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [_clean(item) for item in value]
        case _:
            return storable_text(str(value))
