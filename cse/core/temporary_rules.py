"""Access granted for a while by a dynamic authorization system, and denials remembered (TS-0003 clause 7.3.2).

In memory only: after a restart it is asked again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Rules = Sequence[Mapping[str, Any]]
#: grants, and denials, kept at most; the oldest go first
_MOST_KEPT = 10_000


class TemporaryRules:
    """Rules by the resource they are for and the originator they were asked for."""

    __slots__ = ("_denied", "_granted", "asking")

    def __init__(self) -> None:
        self._granted: OrderedDict[tuple[str, str], list[tuple[float, Rules]]] = OrderedDict()
        self._denied: OrderedDict[tuple[str, str, int], float] = OrderedDict()
        #: consultations under way: resource-ID, originator, privilege
        self.asking: set[tuple[str, str, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._granted)

    def rules(self, ri: str, originator: str, now_s: float) -> Iterator[Mapping[str, Any]]:
        """The accessControlRules that hold now for an originator at a resource."""
        for until_s, rules in self._granted.get((ri, originator), ()):
            if until_s > now_s:
                yield from rules

    def grant(self, ri: str, originator: str, rules: Rules, now_s: float, until_s: float) -> None:
        """Let rules hold from now on, besides those that hold already."""
        key = (ri, originator)
        held = [entry for entry in self._granted.pop(key, ()) if entry[0] > now_s]
        self._granted[key] = [*held, (until_s, rules)]
        while len(self._granted) > _MOST_KEPT:
            self._granted.popitem(last=False)

    def deny(self, key: tuple[str, str, int], until_s: float) -> None:
        """Remember that nothing was granted, so that the same request does not make the CSE ask each time."""
        self._denied.pop(key, None)
        self._denied[key] = until_s
        while len(self._denied) > _MOST_KEPT:
            self._denied.popitem(last=False)

    def is_denied(self, key: tuple[str, str, int], now_s: float) -> bool:
        """Whether asking again is of no use yet."""
        return self._denied.get(key, 0.0) > now_s
