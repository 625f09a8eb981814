"""What a SOQL query says, as values. Positions are character offsets into the query, for the vendor's error messages."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Path:
    """``Account.Owner.Name`` as names; ``at`` is where it stands."""

    names: tuple[str, ...]
    at: int

    @property
    def text(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """``COUNT()``, ``MAX(Amount) total``, ``toLabel(Status)``, ``FIELDS(ALL)``."""

    function: str
    argument: Path | None
    alias: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Typeof:
    """``TYPEOF What WHEN Account THEN Phone ELSE Name END``."""

    relation: Path
    branches: tuple[tuple[str, tuple[Path, ...]], ...]
    otherwise: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """``kind``: string, number, date, datetime, boolean, null or range (a date literal such as LAST_N_DAYS:30)."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Compare:
    left: Path | Call
    operator: str
    right: Literal | tuple[Literal, ...] | Query


@dataclass(frozen=True, slots=True)
class Both:
    """``operator``: AND or OR."""

    operator: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    inner: Condition


Condition = Compare | Both | Negation


@dataclass(frozen=True, slots=True)
class Order:
    by: Path | Call
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    select: tuple[Path | Call | Typeof | Query, ...]
    source: Path
    where: Condition | None = None
    group: tuple[Path, ...] = ()
    having: Condition | None = None
    order: tuple[Order, ...] = field(default=())
    limit: int | None = None
    offset: int = 0
    alias: str | None = None
