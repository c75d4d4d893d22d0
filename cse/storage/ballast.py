"""A file that only takes up room, so that there is room for deletions when the disk is full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: enough to bring a full write-ahead log (8 MiB) into the database, and for the log of many deletions
DEFAULT_BYTES = 32 << 20
#: part of the file system that the default takes at most
DEFAULT_PART = 0.25
#: below this a ballast is not worth its file
_LEAST_BYTES = 64 << 10


class Ballast:
    """The ballast of one store.

    Args:
        path: where the file is.
        size_bytes: its size; None for 32 MiB or a quarter of the file system, whichever is less; 0 for none.
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
        """Take up to half of the room there is; returns whether the ballast is complete."""
        held = self.held_bytes()
        wanted = min(self.size_bytes, (held + self.free_bytes()) // 2)
        if wanted > held and wanted >= _LEAST_BYTES:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    os.posix_fallocate(file, 0, wanted)
                finally:
                    os.close(file)
            except OSError:
                self.release()
                return False
        return max(held, wanted) >= self.size_bytes
