"""Dataclasses that nobody may change: the type checker refuses it, and at run time they cost no more than plain ones.

Python's own frozen dataclasses set each field through `object.__setattr__`: making one of twenty fields takes four times as long,
which counts where several are made for every record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False, **more: Any) -> Callable[[type], type]:
        """As `dataclasses.dataclass`, compared and hashed by its fields; ``frozen`` is left to the type checker."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen, **more)
