"""Files: upload, read about, fetch by signed address.

https://developers.hubspot.com/docs/guides/api/files/files
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

import orjson

from sandbox.hubspot.errors import ApiError, invalid, not_found
from sandbox.hubspot.files import ACCESS, StoredFile
from sandbox.hubspot.times import iso
from sandbox.hubspot.wire import Call, Router
from sandbox.kit.multipart import parts_of
from sandbox.kit.wire import Reply

ROOT = "/files/v3/files"
SIGNED_S = 900


def register(router: Router) -> None:
    router.add("POST", ROOT, "file_upload", scope="files")(upload)
    router.add("GET", ROOT + "/search", "files", scope="files")(search)
    router.add("GET", ROOT + "/stat/{path*}", "files", scope="files")(stat)
    router.add("GET", ROOT + "/{id}", "files", scope="files")(get)
    router.add("DELETE", ROOT + "/{id}", "file_delete", scope="files")(delete)
    router.add("GET", ROOT + "/{id}/signed-url", "file_signed_url", scope="files")(signed_url)
    router.add("GET", "/__files__/{id}/{expires}/{key}", "file_download", anyone=True, free=True)(download)
    router.add("GET", "/hubfs/{portal}/{path*}", "file_download", anyone=True, free=True)(public)


def _shown(call: Call, found: StoredFile) -> dict[str, object]:
    return found.as_json(call.request.base_url, call.portal.id)


def _found(call: Call) -> StoredFile:
    found = call.portal.files.live(call.path["id"])
    if found is None:
        raise not_found(f"No file exists with id {call.path['id']}")
    return found


def upload(call: Call) -> Reply:
    """``file``, ``options`` (JSON with ``access``), and ``folderPath`` or ``folderId``. Raises 400."""
    parts = {part.name: part for part in parts_of(call.request) or ()}
    if "file" not in parts:
        raise ApiError(415, "VALIDATION_ERROR", "HTTP 415 Unsupported Media Type")
    options = orjson.loads(parts["options"].content) if "options" in parts else {}
    access = str(options.get("access", ""))
    if access not in ACCESS:
        raise invalid(f"options.access has to be one of {', '.join(ACCESS)}")
    if "folderPath" not in parts and "folderId" not in parts:
        raise invalid("One of folderId or folderPath has to be given")
    folder = "/" + parts["folderPath"].content.decode().strip("/") if "folderPath" in parts else "/uploads"
    name = parts["fileName"].content.decode() if "fileName" in parts else parts["file"].filename
    if "fileName" in parts and not PurePosixPath(name).suffix:
        name += PurePosixPath(parts["file"].filename).suffix
    files = call.portal.files
    made = files.put(
        call.portal.counters.next("files"),
        name,
        parts["file"].content,
        folder=folder,
        access=access,
        at=call.portal.now(),
    )
    if call.portal.created is not None:
        call.portal.created.setdefault("files", []).append(made.id)
    return Reply(201, _shown(call, made))


def get(call: Call) -> Reply:
    return Reply(json=_shown(call, _found(call)))


def stat(call: Call) -> Reply:
    found = call.portal.files.at_path("/" + call.path["path"].lstrip("/"))
    if found is None:
        raise not_found("No file or folder exists at this path")
    return Reply(json={"file": _shown(call, found)})


def search(call: Call) -> Reply:
    name, limit = call.request.query.get("name", "").lower(), call.number("limit", 10, 100)
    after = int(call.request.query.get("after") or 0)
    fitting = [
        f for f in call.portal.files.stored.values() if not f.archived and name in f.name.lower() and int(f.id) > after
    ]
    body: dict[str, object] = {"results": [_shown(call, f) for f in fitting[:limit]]}
    if len(fitting) > limit:
        body["paging"] = {"next": {"after": fitting[limit - 1].id}}
    return Reply(json=body)


def delete(call: Call) -> Reply:
    _found(call).archived = True
    return Reply(204)


def signed_url(call: Call) -> Reply:
    """An address that needs no token, for a quarter of an hour or ``expirationSeconds``."""
    found = _found(call)
    seconds = int(call.request.query.get("expirationSeconds", SIGNED_S))
    until = call.portal.now() + seconds * 1000
    body = {
        "expiresAt": iso(until),
        "url": f"{call.request.base_url}/__files__/{found.id}/{until}/{_key(call, found.id, str(until))}",
        "name": found.name,
        "extension": found.extension,
        "type": str(_shown(call, found)["type"]),
        "size": len(found.content),
    }
    return Reply(json=body)


def _key(call: Call, file_id: str, until: str) -> str:
    return hashlib.sha256(f"{call.sandbox.auth.known.client_secret}:{file_id}:{until}".encode()).hexdigest()[:40]


def download(call: Call) -> Reply:
    found, until = _found(call), call.path["expires"]
    if call.path["key"] != _key(call, found.id, until) or int(until) < call.portal.now():
        return Reply(403, body=b"Request has expired", content_type="text/plain")
    return Reply(body=found.content, content_type="application/octet-stream")


def public(call: Call) -> Reply:
    found = call.portal.files.at_path("/" + call.path["path"])
    if found is None or found.access.endswith("PRIVATE"):
        return Reply(404, body=b"Not found", content_type="text/plain")
    return Reply(body=found.content, content_type="application/octet-stream")
