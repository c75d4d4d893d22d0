"""Reading all instances below a parent page by page (TS-0001 clause 10.2.6; TS-0004 clause 6.3.5.8).

With offsets alone, instances that are removed meanwhile (maxNrOfInstances) move the others, and some are missed; and
the hosting CSE walks over all that was read before, page after page. So each page begins where the last one ended: at
a stateTag, or at a creationTime where instances have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: what grows from instance to instance, and the condition that asks from there on
_GROWING = (("st", "stb"), ("ct", "cra"))


class InstancePages:
    """Says what to ask for next, and which instances of an answer are new. Nothing is sent here.

    Args:
        number: resource type of the instances.
        conditions: more filter criteria by short names, e.g. ``cra`` and ``crb``.
        size: most instances in a page.

    Attributes:
        done: whether all pages were taken.
    """

    def __init__(self, number: int, conditions: Mapping[str, Any], size: int = 500) -> None:
        self._fixed = {**conditions, "ty": [number], "lvl": 1, "lim": size}
        self._size = size
        self._begin: dict[str, Any] = {}
        self._offset = 1
        #: instances that may come again, by name
        self._seen: dict[str, Mapping[str, Any]] = {}
        self.done = False

    @property
    def criteria(self) -> dict[str, Any]:
        """The filter criteria of the next RETRIEVE, which has result content 8."""
        further = {"ofst": self._offset} if self._offset > 1 else {}
        return {**self._fixed, **self._begin, **further}

    def take(self, page: Sequence[Mapping[str, Any]], *, partial: bool) -> list[Mapping[str, Any]]:
        """The instances of an answer that did not come before.

        Args:
            page: what came, in the order of creation.
            partial: whether the answer said of itself that there are more (contentStatus 1).
        """
        new = [instance for instance in page if instance["rn"] not in self._seen]
        self._seen.update((instance["rn"], instance) for instance in new)
        if not page or not (partial or len(page) >= self._size):
            self.done = True
        elif not (new and self._goes_on_from(page)):
            # All alike, or against the order (a clock was put back): go on by number from the place before.
            self._offset += len(page)
        return new

    def _goes_on_from(self, page: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the next page can begin at what the last instances of this one have."""
        for name, condition in _GROWING:
            values: list[Any] = [instance.get(name) for instance in page]
            if None in values or values != sorted(values):
                continue
            # One step back, because CSEs differ in whether they include the bound.
            bound = next((value for value in reversed(values) if value != values[-1]), None)
            before = self._begin.get(condition)
            if bound is None or (before is not None and bound <= before):
                continue
            self._begin, self._offset = {condition: bound}, 1
            self._seen = {rn: instance for rn, instance in self._seen.items() if instance[name] >= bound}
            return True
        return False


def instances_in(content: Any, number: int) -> list[Mapping[str, Any]]:
    """The instances in the answer to a RETRIEVE with result content 8, in order.

    Args:
        content: of the response.
        number: resource type of the instances.
    """
    inner = next(iter(content.values())) if isinstance(content, Mapping) and len(content) == 1 else content
    if not isinstance(inner, Mapping):
        return []
    lists = (value for value in inner.values() if isinstance(value, list))
    return [one for found in lists for one in found if isinstance(one, Mapping) and one.get("ty") == number]
