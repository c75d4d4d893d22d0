"""Subscriptions of the client over every binding, against the real CSE: each event once, to who asked for it."""

import asyncio
import secrets

import pytest

from cse.client import Client, Notification, RequestFailed, Subscription
from cse.client.notifications import NotificationRouter
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.storage.memory import MemoryStore
from tests.client.running import running_cse


def _stem() -> str:
    return f"Ct{secrets.token_hex(4)}"


async def _take(subscription: Subscription, count: int) -> list[Notification]:
    async with asyncio.timeout(10):
        return [await anext(subscription) for _ in range(count)]


async def test_every_instance_arrives_once_and_in_order(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        async with await client.subscribe("-/me/data") as subscription:
            for number in range(20):
                await client.post("-/me/data", str(number))
            taken = await _take(subscription, 20)
            assert [notification.resource["con"] for notification in taken] == [str(number) for number in range(20)]
            assert {(n.root, n.event, n.subscription) for n in taken} == {("m2m:cin", 3, subscription.id)}
        with pytest.raises(RequestFailed):
            await client.retrieve(subscription.id)
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


async def test_updates_and_deletion(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        subscription = await client.subscribe("-/me/data", events=(1, 2))
        await client.update("-/me/data", 3, {"lbl": ["new"]})
        (updated,) = await _take(subscription, 1)
        assert (updated.event, updated.root, updated.resource["lbl"]) == (1, "m2m:cnt", ["new"])
        await client.delete("-/me/data")
        # the deletion is an event, and it takes the subscription with it: the iteration ends by itself
        async with asyncio.timeout(10):
            rest = [notification async for notification in subscription]
        assert [(notification.event, notification.resource["rn"]) for notification in rest] == [(2, "data")]
        assert subscription.ended


async def test_two_subscriptions_of_one_client_are_kept_apart(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        for name in ("a", "b"):
            await client.create_container("-/me", name)
        of_a, of_b = await client.subscribe("-/me/a"), await client.subscribe("-/me/b", name="to-b", types=[4])
        assert of_b.resource["rn"] == "to-b"
        await client.post("-/me/a", "for a")
        await client.post("-/me/b", "for b")
        assert [n.resource["con"] for n in await _take(of_a, 1)] == ["for a"]
        assert [n.resource["con"] for n in await _take(of_b, 1)] == ["for b"]


async def test_a_subscription_of_an_earlier_run_is_replaced(cse_url: str) -> None:
    originator = _stem()
    async with Client(cse_url, originator=originator) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        old = await client.subscribe("-/me/data", name="mine")
        with pytest.raises(RequestFailed):
            await client.subscribe("-/me/data", name="mine")
        new = await client.subscribe("-/me/data", name="mine", replace=True)
        await client.post("-/me/data", "once")
        assert [n.resource["con"] for n in await _take(new, 1)] == ["once"]
        async with asyncio.timeout(10):
            assert [n async for n in old] == []


async def test_addresses_only_when_asked_for(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem()) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        subscription = await client.subscribe("-/me/data", nct=3)
        made = await client.post("-/me/data", "x")
        (notification,) = await _take(subscription, 1)
        assert notification.root == "m2m:uri"
        assert notification.resource["uri"].endswith("/" + made["ri"])


async def test_a_client_that_ends_leaves_no_subscription(http_cse: str) -> None:
    originator = _stem()
    async with Client(http_cse, originator=originator) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        await client.subscribe("-/me/data")
    async with Client(http_cse, originator=originator) as client:
        assert await client.discover("-/me", types=[23]) == []


async def test_a_listener_the_cse_cannot_reach_is_refused(http_cse: str, free_port: int) -> None:
    public_url = f"http://127.0.0.1:{free_port}"
    async with Client(http_cse, originator=_stem(), public_url=public_url) as client:
        await client.register("Ntest", "me")
        with pytest.raises(RequestFailed) as refused:
            await client.subscribe("-/me")
        assert refused.value.status is Status.SUBSCRIPTION_VERIFICATION_INITIATION_FAILED


def _notify(to: str, request_id: str, **body: object) -> Request:
    return Request(Operation.NOTIFY, to, "/id-in", request_id, content={"m2m:sgn": body})


def _event(value: str) -> dict[str, object]:
    return {"nev": {"rep": {"m2m:cin": {"con": value}}, "net": 3}, "sur": "/id-in/ri1"}


def _known(router: NotificationRouter, name: str = "token", queue_size: int = 10) -> Subscription:
    async def unsubscribe(_subscription: Subscription) -> None:
        """Nothing to delete."""

    subscription = Subscription(name, queue_size)
    router.expect(subscription)
    subscription.bind({"ri": "ri1", "rn": name}, unsubscribe)
    router.settle(subscription)
    return subscription


async def test_a_notification_sent_twice_is_delivered_once() -> None:
    router = NotificationRouter()
    subscription = _known(router)
    for request_id in ("1", "1", "2", "2"):
        assert (await router.serve(_notify("token", request_id, **_event(request_id)))).status is Status.OK
    subscription.end()
    assert [n.resource["con"] async for n in subscription] == ["1", "2"]


async def test_a_full_queue_makes_the_cse_wait() -> None:
    router = NotificationRouter(patience_s=0.05)
    subscription = _known(router, queue_size=1)
    assert (await router.serve(_notify("token", "1", **_event("1")))).status is Status.OK
    assert (await router.serve(_notify("token", "2", **_event("2")))).status is Status.TARGET_NOT_REACHABLE
    assert (await anext(subscription)).resource["con"] == "1"
    assert (await router.serve(_notify("token", "2", **_event("2")))).status is Status.OK
    assert (await anext(subscription)).resource["con"] == "2"


async def test_the_last_word_waits_behind_the_notifications_before_it() -> None:
    router = NotificationRouter(patience_s=None)
    subscription = _known(router, queue_size=1)
    requests = [_notify("token", str(number), **_event(str(number))) for number in range(4)]
    serving = [asyncio.create_task(router.serve(request)) for request in requests]
    serving.append(asyncio.create_task(router.serve(_notify("token", "9", sud=True, sur="/id-in/ri1"))))
    async with asyncio.timeout(5):
        assert [n.resource["con"] async for n in subscription] == ["0", "1", "2", "3"]
        assert {response.status for response in await asyncio.gather(*serving)} == {Status.OK}


async def test_closing_lets_go_of_what_waits_for_room() -> None:
    router = NotificationRouter(patience_s=None)
    subscription = _known(router, queue_size=1)
    requests = [_notify("token", str(number), **_event(str(number))) for number in range(4)]
    serving = [asyncio.create_task(router.serve(request)) for request in requests]
    await asyncio.sleep(0)
    subscription.end()
    async with asyncio.timeout(5):
        await asyncio.gather(*serving)
        assert [n.resource["con"] async for n in subscription] == ["0"]


async def test_a_slow_application_loses_nothing(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem(), queue_size=1) as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        subscription = await client.subscribe("-/me/data")
        for number in range(30):
            await client.post("-/me/data", str(number))
        taken = []
        for _ in range(30):
            await asyncio.sleep(0.005)
            taken += await _take(subscription, 1)
        assert [n.resource["con"] for n in taken] == [str(number) for number in range(30)]


async def test_cbor_clients_are_notified_too(cse_url: str) -> None:
    async with Client(cse_url, originator=_stem(), serialisation="cbor") as client:
        await client.register("Ntest", "me")
        await client.create_container("-/me", "data")
        subscription = await client.subscribe("-/me/data")
        await client.post("-/me/data", {"t": 1.5})
        assert [n.resource["con"] for n in await _take(subscription, 1)] == [{"t": 1.5}]


@pytest.mark.parametrize("binding", ["http", "coap", "mqtt"])
async def test_a_large_instance_arrives(binding: str, mosquitto_url: str) -> None:
    async with running_cse(MemoryStore(), mqtt=mosquitto_url) as cse:
        urls = cse.addresses()
        originator = _stem()
        async with (
            Client(urls["http"], originator=originator) as sender,
            Client(urls[binding], originator=originator, timeout_s=20) as receiver,
        ):
            await sender.register("Ntest", "me")
            await sender.create_container("-/me", "data")
            subscription = await receiver.subscribe("-/me/data")
            await sender.post("-/me/data", "x" * 40_000)
            assert len((await _take(subscription, 1))[0].resource["con"]) == 40_000


async def test_what_comes_before_the_answer_waits_for_it() -> None:
    router = NotificationRouter()
    subscription = Subscription("name", 10)
    router.expect(subscription)
    verification = await router.serve(_notify("a/topic", "0", vrq=True, sur="/id-in/ri1"))
    assert verification.status is Status.OK
    early = asyncio.create_task(router.serve(_notify("a/topic", "1", **_event("early"))))
    await asyncio.sleep(0)
    assert not early.done()

    async def unsubscribe(_subscription: Subscription) -> None:
        """Nothing to delete."""

    subscription.bind({"ri": "ri1", "rn": "name"}, unsubscribe)
    router.settle(subscription)
    assert (await early).status is Status.OK
    assert (await anext(subscription)).resource["con"] == "early"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Request(Operation.RETRIEVE, "token", "/id-in", "1"), Status.OPERATION_NOT_ALLOWED),
        (Request(Operation.NOTIFY, "token", "/id-in", "1"), Status.BAD_REQUEST),
        (Request(Operation.NOTIFY, "token", "/id-in", "1", content={"m2m:sgn": 7}), Status.BAD_REQUEST),
        (_notify("token", "1", nev={}), Status.BAD_REQUEST),
        (_notify("token", "1", nev={"rep": {"a": {}, "b": {}}}), Status.BAD_REQUEST),
        (_notify("other", "1", vrq=True, sur="/id-in/unknown"), Status.NOT_FOUND),
        (_notify("other", "1", **{**_event("x"), "sur": "/id-in/unknown"}), Status.NOT_FOUND),
    ],
)
async def test_what_is_no_notification_of_ours_is_refused(request_: Request, status: Status) -> None:
    router = NotificationRouter()
    _known(router)
    response = await router.serve(request_)
    assert response.status is status
    assert response.request_id == "1"
    assert response.content["m2m:dbg"]
