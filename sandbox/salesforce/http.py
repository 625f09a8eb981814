"""The HTTP face: an ASGI app that hands each request to the model and its answer back."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from sandbox.salesforce.model import SalesforceSandbox
from sandbox.salesforce.wire import Reply, Request

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


def create_app(sandbox: SalesforceSandbox) -> Starlette:
    """The app of one org. The model is single-threaded: requests are answered one after another."""

    async def answer(incoming: HttpRequest) -> Response:
        request = Request(
            method=incoming.method,
            path=incoming.url.path,
            query=dict(incoming.query_params),
            headers=dict(incoming.headers),
            body=await incoming.body(),
            base_url=str(incoming.base_url).rstrip("/"),
        )
        return respond(sandbox.handle(request))

    return Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])


def respond(reply: Reply) -> Response:
    return Response(reply.content(), reply.status, reply.headers, media_type=reply.content_type)
