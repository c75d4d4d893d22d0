"""The MQTT binding when things go wrong: acknowledgements, redelivery, lost brokers, clashing client ids, stop."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from cse.bindings.mqtt import MqttBinding, MqttStartError
from cse.bindings.mqtt_codec import parse_url
from cse.bindings.mqtt_connection import BrokerConnection, LinkState
from cse.bindings.mqtt_limits import MqttLimits
from cse.onem2m.primitives import Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable
from tests import brokers
from tests.bindings.mqtt_peers import TIMEOUT_S, Listener, ScriptedBroker, create, echo, payload, running, unique

TOPIC = "/oneM2M/req/Cx/id-in/json"


class Gate:
    """A CSE that answers a request when the test says so."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.runs: list[str] = []
        self._open: dict[str, asyncio.Event] = {}

    async def serve(self, request: Request) -> Response:
        self.runs.append(request.request_id)
        self.started.put_nowait(request.request_id)
        await self._open.setdefault(request.request_id, asyncio.Event()).wait()
        return Response(Status.CREATED, request.request_id, request.content, request.release)

    async def wait(self, request_id: str) -> None:
        """Return when the next request runs, which must be this one."""
        assert await asyncio.wait_for(self.started.get(), TIMEOUT_S) == request_id

    def open(self, *request_ids: str) -> None:
        """Let requests be answered, now or later."""
        for request_id in request_ids:
            self._open.setdefault(request_id, asyncio.Event()).set()


class States:
    """The states a binding went through, to be waited for."""

    def __init__(self) -> None:
        self._seen: asyncio.Queue[tuple[LinkState, str]] = asyncio.Queue()

    def __call__(self, state: LinkState, words: str) -> None:
        self._seen.put_nowait((state, words))

    async def until(self, wanted: LinkState, timeout_s: float = TIMEOUT_S) -> str:
        """The words that came with the next ``wanted``."""
        async with asyncio.timeout(timeout_s):
            while True:
                state, words = await self._seen.get()
                if state is wanted:
                    return words


@asynccontextmanager
async def scripted(
    gate: Gate, limits: MqttLimits | None = None
) -> AsyncIterator[tuple[ScriptedBroker, MqttBinding, States]]:
    broker, states = ScriptedBroker(), States()
    async with broker.listen() as url:
        cse = MqttBinding(url, "/id-in", serve=gate.serve, limits=limits, on_state=states)
        async with running(cse):
            await states.until(LinkState.CONNECTED)
            yield broker, cse, states


async def test_a_request_is_acknowledged_after_its_response() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, _, _):
        broker.publish(TOPIC, payload("Cx", "1"), mid=7)
        await gate.wait("1")
        await asyncio.sleep(0.5)  # longer than the patience with slow requests
        assert broker.sent.empty()
        gate.open("1")
        assert [await broker.next(), await broker.next()] == [("PUBLISH", 1), ("PUBACK", 7)]


async def test_acknowledgements_go_out_in_the_order_of_the_requests() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, _, _):
        for number in (1, 2, 3):
            broker.publish(TOPIC, payload("Cx", str(number)), mid=10 + number)
            await gate.wait(str(number))
        gate.open("3", "2")
        assert {await broker.next(), await broker.next()} == {("PUBLISH", 3), ("PUBLISH", 2)}
        gate.open("1")
        assert [await broker.next() for _ in range(4)] == [
            ("PUBLISH", 1), ("PUBACK", 11), ("PUBACK", 12), ("PUBACK", 13)
        ]  # fmt: skip


async def test_slow_requests_do_not_close_the_window_of_the_broker() -> None:
    gate = Gate()
    async with scripted(gate, MqttLimits(window=4, patience_s=0.05)) as (broker, cse, _):
        for number in range(1, 5):
            broker.publish(TOPIC, payload("Cx", str(number)), mid=number)
            await gate.wait(str(number))
        assert await broker.next() == ("PUBACK", 1)
        assert cse.counters.acknowledged_early == 1
        gate.open("1", "2", "3", "4")
        sent = [await broker.next() for _ in range(7)]
    assert [mid for kind, mid in sent if kind == "PUBACK"] == [2, 3, 4]
    assert sorted(rqi for kind, rqi in sent if kind == "PUBLISH") == [1, 2, 3, 4]


