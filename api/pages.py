"""`/docs`: the reference of the API as one page, made here out of the OpenAPI document. It needs no script and no other host."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment, StrictUndefined

_STYLE = (Path(__file__).parent / "reference.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def install(app: FastAPI) -> None:
    """Serve the page at ``/docs``."""

    @cache
    def page() -> str:
        return render(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(), headers={"Content-Security-Policy": _CSP})


def render(document: Mapping[str, Any]) -> str:
    """The OpenAPI ``document`` as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = (Path(__file__).parent / "reference.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        style=_STYLE,
        info=document["info"],
        operations=list(_operations(document)),
        events=[(name, item["post"]["description"]) for name, item in document["webhooks"].items()],
        schemas=_schemas(document),
    )


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield {
                "method": method.upper(),
                "path": path,
                "id": operation["operationId"],
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "permission": operation.get("x-permission"),
                "parameters": [
                    (p["name"], p["in"], p.get("required", False), p.get("description", ""))
                    for p in operation.get("parameters", ())
                ],
                "body": _shape(operation.get("requestBody", {})),
                "answers": [
                    (status, answer.get("description", ""), _shape(answer))
                    for status, answer in operation["responses"].items()
                    if status.startswith("2")
                ],
            }


def _schemas(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    shapes = document.get("components", {}).get("schemas", {})
    return [(name, json.dumps(shape, indent=2, ensure_ascii=False)) for name, shape in sorted(shapes.items())]


def _shape(part: Mapping[str, Any]) -> str:
    """The name of the schema of a body, or what it consists of."""
    contents: list[dict[str, Any]] = list(part.get("content", {}).values())
    schema = contents[0].get("schema", {}) if contents else {}
    if "items" in schema and "$ref" in schema["items"]:
        return "list of " + str(schema["items"]["$ref"].rsplit("/", 1)[-1])
    return str(schema.get("$ref", schema.get("type", "")).rsplit("/", 1)[-1])
