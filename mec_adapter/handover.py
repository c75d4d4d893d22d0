"""Moves AEs from one edge CSE to another, as an originator that may do everything at both (TS-0001 clause 10.2).

The order is what keeps a subscriber from losing or doubling anything:

1. prepare: the AE, its policies and containers are created at the target, and what the containers hold is copied. The
   source still serves. Nobody is subscribed at the target yet, so copies notify nobody.
2. fence: the source lets nobody but the operator write to the containers. Each post is on exactly one side of
   it: taken by the source, which notifies, or refused, and then the device's to repeat at the target. Names of
   instances are kept, so that the target knows a post again whose answer from the source was lost (4105).
3. what came since the copy is copied; then the subscriptions are created; then the AE is told its new CSE.
4. when the source has delivered its notifications, the AE is removed there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.status import Status
from mec_adapter import handover_plan as plan
from mec_adapter.handover_journal import Journal, Phase
from mec_adapter.handover_plan import (
    ACP,
    AE,
    CONTAINER,
    CONTENT_INSTANCE,
    FENCE,
    SUBSCRIPTION,
    Node,
    Options,
    Outcome,
    Tree,
)
from mec_adapter.handover_tree import (
    CannotMove,
    address,
    check_others,
    children,
    create_as,
    ensure,
    read_tree,
    unless_there,
)
from mec_adapter.profile import CseProfile, cse_profile

_PAGE = 500
_DRAIN_POLL_S = 0.02
_TAKEN = (Status.CONFLICT, Status.ORIGINATOR_HAS_ALREADY_REGISTERED)
_SENT_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge CSE as the operator sees it.

    Attributes:
        client: sends as the operator.
        url: how AEs reach the CSE.
        profile: what its CSEBase says.
    """

    client: Client
    url: str
    profile: CseProfile


#: tells an AE that its CSE is another one now, and returns when it has been there
Arrive = Callable[[str, Edge], Awaitable[None]]
#: which of the two CSE-IDs the newest registration of an AE is at, "" when that cannot be told
Arbiter = Callable[[Mapping[str, Any], Edge, Edge], Awaitable[str]]


@dataclass(slots=True)
class Move:
    """An AE that exists on both sides, between ``prepare`` and ``complete`` or ``abort``."""

    tree: Tree
    ours: bool = True
    replaced: bool = False
    #: resource-IDs of policies at the target, by their resource-IDs at the source
    policies: dict[str, str] = field(default_factory=dict)
    #: names of the instances that are at the target, by container path
    copied: dict[str, set[str]] = field(default_factory=dict)
    #: stateTag of the newest of them
    newest: dict[str, int] = field(default_factory=dict)
    #: containers of the target that somebody is subscribed to already: a copy would notify again
    watched: set[str] = field(default_factory=set)
    fence: str = ""
    switched: bool = False


async def edge_of(client: Client, url: str) -> Edge:
    """The edge CSE behind an open client.

    Raises:
        RequestFailed: its CSEBase cannot be read.
        Unreachable: nobody answered.
    """
    return Edge(client, url, cse_profile(await client.cse_base()))


def journal_of(source: Edge, target: Edge) -> Journal:
    """A journal of moves from one to the other, kept at both; the caller closes it."""
    ids = source.profile.cse_id, target.profile.cse_id
    return Journal({ids[0]: source.client, ids[1]: target.client}, *ids)