async def test_what_the_broker_sends_again_runs_once() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, cse, states):
        broker.publish(TOPIC, payload("Cx", "1"), mid=7)
        broker.publish(TOPIC, payload("Cx", "2"), mid=8)
        await gate.wait("1")
        await gate.wait("2")
        broker.hang_up()
        await states.until(LinkState.LOST)
        gate.open("2")  # answered while there is no connection
        await states.until(LinkState.CONNECTED)
        assert await broker.next() == ("PUBLISH", 2)
        broker.publish(TOPIC, payload("Cx", "1"), mid=7, dup=True)
        broker.publish(TOPIC, payload("Cx", "2"), mid=8, dup=True)
        assert await broker.next() == ("PUBLISH", 2)
        gate.open("1")
        assert [await broker.next() for _ in range(3)] == [("PUBLISH", 1), ("PUBACK", 7), ("PUBACK", 8)]
        assert gate.runs == ["1", "2"]
        # the same bytes under another packet identifier are a new request of a client with a constant rqi
        broker.publish(TOPIC, payload("Cx", "1"), mid=9, dup=True)
        await gate.wait("1")
        assert [await broker.next() for _ in range(2)] == [("PUBLISH", 1), ("PUBACK", 9)]
    assert gate.runs == ["1", "2", "1"]
    assert cse.counters.repeated == 2


async def test_a_request_of_a_lost_connection_holds_up_nobody_on_the_next() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, _, states):
        broker.publish(TOPIC, payload("Cx", "1"), mid=7)
        await gate.wait("1")
        broker.hang_up()
        await states.until(LinkState.LOST)
        await states.until(LinkState.CONNECTED)
        broker.publish(TOPIC, payload("Cx", "2"), mid=8)
        gate.open("2")
        assert [await broker.next() for _ in range(2)] == [("PUBLISH", 2), ("PUBACK", 8)]
        broker.publish(TOPIC, payload("Cx", "3"), mid=9)
        await gate.wait("2")
        await gate.wait("3")
        gate.open("1")
        assert await broker.next() == ("PUBLISH", 1)
        gate.open("3")
        # 7 belongs to the connection that is gone
        assert [await broker.next() for _ in range(2)] == [("PUBLISH", 3), ("PUBACK", 9)]


async def test_no_acknowledgement_goes_out_on_a_later_connection() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, _, states):
        broker.publish(TOPIC, payload("Cx", "1"), mid=7)
        await gate.wait("1")
        broker.hang_up()
        await states.until(LinkState.CONNECTED)
        gate.open("1", "2")
        assert await broker.next() == ("PUBLISH", 1)
        broker.publish(TOPIC, payload("Cx", "2"), mid=8)
        assert [await broker.next() for _ in range(2)] == [("PUBLISH", 2), ("PUBACK", 8)]


async def test_another_broker_cannot_send_us_requests() -> None:
    gate, other = Gate(), ScriptedBroker()
    async with scripted(gate) as (_, cse, _), other.listen() as url:
        sink = Send(create("/id-in", "1"), timeout_s=TIMEOUT_S)
        assert (await cse.send(f"{url}/sink", sink)).status is Status.OK
        assert await other.next() == ("PUBLISH", 1)
        other.publish(TOPIC, payload("Cx", "2"), mid=3)
        assert await other.next() == ("PUBACK", 3)
        assert cse.counters.ignored == {"request from another broker": 1}
    assert gate.runs == []


async def test_a_failure_of_the_cse_may_be_tried_again() -> None:
    statuses = [Status.INTERNAL_SERVER_ERROR, Status.CREATED]

    async def serve(request: Request) -> Response:
        return Response(statuses.pop(0), request.request_id)

    broker = ScriptedBroker()
    async with broker.listen() as url, running(MqttBinding(url, "/id-in", serve=serve)):
        for _ in range(3):
            broker.publish(TOPIC, payload("Cx", "12345678901234567890"), mid=1)
            assert (await broker.next())[0] == "PUBLISH"
            assert await broker.next() == ("PUBACK", 1)
    assert statuses == [], "the failure was executed again, the success was not"


