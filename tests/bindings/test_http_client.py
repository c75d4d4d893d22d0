"""The HTTP sender against our own server and against receivers that behave badly."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import cbor2
import orjson
import pytest

from cse.bindings import http_lines, http_sender
from cse.bindings.http import HttpServer
from cse.bindings.http_client import HttpSender
from cse.bindings.http_sender import LeanHttpSender
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Sender, Unreachable

NOTIFICATION = Request(
    Operation.NOTIFY, "Cae1", "/id-in", "n1", content={"m2m:sgn": {"sur": "/id-in/sub"}}, release="3"
)
RETRIEVE = Request(
    Operation.RETRIEVE, "/id-mn/cse-mn/c1", "/id-in", "r1", release="3", filter={"fu": 1, "lbl": ["a b", "c:d"]}
)
MCC = Send(RETRIEVE, exact_url=False)


_KIND = ["lean"]


@pytest.fixture(autouse=True, params=["lean", "aiohttp"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two senders ``sending`` gives: they are the same to everybody."""
    _KIND[0] = request.param
    return _KIND[0]


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[Sender]:
    sender = LeanHttpSender(HttpSender(), **options) if _KIND[0] == "lean" else HttpSender(**options)
    try:
        yield sender
    finally:
        await sender.close()


class Receiver:
    """A TCP server that answers every message with the same bytes; remembers messages and counts connections."""

    def __init__(self, answer: bytes, *, hold: bool = False) -> None:
        self.answer = answer
        self.hold = hold
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (line[16:] for line in head.lower().split("\r\n") if line.startswith("content-length: ")), "0"
                )
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(length)))
                if self.hold:
                    await reader.read()
                writer.write(self.answer)
                await writer.drain()
                if b"keep-alive" not in self.answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(answer: bytes, *, hold: bool = False) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer, hold=hold)
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()


