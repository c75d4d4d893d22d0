"""What can go wrong before a store is open."""

from __future__ import annotations


class StoreOpenError(Exception):
    """A store cannot be opened. The message is one line that says why and what to mend."""


class StoreBusy(StoreOpenError):
    """Another process has the store open. The message says which one."""
