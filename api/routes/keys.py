"""API keys: made, shown once, listed without their secrets, revoked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body, Moment
from domain.access import ROLES
from storage import api_keys
from storage.api_keys import ApiKey

router = APIRouter(prefix="/keys", tags=["keys"])


class NewKey(Body):
    """A key to be made. It can never allow more than the one that makes it."""

    name: str = Field(min_length=1, max_length=200, examples=["Website forms"])
    role: str = Field(examples=["member"])
    scopes: list[str] | None = Field(
        default=None, max_length=100, description="Narrows the role to these permissions.", examples=[["records:write"]]
    )
    expires_at: Moment | None = Field(default=None, examples=["2027-01-01T00:00:00Z"])


class Rotation(Body):
    """How long the old key stays good beside the new one."""

    overlap_s: int = Field(default=86_400, ge=0, le=2_592_000, description="Seconds.", examples=[86_400])


class KeyOut(BaseModel):
    """A key without its secret."""

    id: UUID
    name: str
    role: str
    scopes: list[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class MadeKey(KeyOut):
    """A key with its secret, which is shown this once."""

    secret: str


class RotatedKey(BaseModel):
    """Both keys after a rotation: ``old`` with the moment when it ends."""

    old: KeyOut
    new: MadeKey


@router.get("", operation_id="list_keys")
def list_keys(caller: Annotated[Caller, allowed("keys:read")]) -> list[KeyOut]:
    """Every key of the tenant, the newest last."""
    with caller.transaction() as conn:
        return [KeyOut(**_fields(key)) for key in api_keys.list_all(conn)]


@router.post("", operation_id="create_key", status_code=201)
def create_key(body: NewKey, caller: Annotated[Caller, allowed("keys:write")]) -> MadeKey:
    """Make a key. Its secret is in this answer and nowhere else."""
    with caller.transaction() as conn:
        _assert_within(caller, body.role, body.scopes)
        key, secret = api_keys.create(
            conn,
            name=body.name,
            role=body.role,
            scopes=body.scopes,
            created_by=caller.actor.label,
            expires_at=body.expires_at,
        )
        caller.audit(conn, "key.create", "key", key.id, {"name": key.name, "role": key.role, "scopes": body.scopes})
    return MadeKey(**_fields(key), secret=secret)


@router.post("/{key_id}/rotate", operation_id="rotate_key", status_code=201)
def rotate_key(key_id: UUID, body: Rotation, caller: Annotated[Caller, allowed("keys:write")]) -> RotatedKey:
    """Make a key like this one, which ends after an overlap in which both are good. The new secret is shown this once."""
    with caller.transaction() as conn:
        asked = api_keys.get(conn, key_id)
        _assert_within(caller, asked.role, asked.scopes)
        overlap = timedelta(seconds=body.overlap_s)
        old, new, secret = api_keys.rotate(conn, key_id, overlap=overlap, created_by=caller.actor.label)
        caller.audit(conn, "key.rotate", "key", key_id, {"new": str(new.id), "overlap_s": body.overlap_s})
    return RotatedKey(old=KeyOut(**_fields(old)), new=MadeKey(**_fields(new), secret=secret))


@router.delete("/{key_id}", operation_id="revoke_key")
def revoke_key(key_id: UUID, caller: Annotated[Caller, allowed("keys:write")]) -> KeyOut:
    """End a key at once and for good. It stays listed."""
    with caller.transaction() as conn:
        key = api_keys.revoke(conn, key_id)
        caller.audit(conn, "key.revoke", "key", key.id)
    return KeyOut(**_fields(key))


def _assert_within(caller: Caller, role: str, scopes: Collection[str] | None) -> None:
    """Raise ApiError 403 for a key that would allow more than its maker may do; an unknown role is told later."""
    wanted = ROLES.get(role, frozenset())
    if not (wanted if scopes is None else wanted & frozenset(scopes)) <= caller.permissions:
        raise ApiError(
            403,
            "forbidden",
            "A key cannot allow more than the one that makes it.",
            remedy="Choose a narrower role.",
        )


def _fields(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in KeyOut.model_fields}
