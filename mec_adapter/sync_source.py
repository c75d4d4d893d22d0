"""The edge side of the cloud sync: finding containers, subscribing to them, listing what is new; standard oneM2M."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cse.client import Client, RequestFailed
from cse.onem2m.primitives import Operation, Request, ResultContent
from cse.onem2m.status import Status

_CONTAINER, _INSTANCE, _SUBSCRIPTION = 3, 4, 23
_CHILD_CREATED = 3
_ALL_ATTRIBUTES = 1
SUBSCRIPTION_NAME = "mec-adapter-sync"


@dataclass(frozen=True, slots=True)
class Page:
    """Part of what is new in a container.

    Attributes:
        instances: attributes, in the order of their stateTags.
        more: there may be others after these.
        container: attributes of the container itself.
    """

    instances: list[dict[str, Any]]
    more: bool
    container: dict[str, Any]


class EdgeSource:
    """Reads the edge CSE for the cloud sync.

    Args:
        client: speaks to the edge CSE.
        callback: URL below which notifications are taken; a container's resource-ID is appended.
        labels: containers with one of these are chosen.
        paths: so are containers whose address matches one of these patterns.
        exclude: address whose descendants are never chosen (our own AE).
    """

    def __init__(
        self, client: Client, callback: str, labels: Sequence[str], paths: Sequence[str], exclude: str = ""
    ) -> None:
        self._client = client
        self._callback = callback.rstrip("/")
        self._labels = list(labels)
        self._paths = tuple(paths)
        self._exclude = exclude
        # Subscriptions of an earlier run lead to where nobody listens any more; the label tells them apart.
        self._mark = "mec-adapter:" + hashlib.sha256(self._callback.encode()).hexdigest()[:16]

    async def containers(self) -> set[str]:
        """Structured addresses of the containers to copy.

        Raises:
            RequestFailed: the search is refused.
            Unreachable: nobody answered.
        """
        found: list[str] = []
        if self._labels:
            found += await self._client.discover(types=[_CONTAINER], labels=self._labels)
        if self._paths:
            every = await self._plain(await self._client.discover(types=[_CONTAINER]))
            found += [path for path in every if self._matches(path)]
        own = f"{await self._client.cse_name()}/{self._exclude}/" if self._exclude else "\0"
        return {path for path in await self._plain(found) if not path.startswith(own)}

    def _matches(self, path: str) -> bool:
        below = path.partition("/")[2]
        return any(fnmatchcase(path, pattern) or fnmatchcase("-/" + below, pattern) for pattern in self._paths)

    async def _plain(self, addresses: Sequence[str]) -> list[str]:
        """Addresses in the form ``<CSEBase name>/...``, whichever form the CSE gave."""
        name = await self._client.cse_name()
        plain = []
        for address in addresses:
            _, found, below = ("/" + address).partition(f"/{name}/")
            plain.append(f"{name}/{below}" if found else address)
        return plain

    async def attributes(self, path: str) -> dict[str, Any]:
        """Attributes of a resource.

        Raises:
            RequestFailed: refused; NOT_FOUND when it is gone.
            Unreachable: nobody answered.
        """
        return await self._client.retrieve(path)

    async def subscribed(self) -> set[str]:
        """Addresses of the containers that have a living subscription of ours.

        Raises:
            RequestFailed: the search is refused.
            Unreachable: nobody answered.
        """
        found = await self._plain(await self._client.discover(types=[_SUBSCRIPTION], labels=[self._mark]))
        return {address.rpartition("/")[0] for address in found}

    async def subscribe(self, path: str, ri: str) -> None:
        """Subscribe to new instances of a container, in place of a subscription of an earlier run.

        Raises:
            RequestFailed: refused.
            Unreachable: nobody answered.
        """
        attributes = {
            "rn": SUBSCRIPTION_NAME,
            "nu": [f"{self._callback}/{ri}"],
            "enc": {"net": [_CHILD_CREATED], "chty": [_INSTANCE]},
            "nct": _ALL_ATTRIBUTES,
            "lbl": [self._mark],
        }
        try:
            await self._client.create(path, _SUBSCRIPTION, attributes, rcn=0)
            return
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise
        await self.unsubscribe(path)
        await self._client.create(path, _SUBSCRIPTION, attributes, rcn=0)

    async def unsubscribe(self, path: str) -> None:
        """Be notified no more of a container; it may have no subscription.

        Raises:
            RequestFailed: refused.
            Unreachable: nobody answered.
        """
        try:
            await self._client.delete(f"{path}/{SUBSCRIPTION_NAME}")
        except RequestFailed as error:
            if error.status is not Status.NOT_FOUND:
                raise

    async def newer(self, path: str, tag: int, limit: int) -> Page:
        """Instances whose stateTag is at least ``tag``.

        Args:
            path: of the container.
            tag: lowest stateTag.
            limit: most instances of one page.

        Raises:
            RequestFailed: refused; NOT_FOUND when the container is gone.
            Unreachable: nobody answered.
        """
        page = await self._page(path, tag, limit, 1)
        tags = [instance.get("st", 0) for instance in page.instances]
        if not page.more or tags == sorted(tags):
            return page
        # This CSE lists in another order, so the first page is not the oldest part: all pages are needed.
        instances, more = list(page.instances), True
        while more:
            following = await self._page(path, tag, limit, len(instances) + 1)
            instances += following.instances
            more = following.more
        return Page(sorted(instances, key=lambda instance: int(instance.get("st", 0))), False, page.container)

    async def _page(self, path: str, tag: int, limit: int, offset: int) -> Page:
        criteria: dict[str, Any] = {"ty": [_INSTANCE], "lvl": 1, "stb": max(0, tag), "lim": limit}
        if offset > 1:
            criteria["ofst"] = offset
        response = await self._client.request(
            Request(
                Operation.RETRIEVE,
                path,
                filter=criteria,
                result_content=int(ResultContent.ATTRIBUTES_AND_CHILDREN),
            )
        )
        content = response.content
        if not response.status.is_success:
            debug = content.get("m2m:dbg", "") if isinstance(content, Mapping) else ""
            raise RequestFailed(response.status, str(debug), f"RETRIEVE {path}")
        container = content.get("m2m:cnt") if isinstance(content, Mapping) else None
        if not isinstance(container, Mapping):
            raise RequestFailed(Status.INTERNAL_SERVER_ERROR, "the answer holds no m2m:cnt", f"RETRIEVE {path}")
        listed = container.get("m2m:cin") or []
        instances = [dict(entry) for entry in listed if isinstance(entry, Mapping)]
        attributes = {key: value for key, value in container.items() if key != "m2m:cin"}
        more = len(instances) >= limit or (response.content_status == 1 and bool(instances))
        return Page(instances, more, attributes)
