"""The kinds of devices there are: every module of this package that has a ``KIND``. A new kind is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

import devices
from devices.kind import DeviceKind


@lru_cache(maxsize=1)
def kinds() -> dict[str, DeviceKind]:
    """All kinds by name, in alphabetical order."""
    found: dict[str, DeviceKind] = {}
    for module_info in sorted(pkgutil.iter_modules(devices.__path__), key=lambda module: module.name):
        kind = getattr(importlib.import_module(f"devices.{module_info.name}"), "KIND", None)
        if isinstance(kind, DeviceKind):
            found[kind.name] = kind
    return found


def kind_named(name: str) -> DeviceKind:
    """The kind with a name; ``-`` and ``_`` are the same.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    kind = kinds().get(name.replace("-", "_"))
    if kind is None:
        raise ValueError(f"there is no kind of device {name!r}: choose one of {', '.join(kinds())}")
    return kind
