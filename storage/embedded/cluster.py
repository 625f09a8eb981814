"""Making a data directory: a place that the server's account reaches, initdb, settings."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from domain.errors import ConfigurationError, StorageFullError, SynclineError
from storage.embedded.account import Account
from storage.embedded.programs import Programs
from storage.embedded.state import ADMIN, State

SYSTEM_PLACE = Path("/var/lib/syncline")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_SHARED_MEMORY_ENOUGH = 512 * 1024 * 1024

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "wal_buffers": "64MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "2GB",
    "random_page_cost": "1.1",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_level": "minimal",  # no replica reads this log; bulk loads into new tables skip it
    "max_wal_senders": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Errors of statements quote values of records: they belong to the caller, never into a log file.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
"""Settings of every embedded server: a bulk load on a small machine, safe against power loss."""


def private_directory(path: Path, *, passable: bool = False) -> None:
    """Create ``path`` readable by us alone unless it exists; nothing that exists is changed.

    ``passable``: others may enter it (not list it), as the server's account must to reach its data below.
    """
    try:
        path.mkdir(mode=0o711 if passable else 0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(path))
    except OSError as error:
        raise explained(error, path) from error


def choose_place(home: Path, cluster: str, account: Account) -> Path:
    """A directory of the server's own that its account can reach: below ``home``, else where the system keeps such data.

    As root the home is often closed to everyone else; its mode is the user's affair, so the data goes elsewhere then.
    """
    tried = []
    for candidate in (home / "postgres", SYSTEM_PLACE / cluster, Path("/var/tmp") / f"syncline-{cluster}"):  # noqa: S108
        tried.append(str(candidate))
        try:
            candidate.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            candidate.mkdir(mode=0o700, exist_ok=True)
            account.give(candidate)
        except OSError as error:
            if not account.switch:
                raise explained(error, candidate) from error
            continue
        if account.can("-w", candidate):
            return candidate
        candidate.rmdir()
    raise ConfigurationError(
        f"No directory for the database is reachable by the unprivileged account (uid {account.uid}): tried {', '.join(tried)}.",
        remedy="Choose a home directory that other accounts may enter, or run without root.",
    )


def create_data(state: State, programs: Programs, account: Account) -> None:
    """initdb into a temporary directory, then rename: a killed attempt leaves nothing that looks like a database."""
    place = Path(state.place)
    for leftover in place.glob("data.new-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    draft = place / f"data.new-{secrets.token_hex(4)}"
    password_file = place / f"{draft.name}.password"
    try:
        _write_private(password_file, state.admin_password, account)
        result = account.run(_initdb(programs, draft, password_file))
        if result.returncode != 0:
            raise failure("The database could not be created", result.stderr)
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists = 'syncline.conf'\n")
        draft.rename(state.data)
    except OSError as error:
        raise explained(error, place) from error
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(draft, ignore_errors=True)


def _initdb(programs: Programs, data: Path, password_file: Path) -> list[str]:
    # One collation everywhere: byte order, with case mapping of all of Unicode where the server has it (17 and newer).
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if programs.major >= 17 else []
    return [
        str(programs.initdb),
        *("-D", str(data), "-U", ADMIN, "-E", "UTF8", "--locale=C", *locale),
        *("--auth=scram-sha-256", f"--pwfile={password_file}"),
    ]


def write_settings(state: State, account: Account, overrides: Mapping[str, str]) -> None:
    """Write ``syncline.conf``; at every start, so that a newer version's settings reach an old data directory."""
    settings = {**SETTINGS, "port": str(state.port), "cluster_name": f"syncline-{state.cluster[:12]}"}
    if not _shared_memory_suffices():
        settings["dynamic_shared_memory_type"] = "mmap"
    settings |= overrides
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    target = state.data / "syncline.conf"
    draft = state.data / f"syncline.conf.{secrets.token_hex(4)}"
    try:
        _write_private(draft, "\n".join([*lines, ""]), account)
        draft.replace(target)
    except OSError as error:
        raise explained(error, state.data) from error


def _shared_memory_suffices() -> bool:
    # Containers get 64 MB of it by default, and a parallel query that finds it full fails as if the disk were.
    try:
        stat = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return not Path("/proc").exists()
    return stat.f_bavail * stat.f_frsize >= _SHARED_MEMORY_ENOUGH


def _write_private(path: Path, text: str, account: Account) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    account.give(path)


def explained(error: OSError, path: Path) -> SynclineError:
    """An operating-system error about ``path`` as one of ours."""
    what = (error.strerror or type(error).__name__).lower()
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return StorageFullError(
            f"There is no room left for the database in {path}.", remedy="Free disk space and retry."
        )
    return ConfigurationError(
        f"The embedded database cannot use {path}: {what}.",
        remedy="Choose another home directory, make this one writable for you, or set DATABASE_URL.",
    )


def tells_of_no_room(output: str) -> bool:
    """Whether PostgreSQL's programs complain of a full disk or a used up quota."""
    return "No space left on device" in output or "Disk quota exceeded" in output


def failure(what: str, output: str) -> SynclineError:
    """An error from what PostgreSQL's programs printed (they print no secrets): its last complaint decides."""
    complaints = [
        line for line in output.splitlines() if any(w in line for w in ("FATAL", "PANIC", "error:", "could not"))
    ]
    reason = complaints[-1].split("FATAL:")[-1].split("PANIC:")[-1].strip() if complaints else "it gave no reason"
    if tells_of_no_room(output):
        return StorageFullError(f"{what}: no space left on the disk.", remedy="Free disk space and retry.")
    return ConfigurationError(
        f"{what}: {reason}.", remedy="Mend what it names, or set DATABASE_URL to a PostgreSQL server."
    )
