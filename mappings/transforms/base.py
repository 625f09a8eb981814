"""What a transform is: a named pair of pure functions, its options, and the loss it admits.

A transform is written for one value; `Bound` runs it over whole columns, remembering what it has seen. Hot transforms bring
a column function of their own, which a property test holds equal to the scalar one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.entities import Kind
from domain.records import MISSING
from mappings.context import MappingContext

MEMO_LIMIT: Final = 20_000
"""Distinct values remembered for each field between two batches: bounds memory, whatever the number of rows."""


class UnreadableValueError(ValueError):
    """A value is not what its field holds. ``code`` is stable; the message is a rule, never the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Flaw:
    """A value that did not pass unharmed.

    ``value`` is what the field gets (None: blank). ``keep`` lists the sources, by position, whose raw value must be kept
    beside it. ``code`` is empty when there is nothing to report.
    """

    value: Any
    code: str
    message: str
    keep: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a transform: its type and, for the reference page, its meaning."""

    type: type
    doc: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a field line that its transform may look at."""

    context: MappingContext = field(default_factory=MappingContext)
    options: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    """The parse format that the source's own schema names (``date:%d/%m/%Y``, ``decimal:,``), without its prefix."""

    def get(self, name: str, default: Any = None) -> Any:
        """The option called ``name``."""
        return self.options.get(name, default)


Scalar = Callable[[Any, Settings], Any]
Column = Callable[["Bound", Sequence[Any]], list[Any]]
Combine = Callable[[Mapping[str, Any], Settings], Any]


@dataclass(frozen=True, slots=True)
class Transform:
    """A named lens of one value.

    ``forward`` takes one cleaned, non-blank vendor value (a tuple of values when ``arity`` allows several sources) and returns a
    canonical one; it raises UnreadableValueError. ``backward`` takes a canonical value that is not None and returns a vendor value
    (a tuple, one a source, when there are several). ``combine`` rebuilds one vendor value from several fields that are parts of
    it. ``loss`` says in words what does not survive ``backward(forward(x))``. ``multi``: takes a tuple even for one source.
    """

    name: str
    doc: str
    kinds: frozenset[Kind]
    forward: Scalar
    backward: Scalar
    loss: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    multi: bool = False
    column: Column | None = None
    combine: Combine | None = None
    takes_values: bool = False


def words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


def is_blank(value: Any) -> bool:
    """Whether ``value`` stands for nothing: not sent, null, empty or only white space."""
    if value is None or value is MISSING:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, (list, tuple, dict, set)) and not value


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes ``text``: no NUL and no lone surrogate."""
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """``text`` without what PostgreSQL refuses."""
    if is_storable(text):
        return text
    return text.replace("\x00", "").encode("utf-8", "ignore").decode()


def is_clean_column(values: Sequence[Any]) -> bool:
    """Whether every text of a column is storable: one look at all of them together."""
    try:
        joined = "".join(values)
    except TypeError:
        joined = "".join([v for v in values if isinstance(v, str)])
    return is_storable(joined)


def clean(value: Any) -> Any:
    """``value`` with every text in it storable, however deep."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(k)): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    return value


class Memo(dict[str, Any]):
    """Results by text, computed when first asked for."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: str) -> Any:
        result = self[key] = self._compute(key)
        return result

    def trim(self) -> None:
        """Forget everything once there is too much of it."""
        if len(self) > MEMO_LIMIT:
            self.clear()


class Bound:
    """A transform with one field line's settings: what the lens runs.

    ``scalar`` is total: it returns a value, None or a Flaw and raises nothing. ``column`` equals ``list(map(scalar, values))``.
    """

    def __init__(
        self,
        transform: Transform,
        settings: Settings | None = None,
        *,
        sources: int = 1,
        blank: Sequence[str] = (),
        default: Any = None,
    ) -> None:
        self.transform = transform
        self.settings = settings or Settings()
        self.blank = frozenset(blank)
        self.default = default
        self.tupled = transform.multi
        self.sources = sources
        self.memo = Memo(self.scalar)
        self.plain = not self.blank and default is None

    def set_default(self, value: Any) -> None:
        """What a blank source becomes."""
        self.default = value
        self.plain = not self.blank and value is None

    def scalar(self, value: Any) -> Any:
        """The canonical value of one vendor value (a tuple of them for a transform of several sources)."""
        dirty = _has_unstorable(value)
        cleaned = value
        if dirty:
            cleaned = tuple(map(clean, value)) if self.tupled else clean(value)
        if self._nothing(cleaned):
            return self.default
        try:
            result = self.transform.forward(cleaned, self.settings)
        except UnreadableValueError as error:
            return Flaw(None, error.code, error.message, tuple(range(self.sources)))
        except (ValueError, ArithmeticError):
            return Flaw(
                None, "unreadable_value", f"cannot be read by {self.transform.name}", tuple(range(self.sources))
            )
        if result is None:
            return self.default
        if dirty:
            return Flaw(
                result.value if isinstance(result, Flaw) else result,
                "text_cleaned",
                "held characters that no database can store (NUL or half of a surrogate pair); they were removed",
                result.keep if isinstance(result, Flaw) else (),
            )
        return result

    def column(self, values: Sequence[Any]) -> list[Any]:
        """``scalar`` of every value."""
        if self.tupled:
            return self._tuples(values)
        self.memo.trim()
        if self.plain and self.transform.column is not None and is_clean_column(values):
            return self.transform.column(self, values)
        return self.by_memo(values)

    def by_memo(self, values: Sequence[Any]) -> list[Any]:
        """``scalar`` of every value, computed once for each distinct text."""
        memo, scalar = self.memo, self.scalar
        return [memo[v] if v.__class__ is str else (self.default if v is None else scalar(v)) for v in values]

    def _tuples(self, values: Sequence[Any]) -> list[Any]:
        scalar = self.scalar
        return [scalar(v) for v in values]

    def backward(self, value: Any) -> Any:
        """The vendor value of a canonical one; None stays None (for each source)."""
        if value is None:
            return (None,) * self.sources if self.tupled else None
        return self.transform.backward(value, self.settings)

    def _nothing(self, value: Any) -> bool:
        if self.tupled:
            return all(map(self._absent, value))
        return self._absent(value)

    def _absent(self, value: Any) -> bool:
        return is_blank(value) or (bool(self.blank) and isinstance(value, str) and value.strip() in self.blank)


def _has_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return not is_storable(value)
    if isinstance(value, dict):
        return any(_has_unstorable(k) or _has_unstorable(v) for k, v in value.items())
    return isinstance(value, (list, tuple)) and any(map(_has_unstorable, value))
