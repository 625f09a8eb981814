"""What most would write first: a FastAPI endpoint that verifies and stores through SQLAlchemy's ORM, a commit each.

It deduplicates by the same unique key and sets the tenant for row-level security, into a table like the inbox.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import JSON, DateTime, UniqueConstraint, create_engine, func, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from storage.database import engine_url

SECRET = b"a secret of the benchmark"
TENANT = uuid.UUID("0192d3a0-0000-7000-8000-000000000001")
ENDPOINT = uuid.UUID("0192d3a0-0000-7000-8000-000000000002")


class Base(DeclarativeBase):
    pass


class Event(Base):
    """Like a row of the inbox."""

    __tablename__ = "bench_event"
    __table_args__ = (UniqueConstraint("tenant_id", "endpoint_id", "dedupe_key"),)
    tenant_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    endpoint_id: Mapped[uuid.UUID]
    dedupe_key: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Post(BaseModel):
    """The body that is posted."""

    id: str
    name: str
    filler: str


make_session = sessionmaker()
app = FastAPI()


def session() -> Iterator[Session]:
    with make_session() as made:
        yield made


@app.post("/hooks/bench", status_code=202)
def receive(
    post: Post, x_signature: Annotated[str, Header()], db: Annotated[Session, Depends(session)]
) -> dict[str, str]:
    body = json.dumps(post.model_dump(), separators=(",", ":")).encode()
    expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, x_signature):
        raise HTTPException(401)
    db.execute(text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": str(TENANT)})
    db.add(Event(tenant_id=TENANT, endpoint_id=ENDPOINT, dedupe_key=post.id, payload=post.model_dump()))
    try:
        db.commit()
    except IntegrityError:
        db.rollback()
    return {"status": "accepted"}


if __name__ == "__main__":
    make_session.configure(bind=create_engine(engine_url(os.environ["BENCH_URL"]), pool_size=32))
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), access_log=False, log_level="warning")