async def test_a_huge_message_is_not_kept_and_the_next_is_read() -> None:
    gate = Gate()
    gate.open("1")
    async with scripted(gate, MqttLimits(readable_bytes=1000)) as (broker, cse, _):
        broker.publish(TOPIC, b"x" * 5_000_000, mid=1)
        broker.publish(TOPIC, payload("Cx", "1"), mid=2)
        assert [await broker.next() for _ in range(3)] == [("PUBACK", 1), ("PUBLISH", 1), ("PUBACK", 2)]
        assert cse.counters.ignored == {"too large": 1}


@pytest.mark.parametrize("answers", [True, False])
async def test_a_broker_that_says_nothing_any_more_is_left(answers: bool) -> None:
    states, broker = States(), ScriptedBroker()
    broker.answers_pings = answers
    async with broker.listen() as url:
        link = BrokerConnection(
            parse_url(url), "x", [], on_message=lambda _message: None, on_ready=lambda: None, on_state=states,
            clean_session=True, keepalive_s=1,
        )  # fmt: skip
        await link.start(TIMEOUT_S)
        if answers:
            with pytest.raises(TimeoutError):
                await states.until(LinkState.LOST, 4.0)
        else:
            await states.until(LinkState.LOST, 6.0)
        await link.stop(1)


async def test_responses_the_broker_has_not_acknowledged_are_sent_again() -> None:
    gate = Gate()
    gate.open("1")
    async with scripted(gate) as (broker, _, states):
        broker.acknowledges = False
        broker.publish(TOPIC, payload("Cx", "1"), mid=7)
        assert [await broker.next(), await broker.next()] == [("PUBLISH", 1), ("PUBACK", 7)]
        broker.hang_up()
        broker.acknowledges = True
        await states.until(LinkState.CONNECTED)
        assert await broker.next() == ("PUBLISH", 1)


async def test_retained_and_foreign_messages_are_acknowledged_at_once() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, cse, _):
        broker.publish(TOPIC, payload("Cx", "1"), mid=1, retain=True)
        broker.publish("/oneM2M/req/Cx/id-in/xml", b"<x/>", mid=2)
        broker.publish("/oneM2M/req/Cx/id-other/json", payload("Cx", "1"), mid=3)
        assert [await broker.next() for _ in range(3)] == [("PUBACK", 1), ("PUBACK", 2), ("PUBACK", 3)]
        assert cse.counters.ignored == {"retained": 1, "topic": 1, "not for us": 1}
    assert gate.runs == []


async def test_a_request_given_up_is_not_sent_after_a_reconnect() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, cse, states):
        broker.acknowledges = False
        with pytest.raises(Unreachable, match="no answer"):
            await cse.send(
                cse.broker.address, Send(create("/id-in", "5"), receiver="Cx", exact_url=False, timeout_s=0.1)
            )
        assert await broker.next() == ("PUBLISH", 5)
        broker.hang_up()
        broker.acknowledges = True
        await states.until(LinkState.CONNECTED)
        broker.publish(TOPIC, payload("Cx", "6"), mid=1)
        gate.open("6")
        assert await broker.next() == ("PUBLISH", 6)


async def test_stop_finishes_what_was_started_and_leaves_the_rest_with_the_broker() -> None:
    gate = Gate()
    async with scripted(gate) as (broker, cse, _):
        broker.publish(TOPIC, payload("Cx", "1"), mid=1)
        await gate.wait("1")
        stopping = asyncio.create_task(cse.stop(timeout_s=TIMEOUT_S))
        await asyncio.sleep(0)
        broker.publish(TOPIC, payload("Cx", "2"), mid=2)
        await asyncio.sleep(0.05)
        gate.open("1", "2")
        await stopping
        assert [await broker.next(), await broker.next()] == [("PUBLISH", 1), ("PUBACK", 1)]
        assert broker.sent.empty()
        assert cse.state is LinkState.STOPPED
    assert gate.runs == ["1"]


