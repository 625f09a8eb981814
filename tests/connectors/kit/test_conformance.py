"""The conformance suite itself: a sound connector passes it, and each fault of a connector fails the test named for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.kit import scaffold
from connectors.kit.auth import ApiKey, Authenticator
from connectors.kit.contract import (
    AuthKind,
    AuthMethod,
    Connection,
    Connector,
    FileInfo,
    Manifest,
    ObjectInfo,
    RateLimit,
    ReadRequest,
    Setting,
)
from connectors.kit.gate import Gate
from connectors.kit.http import VendorClient
from connectors.kit.retry import RetryPolicy
from connectors.kit.tokens import MemoryTokens
from domain.entities import Kind
from domain.errors import ConfigurationError, RecordRejectedError
from domain.records import AccountInfo, Catalog, FieldSchema, ObjectSchema, Outgoing, Page, WriteResult
from tests.connectors.conformance import ConnectorConformance, Sample, Writing
from tests.connectors.kit.stub_vendor import Answer, Arrived, StubVendor, as_json

KEY = "canary-5ecr3t-key"
FILE = bytes(3_000_000)
PEOPLE = ObjectSchema(
    "people",
    (FieldSchema("id"), FieldSchema("name"), FieldSchema("boss", Kind.REFERENCE, refers_to=("people",))),
    name_field="name",
)


class Office:
    """A stand-in: people by id, ten a page, and one file."""

    def __init__(self, vendor: StubVendor) -> None:
        self.people = {f"p{n:02}": {"id": f"p{n:02}", "name": f"Person {n}", "boss": None} for n in range(25)}
        self.files: dict[str, bytes] = {"f1": FILE}
        vendor.otherwise = self.answer

    def answer(self, request: Arrived) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return Answer(401, KEY.encode())
        url = urlsplit(request.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        what, _, which = url.path.strip("/").partition("/")
        handle: Callable[[str, Mapping[str, str], bytes], Answer] = getattr(self, f"{request.method.lower()}_{what}")
        return handle(which, query, request.body)

    def get_me(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        return as_json({"account": "office-1"})

    def get_people(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        ids = sorted(i for i in self.people if i > query.get("after", ""))
        if "ids" in query:
            ids = [i for i in ids if i in query["ids"].split(",")]
        size = min(10, int(query.get("limit", 10)))
        return as_json(
            {"people": [self.people[i] for i in ids[:size]], "more": len(ids) > size, "total": len(self.people)}
        )

    def put_people(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        record = json.loads(body)
        if not record["name"]:
            return Answer(422)
        created = which not in self.people
        self.people[which] = {"id": which, "boss": None, **record}
        return as_json({"created": created})

    def delete_people(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        return Answer(204, b"") if self.people.pop(which, None) else Answer(404)

    def get_files(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        return Answer(body=self.files[which])

    def post_files(self, which: str, query: Mapping[str, str], body: bytes) -> Answer:
        self.files["f2"] = body
        return as_json({"id": "f2"})


class OfficeConnector:
    """A sound connector that can everything."""

    manifest: ClassVar[Manifest] = Manifest(
        "office",
        "Office",
        (AuthMethod(AuthKind.API_KEY, (Setting("api_key", "API key", secret=True),)),),
        objects=(ObjectInfo("people", "contact", writable=True),),
        rate_limits=(RateLimit(1000, 1.0),),
        hosts=("api.office.example",),
    )
    file_objects: ClassVar[tuple[str, ...]] = ("files",)

    def __init__(self, connection: Connection) -> None:
        gate = Gate.of(self.manifest, connection, retry=RetryPolicy(attempts=2, base_s=0.001))
        unsigned = VendorClient(gate, base="https://api.office.example")
        self.client = unsigned.signed_by(Authenticator(ApiKey(), connection.tokens, unsigned))

    def check(self) -> AccountInfo:
        return AccountInfo(self.client.request("GET", "/me").json()["account"])

    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        catalog = Catalog({"people": PEOPLE})
        return catalog if objects is None else catalog.restricted_to(objects)

    def read(self, request: ReadRequest) -> Iterator[Page]:
        for name in (request.object, *(request.fields or ())):
            if name not in ("people", *PEOPLE.field_names):
                raise ConfigurationError(f"There is no {name}.")
        after, left = (request.cursor or {}).get("after", ""), request.limit
        more = True
        while more:
            page, more = self.page(request, after, left)
            left = None if left is None else left - len(page)
            page.last = not more or left == 0
            more = not page.last
            after = page.cursor["after"]
            yield page

    def page(self, request: ReadRequest, after: str, left: int | None) -> tuple[Page, bool]:
        params: dict[str, Any] = {"after": after}
        if left is not None:
            params["limit"] = left
        if request.ids is not None:
            params["ids"] = ",".join(request.ids)
        body = self.client.request("GET", "/people", params=params).json()
        names = request.fields or PEOPLE.field_names
        rows: list[Sequence[Any]] = [[r[n] for n in names] for r in body["people"]]
        last_id = body["people"][-1]["id"] if body["people"] else after
        return Page("people", names, rows, {"after": last_id}), body["more"]

    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        return {name: self.client.request("GET", "/people").json()["total"] for name in objects}

    def upsert(self, object_name: str, records: Sequence[Outgoing], key_field: str | None = None) -> list[WriteResult]:
        return [self._put(record) for record in records]

    def _put(self, record: Outgoing) -> WriteResult:
        vendor_id = record.vendor_id or f"q{record.key}"
        try:
            reply = self.client.request("PUT", f"/people/{vendor_id}", json=dict(record.values))
        except RecordRejectedError as exc:
            return WriteResult(record.key, error=exc)
        return WriteResult(record.key, vendor_id, created=reply.json()["created"])

    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        for vendor_id in vendor_ids:
            self.client.request("DELETE", f"/people/{vendor_id}", accept={404})
        return [WriteResult(vendor_id, vendor_id) for vendor_id in vendor_ids]

    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        with self.client.stream("GET", f"/files/{vendor_id}") as reply:
            yield from reply.pieces

    def upload(self, info: FileInfo, content: BinaryIO) -> WriteResult:
        reply = self.client.request("POST", "/files", content=content.read())
        return WriteResult(info.name, reply.json()["id"], created=True)

    def close(self) -> None:
        self.client.close()


class TestOffice(ConnectorConformance):
    vendor = "office"
    object_name, record_count = "people", 25
    remote_account = "office-1"
    home: ClassVar[Path]

    @property
    def folder(self) -> Path:
        return self.home / "connectors" / "office"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        TestOffice.home = tmp_path
        (tmp_path / "connectors").mkdir()
        scaffold.create("office", tmp_path)

    @pytest.fixture
    def connector_class(self) -> type[Connector]:
        return OfficeConnector

    @pytest.fixture
    def connection(self, vendor: StubVendor) -> Connection:
        Office(vendor)
        return Connection("1", "office", {}, MemoryTokens({"api_key": KEY}), base_url=vendor.origin)

    @pytest.fixture
    def writing(self) -> Writing:
        records = [Outgoing(str(n), {"name": f"New {n}"}) for n in range(3)]
        return Writing("people", records, bad=Outgoing("bad", {"name": ""}))

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample("files", "f1", len(FILE))

    def spoiled(self, connection: Connection) -> Connection:
        return replace(connection, tokens=MemoryTokens({"api_key": f"{KEY}-wrong"}))


# ------------------------------------------------------------ faults


class _Faulty(OfficeConnector):
    """Changes pages on their way out."""

    def change(self, page: Page) -> None: ...

    def page(self, request: ReadRequest, after: str, left: int | None) -> tuple[Page, bool]:
        page, more = super().page(request, after, left)
        self.change(page)
        return page, more


class SkipsOnResume(OfficeConnector):
    def read(self, request: ReadRequest) -> Iterator[Page]:
        if request.cursor:
            request = replace(request, cursor={"after": f"p{int(request.cursor['after'][1:]) + 1:02}"})
        return super().read(request)


class StartsOver(OfficeConnector):
    def read(self, request: ReadRequest) -> Iterator[Page]:
        return super().read(replace(request, cursor=None))


class Doubles(_Faulty):
    def change(self, page: Page) -> None:
        page.rows.append(page.rows[-1])


class CursorIsNoJson(_Faulty):
    def change(self, page: Page) -> None:
        page.cursor["seen"] = (1, 2)


class CursorHoldsTheKey(_Faulty):
    def change(self, page: Page) -> None:
        page.cursor["key"] = KEY


class RaggedRows(_Faulty):
    def change(self, page: Page) -> None:
        page.rows[0] = [*page.rows[0], "more"]


class NeverLast(OfficeConnector):
    def read(self, request: ReadRequest) -> Iterator[Page]:
        for page in super().read(request):
            page.last = False
            yield page


class AllFields(OfficeConnector):
    def page(self, request: ReadRequest, after: str, left: int | None) -> tuple[Page, bool]:
        return super().page(replace(request, fields=None), after, left)


class NoLimit(OfficeConnector):
    def read(self, request: ReadRequest) -> Iterator[Page]:
        return super().read(replace(request, limit=None))


class CountsOneMore(OfficeConnector):
    def count(self, objects: Sequence[str]) -> Mapping[str, int]:
        return {name: number + 1 for name, number in super().count(objects).items()}


class OtherAccountEachTime(OfficeConnector):
    def check(self) -> AccountInfo:
        return AccountInfo(f"{super().check().remote_account}-{id(object())}")


class TellsTheKey(OfficeConnector):
    def __repr__(self) -> str:
        return f"OfficeConnector({KEY})"


class DanglingReference(OfficeConnector):
    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        boss = FieldSchema("boss", Kind.REFERENCE, refers_to=("ghosts",))
        return Catalog({"people": replace(PEOPLE, fields=(*PEOPLE.fields[:2], boss))})


class NoIdField(OfficeConnector):
    def describe(self, objects: Sequence[str] | None = None) -> Catalog:
        return Catalog({"people": replace(PEOPLE, id_field="Id")})


class HugePieces(OfficeConnector):
    def download(self, object_name: str, vendor_id: str) -> Iterator[bytes]:
        yield b"".join(super().download(object_name, vendor_id))


class DeletesOnce(OfficeConnector):
    def delete(self, object_name: str, vendor_ids: Sequence[str]) -> list[WriteResult]:
        done = super().delete(object_name, vendor_ids)
        self.delete = lambda *_: [replace(r, error=RecordRejectedError("gone")) for r in done]  # type: ignore[method-assign]
        return done


SUITE = TestOffice()
Check = Callable[[Connector, Connection, type[Connector]], None]
FAULTS: list[tuple[type[OfficeConnector], Check]] = [
    (Doubles, lambda c, _n, _k: SUITE.test_reads_every_record_exactly_once(c, ReadRequest("people"), "id")),
    (NeverLast, lambda c, _n, _k: SUITE.test_reads_every_record_exactly_once(c, ReadRequest("people"), "id")),
    (SkipsOnResume, lambda _c, n, k: SUITE.test_resumes_after_any_page(k, n, ReadRequest("people"), "id")),
    (StartsOver, lambda _c, n, k: SUITE.test_resumes_after_any_page(k, n, ReadRequest("people"), "id")),
    (CursorIsNoJson, lambda c, n, _k: SUITE.test_cursors_are_json_without_secrets(c, n, ReadRequest("people"))),
    (CursorHoldsTheKey, lambda c, n, _k: SUITE.test_cursors_are_json_without_secrets(c, n, ReadRequest("people"))),
    (RaggedRows, lambda c, _n, _k: SUITE.test_pages_are_well_formed(c, ReadRequest("people"))),
    (AllFields, lambda c, _n, _k: SUITE.test_reads_only_the_fields_asked_for(c, ReadRequest("people"), "id")),
    (NoLimit, lambda c, _n, _k: SUITE.test_honours_a_limit(c, ReadRequest("people"), "id")),
    (CountsOneMore, lambda c, _n, _k: SUITE.test_count_agrees_with_reading(c)),
    (OtherAccountEachTime, lambda c, _n, _k: SUITE.test_check_tells_the_account(c)),
    (DanglingReference, lambda c, _n, _k: SUITE.test_references_lead_to_known_objects(c)),
    (NoIdField, lambda c, _n, _k: SUITE.test_describe_is_consistent(c)),
]


@pytest.mark.parametrize(("faulty", "test"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_fault_is_caught(faulty: type[OfficeConnector], test: Check, vendor: StubVendor) -> None:
    Office(vendor)
    connection = Connection("1", "office", {}, MemoryTokens({"api_key": KEY}), base_url=vendor.origin)
    connector = faulty(connection)
    with pytest.raises(AssertionError):
        test(connector, connection, faulty)
    connector.close()


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (HugePieces, "test_downloads_come_whole_and_in_small_pieces"),
        (DeletesOnce, "test_delete_twice_is_a_success"),
    ],
)
def test_a_fault_of_a_capability_is_caught(faulty: type[OfficeConnector], test: str, vendor: StubVendor) -> None:
    Office(vendor)
    connector = faulty(Connection("1", "office", {}, MemoryTokens({"api_key": KEY}), base_url=vendor.origin))
    values = {
        "writing": Writing("people", [Outgoing("1", {"name": "N"})]),
        "sample": Sample("files", "f1", len(FILE)),
    }

    class Request:
        getfixturevalue = staticmethod(values.__getitem__)

    with pytest.raises(AssertionError):
        getattr(SUITE, test)(connector, Request)
    connector.close()


def test_a_connector_that_tells_its_key_is_caught(vendor: StubVendor, caplog: pytest.LogCaptureFixture) -> None:
    Office(vendor)
    connection = Connection("1", "office", {}, MemoryTokens({"api_key": KEY}), base_url=vendor.origin)
    with pytest.raises(AssertionError):
        SUITE.test_nothing_secret_is_logged_or_told(TellsTheKey, connection, ReadRequest("people"), caplog)
