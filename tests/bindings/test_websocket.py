"""WebSocket over real sockets: aiohttp and raw clients against the CSE, the CSE's own client, limits and closing."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import cbor2
import orjson
import pytest

from cse.app import Cse
from cse.bindings.http import HttpLimits, HttpServer
from cse.bindings.http_connections import ConnectionGuard
from cse.bindings.websocket import CHANNEL, WebSocketBinding
from cse.bindings.websocket_connection import WebSocketLimits
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Serve, Unreachable

AE = {"m2m:ae": {"rn": "ae", "api": "Ntest", "rr": False, "srv": ["3"]}}


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Cse]:
    """A CSE /id-in with HTTP and WebSocket on a free port."""
    fields: dict[str, Any] = {"http": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",), **options}
    cse = Cse(CseConfig(**fields))
    await cse.start()
    try:
        yield cse
    finally:
        await cse.stop(2.0)


class Client:
    """An originator on a WebSocket: sends primitives, keeps what the CSE asks apart from what it answers."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, cbor: bool) -> None:
        self.socket = socket
        self._cbor = cbor
        self._numbers = iter(range(1, 10_000))
        self.requests: list[dict[str, Any]] = []

    async def send(self, primitive: dict[str, Any]) -> None:
        if self._cbor:
            await self.socket.send_bytes(cbor2.dumps(primitive))
        else:
            await self.socket.send_str(orjson.dumps(primitive).decode())

    async def receive(self) -> dict[str, Any]:
        """The next primitive; the kind of frame must be right."""
        message = await asyncio.wait_for(self.socket.receive(), 5)
        assert message.type is (aiohttp.WSMsgType.BINARY if self._cbor else aiohttp.WSMsgType.TEXT), message
        primitive: dict[str, Any] = cbor2.loads(message.data) if self._cbor else orjson.loads(message.data)
        return primitive

    async def ask(self, operation: int, to: str, originator: str | None = "Cae", **more: Any) -> dict[str, Any]:
        """Send a request; what the CSE asks meanwhile is answered with 2000 and kept."""
        request = {"op": operation, "to": to, "rqi": f"q{next(self._numbers)}", "rvi": "3", **more}
        if originator is not None:
            request["fr"] = originator
        await self.send(request)
        while True:
            primitive = await self.receive()
            if "rsc" in primitive:
                assert primitive["rqi"] == request["rqi"]
                return primitive
            await self.take(primitive)

    async def take(self, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """The next request of the CSE, answered with 2000."""
        request = request or await self.receive()
        assert request["op"] == 5, request
        self.requests.append(request)
        await self.send({"rsc": 2000, "rqi": request["rqi"], "rvi": "3"})
        return request

    async def closed(self) -> int:
        """The close code, when no further message comes."""
        message = await asyncio.wait_for(self.socket.receive(), 8)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING), message
        assert self.socket.close_code is not None
        return self.socket.close_code


@asynccontextmanager
async def connected(
    cse: Cse | str, origin: str = "", subprotocol: str = "oneM2M.json", **headers: str
) -> AsyncIterator[Client]:
    url = cse if isinstance(cse, str) else cse.addresses()["ws"]
    fields = {"X-M2M-Origin": origin, **headers} if origin else headers
    offered = (subprotocol,) if subprotocol else ()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=offered, headers=fields, max_msg_size=0) as socket,
    ):
        assert socket.protocol == (subprotocol or None)
        yield Client(socket, subprotocol.endswith("cbor"))


