"""Who runs the server: PostgreSQL refuses root, so root hands it to an unprivileged account."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system account of the server. ``switch``: we are root and must change to it."""

    uid: int
    gid: int
    switch: bool = False

    @property
    def has_name(self) -> bool:
        """Whether the account stands in the password database; PostgreSQL's own programs insist on a name."""
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            return False
        return True

    def run(self, args: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, away from the caller's directory and ``PG*`` variables; its output is captured."""
        return subprocess.run(args, capture_output=True, text=True, errors="replace", **self._options())

    def launch(self, args: list[str], log: IO[bytes], keep_fd: int) -> None:
        """Start a program that outlives us, as nobody's child: no zombie, and no signal meant for us reaches it."""
        command = ["/bin/sh", "-c", '"$@" &', "sh", *args]
        options = self._options() | {"pass_fds": (keep_fd,), "start_new_session": True}
        subprocess.run(command, stdout=log, stderr=log, **options)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": "/", "env": _environment(), "stdin": subprocess.DEVNULL, "check": False}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def can(self, test: str, path: Path) -> bool:
        """Ask the system itself (``test -x``, ``-w``, …): mode bits alone know nothing of ACLs and mounts."""
        return self.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)]).returncode == 0

    def give(self, path: Path) -> None:
        """Make ``path`` (one of our own, never a user's directory) belong to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def server_account(existing_data: Path | None = None) -> Account:
    """The account for a data directory: ours, or as root the directory's owner, or ``nobody``."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if existing_data is not None and existing_data.exists():
        owner = existing_data.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, switch=True)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(_NOBODY, _NOBODY, switch=True)
    return Account(nobody.pw_uid, nobody.pw_gid, switch=True)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin"} | kept | {"LC_ALL": "C"}
