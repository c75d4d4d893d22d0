"""The cloud side of the cloud sync: the IN-CSE's tree for one edge CSE, and instances created in it exactly once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from mec_adapter.outbox import Item

APP_ID = "Norg.onemec.cloud-sync"
#: labels that tell where a copy comes from
ORIGIN, ORIGIN_TIME = "origin:", "origin-ct:"
_CONTAINER, _INSTANCE = 3, 4
#: a stateTag beyond all others
_UNKNOWN = 1 << 62
#: attributes of an instance that any CSE accepts in a CREATE
_KEPT = ("cnf", "or")
#: the copy's parent, or the right to create there, is missing: the tree is built again
_TREE_LOST = frozenset(
    {
        Status.NOT_FOUND,
        Status.ORIGINATOR_HAS_NO_PRIVILEGE,
        Status.ORIGINATOR_HAS_NOT_REGISTERED,
        Status.SECURITY_ASSOCIATION_REQUIRED,
    }
)
#: the instance itself is not acceptable, and never will be
_HOPELESS = frozenset(
    {
        Status.BAD_REQUEST,
        Status.CONTENTS_UNACCEPTABLE,
        Status.NOT_ACCEPTABLE,
        Status.OPERATION_NOT_ALLOWED,
        Status.UNSUPPORTED_MEDIA_TYPE,
        Status.INVALID_CHILD_RESOURCE_TYPE,
    }
)


class TargetTrouble(Exception):
    """The cloud answered, but not with success; worth another try later."""


class TreeLost(TargetTrouble):
    """The cloud does not have the place for the instance (any more)."""


class Hopeless(Exception):
    """The cloud will never take this instance."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One level of the copied structure: its name, its address at the edge, its own labels."""

    name: str
    origin: str
    labels: tuple[str, ...] = ()


def item_of(edge_cse_id: str, container_ri: str, path: str, instance: Mapping[str, Any]) -> Item | None:
    """An instance of the edge as it goes to the cloud; None when it has no stateTag to order it by.

    Its name at the cloud follows from where it comes from and what it holds, so that a second CREATE of the same
    instance meets 4105 (CONFLICT) and nothing else can (docs/adr/0008).

    Args:
        edge_cse_id: CSE-ID of the edge.
        container_ri: resource-ID of its container.
        path: structured address of the container.
        instance: attributes.
    """
    tag = instance.get("st")
    if not isinstance(tag, int) or isinstance(tag, bool):
        return None
    ri, created = str(instance.get("ri", "")), str(instance.get("ct", ""))
    content = instance.get("con")
    identity = orjson.dumps(
        [edge_cse_id, container_ri, ri, created, instance.get("cnf"), content], option=orjson.OPT_SORT_KEYS
    )
    name = f"{tag}-{hashlib.sha256(identity).hexdigest()[:20]}"
    labels = [label for label in instance.get("lbl") or () if isinstance(label, str)]
    attributes: dict[str, Any] = {"rn": name, "con": content}
    attributes.update({key: instance[key] for key in _KEPT if instance.get(key) is not None})
    attributes["lbl"] = [*labels, f"{ORIGIN}{edge_cse_id}/{path}/{instance.get('rn', ri)}", ORIGIN_TIME + created]
    return Item(tag, name, orjson.dumps(attributes), time.time())


