"""What is remembered of an embedded server: one private file, and locks that the kernel releases."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from domain.errors import ConfigurationError

ADMIN = "syncline_admin"
APP_LOGIN = "syncline"
DATABASE = "syncline"


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """``admin`` owns the schema and may upgrade it; ``app`` is bound by row-level security. Both name the same database."""

    admin: str = field(repr=False)  # with the password
    app: str = field(repr=False)

    def for_database(self, name: str) -> ServerUrls:
        """The same server and roles, another database."""
        return ServerUrls(*(url.rsplit("/", 1)[0] + "/" + quote(name) for url in (self.admin, self.app)))


@dataclass(frozen=True, slots=True)
class State:
    """Contents of ``postgres.json``. ``ready``: roles and database were created, so the data must exist from now on."""

    cluster: str
    place: str
    port: int
    admin_password: str = field(repr=False)
    app_password: str = field(repr=False)
    ready: bool = False

    @property
    def data(self) -> Path:
        return Path(self.place) / "data"

    @property
    def log(self) -> Path:
        return Path(self.place) / "server.log"

    @property
    def urls(self) -> ServerUrls:
        return ServerUrls(
            f"postgresql://{ADMIN}:{self.admin_password}@127.0.0.1:{self.port}/{DATABASE}",
            f"postgresql://{APP_LOGIN}:{self.app_password}@127.0.0.1:{self.port}/{DATABASE}",
        )

    def save(self, path: Path) -> None:
        """Replace the file in one step; nobody but its owner can read it."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def load_state(path: Path) -> State | None:
    """The saved state, or None where there is none. Raises ConfigurationError for a file that is not ours."""
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"The file {path} is damaged: it does not describe an embedded server.",
            remedy="Restore it from a backup: it holds the passwords of the database beside it.",
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` against every process; the kernel releases it when we die."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def try_lock(path: Path) -> int | None:
    """A file descriptor that holds the lock on ``path``, or None while any process holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    os.close(handle)
    return None
