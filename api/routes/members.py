"""People of the tenant: invited by e-mail address, with a role each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, EmailStr, Field

from api.access import Caller, allowed
from api.errors import ApiError
from api.models import Body
from api.paging import Cursor, Limit, Page, decode_id, page_of
from domain.access import ROLES
from storage import members
from storage.members import Member

router = APIRouter(prefix="/members", tags=["members"])


class Invitation(Body):
    """A person to let in. They sign in with the identity provider, by the same address, verified there."""

    email: EmailStr = Field(max_length=254, examples=["ada@example.com"])
    name: str = Field(default="", max_length=200, examples=["Ada Lovelace"])
    role: str = Field(max_length=50, examples=["member"])


class RoleChange(Body):
    """What a person may do from now on."""

    role: str = Field(max_length=50, examples=["support"])


class MemberOut(BaseModel):
    """A person. ``status``: invited, active or removed."""

    id: UUID
    email: str
    name: str
    role: str
    status: str
    invited_by: str
    created_at: datetime
    joined_at: datetime | None
    removed_at: datetime | None


@router.get("", operation_id="list_members")
def list_members(
    caller: Annotated[Caller, allowed("members:read")], limit: Limit = 100, cursor: Cursor = None
) -> Page[MemberOut]:
    """People of the tenant in the order of their invitations, removed ones included."""
    with caller.transaction() as conn:
        found = members.list_all(conn, after=decode_id(cursor), limit=limit + 1)
    return page_of(found, limit, _shown, lambda member: str(member.id))


@router.post("", operation_id="invite_member", status_code=201)
def invite_member(body: Invitation, caller: Annotated[Caller, allowed("members:write")]) -> MemberOut:
    """Invite a person. They become active with their first sign-in; tell them yourself."""
    _assert_within(caller, body.role)
    with caller.transaction() as conn:
        member = members.invite(conn, email=body.email, name=body.name, role=body.role, invited_by=caller.actor.label)
        caller.audit(conn, "member.invite", "member", member.id, {"role": member.role})
    return _shown(member)


@router.patch("/{member_id}", operation_id="change_member")
def change_member(member_id: UUID, body: RoleChange, caller: Annotated[Caller, allowed("members:write")]) -> MemberOut:
    """Give a person another role. The last administrator keeps theirs."""
    _assert_within(caller, body.role)
    with caller.transaction() as conn:
        _assert_within(caller, members.get(conn, member_id).role)
        member = members.set_role(conn, member_id, body.role)
        caller.audit(conn, "member.change", "member", member.id, {"role": member.role})
    return _shown(member)


@router.delete("/{member_id}", operation_id="remove_member")
def remove_member(member_id: UUID, caller: Annotated[Caller, allowed("members:write")]) -> MemberOut:
    """Let a person in no more. The last administrator cannot be removed."""
    with caller.transaction() as conn:
        _assert_within(caller, members.get(conn, member_id).role)
        member = members.remove(conn, member_id)
        caller.audit(conn, "member.remove", "member", member.id)
    return _shown(member)


def _assert_within(caller: Caller, role: str) -> None:
    """Raise ApiError 403 where ``role`` allows more than the caller may do; an unknown one is told later."""
    if not ROLES.get(role, frozenset()) <= caller.permissions:
        raise ApiError(
            403,
            "forbidden",
            "Nobody can give or take a role that allows more than their own.",
            remedy="Ask an administrator of the tenant.",
        )


def _shown(member: Member) -> MemberOut:
    return MemberOut(**{name: getattr(member, name) for name in MemberOut.model_fields})
