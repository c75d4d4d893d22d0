"""Instances of one name are found by parent too: devices number theirs alike in many containers."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the index of names anew, with the id, which holds the parent."""
    named = text("rn IS NOT NULL")
    op.drop_index("instance_rn", "instance")
    op.create_index("instance_rn", "instance", ["rn", "id"], sqlite_where=named, postgresql_where=named)
