"""A source made of lists: a connector whose vendor is the test itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from connectors.kit.contract import AuthKind, AuthMethod, Connection, Manifest, ReadRequest
from domain.entities import Kind
from domain.records import MISSING, AccountInfo, Catalog, FieldSchema, ObjectSchema, Page

_KINDS = {
    "Date": Kind.TIMESTAMP,
    "Stamp": Kind.TIMESTAMP,
    "Amount": Kind.DECIMAL,
    "Phone": Kind.PHONE,
    "Email": Kind.EMAIL,
}


class ListSource:
    """Serves ``objects`` (name to records) in pages of ``page_size``. ``files``: content by record id.

    ``fail_after``: raise this many pages into the next reads, as a vendor that goes away does.
    """

    manifest: ClassVar[Manifest] = Manifest("lists", "Lists", (AuthMethod(AuthKind.NONE),))
    file_objects: ClassVar[tuple[str, ...]] = ("ContentVersion",)

    def __init__(self, objects: Mapping[str, list[dict[str, Any]]], page_size: int = 7, account: str = "org-1") -> None:
        self.objects = {name: list(records) for name, records in objects.items()}
        self.page_size = page_size
        self.account = account
        self.files: dict[str, bytes] = {}
        self.pages_read = 0

    @classmethod
    def of(cls, connection: Connection) -> ListSource:
        raise AssertionError("built by the test")

    def check(self) -> AccountInfo:
        return AccountInfo(self.account, "Test org")

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        wanted = self.objects if objects is None else {n: self.objects[n] for n in objects if n in self.objects}
        return Catalog({name: self._schema(name, records) for name, records in wanted.items()})

    def _schema(self, name: str, records: list[dict[str, Any]]) -> ObjectSchema:
        names = list(dict.fromkeys(k for r in records for k in r)) or ["Id"]
        fields = tuple(FieldSchema(n, _kind(n)) for n in names)
        return ObjectSchema(name, fields, id_field="Id", created_field="CreatedDate", modified_field="SystemModstamp")

    def read(self, request: ReadRequest) -> Iterator[Page]:
        records = self.objects[request.object]
        fields = request.fields or self._schema(request.object, records).field_names
        start = int(request.cursor["next"]) if request.cursor else 0
        while True:
            part = records[start : start + self.page_size]
            start += len(part)
            self.pages_read += 1
            yield Page(
                request.object,
                fields,
                [[r.get(f, MISSING) for f in fields] for r in part],
                {"next": start},
                last=start >= len(records),
            )
            if start >= len(records):
                return

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        return {name: len(self.objects[name]) for name in objects}

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        yield self.files[vendor_id]

    def upload(self, info: Any, content: Any) -> Any:
        raise AssertionError("not used")

    def close(self) -> None:
        pass


def _kind(name: str) -> Kind:
    return next((kind for end, kind in _KINDS.items() if name.endswith(end)), Kind.TEXT)
