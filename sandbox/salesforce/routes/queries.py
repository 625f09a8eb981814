"""SOQL over HTTP: query, queryAll, and reading on by locator.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_query.htm
"""

from __future__ import annotations

from sandbox.kit.wire import Reply
from sandbox.salesforce.cursors import page_size
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.query import QueryRun
from sandbox.salesforce.routes.rest import DATA
from sandbox.salesforce.wire import Call, Router


def register(router: Router) -> None:
    router.add("GET", DATA + "/query", "query")(query)
    router.add("GET", DATA + "/queryAll", "queryAll")(query_all)
    router.add("GET", DATA + "/query(?:All)?/{locator}", "query_more")(query_more)


def query(call: Call) -> Reply:
    return _run(call, "query", include_deleted=False)


def query_all(call: Call) -> Reply:
    return _run(call, "queryAll", include_deleted=True)


def _run(call: Call, resource: str, include_deleted: bool) -> Reply:
    text = call.request.query.get("q")
    if not text:
        raise ApiError("MALFORMED_QUERY", "SOQL statement cannot be empty: give it as the parameter q")
    result = QueryRun(call.sandbox.org, text, include_deleted).run()
    size = page_size(call.request.headers.get("sforce-query-options"))
    return Reply(json=call.sandbox.cursors.first_page(result, size, resource, call.version))


def query_more(call: Call) -> Reply:
    return Reply(json=call.sandbox.cursors.next_page(call.path["locator"], call.version))
