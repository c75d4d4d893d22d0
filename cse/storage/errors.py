"""What can go wrong before a store is open."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=://)([^/@]*?):[^/]*@|(?<=password=)[^&]*")


class StoreOpenError(Exception):
    """A store cannot be opened. The message is one line that says why and what to mend."""


class StoreBusy(StoreOpenError):
    """Another process has the store open. The message says which one."""


def without_password(url: str) -> str:
    """The URL of a store as it may be shown."""
    return _PASSWORD.sub(lambda found: f"{found[1]}@" if found[1] is not None else "***", url)
