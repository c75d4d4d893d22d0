"""What is to be sent because of changes is kept with them (docs/adr/0027)."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column

from cse.storage.schema import BIG, BYTES

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "outbox",
        Column("number", BIG, primary_key=True, autoincrement=False),
        Column("body", BYTES, nullable=False),
    )
