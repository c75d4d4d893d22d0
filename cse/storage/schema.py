"""The tables of a store, declared once with SQLModel; every SQL engine is built from them (architecture clause 4).

The SQLite engine runs the statements of ``cse.storage.statements``, which are what these declarations compile to (a
test holds them together): importing SQLModel takes half a second, which the start of an edge CSE need not spend.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

#: SQLite counts its rows with INTEGER only
BIG = BigInteger().with_variant(Integer(), "sqlite")
#: timestamps and names are compared byte by byte, whatever the language of the database
TEXT = String().with_variant(String(collation="C"), "postgresql")
BYTES = LargeBinary()
#: a label may hold what text of PostgreSQL cannot, and be longer than its indexes take
LABEL = String().with_variant(LargeBinary(), "postgresql")


class Table(SQLModel, registry=registry()):
    """What all tables of a store share: one metadata of their own."""


class Meta(Table, table=True):
    """Facts about the store: ``schema_version``, ``next_number`` (of the next parent of instances), ``probe``."""

    __tablename__: ClassVar[str] = "meta"

    name: str = Field(primary_key=True, sa_type=TEXT)
    value: str = Field(sa_type=TEXT)


class PlainRow(Table, table=True):
    """A resource that is no instance. All of them are in memory too; this is what a start reads.

    ``body`` is JSON of the attributes without ri, pi, rn and ty. ``number`` and ``next`` are those of its instances.
    """

    __tablename__: ClassVar[str] = "resource"

    sequence: int = Field(primary_key=True, sa_type=BIG)
    ri: str = Field(sa_type=TEXT)
    pi: str = Field(sa_type=TEXT)
    rn: str = Field(sa_type=TEXT)
    ty: int
    root: str = Field(sa_type=TEXT)
    body: bytes = Field(sa_type=BYTES)
    internal: bytes | None = Field(default=None, sa_type=BYTES)
    number: int | None = None
    next: int | None = Field(default=None, sa_type=BIG)


class InstanceRow(Table, table=True):
    """An instance. Parent and resource-ID follow from ``id`` (docs/adr/0006), the path from the parent's.

    ``rn`` is NULL when it equals the resource-ID, ``et`` when the instance lives as long as its parent.
    """

    __tablename__: ClassVar[str] = "instance"
    __table_args__ = (
        Index("instance_et", "et", sqlite_where=text("et IS NOT NULL"), postgresql_where=text("et IS NOT NULL")),
        Index("instance_rn", "rn", "id", sqlite_where=text("rn IS NOT NULL"), postgresql_where=text("rn IS NOT NULL")),
    )

    id: int = Field(primary_key=True, sa_type=BIG)
    rn: str | None = Field(default=None, sa_type=TEXT)
    et: str | None = Field(default=None, sa_type=TEXT)
    ty: int
    root: str = Field(sa_type=TEXT)
    body: bytes = Field(sa_type=BYTES)
    internal: bytes | None = Field(default=None, sa_type=BYTES)


class LabelRow(Table, table=True):
    """A label of an instance; ``sequence`` is the place of the instance in the order of creation."""

    __tablename__: ClassVar[str] = "instance_label"
    __table_args__ = (Index("instance_label_id", "id"), {"sqlite_with_rowid": False})

    label: str = Field(primary_key=True, sa_type=LABEL)
    sequence: int = Field(primary_key=True, sa_type=BIG)
    id: int = Field(sa_type=BIG)


class GarbageRow(Table, table=True):
    """A range of instances that were removed together and are deleted bit by bit."""

    __tablename__: ClassVar[str] = "garbage"

    low: int = Field(primary_key=True, sa_type=BIG)
    high: int = Field(sa_type=BIG)


class OutboxRow(Table, table=True):
    """What is to be sent because of a change, until it is delivered; ``body`` is JSON (``cse.storage.outbox``)."""

    __tablename__: ClassVar[str] = "outbox"

    number: int = Field(primary_key=True, sa_type=BIG)
    body: bytes = Field(sa_type=BYTES)