class CloudTarget:
    """Creates the copies.

    Args:
        client: speaks to the IN-CSE as the sync's AE.
        ae_name: resourceName of that AE.
        edge_cse_id: CSE-ID of the edge; its name is the level below the AE.
    """

    def __init__(self, client: Client, ae_name: str, edge_cse_id: str) -> None:
        self._client = client
        self._ae_name = ae_name
        self._edge_cse_id = edge_cse_id
        self._edge_stem = edge_cse_id.strip("/").replace("/", "-")
        self._registered = False
        self._ready: set[str] = set()
        self._building = asyncio.Lock()

    def address(self, path: str) -> str:
        """Where the copy of a container is.

        Args:
            path: structured address at the edge, the CSEBase's name first.
        """
        return f"-/{self._ae_name}/{self._edge_stem}/{path.partition('/')[2]}"

    async def create(self, path: str, item: Item) -> bool:
        """Create one instance; returns whether it was new (False: an earlier attempt had reached the cloud).

        Raises:
            Unreachable: nobody answered.
            TreeLost: its container is not there.
            Hopeless: the cloud refuses this instance.
            TargetTrouble: any other refusal.
        """
        return _is_new(await self._client.request(self._creation(path, item)))

    async def create_several(
        self, path: str, items: Sequence[Item]
    ) -> list[bool | Unreachable | TargetTrouble | Hopeless]:
        """Create instances of one container in order, without waiting for each answer.

        Returns:
            What ``create`` would give or raise, for each that was sent.
        """
        requests = [self._creation(path, item) for item in items]
        outcomes: list[bool | Unreachable | TargetTrouble | Hopeless] = []
        for response in await self._client.request_several(requests):
            try:
                outcomes.append(response if isinstance(response, Unreachable) else _is_new(response))
            except (TargetTrouble, Hopeless) as error:
                outcomes.append(error)
        return outcomes

    def _creation(self, path: str, item: Item) -> Request:
        return Request(
            Operation.CREATE,
            self.address(path),
            resource_type=_INSTANCE,
            content={"m2m:cin": orjson.loads(item.body)},
            result_content=0,
        )

    @property
    def takes_several(self) -> bool:
        """Whether ``create_several`` sends them together."""
        return self._client.takes_several

    async def newest(self, path: str) -> int:
        """StateTag at the edge of the copy that was created last; a high one when it cannot be told.

        Raises:
            Unreachable: nobody answered.
        """
        try:
            latest = await self._client.latest(self.address(path))
        except RequestFailed:
            return _UNKNOWN
        tag = str(latest.get("rn", "")).partition("-")[0]
        return int(tag) if tag.isdecimal() else _UNKNOWN

    async def remove(self, path: str, item: Item) -> bool:
        """Delete a copy; returns whether it is not there any more.

        Raises:
            Unreachable: nobody answered.
        """
        try:
            await self._client.delete(f"{self.address(path)}/{item.name}")
        except RequestFailed as error:
            return error.status is Status.NOT_FOUND
        return True

    def forget(self, path: str) -> None:
        """The place of a container has to be looked for again, with all above it."""
        self._registered = False
        self._ready.discard(self.address(path))

    async def build(self, path: str, ancestors: tuple[Ancestor, ...]) -> None:
        """Make sure that the copy of a container exists, with all above it.

        Args:
            path: structured address at the edge.
            ancestors: from the level below the edge's CSEBase to the container itself.

        Raises:
            Unreachable: nobody answered.
            TargetTrouble: the IN-CSE refuses.
        """
        if self.address(path) in self._ready:
            return
        async with self._building:
            if self.address(path) in self._ready:
                return
            try:
                if not self._registered:
                    await self._client.register(APP_ID, self._ae_name, labels=[f"{ORIGIN}{self._edge_cse_id}"])
                    self._registered = True
                parent = f"-/{self._ae_name}"
                for level in (Ancestor(self._edge_stem, self._edge_cse_id), *ancestors):
                    await self._container(parent, level)
                    parent = f"{parent}/{level.name}"
            except RequestFailed as error:
                raise TargetTrouble(str(error)) from error
            self._ready.add(self.address(path))

    async def _container(self, parent: str, level: Ancestor) -> None:
        try:
            await self._client.create(
                parent, _CONTAINER, {"rn": level.name, "lbl": [*level.labels, ORIGIN + level.origin]}, rcn=0
            )
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise


def _is_new(response: Response) -> bool:
    """What the answer to the CREATE of an instance means; see ``CloudTarget.create``."""
    if response.status is Status.CREATED:
        return True
    if response.status is Status.CONFLICT:
        return False
    reason = _reason(response)
    if response.status in _TREE_LOST:
        raise TreeLost(reason)
    if response.status in _HOPELESS:
        raise Hopeless(reason)
    raise TargetTrouble(reason)


def _reason(response: Response) -> str:
    debug = response.content.get("m2m:dbg", "") if isinstance(response.content, Mapping) else ""
    return f"{int(response.status)} {response.status.name}" + (f": {debug}" if debug else "")
