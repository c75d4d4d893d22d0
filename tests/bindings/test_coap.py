"""The CoAP binding on real sockets, against aiocoap, libcoap and bare datagrams (TS-0008, RFC 7252, RFC 7959)."""

import asyncio
import json
import logging
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiocoap
import aiocoap.resource
import pytest
from aiocoap.numbers.codes import Code
from aiocoap.numbers.optionnumbers import OptionNumber

from cse.bindings.coap import BindError, CoapLimits, CoapSender, CoapServer
from cse.bindings.coap_blockwise import BlockLimits, Blockwise
from cse.bindings.coap_codec import decode_response
from cse.bindings.coap_codes import NEW_NUMBERS, OLD_NUMBERS, Numbering
from cse.bindings.coap_exchange import ExchangeLimits
from cse.bindings.coap_message import (
    ACK,
    BLOCK1,
    BLOCK2,
    CON,
    EMPTY,
    GET,
    NON,
    POST,
    PUT,
    REQUEST_TAG,
    RST,
    SIZE1,
    Block,
    Message,
    code,
    decode,
    decode_block,
    dotted,
    encode,
    encode_block,
)
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable
from tests.wire.coap import NOT_COAP

LIBCOAP = next(
    filter(shutil.which, ("coap-client-notls", "coap-client-openssl", "coap-client-gnutls", "coap-client")), ""
)
QUICK = ExchangeLimits(ack_after_s=0.05, ack_timeout_s=0.05, max_retransmit=2)


class Cse:
    """What stands behind a server in these tests: keeps what was asked, answers by the name of the target."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.go_on = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        response = Response(Status.OK, request.request_id, release=request.release)
        if request.to.endswith("/broken"):
            raise RuntimeError("a bug")
        if request.to.endswith("/slow"):
            await self.go_on.wait()
        if request.operation is Operation.CREATE:
            response.status, response.content = Status.CREATED, request.content
        elif request.operation is Operation.RETRIEVE:
            response.content = {"m2m:cin": {"con": "x" * 20_000 if request.to.endswith("/large") else "x"}}
        response.silent = request.response_type == 5
        return response


@asynccontextmanager
async def serving(
    serve: Callable[[Request], Awaitable[Response]], limits: CoapLimits | None = None, **options: Any
) -> AsyncIterator[CoapServer]:
    server = CoapServer(serve, "127.0.0.1", 0, limits=limits, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
def cse() -> Cse:
    return Cse()


@pytest.fixture
async def server(cse: Cse) -> AsyncIterator[CoapServer]:
    async with serving(cse) as running:
        yield running


@pytest.fixture
async def peer() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    yield context
    await context.shutdown()


@pytest.fixture
async def sender() -> AsyncIterator[CoapSender]:
    sender = CoapSender()
    yield sender
    await sender.close()


async def ask(
    peer: aiocoap.Context,
    url: str,
    method: int,
    *,
    numbers: Numbering = NEW_NUMBERS,
    ty: int = 0,
    body: bytes = b"",
    rqi: bytes = b"r1",
) -> aiocoap.Message:
    request = aiocoap.Message(code=Code(method), uri=url, payload=body)
    if body:
        request.opt.content_format = 50
    options = [(numbers.fr, b"Cae1"), (numbers.rqi, rqi)]
    if ty:
        options.append((numbers.ty, bytes([ty])))
    for number, value in options:
        request.opt.add_option(OptionNumber(number).create_option(decode=value))
    async with asyncio.timeout(10):
        return await peer.request(request).response


def option(message: aiocoap.Message, number: int) -> bytes | None:
    found = message.opt.get_option(OptionNumber(number))
    return found[0].encode() if found else None


class RawPeer(asyncio.DatagramProtocol):
    """A socket that sends and receives single datagrams."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[Message] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait(decode(data))

    def send(self, message: Message | bytes) -> None:
        self.transport.sendto(message if isinstance(message, bytes) else encode(message))

    async def next(self, timeout_s: float = 5.0) -> Message:
        async with asyncio.timeout(timeout_s):
            return await self.received.get()

    async def exchange(self, message: Message | bytes) -> Message:
        self.send(message)
        return await self.next()

    async def ping(self, message_id: int = 65000) -> None:
        """Whatever was sent before has been handled when this returns, and nothing else was answered."""
        answer = await self.exchange(Message(EMPTY, CON, message_id))
        assert (answer.type, answer.message_id) == (RST, message_id)


