"""Storage engines behind ``cse.ports.Store``: one engine per file (architecture clause 4).

``open_store`` gives the engine that an URL names; nobody outside this package needs the classes.
"""

from __future__ import annotations

from pathlib import Path

from cse.ports import Engine
from cse.storage.errors import StoreOpenError, without_password
from cse.storage.memory import MemoryStore

__all__ = ["StoreOpenError", "open_store", "without_password"]

_FORMS = '"memory", "sqlite:///relative/path.db", "sqlite:////absolute/path.db" or "postgresql://user@host/database"'
_SQLITE = "sqlite:///"


def open_store(url: str) -> Engine:
    """Open the store that ``url`` names; it is loaded and ready when this returns.

    Args:
        url: ``memory``, ``sqlite:///`` and a path relative to the working directory, or ``sqlite:////`` and the rest
            of an absolute path; or ``postgresql://user:password@host:port/database``.

    Raises:
        StoreOpenError: the URL has another form, or the store cannot be opened. The message is one line and says what
            to mend.
    """
    if url in ("memory", "memory:", "memory://"):
        return MemoryStore()
    if url.startswith(("postgresql://", "postgres://")):
        return _open_postgresql(url)
    if not url.startswith(_SQLITE) or url == _SQLITE:
        raise StoreOpenError(f"storage {url!r} is not understood: give {_FORMS}")
    from cse.storage.sqlite import SqliteStore  # what only this engine needs takes 0.2 s to import

    return SqliteStore(Path(url.removeprefix(_SQLITE)))


def _open_postgresql(url: str) -> Engine:
    try:
        from cse.storage.postgresql import PostgresStore  # an optional extra
    except ImportError as error:
        raise StoreOpenError(
            f"storage on PostgreSQL needs psycopg ({error}): pip install 'onemec[postgresql]'"
        ) from error
    return PostgresStore(url)