# --- starts that cannot work ------------------------------------------------------------------------------------


async def _start_error(url: str, entity_id: str = "/id-in") -> str:
    with pytest.raises(MqttStartError) as refused:
        await MqttBinding(url, entity_id, serve=echo).start(timeout_s=1)
    return str(refused.value)


async def test_no_broker_is_said_in_one_line(free_port: int) -> None:
    address = f"mqtt://127.0.0.1:{free_port}"
    assert await _start_error(address) == (
        f"mqtt: no broker answers at {address}: start one (mosquitto) or give another with --mqtt"
    )


@pytest.mark.parametrize(
    ("connack", "suback", "words"),
    [
        (5, 1, "refuses a connection without user: give mqtt://user:password@host:port"),
        (4, 1, "refuses a connection without user"),
        (2, 1, "refuses the connection"),
        (0, 0x80, "refuses C::id-in the subscription to /oneM2M/req/+/id-in/#: allow it in its ACL"),
    ],
)
async def test_refusals_say_what_to_mend(connack: int, suback: int, words: str) -> None:
    async with ScriptedBroker(connack, suback).listen() as url:
        message = await _start_error(url)
    assert message.startswith("mqtt: ")
    assert words in message
    assert "\n" not in message


async def test_a_password_is_never_in_a_message() -> None:
    async with ScriptedBroker(connack=5).listen() as url:
        message = await _start_error(url.replace("//", "//joe:s3cret@"))
    assert "joe" in message
    assert "s3cret" not in message


