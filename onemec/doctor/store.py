"""The store: can it be opened, is there room, and does its disk keep what it promises?"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from onemec.doctor.findings import Finding, ok, problem, skipped, warning

_SQLITE = "sqlite:///"
_LITTLE_BYTES, _ENOUGH_BYTES = 64 << 20, 512 << 20
#: file systems that forget, or that do not hold what fsync and locks promise
_FORGETS = {"tmpfs": "is memory", "ramfs": "is memory", "overlay": "is a layer of a container and goes with it"}
_LIES = {"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "fuse.sshfs", "fuse.glusterfs", "drvfs"}


def look_at_store(url: str) -> Iterator[Finding]:
    """All of it.

    Args:
        url: of the store, as ``--store`` has it.
    """
    if url.startswith("memory"):
        yield warning(
            "store",
            "resources are in memory: a restart forgets them",
            "for data that shall stay: --store sqlite:///cse.db",
        )
    elif url.startswith("postgres"):
        yield _postgresql(url)
    elif not url.startswith(_SQLITE) or url == _SQLITE:
        yield problem(
            "store", f"{url!r} is not understood", "give memory, sqlite:///file.db or postgresql://user@host/database"
        )
    else:
        yield from _sqlite(Path(url.removeprefix(_SQLITE)).absolute())


def _sqlite(path: Path) -> Iterator[Finding]:
    folder = path.parent
    if not folder.is_dir():
        yield problem("store", f"there is no folder {folder}", f"mkdir -p {folder}, or give another --store")
        return
    if path.is_dir():
        yield problem("store", f"{path} is a folder", f"give a file in it: --store sqlite:///{path / 'cse.db'}")
        return
    yield _writable(path)
    yield _room(folder)
    yield file_system(folder)
    if path.exists():
        yield _in_use(path)
        yield _schema(path)
    else:
        yield skipped("store schema", f"{path} is made at the first start")


def _writable(path: Path) -> Finding:
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            user = os.environ.get("USER") or f"uid {os.geteuid()}"
            return problem(
                "store", f"{place} cannot be written by {user}", f"chown {os.geteuid()} {place}, or chmod u+w {place}"
            )
    if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        return problem("store", f"the disk of {path.parent} is read-only", "mount it rw, or give another --store")
    return ok("store", f"{path} can be written")


def _room(folder: Path) -> Finding:
    disk = os.statvfs(folder)
    free_bytes = disk.f_bavail * disk.f_frsize
    words = f"{free_bytes / (1 << 20):,.0f} MiB are free at {folder}"
    if free_bytes < _LITTLE_BYTES:
        return problem("store space", words, "make room: the CSE goes read-only when the disk is full")
    if free_bytes < _ENOUGH_BYTES:
        return warning("store space", words, "make room, or limit containers with mni, mbs or mia")
    return ok("store space", words)


def file_system(folder: Path, mounts: str = "/proc/self/mounts") -> Finding:
    """What kind of disk holds a folder.

    Args:
        folder: to look at.
        mounts: the table of mounted file systems.
    """
    check = "store disk"
    try:
        lines = Path(mounts).read_text("utf-8").splitlines()
    except OSError:
        return skipped(check, "this system does not say what kind of disk it is")
    best, kind = "", ""
    real = folder.resolve()
    for line in lines:
        _, point, name, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if real.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    if kind in _FORGETS:
        return warning(
            check, f"{folder} ({kind}) {_FORGETS[kind]}", "put the store on a disk, in a container on a mounted volume"
        )
    if kind in _LIES:
        return warning(
            check,
            f"{folder} is on {kind}, where locks and acknowledged writes can be lost",
            "put the store on a local disk, or use PostgreSQL",
        )
    return ok(check, f"{folder} is on {kind or 'an unknown file system'}")


def _in_use(path: Path) -> Finding:
    check, lock = "store lock", path.with_name(path.name + "-lock")
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ok(check, "no process uses the store")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(file, 32).decode("ascii", "replace").strip() or "unknown"
        return skipped(check, f"in use by process {owner}: a second CSE on it would not start")
    finally:
        os.close(file)
    return ok(check, "no process uses the store")


def _schema(path: Path) -> Finding:
    from cse.storage import statements as sql

    check = "store schema"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != sql.APPLICATION_ID:
                return problem(check, f"{path} is a database of another program", "give another --store")
            version = int(dict(connection.execute(sql.GET_META).fetchall()).get("schema_version", "0"))
        finally:
            connection.close()
    except sqlite3.Error as error:
        return problem(check, f"{path} cannot be read: {error}", "put a backup in its place, or give another --store")
    words = f"schema {version}, this release has {sql.SCHEMA_VERSION}"
    if version > sql.SCHEMA_VERSION:
        return problem(check, f"{words}: written by a later release", "run that release, or give another --store")
    if version < sql.SCHEMA_VERSION:
        return warning(check, f"{words}: it is brought up to date at the next start", "make a backup before")
    return ok(check, words)


def _postgresql(url: str) -> Finding:
    from cse.storage import without_password

    where = without_password(url)
    try:
        import psycopg
    except ImportError:
        return problem("store", f"{where} needs psycopg", "pip install 'onemec[postgresql]'")
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        words = " ".join(str(error).split())
        return problem(
            "store", f"{where} cannot be used: {words}", "start the database, or mend user, password and host"
        )
    return ok("store", f"{where} answers (PostgreSQL {version // 10000})")
