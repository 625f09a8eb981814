"""The disk of the database fills up during a run: a plain sentence, exit code 74, and after making room the run ends well."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.conftest import Outcome, Shell
from tests.support.server import HOME_VARIABLE

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounting a small disk takes root on Linux"
    ),
]
MIB = 1024 * 1024
PEOPLE = 20_000


class Disk:
    """A file system in memory, of so many megabytes, that the server's own account can enter."""

    def __init__(self, mib: int) -> None:
        self.path = Path(os.environ[HOME_VARIABLE]) / f"disk-{uuid4().hex[:8]}"
        self.path.mkdir(mode=0o755)
        self._mount(f"size={mib}m,mode=755", "syncline-test")

    def grow(self, mib: int) -> None:
        self._mount(f"remount,size={mib}m", "syncline-test")

    def fill(self, *, but_mib: int) -> Path:
        """Leave ``but_mib`` free."""
        filler = self.path / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.path).free - but_mib * MIB)
        return filler

    def remove(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)

    def _mount(self, options: str, name: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, name, str(self.path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not allowed in this container")


@pytest.fixture
def make_disk() -> Iterator[Callable[[int], Disk]]:
    made: list[Disk] = []

    def make(mib: int) -> Disk:
        made.append(Disk(mib))
        return made[-1]

    yield make
    for disk in made:
        disk.remove()


@pytest.fixture
def disk(make_disk: Callable[[int], Disk]) -> Disk:
    return make_disk(300)


@pytest.fixture
def shell(disk: Disk, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(disk.path / "home", tmp_path)
    shell.run("db", "upgrade").ok()
    assert (disk.path / "home/postgres").is_dir(), "the database lies on the small disk"
    yield shell
    shell.run("db", "stop").ok()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    folder.mkdir()
    rows = [f"C{n},Ada {n},Byron {n},p{n}@x.example,{'n' * 700}\n" for n in range(PEOPLE)]
    (folder / "contacts.csv").write_text("id,first_name,last_name,email,notes\n" + "".join(rows))
    return folder


def refused_for_room(outcome: Outcome) -> None:
    assert outcome.code == 74, (outcome.code, outcome.err)
    error = json.loads(outcome.err.splitlines()[-1])["error"]
    assert error["code"] == "storage_full"
    assert "disk of the database is full" in error["message"]
    assert "Make room and resume" in error["remedy"]
    assert "Traceback" not in outcome.err


def test_a_full_disk_stops_a_run_and_room_lets_it_end_well(shell: Shell, disk: Disk, folder: Path) -> None:
    shell.run("migrate", "plan", folder, "--approve").ok()
    for command, but_mib in ((("run", folder), 8), (("resume",), 3)):
        filler = disk.fill(but_mib=but_mib)
        refused_for_room(shell.run("migrate", *command, "--json"))
        filler.unlink()
        assert shell.run("migrate", "status", "--json").json[0]["status"] in ("failed", "interrupted")
    ends_well(shell, folder)


def test_a_server_that_breaks_down_for_want_of_room_is_no_lost_connection(
    shell: Shell, disk: Disk, folder: Path, make_disk: Callable[[int], Disk]
) -> None:
    """PostgreSQL stops when it cannot write its log of transactions, and whoever is connected is told nothing."""
    shell.run("migrate", "plan", folder, "--approve").ok()
    shell.run("db", "stop").ok()
    small, log = make_disk(40), disk.path / "home/postgres/data/pg_wal"
    subprocess.run(["cp", "-a", str(log), str(small.path / "pg_wal")], check=True)
    shutil.rmtree(log)
    log.symlink_to(small.path / "pg_wal")

    refused_for_room(shell.run("migrate", "run", folder, "--json"))
    assert "PANIC" in (disk.path / "home/postgres/server.log").read_text()
    small.grow(300)
    ends_well(shell, folder)


def ends_well(shell: Shell, folder: Path) -> None:
    done = shell.run("migrate", "resume", "--json").ok().json
    assert done["certificate"]["ok"]
    assert done["objects"]["contacts"]["created"] == PEOPLE
    again = shell.run("migrate", "run", folder, "--json").ok().json
    assert again["objects"]["contacts"]["unchanged"] == PEOPLE
