"""What a check found: in words, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: nothing to look at: not configured, not running
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, e.g. ``port http``.
        level: how bad it is.
        words: what was found.
        advice: what to do; "" where nothing needs to be done.
    """

    check: str
    level: Level
    words: str
    advice: str = ""


def ok(check: str, words: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, words)


def skipped(check: str, words: str) -> Finding:
    """There is nothing to look at."""
    return Finding(check, Level.SKIPPED, words)


def warning(check: str, words: str, advice: str) -> Finding:
    """It works, but somebody will be surprised."""
    return Finding(check, Level.WARNING, words, advice)


def problem(check: str, words: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, Level.PROBLEM, words, advice)
