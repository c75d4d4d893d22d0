"""Moves of AEs between edge CSEs, as the journal of ``onemec handover`` in this CSE's own tree tells them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson

from cse.core.numbers import CSE_BASE
from cse.ports import Engine

#: resourceName of the journal's container, below the CSEBase
JOURNAL = "handovers"
#: steps that are looked at, and moves that are shown: the newest
_STEPS, _MOVES = 600, 100
_TEXTS = ("move", "aeId", "from", "to", "phase", "trouble")
_NUMBERS = ("attach_s", "copied", "late", "undelivered")


class Moves:
    """Reads the journal again when it has changed.

    Args:
        engine: the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen = ""
        self._moves: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """The newest moves, newest first, each with its steps in their order."""
        base = self._engine.of_type(CSE_BASE)
        journal = self._engine.child(base[0].ri, JOURNAL) if base else None
        newest = self._engine.newest(journal.ri) if journal is not None else None
        if journal is None or newest is None:
            self._seen, self._moves = "", []
        elif newest.ri != self._seen:
            steps = islice(self._engine.instances(journal.ri, newest_first=True), _STEPS)
            self._moves = moves_of([one.attributes.get("con") for one in steps])
            self._seen = newest.ri
        return self._moves


def moves_of(contents: list[Any]) -> list[dict[str, Any]]:
    """The moves that some steps belong to.

    Args:
        contents: of the journal's instances, newest first; what is no step is left out.
    """
    moves: dict[str, dict[str, Any]] = {}
    for content in contents:
        step = _step(content)
        if step is None:
            continue
        if step["move"] not in moves:
            if len(moves) == _MOVES:
                break
            # The newest step knows most.
            moves[step["move"]] = {name: step[name] for name in (*_TEXTS, *_NUMBERS) if name in step} | {"steps": []}
        moves[step["move"]]["steps"].insert(0, {"phase": step["phase"], "at": step["at"]})
    return list(moves.values())


def _step(content: Any) -> dict[str, Any] | None:
    try:
        step = orjson.loads(content) if isinstance(content, str) else content
    except orjson.JSONDecodeError:
        return None
    if not isinstance(step, Mapping) or not step.get("move"):
        return None
    texts = {name: str(step[name])[:200] for name in _TEXTS if name in step}
    numbers = {name: step[name] for name in (*_NUMBERS, "at") if isinstance(step.get(name), int | float)}
    return {**texts, **numbers} if "phase" in texts and "at" in numbers else None


__all__ = ["JOURNAL", "Moves", "moves_of"]
