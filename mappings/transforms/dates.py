"""Dates and times: ISO 8601, Salesforce's and HubSpot's forms, spreadsheets, and explicit formats.

A time without a zone was written in the context's time zone; every timestamp leaves in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from domain.entities import Kind
from mappings.transforms.base import Bound, Option, Settings, Transform, UnreadableValueError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d").fullmatch
_ISO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?", re.IGNORECASE
).fullmatch
_EPOCH_TEXT = re.compile(r"-?\d{9,14}").fullmatch
_WORDY: Final = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d. %B %Y", "%d-%b-%Y")
_CLOCKS: Final = (" %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %I:%M %p")
_UNITS: Final = {"s": 1, "ms": 1000, "us": 1_000_000}


def to_timestamp(value: Any, settings: Settings) -> datetime:
    """An instant in UTC, as exact as ``unit`` if there is one."""
    moment = _instant(value, settings)
    step = 1_000_000 // _UNITS[settings.get("unit", "us")]
    return moment.replace(microsecond=moment.microsecond // step * step) if step > 1 else moment


def _instant(value: Any, settings: Settings) -> datetime:
    if isinstance(value, datetime):
        return _utc(value, settings)
    if isinstance(value, date):
        return _utc(datetime(value.year, value.month, value.day), settings)  # noqa: DTZ001
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _from_epoch(value, settings.get("unit"))
    if not isinstance(value, str):
        raise UnreadableValueError("not_a_timestamp", "is not a date or time")
    return _utc(_parse(value.strip(), settings), settings)


def to_date(value: Any, settings: Settings) -> date:
    """A calendar day. Of a timestamp with a zone: the day written, not the day in UTC."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return _from_epoch(value, settings.get("unit")).date()
    if not isinstance(value, str):
        raise UnreadableValueError("not_a_date", "is not a date")
    return _parse(value.strip(), settings).date()


def _utc(moment: datetime, settings: Settings) -> datetime:
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=settings.context.zone)
        return moment.astimezone(UTC)
    except OverflowError:
        raise UnreadableValueError("date_out_of_range", "lies outside the years 1 to 9999") from None


