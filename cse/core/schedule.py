"""Schedules, for the procedures of the core: see ``cse.onem2m.schedules``."""

from __future__ import annotations

from cse.onem2m.schedules import covers, next_covered

__all__ = ["covers", "next_covered"]