# --- requests and notifications --------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", ["oneM2M.json", "oneM2M.cbor", "oneM2M.R2.0.json"])
async def test_an_ae_lives_on_one_connection(subprotocol: str) -> None:
    async with running() as cse, connected(cse, subprotocol=subprotocol) as client:
        created = await client.ask(1, "cse-in", "C", ty=2, pc=AE)
        assert created["rsc"] == 2001, created
        own = created["pc"]["m2m:ae"]["aei"]
        assert (await client.ask(1, "cse-in/ae", own, ty=3, pc={"m2m:cnt": {"rn": "cnt"}}))["rsc"] == 2001
        subscribed = await client.ask(
            1, "cse-in/ae/cnt", own, ty=23, pc={"m2m:sub": {"rn": "sub", "nu": [f"/id-in/{own}"], "enc": {"net": [3]}}}
        )
        assert subscribed["rsc"] == 2001, subscribed
        assert client.requests == [], "an originator that subscribes itself is not verified"
        assert (await client.ask(1, "cse-in/ae/cnt", own, ty=4, pc={"m2m:cin": {"con": "7"}}))["rsc"] == 2001
        request = client.requests[0] if client.requests else await client.take()
        event = request["pc"]["m2m:sgn"]["nev"]
        assert (request["fr"], event["net"], event["rep"]["m2m:cin"]["con"]) == ("/id-in", 3, "7")
        latest = await client.ask(2, "cse-in/ae/cnt/la", None)
        assert latest["pc"]["m2m:cin"]["con"] == "7"
        assert (await client.ask(4, "cse-in/ae", own))["rsc"] == 2002
        while (message := await asyncio.wait_for(client.socket.receive(), 5)).type not in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
        ):
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        assert client.socket.close_code == 1000
        assert cse.delivery.counts.failed == 0


async def test_notifications_of_others_arrive_in_order_on_the_open_connection() -> None:
    async with running() as cse, connected(cse, "Cae") as client, connected(cse, "CAdmin") as admin:
        assert (await client.ask(1, "cse-in", ty=2, pc=AE))["rsc"] == 2001
        await client.ask(1, "cse-in/ae", ty=3, pc={"m2m:cnt": {"rn": "cnt"}})
        answer = asyncio.create_task(
            admin.ask(
                1, "cse-in/ae/cnt", "CAdmin", ty=23, pc={"m2m:sub": {"rn": "s", "nu": ["Cae"], "enc": {"net": [3]}}}
            )
        )
        verification = await client.take()
        assert verification["pc"]["m2m:sgn"]["vrq"] is True
        assert (await answer)["rsc"] == 2001
        for number in range(20):
            assert (await admin.ask(1, "cse-in/ae/cnt", "CAdmin", ty=4, pc={"m2m:cin": {"con": str(number)}}))[
                "rsc"
            ] == 2001
        got = [(await client.take())["pc"]["m2m:sgn"]["nev"]["rep"]["m2m:cin"]["con"] for _ in range(20)]
        assert got == [str(number) for number in range(20)]


async def test_requests_are_answered_as_they_are_done_and_started_in_order() -> None:
    async with running() as cse, connected(cse) as client:
        # The second comes before the AE of the first is known, and waits for it.
        await client.send({"op": 1, "to": "cse-in", "fr": "Cae", "rqi": "a", "rvi": "3", "ty": 2, "pc": AE})
        await client.send(
            {"op": 1, "to": "cse-in/ae", "fr": "Cae", "rqi": "b", "rvi": "3", "ty": 3, "pc": {"m2m:cnt": {"rn": "c"}}}
        )
        for number in range(200):
            await client.send(
                {"op": 1, "to": "cse-in/ae/c", "fr": "Cae", "rqi": f"n{number}", "rvi": "3", "ty": 4,
                 "pc": {"m2m:cin": {"con": str(number)}}}
            )  # fmt: skip
        answers = [await client.receive() for _ in range(202)]
        assert {answer["rsc"] for answer in answers} == {2001}
        assert (await client.ask(2, "cse-in/ae/c/la"))["pc"]["m2m:cin"]["con"] == "199"


async def test_a_request_without_response_gets_none() -> None:
    async with running() as cse, connected(cse, "CAdmin") as client:
        await client.send({"op": 2, "to": "cse-in", "fr": "CAdmin", "rqi": "1", "rvi": "3", "rt": {"rtv": 5}})
        assert (await client.ask(2, "cse-in", "CAdmin"))["rsc"] == 2000


