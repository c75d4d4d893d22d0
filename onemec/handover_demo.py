"""``onemec handover --demo``: AEs that post all the time move between two edge CSEs; a subscriber counts.

Two MN-CSEs with SQLite and a MEC platform run as processes; the platform's mobility events (MEC 021) trigger the move.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from cse.client import Client, HttpTransport, RequestFailed, Subscription, Unreachable
from cse.onem2m.status import Status
from mec_adapter.handover import Edge, edge_of
from mec_adapter.handover_plan import Options, Outcome, percentile
from mec_adapter.handover_registry import announce_cse, claim_exposed, services_of_aes
from mec_adapter.handover_trigger import Trigger, run_handover_on_mobility
from mec_adapter.mp1.client import Mp1Client
from mec_adapter.profile import ae_identity
from onemec.process import CannotStart
from onemec.stack.ports import LOOPBACK, a_free_port

BAR_ATTACH_S = 0.2
OPERATOR = "Coperator"
_SUBSCRIBER = "Csubscriber"
_START_S = 60.0
_PATIENCE_S = 30.0
_POLL_S = 0.02
_AGAIN_S = 0.05
_OPEN = [{"acor": ["all"], "acop": 63}]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; times in seconds.

    Attributes:
        aes: how many AEs there were.
        moved: how many moved.
        sent: readings the devices took.
        acknowledged: readings a CSE has acknowledged.
        lost: acknowledged readings the subscriber did not get.
        duplicated: readings it got more than once, counted without the first time.
        copied: instances carried over.
        missing_at_target: acknowledged readings that the target does not hold once.
        left_at_source: AEs the source still has.
        registry_wrong: AEs the MEC registry does not show once, at the target.
        attach: one time for each AE: from the fence until the target served the device.
        latency: from taking a reading to the subscriber, for each reading.
        troubles: what went wrong, in words.
    """

    aes: int
    moved: int
    sent: int
    acknowledged: int
    lost: int
    duplicated: int
    copied: int
    missing_at_target: int
    left_at_source: int
    registry_wrong: int
    attach: tuple[float, ...]
    latency: tuple[float, ...]
    troubles: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the bar is met: everything moved, nothing lost or doubled, attach p95 at most 200 ms."""
        wrong = self.lost + self.duplicated + self.missing_at_target + self.left_at_source + self.registry_wrong
        complete = self.moved == self.aes and self.sent == self.acknowledged
        return complete and not wrong and not self.troubles and percentile(self.attach, 0.95) <= BAR_ATTACH_S


class _Device:
    """Takes readings at a rate and posts each until a CSE has it, at whatever CSE it is told to use."""

    def __init__(self, number: int, home: HttpTransport) -> None:
        self.name = f"dev-{number}"
        self.ae_id = f"C{self.name}"
        self.associate = f"10.0.{number // 250}.{number % 250 + 1}"
        self.client = Client(home, originator=self.ae_id)
        self.sent = self.acknowledged = 0
        self._waiting: deque[tuple[int, float]] = deque()
        self._news = asyncio.Event()

    async def register(self) -> None:
        labels = ["mec:expose", f"mec:identity={self.name}", f"mec:associate={self.associate}"]
        await self.client.register("Norg.onemec.handover", self.name, labels=labels)
        policy = await self.client.create(
            f"-/{self.name}", 1, {"rn": "open", "pv": {"acr": _OPEN}, "pvs": {"acr": _OPEN}}
        )
        await self.client.create_container(f"-/{self.name}", "data", acpi=[policy["ri"]], mni=1000)

    async def measure(self, period_s: float, phase_s: float, stop: asyncio.Event) -> None:
        """Take a reading every ``period_s`` until ``stop``."""
        loop = asyncio.get_running_loop()
        at = loop.time() + phase_s
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await stop.wait()
                    return
            self._waiting.append((self.sent, time.monotonic()))
            self.sent += 1
            self._news.set()
            at += period_s

    async def deliver(self) -> None:
        """Post what waits, in order, for ever."""
        while True:
            self._news.clear()
            while self._waiting:
                number, taken_at = self._waiting[0]
                try:
                    content = f"{number};{taken_at}"
                    await self.client.post(f"-/{self.name}/data", content, name=f"r{number}", rcn=0)
                except (RequestFailed, Unreachable) as error:
                    if not isinstance(error, RequestFailed) or error.status is not Status.CONFLICT:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(_AGAIN_S):
                                await self._news.wait()
                        self._news.clear()
                        continue
                self._waiting.popleft()
                self.acknowledged += 1
            await self._news.wait()

    async def arrive(self, home: HttpTransport) -> None:
        """Use another CSE from now on; returns when it has answered."""
        client = Client(home, originator=self.ae_id)
        await client.retrieve(f"-/{self.name}", attributes=["aei"])
        self.client = client
        self._news.set()


class _Subscriber:
    """Takes what the subscriptions bring."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()
        self.latency: list[float] = []

    async def take(self, name: str, subscription: Subscription) -> None:
        async for notification in subscription:
            number, _, taken_at = str(notification.resource["con"]).partition(";")
            self.seen[name, int(number)] += 1
            self.latency.append(time.monotonic() - float(taken_at))


