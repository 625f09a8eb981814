"""Starting, finding and stopping the embedded server."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from domain.errors import ConfigurationError, TransientError
from storage.embedded import cluster
from storage.embedded.account import Account, server_account
from storage.embedded.programs import bundled, usable
from storage.embedded.state import ADMIN, APP_LOGIN, DATABASE, ServerUrls, State, load_state, locked, try_lock
from storage.roles import ensure_login

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.02
_ATTEMPTS = 5
_LOG_KEPT_BYTES = 1024 * 1024
_CRASH_REPORT_BYTES = 256 * 1024  # the statement that broke it stands in it, too


class EmbeddedPostgres:
    """The PostgreSQL of one Syncline home directory.

    ``start`` finds the running server or starts it, creating everything on first use; any number of processes may call
    it at once and get the same server. The server outlives the process, so that the next command finds it warm; ``stop``
    ends it for everyone. As a context manager it stops on leaving. ``settings`` override those of `cluster.SETTINGS`.

    Whether a server lives is judged by a query, and by a lock that all its processes inherit: no pid is ever believed,
    so a stale file, a recycled pid or another container's pid cannot mislead.
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.home = Path(home).absolute()
        self._settings = dict(settings or {})
        self._state_path = self.home / "postgres.json"

    def __enter__(self) -> ServerUrls:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> ServerUrls:
        """URLs of the running server, started if need be.

        Raises ConfigurationError (no permission, no binaries, damaged state), StorageFullError, TransientError (a server
        that holds the data directory but does not answer).
        """
        state = self._load()
        if state is not None and state.ready and _answers(state):
            return state.urls
        cluster.private_directory(self.home, passable=server_account().switch)
        with locked(self._starting):
            state = self._load() or self._new_state()
            return self._bring_up(state).urls

    def stop(self) -> None:
        """Shut the server down cleanly (rolls open transactions back) and wait until its last process is gone."""
        state = self._load()
        if state is None:
            return
        with locked(self._starting):
            state = self._load()
            if state is not None:
                self._shut_down(state)

    def destroy(self) -> None:
        """Stop the server and delete its data for good."""
        self.stop()
        state = self._load()
        if state is not None:
            place = Path(state.place)
            shutil.rmtree(place, ignore_errors=True)
            with suppress(
                OSError
            ):  # a shared parent stays while it holds another home's data, or is not ours to remove
                if place.parent == cluster.SYSTEM_PLACE:
                    place.parent.rmdir()
        for path in (self._state_path, self._starting, self._running):
            path.unlink(missing_ok=True)

    @property
    def log(self) -> Path | None:
        """The server's log file, once there is a server."""
        state = self._load()
        return state.log if state else None

    def ran_full(self, since: datetime) -> bool:
        """Whether the server broke down after ``since`` because it could not write its log of transactions for want of room.

        It recovers by itself when it can; whoever was connected learns only that the connection is gone.
        """
        state = self._load()
        moment = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        return state is not None and any(
            line >= moment and "PANIC" in line and cluster.tells_of_no_room(line)
            for line in _log_tail(state, _CRASH_REPORT_BYTES).splitlines()
        )

    @property
    def _starting(self) -> Path:
        return self.home / "postgres.starting"

    @property
    def _running(self) -> Path:
        return self.home / "postgres.running"

    def _load(self) -> State | None:
        try:
            return load_state(self._state_path)
        except OSError as error:
            raise cluster.explained(error, self._state_path) from error

    def _save(self, state: State) -> State:
        try:
            state.save(self._state_path)
        except OSError as error:
            raise cluster.explained(error, self.home) from error
        return state

    def _new_state(self) -> State:
        name = secrets.token_hex(16)
        place = cluster.choose_place(self.home, name, server_account())
        admin, app = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        return self._save(State(name, str(place), _free_port(), admin, app))

    def _bring_up(self, state: State) -> State:
        account = server_account(state.data)
        self._ensure_data(state, account)
        launched = False  # waiting for a killed server's last process is no attempt that failed: the port stays
        for _ in range(_ATTEMPTS):
            lock = try_lock(self._running)
            if lock is not None:
                state = self._launch(state, account, lock, fresh_port=launched or not _is_free(state.port))
                launched = True
            if self._wait_until_up(state):
                return state if state.ready else self._finish(state)
            if lock is not None and not _worth_another_try(state):
                break
        raise cluster.failure("The embedded database did not start", _log_tail(state))

    def _ensure_data(self, state: State, account: Account) -> None:
        if (state.data / "PG_VERSION").exists():
            return
        if state.ready:
            raise ConfigurationError(
                f"The data directory {state.data} of Syncline's database is missing.",
                remedy=f"Restore it or mount its disk; to start empty, remove {self._state_path}.",
            )
        place = Path(state.place)
        if not place.exists():
            cluster.private_directory(place)
            account.give(place)
        cluster.create_data(state, usable(bundled(), account, place), account)

    def _launch(self, state: State, account: Account, lock: int, *, fresh_port: bool) -> State:
        """Start the server; it inherits ``lock`` and holds it until the last of its processes has ended."""
        try:
            if fresh_port:
                state = self._save(replace(state, port=_free_port()))
            major = int((state.data / "PG_VERSION").read_text(encoding="ascii"))
            programs = usable(bundled(major), account, Path(state.place))
            cluster.write_settings(state, account, self._settings)
            # We hold the lock, so no process of this server lives: a pid file can only be stale, whatever pid it names.
            (state.data / "postmaster.pid").unlink(missing_ok=True)
            _cut(state.log)
            with state.log.open("ab") as log:
                account.launch([str(programs.postgres), "-D", str(state.data)], log, keep_fd=lock)
        except OSError as error:
            raise cluster.explained(error, Path(state.place)) from error
        finally:
            os.close(lock)
        return state

    def _wait_until_up(self, state: State) -> bool:
        """True once the server answers, False when it has died. Raises TransientError when it does neither."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if _answers(state):
                return True
            lock = try_lock(self._running)
            if lock is not None:
                os.close(lock)
                return _answers(state)
            time.sleep(_POLL_S)
        raise TransientError(
            f"The embedded database did not answer within {_START_TIMEOUT_S:.0f} seconds.",
            remedy=f"It may still be recovering; its log is {state.log}.",
            retry_after_s=10,
        )

    def _finish(self, state: State) -> State:
        with psycopg.connect(_maintenance(state), autocommit=True) as connection:
            ensure_login(connection, APP_LOGIN, state.app_password)
            exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if not exists:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        return self._save(replace(state, ready=True))

    def _shut_down(self, state: State) -> None:
        for how, timeout_s in ((signal.SIGINT, _STOP_TIMEOUT_S), (signal.SIGQUIT, 10.0)):
            pid = _postmaster(state)
            if pid is not None:
                os.kill(pid, how)
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                lock = try_lock(self._running)
                if lock is not None:
                    os.close(lock)
                    return
                time.sleep(_POLL_S)
        raise TransientError("The embedded database did not stop in time.", remedy=f"Its log is {state.log}.")


def _maintenance(state: State) -> str:
    return f"host=127.0.0.1 port={state.port} user={ADMIN} password={state.admin_password} dbname=postgres connect_timeout=5"


def _answers(state: State) -> bool:
    """Whether our server serves queries. Another server on the port cannot know the password (SCRAM proves both sides)."""
    try:
        with psycopg.connect(_maintenance(state) + " sslmode=disable gssencmode=disable") as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # A refusal comes before there is a result with a code; its text is the server's own (lc_messages = C).
        return any(text in str(error) for text in ("too many clients", "connection slots are reserved"))
    return True


def _postmaster(state: State) -> int | None:
    """The server's pid: its own word where it answers, else the pid file's if that process is a server of our data."""
    try:
        with psycopg.connect(_maintenance(state)) as connection:
            row = connection.execute("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int").fetchone()
            return int(row[0]) if row else None
    except psycopg.Error:
        pass
    try:
        pid = int((state.data / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(state.data).encode() in command else None


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _worth_another_try(state: State) -> bool:
    tail = _log_tail(state)
    return any(text in tail for text in ("Address already in use", "shared memory block", "lock file"))


def _log_tail(state: State, size: int = 4096) -> str:
    try:
        with state.log.open("rb") as file:
            file.seek(max(0, state.log.stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _cut(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".old.log"))
