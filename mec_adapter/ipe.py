"""MEC services mirrored into the oneM2M tree, as an interworking proxy entity (IPE) does it (TS-0033).

Below the adapter's AE: ``platform`` (and ``platform/peers``), ``services/<serInstanceId>``, ``apps/<appInstanceId>``,
``devices/<deviceId>``, ``events``. Each entity is a container whose labels say what it is, with what the platform says
of it as newest instance; ordinary discovery and subscriptions do the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import orjson

from cse.client import Client, RequestFailed
from cse.onem2m.addressing import is_resource_name
from cse.onem2m.status import Status
from mec_adapter.mapping import CATEGORY_ID, onem2m_of
from mec_adapter.mp1.types import JsonObject
from mec_adapter.profile import identifier

_log = logging.getLogger("mec_adapter.ipe")

_CONTAINER = 3
_JSON = "application/json:0"
_KEPT_INSTANCES = 5
_KEPT_EVENTS = 200
#: containers with one container for each entity
SECTIONS = ("services", "apps", "devices")


@dataclass(frozen=True, slots=True)
class Mirrored:
    """One entity as it stands in the tree: its labels and its content."""

    labels: tuple[str, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be done to the tree: containers to create, labels to change, contents to add, containers to delete."""

    create: dict[str, Mirrored]
    relabel: dict[str, tuple[str, ...]]
    add: dict[str, str]
    remove: tuple[str, ...]


def is_own(info: Mapping[str, Any], cse_id: str) -> bool:
    """Whether a MEC service is one of our own, which must not come back into the tree."""
    told = onem2m_of(info)
    return cse_id in (told.get("cseId"), told.get("csi"))


def is_peer(info: Mapping[str, Any], cse_id: str) -> bool:
    """Whether a MEC service is another CSE: a candidate for Mcc and for handover."""
    category = info.get("serCategory")
    told = onem2m_of(info).get("cseId")
    return isinstance(category, dict) and category.get("id") == CATEGORY_ID and bool(told) and told != cse_id


def name_of(entity_id: str) -> str:
    """The resourceName of an entity's container: its identifier where that can be one."""
    return entity_id if is_resource_name(entity_id) else identifier("mirrored", entity_id)


