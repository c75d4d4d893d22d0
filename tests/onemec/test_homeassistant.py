"""`onemec homeassistant` with a real Mosquitto and CSE: what Home Assistant would see, and what it can do."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from cse.client import Client
from cse.storage.memory import MemoryStore
from onemec.cli import app
from onemec.homeassistant.bridge import Bridge
from onemec.homeassistant.mapping import Topics, entities_of, value_of
from tests.brokers import free_port
from tests.client.running import running_cse
from tests.onemec.processes import run, running

TEMPERATURE = {"cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 21.5, "minVe": -20.0}
SWITCH = {"cnd": "org.onem2m.common.moduleclass.binarySwitch", "state": False}


class House:
    """What Home Assistant has heard: retained messages by topic, and what it sends."""

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = prefix
        self.heard: dict[str, str] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"ha-{secrets.token_hex(4)}")
        self._client.on_message = lambda _client, _data, message: self.heard.__setitem__(
            message.topic, message.payload.decode()
        )
        self._client.on_connect = lambda client, *_: client.subscribe([(f"{prefix}/#", 1), ("onemec/#", 1)])
        self._client.connect("127.0.0.1", int(url.rpartition(":")[2]))
        self._client.loop_start()

    def configs(self) -> dict[str, dict[str, Any]]:
        """Discovery messages by the short name of their attribute."""
        return {
            topic.split("/")[-2].rpartition("_")[2]: {**json.loads(payload), "component": topic.split("/")[1]}
            for topic, payload in self.heard.items()
            if topic.startswith(f"{self.prefix}/") and topic.endswith("/config") and payload
        }

    def state(self, attribute: str) -> Any:
        """The value an entity shows."""
        payload = self.heard.get(self.configs()[attribute]["state_topic"])
        return json.loads(payload)[attribute] if payload else None

    def send(self, topic: str, payload: str) -> None:
        """Publish."""
        self._client.publish(topic, payload, qos=1)

    async def until(self, condition: Callable[[], object], timeout_s: float = 30.0) -> None:
        """Return when a condition holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
async def house(mosquitto_url: str) -> AsyncIterator[House]:
    """Home Assistant at the broker, with a prefix of its own in each test."""
    made = House(mosquitto_url, f"ha{secrets.token_hex(4)}")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def owner() -> AsyncIterator[Client]:
    """An AE with a temperature and a switch, and a right for the bridge to all of it."""
    async with (
        running_cse(MemoryStore(), coap="off") as cse,
        Client(cse.addresses()["http"], originator="CAdmin") as client,
    ):
        client.url = cse.addresses()["http"]  # type: ignore[attr-defined]
        await client.create("-", 2, {"rn": "house", "api": "Nhouse", "rr": False, "srv": ["3"]})
        await client.create("-/house", "cod:tempe", {"rn": "room", **TEMPERATURE})
        await client.create("-/house", "cod:binSh", {"rn": "lamp", **SWITCH})
        yield client


def bridge_of(owner: Client, house: House, mosquitto_url: str, **more: Any) -> tuple[Client, Bridge]:
    client = Client(owner.url, originator="CAdmin")  # type: ignore[attr-defined]
    topics = Topics(f"onemec/{house.prefix}", house.prefix)
    return client, Bridge(client, "-", topics, mosquitto_url, **more)


@pytest.fixture
async def bridge(owner: Client, house: House, mosquitto_url: str) -> AsyncIterator[Bridge]:
    client, made = bridge_of(owner, house, mosquitto_url)
    async with client:
        await made.open()
        await house.until(lambda: {"curT0", "state"} <= set(house.configs()))
        yield made
        await made.close()


async def test_entities_say_what_they_are(bridge: Bridge, house: House) -> None:
    found = house.configs()
    temperature, switch = found["curT0"], found["state"]
    assert (temperature["component"], switch["component"]) == ("sensor", "switch")
    assert (temperature["device_class"], temperature["unit_of_measurement"]) == ("temperature", "°C")
    assert temperature["name"] == "Current temperature"
    assert temperature["value_template"] == "{{ value_json.curT0 }}"
    assert temperature["device"]["name"] == switch["device"]["name"] == "house"
    assert switch["command_topic"].endswith("/state/set")
    assert len({config["unique_id"] for config in found.values()}) == len(found)
    assert house.heard[temperature["availability_topic"]] == "online"
    assert house.state("curT0") == 21.5
    assert house.state("state") is False
    assert (bridge.counts.flex_containers, bridge.counts.entities) == (2, len(found))