async def test_deregistration_by_somebody_else_closes_the_connection() -> None:
    async with running() as cse, connected(cse, "Cae") as client:
        assert (await client.ask(1, "cse-in", ty=2, pc=AE))["rsc"] == 2001
        async with aiohttp.ClientSession() as session:
            headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
            async with session.delete(cse.addresses()["http"] + "/cse-in/ae", headers=headers) as answer:
                assert answer.status == 200
        assert await client.closed() == 1000


async def test_a_target_that_is_not_connected_any_more_is_unreachable() -> None:
    async with running() as cse, connected(cse, "CAdmin") as admin:
        async with connected(cse, "Cae") as client:
            assert (await client.ask(1, "cse-in", ty=2, pc=AE))["rsc"] == 2001
        subscribed = await admin.ask(
            1, "cse-in/ae", "CAdmin", ty=23, pc={"m2m:sub": {"rn": "s", "nu": ["Cae"], "enc": {"net": [1]}}}
        )
        assert subscribed["rsc"] == 5204
        with pytest.raises(Unreachable, match="closed"):
            await cse.delivery.attempts.open_channel.__self__.send(  # type: ignore[attr-defined]
                f"{CHANNEL}://Cae", Send(Request(Operation.NOTIFY, "Cae", "/id-in", "1"), receiver="Cae")
            )


# --- who is who ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("impostor", ["Cother", "CAdmin", "/id-in", "/id-in/Cother", "C", "S", "/id-mn/Cae"])
async def test_a_connection_speaks_for_its_own_entity_only(impostor: str) -> None:
    async with running() as cse, connected(cse, "Cae") as client:
        for more in ({"op": 2}, {"op": 1, "ty": 2, "pc": AE}, {"op": 1, "ty": 16, "pc": {"m2m:csr": {}}}):
            await client.send({"to": "cse-in", "fr": impostor, "rqi": "1", "rvi": "3", **more})
            answer = await client.receive()
            assert answer["rsc"] == 4106, answer
            assert "Cae" in answer["pc"]["m2m:dbg"]


async def test_a_connection_of_nobody_may_only_register() -> None:
    async with running() as cse, connected(cse) as client:
        assert (await client.ask(2, "cse-in", "CAdmin"))["rsc"] == 4103
        assert (await client.ask(1, "cse-in", "Cae", ty=2, pc=AE))["rsc"] == 2001
        assert (await client.ask(2, "cse-in", "CAdmin"))["rsc"] == 4106
        assert (await client.ask(2, "cse-in/ae", "Cae"))["rsc"] == 2000


async def test_a_failed_registration_leaves_the_connection_to_nobody() -> None:
    async with running() as cse, connected(cse) as client:
        assert (await client.ask(1, "cse-in", "Cae", ty=2, pc={"m2m:ae": {"rr": False}}))["rsc"] == 4000
        assert (await client.ask(2, "cse-in", "Cae"))["rsc"] == 4103


async def test_a_lenient_cse_names_a_connection_by_its_first_request() -> None:
    async with running(profile="lenient") as cse, connected(cse, subprotocol="") as client:
        assert (await client.ask(2, "cse-in", "CAdmin"))["rsc"] == 2000
        assert (await client.ask(2, "cse-in", "Cother"))["rsc"] == 4106
        await client.send({"m2m:rqp": {"op": 2, "to": "cse-in", "fr": "CAdmin", "rqi": "w"}})
        assert (await client.receive())["m2m:rsp"]["rsc"] == 2000


async def test_a_name_is_no_proof_where_proof_is_wanted() -> None:
    async with running(insecure_dev=False, admin=()) as cse:
        assert await handshake_status(cse, {"X-M2M-Origin": "Cae", "Sec-WebSocket-Protocol": "oneM2M.json"}) == 401


