"""SOQL's date literals as spans of days.

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_dateformats.htm
"""

from __future__ import annotations

from datetime import date, timedelta

_DAY = timedelta(days=1)


def date_range(literal: str, today: date) -> tuple[date, date]:
    """First day of the literal's span, and the first day after it. Weeks begin on Sunday, as in an org with locale en_US."""
    fixed = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
    if literal in fixed:
        start = today + fixed[literal] * _DAY
        return start, start + _DAY
    if literal in {"LAST_90_DAYS", "NEXT_90_DAYS"}:
        return _days(literal.split("_")[0], 90, today)
    if "_N_" in literal:
        return _counted(literal, today)
    which, unit = literal.split("_")
    step = {"LAST": -1, "THIS": 0, "NEXT": 1}[which]
    return _span(unit, today, step, step + 1)


def _days(which: str, count: int, today: date) -> tuple[date, date]:
    """The last n days include today; the next n begin tomorrow."""
    if which == "LAST":
        return today - count * _DAY, today + _DAY
    return today + _DAY, today + (count + 1) * _DAY


def _counted(literal: str, today: date) -> tuple[date, date]:
    name, _, number = literal.partition(":")
    which, _, unit = name.split("_")
    count = int(number)
    if unit == "DAYS":
        return _days(which, count, today)
    first, last = (-count, 0) if which == "LAST" else (1, count + 1)
    return _span(unit.removesuffix("S"), today, first, last)


def _span(unit: str, today: date, first: int, last: int) -> tuple[date, date]:
    """From the start of the unit ``first`` steps away to the start of the one ``last`` steps away."""
    if unit == "WEEK":
        sunday = today - ((today.weekday() + 1) % 7) * _DAY
        return sunday + 7 * first * _DAY, sunday + 7 * last * _DAY
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit]
    origin = (today.year * 12 + today.month - 1) // months * months
    return _month(origin + first * months), _month(origin + last * months)


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)
