"""The client: an originator with its registration and its subscriptions (TS-0001 clauses 10.2.2, 10.2.10)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from cse.client.errors import RequestFailed, Unreachable
from cse.client.notifications import Subscription
from cse.client.polling import PollingTransport
from cse.client.requester import Requester, named
from cse.client.roots import AE, SUBSCRIPTION
from cse.client.transports import CoapTransport, HttpTransport, Transport, open_transport
from cse.onem2m.status import Status

#: a client that ends gives the deletion of its subscriptions this long
_GOODBYE_S = 2.0
#: after the deletion of a subscription the CSE's word about it is waited for this long
_FAREWELL_S = 0.1
_UNNAMED = ("", "C", "S")
#: ``listen`` of a client that opens no port
POLL = "poll"


class Client(Requester):
    """An originator at a CSE. Use it with ``async with``.

    Addresses (``to``, ``parent``, ``container``, ``root``) are CSE-relative (``-/my-ae/data``, where ``-`` stands for
    the CSEBase; ``cse-in/my-ae``; a resource-ID), SP-relative (``/id-in/-/my-ae``) or absolute. Attributes have their
    short names.

    Args:
        cse: URL of the CSE (``http://``, ``https://``, ``coap://``) or of its broker (``mqtt://``, ``mqtts://``), or a
            transport that several clients share and that its owner closes.
        cse_id: CSE-ID of the CSE; MQTT topics need it.
        originator: AE-ID or CSE-ID to send as; "", "C" and "S" let ``register`` ask for one.
        release: release version indicator (rvi); "1" sends none.
        timeout_s: how long an answer may take.
        listen: host and port for notifications over HTTP and CoAP; port 0 takes a free one. ``poll`` opens no port: an
            AE fetches its notifications from a polling channel, which works behind NAT and firewalls.
        public_url: how the CSE reaches that listener (over MQTT: the broker) when it is not at the address it has here.
        serialisation: ``json`` or ``cbor``.
        queue_size: notifications of one subscription that may wait to be taken.

    Raises:
        ValueError: the URL, ``listen`` or ``serialisation`` make no sense.
    """

    def __init__(
        self,
        cse: str | Transport,
        *,
        cse_id: str = "/id-in",
        originator: str = "",
        release: str = "3",
        timeout_s: float = 10.0,
        listen: str = "127.0.0.1:0",
        public_url: str = "",
        serialisation: str = "json",
        queue_size: int = 1000,
    ) -> None:
        self._owns_transport = isinstance(cse, str)
        transport = cse if not isinstance(cse, str) else _opened(cse, cse_id, listen, public_url, serialisation)
        super().__init__(transport, originator, release, timeout_s)
        self._queue_size = queue_size
        self._subscriptions: set[Subscription] = set()
        self._looking: asyncio.Task[None] | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Get ready to send; ``async with`` does it.

        Raises:
            Unreachable: the broker cannot be used. Over HTTP and CoAP nothing is sent yet.
        """
        self.originator = await self._transport.open(self.originator)

    async def close(self) -> None:
        """Delete the subscriptions that are left, then let go of the transport unless it is shared."""
        if self._looking is not None:
            self._looking.cancel()
        leaving = [subscription.close() for subscription in list(self._subscriptions)]
        if leaving:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await asyncio.gather(*leaving, return_exceptions=True)
        for subscription in list(self._subscriptions):
            subscription.end()
            self._transport.router.forget(subscription)
        self._subscriptions.clear()
        if self._owns_transport:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- registration -------------------------------------------------------------------------------------------

    async def register(
        self,
        app_id: str,
        name: str | None = None,
        *,
        poa: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        **attributes: Any,
    ) -> dict[str, Any]:
        """Register as an AE and return the AE resource (TS-0001 clause 10.2.2.2).

        The AE-ID the CSE gives becomes the originator of this client. An AE-ID that is registered already keeps its
        registration; its ``poa`` and labels are brought up to date.

        Args:
            app_id: App-ID: ``N...``, or ``R...`` when it is registered.
            name: resourceName of the AE; None lets the CSE choose.
            poa: points of access at which the AE takes requests.
            labels: of the AE.
            **attributes: more of the AE, by short names.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        wanted: dict[str, Any] = {**attributes}
        if poa is not None:
            wanted["poa"] = list(poa)
        if labels is not None:
            wanted["lbl"] = list(labels)
        first = {"api": app_id, "rr": bool(poa), **wanted}
        if self._release is not None:
            first.setdefault("srv", [self._release])
        try:
            entity = await self.create("-", AE, named(name, first))
        except RequestFailed as error:
            if error.status not in (Status.CONFLICT, Status.ORIGINATOR_HAS_ALREADY_REGISTERED):
                raise
            entity = await self._registration(error, wanted)
        self.originator = str(entity.get("aei") or self.originator)
        await self._transport.adopt(self.originator)
        return entity

    async def _registration(self, refusal: RequestFailed, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The registration this originator has already, brought up to date.

        Raises:
            RequestFailed: it has none: the name belongs to somebody else.
        """
        if self.originator in _UNNAMED:
            raise refusal
        try:
            entity = await self.retrieve(self.originator)
        except RequestFailed:
            raise refusal from None
        changes = {key: value for key, value in wanted.items() if key not in ("srv", "rn") and entity.get(key) != value}
        return await self.update(self.originator, AE, changes) if changes else entity

    async def deregister(self) -> None:
        """Delete the AE of this originator, and with it all that is below.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await self.delete(self.originator)

    # --- subscriptions ------------------------------------------------------------------------------------------

    async def subscribe(
        self,
        to: str,
        *,
        events: Sequence[int] = (3,),
        name: str | None = None,
        types: Sequence[int] | None = None,
        replace: bool = False,
        criteria: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Subscription:
        """Subscribe to a resource; the notifications come to this client, each event once.

        Over HTTP and CoAP a server is started for them, whose address must be reachable for the CSE, unless the client
        polls (``listen="poll"``). Over MQTT and WebSocket they come over the connection that is open already.

        Args:
            to: the resource.
            events: notificationEventTypes: 1 update, 2 delete, 3 child created, 4 child deleted.
            name: resourceName of the subscription; None takes a random one.
            types: with event 3 or 4, only children of these types.
            replace: delete a subscription of this name that is there already, from an earlier run of this client.
            criteria: more eventNotificationCriteria by short names.
            **attributes: more of the subscription, by short names.

        Raises:
            RequestFailed: the CSE refused, or did not reach us for the verification (5204).
            Unreachable: nobody answered, or notifications cannot be received here.
        """
        subscription = Subscription(f"sub-{secrets.token_hex(8)}", self._queue_size)
        target = await self._transport.target(self.originator, subscription.token)
        conditions: dict[str, Any] = {**(criteria or {}), "net": list(events)}
        if types is not None:
            conditions["chty"] = list(types)
        body = {"su": target, **attributes, "rn": name or subscription.token, "nu": [target], "enc": conditions}
        router = self._transport.router
        router.expect(subscription)
        try:
            subscription.bind(await self._create_subscription(to, body, replace), self._unsubscribe)
        finally:
            router.settle(subscription)
        self._subscriptions.add(subscription)
        return subscription

    async def delete(self, to: str) -> None:
        """Delete a resource and all below it, subscriptions of this client among them, whose iteration then ends.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await super().delete(to)
        if self._subscriptions and not self._transport.farewells and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._end_deleted())

    async def _end_deleted(self) -> None:
        """End the subscriptions that are gone, where the CSE does not say so because we deleted them ourselves."""
        await asyncio.sleep(_FAREWELL_S)  # the last notifications may be on their way
        for subscription in list(self._subscriptions):
            try:
                await self.retrieve(subscription.id, attributes=["ri"])
            except RequestFailed as error:
                if error.status is Status.NOT_FOUND:
                    self._subscriptions.discard(subscription)
                    subscription.deleted.set()
                    subscription.end()
                    self._transport.router.forget(subscription)
            except Unreachable:
                return

    async def _create_subscription(self, to: str, body: Mapping[str, Any], replace: bool) -> dict[str, Any]:
        try:
            return await self.create(to, SUBSCRIPTION, body)
        except RequestFailed as error:
            if not replace or error.status is not Status.CONFLICT:
                raise
        await self.delete(f"{to}/{body['rn']}")
        return await self.create(to, SUBSCRIPTION, body)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        """Delete a subscription at the CSE; that it is gone already, or nobody answers, is no error here."""
        self._subscriptions.discard(subscription)
        try:
            with contextlib.suppress(RequestFailed, Unreachable, TimeoutError):
                await self.delete(subscription.id)
                # The CSE now tells us what we did (su); let it, or it finds nobody there.
                if self._transport.farewells:
                    async with asyncio.timeout(_FAREWELL_S):
                        await subscription.deleted.wait()
        finally:
            self._transport.router.forget(subscription)


def _opened(url: str, cse_id: str, listen: str, public_url: str, serialisation: str) -> Transport:
    """The transport for a URL, which polls where it would have to listen and may not."""
    if listen != POLL:
        return open_transport(url, cse_id=cse_id, listen=listen, public_url=public_url, serialisation=serialisation)
    inner = open_transport(url, cse_id=cse_id, serialisation=serialisation)
    return PollingTransport(inner) if isinstance(inner, HttpTransport | CoapTransport) else inner