async def handshake_status(cse: Cse, headers: dict[str, str], drop: str = "", method: str = "GET") -> int:
    """The HTTP status a raw handshake gets."""
    host, port = cse.addresses()["http"].removeprefix("http://").split(":")
    fields = {
        "Host": f"{host}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "oneM2M.json",
        **headers,
    }
    fields.pop(drop, None)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"{method} / HTTP/1.1\r\n{lines}\r\n".encode())
        return int((await asyncio.wait_for(reader.readline(), 5)).split()[1])
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("headers", "drop", "status"),
    [
        ({}, "", 101),
        ({"X-M2M-Origin": "Cae"}, "", 101),
        ({"Sec-WebSocket-Protocol": "chat"}, "", 400),
        ({}, "Sec-WebSocket-Protocol", 400),
        ({"Sec-WebSocket-Version": "8"}, "", 426),
        ({}, "Sec-WebSocket-Key", 400),
        ({"X-M2M-Origin": "C ae"}, "", 400),
        ({"X-M2M-Origin": "/id-in"}, "", 403),
        ({"Origin": "https://evil.example"}, "", 403),
        ({"Origin": "https://app.example"}, "", 101),
    ],
)
async def test_handshakes(headers: dict[str, str], drop: str, status: int) -> None:
    async with running(cors_origins=("https://app.example",)) as cse:
        got = await handshake_status(cse, headers, drop)
        assert got == status or (status == 426 and got in (400, 426))


async def test_websockets_count_as_connections_for_as_long_as_they_are_open() -> None:
    async with running() as cse, contextlib.AsyncExitStack() as stack:
        server = cse.endpoints.http
        assert server is not None
        server._guard.limits = HttpLimits(connections=2)
        first = await stack.enter_async_context(connected(cse, "CAdmin"))
        second = await stack.enter_async_context(connected(cse, "CAdmin"))
        assert await handshake_status(cse, {}) == 503  # none of them only waits: nobody is let go for a new one
        assert (await second.ask(2, "cse-in", "CAdmin"))["rsc"] == 2000
        await first.socket.close()
        async with asyncio.timeout(15):
            while await handshake_status(cse, {}) != 101:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)


def test_one_address_has_few_connections_but_for_this_machine() -> None:
    guard = ConnectionGuard(HttpLimits(connections_per_address=2))
    sockets: list[Any] = [object() for _ in range(7)]
    assert [guard.admit(one, "192.0.2.1") for one in sockets[:3]] == [True, True, False]
    assert guard.admit(sockets[3], "192.0.2.2")
    guard.release(sockets[0], "192.0.2.1")
    assert guard.admit(sockets[2], "192.0.2.1")
    assert [guard.admit(one, "127.0.0.1") for one in sockets[4:]] == [True, True, True]


async def test_without_websocket_a_handshake_is_an_http_request() -> None:
    async with running(ws=False) as cse:
        assert "ws" not in cse.addresses()
        assert await handshake_status(cse, {"X-M2M-RI": "1", "X-M2M-RVI": "3", "X-M2M-Origin": "CAdmin"}) != 101


async def test_http_and_websocket_share_the_port_and_the_csebase_says_so() -> None:
    async with running() as cse, connected(cse, "CAdmin") as client, aiohttp.ClientSession() as session:
        answer = await client.ask(2, "cse-in", "CAdmin")
        assert answer["pc"]["m2m:cb"]["poa"] == [cse.addresses()["http"], cse.addresses()["ws"]]
        headers = {"X-M2M-Origin": "CAdmin", "X-M2M-RI": "1", "X-M2M-RVI": "3"}
        async with session.get(cse.addresses()["http"] + "/cse-in", headers=headers) as over_http:
            assert (await over_http.json())["m2m:cb"]["poa"] == answer["pc"]["m2m:cb"]["poa"]


# --- limits and bad peers --------------------------------------------------------------------------------------------


