"""Reads an AE's tree from a CSE, and creates resources in another's name: what a move asks of ``cse.client``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from cse.client import Client, RequestFailed
from cse.client.roots import content_of
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from mec_adapter import handover_plan as plan
from mec_adapter.handover_plan import ACP, AE, CONTAINER, SUBSCRIPTION, Node, Tree

_TAKEN = (Status.CONFLICT, Status.ORIGINATOR_HAS_ALREADY_REGISTERED)


#: types from here on are announced variants
_ANNOUNCED = 10000


class CannotMove(Exception):
    """An AE cannot be moved; the message says in one line why and what to do."""


def address(tree: Tree, path: str = "") -> str:
    """The structured CSE-relative address of an AE or of what is below it, the same at both CSEs."""
    return f"-/{tree.name}/{path}".rstrip("/")


async def read_tree(client: Client, cse_id: str, ae_id: str) -> Tree:
    """What a CSE holds for one AE, but for its instances.

    Args:
        client: sends as one who may read all of it.
        cse_id: CSE-ID of the CSE.
        ae_id: the stem of its AE-ID.

    Raises:
        CannotMove: there is no such AE.
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    try:
        ae = await client.retrieve(ae_id)
    except RequestFailed as error:
        if error.status is not Status.NOT_FOUND:
            raise
        ae = {}
    if ae.get("ty") != AE:
        raise CannotMove(f"{ae_id} is no AE of {cse_id}: give an AE-ID, e.g. Cmy-ae")
    home = f"-/{ae['rn']}"
    containers: list[Node] = []
    subscriptions: list[Node] = []
    policies: dict[str, Mapping[str, Any]] = {}
    level = [""]
    while level:
        types = [CONTAINER, SUBSCRIPTION, *([] if containers else [ACP])]
        found = await asyncio.gather(*(children(client, f"{home}/{path}".rstrip("/"), types) for path in level))
        nodes = [Node(parent, child) for parent, below in zip(level, found, strict=True) for child in below]
        policies.update({str(node.attributes["ri"]): node.attributes for node in nodes if node.attributes["ty"] == ACP})
        subscriptions += [node for node in nodes if node.attributes["ty"] == SUBSCRIPTION]
        deeper = [node for node in nodes if node.attributes["ty"] == CONTAINER]
        containers += deeper
        level = [node.path for node in deeper]
    tree = plan.tree_of(ae, policies.values(), containers, subscriptions)
    used = {ri for named in tree.acpi.values() for ri in named}
    used |= {str(ri) for node in subscriptions for ri in node.attributes.get("acpi") or ()}
    for ri in sorted(used - policies.keys()):
        with suppress(RequestFailed):  # one that is gone grants nothing
            policies[ri] = await client.retrieve(ri)
    return plan.tree_of(ae, policies.values(), containers, subscriptions)


async def check_others(client: Client, supported: Iterable[int], tree: Tree) -> None:
    """Refuse an AE that holds resources a move does not carry over.

    Args:
        client: of the CSE the AE is at.
        supported: resource types of that CSE.
        tree: of the AE.

    Raises:
        CannotMove: naming some of them.
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    types = [number for number in supported if number < _ANNOUNCED and number not in {*plan.CARRIED, plan.CSE_BASE}]
    found = await client.discover(address(tree), types=types, limit=3) if types else []
    if found:
        raise CannotMove(
            f"AE {tree.ae_id} holds what cannot be carried over ({', '.join(found)}): remove it, or accept its loss "
            "(leave_others)"
        )


async def aes_with(client: Client, labels: Sequence[str]) -> list[str]:
    """The AE-IDs of the AEs of a CSE that have one of the labels.

    Raises:
        RequestFailed: the search is refused.
        Unreachable: nobody answered.
    """
    found = await children(client, "-", [AE], {"lbl": list(labels)})
    return sorted(str(ae.get("aei") or ae["ri"]) for ae in found)


async def children(
    client: Client, parent: str, types: Sequence[int], criteria: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The direct children of some types with their attributes, in as many parts as it takes.

    Args:
        client: who asks.
        parent: where.
        types: type numbers.
        criteria: more filter criteria; with ``lim`` one part is all.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    wanted: dict[str, Any] = {"ty": list(types), "lvl": 1, **(criteria or {})}
    found: list[dict[str, Any]] = []
    while True:
        response = await client.request(Request(Operation.RETRIEVE, parent, filter=dict(wanted), result_content=8))
        if not response.status.is_success:
            raise _failed(response, f"RETRIEVE {parent}")
        page = list(_entries(response.content))
        found += [entry for entry in page if entry.get("ty") in types]
        if response.content_status != 1 or not page or "lim" in wanted:
            return found
        wanted["ofst"] = response.content_offset or len(found) + 1


def _entries(content: Any) -> Iterator[dict[str, Any]]:
    """The resources of a listing, which may stand in the root of their parent or alone."""
    if isinstance(content, Mapping):
        for value in content.values():
            if isinstance(value, list):
                yield from (dict(entry) for entry in value if isinstance(entry, Mapping))
            elif isinstance(value, Mapping):
                yield from _entries(value)


async def create_as(client: Client, originator: str, parent: str, kind: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """Create a resource in another's name, whose it then is; in the client's own where that one may not.

    An AE is created in its own name or not at all.

    Raises:
        RequestFailed: the CSE refused.
        Unreachable: nobody answered.
    """
    if not originator or originator == client.originator:
        return await client.create(parent, kind, body)
    number, content = content_of(kind, body)
    request = Request(Operation.CREATE, parent, originator=originator, resource_type=number, content=content)
    response = await client.request(request)
    if response.status.is_success:
        return next(iter(response.content.values()), {}) if isinstance(response.content, Mapping) else {}
    if kind == AE or response.status in _TAKEN:
        raise _failed(response, f"CREATE {parent} as {originator}")
    return await client.create(parent, kind, body)


async def ensure(client: Client, originator: str, parent: str, kind: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """A child by its name, created unless it is there; see ``create_as``."""
    try:
        return await create_as(client, originator, parent, kind, body)
    except RequestFailed as error:
        if error.status is not Status.CONFLICT:
            raise
    return await client.retrieve(f"{parent}/{body['rn']}")


@contextmanager
def unless_there() -> Iterator[None]:
    """Let a CREATE pass that is refused because the name is there already."""
    try:
        yield
    except RequestFailed as error:
        if error.status is not Status.CONFLICT:
            raise


def _failed(response: Response, what: str) -> RequestFailed:
    said = response.content.get("m2m:dbg", "") if isinstance(response.content, Mapping) else ""
    return RequestFailed(response.status, str(said), what)
