"""How the SQL engines run statements: the little of a database connection that tree, instances and garbage need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class Rows(Protocol):
    """The rows a statement gives, in order."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All other rows."""

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""

    def close(self) -> object:
        """Nobody wants the rest."""


class Reader(Protocol):
    """Runs the reading statements of ``cse.storage.statements`` (a ``sqlite3.Connection`` is one)."""

    def execute(self, statement: str, parameters: Any = (), /) -> Rows:
        """Run a statement."""