@asynccontextmanager
async def bare(serve: Serve, own_id: str = "/id-in", **options: Any) -> AsyncIterator[tuple[WebSocketBinding, str]]:
    """The binding without a CSE behind it."""
    binding = WebSocketBinding(serve, own_id, **{"lenient": False, **options})
    server = HttpServer(serve, "127.0.0.1", 0, lenient=False, accept_upgrade=binding.accept)
    await server.start()
    try:
        yield binding, server.url.replace("http", "ws", 1)
    finally:
        await binding.close(0.1)
        await server.stop(0.2)


async def echo(request: Request) -> Response:
    return Response(Status.OK, request.request_id, request.content)


@pytest.mark.parametrize(
    ("message", "code"),
    [("hello", 1007), ('{"op":2,"to":"x","fr":"Cae"}', 1007), (b'{"op":2}', 1003), ("[" * 500, 1007)],
)
async def test_what_cannot_be_answered_closes_the_connection(message: str | bytes, code: int) -> None:
    async with bare(echo) as (_, url), connected(url, "Cae") as client:
        await (client.socket.send_str(message) if isinstance(message, str) else client.socket.send_bytes(message))
        assert await client.closed() == code


async def test_what_is_wrong_and_readable_is_answered_and_the_connection_stays() -> None:
    async with bare(echo) as (_, url), connected(url, "Cae") as client:
        await client.socket.send_str('{"op":7,"to":"x","rqi":"abc"}')
        answer = await client.receive()
        assert (answer["rsc"], answer["rqi"]) == (4000, "abc")
        await client.socket.send_str('{"op":2,"to":"x","rqi":"zz","zzz":1}')
        assert (await client.receive())["rsc"] == 5001
        assert (await client.ask(2, "x"))["rsc"] == 2000


async def test_messages_come_in_fragments_and_have_a_largest_size() -> None:
    head = b'{"op":3,"to":"x","fr":"Cae","rqi":"1",'
    async with bare(echo, limits=WebSocketLimits(message_bytes=2000)) as (_, url), raw(url, "Cae") as peer:
        peer.frame(0x1, head, fin=False)
        peer.frame(0x9, b"ping in between")
        peer.frame(0x0, b'"pc":{"m2m:cnt":', fin=False)
        peer.frame(0x0, b'{"lbl":["a"]}}}')
        assert await peer.next() == (0xA, b"ping in between")
        opcode, payload = await peer.next()
        assert (opcode, orjson.loads(payload)["rsc"]) == (0x1, 2000)
        peer.frame(0x1, b" " * 1500, fin=False)
        peer.frame(0x0, b" " * 501)
        opcode, payload = await peer.next()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (0x8, 1009)


