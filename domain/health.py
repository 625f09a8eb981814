"""Whether a connection is healthy: how long ago its streams were last compared with the vendor, and whether they go on at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FAILURES_AT = 5
"""After so many failed passes in a row a stream counts as failing, until one ends well."""

FRESH_AGAIN_BELOW = 0.75
"""A stream that was too old has to come below this share of its target: one that hovers around it is told once."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream as it stands. ``since``: its last verified comparison, or when it was made (``verified`` false); None of
    ``reads``: it is only written, so there is nothing to compare. ``code``: why it stopped."""

    object: str
    status: str
    failures: int
    since: datetime
    verified: bool = True
    reads: bool = True
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a connection is not healthy. ``object`` None: for the whole of it. ``message``: a sentence for people."""

    object: str | None
    code: str
    message: str


def reasons(
    status: str,
    streams: Sequence[StreamState],
    *,
    now: datetime,
    target: timedelta | None,
    stale: Collection[str] = (),
) -> tuple[Reason, ...]:
    """Everything that is wrong with a connection of this status. None of ``target``: age is not looked at.

    ``stale``: objects that were too old when it was last looked at.
    """
    found = []
    if status == "reauth":
        found.append(Reason(None, "reauth_required", "The vendor refuses the credentials: connect again."))
    for stream in streams:
        reason = _stopped(stream, status) or (target and _too_old(stream, now, target, stale)) or _failing(stream)
        if reason is not None:
            found.append(reason)
    return tuple(found)


def _stopped(stream: StreamState, status: str) -> Reason | None:
    name = stream.object
    if stream.status == "reauth" and status != "reauth":
        return Reason(name, "reauth_required", f"{name} waits for the connection to be connected again.")
    if stream.status == "braked":
        return Reason(name, "braked", f"{name} would delete too much at once, and waits for a person's word.")
    if stream.status == "stopped":
        return Reason(name, stream.code or "stopped", f"{name} stopped by itself; it goes on once resumed.")
    return None


def is_old(stream: StreamState, now: datetime, target: timedelta, stale: Collection[str] = ()) -> bool:
    """Whether the last verified comparison is longer ago than its target; ``stale`` as for `reasons`."""
    allowed = target * FRESH_AGAIN_BELOW if stream.object in stale else target
    return stream.status == "idle" and stream.reads and now - stream.since > allowed


def _too_old(stream: StreamState, now: datetime, target: timedelta, stale: Collection[str]) -> Reason | None:
    if not is_old(stream, now, target, stale):
        return None
    what = "was last compared with the vendor at" if stream.verified else "was never compared with the vendor since"
    return Reason(
        stream.object,
        "stale",
        f"{stream.object} {what} {stream.since:%Y-%m-%d %H:%M} UTC; its target is every {_words(target)}.",
    )


def _failing(stream: StreamState) -> Reason | None:
    if stream.status != "idle" or stream.failures < FAILURES_AT:
        return None
    return Reason(stream.object, "failing", f"{stream.object} failed at least {FAILURES_AT} times in a row.")


def _words(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:g} seconds"
