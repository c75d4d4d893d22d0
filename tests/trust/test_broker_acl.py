"""A broker with our credentials, Mosquitto by generated files and the embedded one alike: users keep to their names."""

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cse.app import Cse
from cse.config import CseConfig
from cse.credentials import CSE, DEVICE, CredentialFile, mosquitto_files, new_credential
from tests import brokers
from tests.brokers import Client
from tests.trust.secure import MOSQUITTO

REFUSED = (4, 5)  # CONNACK of MQTT 3.1.1: bad user name or password, not authorised


class Broker:
    """A running broker and the tokens of its users."""

    def __init__(self, url: str, tokens: dict[str, str], path: Path) -> None:
        self.url, self.tokens, self.path = url, tokens, path

    def client(self, user: str, token: str = "", client_id: str = "", *, clean: bool = True) -> Client:
        """A client that logs in."""
        client = Client(self.url, client_id, clean=clean)
        client.mqtt.username_pw_set(user, token or self.tokens[user])
        return client


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("acl")
    path = folder / "credentials.json"
    tokens, known = {}, []
    for entity, role in (("Ca", DEVICE), ("Cb", DEVICE), ("/id-in", CSE)):
        made, token = new_credential(entity.strip("/"), entity, role)
        CredentialFile(path).add(made)
        tokens[made.mqtt_user] = token
        known.append(made)
    port = brokers.free_port()
    if request.param == "mosquitto":
        passwords, acl = mosquitto_files(known)
        (folder / "passwd").write_text(passwords)
        (folder / "acl").write_text(acl)
        (folder / "mosquitto.conf").write_text(MOSQUITTO.format(port=port, folder=folder))
        command = [brokers.require_tool("mosquitto"), "-c", str(folder / "mosquitto.conf")]
    else:
        command = [sys.executable, "-m", "onemec.broker", "--port", str(port), "--credentials", str(path)]
    with brokers.running(command, port) as url:
        yield Broker(url, tokens, path)


@pytest.mark.parametrize(("user", "token"), [("", ""), ("Ca", "wrong"), ("Cb", "of Ca"), ("nobody", "of Ca")])
def test_only_users_with_their_own_token_connect(broker: Broker, user: str, token: str) -> None:
    client = Client(broker.url)
    if user:
        client.mqtt.username_pw_set(user, broker.tokens["Ca"] if token == "of Ca" else token)
    client.mqtt.connect(client._address.hostname or "", client._address.port or 0)
    client.mqtt.loop_start()
    try:
        # paho has the names of MQTT 5 for them
        assert client.connected.get(timeout=20)[1] in (*REFUSED, 134, 135)
    finally:
        client.mqtt.loop_stop()
        client.mqtt.disconnect()


@pytest.mark.parametrize(
    ("topic", "arrives"),
    [
        ("/oneM2M/req/Ca/id-in/json", True),
        ("/oneM2M/reg_req/Ca/id-in/json", True),
        ("/oneM2M/resp/id-in/Ca/json", False),  # an answer to the CSE's request: not among what it is asked
        ("/oneM2M/req/Cb/id-in/json", False),
        ("/oneM2M/req/id-in/id-in/json", False),
        ("/oneM2M/req/Cb:x/id-in/json", False),
        ("/oneM2M/reg_req/Cb/id-in/json", False),
        ("/prefix/oneM2M/req/Ca/id-in/json", False),
    ],
)
def test_a_request_comes_from_the_user_its_topic_names(broker: Broker, topic: str, arrives: bool) -> None:
    with broker.client("id-in") as cse, broker.client("Ca") as device:
        cse.subscribe("/oneM2M/req/+/id-in/#")
        cse.subscribe("/oneM2M/reg_req/+/id-in/#")
        text, marker = uuid.uuid4().hex, uuid.uuid4().hex
        device.publish(topic, text)
        device.publish("/oneM2M/req/Ca/id-in/json", marker)
        assert (text in cse.take_all_until(marker)) is arrives


def test_answers_and_notifications_reach_the_one_they_are_for(broker: Broker) -> None:
    with broker.client("id-in") as cse, broker.client("Ca") as device, broker.client("Cb") as spy:
        device.subscribe("/oneM2M/resp/Ca/+/#")
        device.subscribe("/oneM2M/req/+/Ca/#")
        for topic_filter in ("#", "/oneM2M/#", "/oneM2M/resp/Ca/+/#", "/oneM2M/req/+/+/#", "/oneM2M/req/+/Ca/#"):
            spy.subscribe(topic_filter)
        spy.subscribe("/oneM2M/resp/Cb/+/#")
        texts = [uuid.uuid4().hex, uuid.uuid4().hex]
        cse.publish("/oneM2M/resp/Ca/id-in/json", texts[0])
        cse.publish("/oneM2M/req/id-in/Ca/json", texts[1])
        assert [message.payload.decode() for message in device.take(2)] == texts
        marker = uuid.uuid4().hex
        cse.publish("/oneM2M/resp/Cb/id-in/json", marker)
        # once for every filter that covers it, and nothing else
        assert not set(spy.take_all_until(marker)) & set(texts)


def test_a_session_is_not_taken_over_by_its_name(broker: Broker) -> None:
    name = f"A::Ca-{uuid.uuid4().hex[:6]}"
    with broker.client("Ca", client_id=name, clean=False) as device:
        device.subscribe("/oneM2M/resp/Ca/+/#")
    text = uuid.uuid4().hex
    with broker.client("id-in") as cse:
        cse.publish("/oneM2M/resp/Ca/id-in/json", text)
    with broker.client("Cb", client_id=name, clean=False) as thief:
        thief.subscribe("/oneM2M/resp/Cb/+/#")
        marker = uuid.uuid4().hex
        with broker.client("id-in") as cse:
            cse.publish("/oneM2M/resp/Cb/id-in/json", marker)
        assert text not in thief.take_all_until(marker)


async def test_a_cse_believes_its_topics(broker: Broker) -> None:
    url = broker.url.replace("mqtt://", f"mqtt://id-in:{broker.tokens['id-in']}@")
    cse = Cse(CseConfig(http="", mqtt=url, mqtt_acl=True, credentials=str(broker.path)))
    await cse.start()
    await cse.stop(1.0)