async def test_a_listener_that_is_no_broker_is_said() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for handler, words in ((silent, "no answer from"), (talkative, "is it an MQTT 3.1.1 broker?")):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        assert words in await _start_error(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        server.close()


@pytest.mark.parametrize(("url", "entity_id"), [("http://h", "/id-in"), ("mqtt://h", "C#"), ("mqtt://h/+", "/id-in")])
async def test_nonsense_is_refused_before_connecting(url: str, entity_id: str) -> None:
    assert (await _start_error(url, entity_id)).startswith("mqtt: ")


# --- real brokers that come and go ------------------------------------------------------------------------------


@contextmanager
def _broker(kind: str, folder: Path, port: int, more: str = "") -> Iterator[subprocess.Popen[str]]:
    """A broker on a given port; Mosquitto keeps its sessions on disk."""
    if kind == "mosquitto":
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            f"user root\nset_tcp_nodelay true\n{more}"
        )
        command = [brokers.require_tool("mosquitto"), "-c", str(config)]
    else:
        command = [sys.executable, "-m", "onemec.broker", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    try:
        brokers.wait_for_listener(port, process)
        yield process
    finally:
        brokers.stop_process(process)


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_after_a_broker_restart_requests_work_again_within_five_seconds(
    kind: str, tmp_path: Path, free_port: int
) -> None:
    url, states = f"mqtt://127.0.0.1:{free_port}", States()
    cse = MqttBinding(url, "/id-in", serve=echo, on_state=states)
    ae = MqttBinding(url, "Cae", serve=echo, is_cse=False)
    send = Send(create("Cae", "1"), receiver="/id-in", exact_url=False, timeout_s=TIMEOUT_S)
    first = _broker(kind, tmp_path, free_port)
    process = first.__enter__()
    async with running(cse, ae):
        assert (await ae.send(url, send)).status is Status.CREATED
        process.kill()
        await states.until(LinkState.LOST)
        with pytest.raises(Unreachable):
            await ae.send(url, Send(create("Cae", "2"), receiver="/id-in", exact_url=False, timeout_s=0.2))
        first.__exit__(None, None, None)
        with _broker(kind, tmp_path, free_port):
            await states.until(LinkState.CONNECTED, 5.0)
            assert (await ae.send(url, send)).status is Status.CREATED


async def test_a_request_in_flight_survives_a_broker_restart_and_runs_once(tmp_path: Path, free_port: int) -> None:
    url, states, gate = f"mqtt://127.0.0.1:{free_port}", States(), Gate()
    cse = MqttBinding(url, "/id-in", serve=gate.serve, on_state=states)
    first = _broker("mosquitto", tmp_path, free_port)
    first.__enter__()
    async with running(cse):
        async with Listener(url) as client:
            await client.publish(TOPIC, payload("Cx", "1"))
        await gate.wait("1")
        await asyncio.to_thread(first.__exit__, None, None, None)
        await states.until(LinkState.LOST)
        with _broker("mosquitto", tmp_path, free_port):
            async with Listener(url, "/oneM2M/resp/Cx/id-in/#") as client:
                await states.until(LinkState.CONNECTED, 5.0)
                gate.open("1")
                assert (await client.answer())["rqi"] == "1"
                # what follows shows that the redelivered one has been dealt with, and was acknowledged
                gate.open("2")
                await client.publish(TOPIC, payload("Cx", "2"))
                assert (await client.answer())["rqi"] in ("1", "2")
            assert gate.runs == ["1", "2"]
            await cse.stop()


async def test_tls_is_verified(tmp_path: Path, free_port: int) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    process = await asyncio.create_subprocess_exec(
        brokers.require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    more = f"certfile {certificate}\nkeyfile {key}\n"
    url = f"mqtts://127.0.0.1:{free_port}"
    with _broker("mosquitto", tmp_path, free_port, more):
        trusting = ssl.create_default_context(cafile=str(certificate))
        cse = MqttBinding(url, "/id-in", serve=echo, tls=trusting)
        ae = MqttBinding(url, "Cae", serve=echo, is_cse=False, tls=trusting)
        async with running(cse, ae):
            send = Send(create("Cae", "1"), receiver="/id-in", exact_url=False, timeout_s=TIMEOUT_S)
            assert (await ae.send(url, send)).status is Status.CREATED
        assert "TLS with" in await _start_error(url)


async def test_requests_sent_while_the_cse_was_away_are_executed_when_it_is_back(broker_url: str) -> None:
    cse_id, gate = unique("/id-"), Gate()
    topic = f"/oneM2M/req/Cx{cse_id}/json"
    async with running(MqttBinding(broker_url, cse_id, serve=echo)):
        pass
    async with Listener(broker_url, f"/oneM2M/resp/Cx{cse_id}/#") as client:
        for number in range(5):
            await client.publish(topic, payload("Cx", str(number)))
        gate.open(*map(str, range(5)))
        async with running(MqttBinding(broker_url, cse_id, serve=gate.serve)):
            assert [(await client.answer())["rqi"] for _ in range(5)] == list("01234")
    assert gate.runs == list("01234")


async def test_a_crash_before_the_response_loses_no_request(broker_url: str) -> None:
    cse_id, gate = unique("/id-"), Gate()
    crashing = MqttBinding(broker_url, cse_id, serve=gate.serve)
    await crashing.start()
    async with Listener(broker_url, f"/oneM2M/resp/Cx{cse_id}/#") as client:
        await client.publish(f"/oneM2M/req/Cx{cse_id}/json", payload("Cx", "1"))
        await gate.wait("1")
        assert crashing._link is not None
        assert crashing._link._keeper is not None
        crashing._link._keeper.cancel()
        crashing._link._drop()  # as a process that is killed: no response, no DISCONNECT
        async with running(MqttBinding(broker_url, cse_id, serve=echo)):
            assert (await client.answer())["rqi"] == "1"
    await crashing.stop(timeout_s=0.1)


async def test_a_clash_of_client_ids_is_reported_in_words_and_ends(broker_url: str) -> None:
    cse_id, states = unique("/id-"), States()
    one = MqttBinding(broker_url, cse_id, serve=echo, on_state=states)
    two = MqttBinding(broker_url, cse_id, serve=echo, on_state=states)
    async with running(one, two):
        words = await states.until(LinkState.CLASH)
    assert f"the client id C::{cse_id[1:]}" in words
    assert "its own CSE-ID" in words