def answer(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", *fields, f"Content-Length: {len(body)}", "", ""]).encode() + body


PLAIN_OK = answer("200 OK", "Content-Type: text/plain", "Connection: keep-alive", body=b"thanks")


async def test_between_our_own_server_and_sender() -> None:
    received: list[Request] = []

    async def serve(request: Request) -> Response:
        received.append(request)
        return Response(Status.OK, request.request_id, {"m2m:uril": ["x"]}, request.release, content_status=1)

    server = HttpServer(serve, "127.0.0.1", 0, lenient=False, root_path="/root")
    await server.start()
    async with sending() as sender:
        for serialisation in ("json", "cbor"):
            response = await sender.send(
                server.url + "/root/", Send(RETRIEVE, exact_url=False, serialisation=serialisation)
            )
            assert response == Response(Status.OK, "r1", {"m2m:uril": ["x"]}, "3", content_status=1)
        await sender.send(server.url + "/root/~/id-mn/Cae1?ct=cbor", Send(NOTIFICATION))
    await server.stop(0.2)
    for request in received:
        request.binding = request.peer_address = ""
    assert received[:2] == [RETRIEVE, RETRIEVE]
    assert (received[2].to, received[2].content) == ("/id-mn/Cae1", NOTIFICATION.content)


async def test_what_a_notification_target_sees() -> None:
    async with receiving(PLAIN_OK) as receiver, sending() as sender:
        response = await sender.send(receiver.url + "/notify/me?ct=json&x=%20y", Send(NOTIFICATION))
    assert response == Response(Status.OK, "n1")
    line, *fields = receiver.heads[0].rstrip().split("\r\n")
    assert line == "POST /notify/me?x=%20y HTTP/1.1"
    names = {field.partition(":")[0] for field in fields}
    assert {"X-M2M-Origin", "X-M2M-RI", "X-M2M-RVI", "Content-Type", "Content-Length", "Host"} <= names
    assert "Content-Type: application/json" in fields
    assert orjson.loads(receiver.bodies[0]) == NOTIFICATION.content


async def test_serialisation_of_the_url_wins() -> None:
    async with receiving(PLAIN_OK) as receiver, sending() as sender:
        await sender.send(receiver.url + "/?ct=cbor", Send(NOTIFICATION))
    assert "Content-Type: application/cbor" in receiver.heads[0]
    assert cbor2.loads(receiver.bodies[0]) == NOTIFICATION.content


async def test_connections_are_kept_and_cookies_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    cookie = answer("200 OK", "Set-Cookie: a=b", "Connection: keep-alive")
    async with receiving(cookie) as receiver, sending() as sender:
        for _ in range(5):
            await sender.send(receiver.url, Send(NOTIFICATION))
    assert receiver.connections == 1
    assert not any("Cookie" in head for head in receiver.heads)


async def test_many_at_once_share_a_bounded_number_of_connections() -> None:
    async with receiving(PLAIN_OK) as receiver, sending(connections_per_host=3) as sender:
        await asyncio.gather(*(sender.send(receiver.url, Send(NOTIFICATION)) for _ in range(30)))
    assert receiver.connections <= 3
    assert len(receiver.heads) == 30


async def test_no_content_is_success() -> None:
    async with receiving(b"HTTP/1.1 204 No Content\r\n\r\n") as receiver, sending() as sender:
        assert (await sender.send(receiver.url, Send(NOTIFICATION))).status is Status.OK
        assert (await sender.send(receiver.url, MCC)).silent


async def test_an_error_in_onem2m_terms_is_an_answer() -> None:
    refused = answer("403 Forbidden", "X-M2M-RSC: 4103", "X-M2M-RI: other", body=b'{"m2m:dbg":"no"}')
    async with receiving(refused) as receiver, sending() as sender:
        response = await sender.send(receiver.url, Send(NOTIFICATION))
    assert response == Response(Status.ORIGINATOR_HAS_NO_PRIVILEGE, "n1", {"m2m:dbg": "no"})


@pytest.mark.parametrize(
    ("data", "send", "hint"),
    [
        (answer("500 Oops"), Send(NOTIFICATION), "HTTP 500 without X-M2M-RSC"),
        (answer("200 OK"), MCC, "HTTP 200 without X-M2M-RSC"),
        (answer("302 Found", "Location: http://127.0.0.1:9/"), Send(NOTIFICATION), "HTTP 302"),
        (answer("200 OK", "X-M2M-RSC: fine"), Send(NOTIFICATION), "x-m2m-rsc"),
        (answer("200 OK", "X-M2M-RSC: 2000", "X-M2M-RI: other"), MCC, "'other'"),
        (answer("200 OK", "X-M2M-RSC: 2000", body=b"{"), MCC, "JSON"),
        (answer("200 OK", body=b"x" * 70_000), Send(NOTIFICATION), "larger than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Send(NOTIFICATION), "http"),
        (b"SSH-2.0-OpenSSH\r\n", Send(NOTIFICATION), "http"),
        (b"", Send(NOTIFICATION), "closed before an answer"),
    ],
)
async def test_answers_that_are_none(data: bytes, send: Send, hint: str) -> None:
    async with receiving(data) as receiver, sending() as sender:
        with pytest.raises(Unreachable, match=hint):
            await sender.send(receiver.url, send)


async def test_an_answer_that_does_not_come() -> None:
    async with receiving(b"", hold=True) as receiver, sending() as sender:
        with pytest.raises(Unreachable, match=r"no answer in 0\.1 s"):
            await sender.send(receiver.url, Send(NOTIFICATION, timeout_s=0.1))


async def test_nobody_there(free_port: int) -> None:
    async with sending() as sender:
        with pytest.raises(Unreachable, match="no connection"):
            await sender.send(f"http://127.0.0.1:{free_port}/", Send(NOTIFICATION))


@pytest.mark.parametrize("url", ["http://", "http:///x", "nonsense", "http://[::1/x", "http://h:99999/", "ftp://h/x"])
async def test_urls_that_are_none(url: str) -> None:
    async with sending() as sender:
        with pytest.raises(Unreachable, match=r"no URL|no connection"):
            await sender.send(url, Send(NOTIFICATION))


async def test_secrets_in_a_url_are_not_told(free_port: int) -> None:
    async with sending() as sender:
        with pytest.raises(Unreachable) as caught:
            await sender.send(f"http://user:secret@127.0.0.1:{free_port}/n?key=secret", Send(NOTIFICATION))
    assert "secret" not in str(caught.value)
    assert f"http://127.0.0.1:{free_port}/n: no connection" in str(caught.value)


async def test_values_no_header_can_carry() -> None:
    request = Request(Operation.NOTIFY, "x", "a\r\nb", "1", content={})
    async with sending() as sender:
        with pytest.raises(Unreachable, match="control character"):
            await sender.send("http://127.0.0.1:9/", Send(request))


async def test_closing_twice() -> None:
    for sender in (HttpSender(), LeanHttpSender(HttpSender())):
        await sender.close()
        await sender.close()


# --- lean connections -----------------------------------------------------------------------------------------------


def numbered(number: int) -> Send:
    return Send(Request(Operation.NOTIFY, "Cae1", "/id-in", f"n{number}", content={"m2m:sgn": {"n": number}}))


async def test_interim_answers_are_passed_over_and_a_body_may_end_with_the_connection() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-M2M-RSC: 2000\r\n\r\n" + b'{"m2m:dbg":"x"}'
    async with receiving(data) as receiver, sending() as sender:
        response = await sender.send(receiver.url, Send(NOTIFICATION))
    assert response == Response(Status.OK, "n1", {"m2m:dbg": "x"})


async def test_several_at_once_keep_their_order() -> None:
    async with receiving(PLAIN_OK) as receiver:
        sender = LeanHttpSender(HttpSender())
        assert not sender.takes_several(receiver.url)
        await sender.send(receiver.url, numbered(0))
        assert sender.takes_several(receiver.url)
        answers = await sender.send_several(receiver.url, [numbered(number) for number in range(1, 30)])
        assert [answer.request_id for answer in answers if isinstance(answer, Response)] == [
            f"n{number}" for number in range(1, 30)
        ]
        assert [orjson.loads(body)["m2m:sgn"]["n"] for body in receiver.bodies] == list(range(30))
        assert receiver.connections == 1
        await sender.close()


async def test_a_server_that_closes_on_several_gets_one_at_a_time() -> None:
    class Closing(Receiver):
        async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.connections:
                self.answer = PLAIN_OK.replace(b"keep-alive", b"close")
            await super().handle(reader, writer)

    receiver = Closing(PLAIN_OK)
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    sender = LeanHttpSender(HttpSender())
    await sender.send(url, numbered(0))
    receiver.answer = PLAIN_OK.replace(b"keep-alive", b"close")
    first, *others = await sender.send_several(url, [numbered(number) for number in range(1, 4)])
    assert isinstance(first, Response)
    assert [str(other) for other in others] == [f"{url}: the connection was closed before an answer came"] * 2
    assert not sender.takes_several(url)
    await sender.close()
    server.close()


ASKING = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def answering(*batches: tuple[int, int]) -> AsyncIterator[http_lines.HttpOrigin]:
    """A host that takes batches of so many requests and answers so many of each; it closes if those are fewer."""
    todo = list(batches)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while todo:
            asked, answers = todo.pop(0)
            for _ in range(asked):
                await reader.readuntil(b"\r\n\r\n")
            writer.write(PLAIN_OK * answers)
            if answers < asked:
                break
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    origin = http_lines.HttpOrigin("127.0.0.1", server.sockets[0].getsockname()[1], 4, None)
    try:
        yield origin
    finally:
        origin.close()
        server.close()


async def test_a_host_that_takes_several_may_lose_a_connection_once() -> None:
    async with answering((1, 1), (3, 3), (3, 1), (3, 3), (3, 1), (3, 2)) as origin:
        assert len(await origin.ask([ASKING], 1000, 15)) == 1
        for answered, takes_several in ((3, True), (1, True), (3, True), (1, True), (2, False)):
            answers = await origin.ask([ASKING] * 3, 1000, 15)
            assert [isinstance(answer, http_lines.Answer) for answer in answers] == [n < answered for n in range(3)]
            assert origin.takes_several is takes_several


async def test_a_host_that_has_never_taken_several_may_not() -> None:
    async with answering((1, 1), (3, 1)) as origin:
        await origin.ask([ASKING], 1000, 15)
        await origin.ask([ASKING] * 3, 1000, 15)
        assert not origin.takes_several


async def test_several_that_are_not_answered_in_time_leave_nothing_behind() -> None:
    missed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: missed.append(context))
    async with receiving(PLAIN_OK, hold=True) as receiver:
        origin = http_lines.HttpOrigin("127.0.0.1", int(receiver.url.rpartition(":")[2]), 4, None)
        answers = await origin.ask([ASKING] * 4, 1000, 0.2)
        assert [str(answer) for answer in answers] == ["no answer in 0.2 s"] * 4
        assert not origin.takes_several
        await asyncio.sleep(0.05)  # the connection is lost
        gc.collect()
    assert missed == []


async def test_a_server_that_closed_an_idle_connection_is_asked_again() -> None:
    accepted = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(1)
            if accepted == 1 and _ == 1:
                break  # the second request on the first connection is not answered
            writer.write(PLAIN_OK)
        writer.close()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    sender = LeanHttpSender(HttpSender())
    for number in range(2):
        assert (await sender.send(url, Send(NOTIFICATION))).status is Status.OK, number
    assert accepted == 2
    await sender.close()
    server.close()


async def test_idle_connections_and_hosts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_lines, "_IDLE_S", 0.05)
    monkeypatch.setattr(http_sender, "_SWEEP_S", 0.05)
    async with receiving(PLAIN_OK) as receiver:
        sender = LeanHttpSender(HttpSender())
        await sender.send(receiver.url, Send(NOTIFICATION))
        assert sender.takes_several(receiver.url)
        async with asyncio.timeout(15):
            while sender._origins:  # noqa: ASYNC110 - its own timer forgets them
                await asyncio.sleep(0.02)
        assert not sender.takes_several(receiver.url)
        await sender.send(receiver.url, Send(NOTIFICATION))
        assert receiver.connections == 2
        await sender.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://h.example/x?y=1", ("h.example", 80)),
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://h:70000/", None),
        ("http://h:0/", None),
        ("http://u:p@h/", None),
        ("http://h/#part", None),
        ("http://[::1]/", None),
        ("https://h/", None),
        ("http://h/a b", None),
        ("http://h/\x00", None),
        ("HTTP://h/", None),
    ],
)
def test_only_plain_urls_are_lean(url: str, place: tuple[str, int] | None) -> None:
    assert http_sender._place(url) == place
