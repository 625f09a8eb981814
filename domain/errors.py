"""Errors grouped by what happens next (the recovery strategy), not by where they arose.

    SynclineError
    ├── TransientError            try again later; honours ``retry_after_s``
    │   └── RateLimitedError      the vendor asked us to slow down
    ├── ReauthRequiredError       pause the connection, tell the admin to reconnect
    ├── ConfigurationError        stop the stream or command, tell the admin what to change
    │   ├── PermissionMissingError   the vendor refuses an object or scope
    │   ├── ForeignHostError      a server-supplied address lies outside the allowlist
    │   ├── MappingSpecError      a mapping file is wrong; names file, line and field
    │   ├── PlanChangedError      a plan's checksum or the source's schema differs from what was approved
    │   └── RunInProgressError    another run holds the lease
    ├── RecordRejectedError       dead-letter this record, go on with the others
    ├── CursorExpiredError        start a resync that reconciles deletes
    └── StorageFullError          the database or disk has no room; stop, keep everything, resume later

Anything else is a bug and propagates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SynclineError(Exception):
    """Base of every expected error.

    ``message`` is a plain sentence that a user reads; ``remedy`` says what to do; ``code`` is a stable key of the
    error registry. Neither may contain a credential or a personal value.
    """

    code = "error"
    exit_code = 1

    def __init__(
        self, message: str, *, remedy: str = "", code: str | None = None, context: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code
        self.context: dict[str, Any] = dict(context or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class TransientError(SynclineError):
    """The same call may succeed later: outage, timeout, 5xx."""

    code = "vendor_unavailable"
    exit_code = 75

    def __init__(self, message: str, *, retry_after_s: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after_s = retry_after_s


class RateLimitedError(TransientError):
    """The vendor's quota or rate limit is used up; ``retry_after_s`` where the vendor said."""

    code = "rate_limited"


class ReauthRequiredError(SynclineError):
    """Credentials are wrong, expired or revoked, and no refresh can mend them."""

    code = "reauth_required"
    exit_code = 77


class ConfigurationError(SynclineError):
    """Nothing but a person's change can mend this."""

    code = "configuration"
    exit_code = 78


class PermissionMissingError(ConfigurationError):
    """The connected user may not read or write an object or field."""

    code = "permission_missing"


class ForeignHostError(ConfigurationError):
    """A next link or instance address points to a host outside the connection's allowlist. No token was sent."""

    code = "foreign_host"


class MappingSpecError(ConfigurationError):
    """A mapping file is invalid. The message names file, line and field."""

    code = "mapping_spec"


class PlanChangedError(ConfigurationError):
    """The plan was edited after approval, or the source's schema changed between plan and run."""

    code = "plan_changed"
    exit_code = 65


class RunInProgressError(ConfigurationError):
    """Another process holds the lease of this run or connection."""

    code = "run_in_progress"
    exit_code = 73


class RecordRejectedError(SynclineError):
    """One record cannot be applied; the others go on."""

    code = "record_rejected"
    exit_code = 65


class CursorExpiredError(SynclineError):
    """The vendor no longer knows the cursor; a full listing must reconcile deletes."""

    code = "cursor_expired"


class StorageFullError(SynclineError):
    """No room left in the database or on the disk. Everything committed so far is kept; resume after making room."""

    code = "storage_full"
    exit_code = 74
