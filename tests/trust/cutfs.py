"""A file system that forgets what was not synced, as a disk does when the power goes (trust-tests TP-02).

Run as ``python -m tests.trust.cutfs BACK MOUNT``. What is written stays in memory until fsync, which brings it to the
folder BACK: that is the disk. Words written to the file ``MOUNT/.control`` do harm:

- ``cut SEED``: the power goes. Some of the unsynced pages, chosen by the seed, had reached the disk already; the rest
  is gone, and nothing works any more until the next mount.
- ``eio``: from now on nothing more reaches the disk: writes and fsync fail. ``eio write`` and ``eio fsync`` have one of
  them fail. As on Linux, what a failed fsync could not write counts as written from then on. ``well`` ends that.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mfusepy

PAGE = 4096
CONTROL = "/.control"


class _File:
    """What the operating system holds of a file: its content, and the pages the disk does not have yet."""

    def __init__(self, back: Path) -> None:
        self.back = back
        self.content = bytearray(back.read_bytes())
        self.unsynced: set[int] = set()

    def write(self, data: bytes, offset: int) -> None:
        if len(self.content) < offset + len(data):
            self.resize(offset + len(data))
        self.content[offset : offset + len(data)] = data
        self.unsynced.update(range(offset // PAGE, (offset + len(data) + PAGE - 1) // PAGE))

    def resize(self, size: int) -> None:
        if size < len(self.content):
            del self.content[size:]
        else:
            self.content.extend(bytes(size - len(self.content)))
        self.unsynced.add(max(0, size - 1) // PAGE)

    def sync(self) -> None:
        self.persist(self.unsynced)
        os.truncate(self.back, len(self.content))
        self.unsynced = set()

    def persist(self, pages: set[int]) -> None:
        """Bring these pages to the disk."""
        with self.back.open("r+b") as disk:
            for page in pages:
                disk.seek(page * PAGE)
                disk.write(self.content[page * PAGE : (page + 1) * PAGE])


class CutFileSystem(mfusepy.Operations):
    """One flat folder. Creating, renaming and removing files is durable at once, content only after fsync.

    Args:
        back: the folder that stands for the disk.
    """

    use_ns = True

    def __init__(self, back: Path) -> None:
        self._back = back
        self._files: dict[str, _File] = {}
        self._broken = ""
        #: what fails while it is broken by ``eio``
        self._failing: tuple[str, ...] = ()

    # --- harm ---------------------------------------------------------------------------------------------------

    def _order(self, words: list[str]) -> None:
        if words[0] == "cut":
            chance = random.Random(int(words[1]))
            for file in self._files.values():
                file.persist({page for page in sorted(file.unsynced) if chance.random() < 0.5})
        self._broken = "" if words[0] == "well" else words[0]
        self._failing = tuple(words[1:]) or ("write", "fsync")

    def _check(self, changing: str = "") -> None:
        if self._broken == "cut" or (self._broken and changing in self._failing):
            raise mfusepy.FuseOSError(errno.EIO)

    # --- files --------------------------------------------------------------------------------------------------

    def _path(self, path: str) -> Path:
        return self._back / path.lstrip("/")

    def _file(self, path: str) -> _File:
        if path not in self._files:
            if not self._path(path).exists():
                raise mfusepy.FuseOSError(errno.ENOENT)
            self._files[path] = _File(self._path(path))
        return self._files[path]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == CONTROL:
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": 0}
        if path != "/":
            self._check()
        try:
            found = self._path(path).lstat()
        except OSError as error:
            raise mfusepy.FuseOSError(error.errno or errno.EIO) from error
        size = len(self._files[path].content) if path in self._files else found.st_size
        times = {"st_mtime": found.st_mtime_ns, "st_ctime": found.st_ctime_ns, "st_atime": found.st_atime_ns}
        return {"st_mode": found.st_mode, "st_nlink": 1, "st_size": size, "st_ino": found.st_ino, **times}

    def readdir(self, path: str, fh: int) -> list[str]:
        self._check()
        return [".", "..", *os.listdir(self._back)]

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._check("write")
        self._path(path).touch(mode)
        return 0

    def open(self, path: str, flags: int) -> int:
        if path != CONTROL:
            self._check()
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._check()
        return bytes(self._file(path).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == CONTROL:
            self._order(data.decode().split())
        else:
            self._check("write")
            self._file(path).write(data, offset)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if path != CONTROL:
            self._check("write")
            self._file(path).resize(length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        try:
            self._check("fsync")
        except mfusepy.FuseOSError:
            self._file(path).unsynced = set()
            raise
        self._file(path).sync()
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._check("fsync")
        return 0

    def unlink(self, path: str) -> int:
        self._check("write")
        self._files.pop(path, None)
        self._path(path).unlink()
        return 0

    def rename(self, old: str, new: str) -> int:
        self._check("write")
        self._path(old).rename(self._path(new))
        self._files.pop(new, None)
        if old in self._files:
            moved = self._files[new] = self._files.pop(old)
            moved.back = self._path(new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._check("write")
        self._path(path).chmod(mode)
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> Mapping[str, int]:
        found = os.statvfs(self._back)
        names = "f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax"
        return {name: getattr(found, name) for name in names}


def main() -> None:
    """Serve until it is unmounted."""
    back, mount = sys.argv[1:]
    mfusepy.FUSE(CutFileSystem(Path(back)), mount, foreground=True, nothreads=True, fsname="cutfs")


if __name__ == "__main__":
    main()
