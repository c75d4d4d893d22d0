"""Verification of notification targets is bounded per creator and per target (trust.md R12)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from cse.app import Cse
from cse.config import CseConfig
from cse.onem2m.errors import SubscriptionVerificationInitiationFailed
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send
from cse.verification import VerificationLimits, Verifications, creator_of, is_here, target_of


class Clock:
    """A clock that stands until it is set."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def verification(url: str = "http://192.0.2.1/notify", creator: str = "Cae", **fields: Any) -> Send:
    """A request that asks a target."""
    content = {"m2m:sgn": {"vrq": True, "sur": "/id-in/s", "cr": creator}}
    return Send(Request(Operation.NOTIFY, "x", "/id-in", "1", content=content), urls=(url,) if url else (), **fields)


def without_waiting(**limits: Any) -> tuple[Verifications, Clock]:
    """Turns that are taken at once or refused."""
    clock = Clock()
    return Verifications(VerificationLimits(**{"wait_s": 0.0, **limits}), clock), clock


async def turns(verifications: Verifications, send: Send, most: int = 50) -> int:
    """How many turns there are before one is refused."""
    for number in range(most):
        try:
            async with verifications.turn("Cae", send):
                pass
        except SubscriptionVerificationInitiationFailed:
            return number
    return most


async def test_a_target_is_asked_a_few_times_and_then_once_a_second() -> None:
    verifications, clock = without_waiting(burst=3)
    assert await turns(verifications, verification("http://192.0.2.1/one")) == 3
    assert await turns(verifications, verification("http://192.0.2.1:81/two")) == 0  # the same machine is hit
    assert await turns(verifications, verification("http://192.0.2.2/")) == 3
    clock.now_s += 1.0
    assert await turns(verifications, verification()) == 1
    clock.now_s += 1000.0
    assert await turns(verifications, verification()) == 3
    assert verifications.refused == 5


async def test_it_waits_for_its_turn_when_that_is_soon() -> None:
    loop = asyncio.get_running_loop()
    verifications = Verifications(VerificationLimits(burst=1, rate_per_s=20), loop.time)
    began = loop.time()
    assert await turns(verifications, verification(), 4) == 4
    assert loop.time() - began >= 0.14


async def test_a_creator_has_few_at_a_time() -> None:
    verifications, _ = without_waiting()
    go_on = asyncio.Event()

    async def ask(number: int, creator: str = "Cae") -> None:
        async with verifications.turn(creator, verification(f"http://192.0.2.{number}/")):
            await go_on.wait()

    asking = [asyncio.create_task(ask(number)) for number in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(SubscriptionVerificationInitiationFailed, match="5 targets of yours"):
        await ask(9)
    go_on.set()
    await ask(9, "Cother")
    await asyncio.gather(*asking)
    await ask(9)
    assert not verifications._running


async def test_what_is_remembered_is_bounded_and_this_machine_is_free() -> None:
    verifications, _ = without_waiting(burst=1)
    for number in range(12_000):
        await turns(verifications, verification(f"http://10.{number % 100}.{number // 100}.1/"), 1)
    assert len(verifications._next_s) <= 10_000
    assert await turns(verifications, verification("http://127.0.0.1:9/")) == 50
    assert await turns(verifications, verification("mqtt://localhost/Cae")) == 50
    counted, _ = without_waiting(burst=2, loopback=True)
    assert await turns(counted, verification("http://127.0.0.1:9/")) == 2


def test_who_is_hit() -> None:
    assert target_of(verification("coap://[2001:db8::1]:5683/x")) == "2001:db8::1"
    assert target_of(verification("mqtt://192.0.2.1/Cae")) == "mqtt://192.0.2.1/Cae"
    assert target_of(verification("", receiver="Cae", channel="p")) == "Cae"
    assert target_of(verification("http://[bad/")) == "http://[bad/"
    assert is_here("::1")
    assert not is_here("Cae")
    assert not is_here("example.org")
    assert creator_of(verification()) == "Cae"
    assert creator_of(Send(Request(Operation.NOTIFY, "x", "C", "1", content={"m2m:sgn": {"sur": "x"}}))) == ""
    assert creator_of(Send(Request(Operation.NOTIFY, "x", "C", "1", content=[1]))) == ""


async def test_a_subscription_whose_target_is_asked_too_often_is_refused_and_not_made() -> None:
    async def take(request: web.Request) -> web.Response:
        return web.Response(headers={"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]})

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    config = CseConfig(http="127.0.0.1:0", coap="off", store="memory", insecure_dev=True, admin=("CAdmin",))
    cse = Cse(config)
    cse.verifications = Verifications(VerificationLimits(burst=2, wait_s=0.0, loopback=True), Clock())
    await cse.start()
    try:
        answers = [await _subscribe(cse, url, name) for name in ("a", "b", "c")]
        assert [answer.status for answer in answers] == [
            Status.CREATED,
            Status.CREATED,
            Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED,
        ]
        assert "too often: subscribe with it again in" in answers[2].content["m2m:dbg"]
        missing = await cse.serve(Request(Operation.RETRIEVE, "cse-in/c", "CAdmin", "r", release="3"))
        assert missing.status is Status.NOT_FOUND
    finally:
        await cse.stop()
        await runner.cleanup()


async def _subscribe(cse: Cse, url: str, name: str) -> Response:
    content = {"m2m:sub": {"rn": name, "nu": [url], "enc": {"net": [3]}}}
    return await cse.serve(Request(Operation.CREATE, "cse-in", "CAdmin", name, 23, content, "3"))