class Raw:
    """A peer that writes frames itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> None:
        size = len(payload)
        head = bytes([opcode | (0x80 if fin else 0)])
        mask = 0x80 if masked else 0
        head += bytes([mask | size]) if size < 126 else bytes([mask | 126]) + size.to_bytes(2, "big")
        self.writer.write(head + (bytes(4) if masked else b"") + payload)

    async def next(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        async with asyncio.timeout(8):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(size)


@asynccontextmanager
async def raw(url: str, origin: str) -> AsyncIterator[Raw]:
    host, port = url.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: oneM2M.json\r\n"
        f"X-M2M-Origin: {origin}\r\n\r\n".encode()
    )
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 101"), head
        yield Raw(reader, writer)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("opcode", "payload", "masked", "code"),
    [(0x3, b"", True, 1002), (0x1, b"{}", False, 1002), (0x0, b"x", True, 1002), (0x1, b'{"rqi":"\xff"', True, None)],
)
async def test_frames_against_the_rules(opcode: int, payload: bytes, masked: bool, code: int | None) -> None:
    async with bare(echo) as (_, url), raw(url, "Cae") as peer:
        peer.frame(opcode, payload, masked=masked)
        kind, answer = await peer.next()
        if code is None:
            assert kind in (0x1, 0x8)
        else:
            assert (kind, int.from_bytes(answer[:2], "big")) == (0x8, code)


async def test_a_peer_that_is_silent_is_pinged_and_let_go() -> None:
    async with bare(echo, limits=WebSocketLimits(ping_s=0.1)) as (binding, url), raw(url, "Cae") as peer:
        assert await peer.next() == (0x9, b"")
        kind, payload = await peer.next()
        assert (kind, int.from_bytes(payload[:2], "big")) == (0x8, 1011)
        assert binding.channel("Cae") == ""


async def test_a_peer_that_answers_pings_stays() -> None:
    async with bare(echo, limits=WebSocketLimits(ping_s=0.05)) as (binding, url), connected(url, "Cae") as client:
        with pytest.raises(TimeoutError):  # aiohttp answers pings while it receives
            await asyncio.wait_for(client.socket.receive(), 0.5)
        assert binding.channel("Cae") == f"{CHANNEL}://Cae"


async def test_a_peer_that_does_not_read_is_let_go_when_too_much_waits() -> None:
    limits = WebSocketLimits(queued=5)
    async with bare(echo, limits=limits) as (binding, url), raw(url, "Cae") as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        content = {"m2m:sgn": {"nev": {"rep": {"m2m:cin": {"con": "x" * 200_000}}}}}
        sends = [
            asyncio.create_task(
                binding.send(
                    binding.channel("Cae"),
                    Send(Request(Operation.NOTIFY, "Cae", "/id-in", f"n{number}", content=content), receiver="Cae"),
                )
            )
            for number in range(100)
        ]
        answers = await asyncio.wait_for(asyncio.gather(*sends, return_exceptions=True), 8)
        assert all(isinstance(answer, Unreachable) for answer in answers)
        assert binding.channel("Cae") == ""


async def test_more_requests_than_may_run_wait_in_the_socket() -> None:
    gate, full, running_now, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def slow(request: Request) -> Response:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        if most >= 8:
            full.set()
        await gate.wait()
        running_now -= 1
        return Response(Status.OK, request.request_id)

    limits = WebSocketLimits(in_flight=8)
    async with bare(slow, limits=limits) as (_, url), connected(url, "Cae") as client:
        padding = "x" * 20_000
        writing = asyncio.create_task(_write_many(client, 500, padding))
        await asyncio.wait_for(full.wait(), 5)
        await asyncio.sleep(0.1)  # nothing can be waited for: what must not come, would come now
        assert most < 200, "what was in the buffer when reading stopped, and no more"
        gate.set()
        answers = [await client.receive() for _ in range(500)]
        await writing
        assert {answer["rsc"] for answer in answers} == {2000}


async def _write_many(client: Client, count: int, padding: str) -> None:
    for number in range(count):
        await client.send({"op": 3, "to": "x", "fr": "Cae", "rqi": str(number), "pc": {"m2m:cnt": {"lbl": [padding]}}})


# --- the CSE as client -----------------------------------------------------------------------------------------------


async def test_a_node_that_listens_is_connected_to_and_asked() -> None:
    seen: asyncio.Queue[Request] = asyncio.Queue()

    async def application(request: Request) -> Response:
        seen.put_nowait(request)
        return Response(Status.OK, request.request_id, release=request.release)

    async with (
        bare(application, "Capp") as (_, url),
        running() as cse,
        connected(cse, "CAdmin") as admin,
    ):
        for number, target in enumerate((url, f"{url}/path?ct=cbor")):
            subscribed = await admin.ask(
                1, "cse-in", "CAdmin", ty=23, pc={"m2m:sub": {"rn": f"s{number}", "nu": [target], "enc": {"net": [3]}}}
            )
            assert subscribed["rsc"] == 2001, subscribed
        verifications = [await asyncio.wait_for(seen.get(), 5) for _ in range(2)]
        assert [request.content["m2m:sgn"].get("vrq") for request in verifications] == [True, True]
        assert {request.originator for request in verifications} == {"/id-in"}
        await admin.ask(1, "cse-in", "CAdmin", ty=3, pc={"m2m:cnt": {"rn": "c"}})
        events = [await asyncio.wait_for(seen.get(), 5) for _ in range(2)]
        assert {request.content["m2m:sgn"]["nev"]["net"] for request in events} == {3}


async def test_two_requests_with_the_same_rqi_get_their_own_answers() -> None:
    release = asyncio.Event()

    async def application(request: Request) -> Response:
        if request.to == "first":
            await release.wait()
        return Response(Status.OK, request.request_id, {"m2m:uri": request.to})

    async with bare(application) as (_, url):
        client = WebSocketBinding(echo, "/id-x", lenient=False)
        asked = [
            asyncio.create_task(client.send(url, Send(Request(Operation.RETRIEVE, to, "/id-x", "1"), (url,), "/id-in")))
            for to in ("first", "second")
        ]
        second = await asyncio.wait_for(asked[1], 5)
        release.set()
        first = await asyncio.wait_for(asked[0], 5)
        assert [(answer.request_id, answer.content["m2m:uri"]) for answer in (first, second)] == [
            ("1", "first"),
            ("1", "second"),
        ]
        await client.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://127.0.0.1:{free}", "no connection"),
        ("ws://127.0.0.1:{http}", "no WebSocket there"),
        ("ws://", "no WebSocket URL"),
        ("ws://127.0.0.1:99999", "no WebSocket URL|no connection"),
        ("ws://127.0.0.1:{free}?ct=xml", "ct="),
    ],
)
async def test_why_nobody_was_reached_is_said_in_words(url: str, words: str, free_port: int) -> None:
    async with running(ws=False) as cse:
        http = cse.addresses()["http"].rpartition(":")[2]
        client = WebSocketBinding(echo, "/id-x", lenient=False)
        target = url.format(free=free_port, http=http)
        with pytest.raises(Unreachable, match=words):
            await client.send(target, Send(Request(Operation.NOTIFY, "x", "/id-x", "1"), (target,)))
        await client.close()


async def test_a_silent_listener_owes_no_answer_to_a_notification_but_to_a_verification() -> None:
    async def silent(request: Request) -> Response:
        return Response(Status.OK, request.request_id, silent=True)

    async with bare(silent) as (_, url):
        client = WebSocketBinding(echo, "/id-in2", lenient=False)
        event = Request(Operation.NOTIFY, "x", "/id-in2", "1", content={"m2m:sgn": {"nev": {}}})
        assert (await client.send(url, Send(event, (url,), timeout_s=0.1))).status is Status.OK
        verification = Request(Operation.NOTIFY, "x", "/id-in2", "2", content={"m2m:sgn": {"vrq": True}})
        with pytest.raises(Unreachable, match="no answer"):
            await client.send(url, Send(verification, (url,), timeout_s=0.1))
        await client.close()


async def test_an_mn_cse_behind_nat_registers_and_is_reached_over_its_connection() -> None:
    async with (
        running() as infrastructure,
        running(
            type="MN",
            id="/id-mn",
            name="cse-mn",
            registrar=infrastructure.addresses()["ws"],
            registrar_id="/id-in",
            poa=("http://127.0.0.1:1",),
        ) as edge,
    ):
        assert edge.registration is not None
        await asyncio.wait_for(edge.registration.registered.wait(), 5)
        async with connected(infrastructure, "CAdmin") as admin, connected(edge, "Cae") as client:
            assert (await client.ask(1, "cse-mn", ty=2, pc=AE))["rsc"] == 2001
            up = await client.ask(2, "/id-in/cse-in")
            assert up["rsc"] in (2000, 4103), up
            down = await admin.ask(2, "/id-mn/cse-mn", "CAdmin")
            assert down["rsc"] in (2000, 4103), down
            assert down["rsc"] != 5103


async def test_stopping_says_goodbye() -> None:
    async with contextlib.AsyncExitStack() as stack:
        cse = await stack.enter_async_context(running())
        client = await stack.enter_async_context(connected(cse, "Cae"))
        stopping = asyncio.create_task(cse.stop(2.0))
        assert await client.closed() == 1001
        await stopping
