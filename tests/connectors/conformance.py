"""The suite that every connector inherits.

A connector's test names its vendor and gives a connection to its stand-in or sample source::

    class TestAcme(ConnectorConformance):
        vendor = "acme"
        object_name, record_count = "contacts", 250
        remote_account = "acme-0001"

        @pytest.fixture
        def connection(self, acme_server):
            return Connection("c", "acme", {}, MemoryTokens({"api_key": "k"}), base_url=acme_server.url)

        def spoiled(self, connection):
            return replace(connection, tokens=MemoryTokens({"api_key": "wrong"}))

What a connector does by an optional protocol is tested where the class implements it. `ManifestConformance` is the first
half, which needs no connection.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from connectors.kit.contract import (
    AuthKind,
    CallRecord,
    Connection,
    Connector,
    FileInfo,
    Manifest,
    ReadRequest,
    SupportsCount,
    SupportsDelete,
    SupportsFiles,
    SupportsUpsert,
)
from connectors.kit.registry import capabilities
from domain.entities import Kind
from domain.errors import ConfigurationError, ReauthRequiredError, SynclineError, TransientError
from domain.records import Outgoing, Page, WriteResult
from tests.connectors.conformance_manifest import ManifestConformance, all_settings

__all__ = ["ConnectorConformance", "ManifestConformance", "Sample", "Writing"]

PIECE_BYTES_MAX = 1 << 20
NO_SUCH_THING = "syncline_no_such_thing"


@dataclass(frozen=True)
class Writing:
    """What to write in the tests of upsert and delete. ``bad`` is refused by the vendor while the others are taken."""

    object: str
    records: Sequence[Outgoing]
    key_field: str | None = None
    bad: Outgoing | None = None


@dataclass(frozen=True)
class Sample:
    """A file that can be downloaded."""

    object: str
    vendor_id: str
    size_bytes: int


class ConnectorConformance(ManifestConformance):
    """Both halves."""

    object_name: ClassVar[str]
    """An object of at least three pages."""
    record_count: ClassVar[int]
    remote_account: ClassVar[str | None] = None
    outside: ClassVar[frozenset[str]] = frozenset()
    """Objects that references may name although they cannot be read."""

    # ------------------------------------------------------------ what the connector's test gives

    @pytest.fixture
    def connection(self) -> Connection:
        """A connection to the stand-in. Every connector's test overrides this."""
        raise AssertionError("override the connection fixture")

    @pytest.fixture
    def request_to_read(self) -> ReadRequest:
        """Override to read in small pages, where the request says how."""
        return ReadRequest(self.object_name)

    @pytest.fixture
    def writing(self) -> Writing:
        """Override where the connector writes."""
        raise AssertionError("the class implements upsert or delete: override the writing fixture")

    @pytest.fixture
    def sample(self) -> Sample:
        """Override where the connector reads files."""
        raise AssertionError("the class implements files: override the sample fixture")

    def spoiled(self, connection: Connection) -> Connection | None:
        """The same connection with credentials that the vendor refuses; None where there are none."""
        raise AssertionError("override spoiled()")

    def unreachable(self, connection: Connection) -> Connection | None:
        """The same connection to where nobody listens; None where nothing is connected to."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        return replace(connection, id=f"{connection.id}-unreachable", base_url=f"http://127.0.0.1:{port}")

    # ------------------------------------------------------------ fixtures of the suite

    @pytest.fixture
    def connector(self, connector_class: type[Connector], connection: Connection) -> Iterator[Connector]:
        connector = connector_class(connection)
        yield connector
        connector.close()

    @pytest.fixture
    def id_field(self, connector: Connector) -> str:
        return connector.describe([self.object_name]).objects[self.object_name].id_field

    # ------------------------------------------------------------ signing in

    def test_check_tells_the_account(self, connector: Connector) -> None:
        account = connector.check()
        assert account.remote_account
        assert self.remote_account in (None, account.remote_account)
        assert connector.check().remote_account == account.remote_account

    def test_refused_credentials_need_a_person(
        self, connector_class: type[Connector], connection: Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        spoiled = self.spoiled(connection)
        if spoiled is None:
            assert all(m.kind is AuthKind.NONE for m in connector_class.manifest.auth), "there are credentials to spoil"
            pytest.skip("nothing is signed in to")
        error = first_error(connector_class, spoiled)
        assert isinstance(error, ReauthRequiredError)
        assert_plain(error, secrets_of(connector_class.manifest, spoiled), caplog.text)

    def test_an_unreachable_vendor_is_transient(
        self, connector_class: type[Connector], connection: Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        unreachable = self.unreachable(connection)
        if unreachable is None:
            assert not connector_class.manifest.hosts, "a vendor with hosts can be out of reach"
            pytest.skip("nothing is connected to")
        error = first_error(connector_class, unreachable)
        assert isinstance(error, TransientError)
        assert_plain(error, secrets_of(connector_class.manifest, connection), caplog.text)

    # ------------------------------------------------------------ describing

    def test_describe_is_consistent(self, connector: Connector) -> None:
        objects = connector.describe().objects
        assert self.object_name in objects
        for name, schema in objects.items():
            assert schema.name == name
            assert len(set(schema.field_names)) == len(schema.fields), f"{name} names a field twice"
            for special in (schema.id_field, schema.name_field, schema.created_field, schema.modified_field):
                assert special is None or special in schema.field_names, f"{name}.{special} is no field"
            for field in schema.fields:
                assert field.part_of is None or field.part_of in schema.field_names, f"{name}.{field.name}"

    def test_references_lead_to_known_objects(self, connector: Connector) -> None:
        objects = connector.describe().objects
        for name, schema in objects.items():
            for field in schema.fields:
                assert field.kind is not Kind.REFERENCE or field.refers_to, f"{name}.{field.name} refers to nothing"
                unknown = set(field.refers_to) - set(objects) - self.outside
                assert unknown == set(), f"{name}.{field.name}"

    def test_describe_of_one_object_is_its_part_of_the_whole(self, connector: Connector) -> None:
        one = connector.describe([self.object_name])
        assert list(one.objects) == [self.object_name]
        assert one.fingerprint() == connector.describe().restricted_to([self.object_name]).fingerprint()

    def test_an_unknown_object_is_not_described(self, connector: Connector) -> None:
        assert NO_SUCH_THING not in connector.describe([self.object_name, NO_SUCH_THING]).objects

    # ------------------------------------------------------------ reading

    def test_reads_every_record_exactly_once(
        self, connector: Connector, request_to_read: ReadRequest, id_field: str
    ) -> None:
        pages = list(connector.read(request_to_read))
        assert len(pages) >= 3, "the object must have at least three pages for this suite to say anything"
        ids = ids_of(pages, id_field)
        assert len(ids) == self.record_count
        assert len(set(ids)) == len(ids)
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]

    def test_pages_are_well_formed(self, connector: Connector, request_to_read: ReadRequest) -> None:
        schema = connector.describe([self.object_name]).objects[self.object_name]
        for page in connector.read(request_to_read):
            assert page.object == self.object_name
            assert set(page.fields) <= set(schema.field_names)
            assert len(set(page.fields)) == len(page.fields)
            assert all(len(row) == len(page.fields) for row in page.rows)
            assert page.places is None or len(page.places) == len(page.rows)

    def test_cursors_are_json_without_secrets(
        self, connector: Connector, connection: Connection, request_to_read: ReadRequest
    ) -> None:
        secrets = secrets_of(connector.manifest, connection)
        for page in connector.read(request_to_read):
            text = json.dumps(page.cursor)
            assert json.loads(text) == page.cursor
            assert not any(secret in text for secret in secrets)

    def test_resumes_after_any_page(
        self,
        connector_class: type[Connector],
        connection: Connection,
        request_to_read: ReadRequest,
        id_field: str,
    ) -> None:
        """By another instance, from the cursor as JSON; what came before may come again, but no more than a page of it."""
        with_reader = connector_class(connection)
        pages = list(with_reader.read(request_to_read))
        with_reader.close()
        for number, page in enumerate(pages[:-1]):
            resumed = connector_class(connection)
            cursor = json.loads(json.dumps(page.cursor))
            rest = ids_of(list(resumed.read(replace(request_to_read, cursor=cursor))), id_field)
            resumed.close()
            expected = set(ids_of(pages[number + 1 :], id_field))
            assert expected <= set(rest), f"after page {number} {len(expected - set(rest))} records are missing"
            assert len(rest) - len(expected) <= len(page), f"after page {number} too much comes again"

    def test_stopping_early_leaves_nothing_behind(
        self, connector: Connector, request_to_read: ReadRequest, id_field: str
    ) -> None:
        pages = connector.read(request_to_read)
        first = next(iter(pages))
        getattr(pages, "close", lambda: None)()
        again = next(iter(connector.read(request_to_read)))
        assert ids_of([first], id_field) == ids_of([again], id_field)

    def test_the_last_cursor_starts_the_next_read(
        self, connector: Connector, request_to_read: ReadRequest, id_field: str
    ) -> None:
        *_, last = connector.read(request_to_read)
        later = list(connector.read(replace(request_to_read, cursor=last.cursor)))
        assert len(set(ids_of(later, id_field))) <= self.record_count
        assert not later or later[-1].last

    def test_reads_only_the_fields_asked_for(
        self, connector: Connector, request_to_read: ReadRequest, id_field: str
    ) -> None:
        schema = connector.describe([self.object_name]).objects[self.object_name]
        other = next(f.name for f in schema.fields if f.name != id_field and not f.compound)
        page = next(iter(connector.read(replace(request_to_read, fields=(id_field, other)))))
        assert {id_field, other} <= set(page.fields)
        allowed = {id_field, other, schema.created_field, schema.modified_field}
        assert set(page.fields) <= allowed, "more than the fields asked for and those that order the listing"

    def test_honours_a_limit(self, connector: Connector, request_to_read: ReadRequest, id_field: str) -> None:
        pages = list(connector.read(replace(request_to_read, limit=2)))
        assert len(ids_of(pages, id_field)) == 2

    def test_reads_records_by_id(self, connector: Connector, request_to_read: ReadRequest, id_field: str) -> None:
        some = ids_of([next(iter(connector.read(request_to_read)))], id_field)[:2]
        wanted = replace(request_to_read, ids=tuple(map(str, some)))
        assert sorted(ids_of(list(connector.read(wanted)), id_field)) == sorted(some)

    def test_an_unknown_object_is_named(self, connector: Connector, request_to_read: ReadRequest) -> None:
        with pytest.raises(ConfigurationError, match=NO_SUCH_THING):
            list(connector.read(replace(request_to_read, object=NO_SUCH_THING)))

    def test_an_unknown_field_is_named(self, connector: Connector, request_to_read: ReadRequest, id_field: str) -> None:
        with pytest.raises(ConfigurationError, match=NO_SUCH_THING):
            list(connector.read(replace(request_to_read, fields=(id_field, NO_SUCH_THING))))

    def test_nothing_secret_is_logged_or_told(
        self,
        connector_class: type[Connector],
        connection: Connection,
        request_to_read: ReadRequest,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told: list[CallRecord] = []
        connector = connector_class(replace(connection, on_call=told.append))
        connector.check()
        next(iter(connector.read(request_to_read)))
        connector.close()
        secrets = secrets_of(connector.manifest, connection)
        assert not any(secret in f"{caplog.text} {told} {connector!r}" for secret in secrets)
        assert told or not connector.manifest.hosts, "every call is told to on_call"

    # ------------------------------------------------------------ what only some can

    def test_count_agrees_with_reading(self, connector: Connector) -> None:
        counting: SupportsCount = claimed(connector, "count")
        assert counting.count([self.object_name]) == {self.object_name: self.record_count}

    def test_upsert_twice_changes_nothing(self, connector: Connector, request: pytest.FixtureRequest) -> None:
        claimed(connector, "upsert")
        writing: Writing = request.getfixturevalue("writing")
        first = upsert(connector, writing, writing.records)
        same = writing.records
        if writing.key_field is None:
            same = [replace(r, vendor_id=f.vendor_id) for r, f in zip(same, first, strict=True)]
        again = upsert(connector, writing, same)
        assert all(result.ok for result in (*first, *again))
        assert [r.vendor_id for r in first] == [r.vendor_id for r in again]
        assert not any(r.created for r in again)

    def test_one_bad_record_fails_alone_and_in_its_place(
        self, connector: Connector, request: pytest.FixtureRequest
    ) -> None:
        claimed(connector, "upsert")
        writing: Writing = request.getfixturevalue("writing")
        assert writing.bad is not None, "give a record that the vendor refuses"
        results = upsert(connector, writing, [writing.records[0], writing.bad, *writing.records[1:]])
        assert [result.ok for result in results] == [True, False] + [True] * (len(writing.records) - 1)
        assert isinstance(results[1].error, SynclineError)

    def test_nothing_to_write_is_no_call(
        self, connector_class: type[Connector], connection: Connection, request: pytest.FixtureRequest
    ) -> None:
        told: list[CallRecord] = []
        connector = connector_class(replace(connection, on_call=told.append))
        claimed(connector, "upsert")
        assert upsert(connector, request.getfixturevalue("writing"), []) == []
        connector.close()
        assert told == []

    def test_delete_twice_is_a_success(self, connector: Connector, request: pytest.FixtureRequest) -> None:
        deleting: SupportsDelete = claimed(connector, "delete")
        writing: Writing = request.getfixturevalue("writing")
        ids = [r.vendor_id for r in upsert(connector, writing, writing.records) if r.vendor_id]
        for _ in range(2):
            results = deleting.delete(writing.object, ids)
            assert [(r.vendor_id or r.key, r.ok) for r in results] == [(i, True) for i in ids]

    def test_downloads_come_whole_and_in_small_pieces(
        self, connector: Connector, request: pytest.FixtureRequest
    ) -> None:
        files: SupportsFiles = claimed(connector, "files")
        sample: Sample = request.getfixturevalue("sample")
        assert sample.object in files.file_objects
        pieces = list(files.download(sample.object, sample.vendor_id))
        assert sum(map(len, pieces)) == sample.size_bytes
        assert all(0 < len(piece) <= PIECE_BYTES_MAX for piece in pieces)

    def test_an_upload_comes_back(self, connector: Connector) -> None:
        files: SupportsFiles = claimed(connector, "files")
        if not any(o.writable for o in connector.manifest.objects):
            pytest.skip("the connector only reads")
        content = bytes(range(256)) * 40
        result = files.upload(FileInfo("", "conformance.bin", size_bytes=len(content)), io.BytesIO(content))
        assert result.ok
        assert result.vendor_id
        assert b"".join(files.download(files.file_objects[0], result.vendor_id)) == content


# ---------------------------------------------------------------- helpers


def ids_of(pages: Iterable[Page], id_field: str) -> list[Any]:
    ids: list[Any] = []
    for page in pages:
        column = page.fields.index(id_field)
        ids.extend(row[column] for row in page.rows)
    return ids


def secrets_of(manifest: Manifest, connection: Connection) -> list[str]:
    """Values of secret settings, and all tokens, of at least six characters (shorter ones occur by chance)."""
    secret = {s.name for s in all_settings(manifest) if s.secret} | {"access_token", "refresh_token"}
    stored: Mapping[str, Any] = connection.tokens.load()
    return [str(v) for n, v in stored.items() if n in secret and len(str(v)) >= 6]


def first_error(connector_class: type[Connector], connection: Connection) -> SynclineError:
    connector = None
    try:
        connector = connector_class(connection)
        connector.check()
    except SynclineError as exc:
        return exc
    finally:
        if connector is not None:
            connector.close()
    raise AssertionError("check() raised nothing")


def assert_plain(error: SynclineError, secrets: Sequence[str], logged: str) -> None:
    """A sentence with a remedy, and no secret in it, in its context, in its traceback or in the log."""
    assert error.message.endswith((".", "?", "!", ")"))
    shown = f"{error!r} {error.context} {''.join(traceback.format_exception(error))} {logged}"
    assert not any(secret in shown for secret in secrets)


def claimed(connector: Connector, capability: str) -> Any:
    """The connector as what it also is; skips the test where it is not."""
    if capability not in capabilities(type(connector)):
        pytest.skip(f"{connector.manifest.name} does not implement {capability}")
    return connector


def upsert(connector: Connector, writing: Writing, records: Sequence[Outgoing]) -> list[WriteResult]:
    assert isinstance(connector, SupportsUpsert)
    results = connector.upsert(writing.object, records, writing.key_field)
    assert [r.key for r in results] == [r.key for r in records]
    return results