@asynccontextmanager
async def raw_peer(server: CoapServer) -> AsyncIterator[RawPeer]:
    host, _, port = server.url.removeprefix("coap://").rpartition(":")
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        RawPeer, remote_addr=(host.strip("[]"), int(port))
    )
    try:
        yield protocol
    finally:
        transport.close()


def get(to: str, message_id: int = 1, **changes: Any) -> Message:
    options = [*((11, segment.encode()) for segment in to.split("/")), (279, b"Cae1"), (283, b"r1")]
    return replace(Message(GET, CON, message_id, b"tk", options), **changes)


# --- requests with aiocoap -------------------------------------------------------------


@pytest.mark.parametrize("numbers", [NEW_NUMBERS, OLD_NUMBERS], ids=lambda numbers: numbers.name)
async def test_create_and_retrieve_in_both_numberings(
    numbers: Numbering, cse: Cse, server: CoapServer, peer: aiocoap.Context
) -> None:
    url = server.url + "/cse-in/app"
    created = await ask(peer, url, POST, numbers=numbers, ty=3, body=b'{"m2m:cnt":{"rn":"c"}}')
    assert created.code == aiocoap.CREATED
    assert created.payload == b'{"m2m:cnt":{"rn":"c"}}'
    assert created.opt.max_age == 0
    assert (option(created, numbers.rsc), option(created, numbers.rqi)) == (b"\x07\xd1", b"r1")
    read = await ask(peer, url, GET, numbers=numbers)
    assert (read.code, option(read, numbers.rsc)) == (aiocoap.CONTENT, b"\x07\xd0")
    other = OLD_NUMBERS if numbers is NEW_NUMBERS else NEW_NUMBERS
    assert option(read, other.rsc) is None
    create, retrieve = cse.requests
    assert (create.operation, create.to, create.originator, create.resource_type) == (1, "cse-in/app", "Cae1", 3)
    assert (retrieve.operation, retrieve.binding, retrieve.peer_address) == (2, "coap", "127.0.0.1")


@pytest.mark.parametrize("numbers", [NEW_NUMBERS, OLD_NUMBERS], ids=lambda numbers: numbers.name)
async def test_large_bodies_both_ways(numbers: Numbering, cse: Cse, server: CoapServer, peer: aiocoap.Context) -> None:
    body = b'{"m2m:cin":{"con":"' + b"y" * 20_000 + b'"}}'
    created = await ask(peer, server.url + "/cse-in/c", POST, numbers=numbers, ty=4, body=body)
    assert created.code == aiocoap.CREATED
    assert created.payload == body  # Block1 there, Block2 back
    assert cse.requests[0].content["m2m:cin"]["con"] == "y" * 20_000
    read = await ask(peer, server.url + "/cse-in/c/large", GET, numbers=numbers)
    assert len(read.payload) > 20_000
    assert option(read, numbers.rsc) == b"\x07\xd0"
    assert len(cse.requests) == 2


async def test_bad_requests_are_answered_in_words(cse: Cse, server: CoapServer, peer: aiocoap.Context) -> None:
    answer = await ask(peer, server.url + "/cse-in", GET, rqi=b"")
    assert (answer.code, option(answer, 307)) == (aiocoap.BAD_REQUEST, b"\x0f\xa0")
    assert b"283" in answer.payload
    answer = await ask(peer, server.url + "/cse-in", GET, numbers=replace(NEW_NUMBERS, fr=2049))
    assert (answer.code, option(answer, 307)) == (aiocoap.BAD_OPTION, b"\x0f\xa0")
    assert cse.requests == []


async def test_a_bug_is_logged_and_answered(
    server: CoapServer, peer: aiocoap.Context, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="cse.bindings.coap"):
        answer = await ask(peer, server.url + "/cse-in/broken", GET, rqi=b"r77")
    assert (answer.code, option(answer, 307)) == (aiocoap.INTERNAL_SERVER_ERROR, b"\x13\x88")
    assert option(answer, 283) == b"r77"
    assert b"a bug" not in answer.payload
    assert "r77" in caplog.text
    assert "a bug" in caplog.text


async def test_an_answer_that_cannot_be_written_is_logged_and_answered(peer: aiocoap.Context) -> None:
    async def serve(request: Request) -> Response:
        return Response(Status.OK, request.request_id, vendor="v" * 300)

    async with serving(serve) as server:
        answer = await ask(peer, server.url + "/cse-in", GET)
    assert answer.code == aiocoap.INTERNAL_SERVER_ERROR


