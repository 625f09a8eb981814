"""Records that come with a file: ``multipart/form-data`` with one JSON part and one binary part.

https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/dome_sobject_insert_update_blob.htm
"""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.kit.multipart import parts_of
from sandbox.kit.wire import Request
from sandbox.salesforce.errors import json_error


def record_of(request: Request) -> dict[str, Any]:
    """The record that a request carries, binary fields as bytes. Raises ApiError when there is no JSON part."""
    parts = parts_of(request)
    if parts is None:
        return request.json_object()
    record: dict[str, Any] | None = None
    files: dict[str, bytes] = {}
    for part in parts:
        if part.content_type.startswith("application/json"):
            record = orjson.loads(part.content)
        else:
            files[part.name] = part.content
    if record is None:
        raise json_error("Multipart message must include a non-binary part")
    return record | files