def labels_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Labels by which applications find a service: ``fu=1&lbl=mec:serName=...``."""
    category = info.get("serCategory")
    pairs = [
        ("serName", info.get("serName")),
        ("cat", category.get("id") if isinstance(category, dict) else None),
        ("state", info.get("state")),
        ("local", {True: "true", False: "false"}.get(info.get("isLocal", None))),
    ]
    return _labels("mec:service", pairs)


def content_of(info: Mapping[str, Any]) -> str:
    """What the platform says of an entity as the content of an instance."""
    return orjson.dumps(info, option=orjson.OPT_SORT_KEYS).decode()


def services_of(services: Sequence[Mapping[str, Any]], cse_id: str) -> dict[str, Mirrored]:
    """What is to be mirrored of all services of the platform, by container name: those that are not our own."""
    return {
        name_of(str(info["serInstanceId"])): Mirrored(labels_of(info), content_of(info))
        for info in services
        if info.get("serInstanceId") and not is_own(info, cse_id)
    }


def apps_of(apps: Mapping[str, Mapping[str, Any]], own: AbstractSet[str]) -> dict[str, Mirrored]:
    """What is to be mirrored of application instances, by container name.

    Args:
        apps: what is known of them, by appInstanceId.
        own: those of our CSE and its AEs, which must not come back into the tree.
    """
    found = {}
    for app_id, info in apps.items():
        state = info.get("instantiatedAppState")
        operational = state.get("operationalState") if isinstance(state, dict) else None
        pairs = [
            ("appName", info.get("appName")),
            ("appProvider", info.get("appProvider")),
            ("state", operational or info.get("instantiationState")),
        ]
        if app_id not in own:
            found[name_of(app_id)] = Mirrored(_labels("mec:app", pairs), content_of(info))
    return found


def devices_of(devices: Sequence[Mapping[str, Any]], own_platform_id: str) -> dict[str, Mirrored]:
    """What is to be mirrored of MEC 033 devices, by container name: those that are not at our own IoT platform."""
    found = {}
    for info in devices:
        platform_id, device_id = info.get("requestedIotPlatformId"), str(info.get("deviceId", ""))
        pairs = [
            ("deviceId", device_id),
            ("platform", platform_id),
            ("enabled", {True: "true", False: "false"}.get(info.get("enabled", None))),
        ]
        if device_id and platform_id != own_platform_id:
            found[name_of(device_id)] = Mirrored(_labels("mec:device", pairs), content_of(info))
    return found


def _labels(kind: str, pairs: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    return (kind, *(f"mec:{key}={value}" for key, value in pairs if value))


def plan(mirrored: Mapping[str, Mirrored], wanted: Mapping[str, Mirrored]) -> Plan:
    """What turns what is mirrored into what is there, both by container name."""
    both = wanted.keys() & mirrored.keys()
    return Plan(
        {name: wanted[name] for name in wanted.keys() - mirrored.keys()},
        {name: wanted[name].labels for name in both if wanted[name].labels != mirrored[name].labels},
        {name: wanted[name].content for name in both if wanted[name].content != mirrored[name].content},
        tuple(sorted(mirrored.keys() - wanted.keys())),
    )


class Ipe:
    """Writes the mirror.

    Args:
        client: speaks to the edge CSE as the adapter's AE.
        ae_name: resourceName of that AE.
        cse_id: CSE-ID of the edge CSE.
    """

    def __init__(self, client: Client, ae_name: str, cse_id: str) -> None:
        self._client = client
        self._root = f"-/{ae_name}"
        self._cse_id = cse_id
        self._mirrored: dict[str, dict[str, Mirrored]] | None = None
        self._shown: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many services are mirrored."""
        return len(self._mirrored["services"]) if self._mirrored is not None else 0

    def forget(self) -> None:
        """The tree may have been lost: read and build it again next time."""
        self._mirrored = None
        self._shown.clear()

    async def mirror(self, section: str, wanted: Mapping[str, Mirrored]) -> None:
        """Make one section of the tree show these entities.

        Args:
            section: one of SECTIONS.
            wanted: by container name.

        Raises:
            RequestFailed: the CSE refused; what was done stays, the next call goes on.
            Unreachable: nobody answered.
        """
        try:
            mirrored = (await self._tree())[section]
            todo = plan(mirrored, wanted)
            for name in todo.remove:
                await self._delete(f"{self._root}/{section}/{name}")
                del mirrored[name]
            for name, entry in todo.create.items():
                await self._container(f"{self._root}/{section}", name, entry.labels, _KEPT_INSTANCES)
                mirrored[name] = Mirrored(entry.labels, "")
                await self._add(f"{section}/{name}", entry.content)
                mirrored[name] = entry
            for name, labels in todo.relabel.items():
                await self._client.update(f"{self._root}/{section}/{name}", _CONTAINER, {"lbl": list(labels)}, rcn=0)
                mirrored[name] = Mirrored(labels, mirrored[name].content)
            for name, content in todo.add.items():
                await self._add(f"{section}/{name}", content)
                mirrored[name] = Mirrored(mirrored[name].labels, content)
        except RequestFailed as error:
            if error.status is Status.NOT_FOUND:
                self.forget()
            raise

    async def peers(self, services: Sequence[Mapping[str, Any]]) -> None:
        """Show which other CSEs there are: candidates for Mcc and for handover.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await self._tree()
        await self._show("platform/peers", [_peer(info) for info in services if is_peer(info, self._cse_id)])

    async def platform(self, description: JsonObject) -> None:
        """Show what is known of the platform, when that has changed.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await self._tree()
        await self._show("platform", description)

    async def event(self, notification: JsonObject, app_id: str = "") -> None:
        """Keep a MEC notification as it came.

        Args:
            notification: its body.
            app_id: the application instance it was for, told by a label (``mec:app=<appInstanceId>``).

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await self._tree()
        labels = [f"mec:event={notification.get('notificationType', '')}"]
        if app_id:
            labels.append(f"mec:app={app_id}")
        await self._add("events", orjson.dumps(notification).decode(), lbl=labels)

    # --- the tree --------------------------------------------------------------------------------------------

    async def _tree(self) -> dict[str, dict[str, Mirrored]]:
        """What is mirrored; the fixed containers are there afterwards."""
        if self._mirrored is None:
            for name in ("platform", *SECTIONS):
                await self._container(self._root, name, (), _KEPT_INSTANCES)
            await self._container(self._root, "events", (), _KEPT_EVENTS)
            await self._container(f"{self._root}/platform", "peers", ("mec:peers",), _KEPT_INSTANCES)
            self._mirrored = {section: await self._read(section) for section in SECTIONS}
        return self._mirrored

    async def _read(self, section: str) -> dict[str, Mirrored]:
        """What an earlier run left; its contents count as unknown, so each gets a fresh instance."""
        shown = await self._client.retrieve(f"{self._root}/{section}", rcn=8, filter={"ty": [_CONTAINER], "lvl": 1})
        listed = shown.get("m2m:cnt") or []
        return {
            str(entry.get("rn")): Mirrored(tuple(entry.get("lbl") or ()), "")
            for entry in listed
            if isinstance(entry, Mapping)
        }

    async def _container(self, parent: str, name: str, labels: Sequence[str], kept: int) -> None:
        attributes: dict[str, Any] = {"rn": name, "mni": kept}
        if labels:
            attributes["lbl"] = list(labels)
        try:
            await self._client.create(parent, _CONTAINER, attributes, rcn=0)
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise

    async def _show(self, place: str, value: Any) -> None:
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        if self._shown.get(place) != content:
            await self._add(place, content)
            self._shown[place] = content

    async def _add(self, place: str, content: str, **attributes: Any) -> None:
        await self._client.post(f"{self._root}/{place}", content, cnf=_JSON, rcn=0, **attributes)

    async def _delete(self, to: str) -> None:
        try:
            await self._client.delete(to)
        except RequestFailed as error:
            if error.status is not Status.NOT_FOUND:
                raise


def _peer(info: Mapping[str, Any]) -> JsonObject:
    told = onem2m_of(info)
    return {
        "serInstanceId": info.get("serInstanceId"),
        "cseId": told.get("cseId"),
        "poa": told.get("poa", []),
        "state": info.get("state"),
    }
