"""A file that only takes up room, so that there is room for deletions when the disk is full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: enough for the write-ahead log of many deletions
DEFAULT_BYTES = 32 << 20
#: part of the file system that the default takes at most
DEFAULT_PART = 0.02
#: below this a ballast is not worth its file
_LEAST_BYTES = 64 << 10


class Ballast:
    """The ballast of one store.

    Args:
        path: where the file is.
        size_bytes: its size; None for 32 MiB or 2 % of the file system, whichever is less; 0 for none.
    """

    def __init__(self, path: Path, size_bytes: int | None = None) -> None:
        self._path = path
        if size_bytes is None:
            disk = os.statvfs(path.parent)
            size_bytes = min(DEFAULT_BYTES, int(disk.f_blocks * disk.f_frsize * DEFAULT_PART))
        self.size_bytes = size_bytes if size_bytes >= _LEAST_BYTES else 0

    def free_bytes(self) -> int:
        """How much room the file system has for us."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def held_bytes(self) -> int:
        """How much the file takes up now."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def release(self) -> None:
        """Give the room back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def make(self) -> bool:
        """Take the room up if as much again stays free; returns whether the ballast is complete."""
        missing = self.size_bytes - self.held_bytes()
        if missing <= 0:
            return True
        if self.free_bytes() < missing + self.size_bytes:
            return False
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, self.size_bytes)
            finally:
                os.close(file)
        except OSError:
            self.release()
            return False
        return True
