"""The CSE and its neighbours as one document: the map, the MEC registry, the cloud sync, moves of AEs (ADR 0028).

Looked at while somebody watches; told whole as ``GET /console/api/stack``, and what changed as the event ``stack``. Who
is no administrator is told of the AEs, containers and moves that he may see in the resource tree.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cse.console.house import House, may_see
from cse.console.live import Live
from cse.console.moves import Moves
from cse.console.peers import Peers, Word
from cse.console.people import Role
from cse.console.routes import Call
from cse.core.numbers import AE, REMOTE_CSE, SUBSCRIPTION
from cse.ports import Resource
from cse.resources.declare import Privilege

#: pause between two looks, in seconds
EVERY_S = 1.0
#: AEs that are told at most; their number is told always
_AES = 1000
#: samples of the cloud sync that are kept: half an hour of watching
_SAMPLES = 1800
#: subscriptions that are looked at, and told of one AE
_SUBSCRIPTIONS, _SUBSCRIPTIONS_OF_ONE = 5000, 60
_LABELS, _TEXT = 12, 200
#: parts of the document that say nothing by themselves
_ALWAYS_NEW = frozenset({"number", "at"})
_SYNC_FIGURES = ("pending", "oldest_pending_s", "forwarded", "outbox_bytes", "dropped", "refused")
#: lists of the registry, and the members of their objects
_PLATFORM_LISTS: Mapping[str, tuple[str, ...]] = {
    "services": (
        *("id", "name", "category", "state", "version", "transport", "protocol", "endpoint", "serializer"),
        *("livenessInterval", "appInstanceId"),
    ),
    "apps": ("id", "name", "provider", "state"),
    "subscriptions": ("api", "appInstanceId", "type", "href"),
}


class Stack:
    """Looks at the stack.

    Args:
        house: the CSE.
        live: who is to be told.
        addresses: of the neighbours, by name.
        every_s: pause between two looks, in seconds.
    """

    def __init__(self, house: House, live: Live, addresses: Mapping[str, str], every_s: float = EVERY_S) -> None:
        self._house, self._live, self._every_s = house, live, every_s
        self._peers = Peers(addresses)
        self._moves = Moves(house.engine)
        self._looking = asyncio.Lock()
        self._looked_at_s = -every_s
        self._last: dict[str, Any] = {}
        self._number = 0
        self._samples: deque[tuple[float, int, float, int, str]] = deque(maxlen=_SAMPLES)
        self._watching: asyncio.Task[None] | None = None

    # --- watching -------------------------------------------------------------------------------------------------

    def someone(self, here: bool) -> None:
        """Somebody begins to watch, or nobody watches any more."""
        if here and self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch(), name="console stack")
        elif not here:
            self.close()

    def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self) -> None:
        try:
            told: Mapping[str, Any] = {}
            while True:
                shown = await self._look()
                news = {name: part for name, part in shown.items() if told.get(name) != part}
                self._live.publish("stack", news, lambda person: person.role is Role.ADMIN)
                if news.keys() - _ALWAYS_NEW:
                    # What one may see depends on who one is: others ask.
                    self._live.publish("stack", {"ask": True}, lambda person: person.role is not Role.ADMIN)
                told = shown
                await asyncio.sleep(self._every_s)
        finally:
            await self._peers.close()

    async def show(self, call: Call) -> dict[str, Any]:
        """The document for somebody, with the samples of the cloud sync so far."""
        shown = await self._look()
        if self._watching is None:
            await self._peers.close()
        person = call.person
        if person.role is not Role.ADMIN:
            shown = narrowed(shown, lambda path: may_see(self._house, person, Privilege.RETRIEVE, path))
        return {**shown, "history": list(self._samples)}

    # --- looking --------------------------------------------------------------------------------------------------

    async def _look(self) -> dict[str, Any]:
        async with self._looking:
            if time.monotonic() - self._looked_at_s >= self._every_s / 2:
                words = await self._peers.ask()
                self._looked_at_s = time.monotonic()
                self._last = self._document(words)
                self._sample(self._last)
            return self._last

    def _document(self, words: Mapping[str, Word]) -> dict[str, Any]:
        self._number += 1
        aes, subscribed = self._house.engine.of_type(AE), self._subscribed()
        adapter, cloud = words["adapter"], words["cloud"]
        status = adapter.said.get("/status", {})
        return {
            "number": self._number,
            "at": round(time.time(), 3),
            "cse": self._cse(),
            "aeCount": len(aes),
            "aes": [_ae(one, subscribed.get(str(one.attributes.get("aei")), [])) for one in aes[:_AES]],
            "adapter": {
                **_word(adapter, self._peers.address("adapter")),
                **{name: str(status.get(name, "")) for name in ("cse", "mp1", "app_instance_id", "profile")},
                "mirrored": _number(status.get("mirrored")),
                "mp1Trouble": str(status.get("trouble", "")),
                "services": _objects(status.get("services"), ("name", "id", "state")),
            },
            "exposed": _objects(status.get("exposed"), ("ae", "app_instance_id", "phase", "state", "trouble")),
            "mp1Sent": _number(adapter.said.get("/platform", {}).get("changesSent")),
            "platform": _platform(adapter.said.get("/platform", {})),
            "sync": _sync(status.get("sync")),
            "cloud": {**_word(cloud, self._peers.address("cloud")), "id": self._house.config.registrar_id},
            "moves": self._moves.read(),
        }

    def _subscribed(self) -> dict[str, list[str]]:
        """The subscriptions that entities made, by the entity: some of them, for who has very many."""
        found: dict[str, list[str]] = {}
        for one in self._house.engine.of_type(SUBSCRIPTION)[:_SUBSCRIPTIONS]:
            made = found.setdefault(str(one.internal.get("creator", "")), [])
            if len(made) < _SUBSCRIPTIONS_OF_ONE:
                made.append(one.ri)
        return found

    def _cse(self) -> dict[str, Any]:
        config = self._house.config
        bindings = {
            "http": bool(config.http),
            "ws": bool(config.http and config.ws),
            "mqtt": bool(config.mqtt),
            "coap": bool(config.coap or config.coaps),
        }
        others = [str(one.attributes.get("csi", "")) for one in self._house.engine.of_type(REMOTE_CSE)]
        return {
            "id": config.id,
            "name": config.name,
            "type": str(config.type),
            "bindings": [name for name, on in bindings.items() if on],
            "registrar": config.registrar_id if config.registrar else "",
            "registered": bool(config.registrar) and config.registrar_id in others,
            "others": [one for one in others if one != config.registrar_id or not config.registrar],
        }

    def _sample(self, shown: Mapping[str, Any]) -> None:
        sync = shown["sync"]
        if sync:
            self._samples.append(
                (shown["at"], sync["pending"], round(sync["oldest_pending_s"], 2), sync["forwarded"], sync["cloud"])
            )


def narrowed(shown: Mapping[str, Any], sees: Callable[[str], bool]) -> dict[str, Any]:
    """A document without what somebody may not see.

    Args:
        shown: all of it.
        sees: whether he may see a resource, by its address.
    """
    aes = [one for one in shown["aes"] if sees(one["path"])]
    known = {one["path"] for one in aes}
    exposed = [one for one in shown["exposed"] if one.get("ae") in known]
    hidden = {one.get("app_instance_id") for one in shown["exposed"]} - {one.get("app_instance_id") for one in exposed}
    platform, sync = dict(shown["platform"]), dict(shown["sync"])
    if platform:
        platform |= {"apiRoot": "", "trouble": "it does not answer" if platform.get("trouble") else ""}
        platform["services"] = [one for one in platform.get("services", []) if one.get("appInstanceId") not in hidden]
        platform["apps"] = [one for one in platform.get("apps", []) if one.get("id") not in hidden]
    if sync:
        sync["containers"] = [one for one in sync.get("containers", []) if sees(str(one.get("path", "")))]
    moves = [one for one in shown["moves"] if sees(one.get("aeId", ""))]
    return {
        **shown,
        "adapter": {**shown["adapter"], "address": ""},
        "cloud": {**shown["cloud"], "address": ""},
        "aes": aes,
        "aeCount": len(aes),
        "exposed": exposed,
        "platform": platform,
        "sync": sync,
        "moves": moves,
    }


def _word(word: Word, address: str) -> dict[str, Any]:
    return {"state": word.state, "trouble": word.trouble, "address": address}


def _sync(told: Any) -> dict[str, Any]:
    """The cloud sync as the adapter tells it, of the types that the page needs; {} when it tells nothing."""
    if not isinstance(told, Mapping):
        return {}
    containers = told.get("containers")
    found: dict[str, Any] = {name: _number(told.get(name)) for name in _SYNC_FIGURES}
    found |= {"cloud": str(told.get("cloud", "")), "trouble": str(told.get("trouble", ""))}
    found |= {"paused": told.get("paused") is True, "oldest_pending_s": float(found["oldest_pending_s"])}
    found["containers"] = [
        {name: str(one.get(name, "")) for name in ("path", "trouble")}
        | {name: _number(one.get(name)) for name in ("pending", "oldest_pending_s", "forwarded")}
        for one in (containers if isinstance(containers, list) else [])
        if isinstance(one, Mapping)
    ]
    return found


def _platform(told: Mapping[str, Any]) -> dict[str, Any]:
    """The registry of the MEC platform as the adapter tells it; {} without one."""
    if not told:
        return {}
    found: dict[str, Any] = {name: str(told.get(name, "")) for name in ("apiRoot", "trouble")}
    found |= {name: _number(told.get(name)) for name in ("serviceCount", "appCount")}
    for name, members in _PLATFORM_LISTS.items():
        if isinstance(told.get(name), list):
            found[name] = _objects(told[name], members)
    return found


def _objects(told: Any, members: Sequence[str]) -> list[dict[str, str]]:
    """Objects whose members are texts; what is none is left out."""
    return [
        {name: "" if one.get(name) is None else str(one[name]) for name in members}
        for one in (told if isinstance(told, list) else [])
        if isinstance(one, Mapping)
    ]


def _number(value: Any) -> int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _ae(ae: Resource, subscriptions: list[str]) -> dict[str, Any]:
    attributes = ae.attributes
    labels = [str(one)[:_TEXT] for one in attributes.get("lbl") or ()][:_LABELS]
    kind = next((one.removeprefix("kind:") for one in labels if one.startswith("kind:")), "")
    return {
        "path": ae.path,
        "name": ae.rn,
        "aei": str(attributes.get("aei", "")),
        "api": str(attributes.get("api", "")),
        "role": "device" if "onemec:device" in labels or kind else "adapter" if "mec:adapter" in labels else "app",
        "kind": kind,
        "labels": labels,
        "subscriptions": subscriptions,
        "poa": _schemes(attributes.get("poa") or ()),
        "rr": attributes.get("rr"),
        "since": str(attributes.get("ct", "")),
    }


def _schemes(poa: Sequence[Any]) -> list[str]:
    """The schemes of points of access: where an AE listens is nobody's business here."""
    return sorted({urlsplit(str(one)).scheme for one in poa} - {""})


__all__ = ["EVERY_S", "Stack", "narrowed"]
