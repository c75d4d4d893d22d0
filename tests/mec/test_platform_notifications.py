"""Callbacks of the embedded platform: order, retries, failures on record, slow and dead subscribers, addresses."""

import asyncio
import ipaddress

import pytest
from aiohttp import web

from mec_adapter.platform.config import NotificationPolicy
from mec_adapter.platform.notifier import Notifier
from mec_adapter.platform.outbound import address_rule
from tests.mec.conftest import FAST, Mep, StartMep, Subscriber, until


async def subscribe(mep: Mep, callback: str) -> str:
    """Subscribe to all services and return the id of the subscribing application instance."""
    app_id = await mep.app()
    answer = await mep.post(
        f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions",
        {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": callback},
    )
    assert answer.status == 201
    return app_id


async def failures(mep: Mep, count: int) -> list[dict[str, object]]:
    """Return the record of failures when it holds `count`."""
    await until(lambda: len(mep.platform.notifier.failures) >= count)
    answer = await mep.get("/mep/v1/notifications/failures")
    assert answer.status == 200
    return list(answer.body)


@pytest.mark.behaviour("M11-7.01")
async def test_notifications_of_a_subscription_keep_their_order(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await subscribe(mep, subscriber.url)
    subscriber.answers = [503, 503]
    for number in range(10):
        await mep.service(app_id, serName=f"s{number}")
    received = await subscriber.wait_for(12)
    names = [entry["serviceReferences"][0]["serName"] for entry in received]
    assert names == ["s0", "s0", *[f"s{number}" for number in range(10)]]


@pytest.mark.parametrize("status", [500, 503, 408, 429])
@pytest.mark.behaviour("M11-7.02")
async def test_busy_subscribers_are_tried_again(mep: Mep, subscriber: Subscriber, status: int) -> None:
    app_id = await subscribe(mep, subscriber.url)
    subscriber.answers = [status]
    await mep.service(app_id)
    received = await subscriber.wait_for(2)
    assert received[0] == received[1]
    assert mep.platform.notifier.failure_list() == []


@pytest.mark.behaviour("M11-7.03")
async def test_after_the_last_attempt_the_failure_is_on_record(mep: Mep, subscriber: Subscriber) -> None:
    app_id = await subscribe(mep, subscriber.url)
    subscriber.answers = [500] * FAST.attempts
    await mep.service(app_id, serName="lost")
    record = (await failures(mep, 1))[0]
    assert record["callbackReference"] == subscriber.url
    assert record["notificationType"] == "SerAvailabilityNotification"
    assert record["attempts"] == FAST.attempts
    assert "500" in str(record["reason"])
    await mep.service(app_id, serName="next")
    received = await subscriber.wait_for(FAST.attempts + 1)
    assert received[-1]["serviceReferences"][0]["serName"] == "next"


@pytest.mark.parametrize("status", [400, 404, 302])
@pytest.mark.behaviour("M11-7.02")
async def test_final_answers_are_not_tried_again(mep: Mep, subscriber: Subscriber, status: int) -> None:
    app_id = await subscribe(mep, subscriber.url)
    subscriber.answers = [status]
    await mep.service(app_id)
    record = (await failures(mep, 1))[0]
    assert (record["attempts"], len(subscriber.received)) == (1, 1)


@pytest.mark.behaviour("M11-7.04")
async def test_dead_subscriber_is_recorded_and_delays_nobody(mep: Mep, subscriber: Subscriber) -> None:
    dead = await subscribe(mep, "http://127.0.0.1:9/gone")
    await subscribe(mep, subscriber.url)
    await mep.service(dead)
    await subscriber.wait_for(1)
    assert (await failures(mep, 1))[0]["callbackReference"] == "http://127.0.0.1:9/gone"


@pytest.mark.behaviour("M11-7.04")
async def test_silent_subscriber_delays_no_request(start_mep: StartMep, subscriber: Subscriber) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", hang)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    policy = NotificationPolicy(attempts=1, timeout_s=30)
    async with start_mep(notifications=policy) as mep:
        app_id = await subscribe(mep, f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await subscribe(mep, subscriber.url)
        async with asyncio.timeout(5):
            for _ in range(5):
                await mep.service(app_id)
            await subscriber.wait_for(5)
        assert mep.platform.notifier.waiting() == 4
    release.set()
    await runner.cleanup()


@pytest.mark.behaviour("M11-7.03")
async def test_timeout_is_recorded(start_mep: StartMep) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with start_mep(notifications=NotificationPolicy(attempts=1, timeout_s=0.05)) as mep:
        await mep.service(await subscribe(mep, f"http://127.0.0.1:{port}/"))
        assert "no answer within 0.05 s" in str((await failures(mep, 1))[0]["reason"])
    server.close()


async def test_full_queue_gives_up_the_oldest_and_says_so(start_mep: StartMep) -> None:
    policy = NotificationPolicy(attempts=100, first_pause_s=30, queue_length=2)
    async with start_mep(notifications=policy) as mep:
        app_id = await subscribe(mep, "http://127.0.0.1:9/")
        await mep.service(app_id, serName="a")
        await until(lambda: mep.platform.notifier.waiting() == 0)  # the first is on its way, not waiting
        for name in ("b", "c", "d"):
            await mep.service(app_id, serName=name)
        record = (await failures(mep, 1))[0]
        assert "more than 2" in str(record["reason"])
        assert mep.platform.notifier.waiting() == 2


@pytest.mark.behaviour("M11-7.06")
async def test_after_unsubscribing_nothing_more_is_sent(start_mep: StartMep, subscriber: Subscriber) -> None:
    async with start_mep(notifications=NotificationPolicy(attempts=3, first_pause_s=30)) as mep:
        app_id = await subscribe(mep, subscriber.url)
        subscriber.answers = [500]
        await mep.service(app_id)
        await mep.service(app_id)
        await subscriber.wait_for(1)
        path = f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions"
        href = (await mep.get(path)).body["_links"]["subscriptions"][0]["href"]
        assert (await mep.delete(href)).status == 204
        assert mep.platform.notifier.waiting() == 0
        await mep.service(app_id)
        assert mep.platform.notifier.waiting() == 0
        assert len(subscriber.received) == 1


@pytest.mark.parametrize(
    ("networks", "loopback", "address", "allowed"),
    [
        ((), True, "127.0.0.1", True),
        ((), False, "127.0.0.1", False),
        ((), False, "::1", False),
        ((), False, "::ffff:127.0.0.1", False),
        ((), True, "169.254.169.254", False),
        ((), True, "::ffff:169.254.169.254", False),
        ((), True, "224.0.0.1", False),
        ((), True, "0.0.0.0", False),
        ((), False, "10.1.2.3", True),
        ((), False, "8.8.8.8", True),
        (("10.0.0.0/8",), True, "10.1.2.3", True),
        (("10.0.0.0/8",), True, "127.0.0.1", False),
        (("10.0.0.0/8",), True, "8.8.8.8", False),
        (("::1/128",), False, "::1", True),
    ],
)
@pytest.mark.behaviour("M11-7.07")
def test_where_callbacks_may_go(networks: tuple[str, ...], loopback: bool, address: str, allowed: bool) -> None:
    assert address_rule(networks, loopback)(ipaddress.ip_address(address)) is allowed


@pytest.mark.behaviour("M11-7.07")
async def test_a_name_that_resolves_to_a_forbidden_address_is_not_called(subscriber: Subscriber) -> None:
    from mec_adapter.platform.events import Delivery

    notifier = Notifier(NotificationPolicy(attempts=1), address_rule((), loopback=False), lambda: 0.0)
    callback = subscriber.url.replace("127.0.0.1", "localhost")
    notifier.enqueue(Delivery("sub", callback, {"notificationType": "Test"}))
    await until(lambda: bool(notifier.failures))
    await notifier.close()
    assert subscriber.received == []
    assert "callback" in notifier.failures[0].reason