def _from_epoch(value: int | float | Decimal, unit: str | None) -> datetime:
    """Unix time; without a unit, numbers of more than 11 digits are milliseconds."""
    try:
        number = Decimal(str(value))
        per_second = _UNITS[unit] if unit else (1000 if abs(number) >= 10**11 else 1)
        whole, part = divmod(number * (1_000_000 // per_second), 1_000_000)
        return _EPOCH + timedelta(seconds=int(whole), microseconds=int(part))
    except (OverflowError, ArithmeticError, ValueError):
        raise UnreadableValueError("date_out_of_range", "lies outside the years 1 to 9999") from None


def _parse(text: str, settings: Settings) -> datetime:
    explicit = settings.get("format") or settings.format
    if explicit:
        return _by_format(text, explicit)
    if match := _ISO_TIME(text):
        return _iso(match)
    if _ISO_DATE(text):
        return _checked(lambda: datetime.fromisoformat(text))
    if settings.get("unit") or _EPOCH_TEXT(text):
        try:
            return _from_epoch(Decimal(text), settings.get("unit"))
        except ArithmeticError:
            raise UnreadableValueError("not_a_date", "is not a date or time") from None
    return _human(text, settings)


def _iso(match: re.Match[str]) -> datetime:
    day, clock, zone = match.groups()
    clock = clock.replace(",", ".")
    if "." in clock:
        clock = clock[:15]  # Python keeps microseconds: further digits are cut
    zone = "" if zone is None else ("Z" if zone.upper() in ("Z", "UTC", "GMT") else zone)
    return _checked(lambda: datetime.fromisoformat(f"{day}T{clock}{zone}"))


def _checked(read: Any) -> datetime:
    try:
        found: datetime = read()
    except ValueError:
        raise UnreadableValueError("not_a_date", "names a day or time that does not exist") from None
    return found


def _by_format(text: str, pattern: str) -> datetime:
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007
    except ValueError:
        pass
    if _ISO_DATE(text) or _ISO_TIME(text):  # one export may mix its own format with ISO
        return _checked(lambda: datetime.fromisoformat(text))
    raise UnreadableValueError("not_a_date", f"does not have the form {pattern}")


def _human(text: str, settings: Settings) -> datetime:
    """Dates as people write them. The order of 03/04/2024 follows the default country."""
    month_first = settings.context.month_first
    for pattern in _patterns(text, month_first) if len(text) <= 40 else ():
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007
        except ValueError:
            continue
    raise UnreadableValueError("not_a_date", "is not a date in a form that can be read without a format")


def _patterns(text: str, month_first: bool) -> list[str]:
    """The few forms that ``text`` could have, so that a column of other things is refused quickly."""
    if not any(map(str.isdigit, text)):
        return []
    if "/" in text:
        days = ["%m/%d/%Y", "%d/%m/%Y"] if month_first else ["%d/%m/%Y", "%m/%d/%Y"]
        days.append("%Y/%m/%d")
    elif any(map(str.isalpha, text.split(":")[0])):
        days = list(_WORDY)
    else:
        days = ["%d.%m.%Y"]
    clocks = _CLOCKS if ":" in text else ("",)
    return [day + clock for day in days for clock in clocks]


# ---------------------------------------------------------------- back


def _formatted(moment: date, pattern: str) -> str:
    return moment.strftime(pattern.replace("%Y", f"{moment.year:04d}"))


def from_timestamp(value: datetime, settings: Settings) -> Any:
    """ISO 8601 in UTC with milliseconds (microseconds where there are any), or as the options say."""
    pattern, unit = settings.get("format"), settings.get("unit")
    if pattern:
        return _formatted(value.astimezone(settings.context.zone), pattern)
    if settings.get("day"):
        return value.astimezone(settings.context.zone).date().isoformat()
    if unit:
        return (value - _EPOCH) // timedelta(microseconds=1) * _UNITS[unit] // 1_000_000
    moment = value.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds") + "Z"


def from_date(value: date, settings: Settings) -> Any:
    """ISO 8601, or as the options say."""
    pattern, unit = settings.get("format"), settings.get("unit")
    if pattern:
        return _formatted(value, pattern)
    midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if settings.get("midnight"):
        return from_timestamp(midnight, settings)
    if unit:
        return int((midnight - _EPOCH).total_seconds()) * _UNITS[unit]
    return value.isoformat()


def timestamp_column(bound: Bound, values: Sequence[Any]) -> list[Any]:
    """`to_timestamp` of a column: the form that APIs send in UTC is read at once, others through the memo."""
    if bound.settings.get("format") or bound.settings.format:
        return bound.by_memo(values)
    if alike := _alike(values):
        return alike
    memo, scalar = bound.memo, bound.scalar
    result: list[Any] = []
    append = result.append
    for value in values:
        if value.__class__ is str:
            found = _cheap(value)
            append(memo[value] if found is None else found)
        else:
            append(None if value is None else scalar(value))
    return result


def _alike(values: Sequence[Any]) -> list[Any] | None:
    """The instants, where all of them are written in the one form that most APIs use; else None."""
    try:
        if not (set(map(len, values)) == {24} and _SHAPES("".join(values))):
            return None
        return list(map(datetime.fromisoformat, values))
    except (TypeError, ValueError):
        return None


_SHAPES = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)+", re.ASCII).fullmatch
_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?(?:Z|\+00:?00)", re.ASCII).fullmatch


def _cheap(text: str) -> datetime | None:
    if not _SHAPE(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


_OPTIONS = {
    "format": Option(str, "how the source writes it, in strptime's letters: `%d/%m/%Y`"),
    "unit": Option(str, "unit of a Unix time", choices=("s", "ms", "us")),
}

TRANSFORMS = (
    Transform(
        "timestamp", "An instant, stored in UTC. Without a zone it is read in the context's time zone.",
        frozenset({Kind.TIMESTAMP}), to_timestamp, from_timestamp,
        options={**_OPTIONS, "day": Option(bool, "the vendor's field holds a day: an instant goes back as its day there")},
        column=timestamp_column,
        loss="the zone it was written in; digits beyond the microsecond; what a `format`, `unit` or `day` leaves out",
    ),
    Transform(
        "date", "A calendar day.", frozenset({Kind.DATE}), to_date, from_date,
        options={**_OPTIONS, "midnight": Option(bool, "the vendor's field holds an instant: a day goes back as its start in UTC")},
        loss="a time of day written beside it",
    ),
)  # fmt: skip
