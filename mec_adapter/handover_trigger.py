"""Handover when the network says so: mobility notifications of a MEC platform move AEs to another CSE [MEC 021].

Status 1 (triggered) prepares the AEs of the devices named, status 2 (completed) moves them, status 3 (failed) gives a
preparation up. An AE belongs to a device by its label ``mec:associate=<value of the associateId>``, or when that value
is its AE-ID.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from cse.onem2m.status import Status
from mec_adapter.handover import Arrive, Edge, Handover, Move, edge_of, journal_of
from mec_adapter.handover_plan import ASSOCIATE_LABEL, Options, Outcome
from mec_adapter.handover_registry import arbiter, claim_exposed, cse_at
from mec_adapter.handover_tree import CannotMove, aes_with
from mec_adapter.listener import Listener
from mec_adapter.mp1 import amsi
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.mp1.errors import Mp1Error
from mec_adapter.mp1.types import JsonObject
from mec_adapter.profile import cse_app_id

_log = logging.getLogger("mec_adapter.handover")


@dataclass(frozen=True, slots=True)
class Trigger:
    """What moves AEs when the network says so.

    Attributes:
        mp1: client of the platform.
        source: the CSE whose AEs move.
        originator: the operator, at the target too.
        target: URL and CSE-ID of the CSE to go to when a notification names none.
        options: of the moves.
        arrive: tells an AE of its new CSE.
        listen: host:port for notifications; port 0 takes a free one.
        public_url: how the platform reaches that address when it differs.
        done: hears how every AE's move went.
        journal: whether the steps of moves are written down at both CSEs.
    """

    mp1: Mp1Client
    source: Edge
    originator: str
    target: tuple[str, str] | None = None
    options: Options = field(default_factory=Options)
    arrive: Arrive | None = None
    listen: str = "127.0.0.1:0"
    public_url: str = ""
    done: Callable[[Outcome], None] | None = None
    journal: bool = False


async def run_handover_on_mobility(
    trigger: Trigger, stop: asyncio.Event, ready: Callable[[str], None] | None = None
) -> None:
    """Subscribe to mobility procedures and carry out what they ask for, until ``stop``.

    Args:
        trigger: see there.
        stop: ends it; a move under way is finished first.
        ready: called with the address of the listener when the subscription is made.

    Raises:
        Mp1Error: the platform takes no subscription.
        AdapterStartError: ``listen`` cannot be used.
    """
    async with AsyncExitStack() as stack:
        mover = _Mover(trigger, stack)
        listener = Listener(trigger.listen, trigger.public_url, _no_notification, mover.take, lambda: mover.figures)
        await listener.start()
        stack.push_async_callback(listener.stop)
        subscription = {
            "subscriptionType": amsi.SUBSCRIPTION_TYPE,
            "callbackReference": f"{listener.url}/mec/mobility",
            "filterCriteria": {},
        }
        made = await trigger.mp1.call(amsi.API, amsi.SUBSCRIBE, subscription)
        number = made.location.rstrip("/").rpartition("/")[2]
        working = asyncio.create_task(mover.work())
        if ready is not None:
            ready(listener.url)
        try:
            await stop.wait()
        finally:
            with suppress(Mp1Error):
                await trigger.mp1.call(amsi.API, amsi.UNSUBSCRIBE, subscription_id=number)
            await mover.finish(working)


async def _no_notification(path: str, body: Mapping[str, Any]) -> Status:
    return Status.NOT_FOUND


class _Mover:
    """Takes notifications at once and carries them out one after the other."""

    def __init__(self, trigger: Trigger, stack: AsyncExitStack) -> None:
        self._trigger, self._stack = trigger, stack
        self._events: asyncio.Queue[JsonObject | None] = asyncio.Queue()
        self._prepared: dict[str, tuple[Handover, Edge, Move]] = {}
        self._handovers: dict[str, tuple[Handover, Edge]] = {}
        self._services: dict[str, str] = {}
        self.figures: dict[str, int] = {"prepared": 0, "moved": 0, "failed": 0}

    async def take(self, path: str, body: JsonObject) -> bool:
        """Queue a notification; it is answered before anything is done."""
        if body.get("notificationType") != amsi.NOTIFICATION_TYPE:
            return body.get("notificationType") in ("TestNotification", "ExpiryNotification")
        self._events.put_nowait(body)
        return True

    async def finish(self, working: asyncio.Task[None]) -> None:
        """Carry out what has come, and give up what was only prepared."""
        self._events.put_nowait(None)
        await working
        await self._abort(list(self._prepared))
        for service_id in self._services.values():
            with suppress(Mp1Error):
                await self._trigger.mp1.call(amsi.API, amsi.DEREGISTER, service_id=service_id)

    async def work(self) -> None:
        """Carry out notifications in the order they came."""
        while (event := await self._events.get()) is not None:
            try:
                await self._carry_out(event)
            except (Mp1Error, RequestFailed, Unreachable, CannotMove) as error:
                _log.warning("mobility notification not carried out: %s", error)
            except Exception:
                _log.exception("mobility notification")

    async def _carry_out(self, event: JsonObject) -> None:
        devices = [one for one in event.get("associateId") or () if isinstance(one, dict | str)]
        aes = {ae_id: device for device in devices for ae_id in await self._aes_of(device)}
        if event.get("mobilityStatus") == amsi.FAILED:
            await self._abort([ae_id for ae_id in aes if ae_id in self._prepared])
            return
        if not aes:
            _log.info("mobility notification names no device of %s", self._trigger.source.profile.cse_id)
            return
        handover, target = await self._handover(event)
        await asyncio.gather(*(self._prepare(ae_id, handover, target) for ae_id in aes))
        if event.get("mobilityStatus") == amsi.COMPLETED:
            await asyncio.gather(*(self._complete(ae_id, device) for ae_id, device in aes.items()))

    async def _aes_of(self, device: Any) -> list[str]:
        value = str(device.get("value", "")) if isinstance(device, dict) else device
        client = self._trigger.source.client
        if value[:1] in ("C", "S"):
            with suppress(RequestFailed):
                if (await client.retrieve(value)).get("ty") == 2:
                    return [value]
        return await aes_with(client, [ASSOCIATE_LABEL + value])

    async def _handover(self, event: JsonObject) -> tuple[Handover, Edge]:
        named = (event.get("targetAppInfo") or {}).get("appInstanceId", "")
        found = await cse_at(self._trigger.mp1, named) if named else None
        found = found or self._trigger.target
        if found is None:
            raise CannotMove(f"the registry has no CSE of application instance {named!r}, and no other target is set")
        url, cse_id = found
        if url not in self._handovers:
            trigger = self._trigger
            client = Client(url, cse_id=cse_id, originator=trigger.originator)
            await self._stack.enter_async_context(client)
            target = await edge_of(client, url)
            journal = None
            if trigger.journal:
                journal = journal_of(trigger.source, target)
                self._stack.push_async_callback(journal.close)
            handover = Handover(trigger.source, target, trigger.options, trigger.arrive, arbiter(trigger.mp1), journal)
            self._handovers[url] = handover, target
        return self._handovers[url]

    async def _prepare(self, ae_id: str, handover: Handover, target: Edge) -> None:
        if ae_id in self._prepared:
            return
        try:
            self._prepared[ae_id] = handover, target, await handover.prepare(ae_id)
        except (CannotMove, RequestFailed, Unreachable) as error:
            self._say(Outcome(ae_id, trouble=str(error)))
        else:
            self.figures["prepared"] += 1

    async def _complete(self, ae_id: str, device: Any) -> None:
        if ae_id not in self._prepared:
            return
        handover, target, move = self._prepared.pop(ae_id)
        outcome = await handover.complete(move)
        if not outcome.trouble:
            try:
                await claim_exposed(self._trigger.mp1, target, ae_id)
                await self._transferred(ae_id, device)
            except (Mp1Error, RequestFailed, Unreachable) as error:
                outcome = replace(outcome, trouble=f"moved, but the MEC registry could not be told: {error}")
        self._say(outcome)

    def _say(self, outcome: Outcome) -> None:
        self.figures["failed" if outcome.trouble else "moved"] += 1
        if outcome.trouble:
            _log.warning("%s: %s", outcome.ae_id, outcome.trouble)
        if self._trigger.done is not None:
            self._trigger.done(outcome)

    async def _abort(self, ae_ids: list[str]) -> None:
        for ae_id in ae_ids:
            handover, _, move = self._prepared.pop(ae_id)
            with suppress(RequestFailed, Unreachable):
                await handover.abort(move)

    async def _transferred(self, ae_id: str, device: Any) -> None:
        """Report that the device's context is at the target (contextTransferState 1) [MEC 021 7.2.2]."""
        info = {
            "serviceConsumerId": {"appInstanceId": cse_app_id(self._trigger.source.profile)},
            "deviceInformation": [
                {
                    "associateId": device,
                    "appMobilityServiceLevel": amsi.WITHOUT_CONFIRMATION,
                    "contextTransferState": 1,
                }
            ],
        }
        if ae_id in self._services:
            await self._trigger.mp1.call(amsi.API, amsi.REPLACE, info, service_id=self._services[ae_id])
            return
        made = await self._trigger.mp1.call(amsi.API, amsi.REGISTER, info)
        self._services[ae_id] = made.location.rstrip("/").rpartition("/")[2]
