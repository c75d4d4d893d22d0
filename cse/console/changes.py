"""Changes of resources for the browsers that show them: who may RETRIEVE a resource hears of it and its children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cse.console.house import House, environment, may_see
from cse.console.live import LiveClient, encode_event
from cse.core.resolution import find, is_own
from cse.onem2m.addressing import parse_address
from cse.onem2m.errors import CseError
from cse.resources.declare import Privilege

#: resources one browser may watch at a time
MOST = 200
_UPDATED, _DELETED = 1, 2


class Changes:
    """What each browser watches.

    Args:
        house: the CSE.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        #: by browser: resource-ID -> ends the watch
        self._watched: dict[int, dict[str, Callable[[], None]]] = {}

    def watch(self, client: LiveClient, wanted: Sequence[str]) -> list[str]:
        """Tell a browser of changes of these resources from now on, and of no others; gives their resource-IDs."""
        known = self._watched.get(client.number)
        if known is None:
            known = self._watched[client.number] = {}
            client.on_gone.append(lambda: self._forget(client.number))
        found = {ri: to for to in wanted[:MOST] if (ri := self._watchable(client, to))}
        for ri in known.keys() - found.keys():
            known.pop(ri)()
        for ri in found.keys() - known.keys():
            known[ri] = self._house.watches.follow(ri, self._teller(client, ri, found[ri]))
        return sorted(found)

    def _watchable(self, client: LiveClient, to: str) -> str:
        house = self._house
        try:
            address = parse_address(to)
            target = find(house.hosting, address.segments, environment()) if is_own(address, house.hosting) else None
        except CseError:
            return ""
        if target is None or target.virtual is not None:
            return ""
        return target.resource.ri if may_see(house, client.person, Privilege.RETRIEVE, target.resource.ri) else ""

    def _teller(self, client: LiveClient, ri: str, to: str) -> Callable[[dict[str, Any]], None]:
        def tell(event: dict[str, Any]) -> None:
            notified = event["nev"]
            change: dict[str, Any] = {"to": to, "ri": ri, "net": notified["net"]}
            if notified["net"] != _DELETED:
                if not may_see(self._house, client.person, Privilege.RETRIEVE, ri):
                    return  # not any more
                change["rep"] = self._shown(client, notified)
            client.put(encode_event("change", change))

        return tell

    def _shown(self, client: LiveClient, notified: dict[str, Any]) -> dict[str, Any]:
        """The representation in an event: of a child with rights of its own only what he may see, else its name."""
        rep: dict[str, Any] = notified["rep"]
        if notified["net"] == _UPDATED:
            return rep
        ((root, attributes),) = rep.items()
        kind = self._house.hosting.registry.types.get(attributes.get("ty"))
        instance = kind is not None and kind.inherits_access
        if instance or may_see(self._house, client.person, Privilege.RETRIEVE, str(attributes.get("ri", ""))):
            return rep
        return {root: {name: attributes[name] for name in ("rn", "ty") if name in attributes}}

    def _forget(self, number: int) -> None:
        for end in self._watched.pop(number, {}).values():
            end()


__all__ = ["MOST", "Changes"]
