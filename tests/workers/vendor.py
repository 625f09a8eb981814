"""A vendor for the tests of workers: a list of people, read one page a call. What it is asked is noted, and tests may step in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest, ObjectInfo, ReadRequest, VersionPage
from domain.records import AccountInfo, Catalog, Cursor, FieldSchema, ObjectSchema, Page

FIELDS = ("id", "name", "email")

SPEC = """
[spec]
vendor = "rolodex"
object = "Person"
entity = "contact"
id = "id"

[fields]
last_name = "name"
email = "email"
"""


class Remote:
    """One account: so many pages of one person each, and what was asked of it."""

    def __init__(self, name: str, pages: int = 1) -> None:
        self.name, self.pages = name, pages
        self.asked: list[str] = []
        self.fetched: list[list[str]] = []
        self.on_page: Callable[[int], None] = lambda _: None
        self.error: Exception | None = None
        self.opened = 0
        self.gone: set[int] = set()
        self.asked_something = threading.Event()

    def person(self, number: int) -> tuple[str, str, str]:
        return (f"{number:05}", f"Person {number}", f"p{number}@{self.name}.example")

    def note(self, what: str) -> None:
        self.asked.append(what)
        LOG.append(f"{self.name}:{what}")
        self.asked_something.set()
        if self.error is not None:
            raise self.error


REMOTES: dict[str, Remote] = {}
LOG: list[str] = []
"""What all accounts were asked, in order."""


class RolodexConnector:
    """Reads `REMOTES` by the setting ``account``."""

    id_order: ClassVar[str] = "ascii"
    manifest: ClassVar[Manifest] = Manifest(
        name="rolodex",
        label="Rolodex",
        auth=(AuthMethod(AuthKind.API_KEY),),
        objects=(ObjectInfo("Person", "contact", page_size=1),),
    )

    def __init__(self, connection: Connection) -> None:
        self._remote = REMOTES[connection.settings["account"]]
        self._remote.opened += 1

    def check(self) -> AccountInfo:
        return AccountInfo(remote_account=self._remote.name)

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        return Catalog({"Person": ObjectSchema("Person", tuple(FieldSchema(name) for name in FIELDS), id_field="id")})

    def read(self, request: ReadRequest) -> Iterator[Page]:
        if request.ids is not None:
            self._remote.note("fetch")
            self._remote.fetched.append(list(request.ids))
            rows: list[Sequence[Any]] = [
                self._remote.person(int(i)) for i in request.ids if int(i) not in self._remote.gone
            ]
            yield Page("Person", FIELDS, rows, {}, last=True)
            return
        first = int((request.cursor or {}).get("next", 0))
        for number in range(first, self._remote.pages):
            self._remote.note(f"page {number}")
            self._remote.on_page(number)
            last = number + 1 == self._remote.pages
            yield Page("Person", FIELDS, [self._remote.person(number)], {"next": number + 1}, last=last)
        if first >= self._remote.pages:
            self._remote.note("nothing new")
            yield Page("Person", FIELDS, [], {"next": first}, last=True)

    def versions(self, object_name: str, after: str | None = None) -> Iterator[VersionPage]:
        self._remote.note("versions")
        ids = [self._remote.person(n)[0] for n in range(self._remote.pages) if n not in self._remote.gone]
        yield VersionPage(ids, [""] * len(ids), last=True)

    def cursor_at(self, object_name: str, moment: datetime) -> Cursor:
        return {"next": self._remote.pages}

    def close(self) -> None:
        self._remote.opened -= 1
