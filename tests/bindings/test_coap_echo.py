"""Small questions of addresses that may be forged get no large answers (RFC 9175; trust.md R14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cse.bindings.coap import CoapLimits, CoapSender, CoapServer
from cse.bindings.coap_blockwise import BlockLimits
from cse.bindings.coap_codec import decode_response, encode_request
from cse.bindings.coap_echo import EchoGate, EchoLimits
from cse.bindings.coap_message import CON, ECHO, NON, Block, Message, decode, dotted, encode, encode_block
from cse.onem2m.errors import NotFound
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send

LARGE = {"m2m:cnt": {"lbl": ["x" * 100] * 20}}


class Served:
    """Answers largely, and counts."""

    def __init__(self) -> None:
        self.requests: list[Operation] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request.operation)
        if request.to.endswith("missing"):
            raise NotFound("there is nothing of this name, " * 30)
        status = Status.CREATED if request.operation is Operation.CREATE else Status.OK
        return Response(status, request.request_id, LARGE, "3")


class Peer(asyncio.DatagramProtocol):
    """An endpoint that counts bytes."""

    def __init__(self) -> None:
        self.sent = self.received = 0
        self.answers: asyncio.Queue[Message] = asyncio.Queue()
        self.transport: Any = None
        self._number = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received += len(data)
        self.answers.put_nowait(decode(data))

    async def ask(self, message: Message) -> Message:
        self._number += 1
        message.message_id, message.token = self._number, bytes([self._number])
        datagram = encode(message)
        self.sent += len(datagram)
        self.transport.sendto(datagram)
        return await asyncio.wait_for(self.answers.get(), 15)


def message(operation: Operation = Operation.RETRIEVE, to: str = "cse-in", **more: Any) -> Message:
    ty = 3 if operation is Operation.CREATE else None
    content = {"m2m:cnt": {}} if operation is Operation.CREATE else None
    made = encode_request(Request(operation, to, "Cx", "1", ty, content, "3"), path=to.split("/"))
    made.options += more.get("options", [])
    return made


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
async def peer(served: Served) -> AsyncIterator[Peer]:
    """An endpoint beside a server that believes no address."""
    limits = CoapLimits(echo=EchoLimits(loopback=True), blocks=BlockLimits())
    server = CoapServer(served, "127.0.0.1", 0, limits=limits)
    await server.start()
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(Peer, remote_addr=server.listening)
    yield made
    transport.close()
    await server.stop()


async def test_a_large_answer_needs_an_echo_once(peer: Peer, served: Served) -> None:
    first = await peer.ask(message())
    assert dotted(first.code) == "4.01"
    echo = first.option(ECHO)
    assert echo
    assert peer.received <= 3 * peer.sent
    second = await peer.ask(message(options=[(ECHO, echo)]))
    assert dotted(second.code) == "2.05"
    assert len(encode(second)) > 1000
    third = await peer.ask(message())
    assert dotted(third.code) == "2.05"
    assert served.requests == [Operation.RETRIEVE] * 3


async def test_what_was_executed_is_answered_without_content_and_not_asked_for_again(
    peer: Peer, served: Served
) -> None:
    answer = await peer.ask(message(Operation.CREATE))
    assert dotted(answer.code) == "2.01"
    response = decode_response(answer)
    assert (response.status, response.request_id, response.content) == (Status.CREATED, "1", None)
    assert served.requests == [Operation.CREATE]
    assert peer.received <= 3 * peer.sent


async def test_errors_keep_their_code(peer: Peer) -> None:
    answer = await peer.ask(message(to="cse-in/missing"))
    assert dotted(answer.code) == "4.04"
    assert decode_response(answer).status is Status.NOT_FOUND
    assert peer.received <= 3 * peer.sent


async def test_nothing_makes_more_than_three_times_its_bytes(peer: Peer) -> None:
    block = encode_block(Block(3, True, 6))
    hostile = [
        Message(1),
        Message(1, NON),
        Message(2, payload=b"x" * 10),
        Message(1, options=[(11, b"cse-in")]),
        Message(1, options=[(9, b"critical")]),
        message(options=[(23, encode_block(Block(5, False, 6)))]),
        Message(2, options=[(27, block)], payload=b"x"),
        Message(2, options=[(27, block)], payload=b"x" * 1024),
        message(Operation.DELETE),
    ]
    for one in hostile:
        one.type = one.type or CON
        before_sent, before = peer.sent, peer.received
        await peer.ask(one)
        assert peer.received - before <= 3 * (peer.sent - before_sent), one


def test_an_echo_is_for_one_endpoint_and_for_a_while() -> None:
    gate = EchoGate(EchoLimits(loopback=True, fresh_s=60, valid_s=600, remembered=2))
    alice, mallory = ("192.0.2.1", 5683), ("192.0.2.66", 5683)
    value = gate.value(alice, 1000.0)
    assert not gate.hear(mallory, Message(1, options=[(ECHO, value)]), 1001.0)
    assert not gate.hear(alice, Message(1, options=[(ECHO, value[:-1] + b"\0")]), 1001.0)
    assert not gate.hear(alice, Message(1, options=[(ECHO, b"")]), 1001.0)
    assert not gate.hear(alice, Message(1, options=[(ECHO, value)]), 1070.0)
    assert gate.hear(alice, Message(1, options=[(ECHO, value)]), 1001.0)
    assert gate.hear(alice, Message(1), 1500.0)
    assert not gate.hear(alice, Message(1), 1700.0)
    assert not EchoGate(EchoLimits(loopback=True)).hear(alice, Message(1, options=[(ECHO, value)]), 1001.0)
    for number in range(10):
        peer = ("192.0.2.2", number)
        assert gate.hear(peer, Message(1, options=[(ECHO, gate.value(peer, 2000.0))]), 2000.0)
    assert len(gate) == 2


def test_this_machine_is_believed() -> None:
    gate = EchoGate(EchoLimits())
    assert gate.hear(("127.0.0.1", 1), Message(1), 0.0)
    assert gate.hear(("::1", 1, 0, 0), Message(1), 0.0)
    assert not gate.hear(("192.0.2.1", 1), Message(1), 0.0)


async def test_our_own_sending_side_returns_the_echo(served: Served) -> None:
    """Another CSE that forwards a request to a server which does not know it yet."""
    server = CoapServer(served, "127.0.0.1", 0, limits=CoapLimits(echo=EchoLimits(loopback=True)))
    await server.start()
    sender = CoapSender()
    try:
        send = Send(Request(Operation.RETRIEVE, "cse-in", "Cx", "1", release="3"), (server.url,), exact_url=False)
        assert (await sender.send(server.url, send)).content == LARGE
        assert served.requests == [Operation.RETRIEVE] * 2
        assert (await sender.send(server.url, send)).content == LARGE
        assert served.requests == [Operation.RETRIEVE] * 3
    finally:
        await sender.close()
        await server.stop()
