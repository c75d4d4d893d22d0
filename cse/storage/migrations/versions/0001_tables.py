"""The tables of the first release."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Integer, text

from cse.storage.schema import BIG, BYTES, LABEL, TEXT

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table("meta", Column("name", TEXT, primary_key=True), Column("value", TEXT, nullable=False))
    op.create_table(
        "resource",
        Column("sequence", BIG, primary_key=True, autoincrement=False),
        Column("ri", TEXT, nullable=False),
        Column("pi", TEXT, nullable=False),
        Column("rn", TEXT, nullable=False),
        Column("ty", Integer, nullable=False),
        Column("root", TEXT, nullable=False),
        Column("body", BYTES, nullable=False),
        Column("internal", BYTES),
        Column("number", Integer),
        Column("next", BIG),
    )
    op.create_table(
        "instance",
        Column("id", BIG, primary_key=True, autoincrement=False),
        Column("rn", TEXT),
        Column("et", TEXT),
        Column("ty", Integer, nullable=False),
        Column("root", TEXT, nullable=False),
        Column("body", BYTES, nullable=False),
        Column("internal", BYTES),
    )
    for column in ("et", "rn"):
        present = text(f"{column} IS NOT NULL")
        op.create_index(f"instance_{column}", "instance", [column], sqlite_where=present, postgresql_where=present)
    op.create_table(
        "instance_label",
        Column("label", LABEL, primary_key=True),
        Column("sequence", BIG, primary_key=True, autoincrement=False),
        Column("id", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("instance_label_id", "instance_label", ["id"])
    op.create_table(
        "garbage",
        Column("low", BIG, primary_key=True, autoincrement=False),
        Column("high", BIG, nullable=False),
    )
