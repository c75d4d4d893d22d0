"""The HTTP server and sender over real sockets: what arrives, what is refused, and what a bad peer can do."""

import asyncio
import logging
import random
import signal
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import cbor2
import orjson
import pytest

from cse.bindings.http import BindError, HttpLimits, HttpServer
from cse.bindings.http_client import HttpSender
from cse.bindings.http_message import response_bytes
from cse.onem2m.errors import NotFound
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Unreachable
from tests.brokers import require_tool
from tests.wire.http import BAD_REQUESTS, REQUESTS, message

GOOD = message("GET /cse-in HTTP/1.1", "Host: h", "X-M2M-Origin: C", "X-M2M-RI: 1", "X-M2M-RVI: 3")
JSON = "Content-Type: application/json"


class Recorder:
    """Serves every request with what ``answer`` gives, and remembers it."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]] | None = None) -> None:
        self.requests: list[Request] = []
        self._answer = answer

    async def serve(self, request: Request) -> Response:
        self.requests.append(request)
        if self._answer is not None:
            return await self._answer(request)
        return Response(Status.OK, request.request_id, request.content, request.release)


@asynccontextmanager
async def running(serve: Any = None, **options: Any) -> AsyncIterator[HttpServer]:
    server = HttpServer(serve or Recorder().serve, "127.0.0.1", 0, **{"lenient": True, **options})
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.2)


class Peer:
    """A raw TCP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def write_eof(self) -> None:
        self._writer.write_eof()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields with small names, body."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        line, *fields = head.decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return int(line.split()[1]), headers, body

    async def closed(self) -> bytes:
        """What still comes until the server closes."""
        return await asyncio.wait_for(self._reader.read(), 5)

    async def read_until(self, end: bytes) -> bytes:
        """What comes up to and with ``end``."""
        return await asyncio.wait_for(self._reader.readuntil(end), 5)

    def reset(self) -> None:
        """Break the connection off, so that the other side notices at once if it reads."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(server: HttpServer) -> AsyncIterator[Peer]:
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def ask(server: HttpServer, data: bytes) -> tuple[int, dict[str, str], Any]:
    """The answer to one message on a connection of its own."""
    async with connected(server) as peer:
        peer.write(data)
        status, headers, body = await peer.answer()
        load = {"application/json": orjson.loads, "application/cbor": cbor2.loads}.get(headers.get("content-type", ""))
        return status, headers, load(body) if load else body


def with_host(data: bytes) -> bytes:
    return data.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: h\r\n", 1)


# --- requests ----------------------------------------------------------------------------------------------------


async def test_every_sample_arrives_as_its_primitive() -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server:
        for sample in REQUESTS:
            status, headers, _ = await ask(server, with_host(sample.message))
            assert status == 200, sample.name
            assert headers["x-m2m-rsc"] == "2000"
            assert headers["x-m2m-ri"] == sample.request.request_id
            assert headers.get("x-m2m-rvi") == sample.request.release
            received = recorder.requests[-1]
            assert (received.binding, received.peer_address) == ("http", "127.0.0.1")
            received.binding = received.peer_address = ""
            assert received == sample.request, sample.name


async def test_every_bad_sample_is_answered_in_words_and_never_served() -> None:
    recorder = Recorder()
    async with running(recorder.serve, lenient=False) as server:
        for sample in BAD_REQUESTS:
            status, headers, body = await ask(server, with_host(sample.message))
            assert headers["x-m2m-rsc"] == str(int(sample.status)), sample.name
            assert 400 <= status < 500
            assert headers.get("x-m2m-ri", "") == sample.request_id, sample.name
            assert sample.hint in body["m2m:dbg"], sample.name
    assert recorder.requests == []


async def test_no_server_header_and_length_always() -> None:
    async with running() as server:
        _, headers, _ = await ask(server, GOOD)
        assert set(headers) == {"date", "x-m2m-rsc", "x-m2m-ri", "x-m2m-rvi", "content-length"}


async def test_options_is_told_what_is_allowed() -> None:
    async with running() as server:
        status, headers, body = await ask(server, message("OPTIONS /cse-in HTTP/1.1", "Host: h"))
        assert (status, headers["allow"], headers["x-m2m-rsc"]) == (405, "GET, POST, PUT, DELETE", "4005")
        assert "OPTIONS" in body["m2m:dbg"]


async def test_errors_of_the_core_and_errors_in_it(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        if request.to == "missing":
            raise NotFound("there is no 'missing'")
        raise RuntimeError("a bug")

    async with running(fail) as server:
        status, headers, body = await ask(server, GOOD.replace(b"cse-in", b"missing"))
        assert (status, headers["x-m2m-rsc"], headers["x-m2m-ri"]) == (404, "4004", "1")
        assert body == {"m2m:dbg": "there is no 'missing'"}
        with caplog.at_level(logging.ERROR):
            status, headers, body = await ask(server, GOOD)
        assert (status, headers["x-m2m-rsc"], headers["x-m2m-ri"], headers["x-m2m-rvi"]) == (500, "5000", "1", "3")
        assert "bug" not in body["m2m:dbg"]
        assert "request '1' failed" in caplog.text
        assert "a bug" in caplog.text


async def test_no_response_wanted_is_204_and_the_connection_lives() -> None:
    async def silent(request: Request) -> Response:
        return Response(Status.OK, request.request_id, silent=True)

    async with running(silent) as server, connected(server) as peer:
        for _ in range(2):
            peer.write(GOOD)
            status, headers, body = await peer.answer()
            assert (status, set(headers), body) == (204, {"date"}, b"")


async def test_mounts_come_before_onem2m() -> None:
    async def health(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    recorder = Recorder()
    async with running(recorder.serve, mounts={"/health": health}) as server:
        for path in (b"/health", b"/health/live"):
            assert (await ask(server, GOOD.replace(b"/cse-in", path)))[2] == b"ok"
        assert (await ask(server, GOOD.replace(b"/cse-in", b"/healthy")))[1]["x-m2m-rsc"] == "2000"
    assert [request.to for request in recorder.requests] == ["healthy"]


async def test_root_path() -> None:
    recorder = Recorder()
    async with running(recorder.serve, root_path="/onem2m/") as server:
        await ask(server, GOOD.replace(b"/cse-in", b"/onem2m/~/id/cse-in"))
    assert recorder.requests[0].to == "/id/cse-in"


# --- connections -------------------------------------------------------------------------------------------------


async def test_keep_alive_and_bodies_in_pieces() -> None:
    recorder = Recorder()
    post = message(
        "POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 2", JSON, body=orjson.dumps({"m2m:sgn": {"x": "y" * 2000}})
    )
    async with running(recorder.serve) as server, connected(server) as peer:
        for index in range(3):
            peer.write(GOOD)
            assert (await peer.answer())[1]["x-m2m-ri"] == "1"
            for start in range(0, len(post), 500 + index):
                peer.write(post[start : start + 500 + index])
                await asyncio.sleep(0)
            assert (await peer.answer())[1]["x-m2m-ri"] == "2"
    assert len(recorder.requests) == 6


async def taken(pending: list[Any]) -> Any:
    """The first of what is pending."""
    async with asyncio.timeout(15):
        while not pending:  # noqa: ASYNC110 - what is tested has no event to wait for
            await asyncio.sleep(0.01)
    return pending.pop()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def slow_first(request: Request) -> Response:
        if request.request_id == "1":
            await asyncio.sleep(0.02)
        return Response(Status.OK, request.request_id)

    async with running(slow_first) as server, connected(server) as peer:
        peer.write(b"".join(GOOD.replace(b"RI: 1", b"RI: %d" % number) for number in range(1, 200)))
        assert [(await peer.answer())[1]["x-m2m-ri"] for _ in range(1, 200)] == [str(n) for n in range(1, 200)]


async def test_chunked_body() -> None:
    recorder = Recorder()
    head = message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, "Transfer-Encoding: chunked")
    async with running(recorder.serve) as server:
        status, _, _ = await ask(server, head + b'6\r\n{"a":1\r\n1\r\n}\r\n0\r\n\r\n')
    assert status == 200
    assert recorder.requests[0].content == {"a": 1}


async def test_http_1_0_is_answered_and_closed() -> None:
    async with running() as server, connected(server) as peer:
        peer.write(GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"))
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await peer.closed() == b""


async def test_expect_continue() -> None:
    data = message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, "Expect: 100-continue", body="{}")
    async with running() as server, connected(server) as peer:
        peer.write(data[:-2])
        assert (await peer.answer())[0] == 100
        peer.write(data[-2:])
        assert (await peer.answer())[0] == 200


async def test_half_a_body_is_never_served() -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server:
        async with connected(server) as peer:
            peer.write(message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, body="{}")[:-1])
            peer.write_eof()
            assert await peer.closed() == b""
        assert (await ask(server, GOOD))[0] == 200
    assert len(recorder.requests) == 1


async def test_a_body_longer_than_announced_is_no_second_request() -> None:
    recorder = Recorder()
    data = message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, "Content-Length: 2") + b"{}{}"
    async with running(recorder.serve) as server:
        async with connected(server) as peer:
            peer.write(data)
            assert (await peer.answer())[0] == 200
            assert await peer.closed() == b""
        async with connected(server) as peer:
            peer.write(data[:-2])
            assert (await peer.answer())[0] == 200
            peer.write(b"{}")
            assert (await peer.answer())[0] == 400
            assert await peer.closed() == b""
    assert len(recorder.requests) == 2


async def test_a_refusal_is_not_taken_for_the_answer_to_an_earlier_request() -> None:
    go = asyncio.Event()

    async def wait(request: Request) -> Response:
        await go.wait()
        return Response(Status.OK, request.request_id)

    second = message("GET /cse-in HTTP/1.1", "X-M2M-RI: 2", f"X-Long: {'x' * 9000}")
    async with running(wait) as server, connected(server) as peer:
        peer.write(GOOD + second)
        asyncio.get_running_loop().call_later(0.05, go.set)
        status, headers, _ = await peer.answer()
        assert (status, headers["x-m2m-ri"]) == (200, "1")
        assert await peer.closed() == b""


@pytest.mark.parametrize(
    "data",
    [
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Content-Length: 2", "Content-Length: 3") + b"{} ",
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Content-Length: 2", "Transfer-Encoding: chunked"),
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Content-Length: -2"),
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Content-Length: two"),
        message("GET /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1\x00"),
        message("GET /cse-in HTTP/1.1", "X-M2M-RI : 1"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
        b"hello\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_4000_and_closed(data: bytes) -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server, connected(server) as peer:
        peer.write(data)
        status, headers, body = await peer.answer()
        assert (status, headers["x-m2m-rsc"], headers["connection"]) == (400, "4000", "close")
        assert "m2m:dbg" in orjson.loads(body)
        assert await peer.closed() == b""
    assert recorder.requests == []


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Content-Length: 100000"),
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", "Expect: 100-continue", "Content-Length: 70000"),
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, body=b" " * 65537),
        message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, "Transfer-Encoding: chunked")
        + b"1000\r\n" + b" " * 4096 + b"\r\n" + b"10000\r\n" + b" " * 65536,
    ],
    ids=["announced", "asked before", "sent", "chunked"],
)  # fmt: skip
async def test_too_large_a_body_is_413(data: bytes) -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server, connected(server) as peer:
        peer.write(data)
        status, headers, body = await peer.answer()
        assert (status, headers["x-m2m-rsc"], headers["x-m2m-ri"]) == (413, "4000", "1")
        assert "65536" in orjson.loads(body)["m2m:dbg"]
    assert recorder.requests == []


async def test_the_largest_body_is_taken() -> None:
    body = orjson.dumps({"m2m:sgn": ""})[:-2].ljust(64 * 1024 - 2, b"x") + b'"}'
    async with running() as server:
        status, _, _ = await ask(server, message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", JSON, body=body))
    assert status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (message("GET /cse-in HTTP/1.1", *(f"X-{n}: 1" for n in range(65))), 431),
        (message("GET /cse-in HTTP/1.1", f"X-Long: {'x' * 8192}"), 431),
        (message("GET /cse-in HTTP/1.1", *(f"X-{n}: {'x' * 6000}" for n in range(3))), 431),
        (b"GET /cse-in HTTP/1.1\r\nX-Endless: " + b"x" * 400_000, 431),
        (message(f"GET /{'x' * 8192} HTTP/1.1"), 414),
    ],
    ids=["count", "line", "total", "endless", "target"],
)
async def test_too_large_a_head(data: bytes, status: int) -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server, connected(server) as peer:
        peer.write(data)
        answered, headers, _ = await peer.answer()
        assert (answered, headers["x-m2m-rsc"]) == (status, "4000")
    assert recorder.requests == []


async def test_slow_and_idle_connections_are_closed() -> None:
    limits = HttpLimits(head_timeout_s=0.1, body_grace_s=0.1, idle_timeout_s=1.0)
    async with (
        running(limits=limits) as server,
        connected(server) as slow_head,
        connected(server) as slow_body,
        connected(server) as idle,
    ):
        slow_head.write(b"GET /cse-in HT")
        slow_body.write(message("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", body="{}")[:-1])
        assert (await slow_head.answer())[0] == 408
        assert (await slow_body.answer())[0] == 408
        assert await idle.closed() == b""


async def test_connections_are_bounded() -> None:
    """When all of them are being answered, one more is sent away."""
    working, go_on = asyncio.Event(), asyncio.Event()
    recorder = Recorder()

    async def serve(request: Request) -> Response:
        working.set()
        await go_on.wait()
        return await recorder.serve(request)

    async with (
        running(serve, limits=HttpLimits(connections=1)) as server,
        connected(server) as first,
    ):
        first.write(GOOD)
        await asyncio.wait_for(working.wait(), 15)
        async with connected(server) as third:
            status, headers, _ = await third.answer()
            assert (status, headers["retry-after"]) == (503, "5")
            assert await third.closed() == b""
        go_on.set()
        assert (await first.answer())[0] == 200
        first.write(GOOD)
        assert (await first.answer())[0] == 200


async def test_a_new_connection_takes_the_place_of_one_that_only_waits() -> None:
    async with (
        running(limits=HttpLimits(connections=2)) as server,
        connected(server) as idle,
        connected(server) as half,
    ):
        idle.write(GOOD)
        assert (await idle.answer())[0] == 200
        half.write(GOOD[:20])
        for _ in range(5):
            assert (await ask(server, GOOD))[0] == 200
        gone = 0
        for peer in (idle, half):
            try:
                gone += await peer.closed() == b""
            except ConnectionResetError:
                gone += 1
        assert gone == 2


async def test_a_long_poll_ends_with_its_client() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def poll(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with running(poll) as server, connected(server) as peer:
        peer.write(GOOD.replace(b"/cse-in", b"/cse-in/ae/pch/pcu"))
        await asyncio.wait_for(started.wait(), 5)
        peer.abort()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_long_poll_is_answered() -> None:
    async with running() as server:
        assert (await ask(server, GOOD.replace(b"/cse-in", b"/cse-in/ae/pch/pcu")))[1]["x-m2m-rsc"] == "2000"


# --- start and stop ----------------------------------------------------------------------------------------------


async def test_a_port_in_use_is_said_in_one_line() -> None:
    async with running() as server:
        port = int(server.url.rpartition(":")[2])
        second = HttpServer(Recorder().serve, "127.0.0.1", port, lenient=True)
        with pytest.raises(BindError) as caught:
            await second.start()
        assert str(caught.value) == (
            f"http: port {port} on 127.0.0.1 is in use: stop the other program or choose another with --http"
        )
        await second.stop()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no-such-host.invalid", 0), ("127.0.0.1", 70000)])
async def test_an_address_that_cannot_be_listened_on(host: str, port: int) -> None:
    with pytest.raises(BindError, match="choose another with --http"):
        await HttpServer(Recorder().serve, host, port, lenient=True).start()


async def test_two_servers_in_one_process_and_signals_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with running() as one, running() as two:
        assert one.url != two.url
        assert (await ask(one, GOOD))[0] == (await ask(two, GOOD))[0] == 200
        assert signal.getsignal(signal.SIGTERM) is before


async def test_stop_lets_running_requests_finish() -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        await go.wait()
        return Response(Status.OK, request.request_id)

    server = HttpServer(wait, "127.0.0.1", 0, lenient=True)
    await server.start()
    async with connected(server) as peer:
        peer.write(GOOD)
        await started.wait()
        stopping = asyncio.create_task(server.stop(5))
        go.set()
        assert (await peer.answer())[0] == 200
        await stopping
    with pytest.raises(ConnectionRefusedError):
        await ask(server, GOOD)
    await server.stop()


async def test_stop_ends_what_outlives_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    started = asyncio.Event()

    async def poll(request: Request) -> Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = HttpServer(poll, "127.0.0.1", 0, lenient=True)
    await server.start()
    async with connected(server) as peer:
        peer.write(GOOD.replace(b"/cse-in", b"/cse-in/ae/pch/pcu"))
        await started.wait()
        await server.stop(0.05)
        status, headers, body = await peer.answer()
        assert (status, headers["x-m2m-rsc"], headers["x-m2m-ri"]) == (504, "4008", "1")
        assert "stopping" in orjson.loads(body)["m2m:dbg"]
    assert "Traceback" not in caplog.text


async def test_https_in_both_directions(tmp_path: Path) -> None:
    openssl = require_tool("openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    making = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await making.wait() == 0
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    send = Send(Request(Operation.RETRIEVE, "cse-in", "C", "1"), exact_url=False)
    trusting, doubting = HttpSender(tls=ssl.create_default_context(cafile=certificate)), HttpSender()
    async with running(tls=tls) as server:
        assert server.url.startswith("https://")
        assert (await trusting.send(server.url, send)).status is Status.OK
        with pytest.raises(Unreachable, match="TLS"):
            await doubting.send(server.url, send)
        await trusting.close()
        await doubting.close()


async def test_an_application_beside_onem2m_gets_the_whole_body_at_once() -> None:
    bodies: list[bytes] = []

    async def hasty(scope: Any, receive: Any, send: Any) -> None:
        bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with running(mounts={"/hasty": hasty}) as server, connected(server) as peer:
        data = message("POST /hasty HTTP/1.1", "Host: h", body=b"x" * 100)
        for _ in range(2):
            peer.write(data[:-50])
            peer.write(data[-50:])
            assert (await peer.answer())[0] == 200
        peer.write(GOOD)
        assert (await peer.answer())[1]["x-m2m-ri"] == "1"
    assert bodies == [b"x" * 100] * 2


def begin(pending: list[tuple[Request, Callable[[Response], None]]]) -> Any:
    """A ``Begin`` that answers RETRIEVEs at once and keeps the others pending."""

    def begins(request: Request, done: Callable[[Response], None]) -> None:
        if request.operation is Operation.RETRIEVE:
            done(Response(Status.OK, request.request_id))
        else:
            pending.append((request, done))

    return begins


async def test_pipelined_requests_are_answered_in_order_without_a_task_each() -> None:
    pending: list[tuple[Request, Callable[[Response], None]]] = []
    async with running(begin=begin(pending)) as server, connected(server) as peer:
        delete = GOOD.replace(b"GET", b"DELETE").replace(b"X-M2M-RI: 1", b"X-M2M-RI: d")
        gets = [GOOD.replace(b"X-M2M-RI: 1", b"X-M2M-RI: %d" % number) for number in range(300)]
        peer.write(delete + b"".join(gets))
        request, done = await taken(pending)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.answer(), 0.2)  # nothing overtakes the first
        done(Response(Status.DELETED, request.request_id))
        answers = [(await peer.answer())[1]["x-m2m-ri"] for _ in range(301)]
        assert answers == ["d", *map(str, range(300))]


async def test_who_sends_no_more_still_gets_the_answer() -> None:
    pending: list[tuple[Request, Callable[[Response], None]]] = []
    async with running(begin=begin(pending)) as server, connected(server) as peer:
        peer.write(GOOD.replace(b"GET", b"DELETE"))
        peer.write_eof()
        request, done = await taken(pending)
        await asyncio.sleep(0.05)  # the server has seen the end
        done(Response(Status.DELETED, request.request_id))
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await peer.closed() == b""


async def test_an_upgrade_that_is_not_taken_is_a_request_and_the_last() -> None:
    async with running() as server, connected(server) as peer:
        peer.write(GOOD.replace(b"Host: h", b"Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"))
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await peer.closed() == b""


async def test_a_peer_that_does_not_read_is_not_read_from_either() -> None:
    served = 0

    def begins(request: Request, done: Callable[[Response], None]) -> None:
        nonlocal served
        served += 1
        done(Response(Status.OK, request.request_id, {"m2m:cin": {"con": "x" * 50_000}}))

    async with running(begin=begins) as server, connected(server) as peer:
        peer.write(GOOD * 2000)
        before = -1
        async with asyncio.timeout(20):
            while before != served:  # until the buffers are full
                before = served
                await asyncio.sleep(0.3)
        assert 0 < served < 1500
        for _ in range(2000):
            assert (await peer.answer())[0] == 200
    assert served == 2000


async def test_answers_are_dated() -> None:
    async with running() as server:
        _, headers, _ = await ask(server, GOOD)
    assert abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) < 20


def test_a_field_with_a_line_break_is_no_answer() -> None:
    with pytest.raises(ValueError, match="line break"):
        response_bytes(200, [(b"X-M2M-RI", b"1\r\nSet-Cookie: b")], b"", close=False, has_body=True)


async def test_mangled_messages_are_never_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20261122)
    async with running() as server:
        for _ in range(300):
            data = bytearray(with_host(chance.choice([*REQUESTS, *BAD_REQUESTS]).message))
            for _ in range(chance.randint(1, 4)):
                start = chance.randrange(len(data))
                data[start : start + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
            async with connected(server) as peer:
                peer.write(bytes(data) + b"\r\n\r\n")
                peer.write_eof()
                got = await peer.closed()
            assert not got.startswith(b"HTTP/1.1 5"), bytes(data)
        assert (await ask(server, GOOD))[0] == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
