"""AE handover between two edge CSEs: nothing lost, nothing doubled, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cse.client import Client, RequestFailed, Subscription
from cse.onem2m.status import Status
from mec_adapter import handover_plan as plan
from mec_adapter.handover import Edge, Handover, edge_of
from mec_adapter.handover_plan import Node, Options, Outcome, tree_of
from mec_adapter.handover_registry import announce_cse, arbiter, claim_exposed, services_of_aes
from mec_adapter.handover_tree import CannotMove, read_tree
from mec_adapter.handover_trigger import Trigger, run_handover_on_mobility
from mec_adapter.mp1.client import Mp1Client
from tests.mec.adapter_fixtures import ADMIN, contents, running_cse, until
from tests.mec.conftest import Mep
from tests.onemec.processes import run

OPEN = [{"acor": ["all"], "acop": 63}]


@dataclass
class Device:
    """Posts numbered readings 50 a second at most, each until a CSE has it."""

    name: str
    client: Client
    acknowledged: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    async def post(self) -> None:
        while not self.stopping:
            try:
                await self.client.post(f"-/{self.name}/data", self.acknowledged, name=f"r{self.acknowledged}", rcn=0)
            except RequestFailed as error:
                if error.status is not Status.CONFLICT:
                    await self.moved.wait()
                    continue
            self.acknowledged += 1
            await asyncio.sleep(0.02)  # the rate of the device


@dataclass
class World:
    """Two edge CSEs, an operator at both, and a subscriber."""

    source: Edge
    target: Edge
    stack: contextlib.AsyncExitStack
    subscriber: Client
    seen: Counter[tuple[str, Any]] = field(default_factory=Counter)

    async def client(self, edge: Edge, originator: str) -> Client:
        return await self.stack.enter_async_context(Client(edge.url, originator=originator))

    async def device(self, name: str, *labels: str, at: Edge | None = None) -> Device:
        client = await self.client(at or self.source, f"C{name}")
        await client.register("Ndev", name, labels=labels)
        policy = await client.create(f"-/{name}", 1, {"rn": "open", "pv": {"acr": OPEN}, "pvs": {"acr": OPEN}})
        await client.create_container(f"-/{name}", "data", acpi=[policy["ri"]])
        return Device(name, client)

    async def subscribe(self, name: str) -> Subscription:
        subscription = await self.subscriber.subscribe(f"-/{name}/data", name="watch")

        async def take() -> None:
            async for notification in subscription:
                self.seen[name, notification.resource["con"]] += 1

        task = asyncio.create_task(take())
        self.stack.callback(task.cancel)
        return subscription

    def everything_once(self, devices: list[Device]) -> bool:
        """Whether the subscriber has got what was acknowledged; what came twice fails at once."""
        assert set(self.seen.values()) <= {1}
        return self.seen.keys() >= {(one.name, number) for one in devices for number in range(one.acknowledged)}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        edges = []
        for side in ("a", "b"):
            cse = await stack.enter_async_context(running_cse("MN", id=f"/id-{side}", name=f"cse-{side}"))
            url = cse.addresses()["http"]
            edges.append(await edge_of(await stack.enter_async_context(Client(url, originator=ADMIN)), url))
        subscriber = await stack.enter_async_context(Client(edges[0].url, originator="Csub"))
        await subscriber.register("Nsub", "sub")
        yield World(edges[0], edges[1], stack, subscriber)


async def is_at(edge: Edge, ae_id: str) -> bool:
    try:
        await edge.client.retrieve(ae_id)
    except RequestFailed as error:
        if error.status is Status.NOT_FOUND:
            return False
        raise
    return True


# --- the whole ------------------------------------------------------------------------------------------------------


async def test_five_aes_move_while_they_post(world: World) -> None:
    devices = {f"Cd{number}": await world.device(f"d{number}", "line:4") for number in range(5)}
    for device in devices.values():
        await world.subscribe(device.name)
    posting = [asyncio.create_task(device.post()) for device in devices.values()]
    await until(lambda: all(device.acknowledged >= 20 for device in devices.values()))

    async def arrive(ae_id: str, target: Edge) -> None:
        device = devices[ae_id]
        device.client = await world.client(target, ae_id)
        await device.client.retrieve(ae_id)
        device.moved.set()

    outcomes = await Handover(world.source, world.target, arrive=arrive).run(devices)
    at_switch = {name: device.acknowledged for name, device in devices.items()}
    await until(lambda: all(device.acknowledged >= at_switch[name] + 20 for name, device in devices.items()))
    for device in devices.values():
        device.stopping = True
    await asyncio.gather(*posting)

    assert [outcome.trouble for outcome in outcomes] == [""] * 5
    assert all(outcome.copied >= 20 and not outcome.undelivered for outcome in outcomes)
    await until(lambda: world.everything_once(list(devices.values())))
    for name, device in devices.items():
        assert not await is_at(world.source, name)
        kept = await contents(world.target.client, f"-/{device.name}/data")
        assert kept == list(range(device.acknowledged))
        moved = await world.target.client.retrieve(name)
        assert (moved["lbl"], moved["rn"], moved["aei"]) == (["line:4"], device.name, name)


async def test_a_post_whose_answer_was_lost_is_known_at_the_target(world: World) -> None:
    device = await world.device("dev")
    await world.subscribe("dev")
    await device.client.post("-/dev/data", 0, name="r0")
    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert outcome.trouble == ""
    again = await world.client(world.target, "Cdev")
    with pytest.raises(RequestFailed) as refused:
        await again.post("-/dev/data", 0, name="r0")
    assert refused.value.status is Status.CONFLICT
    await again.post("-/dev/data", 1, name="r1")
    device.acknowledged = 2
    await until(lambda: world.everything_once([device]))


async def test_a_subscription_that_moved_ends_with_its_last_place(world: World) -> None:
    device = await world.device("dev")
    subscription = await world.subscribe("dev")
    made_as = subscription.id
    handover = Handover(world.source, world.target)
    move = await handover.prepare("Cdev")
    await handover._subscribe(move, move.tree)
    await handover.abort(move)  # the target says that the subscription is deleted there: it goes on at the source
    await device.client.post("-/dev/data", 0)
    device.acknowledged = 1
    await until(lambda: world.everything_once([device]))
    (outcome,) = await handover.run(["Cdev"])
    assert (outcome.trouble, subscription.ended) == ("", False)
    await until(lambda: subscription.id != made_as)  # the source has said that it is deleted there
    assert subscription.id.startswith("/id-b/")
    moved = await world.client(world.target, "Cdev")
    await moved.post("-/dev/data", 1)
    device.acknowledged = 2
    await until(lambda: world.everything_once([device]))
    await world.target.client.delete("-/dev/data/watch")
    await until(lambda: subscription.ended)
    assert subscription.deleted.is_set()


async def test_what_comes_after_the_preparation_moves_too(world: World) -> None:
    device = await world.device("dev")
    handover = Handover(world.source, world.target)
    move = await handover.prepare("Cdev")
    await device.client.create_container("-/dev", "late", mni=3)
    await device.client.create_container("-/dev/late", "inner")
    await device.client.post("-/dev/late/inner", "x", name="r0")
    await world.subscribe("dev")
    assert (await handover.complete(move)).trouble == ""
    target = world.target.client
    assert await contents(target, "-/dev/late/inner") == ["x"]
    assert (await target.retrieve("-/dev/late"))["mni"] == 3
    assert (await target.retrieve("-/dev/data/watch"))["nu"]


# --- the fence ------------------------------------------------------------------------------------------------------


async def test_the_fence_refuses_posts_and_lets_readers_read(world: World) -> None:
    device = await world.device("dev")
    await device.client.post("-/dev/data", 1)
    handover = Handover(world.source, world.target)
    move = await handover.prepare("Cdev")
    await device.client.post("-/dev/data", 2)
    await handover._close(move, move.tree.containers)
    with pytest.raises(RequestFailed) as refused:
        await device.client.post("-/dev/data", 3)
    assert refused.value.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    assert (await world.subscriber.latest("-/dev/data"))["con"] == 2
    before = (await read_tree(world.source.client, "/id-a", "Cdev")).acpi
    await handover.abort(move)
    assert (await read_tree(world.source.client, "/id-a", "Cdev")).acpi == before
    await device.client.post("-/dev/data", 3)
    assert not await is_at(world.target, "Cdev")


async def test_a_broken_off_move_is_finished_by_the_next(world: World) -> None:
    device = await world.device("dev")
    await world.subscribe("dev")
    await device.client.post("-/dev/data", 0)
    first = Handover(world.source, world.target)
    move = await first.prepare("Cdev")
    await device.client.post("-/dev/data", 1)
    await first._close(move, move.tree.containers)  # and here it dies

    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert outcome.trouble == ""
    again = await world.client(world.target, "Cdev")
    await again.post("-/dev/data", 2)
    device.acknowledged = 3
    await until(lambda: world.everything_once([device]))
    assert await contents(world.target.client, "-/dev/data") == [0, 1, 2]
    assert not await is_at(world.source, "Cdev")


# --- what cannot be moved stays -------------------------------------------------------------------------------------


async def test_a_name_that_is_taken_at_the_target(world: World) -> None:
    device = await world.device("dev")
    other = await world.client(world.target, "Cother")
    await other.register("Nother", "dev")
    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert "'dev'" in outcome.trouble
    await device.client.post("-/dev/data", 1)
    assert (await world.target.client.retrieve("-/dev"))["aei"] == "Cother"


async def test_what_is_not_carried_over_is_not_lost_unasked(world: World) -> None:
    device = await world.device("dev")
    await device.client.create("-/dev", 9, {"rn": "group", "mid": ["-/dev/data"], "mnm": 3})
    with pytest.raises(CannotMove, match="group"):
        await Handover(world.source, world.target).prepare("Cdev")
    assert not await is_at(world.target, "Cdev")
    (outcome,) = await Handover(world.source, world.target, Options(leave_others=True)).run(["Cdev"])
    assert outcome.trouble == ""


async def test_an_ae_that_does_not_exist(world: World) -> None:
    (outcome,) = await Handover(world.source, world.target).run(["Cnobody"])
    assert outcome.trouble == "Cnobody is no AE of /id-a: give an AE-ID, e.g. Cmy-ae"


async def test_a_subscriber_that_is_away_stops_the_move(world: World) -> None:
    device = await world.device("dev")
    gone = await world.client(world.source, "Cgone")
    await gone.register("Ngone", "gone")
    await gone.subscribe("-/dev/data", su="Cgone")
    await gone._transport.close()
    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert "did not answer" in outcome.trouble
    await device.client.post("-/dev/data", 1)  # the source has taken it back
    assert not await is_at(world.target, "Cdev")


# --- two registrations of one AE ------------------------------------------------------------------------------------


async def test_an_older_registration_at_the_target_gives_way(world: World) -> None:
    stale = await world.device("dev", "old", at=world.target)
    await stale.client.post("-/dev/data", "old")
    device = await world.device("dev", "new")
    await device.client.post("-/dev/data", "new")
    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert (outcome.trouble, outcome.replaced) == ("", True)
    assert await contents(world.target.client, "-/dev/data") == ["new"]
    assert (await world.target.client.retrieve("Cdev"))["lbl"] == ["new"]


async def test_a_newer_registration_at_the_target_is_kept(world: World) -> None:
    old = await world.device("dev", "old")
    await old.client.post("-/dev/data", "old", name="r0")
    newer = await world.device("dev", "new", at=world.target)
    await newer.client.post("-/dev/data", "new", name="r1")
    (outcome,) = await Handover(world.source, world.target).run(["Cdev"])
    assert (outcome.trouble, outcome.replaced) == ("", False)
    assert sorted(await contents(world.target.client, "-/dev/data")) == ["new", "old"]
    assert (await world.target.client.retrieve("Cdev"))["lbl"] == ["new"]
    assert not await is_at(world.source, "Cdev")


async def test_the_registry_decides_which_is_the_newest(world: World, mep: Mep) -> None:
    mp1 = Mp1Client(mep.url)
    world.stack.push_async_callback(mp1.close)
    await world.device("dev", "mec:expose", "mec:identity=dev", "first")
    await world.device("dev", "mec:expose", "mec:identity=dev", "second", at=world.target)
    await claim_exposed(mp1, world.target, "Cdev")
    await claim_exposed(mp1, world.source, "Cdev")
    assert [*(await services_of_aes(mp1)).values()] == [["/id-a"]]
    (outcome,) = await Handover(world.source, world.target, arbiter=arbiter(mp1)).run(["Cdev"])
    assert (outcome.trouble, outcome.replaced) == ("", True)
    assert "first" in (await world.target.client.retrieve("Cdev"))["lbl"]


# --- MEC 021 --------------------------------------------------------------------------------------------------------


async def test_mobility_notifications_move_an_ae(world: World, mep: Mep) -> None:
    mp1 = Mp1Client(mep.url)
    world.stack.push_async_callback(mp1.close)
    await announce_cse(mp1, world.source.profile)
    app_id = await announce_cse(mp1, world.target.profile)
    device = await world.device("dev", "mec:associate=10.0.0.7", "mec:expose", "mec:identity=dev")
    await claim_exposed(mp1, world.source, "Cdev")
    await world.subscribe("dev")
    await device.client.post("-/dev/data", 0)
    outcomes: list[Outcome] = []
    ready, stop = asyncio.Event(), asyncio.Event()
    trigger = Trigger(mp1, world.source, ADMIN, done=outcomes.append)
    task = asyncio.create_task(run_handover_on_mobility(trigger, stop, lambda _: ready.set()))
    await ready.wait()

    async def report(status: int) -> None:
        associates = [{"type": "UE_IPv4_ADDRESS", "value": "10.0.0.7"}]
        event = {"associateId": associates, "mobilityStatus": status, "targetAppInfo": {"appInstanceId": app_id}}
        assert (await mep.post("/mep/v1/mobility_events", event)).status == 202

    await report(1)
    await until(lambda: is_at(world.target, "Cdev"))
    await device.client.post("-/dev/data", 1)  # the source still serves
    await report(3)

    async def given_up() -> bool:
        return not await is_at(world.target, "Cdev")

    await until(given_up)
    await device.client.post("-/dev/data", 2)
    await report(1)
    await report(2)
    await until(lambda: outcomes)
    assert [(outcome.ae_id, outcome.trouble) for outcome in outcomes] == [("Cdev", "")]
    assert not await is_at(world.source, "Cdev")
    assert await contents(world.target.client, "-/dev/data") == [0, 1, 2]
    assert [*(await services_of_aes(mp1)).values()] == [["/id-b"]]
    (registered,) = (await mep.get("/amsi/v1/app_mobility_services")).body
    assert registered["deviceInformation"][0]["contextTransferState"] == 1
    device.acknowledged = 3
    await until(lambda: world.everything_once([device]))
    stop.set()
    await task
    assert (await mep.get("/amsi/v1/subscriptions")).body["_links"]["subscription"] == []
    assert (await mep.get("/amsi/v1/app_mobility_services")).body == []


# --- pure parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ("Csub", "/id-a/Csub"),
        ("Cdev", "Cdev"),
        ("Sapp", "Sapp"),
        ("all", "all"),
        ("/id-b/Cx", "/id-b/Cx"),
        ("http://h/x", "http://h/x"),
        ("C*", "C*"),
    ],
)
def test_identifiers_go_on_naming_the_same_entity(entity: str, expected: str) -> None:
    assert plan.foreign(entity, "Cdev", "/id-a") == expected


def test_the_fence_takes_nothing_from_readers_and_everything_from_writers() -> None:
    rules = [{"acor": ["Cr"], "acop": 2}, {"acor": ["Cw"], "acop": 63}, {"acor": ["Cc"], "acop": 1}]
    policy = {"ri": "p", "rn": "p", "ty": 1, "pv": {"acr": rules}, "pvs": {}}
    unused = {"ri": "u", "rn": "u", "ty": 1, "pv": {"acr": OPEN}, "pvs": {}}
    container = Node("", {"rn": "data", "ri": "c", "ty": 3, "acpi": ["p"]})
    ae = {"rn": "dev", "ri": "Cdev", "aei": "Cdev", "ty": 2}
    tree = tree_of(ae, [policy, unused], [container], [])
    fence = plan.fence_body(tree, "Cop")
    granted = {rule["acor"][0]: rule["acop"] for rule in fence["pv"]["acr"]}
    assert granted == {"Cr": 2, "Cw": 50, "Cdev": 50, "Cop": 63}
    fenced = Node("", {**container.attributes, "acpi": ["f"]})
    again = tree_of(ae, [policy, unused, {**fence, "ri": "f", "ty": 1}], [fenced], [])
    assert again.acpi == tree.acpi == {"data": ("p",), "": ()}
    assert again.policies.keys() == {"p", "u"}


def test_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [plan.percentile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 50.0, 95.0, 100.0]
    assert plan.percentile([], 0.5) == 0.0


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--from"),
        (("--from", "http://127.0.0.1:9"), "--to"),
        (("--from", "http://127.0.0.1:9", "--to", "http://127.0.0.1:9"), "--ae"),
        (("--from", "http://127.0.0.1:9", "--to", "http://127.0.0.1:9", "--ae", "Cx"), "--from http://127.0.0.1:9"),
        (("--from", "http://127.0.0.1:9", "--on-mobility"), "--mep"),
        (("--demo", "--rate", "fast"), "--rate"),
    ],
)
def test_a_command_that_cannot_work_says_so_in_one_line(words: tuple[str, ...], said: str) -> None:
    done = run("handover", *words)
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("onemec: ")
    assert said in line


async def test_the_command_moves_aes_by_label(world: World) -> None:
    device = await world.device("dev", "line:4")
    await device.client.create_container("-/dev", "command")
    await device.client.post("-/dev/data", 1)
    words = ("--from", world.source.url, "--to", world.target.url, "--label", "line:4", "--originator", ADMIN)
    done = await asyncio.to_thread(run, "handover", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [one["ae_id"] for one in json.loads(done.stdout)["aes"]] == ["Cdev"]
    assert await contents(world.target.client, "-/dev/data") == [1]


@pytest.mark.stack
def test_the_demonstration_loses_and_doubles_nothing() -> None:
    done = run("handover", "--demo", "--aes", "5", "--rate", "5/s", "--json", timeout_s=120)
    figures = json.loads(done.stdout)
    assert (figures["moved"], figures["lost"], figures["duplicated"], figures["missing_at_target"]) == (5, 0, 0, 0)
    assert figures["latency_ms"]["p50"] > 0
    assert done.returncode == (0 if figures["passed"] else 1)
