"""Let the application refresh the planner's statistics of its tables."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from storage.tenancy import driver_connection

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    driver_connection(op.get_bind()).execute(statements)
