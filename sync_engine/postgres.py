"""The engine's store in PostgreSQL: `sync_engine.ports.SyncStore` over the statements of `storage.sync`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from storage.database import Database
from storage.staging import concerns_record
from storage.sync import conflicts, gathering, lanes, linking, pushing, queueing
from storage.sync.lanes import LaneKey
from storage.sync.values import CUSTOM, decode, encode
from sync_engine.core.model import Failure, HubRef, Pushable, Record, Rules
from sync_engine.ports import (
    Gathered,
    Lane,
    LaneState,
    Lease,
    LeaseLostError,
    PullCommit,
    PullQuery,
    Pushed,
    PushWork,
    RecordNotice,
    Resync,
    Sending,
    StaleError,
)
from sync_engine.pg_apply import Applied, apply_pull, apply_push
from sync_engine.pg_rows import hub_of, intent_of, link_of, lane_key, resync_form, resync_of, waits_of


class PostgresSyncStore:
    """Everything durable, in one database. Each method is one transaction of the lane's tenant; safe to share between threads.

    Raises TransientError where two transactions met or the connection was lost: nothing was committed.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