class Handover:
    """Moves AEs from a source to a target.

    Args:
        source: where they are.
        target: where they go.
        options: see Options.
        arrive: tells an AE of its new CSE; None leaves that to the AE.
        arbiter: of two registrations of one AE, finds the newest; without it, or when it does not know, creationTime
            decides.
        journal: where every step of a move is written down; None writes nothing.
    """

    def __init__(
        self,
        source: Edge,
        target: Edge,
        options: Options | None = None,
        arrive: Arrive | None = None,
        arbiter: Arbiter | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self._source, self._target = source, target
        self._options = options or Options()
        self._arrive, self._arbiter = arrive, arbiter
        self._source_id = source.profile.cse_id
        self._room = asyncio.Semaphore(self._options.concurrency)
        self._switching = asyncio.Semaphore(self._options.switching)
        self._to_switch = 0
        #: set while nobody is switching or waiting to: the time for what does not hurry
        self._calm = asyncio.Event()
        self._calm.set()

    async def run(self, ae_ids: Iterable[str]) -> list[Outcome]:
        """Move AEs: all are prepared first, then one after the other switches; who cannot move stays and says why."""

        async def first(ae_id: str) -> Move | Outcome:
            try:
                return await self.prepare(ae_id)
            except (CannotMove, RequestFailed, Unreachable) as error:
                return Outcome(ae_id, trouble=str(error))

        async def second(prepared: Move | Outcome) -> Outcome:
            return prepared if isinstance(prepared, Outcome) else await self.complete(prepared)

        prepared = await asyncio.gather(*(first(ae_id) for ae_id in ae_ids))
        return list(await asyncio.gather(*(second(one) for one in prepared)))

    # --- before ------------------------------------------------------------------------------------------------

    async def prepare(self, ae_id: str) -> Move:
        """Create the AE at the target and copy what it has; the source still serves.

        Raises:
            CannotMove: it has what cannot be carried over, or its name belongs to another AE at the target.
            RequestFailed: a CSE refused; nothing is left at the target.
            Unreachable: a CSE did not answer.
        """
        async with self._room:
            self._note(ae_id, Phase.PREPARING)
            try:
                move = await self._prepare(ae_id)
            except (CannotMove, RequestFailed, Unreachable) as error:
                self._note(ae_id, Phase.FAILED, Outcome(ae_id, trouble=str(error)))
                raise
            self._note(ae_id, Phase.PREPARED)
            return move

    def _note(self, ae_id: str, phase: Phase, outcome: Outcome | None = None) -> None:
        if self._journal is not None:
            self._journal.note(ae_id, phase, outcome)

    async def _prepare(self, ae_id: str) -> Move:
        tree = await read_tree(self._source.client, self._source_id, ae_id)
        if not self._options.leave_others:
            await check_others(self._source.client, self._source.profile.resource_types, tree)
        move = Move(tree)
        try:
            await self._register(move)
            await self._containers(move, tree)
            await self._copy(move, tree)
            await self._make_fence(move)
            for node in tree.subscriptions:
                # Counting of notifications and answers, so that the last ones can be waited for.
                with suppress(RequestFailed):
                    await self._source.client.update(address(tree, node.path), SUBSCRIPTION, {"nse": True}, rcn=0)
        except BaseException:
            with suppress(RequestFailed, Unreachable):
                await self.abort(move)
            raise
        return move

    async def abort(self, move: Move) -> None:
        """Give a prepared move up: the source serves as before, the target forgets.

        Raises:
            RequestFailed: a CSE refused.
            Unreachable: a CSE did not answer.
        """
        if move.fence:
            for node in move.tree.containers:
                acpi = list(move.tree.acpi[node.path]) or None
                await self._source.client.update(address(move.tree, node.path), CONTAINER, {"acpi": acpi}, rcn=0)
            await self._source.client.delete(move.fence)
            move.fence = ""
        if move.ours:
            with suppress(RequestFailed):
                await self._target.client.delete(move.tree.ae_id)

    async def _register(self, move: Move) -> None:
        """The AE and its policies at the target; of two registrations the newest wins."""
        tree, target = move.tree, self._target.client
        move.ours = False
        try:
            await create_as(target, tree.ae_id, "-", AE, plan.ae_body(tree))
            move.ours = True
        except RequestFailed as error:
            if error.status not in _TAKEN:
                raise
            move.ours = move.replaced = await self._stale_target(tree, error)
            if move.replaced:
                await target.delete(tree.ae_id)
                await create_as(target, tree.ae_id, "-", AE, plan.ae_body(tree))
        await self._policies(move, tree)
        if move.ours and tree.acpi[""]:
            named = [move.policies[one] for one in tree.acpi[""] if one in move.policies]
            await target.update(address(tree), AE, {"acpi": named}, rcn=0)

    async def _stale_target(self, tree: Tree, refusal: RequestFailed) -> bool:
        """Whether the registration that is at the target already is older than that of the source.

        Raises:
            CannotMove: it is that of another AE.
        """
        try:
            there = await self._target.client.retrieve(tree.ae_id)
        except RequestFailed:
            raise CannotMove(
                f"the name {tree.name!r} of AE {tree.ae_id} belongs to another resource at the target: rename one of "
                f"them ({refusal})"
            ) from refusal
        newest = await self._arbiter(tree.ae, self._source, self._target) if self._arbiter is not None else ""
        if not newest:
            return str(there.get("ct", "")) < str(tree.ae.get("ct", ""))
        return newest == self._source_id

    async def _policies(self, move: Move, tree: Tree) -> None:
        taken: set[str] = set()
        for ri, policy in tree.policies.items():
            body = plan.policy_body(policy, tree.ae_id, self._source_id, taken)
            taken.add(body["rn"])
            if ri not in move.policies:
                move.policies[ri] = str((await ensure(self._target.client, tree.ae_id, address(tree), ACP, body))["ri"])

    async def _containers(self, move: Move, tree: Tree) -> None:
        """Create what containers are missing at the target."""
        await self._policies(move, tree)
        for node in tree.containers:
            if node.path in move.copied:
                continue
            acpi = [move.policies[one] for one in tree.acpi[node.path] if one in move.policies]
            body = plan.container_body(node, acpi)
            await ensure(self._target.client, tree.ae_id, address(tree, node.parent), CONTAINER, body)
            move.copied[node.path] = set()
            path = address(tree, node.path)
            if not move.ours and await children(self._target.client, path, [SUBSCRIPTION]):
                move.watched.add(node.path)

    async def _copy(self, move: Move, tree: Tree, *, fenced: bool = False) -> int:
        """Copy the instances that are not at the target yet; returns how many there were."""
        return sum(await asyncio.gather(*(self._copy_one(move, tree, node.path, fenced) for node in tree.containers)))

    async def _copy_one(self, move: Move, tree: Tree, path: str, fenced: bool) -> int:
        if path in move.watched:
            return 0
        known, count = move.copied[path], 0
        source, to = address(tree, path), address(tree, path)
        # A device may be faster than a copy: while it posts, only what was there at the beginning is copied.
        goal = None if fenced else (await self._source.client.retrieve(source)).get("st", 0)
        while True:
            criteria = {"stb": move.newest.get(path, 0), "lim": _PAGE}
            page = await children(self._source.client, source, [CONTENT_INSTANCE], criteria)
            if len(page) == _PAGE and not all("st" in one for one in page):
                page = await children(self._source.client, source, [CONTENT_INSTANCE])
            fresh = [one for one in plan.in_order(page) if one["rn"] not in known]
            for instance in fresh:
                with unless_there():
                    await self._target.client.create(to, CONTENT_INSTANCE, plan.instance_body(instance), rcn=0)
                known.add(str(instance["rn"]))
                move.newest[path] = max(move.newest.get(path, 0), instance.get("st") or 0)
            count += len(fresh)
            if not fresh or len(page) < _PAGE or (goal is not None and move.newest[path] >= goal):
                return count

    # --- the move itself ---------------------------------------------------------------------------------------

    async def complete(self, move: Move) -> Outcome:
        """Let the target take over a prepared AE, then remove it at the source; on trouble the source takes it back."""
        self._to_switch += 1
        self._calm.clear()
        try:
            async with self._switching:
                outcome = await self._switch(move)
        finally:
            self._to_switch -= 1
            if not self._to_switch:
                self._calm.set()
        if not move.switched:
            self._note(outcome.ae_id, Phase.FAILED, outcome)
            return outcome
        self._note(outcome.ae_id, Phase.CLEANING)
        await self._calm.wait()
        async with self._room:
            outcome = await self._clean_up(move, outcome)
        self._note(outcome.ae_id, Phase.MOVED, outcome)
        return outcome

    async def _switch(self, move: Move) -> Outcome:
        ae_id = move.tree.ae_id
        began = time.monotonic()
        try:
            # While the source still serves: what has come since the preparation, so that little is left for the end.
            await self._copy(move, move.tree)
            began = time.monotonic()
            self._note(ae_id, Phase.SWITCHING)
            await self._close(move, move.tree.containers)
            # Both have ended when one fails, so that nothing is copied any more while the move is taken back.
            copying = asyncio.create_task(self._copy(move, move.tree, fenced=True))
            try:
                await self._look_again(move)
            finally:
                await asyncio.wait([copying])
            late = copying.result()
            await self._subscribe(move, move.tree)
        except (CannotMove, RequestFailed, Unreachable) as error:
            with suppress(RequestFailed, Unreachable):
                await self.abort(move)
            return Outcome(ae_id, trouble=str(error))
        # From here on there is no way back: the AE may have posted at the target.
        move.switched, trouble = True, ""
        try:
            if self._arrive is not None:
                await self._arrive(ae_id, self._target)
        except Exception as error:
            trouble = f"moved, but it could not be told: {error}"
        copied = sum(len(names) for names in move.copied.values())
        attach_s = time.monotonic() - began
        return Outcome(ae_id, attach_s, copied, late, replaced=move.replaced, trouble=trouble)

    async def _clean_up(self, move: Move, outcome: Outcome) -> Outcome:
        try:
            await self._tell(move.tree)
            left = await self._drain(move.tree)
            await self._source.client.delete(address(move.tree))
        except (RequestFailed, Unreachable) as error:
            # The fence stays: the AE is at the target, and an operator can remove the rest or run this again.
            trouble = f"moved, but {self._source_id} still has a copy that takes nothing: {error}"
            return replace(outcome, trouble=trouble)
        return replace(outcome, undelivered=left)

    async def _make_fence(self, move: Move) -> None:
        """The policy that closes containers, in no use yet."""
        client, tree = self._source.client, move.tree
        try:
            move.fence = str((await client.create(address(tree), ACP, plan.fence_body(tree, client.originator)))["ri"])
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise
            move.fence = str((await client.retrieve(f"{address(tree)}/{FENCE}"))["ri"])

    async def _close(self, move: Move, nodes: Iterable[Node]) -> None:
        changes = {"acpi": [move.fence]}
        paths = [address(move.tree, node.path) for node in nodes]
        await asyncio.gather(*(self._source.client.update(path, CONTAINER, changes, rcn=0) for path in paths))

    async def _look_again(self, move: Move) -> None:
        """Containers and subscriptions that came since the preparation move too."""
        while True:
            tree = await read_tree(self._source.client, self._source_id, move.tree.ae_id)
            new = [node for node in tree.containers if node.path not in move.tree.acpi]
            move.tree = Tree(
                tree.ae,
                {**move.tree.policies, **tree.policies},
                tree.containers,
                tree.subscriptions,
                {**tree.acpi, **move.tree.acpi},
            )
            if not new:
                return
            await self._close(move, new)
            await self._containers(move, move.tree)
            await asyncio.gather(*(self._copy_one(move, move.tree, node.path, True) for node in new))

    async def _subscribe(self, move: Move, tree: Tree) -> None:
        room = asyncio.Semaphore(_SENT_AT_ONCE)

        async def one(node: Node) -> None:
            async with room:
                acpi = [move.policies[ri] for ri in node.attributes.get("acpi") or () if ri in move.policies]
                body = plan.subscription_body(node, tree.ae_id, self._source_id, acpi)
                creator = str(node.attributes.get("cr") or "")
                asked = plan.foreign(creator, tree.ae_id, self._source_id)
                if creator:
                    body["cr"] = None
                with unless_there():
                    await create_as(self._target.client, asked, address(tree, node.parent), SUBSCRIPTION, body)

        await asyncio.gather(*(one(node) for node in tree.subscriptions))

    async def _tell(self, tree: Tree) -> None:
        """Leave word of the new CSE in a container of the AE at the source."""
        if self._options.tell:
            word = {"handover": {"cse": self._target.url, "cseId": self._target.profile.cse_id}}
            await self._source.client.post(f"{address(tree)}/{self._options.tell}", word, rcn=0)

    async def _drain(self, tree: Tree) -> int:
        """Wait until the source has delivered its notifications; returns how many it has not, in the time there is."""
        deadline = time.monotonic() + self._options.drain_s
        waiting = [address(tree, node.path) for node in tree.subscriptions]
        for node in tree.subscriptions:
            if node.attributes.get("bn"):
                with suppress(RequestFailed):  # a batch goes out when there is to be none any more
                    path = address(tree, node.path)
                    await self._source.client.update(path, SUBSCRIPTION, {"bn": None}, rcn=0)
        left = 0
        for path in waiting:
            while left := left + plan.undelivered(await self._source.client.retrieve(path)):
                if time.monotonic() >= deadline:
                    break
                left = 0
                await asyncio.sleep(_DRAIN_POLL_S)
        return left
