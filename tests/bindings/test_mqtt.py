"""The MQTT binding over real brokers: requests and responses, order, identity, dialects, limits, both directions."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
import uvloop

from cse.bindings.mqtt import MqttBinding
from cse.bindings.mqtt_limits import MqttLimits
from cse.onem2m.errors import NotFound
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.serialisation import dump_cbor, load_cbor
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable
from tests import brokers
from tests.bindings.mqtt_peers import TIMEOUT_S, Listener, create, echo, payload, running, unique


def _send(cse_id: str, request: Request, **more: object) -> Send:
    return Send(request, receiver=cse_id, exact_url=False, timeout_s=TIMEOUT_S, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("serialisation", ["json", "cbor"])
async def test_a_request_is_answered_in_its_serialisation(broker_url: str, serialisation: str) -> None:
    cse_id, ae_id = unique("/id-"), unique("C")
    seen: list[Request] = []

    async def serve(request: Request) -> Response:
        seen.append(request)
        return await echo(request)

    cse = MqttBinding(broker_url, cse_id, serve=serve, cse_name="cse-in")
    ae = MqttBinding(broker_url, ae_id, serve=echo, is_cse=False)
    async with running(cse, ae):
        request = create(ae_id, "42")
        response = await ae.send(broker_url, _send(cse_id, request, serialisation=serialisation))
        registration = Request(Operation.CREATE, "cse-in", ae_id, "43", 2, {"m2m:ae": {}}, release="3")
        assert (await ae.send(broker_url, _send(cse_id, registration))).status is Status.CREATED
    assert response == Response(Status.CREATED, "42", request.content, "3", originator=cse_id)
    assert [(r.to, r.originator, r.request_id, r.binding) for r in seen] == [
        ("cse-in/ae/cnt", ae_id, "42", "mqtt"),
        ("cse-in", ae_id, "43", "mqtt"),
    ]


async def test_the_cse_reaches_an_ae_and_another_cse(broker_url: str) -> None:
    cse_id, ae_id, other_id = unique("/id-"), unique("C"), unique("/id-")
    cse = MqttBinding(broker_url, cse_id, serve=echo)
    ae = MqttBinding(broker_url, ae_id, serve=echo, is_cse=False)
    other = MqttBinding(broker_url, other_id, serve=echo)
    async with running(cse, ae, other):
        notify = Request(Operation.NOTIFY, ae_id, cse_id, "n1", content={"m2m:sgn": {}}, release="3")
        assert (await cse.send(broker_url, _send(ae_id, notify))).request_id == "n1"
        relayed = create(f"{cse_id}/Cbelow", "n2")
        assert (await cse.send(broker_url, _send(other_id, relayed))).status is Status.CREATED
        stranger = create("/id-far/Cx", "n3")
        assert (await cse.send(broker_url, _send(other_id, stranger))).status is Status.ORIGINATOR_HAS_NOT_REGISTERED
        answers = await asyncio.gather(
            *(cse.send(broker_url, _send(ae_id, create(cse_id, f"c{n}"))) for n in range(50))
        )
    assert [answer.request_id for answer in answers] == [f"c{n}" for n in range(50)]


async def test_the_application_decides_who_may_relay_for_whom(mosquitto_url: str) -> None:
    hop, target, asked = unique("/CSE"), unique("/id-"), []

    def may_relay(cse_id: str, originator: str) -> bool:
        asked.append((cse_id, originator))
        return originator == "/id-far/Cx"

    sending = MqttBinding(mosquitto_url, hop, serve=echo)
    receiving = MqttBinding(mosquitto_url, target, serve=echo, may_relay=may_relay, broker_authenticates=True)
    statuses = []
    async with running(sending, receiving):
        for number, originator in enumerate((hop, f"{hop}/Cx", "/id-far/Cx", "/id-far/Cy")):
            send = _send(target, create(originator, str(number)))
            statuses.append((await sending.send(mosquitto_url, send)).status)
    # a topic level that begins with C may be an AE, so the application is asked for what is below it too
    refused = Status.ORIGINATOR_HAS_NOT_REGISTERED
    assert statuses == [Status.CREATED, refused, Status.CREATED, refused]
    assert asked == [(hop, f"{hop}/Cx"), (hop, "/id-far/Cx"), (hop, "/id-far/Cy")]


async def test_an_ae_believes_its_registrar_and_no_other_ae(mosquitto_url: str) -> None:
    ae = MqttBinding(mosquitto_url, unique("C"), serve=echo, is_cse=False)
    registrar = MqttBinding(mosquitto_url, unique("/id-"), serve=echo)
    evil = MqttBinding(mosquitto_url, unique("C"), serve=echo, is_cse=False)
    async with running(ae, registrar, evil):
        relayed = _send(ae.entity_id, create("/id-far/Cx", "1"))
        assert (await registrar.send(mosquitto_url, relayed)).status is Status.CREATED
        assert (await evil.send(mosquitto_url, relayed)).status is Status.ORIGINATOR_HAS_NOT_REGISTERED


@pytest.mark.parametrize("wrapped", [True, False])
async def test_mosquitto_rr_gets_its_answer(mosquitto_url: str, wrapped: bool) -> None:
    # it insists on a broker that speaks MQTT 5, which the embedded one does not
    tool = brokers.require_tool("mosquitto_rr")
    cse_id, ae_id = unique("/id-"), unique("C")
    primitive = {"op": "2", "to": "/cse-in/ae", "fr": ae_id, "rqi": "1"}
    seen: list[Request] = []

    async def serve(request: Request) -> Response:
        seen.append(request)
        return Response(Status.OK, request.request_id, {"m2m:ae": {"rn": "ae"}}, request.release)

    cse = MqttBinding(mosquitto_url, cse_id, serve=serve, cse_name="cse-in")
    async with running(cse):
        process = await asyncio.create_subprocess_exec(
            tool, "-h", "127.0.0.1", "-p", str(urlsplit(mosquitto_url).port), "-q", "1",
            "-t", f"/oneM2M/req/{ae_id}{cse_id}/json", "-e", f"/oneM2M/resp/{ae_id}{cse_id}/json",
            "-m", json.dumps({"m2m:rqp": primitive} if wrapped else primitive), stdout=-1,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    answer = {"rsc": 2000, "rqi": "1", "pc": {"m2m:ae": {"rn": "ae"}}, "fr": cse_id}
    assert json.loads(out) == ({"m2m:rsp": answer} if wrapped else answer)
    assert [request.to for request in seen] == ["cse-in/ae"]
    assert cse.counters.dialects["slash before the CSEBase name"] == 1
    assert cse.counters.dialects["no rvi"] == 1
    assert cse.counters.dialects["m2m:rqp wrapper"] == int(wrapped)


@pytest.mark.parametrize(
    "strict_payload", [b'{"m2m:rqp":{"op":2,"to":"x","fr":"Cx","rqi":"1"}}', b'{"op":"2","rqi":"1"}']
)
async def test_dialects_are_refused_in_words_when_strict(mosquitto_url: str, strict_payload: bytes) -> None:
    cse_id = unique("/id-")
    cse = MqttBinding(mosquitto_url, cse_id, serve=echo, lenient=False, cse_name="cse-in")
    async with running(cse), Listener(mosquitto_url, f"/oneM2M/resp/Cx{cse_id}/#") as client:
        await client.publish(f"/oneM2M/req/Cx{cse_id}/json", strict_payload)
        answer = await client.answer()
    assert (answer["rsc"], answer["rqi"]) == (4000, "1")
    assert "send" in answer["pc"]["m2m:dbg"]


async def test_two_hundred_pipelined_creates_start_in_order(broker_url: str) -> None:
    cse_id, ae_id = unique("/id-"), unique("C")
    started: list[int] = []

    async def serve(request: Request) -> Response:
        started.append(int(request.request_id))
        await asyncio.sleep(0)
        return await echo(request)

    cse = MqttBinding(broker_url, cse_id, serve=serve)
    async with running(cse), Listener(broker_url, f"/oneM2M/resp/{ae_id}{cse_id}/#") as client:
        for number in range(200):
            client.link.publish(f"/oneM2M/req/{ae_id}{cse_id}/json", payload(ae_id, str(number)))
        answered = [(await client.answer())["rqi"] for _ in range(200)]
    assert started == list(range(200))
    assert answered == [str(number) for number in range(200)]
    assert cse.counters.repeated == 0


async def test_an_impersonator_is_answered_on_its_own_topic_and_nothing_runs(broker_url: str) -> None:
    cse_id = unique("/id-")
    seen: list[Request] = []

    async def serve(request: Request) -> Response:
        seen.append(request)
        return await echo(request)

    cse = MqttBinding(broker_url, cse_id, serve=serve)
    async with running(cse), Listener(broker_url, f"/oneM2M/+/+{cse_id}/#") as client:
        for kind, fr, ty in (("req", "Cvictim", 4), ("req", cse_id, 4), ("reg_req", "Cvictim", 2), ("req", None, 4)):
            topic = f"/oneM2M/{kind}/Cevil{cse_id}/json"
            await client.publish(topic, payload("", "1", fr=fr, ty=ty))
            messages = [await client.next(), await client.next()]
            (answer,) = [m for m in messages if b"/re" in m.topic and b"resp/" in m.topic]
            assert answer.topic.decode() == topic.replace("req/", "resp/")
            assert json.loads(answer.payload)["rsc"] == (4106 if fr else 4000)
    assert seen == []


async def test_what_cannot_be_answered_is_counted_and_what_can_is_answered(mosquitto_url: str) -> None:
    cse_id = unique("/id-")
    limits = MqttLimits(payload_bytes=1000, readable_bytes=5000)
    cse = MqttBinding(mosquitto_url, cse_id, serve=echo, limits=limits)
    async with running(cse), Listener(mosquitto_url, f"/oneM2M/resp/+{cse_id}/#") as client:
        request = f"/oneM2M/req/Cx{cse_id}"
        for topic, body in (
            (f"{request}/xml", b"<m2m:rqp/>"),
            (f"{request}/json/more", payload("Cx", "1")),
            (f"{request}/json", b"no JSON and no rqi"),
            (f"{request}/json", payload("Cx", "1", pc={"m2m:cin": {"con": "x" * 6000}})),
            (f"/oneM2M/resp{cse_id}/Cx/json", b'{"rsc":2000,"rqi":"1"}'),
        ):
            await client.publish(topic, body)
        await client.publish(f"{request}/json", payload("Cx", "big", pc={"m2m:cin": {"con": "x" * 2000}}))
        big = await client.answer()
        await client.publish(f"{request}/json", b'{"rqi":"cut off", "op":')
        cut = await client.answer()
        await client.publish(f"{request}/cbor", dump_cbor({"op": 9, "rqi": "c", "to": "x"}))
        packed = await client.next()
        await client.publish(request, payload("Cx", "old"))
        old = await client.next()
    assert cse.counters.ignored == {"topic": 2, "unreadable": 1, "too large": 1, "response nobody waits for": 1}
    assert (big["rsc"], big["rqi"]) == (4000, "big")
    assert "1000" in big["pc"]["m2m:dbg"]
    assert (cut["rsc"], cut["rqi"]) == (4000, "cut off")
    assert load_cbor(packed.payload)["rsc"] == 4000
    assert packed.topic.endswith(b"/cbor")
    assert (old.topic.decode(), json.loads(old.payload)["rsc"]) == (f"/oneM2M/resp/Cx{cse_id}", 2001)


async def test_retained_requests_are_ignored(broker_url: str) -> None:
    cse_id = unique("/id-")
    topic = f"/oneM2M/req/Cx{cse_id}/json"
    with brokers.Client(broker_url) as client:
        await asyncio.to_thread(client.publish, topic, payload("Cx", "old").decode(), 1, True)
        cse = MqttBinding(broker_url, cse_id, serve=echo)
        async with running(cse), Listener(broker_url, f"/oneM2M/resp/Cx{cse_id}/#") as listener:
            await listener.publish(topic, payload("Cx", "new"))
            assert (await listener.answer())["rqi"] == "new"
        await asyncio.to_thread(client.publish, topic, "", 1, True)
    assert cse.counters.ignored["retained"] >= 1


async def test_a_prefix_stands_before_every_topic(broker_url: str) -> None:
    cse_id, ae_id, prefix = unique("/id-"), unique("C"), unique("p")
    url = f"{broker_url}/{prefix}"
    cse = MqttBinding(url, cse_id, serve=echo)
    ae = MqttBinding(url, ae_id, serve=echo, is_cse=False)
    outside = MqttBinding(broker_url, unique("/id-"), serve=echo)
    async with running(cse, ae, outside), Listener(broker_url, f"{prefix}/oneM2M/resp/#") as client:
        assert (await ae.send(url, _send(cse_id, create(ae_id, "1")))).request_id == "1"
        assert (await client.next()).topic.decode() == f"{prefix}/oneM2M/resp/{ae_id}{cse_id}/json"
        # an entity without the prefix reaches it by the point of access that has one
        request = create(outside.entity_id, "2")
        assert (await outside.send(url, _send(cse_id, request))).request_id == "2"


async def test_errors_faults_and_silence(mosquitto_url: str, caplog: pytest.LogCaptureFixture) -> None:
    cse_id = unique("/id-")

    async def serve(request: Request) -> Response:
        if request.request_id == "missing":
            raise NotFound("no such resource")
        if request.request_id == "fault":
            raise RuntimeError("a bug")
        return Response(Status.OK, request.request_id, silent=request.request_id == "silent")

    cse = MqttBinding(mosquitto_url, cse_id, serve=serve)
    async with running(cse), Listener(mosquitto_url, f"/oneM2M/resp/Cx{cse_id}/#") as client:
        for name in ("missing", "fault", "silent", "last"):
            await client.publish(f"/oneM2M/req/Cx{cse_id}/json", payload("Cx", name))
        answers = [await client.answer() for _ in range(3)]
    assert [(answer["rqi"], answer["rsc"]) for answer in answers] == [
        ("missing", 4004),
        ("fault", 5000),
        ("last", 2000),
    ]
    assert "a bug" not in json.dumps(answers)
    assert "request 'fault' failed" in caplog.text


async def test_requests_in_flight_are_bounded_and_all_answered(broker_url: str) -> None:
    cse_id, ae_id = unique("/id-"), unique("C")
    running_now, most = 0, 0

    async def serve(request: Request) -> Response:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.001)
        running_now -= 1
        return await echo(request)

    cse = MqttBinding(broker_url, cse_id, serve=serve, limits=MqttLimits(in_flight=3, waiting=5))
    async with running(cse), Listener(broker_url, f"/oneM2M/resp/{ae_id}{cse_id}/#") as client:
        for number in range(100):
            client.link.publish(f"/oneM2M/req/{ae_id}{cse_id}/json", payload(ae_id, str(number)))
        answers = [int((await client.answer())["rqi"]) for _ in range(100)]
    assert answers == list(range(100))
    assert most == 3


async def test_equal_requests_run_once_only_when_they_say_that_they_are_the_same(broker_url: str) -> None:
    cse_id, ae_id = unique("/id-"), unique("C")
    count = 0

    async def serve(request: Request) -> Response:
        nonlocal count
        count += 1
        return Response(Status.CREATED, request.request_id, {"m2m:cin": {"rn": f"n{count}"}}, request.release)

    cse = MqttBinding(broker_url, cse_id, serve=serve)
    async with running(cse), Listener(broker_url, f"/oneM2M/resp/{ae_id}{cse_id}/#") as client:
        for body, runs in (
            (payload(ae_id, "constant"), 2),
            (payload(ae_id, "a-request-id-that-is-long"), 1),
            (payload(ae_id, "short", ot="20261122T220000"), 1),
            (payload(ae_id, "a-retrieve-id-that-is-long", op=2, ty=None, pc=None), 2),
        ):
            before, answers = count, []
            for _ in range(2):
                await client.publish(f"/oneM2M/req/{ae_id}{cse_id}/json", body)
                answers.append(await client.answer())
            assert count - before == runs
            assert (answers[0] == answers[1]) == (runs == 1)
    assert cse.counters.repeated == 2


async def test_a_topic_url_needs_no_answer(broker_url: str) -> None:
    cse = MqttBinding(broker_url, unique("/id-"), serve=echo)
    topic, ae_id = unique("sink/"), "C" + unique("x")
    notify = Request(Operation.NOTIFY, "x", cse.entity_id, "n", content={"m2m:sgn": {"sur": "s"}}, release="3")
    own_topic = f"/oneM2M/req{cse.entity_id}/{ae_id}/json"
    async with running(cse), Listener(broker_url, topic, f"/{topic}", own_topic) as client:
        for url, published_on in (
            (f"{broker_url}/{topic}", topic),
            (f"{broker_url}//{topic}?ct=json", f"/{topic}"),
            (f"{broker_url}/{ae_id}?ct=json", own_topic),
        ):
            response = await cse.send(url, Send(notify, timeout_s=TIMEOUT_S))
            assert (response.status, response.request_id) == (Status.OK, "n")
            message = await client.next()
            assert message.topic.decode() == published_on
            assert json.loads(message.payload)["pc"] == {"m2m:sgn": {"sur": "s"}}
        await cse.send(f"{broker_url}/{topic}?ct=cbor", Send(notify, timeout_s=TIMEOUT_S))
        assert load_cbor((await client.next()).payload)["rqi"] == "n"


@pytest.mark.parametrize(
    ("path", "receiver", "word"),
    [("", "", "receiver"), ("/a+b", "", "'\\+'"), ("", "C#", "AE-ID"), ("", "Cnobody", "no answer")],
)
async def test_unreachable_says_why(mosquitto_url: str, path: str, receiver: str, word: str) -> None:
    cse = MqttBinding(mosquitto_url, unique("/id-"), serve=echo)
    async with running(cse):
        with pytest.raises(Unreachable, match=word):
            await cse.send(mosquitto_url + path, Send(create("/x", "1"), receiver=receiver, timeout_s=0.2))
    with pytest.raises(Unreachable, match="not connected"):
        await cse.send(mosquitto_url, Send(create("/x", "1"), receiver="Cx", timeout_s=0.2))


async def test_another_broker_is_used_and_left_again(
    mosquitto_url: str, embedded_broker_url: str, free_port: int
) -> None:
    ae_id = unique("C")
    cse = MqttBinding(mosquitto_url, unique("/id-"), serve=echo)
    ae = MqttBinding(embedded_broker_url, ae_id, serve=echo, is_cse=False)
    async with running(cse, ae):
        answers = await asyncio.gather(
            *(cse.send(embedded_broker_url, _send(ae_id, create(cse.entity_id, f"{n}"))) for n in range(10))
        )
        assert [answer.request_id for answer in answers] == [f"{n}" for n in range(10)]
        assert len(cse._others) == 1
        with pytest.raises(Unreachable, match="no broker answers"):
            await cse.send(f"mqtt://127.0.0.1:{free_port}", _send(ae_id, create(cse.entity_id, "x")))
        with pytest.raises(Unreachable, match="user or password"):
            await cse.send("mqtt://u:p@other.invalid", _send(ae_id, create(cse.entity_id, "x")))
        assert len(cse._others) == 1
    assert len(cse._others) == 0


async def test_a_guard_decides_about_other_brokers(mosquitto_url: str, free_port: int) -> None:
    async def guard(host: str, port: int) -> str:
        raise Unreachable(f"{host} is not allowed")

    cse = MqttBinding(mosquitto_url, unique("/id-"), serve=echo, guard=guard)
    async with running(cse):
        with pytest.raises(Unreachable, match=r"10\.0\.0\.1 is not allowed"):
            await cse.send("mqtt://10.0.0.1", _send("Cx", create(cse.entity_id, "1")))


def test_it_runs_on_uvloop(mosquitto_url: str) -> None:
    async def scenario() -> Response:
        cse = MqttBinding(mosquitto_url, unique("/id-"), serve=echo)
        ae = MqttBinding(mosquitto_url, unique("C"), serve=echo, is_cse=False)
        async with running(cse, ae):
            return await ae.send(mosquitto_url, _send(cse.entity_id, create(ae.entity_id, "u")))

    assert uvloop.run(scenario()).request_id == "u"
