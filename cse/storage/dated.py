"""Which dated names may be in the table: those that are certainly not need no look into it (docs/adr/0031)."""

from __future__ import annotations

from collections.abc import Iterable

from cse.dated_names import PREFIX

_BITS = 1 << 24
_MASK = _BITS - 1
#: how many names a generation takes: about 0.5 % of all others are then taken for one of them, and looked for in vain
GENERATION = 1 << 20


class DatedNames:
    """The dated names (``cse.dated_names``) that came up, in two Bloom filters: 4 MiB at most, however many.

    Two generations: when the young one is full it becomes the old one, whose names are forgotten; from then on names up
    to the latest of those may exist. That the names grow with the time makes this a bound that newer ones are beyond.

    Args:
        after: of names up to this nothing is known.
        names: all that there are beyond it.
        generation: how many names a generation takes.
    """

    __slots__ = ("_after", "_count", "_generation", "_latest", "_latest_old", "_old", "_young")

    def __init__(self, after: str, names: Iterable[str] = (), *, generation: int = GENERATION) -> None:
        self._after = self._latest = self._latest_old = after
        self._generation = generation
        self._count = 0
        self._old = self._young = bytearray()  # made when there is a name: most stores never have one
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """A name was given; whatever is no dated name is passed over."""
        if not name.startswith(PREFIX):
            return
        if self._count % self._generation == 0:
            self._turn()
        self._count += 1
        self._latest = max(self._latest, name)
        bits, at = self._young, hash(name)
        for place in (at & _MASK, at >> 20 & _MASK, at >> 40 & _MASK):
            bits[place >> 3] |= 1 << (place & 7)

    def may_exist(self, name: str) -> bool:
        """Whether the table may have this name: False is certain."""
        if not name.startswith(PREFIX) or name <= self._after:
            return True
        at = hash(name)
        first, second, third = at & _MASK, at >> 20 & _MASK, at >> 40 & _MASK
        for bits in (self._young, self._old):
            if (
                bits
                and bits[first >> 3] >> (first & 7) & 1
                and bits[second >> 3] >> (second & 7) & 1
                and bits[third >> 3] >> (third & 7) & 1
            ):
                return True
        return False

    def _turn(self) -> None:
        if self._old:
            self._after = max(self._after, self._latest_old)
        self._latest_old, self._old = self._latest, self._young
        self._young = bytearray(_BITS >> 3)
