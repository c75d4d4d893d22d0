"""What a CSE holds, read with oneM2M requests: AEs, containers and subscriptions, and instances of a container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cse.client import Client
from cse.onem2m.primitives import ResultContent

AE, CONTAINER, INSTANCE, SUBSCRIPTION = 2, 3, 4, 23
#: labels that the cloud sync gives its copies
ORIGIN = "origin:"


@dataclass(frozen=True, slots=True)
class Node:
    """An AE, a container or a subscription.

    Attributes:
        path: structured address, the CSEBase's name first.
        type: resource type number.
        attributes: by short names.
    """

    path: str
    type: int
    attributes: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its resourceName."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """Address of its parent."""
        return self.path.rpartition("/")[0]

    @property
    def count(self) -> int:
        """How many instances it holds (cni)."""
        return int(self.attributes.get("cni", 0))

    @property
    def labels(self) -> list[str]:
        """Its labels."""
        return list(self.attributes.get("lbl") or ())

    @property
    def origin(self) -> str:
        """For a copy at the cloud: the address of the original, e.g. ``/id-edge/cse-edge/meter-1/data``."""
        return next((label.removeprefix(ORIGIN) for label in self.labels if label.startswith(ORIGIN)), "")


@dataclass(frozen=True, slots=True)
class Instance:
    """A contentInstance: resourceName, content, creation time as the CSE writes it, labels."""

    name: str
    content: Any
    created: str
    labels: tuple[str, ...]

    @property
    def origin_name(self) -> str:
        """For a copy at the cloud: the resourceName of the original."""
        origin = next((label for label in self.labels if label.startswith(ORIGIN)), "")
        return origin.rpartition("/")[2]


async def read_tree(client: Client) -> list[Node]:
    """All AEs, containers and subscriptions of a CSE, with one request; those above come first.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    base = await client.retrieve(
        "-", rcn=int(ResultContent.ATTRIBUTES_AND_CHILDREN), filter={"ty": [AE, CONTAINER, SUBSCRIPTION]}
    )
    return list(_walk(str(base.get("rn", "")), base))


def _walk(path: str, resource: Mapping[str, Any]) -> Iterator[Node]:
    for root, number in (("m2m:ae", AE), ("m2m:cnt", CONTAINER), ("m2m:sub", SUBSCRIPTION)):
        for child in resource.get(root) or ():
            below = f"{path}/{child.get('rn', '')}"
            yield Node(below, number, child)
            yield from _walk(below, child)


async def read_instances(client: Client, path: str) -> list[Instance]:
    """All instances of a container in the order in which they were created.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    found = [instance async for instance in client.instances(path, type=INSTANCE)]
    found.sort(key=lambda instance: int(instance.get("st", 0)))
    return [
        Instance(
            str(instance.get("rn", "")),
            instance.get("con"),
            str(instance.get("ct", "")),
            tuple(instance.get("lbl") or ()),
        )
        for instance in found
    ]