async def run_demo(aes: int, rate_per_s: float, options: Options, lead_s: float = 3.0) -> Figures:
    """Run it and return what was measured.

    Args:
        aes: how many AEs.
        rate_per_s: readings per second of each.
        options: of the moves.
        lead_s: how long they post before the move begins and after it has ended, in seconds.

    Raises:
        CannotStart: a part did not start.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="onemec-handover-"))
        ports = [a_free_port()]
        while len(ports) < 3:
            ports.append(a_free_port(taken=ports))
        await asyncio.gather(
            *(stack.enter_async_context(_part(*_cse(side, ports[at], folder))) for at, side in enumerate("ab")),
            stack.enter_async_context(_part("mep", "--http", f"{LOOPBACK}:{ports[2]}", "--insecure-dev")),
        )
        urls = [f"http://{LOOPBACK}:{port}" for port in ports]
        clients = [await stack.enter_async_context(Client(url, originator=OPERATOR)) for url in urls[:2]]
        source, target = [await edge_of(client, url) for client, url in zip(clients, urls, strict=False)]
        mp1 = Mp1Client(urls[2])
        stack.push_async_callback(mp1.close)
        return await _Demo(aes, rate_per_s, options, source, target, mp1).run(stack, lead_s)


def _cse(side: str, port: int, folder: str) -> tuple[str, ...]:
    store = f"sqlite:///{Path(folder, side).resolve()}.db"
    named = ("--type", "MN", "--id", f"/id-edge-{side}", "--name", f"edge-{side}")
    return ("cse", *named, "--http", f"{LOOPBACK}:{port}", "--store", store, "--insecure-dev", "--admin", OPERATOR)


@contextlib.asynccontextmanager
async def _part(*words: str) -> AsyncIterator[None]:
    """One command of the stack as a process, from its word ready to the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onemec.stack.child", "onemec", *words, "--log-level", "warning"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_S):
            while (line := await process.stdout.readline()).strip() != b"ready":
                if not line:
                    raise CannotStart(f"onemec {' '.join(words)} did not start: run it to see why")
        yield
    except TimeoutError:
        raise CannotStart(f"onemec {words[0]} was not ready within {_START_S:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(10.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Demo:
    def __init__(
        self, aes: int, rate_per_s: float, options: Options, source: Edge, target: Edge, mp1: Mp1Client
    ) -> None:
        self._rate_per_s, self._options = rate_per_s, options
        self._source, self._target, self._mp1 = source, target, mp1
        self._homes = [HttpTransport(edge.url, cse_id=edge.profile.cse_id) for edge in (source, target)]
        self._devices = {device.ae_id: device for device in (_Device(number, self._homes[0]) for number in range(aes))}
        self._subscriber = _Subscriber()
        self._outcomes: list[Outcome] = []

    async def run(self, stack: AsyncExitStack, lead_s: float) -> Figures:
        """Post, move, go on posting, then look what has become of everything."""
        for home in self._homes:
            stack.push_async_callback(home.close)
        await self._set_up(stack)
        tasks = stack.push_async_callback
        quiet, stop, url = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().create_future()
        period_s = 1.0 / self._rate_per_s
        posting = [
            asyncio.create_task(device.measure(period_s, period_s * place / len(self._devices), quiet))
            for place, device in enumerate(self._devices.values())
        ]
        delivering = [asyncio.create_task(device.deliver()) for device in self._devices.values()]
        trigger = Trigger(
            self._mp1, self._source, OPERATOR, options=self._options, arrive=self._arrive, done=self._outcomes.append
        )
        moving = asyncio.create_task(run_handover_on_mobility(trigger, stop, url.set_result))
        tasks(_cancel, [*posting, *delivering, moving])
        await asyncio.wait({url, moving}, return_when=asyncio.FIRST_COMPLETED)
        if moving.done():
            moving.result()
        await asyncio.sleep(lead_s)
        await self._move(url.result())
        await asyncio.sleep(lead_s)
        quiet.set()
        await asyncio.gather(*posting)
        await _until(lambda: all(one.acknowledged == one.sent for one in self._devices.values()))
        await _until(lambda: len(self._subscriber.seen) == self._acknowledged())
        stop.set()
        await moving
        return await self._figures()

    async def _set_up(self, stack: AsyncExitStack) -> None:
        """The registry knows the CSEs and the AEs; the subscriber is subscribed to every AE."""
        for edge in (self._source, self._target):
            await announce_cse(self._mp1, edge.profile)
        listener = await stack.enter_async_context(Client(self._source.url, originator=_SUBSCRIBER))
        await listener.register("Norg.onemec.subscriber", "subscriber")
        listening = []
        for device in self._devices.values():
            await device.register()
            await claim_exposed(self._mp1, self._source, device.ae_id)
            # The end of a subscription is told to the AE itself, which has no point of access: it has not ended.
            subscription = await listener.subscribe(f"-/{device.name}/data", name="subscriber", su=_SUBSCRIBER)
            listening.append(asyncio.create_task(self._subscriber.take(device.name, subscription)))
        stack.push_async_callback(_cancel, listening)

    async def _move(self, listener: str) -> None:
        """Have the platform report first that the devices will move, then that they have moved."""
        app_id = await announce_cse(self._mp1, self._target.profile)
        associates = [{"type": "UE_IPv4_ADDRESS", "value": device.associate} for device in self._devices.values()]
        event = {"associateId": associates, "targetAppInfo": {"appInstanceId": app_id}}
        async with aiohttp.ClientSession() as session:

            async def report(status: int) -> None:
                body = {**event, "mobilityStatus": status}
                async with session.post(f"{self._mp1.root_url}/mep/v1/mobility_events", json=body) as answer:
                    answer.raise_for_status()

            async def prepared() -> bool:
                async with session.get(f"{listener}/status") as answer:
                    figures = await answer.json()
                return int(figures["prepared"]) + len(self._outcomes) >= len(self._devices)

            await report(1)
            await _until(prepared)
            await report(2)
            await _until(lambda: len(self._outcomes) >= len(self._devices))

    async def _arrive(self, ae_id: str, target: Edge) -> None:
        await self._devices[ae_id].arrive(self._homes[1])

    def _acknowledged(self) -> int:
        return sum(device.acknowledged for device in self._devices.values())

    async def _figures(self) -> Figures:
        devices, seen = self._devices.values(), self._subscriber.seen
        moved = [outcome for outcome in self._outcomes if not outcome.trouble]
        missing = left = wrong = 0
        offered = await services_of_aes(self._mp1)
        for device in devices:
            container = await self._target.client.retrieve(f"-/{device.name}/data")
            kept = min(device.acknowledged, container["mni"])
            missing += abs(kept - container["cni"])
            with contextlib.suppress(RequestFailed):
                await self._source.client.retrieve(f"-/{device.name}")
                left += 1
            shown = await self._target.client.retrieve(device.ae_id)
            identity = ae_identity(self._target.profile, shown)
            wrong += offered.get(identity) != [self._target.profile.cse_id]
        return Figures(
            aes=len(self._devices),
            moved=len(moved),
            sent=sum(device.sent for device in devices),
            acknowledged=self._acknowledged(),
            lost=sum(not seen[device.name, number] for device in devices for number in range(device.acknowledged)),
            duplicated=sum(count - 1 for count in seen.values() if count > 1),
            copied=sum(outcome.copied for outcome in moved),
            missing_at_target=missing,
            left_at_source=left,
            registry_wrong=wrong,
            attach=tuple(outcome.attach_s for outcome in moved),
            latency=tuple(self._subscriber.latency),
            troubles=tuple(f"{one.ae_id}: {one.trouble}" for one in self._outcomes if one.trouble),
        )


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until(condition: Any) -> None:
    """Wait for a condition, but not for ever: what has not come then is counted as lost."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        await asyncio.sleep(_POLL_S)