async def test_changes_at_the_cse_are_seen(bridge: Bridge, house: House, owner: Client) -> None:
    await owner.change("-/house/room", {"curT0": 23.25})
    await house.until(lambda: house.state("curT0") == 23.25)
    await owner.change("-/house/room", {"tarTe": 20.0})
    await house.until(lambda: "tarTe" in house.configs() and house.state("tarTe") == 20.0)


async def test_a_switch_is_switched(bridge: Bridge, house: House, owner: Client) -> None:
    topic = house.configs()["state"]["command_topic"]
    house.send(topic, "ON")
    await house.until(lambda: house.state("state") is True)
    assert (await owner.retrieve("-/house/lamp"))["state"] is True
    house.send(topic, "MAYBE")
    await house.until(lambda: bridge.counts.refused == 1)
    assert (await owner.retrieve("-/house/lamp"))["state"] is True
    house.send(f"{topic.rpartition('/state')[0]}/cnd/set", "ON")
    house.send(topic, "OFF")
    await house.until(lambda: house.state("state") is False)
    assert bridge.counts.commands == 2


async def test_new_ones_appear_and_old_ones_go(bridge: Bridge, house: House, owner: Client) -> None:
    await owner.create("-/house", "cod:relHy", {"cnd": "org.onem2m.common.moduleclass.relativeHumidity", "relHy": 40.0})
    await bridge.look()
    await house.until(lambda: "relHy" in house.configs())
    assert house.configs()["relHy"]["device_class"] == "humidity"
    await owner.delete("-/house/room")
    await house.until(lambda: "curT0" not in house.configs())
    assert "state" in house.configs()


async def test_home_assistant_that_starts_again_is_told_again(bridge: Bridge, house: House) -> None:
    house.heard.clear()
    house.send(f"{house.prefix}/status", "online")
    await house.until(lambda: {"curT0", "state"} <= set(house.configs()))


async def test_entities_are_unavailable_when_the_bridge_has_gone(
    owner: Client, house: House, mosquitto_url: str
) -> None:
    client, made = bridge_of(owner, house, mosquitto_url, commands=False)
    async with client:
        await made.open()
        await house.until(lambda: "state" in house.configs())
        config = house.configs()["state"]
        assert config["component"] == "binary_sensor"
        assert "command_topic" not in config
        await made.close()
    await house.until(lambda: house.heard[config["availability_topic"]] == "offline")


async def test_the_command_without_rights_on_the_csebase(
    owner: Client, house: House, mosquitto_url: str, tmp_path: Path
) -> None:
    url: str = owner.url  # type: ignore[attr-defined]
    words = ["acp", "role", "-/house", "--operator", "Chomeassistant", "--cse", url]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert done.exit_code == 0, done.output

    def until_it_ends() -> int:
        options = ["-/house", "--cse", url, "--mqtt", mosquitto_url, "--prefix", house.prefix, "--json"]
        with running(tmp_path, "homeassistant", *options) as command:
            command.wait_ready()
            assert json.loads(command.out.splitlines()[0])["flex_containers"] == 2
            command.wait_until(lambda: "state" in house.configs())
            house.send(house.configs()["state"]["command_topic"], "ON")
            command.wait_until(lambda: house.state("state") is True)
            return command.end()

    assert await asyncio.to_thread(until_it_ends) == 0
    assert (await owner.retrieve("-/house/lamp"))["state"] is True


def test_a_start_that_cannot_work_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["homeassistant", "--cse", f"http://127.0.0.1:{free_port()}"])
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1


async def test_a_broker_that_is_not_there_is_one_line(owner: Client) -> None:
    words = ["homeassistant", "--cse", owner.url, "--mqtt", f"mqtt://127.0.0.1:{free_port()}"]  # type: ignore[attr-defined]
    done = await asyncio.to_thread(run, *words)
    assert done.returncode == 1
    assert "no broker answers" in done.stderr


def test_flex_containers_nobody_has_a_table_for_are_taken_by_what_they_hold() -> None:
    resource = {
        "ri": "r1",
        "rn": "x",
        "ty": 28,
        "cnd": "org.example.x",
        "open": True,
        "count": 3,
        "word": "a",
        "list": [1],
    }
    found = {entity.attribute: entity for entity in entities_of("my:thing", resource, "cse-in/x", Topics("onemec/x"))}
    assert {name: entity.component for name, entity in found.items()} == {
        "open": "binary_sensor", "count": "sensor", "word": "sensor"
    }  # fmt: skip
    assert "state_class" in found["count"].config
    assert "state_class" not in found["word"].config
    assert (value_of("on"), value_of("OFF "), value_of("5")) == (True, False, None)