async def test_a_body_beyond_the_limit_is_refused_with_the_limit(
    cse: Cse, server: CoapServer, peer: aiocoap.Context
) -> None:
    answer = await ask(peer, server.url + "/cse-in", PUT, body=b"x" * (64 * 1024 + 1))
    assert (answer.code, answer.opt.size1) == (aiocoap.REQUEST_ENTITY_TOO_LARGE, 64 * 1024)
    assert option(answer, 307) is None
    assert cse.requests == []


async def test_observe_is_passed_over(server: CoapServer, peer: aiocoap.Context) -> None:
    async with raw_peer(server) as raw:
        asked = get("cse-in")
        asked.options.append((6, b""))
        answer = await raw.exchange(asked)
    assert answer.code == code("2.05")
    assert answer.option(6) is None


# --- libcoap's command line -------------------------------------------------------------


async def libcoap(*arguments: str) -> str:
    """What coap-client logs. Its own rule makes it drop answers with critical options it has no names for, which all
    oneM2M answers have; so what came is read from its log of messages.
    """
    assert LIBCOAP, "coap-client is missing: install libcoap3-bin"
    process = await asyncio.create_subprocess_exec(
        LIBCOAP, "-B", "2", "-v", "8", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(20):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode()


@pytest.mark.parametrize(
    ("originator", "request_id", "expected"),
    [
        ("279,Cae1", "283,r9", ["283:\\x72\\x39", "307:\\x07\\xD1"]),
        ("256,Cae1", "257,r9", ["257:\\x72\\x39", "265:\\x07\\xD1"]),
    ],
)
async def test_create_with_libcoap(
    cse: Cse, server: CoapServer, originator: str, request_id: str, expected: list[str]
) -> None:
    body = '{"m2m:cnt":{"rn":"c"}}'
    output = await libcoap(
        "-m",
        "post",
        "-e",
        body,
        "-t",
        "50",
        "-O",
        originator,
        "-O",
        request_id,
        "-O",
        "267,0x03",
        server.url + "/cse-in/app",
    )
    (answer,) = [line for line in output.splitlines() if "c:2.01" in line]
    for text in [*expected, "t:ACK", "Max-Age:0", body]:
        assert text.lower() in answer.lower()
    (request,) = cse.requests
    assert (request.operation, request.to, request.request_id, request.content) == (
        Operation.CREATE,
        "cse-in/app",
        "r9",
        {"m2m:cnt": {"rn": "c"}},
    )


async def test_retrieve_with_libcoap(cse: Cse, server: CoapServer) -> None:
    output = await libcoap("-O", "279,Cae1", "-O", "283,r1", server.url + "/cse-in/app?rcn=4&lbl=a&lbl=b")
    assert "c:2.05" in output
    (request,) = cse.requests
    assert (request.result_content, request.filter) == (4, {"lbl": ["a", "b"]})


async def test_a_body_in_blocks_from_libcoap(cse: Cse, server: CoapServer, tmp_path: Any) -> None:
    body = tmp_path / "body"
    body.write_bytes(b'{"m2m:cin":{"con":"' + b"y" * 20_000 + b'"}}')
    output = await libcoap(
        "-m",
        "put",
        "-f",
        str(body),
        "-b",
        "512",
        "-t",
        "50",
        "-O",
        "279,Cae1",
        "-O",
        "283,r1",
        server.url + "/cse-in/c",
    )
    assert "c:2.31" in output
    assert "c:2.04" in output
    assert [request.content["m2m:cin"]["con"] for request in cse.requests] == ["y" * 20_000]


# --- the message layer -------------------------------------------------------------


async def test_a_copy_gets_the_same_answer_and_is_not_executed_again(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        first = await raw.exchange(get("cse-in/app", 7))
        again = await raw.exchange(get("cse-in/app", 7))
        assert first == again
        assert (first.type, first.message_id, first.token) == (ACK, 7, b"tk")
        assert len(cse.requests) == 1
        other = await raw.exchange(get("cse-in/app", 8))
        assert (other.message_id, len(cse.requests)) == (8, 2)


async def test_a_message_id_of_another_endpoint_is_another_message(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as one, raw_peer(server) as two:
        await one.exchange(get("cse-in/app", 7))
        await two.exchange(get("cse-in/app", 7))
    assert len(cse.requests) == 2


async def test_a_device_that_counts_anew_gets_its_own_answer(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        await raw.exchange(get("cse-in/before", 1))
        await raw.exchange(get("cse-in/after", 1))
    assert [request.to for request in cse.requests] == ["cse-in/before", "cse-in/after"]


async def test_copies_while_the_first_is_worked_on(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        raw.send(get("cse-in/slow", 7))
        raw.send(get("cse-in/slow", 7))
        await raw.ping()
        cse.go_on.set()
        assert (await raw.next()).type == ACK
        await raw.ping()
    assert len(cse.requests) == 1


async def test_remembered_message_ids_are_bounded(cse: Cse) -> None:
    limits = CoapLimits(exchanges=ExchangeLimits(remembered=3))
    async with serving(cse, limits) as server, raw_peer(server) as raw:
        for message_id in (1, 2, 3, 4, 1):
            await raw.exchange(get("cse-in", message_id))
    assert len(cse.requests) == 5


async def test_a_slow_answer_comes_on_its_own_with_aiocoap(cse: Cse, server: CoapServer, peer: aiocoap.Context) -> None:
    waiting = asyncio.create_task(ask(peer, server.url + "/cse-in/slow", GET))
    await asyncio.sleep(3)  # longer than the peer's first wait for an acknowledgement
    cse.go_on.set()
    answer = await waiting
    assert answer.code == aiocoap.CONTENT
    assert len(cse.requests) == 1


async def test_a_slow_answer_is_repeated_until_acknowledged(cse: Cse) -> None:
    async with serving(cse, CoapLimits(exchanges=QUICK)) as server, raw_peer(server) as raw:
        empty = await raw.exchange(get("cse-in/slow", 7))
        assert (empty.type, empty.code, empty.message_id, empty.token) == (ACK, EMPTY, 7, b"")
        copy = await raw.exchange(get("cse-in/slow", 7))
        assert copy == empty
        cse.go_on.set()
        answer = await raw.next()
        assert (answer.type, answer.code, answer.token) == (CON, code("2.05"), b"tk")
        assert answer.message_id != 7
        assert await raw.next() == answer
        raw.send(Message(EMPTY, ACK, answer.message_id))
        await raw.ping()
        with pytest.raises(TimeoutError):
            await raw.next(0.5)
    assert len(cse.requests) == 1


async def test_a_slow_answer_nobody_takes_is_given_up(cse: Cse) -> None:
    async with serving(cse, CoapLimits(exchanges=QUICK)) as server, raw_peer(server) as raw:
        await raw.exchange(get("cse-in/slow", 7))
        cse.go_on.set()
        copies = [await raw.next() for _ in range(3)]
        assert copies[0] == copies[1] == copies[2]
        with pytest.raises(TimeoutError):
            await raw.next(0.8)


async def test_non_confirmable_requests_are_answered_so(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        answer = await raw.exchange(get("cse-in", 7, type=NON))
        assert (answer.type, answer.token, answer.code) == (NON, b"tk", code("2.05"))
        raw.send(get("cse-in", 7, type=NON))
        await raw.ping()
    assert len(cse.requests) == 1


@pytest.mark.parametrize("kind", [CON, NON])
async def test_no_response_wanted(cse: Cse, server: CoapServer, kind: int) -> None:
    async with raw_peer(server) as raw:
        asked = get("cse-in", 7, type=kind)
        asked.options.append((15, b"rt=5"))
        raw.send(asked)
        if kind == CON:
            assert await raw.next() == Message(EMPTY, ACK, 7)
        await raw.ping()
    assert len(cse.requests) == 1


async def test_pings_and_stray_messages(server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        assert await raw.exchange(Message(EMPTY, CON, 9)) == Message(EMPTY, RST, 9)
        assert await raw.exchange(Message(code("2.05"), CON, 10)) == Message(EMPTY, RST, 10)
        assert await raw.exchange(Message(code("7.01"), CON, 11)) == Message(EMPTY, RST, 11)
        raw.send(Message(EMPTY, RST, 12))
        raw.send(Message(EMPTY, ACK, 12))
        raw.send(Message(code("2.05"), NON, 12))
        await raw.ping()


async def test_garbage_is_survived(cse: Cse, server: CoapServer) -> None:
    numbers = random.Random(7)
    async with raw_peer(server) as raw:
        for _, datagram, reset in NOT_COAP:
            raw.send(datagram)
            if reset:
                assert (await raw.next()).type == RST
        await raw.ping()
        well_formed = encode(get("cse-in/app"))
        for index in range(500):
            datagram = bytearray(numbers.randbytes(numbers.randrange(1, 60)) if index % 2 else well_formed)
            for _ in range(3):
                datagram[numbers.randrange(len(datagram))] = numbers.randrange(256)
            raw.send(bytes(datagram))
        raw.send(get("cse-in/alive", 60_001, token=b"alive"))
        while (answer := await raw.next()).token != b"alive":
            pass
        assert answer.code == code("2.05")
    assert any(request.to == "cse-in/alive" for request in cse.requests)


async def test_more_than_the_bound_is_turned_away(cse: Cse) -> None:
    async with serving(cse, CoapLimits(in_flight=2)) as server, raw_peer(server) as raw:
        raw.send(get("cse-in/slow", 1))
        raw.send(get("cse-in/slow", 2))
        answer = await raw.exchange(get("cse-in", 3))
        assert (dotted(answer.code), answer.option(14)) == ("5.03", b"\x05")
        cse.go_on.set()
        assert {(await raw.next()).message_id, (await raw.next()).message_id} == {1, 2}
        assert (await raw.exchange(get("cse-in", 4))).code == code("2.05")


# --- blocks -------------------------------------------------------------


def block1(
    number: int, more: bool, payload: bytes, *, exponent: int = 2, rqi: bytes = b"r1", **changes: Any
) -> Message:
    options = [(11, b"cse-in"), (27, encode_block(Block(number, more, exponent))), (279, b"Cae1"), (283, rqi)]
    return replace(Message(PUT, CON, 100 + number, options=options, payload=payload), **changes)


BODY = b'{"m2m:cin":{"con":"' + b"0123456789" * 12 + b'"}}'


async def test_blocks_in_order_make_one_request(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        pieces = [BODY[start : start + 64] for start in range(0, len(BODY), 64)]
        for number, piece in enumerate(pieces[:-1]):
            answer = await raw.exchange(block1(number, True, piece))
            assert dotted(answer.code) == "2.31"
            assert decode_block(answer.option(BLOCK1) or b"") == Block(number, True, 2)
        answer = await raw.exchange(block1(len(pieces) - 1, False, pieces[-1]))
        assert dotted(answer.code) == "2.04"
        assert decode_block(answer.option(BLOCK1) or b"") == Block(len(pieces) - 1, False, 2)
    assert [request.content for request in cse.requests] == [{"m2m:cin": {"con": "0123456789" * 12}}]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([block1(1, True, bytes(64))], "4.08"),
        ([block1(0, True, bytes(64)), block1(2, True, bytes(64))], "4.08"),
        ([block1(0, True, bytes(64)), block1(1, True, bytes(64), rqi=b"r2")], "4.08"),
        ([block1(0, True, bytes(63))], "4.00"),
        ([block1(0, True, bytes(64), exponent=7)], "4.00"),
        ([block1(1024, True, bytes(64))], "4.13"),
    ],
)
async def test_broken_transfers(cse: Cse, server: CoapServer, blocks: list[Message], expected: str) -> None:
    async with raw_peer(server) as raw:
        for block in blocks:
            answer = await raw.exchange(block)
    assert dotted(answer.code) == expected
    assert answer.option(307) is None
    assert cse.requests == []


def test_unfinished_transfers_are_bounded_and_forgotten() -> None:
    blocks = Blockwise(BlockLimits(per_peer=2, total=3, lifetime_s=30.0))

    def begin(peer: str, rqi: bytes, now: float) -> str:
        answer = blocks.take(peer, block1(0, True, bytes(64), rqi=rqi), now).answer
        assert answer is not None
        return dotted(answer.code)

    assert [begin("a", rqi, 0.0) for rqi in (b"1", b"2", b"3")] == ["2.31", "2.31", "5.03"]
    assert begin("a", b"1", 1.0) == "2.31"  # the same one from its start
    assert [begin("b", rqi, 2.0) for rqi in (b"1", b"2")] == ["2.31", "5.03"]
    assert begin("b", b"2", 30.5) == "2.31"  # a's second is forgotten
    answer = blocks.take("a", block1(1, True, bytes(64), rqi=b"2"), 30.5).answer
    assert answer is not None
    assert dotted(answer.code) == "4.08"


def test_memory_for_transfers_is_bounded() -> None:
    blocks = Blockwise(BlockLimits(total_bytes=128))
    codes = []
    for number in range(3):
        answer = blocks.take("a", block1(number, True, bytes(64)), 0.0).answer
        assert answer is not None
        codes.append(dotted(answer.code))
    assert codes == ["2.31", "2.31", "5.03"]
    answer = blocks.take("b", block1(0, True, bytes(64)), 0.0).answer  # what was refused takes no memory
    assert answer is not None
    assert dotted(answer.code) == "2.31"


def test_request_tags_keep_transfers_apart() -> None:
    blocks = Blockwise(BlockLimits())
    for tag in (b"1", b"2"):
        first = block1(0, True, tag * 64)
        first.options.append((REQUEST_TAG, tag))
        blocks.take("a", first, 0.0)
    last = block1(1, False, b"end")
    last.options.append((REQUEST_TAG, b"1"))
    whole = blocks.take("a", last, 0.0).request
    assert whole is not None
    assert whole.payload == b"1" * 64 + b"end"


def test_an_announced_size_beyond_the_limit_is_refused_at_once() -> None:
    first = block1(0, True, bytes(64))
    first.options.append((SIZE1, b"\x01\x00\x01"))
    answer = Blockwise(BlockLimits()).take("a", first, 0.0).answer
    assert answer is not None
    assert (dotted(answer.code), answer.option(SIZE1)) == ("4.13", b"\x01\x00\x00")


async def test_a_small_block_size_is_kept_to(cse: Cse, server: CoapServer) -> None:
    body, number, more = b"", 0, True
    async with raw_peer(server) as raw:
        while more:
            asked = get("cse-in/large", number + 1)
            asked.options.append((BLOCK2, encode_block(Block(number, False, 5))))
            answer = await raw.exchange(asked)
            assert decode_response(replace(answer, payload=b"")).status is Status.OK  # parameters in every block
            block = decode_block(answer.option(BLOCK2) or b"")
            assert (block.number, block.exponent) == (number, 5)
            body += answer.payload
            number, more = number + 1, block.more
    assert body == b'{"m2m:cin":{"con":"' + b"x" * 20_000 + b'"}}'
    assert len(cse.requests) == 1


async def test_blocks_of_an_answer_that_is_not_kept(cse: Cse, server: CoapServer) -> None:
    async with raw_peer(server) as raw:
        asked = get("cse-in/large")
        asked.options.append((BLOCK2, encode_block(Block(3, False, 6))))
        answer = await raw.exchange(asked)  # reading again does no harm
        assert (answer.code, answer.payload) == (code("2.05"), b"x" * 1024)
        asked = replace(asked, code=PUT, message_id=2)
        assert dotted((await raw.exchange(asked)).code) == "4.08"
        beyond = get("cse-in/large", 3)
        beyond.options.append((BLOCK2, encode_block(Block(99, False, 6))))
        assert dotted((await raw.exchange(beyond)).code) == "4.00"


def test_kept_answers_are_bounded() -> None:
    blocks = Blockwise(BlockLimits(total=2, lifetime_s=30.0))
    large = Message(code("2.05"), payload=bytes(3000))

    def later(rqi: bytes, now: float) -> str:
        asked = get("x", options=[(283, rqi), (BLOCK2, encode_block(Block(1, False, 6)))], code=POST)
        answer = blocks.take("a", asked, now).answer
        assert answer is not None
        return dotted(answer.code)

    for rqi in (b"1", b"2", b"3"):
        first = blocks.give("a", get("x", options=[(283, rqi)], code=POST), replace(large, options=[]), 0.0)
        assert len(first.payload) == 1024
    assert [later(rqi, 1.0) for rqi in (b"1", b"2", b"3")] == ["4.08", "2.05", "2.05"]
    assert later(b"3", 32.0) == "4.08"


# --- starting and stopping -------------------------------------------------------------


async def test_a_port_in_use_is_said_in_one_line(server: CoapServer, cse: Cse) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(BindError, match="in use") as caught:
        await CoapServer(cse, "127.0.0.1", port).start()
    assert "\n" not in str(caught.value)
    assert str(port) in str(caught.value)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70000), ("no.such.host.invalid", 0)])
async def test_an_impossible_address_is_said_in_one_line(cse: Cse, host: str, port: int) -> None:
    with pytest.raises(BindError, match="choose another"):
        await CoapServer(cse, host, port).start()


async def test_over_ipv6(cse: Cse, sender: CoapSender) -> None:
    server = CoapServer(cse, "::1", 0)
    await server.start()
    try:
        assert server.url.startswith("coap://[::1]:")
        await sender.send(server.url, notification("x"))
    finally:
        await server.stop()
    assert cse.requests[0].peer_address == "::1"


async def test_stopping_lets_requests_finish(cse: Cse) -> None:
    server = CoapServer(cse, "127.0.0.1", 0)
    await server.start()
    async with raw_peer(server) as raw:
        raw.send(get("cse-in/slow"))
        await raw.ping()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        cse.go_on.set()
        assert (await raw.next()).code == code("2.05")
        await stopping


async def test_stopping_does_not_wait_for_ever(cse: Cse) -> None:
    server = CoapServer(cse, "127.0.0.1", 0, limits=CoapLimits(stop_after_s=0.05))
    await server.start()
    async with raw_peer(server) as raw:
        raw.send(get("cse-in/slow"))
        await raw.ping()
        async with asyncio.timeout(2):
            await server.stop()
            await server.stop()


# --- the sending side -------------------------------------------------------------


def notification(con: str, **changes: Any) -> Send:
    request = Request(
        Operation.NOTIFY, "", "/id-in", "n1", content={"m2m:sgn": {"nev": {"rep": {"con": con}}}}, release="3"
    )
    return replace(Send(request), **changes)


@pytest.mark.parametrize("serialisation", ["json", "cbor"])
@pytest.mark.parametrize("con", ["x", "y" * 20_000], ids=["small", "in blocks"])
async def test_a_notification_reaches_a_listening_ae(
    cse: Cse, server: CoapServer, sender: CoapSender, con: str, serialisation: str
) -> None:
    answer = await sender.send(server.url + "/notify/me", notification(con, serialisation=serialisation))
    assert (answer.status, answer.request_id, answer.release) == (Status.OK, "n1", "3")
    (received,) = cse.requests
    assert received == replace(
        notification(con).request, to="notify/me", binding="coap", peer_address=received.peer_address
    )
    assert received.peer_address == "127.0.0.1"


async def test_both_sides_at_once(cse: Cse, server: CoapServer, peer: aiocoap.Context, sender: CoapSender) -> None:
    """A CSE that notifies an AE while it answers that AE's request."""
    ae = Cse()
    async with serving(ae) as listener:

        async def serve(request: Request) -> Response:
            await sender.send(listener.url, notification("created"))
            return await cse(request)

        async with serving(serve) as hosting:
            answer = await ask(peer, hosting.url + "/cse-in", POST, ty=3, body=b'{"m2m:cnt":{}}')
    assert answer.code == aiocoap.CREATED
    assert [request.operation for request in ae.requests] == [Operation.NOTIFY]


async def test_the_serialisation_named_in_the_url_wins_and_is_not_sent(
    cse: Cse, server: CoapServer, sender: CoapSender
) -> None:
    await sender.send(server.url + "/n?ct=cbor&x=1", notification("x"))
    assert cse.requests[0].content == notification("x").request.content
    assert cse.requests[0].filter == {"atr": [{"nm": "x", "val": "1"}]}


@pytest.mark.parametrize(
    ("to", "expected", "attributes"),
    [
        ("/id-mn/cse-mn/app", "/id-mn/cse-mn/app", None),
        ("//sp/id-mn/-/app", "//sp/id-mn/-/app", None),
        ("cse-mn/app#lbl", "cse-mn/app", ["lbl"]),
    ],
)
async def test_to_is_appended_for_another_cse(
    cse: Cse, server: CoapServer, sender: CoapSender, to: str, expected: str, attributes: list[str] | None
) -> None:
    request = Request(Operation.RETRIEVE, to, "/id-in/Cae1", "r1", release="3", result_content=1)
    answer = await sender.send(server.url, Send(request, exact_url=False))
    assert answer == Response(Status.OK, "r1", {"m2m:cin": {"con": "x"}}, "3")
    assert (cse.requests[0].to, cse.requests[0].attribute_list) == (expected, attributes)


async def test_a_large_answer_and_an_error_come_back_whole(server: CoapServer, sender: CoapSender) -> None:
    request = Request(Operation.RETRIEVE, "cse-in/large", "/id-in", "r1")
    answer = await sender.send(server.url, Send(request, exact_url=False))
    assert answer.content == {"m2m:cin": {"con": "x" * 20_000}}
    request = replace(request, to="cse-in/broken")
    assert (await sender.send(server.url, Send(request, exact_url=False))).status is Status.INTERNAL_SERVER_ERROR


async def test_an_answer_without_end_is_cut(sender: CoapSender) -> None:
    async def serve(request: Request) -> Response:
        return Response(Status.OK, request.request_id, {"m2m:dbg": "x" * 100_000})

    async with serving(serve) as server:
        with pytest.raises(Unreachable, match="larger than 65536 bytes"):
            await sender.send(server.url, notification("x"))
        request = Request(Operation.RETRIEVE, "cse-in", "/id-in", "r1")
        answer = await sender.send(server.url, Send(request, exact_url=False))
    assert len(answer.content["m2m:dbg"]) == 100_000


class SmallBlocks(asyncio.DatagramProtocol):
    """A receiver that asks for blocks of 64 bytes and takes what comes as one body."""

    def __init__(self) -> None:
        self.body = b""
        self.numbers: list[int] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        message = decode(data)
        block = decode_block(message.option(BLOCK1) or b"")
        self.numbers.append(block.number)
        self.body += message.payload
        options = [(BLOCK1, encode_block(Block(block.number, block.more, 2)))]
        answer = code("2.31") if block.more else code("2.04")
        self.transport.sendto(encode(Message(answer, ACK, message.message_id, message.token, options)), addr)


async def test_the_receiver_chooses_the_block_size(sender: CoapSender) -> None:
    transport, receiver = await asyncio.get_running_loop().create_datagram_endpoint(
        SmallBlocks, local_addr=("127.0.0.1", 0)
    )
    try:
        url = f"coap://127.0.0.1:{transport.get_extra_info('sockname')[1]}/n"
        assert (await sender.send(url, notification("y" * 1200))).status is Status.OK
    finally:
        transport.close()
    assert json.loads(receiver.body) == notification("y" * 1200).request.content
    assert receiver.numbers == [0, *range(16, 16 + len(receiver.numbers) - 1)]


async def test_the_older_numbers_can_be_chosen(cse: Cse, server: CoapServer) -> None:
    sender = CoapSender(numbers=OLD_NUMBERS)
    try:
        answer = await sender.send(server.url + "/n", notification("x"))
    finally:
        await sender.close()
    assert answer.status is Status.OK
    assert cse.requests[0].originator == "/id-in"


async def test_no_answer_wanted_none_waited_for(cse: Cse, server: CoapServer, sender: CoapSender) -> None:
    send = notification("x")
    send.request.response_type = 5
    async with asyncio.timeout(3):
        answer = await sender.send(server.url, send)
    assert (answer.status, answer.silent, len(cse.requests)) == (Status.OK, True, 1)


class Stranger(aiocoap.resource.Resource):
    """A CoAP server that has never heard of oneM2M."""

    def __init__(self, answer: Code) -> None:
        super().__init__()
        self._answer = answer

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=self._answer, payload=b"hello")


@asynccontextmanager
async def stranger(answer: Code) -> AsyncIterator[str]:
    site = aiocoap.resource.Site()
    site.add_resource(["n"], Stranger(answer))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    transport.close()
    context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    try:
        yield f"coap://127.0.0.1:{port}/n"
    finally:
        await context.shutdown()


async def test_a_target_that_knows_no_onem2m_may_take_notifications(sender: CoapSender) -> None:
    async with stranger(aiocoap.CHANGED) as url:
        assert (await sender.send(url, notification("x"))).status is Status.OK
        with pytest.raises(Unreachable, match="no oneM2M response status code"):
            await sender.send(url, notification("x", exact_url=False))
    async with stranger(aiocoap.FORBIDDEN) as url:
        with pytest.raises(Unreachable, match=r"4\.03"):
            await sender.send(url, notification("x"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("coaps://127.0.0.1:1/n", "coaps"),
        ("http://127.0.0.1:1/n", "no CoAP address"),
        ("coap:///n", "no CoAP address"),
        ("coap://user@127.0.0.1/n", "no CoAP address"),
        ("coap://127.0.0.1:99999/n", "Port"),
        ("coap://no.such.host.invalid/n", "invalid"),
        ("coap://127.0.0.1:1/" + "x" * 300, "255"),
    ],
)
async def test_addresses_that_cannot_be_sent_to(sender: CoapSender, url: str, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason):
        await sender.send(url, notification("x"))


async def test_nobody_listens(sender: CoapSender) -> None:
    server = CoapServer(Cse(), "127.0.0.1", 0)
    await server.start()
    url = server.url
    await server.stop()
    with pytest.raises(Unreachable, match="no connection"):
        await sender.send(url, notification("x"))


async def test_nobody_answers(sender: CoapSender, cse: Cse, server: CoapServer) -> None:
    with pytest.raises(Unreachable, match=r"no answer in 0\.2 s"):
        await sender.send(server.url + "/a/slow", notification("x", timeout_s=0.2))
    cse.go_on.set()
    assert (await sender.send(server.url + "/n", notification("x"))).status is Status.OK


async def test_nobody_acknowledges(sender: CoapSender) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    try:
        url = f"coap://127.0.0.1:{transport.get_extra_info('sockname')[1]}"
        with pytest.raises(Unreachable, match=r"nobody acknowledges"):
            await sender.send(url, notification("x", timeout_s=4.0))
    finally:
        transport.close()


def test_decode_error_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        decode_response(Message(code("2.05"), options=[(307, b"\x07\xd0")], payload=b"{"))
