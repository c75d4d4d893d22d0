"""Delivery: order per target, no target waits for another, nothing behind a fault is lost (trust.md R8)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cse import delivery
from cse.bindings.http_client import HttpSender
from cse.bindings.http_sender import LeanHttpSender
from cse.delivery import Delivery
from cse.delivery_breaker import LONGEST_PAUSE_S, Breaker
from cse.delivery_log import DeliveryLog, Result
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


@pytest.mark.behaviour("PR-09.5.03")
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


def results(sending: Delivery, target: str = "") -> list[str]:
    """What the log says, in order."""
    return [str(record.result) for record in sending.log.since(0, target)]


async def test_every_attempt_is_in_the_log_and_what_was_given_up_is_a_dead_letter(
    sending: Delivery, network: Network
) -> None:
    sending.post(notification(1, "http://user:secret@dead/x?token=1"))
    sending.post(notification(2, "http://good/"))
    sending.post(notification(3, "http://refuse/"))
    await settled(sending, network, 3)
    assert results(sending, "dead") == ["failed"] * 4 + ["given up"]
    assert results(sending, "good") == ["delivered"]
    assert results(sending, "refuse") == ["failed", "refused"]
    lines = [record.as_json() for record in sending.log.since(0)]
    assert {line["target"] for line in lines} == {"http://dead/x", "http://good/", "http://refuse/"}
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    letters = {letter.record.request_id: letter for letter in sending.log.dead_letters()}
    assert set(letters) == {"1", "3"}
    assert letters["1"].record.reason == "no connection"
    assert letters["1"].as_json()["content"] == {"m2m:sgn": {}}
    assert "secret" not in str(lines)


async def test_who_follows_the_log_is_woken(sending: Delivery, network: Network) -> None:
    following = asyncio.create_task(sending.log.wait(0, 30))
    await asyncio.sleep(0)
    assert not following.done()
    sending.post(notification(1, "http://good/"))
    await asyncio.wait_for(following, 15)
    assert results(sending) == ["delivered"]


async def test_the_log_is_bounded() -> None:
    log = DeliveryLog(lambda: 0.0, records=10, dead_letters=3)
    for number in range(50):
        log.add(notification(number, "http://x/"), "http://x/", Result.GIVEN_UP)
    assert [record.number for record in log.since(0)] == list(range(41, 51))
    assert [record.number for record in log.since(47)] == [48, 49, 50]
    assert [record.number for record in log.since(0, most=2)] == [49, 50]
    assert [letter.record.number for letter in log.dead_letters()] == [48, 49, 50]
    assert log.totals == {Result.GIVEN_UP: 50}


class Keeper:
    """Takes back what was not delivered, as a subscription with pendingNotification does."""

    def __init__(self, network: Network) -> None:
        self.told: list[tuple[str, bool]] = []
        self.sending = Delivery({"http": network}, _nothing_local, "/id-in", self._tell, None, lambda send: True)

    def _tell(self, send: Send, answer: Response | None) -> None:
        self.told.append((send.request.request_id, answer is not None))


async def _nothing_local(request: Request) -> Response:
    raise AssertionError("nothing here is for the CSE itself")


def kept(number: int, url: str) -> Send:
    """A notification with a subscription."""
    return Send(
        Request(Operation.NOTIFY, "x", "/id-in", str(number), content={"m2m:sgn": {}}),
        (url,),
        timeout_s=2.0,
        subject="sub1",
        target=url,
    )


async def until(condition: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_what_is_kept_elsewhere_does_not_wait_for_an_open_circuit(network: Network) -> None:
    """One notification finds out that the target is dead; those behind it go straight back, in their order."""
    keeper = Keeper(network)
    for number in range(20):
        keeper.sending.post(kept(number, "http://dead/"))
    await until(lambda: len(keeper.told) == 20)
    assert keeper.told == [(str(number), False) for number in range(20)]
    assert len(network.attempts) == 3
    assert keeper.sending.counts.failed == 0
    assert not keeper.sending.log.dead_letters()
    await keeper.sending.stop(0.1)


async def test_stopping_gives_back_what_was_not_delivered(network: Network) -> None:
    keeper = Keeper(network)
    for number in range(5):
        keeper.sending.post(kept(number, "http://hang/"))
    await until(lambda: network.attempts)
    await keeper.sending.stop(0.05)
    assert keeper.told == [(str(number), False) for number in range(5)]


async def test_queues_are_bounded_and_what_goes_is_said(
    sending: Delivery, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "QUEUE_LENGTH", 10)
    monkeypatch.setattr(delivery, "QUEUED", 15)
    for number in range(100):
        sending.post(notification(number, "http://hang/"))
    assert sending.counts.waiting == 10
    for number in range(100, 200):
        sending.post(notification(number, "http://hang2/"))
    assert sending.counts.waiting == 15
    assert sending.counts.dropped == 185
    assert sending.log.totals[Result.DROPPED] == 185
    network.hanging.set()
    await until(lambda: not sending.counts.waiting and sending.counts.sent == 15)
    assert [number for url, number in network.delivered if url == "http://hang/"] == [str(n) for n in range(90, 100)]


async def test_the_bytes_that_wait_are_bounded(
    sending: Delivery, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "QUEUED_BYTES", 100_000)
    request = Request(Operation.NOTIFY, "x", "/id-in", "1", content={"m2m:sgn": {"x": "y" * 10_000}})
    for _ in range(100):
        sending.post(Send(request, ("http://hang/",), timeout_s=2.0))
    assert sending.counts.waiting < 30


@pytest.mark.behaviour("PR-21.01")
async def test_of_latest_notifications_only_the_newest_waits(sending: Delivery, network: Network) -> None:
    for number in range(10):
        request = Request(Operation.NOTIFY, "x", "/id-in", str(number), content={}, event_category=4)
        sending.post(Send(request, ("http://hang/",), timeout_s=2.0, target="t"))
    await until(lambda: network.attempts)
    network.hanging.set()
    await until(lambda: len(network.delivered) == 2 or not sending.counts.waiting)
    await settled(sending, network, 1)
    assert network.delivered[-1] == ("http://hang/", "9")
    assert sending.counts.dropped >= 8


async def test_a_hundred_hanging_targets_leave_room_for_others(sending: Delivery, network: Network) -> None:
    for number in range(400):
        sending.post(notification(number, f"http://hang{number}/"))
    await until(lambda: len(network.attempts) == 400)
    sending.post(notification(400, "http://good/"))
    await until(lambda: network.delivered)
    assert network.delivered == [("http://good/", "400")]


async def test_order_survives_failures_in_between(sending: Delivery, network: Network) -> None:
    for number in range(10):
        sending.post(notification(number, "http://flaky/"))
    await settled(sending, network, 10)
    assert [number for _, number in network.delivered] == [str(number) for number in range(10)]


def test_pauses_grow_with_jitter_up_to_a_limit_and_end_with_an_answer() -> None:
    now, jitter = [100.0], [0.5]
    breaker = Breaker(lambda: now[0], lambda: jitter[0], (0.2, 1.0, 3.0), remembered=3)
    assert breaker.pause_s("t") == 0
    pauses = []
    for _ in range(8):
        breaker.failed("t")
        pauses.append(round(breaker.pause_s("t"), 3))
    assert pauses == [0.2, 1.0, 3.0, 6.0, 12.0, 24.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    jitter[0] = 0.0
    breaker.failed("t")
    assert breaker.pause_s("t") == LONGEST_PAUSE_S * 0.75
    now[0] += 100
    assert breaker.pause_s("t") == 0
    circuit = breaker.get("t")
    assert circuit is not None
    assert circuit.is_open
    breaker.answered("t")
    assert breaker.get("t") is None
    for number in range(10):
        breaker.failed(f"t{number}")
    assert len(breaker) == 3


async def test_a_dead_target_costs_its_own_queue_only_so_long(
    sending: Delivery, network: Network, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.05)
    caplog.set_level(logging.CRITICAL)
    for number in range(50):
        sending.post(notification(number, "http://dead/"))
    await until(lambda: sending.counts.failed == 50)
    assert len(network.attempts) < 20
    assert "nobody answered for" in sending.log.dead_letters()[-1].record.reason


class Kept:
    """A store that keeps every notification until it was sent."""

    def __init__(self, *sends: Send) -> None:
        self.waiting = list(sends)

    def unsent(self) -> list[Send]:
        """All of them."""
        return list(self.waiting)

    def keeps(self, send: Send) -> bool:
        """Until it was sent."""
        return send in self.waiting

    def sent(self, send: Send) -> None:
        """Forget it."""
        if send in self.waiting:
            self.waiting.remove(send)


async def test_what_was_on_its_way_goes_first_and_nothing_goes_before_the_senders_are_there(
    sending: Delivery, network: Network
) -> None:
    store = Kept(notification(1, "http://t/"), notification(2, "http://refuse/"), notification(3, "http://t/"))
    sending.resume(store)
    sending.post(notification(4, "http://t/"))
    await asyncio.sleep(0)
    assert network.attempts == []
    sending.open()
    await settled(sending, network, 4)
    assert [number for url, number in network.delivered if url == "http://t/"] == ["1", "3", "4"]
    assert store.waiting == [], "what was refused needs no more care either"


async def test_a_dead_target_costs_its_place_in_the_store_only_when_it_is_given_up(
    sending: Delivery, network: Network
) -> None:
    store = Kept(notification(1, "http://dead/"))
    sending.resume(store)
    sending.open()
    await settled(sending, network, 1)
    assert store.waiting == []


async def test_what_is_stored_is_not_given_up_by_a_stop(network: Network) -> None:
    async def serve_local(request: Request) -> Response:
        raise AssertionError("nothing here is for the CSE itself")

    ending = Delivery({"http": network}, serve_local, "/id-in")
    stored, lost = notification(1, "http://hang/"), notification(2, "http://hang2/")
    store = Kept(stored, notification(3, "http://hang/"))
    ending.resume(store)
    ending.open()
    ending.post(lost)
    await asyncio.sleep(0)
    await ending.stop(0.05)
    assert [send.request.request_id for send in store.waiting] == ["1", "3"]
    results = {record.request_id: record.result for record in ending.log.since(0) if record.result != Result.FAILED}
    assert results == {"1": Result.KEPT, "3": Result.KEPT, "2": Result.GIVEN_UP}
    assert ending.counts.failed == 1


class Target:
    """A real notification target: answers each request, closes or hangs when it is told to."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self.refused: set[int] = set()
        #: the connection ends before these are answered, once
        self.closing: set[int] = set()
        self.connections = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await reader.readexactly(length)
                number = int(head.partition("x-m2m-ri: ")[2].partition("\r\n")[0])
                if number in self.closing:
                    self.closing.discard(number)
                    break
                self.came.append(number)
                rsc = 4000 if number in self.refused else 2000
                writer.write(f"HTTP/1.1 200 OK\r\nX-M2M-RSC: {rsc}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """A target that listens."""
    made = Target()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    yield made
    server.close()


@pytest.fixture
async def lean(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Delivery]:
    """A delivery over real connections."""
    monkeypatch.setattr(delivery, "RETRY_PAUSES_S", (0.01, 0.01, 0.01))

    async def serve_local(request: Request) -> Response:
        raise AssertionError("nothing here is for the CSE itself")

    made = Delivery({"http": LeanHttpSender(HttpSender())}, serve_local, "/id-in", lambda send, answer: None)
    yield made
    await made.stop(1.0)


async def over(sending: Delivery, count: int) -> None:
    """Wait until so many were delivered or given up."""
    async with asyncio.timeout(20):
        while sending.counts.sent + sending.counts.failed < count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_what_waits_for_a_healthy_target_leaves_together_and_in_order(lean: Delivery, target: Target) -> None:
    took: list[int] = []
    sender = lean._senders["http"]
    original = sender.send_several  # type: ignore[attr-defined]

    async def counted(url: str, sends: Any) -> Any:
        took.append(len(sends))
        return await original(url, sends)

    sender.send_several = counted  # type: ignore[attr-defined]
    target.refused = {40}
    for number in range(200):
        lean.post(notification(number, target.url))
    await over(lean, 200)
    assert target.came == list(range(200))
    assert max(took) == delivery.BATCH
    assert target.connections == 1
    assert (lean.counts.sent, lean.counts.failed, lean.counts.waiting) == (199, 1, 0)
    assert [record.result for record in lean.log.since(0) if record.request_id == "40"] == [Result.REFUSED]


async def test_what_a_closed_connection_left_unanswered_is_sent_again_in_order(lean: Delivery, target: Target) -> None:
    target.closing = {10, 90}
    for number in range(150):
        lean.post(notification(number, target.url))
    await over(lean, 150)
    assert list(dict.fromkeys(target.came)) == list(range(150))
    assert (lean.counts.sent, lean.counts.failed, lean.counts.waiting) == (150, 0, 0)


async def test_a_stop_in_the_middle_of_several_loses_none(target: Target) -> None:
    async def serve_local(request: Request) -> Response:
        raise AssertionError

    told: dict[str, Response | None] = {}
    made = Delivery(
        {"http": LeanHttpSender(HttpSender())},
        serve_local,
        "/id-in",
        lambda send, answer: told.update({send.request.request_id: answer}),
    )
    for number in range(100):
        made.post(replace(notification(number, target.url), subject="sub"))
    await made.stop(0.0)
    assert set(told) == {str(number) for number in range(100)}
