"""Delivery: order per target, no target waits for another, nothing behind a fault is lost (trust.md R8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cse import delivery
from cse.delivery import Delivery
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable


class Network:
    """A sending side whose targets behave as their host names say."""

    def __init__(self) -> None:
        self.delivered: list[tuple[str, str]] = []
        self.attempts: list[str] = []
        self.hanging = asyncio.Event()

    async def send(self, url: str, send: Send) -> Response:
        """Deliver, hang, fail, or break."""
        self.attempts.append(url)
        if "hang" in url:
            await self.hanging.wait()
        if "dead" in url or ("flaky" in url and self.attempts.count(url) < 3):
            raise Unreachable("no connection")
        if "fault" in url and send.request.request_id == "1":
            raise KeyError("a bug")
        self.delivered.append((url, send.request.request_id))
        return Response(Status.BAD_REQUEST if "refuse" in url else Status.OK, send.request.request_id)

    async def close(self) -> None:
        """Nothing to close."""


def notification(number: int, *urls: str) -> Send:
    """The notification with this number for these points of access."""
    return Send(Request(Operation.NOTIFY, "x", "/id-in", str(number), content={"m2m:sgn": {}}), urls, timeout_s=2.0)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network, with short pauses between attempts."""
    monkeypatch.setattr(delivery, "RETRY_PAUSES_S", (0.01, 0.01, 0.01))
    return Network()


@pytest.fixture
async def sending(network: Network) -> AsyncIterator[Delivery]:
    """A delivery over that network."""

    async def serve_local(request: Request) -> Response:
        raise AssertionError("nothing here is for the CSE itself")

    made = Delivery({"http": network}, serve_local, "/id-in", lambda send, answer: None)
    yield made
    network.hanging.set()
    with contextlib.suppress(asyncio.CancelledError):
        await made.stop(1.0)


async def settled(sending: Delivery, network: Network, count: int) -> None:
    """Wait until so many notifications were delivered or given up."""
    async with asyncio.timeout(5):
        while sending.counts.sent + sending.counts.failed < count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_order_is_kept_per_target(sending: Delivery, network: Network) -> None:
    for number in range(50):
        sending.post(notification(number, f"http://t{number % 2}/"))
    await settled(sending, network, 50)
    for target in (0, 1):
        numbers = [int(found) for url, found in network.delivered if url == f"http://t{target}/"]
        assert numbers == list(range(target, 50, 2))


async def test_a_hanging_target_delays_nobody_else(sending: Delivery, network: Network) -> None:
    sending.post(notification(1, "http://hang/"))
    sending.post(notification(2, "http://good/"))
    await settled(sending, network, 1)
    assert network.delivered == [("http://good/", "2")]


async def test_a_target_that_comes_back_gets_its_notification(sending: Delivery, network: Network) -> None:
    sending.post(notification(1, "http://flaky/"))
    await settled(sending, network, 1)
    assert network.delivered == [("http://flaky/", "1")]
    assert sending.counts.sent == 1


async def test_a_dead_target_is_given_up_and_the_next_point_of_access_is_used(
    sending: Delivery, network: Network
) -> None:
    sending.post(notification(1, "http://dead/"))
    sending.post(notification(2, "http://dead2/", "http://good/"))
    await settled(sending, network, 2)
    assert network.delivered == [("http://good/", "2")]
    assert (sending.counts.sent, sending.counts.failed) == (1, 1)
    assert network.attempts.count("http://dead/") == 4


async def test_a_refusal_is_not_tried_again(sending: Delivery, network: Network) -> None:
    sending.post(notification(1, "http://refuse/"))
    await settled(sending, network, 1)
    assert network.attempts == ["http://refuse/"]


async def test_a_fault_of_ours_costs_one_notification_only(sending: Delivery, network: Network) -> None:
    for number in (1, 2, 3):
        sending.post(notification(number, "http://fault/"))
    await settled(sending, network, 3)
    assert network.delivered == [("http://fault/", "2"), ("http://fault/", "3")]
    assert sending.counts.failed == 1


async def test_an_unknown_scheme_is_said_in_words(sending: Delivery, caplog: Any) -> None:
    assert await sending.ask(notification(1, "ftp://x/")) is None
    sending.post(notification(1, "ftp://x/"))
    async with asyncio.timeout(5):
        while not sending.counts.failed:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    assert "that binding is off" in caplog.text
