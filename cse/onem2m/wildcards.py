"""Identifiers and texts with ``*`` for any run of characters (TS-0001 clause 9.6.2.1, 8.1.2)."""

from __future__ import annotations

from fnmatch import translate
from functools import lru_cache
from re import Pattern, compile


@lru_cache(maxsize=1024)
def wildcard(pattern: str) -> Pattern[str]:
    """The compiled form of a text in which only ``*`` is special; use its ``fullmatch``."""
    return compile(translate(pattern.replace("[", "[[]").replace("?", "[?]")))
