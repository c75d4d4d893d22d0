"""CBOR bodies over every binding, with clients that know nothing of our codecs (TS-0004 clause 8.4, RFC 8949)."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import aiocoap
import aiohttp
import aiohttp.web
import cbor2
import pytest
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber
from hypothesis import given
from hypothesis import strategies as st

from cse.app import Cse
from cse.config import CseConfig
from cse.onem2m.errors import BadRequest
from cse.onem2m.serialisation import load_cbor
from tests.bindings.mqtt_peers import Listener, unique

BINDINGS = ["http", "mqtt", "coap", "ws"]
_CODES = {1: Code.POST, 2: Code.GET, 3: Code.PUT, 4: Code.DELETE}
_METHODS = {1: "POST", 2: "GET", 3: "PUT", 4: "DELETE"}


class Peer(Protocol):
    """An originator over one binding; every body is CBOR and every answer must be."""

    async def ask(self, operation: int, to: str, ty: int | None = None, body: bytes = b"") -> tuple[int, Any]:
        """Send a request; gives RSC and content."""


class HttpPeer:
    def __init__(self, cse: Cse, originator: str, session: aiohttp.ClientSession) -> None:
        self._url, self._originator, self._session = cse.addresses()["http"], originator, session

    async def ask(self, operation: int, to: str, ty: int | None = None, body: bytes = b"") -> tuple[int, Any]:
        headers = {"X-M2M-Origin": self._originator, "X-M2M-RI": "1", "X-M2M-RVI": "3", "Accept": "application/cbor"}
        if body:
            headers["Content-Type"] = "application/cbor" if ty is None else f"application/cbor;ty={ty}"
        async with self._session.request(
            _METHODS[operation], f"{self._url}/{to}", headers=headers, data=body or None
        ) as answer:
            payload = await answer.read()
            if payload:
                assert answer.headers["Content-Type"] in ("application/cbor", "application/vnd.onem2m-res+cbor")
            return int(answer.headers["X-M2M-RSC"]), cbor2.loads(payload) if payload else None


class CoapPeer:
    def __init__(self, cse: Cse, originator: str, context: aiocoap.Context) -> None:
        self._url, self._originator, self._context = cse.addresses()["coap"], originator, context

    async def ask(self, operation: int, to: str, ty: int | None = None, body: bytes = b"") -> tuple[int, Any]:
        message = aiocoap.Message(code=_CODES[operation], uri=f"{self._url}/{to}", payload=body)
        options = {279: self._originator.encode(), 283: b"1", 271: b"3"}
        if ty is not None:
            options[267] = bytes([ty])
        for number, value in options.items():
            message.opt.add_option(OptionNumber(number).create_option(decode=value))
        message.opt.accept = 60
        if body:
            message.opt.content_format = 60
        answer = await asyncio.wait_for(self._context.request(message).response, 8)
        if answer.payload:
            assert answer.opt.content_format == 60, answer.opt.content_format
        (rsc,) = answer.opt.get_option(OptionNumber(307))
        return int.from_bytes(rsc.encode(), "big"), cbor2.loads(answer.payload) if answer.payload else None


class PrimitivePeer(ABC):
    """MQTT and WebSocket: whole primitives."""

    def __init__(self, originator: str) -> None:
        self._originator = originator
        self._numbers = iter(range(1, 1000))
        #: notifications that came in while an answer was waited for
        self.notified: list[dict[str, Any]] = []

    @abstractmethod
    async def send(self, payload: bytes, *, registration: bool, is_answer: bool) -> None:
        """Send a primitive."""

    @abstractmethod
    async def receive(self) -> dict[str, Any]:
        """The next primitive."""

    async def ask(self, operation: int, to: str, ty: int | None = None, body: bytes = b"") -> tuple[int, Any]:
        number = f"q{next(self._numbers)}"
        head = {"op": operation, "to": to, "fr": self._originator, "rqi": number, "rvi": "3"}
        if ty is not None:
            head["ty"] = ty
        # The content goes in as the bytes it came, so that a test decides how every value in it is written.
        payload = cbor2.dumps(head)
        if body:
            assert payload[0] == 0xA0 + len(head)
            payload = bytes([payload[0] + 1]) + payload[1:] + b"\x62pc" + body
        await self.send(payload, registration=ty == 2, is_answer=False)
        while (answer := await self.receive()).get("rqi") != number:
            await self._take(answer)
        return answer["rsc"], answer.get("pc")

    async def notification(self) -> dict[str, Any]:
        while not self.notified:
            await self._take(await self.receive())
        return self.notified.pop(0)

    async def _take(self, request: dict[str, Any]) -> None:
        assert request["op"] == 5, request
        self.notified.append(request["pc"]["m2m:sgn"])
        answer = cbor2.dumps({"rsc": 2000, "rqi": request["rqi"], "rvi": "3"})
        await self.send(answer, registration=False, is_answer=True)


class MqttPeer(PrimitivePeer):
    def __init__(self, cse_level: str, originator: str, listener: Listener) -> None:
        super().__init__(originator)
        self._cse, self._listener = cse_level, listener

    async def send(self, payload: bytes, *, registration: bool, is_answer: bool) -> None:
        if is_answer:
            topic = f"/oneM2M/resp/{self._cse}/{self._originator}/cbor"
        else:
            topic = f"/oneM2M/{'reg_req' if registration else 'req'}/{self._originator}/{self._cse}/cbor"
        await self._listener.publish(topic, payload)

    async def receive(self) -> dict[str, Any]:
        message = await self._listener.next()
        assert message.topic.endswith(b"/cbor"), message.topic
        primitive: dict[str, Any] = cbor2.loads(message.payload)
        return primitive


class WebSocketPeer(PrimitivePeer):
    def __init__(self, originator: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(originator)
        self._socket = socket

    async def send(self, payload: bytes, *, registration: bool, is_answer: bool) -> None:
        await self._socket.send_bytes(payload)

    async def receive(self) -> dict[str, Any]:
        primitive: dict[str, Any] = cbor2.loads(await self._socket.receive_bytes(timeout=8))
        return primitive


@asynccontextmanager
async def peer_of(binding: str, broker: str) -> AsyncIterator[tuple[Any, Cse, str]]:
    """A CSE and an originator over one binding."""
    cse_id, originator = f"/{unique('id')}", unique("C")
    fields: dict[str, Any] = {
        "id": cse_id, "http": "127.0.0.1:0", "coap": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",),
        "mqtt": broker if binding == "mqtt" else "",
    }  # fmt: skip
    cse = Cse(CseConfig(**fields))
    await cse.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cse.stop, 2.0)
        peer: Any
        if binding == "coap":
            context = await aiocoap.Context.create_client_context(transports=["udp6"])
            stack.push_async_callback(context.shutdown)
            peer = CoapPeer(cse, originator, context)
        elif binding == "mqtt":
            filters = [f"/oneM2M/{kind}/{originator}/+/#" for kind in ("resp", "reg_resp")]
            listener = Listener(broker, *filters, f"/oneM2M/req/+/{originator}/#")
            await stack.enter_async_context(listener)
            peer = MqttPeer(cse_id[1:], originator, listener)
        else:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            if binding == "http":
                peer = HttpPeer(cse, originator, session)
            else:
                connecting = session.ws_connect(cse.addresses()["ws"], protocols=["oneM2M.cbor"])
                peer = WebSocketPeer(originator, await stack.enter_async_context(connecting))
        yield peer, cse, originator


AE = {"m2m:ae": {"rn": "ae", "api": "Ntest", "rr": False, "srv": ["3"], "csz": ["application/cbor"]}}


@pytest.fixture(params=BINDINGS)
def binding(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_resources_live_in_cbor(binding: str, mosquitto_url: str) -> None:
    async with peer_of(binding, mosquitto_url) as (peer, _, originator):
        rsc, content = await peer.ask(1, "cse-in", 2, cbor2.dumps(AE))
        assert (rsc, content["m2m:ae"]["aei"]) == (2001, originator), content
        assert (await peer.ask(1, "cse-in/ae", 3, cbor2.dumps({"m2m:cnt": {"rn": "c"}})))[0] == 2001
        values = ["21.5", "grün", 7, -3, 2**53, 1.5, True, None, {"a": [1, {"b": "c"}]}, [], "x" * 3000]
        for value in values:
            if value is None:
                continue
            rsc, content = await peer.ask(1, "cse-in/ae/c", 4, cbor2.dumps({"m2m:cin": {"con": value}}))
            assert rsc == 2001, (value, content)
            rsc, content = await peer.ask(2, "cse-in/ae/c/la")
            assert (rsc, content["m2m:cin"]["con"]) == (2000, value)
            assert type(content["m2m:cin"]["con"]) is type(value)
        rsc, content = await peer.ask(3, "cse-in/ae/c", None, cbor2.dumps({"m2m:cnt": {"lbl": ["a"]}}))
        assert (rsc, content["m2m:cnt"]["lbl"]) == (2004, ["a"])
        rsc, content = await peer.ask(3, "cse-in/ae/c", None, cbor2.dumps({"m2m:cnt": {"lbl": None}}))
        assert rsc == 2004
        assert (await peer.ask(4, "cse-in/ae/c"))[0] == 2002


async def test_other_ways_to_write_the_same_are_understood(binding: str, mosquitto_url: str) -> None:
    async with peer_of(binding, mosquitto_url) as (peer, _, _originator):
        # Maps, lists and texts of indefinite length, integers and floats longer than they need be (RFC 8949 clause 3.2)
        text = b"\x7f" + b"\x62in" + b"\x63def" + b"\xff"
        body = b"\xbf\x66m2m:ae\xbf\x62rn" + text + b"\x63api\x65Ntest\x62rr\xf4\x63srv\x9f\x613\xff\xff\xff"
        rsc, content = await peer.ask(1, "cse-in", 2, body)
        assert (rsc, content["m2m:ae"]["rn"]) == (2001, "indef"), content
        body = b"\xa1\x67m2m:cnt\xa2\x62rn\x61c\x63mni\x1b" + (5).to_bytes(8, "big")
        assert (await peer.ask(1, "cse-in/indef", 3, body))[0] == 2001
        body = b"\xa1\x67m2m:cin\xa1\x63con\xf9\x3e\x00"  # 1.5 in half precision
        assert (await peer.ask(1, "cse-in/indef/c", 4, body))[0] == 2001
        rsc, content = await peer.ask(2, "cse-in/indef/c/la")
        assert content["m2m:cin"]["con"] == 1.5


@pytest.mark.parametrize(
    "body",
    [
        b"\xa1\x67m2m:cnt\xa1\x63lbl",
        b"\xff",
        b"\x81" * 60 + b"\x00",
        b"\xa1\x67m2m:cnt\xa1\x63lbl\x81\xc0\x74" + b"2013-03-21T20:04:00Z",
        b"\xa1\x67m2m:cnt\xa1\x63lbl\x81\x41\x00",
        b"\xa1\x67m2m:cnt\xa1\x01\x02",
        b"\xa1\x67m2m:cnt\xa1\x63mni" + cbor2.dumps(math.nan),
        b"\xa1\x67m2m:cnt\xa1\x63mni" + cbor2.dumps(math.inf),
        b"\xa1\x67m2m:cnt\xa1\x63mni\xc2\x49" + b"\x01" * 9,
        b"\xa1\x67m2m:cnt\xa2\x62rn\x61a\x62rn\x61b",
        b"\xa1\x67m2m:cnt\xa1\x62rn\x61\xff",
        b"\xa1\x67m2m:cnt\xa1\x62rn\xf7",
    ],
    ids=[
        "cut short", "break alone", "deep", "tag", "byte string", "number as name", "NaN", "infinite", "big number",
        "twice", "no UTF-8", "undefined",
    ],
)  # fmt: skip
async def test_bad_cbor_is_4000_in_cbor(binding: str, mosquitto_url: str, body: bytes) -> None:
    async with peer_of(binding, mosquitto_url) as (peer, _, _originator):
        assert (await peer.ask(1, "cse-in", 2, cbor2.dumps(AE)))[0] == 2001
        rsc, content = await peer.ask(1, "cse-in/ae", 3, body)
        assert rsc == 4000, content
        assert len(content["m2m:dbg"]) > 10


@pytest.mark.parametrize("binding", ["mqtt", "ws"], indirect=True)
async def test_an_ae_that_speaks_cbor_is_notified_in_cbor(binding: str, mosquitto_url: str) -> None:
    async with peer_of(binding, mosquitto_url) as (peer, cse, originator):
        await peer.ask(1, "cse-in", 2, cbor2.dumps(AE))
        await peer.ask(1, "cse-in/ae", 3, cbor2.dumps({"m2m:cnt": {"rn": "c"}}))
        nu = f"{cse.config.id}/{originator}"
        subscription = {"m2m:sub": {"rn": "s", "nu": [nu], "enc": {"net": [3]}}}
        rsc, content = await peer.ask(1, "cse-in/ae/c", 23, cbor2.dumps(subscription))
        assert rsc == 2001, content
        await peer.ask(1, "cse-in/ae/c", 4, cbor2.dumps({"m2m:cin": {"con": 1.25}}))
        event = (await asyncio.wait_for(peer.notification(), 8))["nev"]
        assert event["rep"]["m2m:cin"]["con"] == 1.25


async def test_a_url_may_ask_for_cbor_and_a_request_for_the_other_serialisation(mosquitto_url: str) -> None:
    taken: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def target(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        taken.put_nowait((request.headers["Content-Type"], await request.read()))
        headers = {"X-M2M-RSC": "2000", "X-M2M-RI": request.headers["X-M2M-RI"]}
        return aiohttp.web.Response(headers=headers)

    async with peer_of("http", mosquitto_url) as (peer, cse, originator):
        await peer.ask(1, "cse-in", 2, cbor2.dumps(AE))
        server = aiohttp.web.Server(target)
        runner = aiohttp.web.ServerRunner(server)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            subscription = {"m2m:sub": {"nu": [f"http://127.0.0.1:{port}/n?ct=cbor"], "enc": {"net": [3]}}}
            rsc, content = await peer.ask(1, "cse-in/ae", 23, cbor2.dumps(subscription))
            assert rsc == 2001, content
            media_type, body = await asyncio.wait_for(taken.get(), 5)
            assert media_type.endswith("cbor")
            assert cbor2.loads(body)["m2m:sgn"]["vrq"] is True
        finally:
            await runner.cleanup()
        headers = {"X-M2M-Origin": originator, "X-M2M-RI": "1", "X-M2M-RVI": "3", "Accept": "application/json"}
        headers["Content-Type"] = "application/vnd.onem2m-res+cbor;ty=3"
        async with aiohttp.ClientSession() as session:
            body = cbor2.dumps({"m2m:cnt": {"rn": "c"}})
            async with session.post(f"{cse.addresses()['http']}/cse-in/ae", data=body, headers=headers) as answer:
                assert (answer.status, (await answer.json())["m2m:cnt"]["rn"]) == (201, "c")


_SCALARS = (
    st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=5)
)


@given(_VALUES, st.booleans())
def test_whatever_is_written_is_read(value: Any, canonical: bool) -> None:
    assert load_cbor(cbor2.dumps(value, canonical=canonical)) == value


@given(st.dictionaries(st.text("abc", max_size=3), _VALUES, min_size=1, max_size=4), st.booleans())
def test_a_member_that_stands_twice_is_found_however_it_is_written(members: dict[str, Any], canonical: bool) -> None:
    pairs = [*members.items(), next(iter(members.items()))]
    written = b"".join(cbor2.dumps(part, canonical=canonical) for pair in pairs for part in pair)
    for body in (bytes([0xA0 + len(pairs)]) + written, b"\xbf" + written + b"\xff"):
        with pytest.raises(BadRequest, match="twice"):
            load_cbor(body)
