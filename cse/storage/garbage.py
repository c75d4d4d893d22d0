"""Ranges of instances that were removed together and are deleted bit by bit, so that no commit takes long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from cse.storage import statements as sql
from cse.storage.reader import Reader

#: instances deleted with one commit
_SLICE = 1000


class Garbage:
    """The ranges still to be deleted; the same are in the table ``garbage``.

    Slices are deleted by the committing thread inside the transaction of a group; ranges are added by the thread of
    the store once they are durable.

    Args:
        ranges: lowest and highest key of each.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._ranges = deque(ranges)
        self._cut: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def extend(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add ranges that are in the table."""
        self._ranges.extend(ranges)

    def delete_slice(self, connection: Reader) -> None:
        """Delete the next slice within the open transaction; call ``sliced`` when it is committed."""
        self._cut = None
        if not self._ranges:
            return
        low, high = self._ranges[0]
        row = connection.execute(sql.NEXT_SLICE, (low, high, _SLICE)).fetchone()
        end = high if row is None else row[0] - 1
        connection.execute(sql.DELETE_INSTANCES, (low, end))
        connection.execute(sql.DELETE_LABELS, (low, end))
        if end == high:
            connection.execute(sql.DROP_GARBAGE, (low,))
        else:
            connection.execute(sql.CUT_GARBAGE, (end + 1, low))
        self._cut = (end + 1, high)

    def sliced(self) -> None:
        """Take note that the slice is gone."""
        if self._cut is not None:
            low, high = self._cut
            if low > high:
                self._ranges.popleft()
            else:
                self._ranges[0] = (low, high)
            self._cut = None
