"""Notifications an application receives: sorted to its subscriptions, each event once (TS-0001 clause 10.2.10).

The router answers what a CSE sends to the application. Notifications are found by the token at the end of the
notification URL, or by the subscription reference (``sur``) where the transport has no URL of its own (MQTT).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from cse.onem2m.primitives import Operation, Request, Response, error_response
from cse.onem2m.status import Status

#: identifiers of notifications remembered per subscription, to know one that is sent again
_REMEMBERED = 4096
#: how long a notification waits for room in a full queue before the CSE is told to try again
PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One event of a subscription (m2m:notification, TS-0004 clause 6.3.5.13).

    Attributes:
        resource: the representation: attributes by short names; ``{"uri": ...}`` when only the address was asked for.
        root: its root element, e.g. ``m2m:cin``; ``m2m:uri`` for an address.
        event: notificationEventType: 1 update, 2 delete, 3 child created, 4 child deleted; 0 when it is not said.
        subscription: resource-ID of the subscription.
        creator: who made the subscription, "" when it is not said.
    """

    resource: dict[str, Any]
    root: str
    event: int
    subscription: str
    creator: str = ""


class Subscription(AsyncIterator[Notification]):
    """Notifications of one subscription: an async iterator that ends when the subscription does.

    Leaving ``async with`` deletes the subscription at the CSE.

    Args:
        token: stands at the end of its notification URL and for nothing else.
        queue_size: notifications that may wait to be taken; beyond them the CSE is made to wait.
    """

    def __init__(self, token: str, queue_size: int) -> None:
        self.token = token
        #: the subscription resource, as the CSE answered
        self.resource: dict[str, Any] = {}
        #: set when the CSE has said that the subscription is deleted
        self.deleted = asyncio.Event()
        self._queue: asyncio.Queue[Notification | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(queue_size)
        self._seen: OrderedDict[tuple[str, str, int], asyncio.Future[bool]] = OrderedDict()
        self._ended = False
        #: where it exists: its reference by CSE-ID; "" for the CSE it was made at until that has told its CSE-ID
        self._places: dict[str, str] = {}
        self._unsubscribe: Callable[[Subscription], Awaitable[None]] | None = None

    @property
    def id(self) -> str:
        """Its resource-ID."""
        return str(self.resource.get("ri", ""))

    @property
    def ended(self) -> bool:
        """Whether no more notifications come; those already here can still be taken."""
        return self._ended

    def bind(self, resource: dict[str, Any], unsubscribe: Callable[[Subscription], Awaitable[None]]) -> None:
        """Take what the CSE answered, and how to delete the subscription there."""
        self.resource = resource
        self._unsubscribe = unsubscribe
        if not self._places:
            self._places[""] = self.id

    def heard_from(self, cse_id: str, reference: str) -> None:
        """A CSE spoke of this subscription: it exists there, be it beside the one it was made at (a handover).

        Args:
            cse_id: of that CSE, "" when it is not told.
            reference: the subscription as that CSE writes it (``sur``).
        """
        if not cse_id or cse_id in self._places:
            return
        if "" in self._places and reference.rpartition("/")[2] == self.id.rpartition("/")[2]:
            del self._places[""]
        self._places[cse_id] = reference

    def _home(self) -> str | None:
        """The reference at the CSE it was made at, None when it is deleted there."""
        last = self.id.rpartition("/")[2]
        return next((one for one in self._places.values() if one.rpartition("/")[2] == last), None)

    def gone_from(self, cse_id: str, reference: str) -> bool:
        """A CSE said that this subscription is deleted there; returns whether it exists nowhere any more."""
        known = cse_id if cse_id in self._places else ""
        if known or not cse_id or reference.rpartition("/")[2] == self.id.rpartition("/")[2]:
            self._places.pop(known, None)
        if not cse_id and len(self._places) == 1:
            self._places.clear()
        if self._places and self._home() is None:
            # It was moved: from now on the subscription is the one that is left.
            self.resource = {**self.resource, "ri": next(iter(self._places.values()))}
        return not self._places

    async def deliver(
        self, key: tuple[str, str, int], notification: Notification | None, patience_s: float | None = PATIENCE_S
    ) -> bool:
        """Queue a notification unless it was queued before.

        Args:
            key: what is the same when a CSE sends it again: originator, request identifier, place in the request.
            notification: the event; None for the last word, after which the iteration ends.
            patience_s: how long to wait for room; None waits for ever.

        Returns:
            False when there was no room for it: the CSE may send it again.
        """
        earlier = self._seen.get(key)
        if earlier is not None:
            return await asyncio.shield(earlier)
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._seen[key] = taken
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        try:
            async with asyncio.timeout(patience_s):
                await self._room.acquire()
        except BaseException as error:
            self._seen.pop(key, None)
            taken.set_result(False)
            if isinstance(error, TimeoutError):
                return False
            raise
        if self._ended or notification is None:
            self._room.release()  # nothing is kept, and others may be waiting to be told the same
            self.end()
        else:
            self._queue.put_nowait(notification)
        taken.set_result(True)
        return True

    def end(self) -> None:
        """No more notifications come."""
        if not self._ended:
            self._ended = True
            self._queue.put_nowait(None)
            self._room.release()

    async def close(self) -> None:
        """Delete the subscription at the CSE and end the iteration. Does nothing the second time."""
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        self.end()
        if unsubscribe is not None:
            await unsubscribe(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        notification = await self._queue.get()
        if notification is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        self._room.release()
        return notification

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class NotificationRouter:
    """Serves the requests a CSE sends to an application: verification, notifications, the end of a subscription.

    Args:
        patience_s: how long a notification waits for room in a full queue before it is refused; None waits for ever,
            for transports over which the CSE does not hear of a refusal.
    """

    def __init__(self, patience_s: float | None = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._subscriptions: dict[str, Subscription] = {}
        #: set while no subscription is on its way, so that what comes early can wait for its subscription to be known
        self._settled = asyncio.Event()
        self._settled.set()
        self._pending = 0

    def expect(self, subscription: Subscription) -> None:
        """A CREATE of this subscription is about to be sent; ``settle`` must follow."""
        self._subscriptions[subscription.token] = subscription
        self._pending += 1
        self._settled.clear()

    def settle(self, subscription: Subscription) -> None:
        """The CREATE was answered."""
        self._pending -= 1
        if subscription.id:
            self._subscriptions[subscription.id] = subscription
        else:
            self._subscriptions.pop(subscription.token, None)
        if not self._pending:
            self._settled.set()

    def forget(self, subscription: Subscription) -> None:
        """Notifications of this subscription are refused from now on."""
        for key in [key for key, known in self._subscriptions.items() if known is subscription]:
            del self._subscriptions[key]

    async def serve(self, request: Request) -> Response:
        """Answer one request; what every listener calls (``cse.ports.Serve``)."""
        if request.operation is not Operation.NOTIFY:
            return error_response(
                request, Status.OPERATION_NOT_ALLOWED, "this is an application, not a CSE: it takes NOTIFY requests"
            )
        bodies = _bodies(request.content)
        if not bodies:
            return error_response(
                request, Status.BAD_REQUEST, 'a notification needs a content, e.g. {"m2m:sgn": {"nev": {...}}}'
            )
        for place, body in enumerate(bodies):
            failure = await self._take(request, body, place)
            if failure is not None:
                return failure
        return Response(Status.OK, request.request_id, release=request.release)

    async def _take(self, request: Request, body: Mapping[str, Any], place: int) -> Response | None:
        reference = str(body.get("sur", ""))
        subscription = self._find(request, reference)
        cse_id = _cse_id(reference) or _cse_id(request.originator)
        if body.get("vrq") is True and (subscription is not None or self._pending):
            if subscription is not None:
                subscription.heard_from(cse_id, reference)
                self._subscriptions.setdefault(reference.rpartition("/")[2] or subscription.token, subscription)
            return None
        if subscription is None and self._pending:
            # Sent in the moment between the creation of the subscription and the arrival of its answer here.
            await self._settled.wait()
            subscription = self._find(request, reference)
        if subscription is None:
            return error_response(request, Status.NOT_FOUND, f"there is no subscription {reference!r} here any more")
        if body.get("sud") is True:
            if not subscription.gone_from(cse_id, reference):
                return None  # it was moved, and goes on at another CSE
            subscription.deleted.set()
            notification = None
        else:
            notification = notification_of(body, reference)
            if notification is None:
                return error_response(request, Status.BAD_REQUEST, "the notification has no 'nev' with a 'rep'")
        key = (request.originator, request.request_id, place)
        if not await subscription.deliver(key, notification, self._patience_s):
            return error_response(
                request, Status.TARGET_NOT_REACHABLE, "the application takes notifications too slowly: send it again"
            )
        return None

    def _find(self, request: Request, reference: str) -> Subscription | None:
        """The subscription of a notification: by the token in the URL, by resource-ID, or by resourceName if unique."""
        by_token = self._subscriptions.get(request.to.partition("?")[0].rpartition("/")[2])
        last = reference.rpartition("/")[2]
        found = by_token or self._subscriptions.get(last)
        if found is None and last:
            # Other CSEs may refer to it by its path, whose beginning is not known here.
            named = {known for known in self._subscriptions.values() if known.resource.get("rn") == last}
            found = named.pop() if len(named) == 1 else None
        return found


def _cse_id(identifier: str) -> str:
    """The CSE-ID an SP-relative identifier begins with, "" of other forms."""
    parts = identifier.split("/", 2)
    return f"/{parts[1]}" if len(parts) > 1 and not parts[0] and parts[1] else ""


def _bodies(content: Any) -> list[Mapping[str, Any]]:
    """The m2m:sgn objects of a notification, one or aggregated."""
    if not isinstance(content, Mapping):
        return []
    single = content.get("m2m:sgn")
    if isinstance(single, Mapping):
        return [single]
    many = content.get("m2m:agn")
    if isinstance(many, Mapping):
        many = many.get("m2m:sgn")
    return [body for body in many if isinstance(body, Mapping)] if isinstance(many, list) else []


def notification_of(body: Mapping[str, Any], reference: str) -> Notification | None:
    """The event in an m2m:sgn, None when it tells of none (TS-0004 clause 6.3.5.13).

    Args:
        body: the m2m:sgn.
        reference: address of the subscription (sur), "" when there is none.
    """
    event = body.get("nev")
    shown = event.get("rep") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping) or not isinstance(shown, Mapping) or len(shown) != 1:
        return None
    root, resource = next(iter(shown.items()))
    number = event.get("net")
    return Notification(
        dict(resource) if isinstance(resource, Mapping) else {"uri": resource},
        root,
        number if isinstance(number, int) else 0,
        reference.rpartition("/")[2],
        str(body.get("cr", "")),
    )
