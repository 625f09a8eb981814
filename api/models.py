"""What every request body has in common: nothing unknown, nothing converted in silence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, StringConstraints

Id = Annotated[UUID, Strict(False), Field(examples=["0199d1e2-7a3b-7c44-9d55-6e77f8899aab"])]
"""A UUID in a body, where it is a string."""

Moment = Annotated[AwareDatetime, Strict(False)]
"""A time with its zone in a body, where it is a string (RFC 3339)."""


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
"""What a person calls something."""

Verbatim = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1_000_000)]
"""A text of several lines that is taken as it stands, so that its lines keep their numbers."""


class Body(BaseModel):
    """A request body. Unknown fields are refused, so that nothing can be slipped in and no typing error is swallowed."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, str_max_length=100_000)


class SecretBody(Body):
    """A body with secrets, in which nothing is stripped: a password may end with a blank."""

    model_config = ConfigDict(str_strip_whitespace=False)


class HealthReason(BaseModel):
    """Why a connection is unhealthy; ``object`` null: for the whole of it."""

    object: str | None
    code: str
    message: str
