"""One org's API: addresses, composite calls, queries, the SDK. Everything else of the connector talks through it."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from connectors.kit.contract import Connection, Manifest
from connectors.kit.gate import Attempt, Call, Gate
from connectors.kit.http import Reply, StreamedReply, VendorClient
from connectors.kit.sdk import KitSession
from connectors.salesforce.auth import CLIENT_NAME, Session, api_version
from connectors.salesforce.errors import error_table
from connectors.salesforce.objects import COMPOSITE_SIZE, PAGE_SIZE
from connectors.salesforce.soql import URI_BYTES_MAX
from domain.errors import SynclineError

T = TypeVar("T")

LIMIT_HEADER = "Sforce-Limit-Info"
CALLS_IN_FLIGHT_MAX = 20
"""Salesforce refuses an org's 26th call that lasts 20 seconds or more; other integrations need some of the 25.
https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_platform_api.htm"""

_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")
_slots: dict[str, threading.BoundedSemaphore] = defaultdict(lambda: threading.BoundedSemaphore(CALLS_IN_FLIGHT_MAX))

HEADERS = {
    "Accept": "application/json",
    "Sforce-Call-Options": f"client={CLIENT_NAME}",  # change events name it, so that own writes can be told apart
    "Sforce-Query-Options": f"batchSize={PAGE_SIZE}",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One answer of a composite call."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def read_quota(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """(used, limit) of the org's requests in 24 hours; the header may also carry ``per-app-api-usage``."""
    found = _USAGE.search(headers.get(LIMIT_HEADER) or "")
    return (int(found[1]), int(found[2])) if found else None


class Org:
    """Calls to the org of one connection. Thread-safe."""

    def __init__(self, manifest: Manifest, connection: Connection, gate: Gate | None = None) -> None:
        self.gate = gate or Gate.of(manifest, connection, errors=error_table(), read_quota=read_quota)
        self.version = api_version(connection.settings)
        self._plain = VendorClient(self.gate, headers=HEADERS)
        self._login = KitSession(self.gate, classify=_never_again)
        self.session = Session(connection, self._plain, self._login)
        self._client = self._plain.signed_by(self.session)
        self._sdk_session = KitSession(self.gate, signer=self.session)
        self._slot = _slots[self.gate.account]

    def close(self) -> None:
        """Release sockets."""
        self._plain.close()
        self._login.close()
        self._sdk_session.close()

    # ------------------------------------------------------------ calls

    def path(self, resource: str) -> str:
        """The path of a versioned resource: ``sobjects/Account`` -> ``/services/data/v60.0/sobjects/Account``."""
        return f"/services/data/v{self.version}/{resource}"

    def url(self, path: str) -> str:
        """Where to send for ``path``, which may come from Salesforce. Raises ForeignHostError for another host."""
        return self.gate.hosts.resolve(path, self.session.instance_url())

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        accept: Container[int] = (),
    ) -> Reply:
        """One call through the kit's client; errors as its table says."""
        url = self.url(path)
        with self._slot:
            return self._client.request(
                method,
                url,
                json=json,
                content=content,
                params=params,
                headers=headers,
                idempotent=idempotent,
                accept=accept,
            )

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, str] | None = None, accept: str = "*/*"
    ) -> Iterator[StreamedReply]:
        """A GET whose body is read piece by piece."""
        url = self.url(path)
        with self._slot, self._client.stream("GET", url, params=params, headers={"Accept": accept}) as reply:
            yield reply

    def composite(
        self, parts: Sequence[Mapping[str, Any]], *, idempotent: bool, all_or_none: bool = False
    ) -> list[Part]:
        """Up to 25 requests in one API call, answers in their order.

        https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_composite.htm
        """
        if len(parts) > COMPOSITE_SIZE:
            raise ValueError(f"{len(parts)} parts in a composite call; Salesforce takes {COMPOSITE_SIZE}")
        numbered = [{"referenceId": f"part{n}", **part} for n, part in enumerate(parts)]
        body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": numbered}
        reply = self.request("POST", self.path("composite"), json=body, idempotent=idempotent)
        answers = {answer["referenceId"]: answer for answer in reply.json()["compositeResponse"]}
        return [Part(int(a["httpStatusCode"]), a["body"]) for a in (answers[part["referenceId"]] for part in numbered)]

    def part_error(self, part: Part, path: str) -> SynclineError:
        """The error of one failed answer of a composite call."""
        attempt: Attempt[Any] = Attempt(status=part.status)
        attempt.fault = self.gate.errors.fault(part.status, {}, orjson.dumps(part.body))
        attempt.rule = self.gate.errors.rule(part.status, attempt.fault.code if attempt.fault else None)
        return self.gate.error(Call("GET", path), attempt)

    # ------------------------------------------------------------ queries

    def query(self, soql: str, *, include_deleted: bool = False) -> tuple[dict[str, Any], datetime | None]:
        """The first page of a query and the time on Salesforce's clock."""
        resource = self.path("queryAll" if include_deleted else "query")
        if len(quote(soql)) <= URI_BYTES_MAX:
            reply = self.request("GET", resource, params={"q": soql})
            return reply.json(), server_time(reply)
        return self._long_query(f"{resource}?q={quote(soql)}")

    def _long_query(self, url: str) -> tuple[dict[str, Any], datetime | None]:
        """A query too long for an address travels in a composite call's body, for the same price."""
        [part] = self.composite([{"method": "GET", "url": url}], idempotent=True)
        if not part.ok:
            raise self.part_error(part, url.partition("?")[0])
        return part.body, None

    def more(self, next_url: str) -> dict[str, Any]:
        """The page that ``nextRecordsUrl`` names."""
        page: dict[str, Any] = self.request("GET", next_url).json()
        return page

    def query_all(self, soql: str, *, include_deleted: bool = False) -> Iterator[dict[str, Any]]:
        """Every record of a query, page by page."""
        page, _ = self.query(soql, include_deleted=include_deleted)
        while True:
            yield from page["records"]
            if page["done"]:
                return
            page = self.more(str(page["nextRecordsUrl"]))

    # ------------------------------------------------------------ the SDK

    def sdk(self, call: Callable[[Salesforce], T]) -> T:
        """Run ``call`` with the vendor's SDK; its errors come out as ours."""
        client = Salesforce(
            session_id=str(self.session.credentials()["access_token"]),
            instance_url=self.session.instance_url(),
            version=self.version,
            session=self._sdk_session,
        )
        client.headers.update(HEADERS)
        try:
            with self._slot:
                return call(client)
        except SalesforceError as error:
            part, path = Part(int(error.status), error.content), self.path("")
        raise self.part_error(part, path)


def _never_again(_method: str, _path: str) -> tuple[str, bool]:
    """How logins are sent: a wrong password sent several times locks the user out."""
    return "auth", False


def server_time(reply: Reply) -> datetime | None:
    """The reply's Date header; None without a readable one."""
    try:
        return parsedate_to_datetime(reply.headers.get("Date", "")).astimezone(UTC)
    except (ValueError, TypeError):
        return None
