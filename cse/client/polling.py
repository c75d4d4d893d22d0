"""Notifications without an address of one's own over HTTP and CoAP: a polling channel (TS-0001 clause 10.2.5.13)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Mapping
from typing import Any

from cse.bindings.primitive_codec import decode_request, encode_response
from cse.client.errors import RequestFailed, Unreachable
from cse.client.notifications import NotificationRouter
from cse.client.transports import Transport
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import FilterUsage, Operation, Request, Response
from cse.onem2m.status import Status

_CHANNEL = 15
#: how long a poll is held by the CSE, and how much longer its answer may take
_POLL_S, _GRACE_S = 20.0, 10.0
#: pauses while the CSE cannot be polled, the last one for ever, in seconds
_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)


class PollingTransport:
    """Requests over another transport; requests of the CSE are fetched from a polling channel of the AE.

    The target of notifications is the AE itself, so only a registered AE can subscribe. What is sent while nobody polls
    waits at the CSE for a while.

    Args:
        inner: carries the requests, polls among them; it is closed with this one.
    """

    farewells = False

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        # Who polls hears everything in turn: a full queue makes it poll later, not refuse.
        self.router = NotificationRouter(patience_s=None)
        self._channel, self._originator = "", ""
        self._poller: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._request_ids = map("{}.{}".format, itertools.repeat(f"poll-{secrets.token_hex(6)}"), itertools.count(1))

    async def open(self, originator: str) -> str:
        """Get ready to send; returns the From to use.

        Raises:
            Unreachable: there is no way to the CSE.
        """
        return await self._inner.open(originator)

    async def adopt(self, originator: str) -> None:
        """The CSE gave the originator this AE-ID."""
        await self._inner.adopt(originator)

    async def request(self, request: Request, timeout_s: float) -> Response:
        """Send a request and return the answer.

        Raises:
            Unreachable: nobody answered in ``timeout_s``.
        """
        return await self._inner.request(request, timeout_s)

    async def target(self, originator: str, token: str) -> str:
        """The AE, whose channel is polled from now on.

        Raises:
            RequestFailed: the CSE gives it no polling channel.
            Unreachable: nobody answered.
        """
        async with self._starting:
            if self._poller is None:
                self._channel, self._originator = await self._make_channel(originator), originator
                self._poller = asyncio.create_task(self._poll_for_ever(originator), name=f"polls of {originator}")
        return originator

    async def close(self) -> None:
        """Poll no more, remove the channel, which would go on taking what is for the AE, and let go of connections."""
        tasks = [*self._serving, *([self._poller] if self._poller is not None else [])]
        self._poller = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._channel:
            with contextlib.suppress(RequestFailed, Unreachable):
                await self._ask(Operation.DELETE, self._channel, self._originator)
        await self._inner.close()

    async def _make_channel(self, originator: str) -> str:
        """Address of a new channel of the AE.

        One of an earlier run goes first: polls of that run may still be held there, over CoAP for as long as they were
        to last, and would take what is for us; and what waits in it is for subscriptions nobody here knows.
        """
        entity = originator
        found = await self._ask(
            Operation.RETRIEVE,
            entity,
            originator,
            filter={"fu": int(FilterUsage.DISCOVERY), "ty": [_CHANNEL], "lvl": 1},
        )
        for known in found.get("m2m:uril") or ():
            await self._ask(Operation.DELETE, str(known), originator)
        made = await self._ask(
            Operation.CREATE, entity, originator, resource_type=_CHANNEL, content={"m2m:pch": {"rqag": True}}
        )
        return str(made["m2m:pch"]["ri"])

    async def _ask(self, operation: Operation, to: str, originator: str, **more: Any) -> Mapping[str, Any]:
        request = Request(operation, to, originator, next(self._request_ids), release="3", **more)
        response = await self._inner.request(request, _GRACE_S)
        content = response.content if isinstance(response.content, Mapping) else {}
        if not response.status.is_success:
            debug = str(content.get("m2m:dbg", ""))
            raise RequestFailed(response.status, debug, f"{operation.name} {to} for a polling channel")
        return content

    async def _poll_for_ever(self, originator: str) -> None:
        failures = 0
        while True:
            request = Request(
                Operation.RETRIEVE,
                f"{self._channel}/pcu",
                originator,
                next(self._request_ids),
                release="3",
                request_expiration=int(_POLL_S * 1000),
            )
            try:
                response = await self._inner.request(request, _POLL_S + _GRACE_S)
            except Unreachable:
                response = None
            if response is not None and response.status.is_success:
                failures = 0
                for primitive in _primitives(response.content):
                    self._serve_soon(primitive, originator)
            elif response is None or response.status is not Status.REQUEST_TIMEOUT:
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1

    def _serve_soon(self, primitive: Mapping[str, Any], originator: str) -> None:
        """Serve beside the polls; tasks begin in the order they are made, which is that of the notifications."""
        task = asyncio.create_task(self._serve(primitive, originator))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, primitive: Mapping[str, Any], originator: str) -> None:
        try:
            request = decode_request(dict(primitive), lenient=True)
        except CseError as error:
            answer = Response(error.status, str(primitive.get("rqi", "")), content={"m2m:dbg": error.debug})
        else:
            answer = await self.router.serve(request)
        with contextlib.suppress(RequestFailed, Unreachable):  # the CSE has given it up meanwhile
            await self._ask(
                Operation.NOTIFY, f"{self._channel}/pcu", originator, content={"m2m:rsp": encode_response(answer)}
            )


def _primitives(content: Any) -> list[Mapping[str, Any]]:
    """The requests that a poll brought: one, or several together."""
    if not isinstance(content, Mapping):
        return []
    one, many = content.get("m2m:rqp"), content.get("m2m:agrp")
    listed = many.get("m2m:rqp", []) if isinstance(many, Mapping) else [one]
    return [primitive for primitive in listed if isinstance(primitive, Mapping)]
