"""Pipelined HTTP requests over real sockets: begun before their turn, answered in it (RFC 9112 clause 9.3.2)."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.app import Cse
from cse.bindings.http import HttpServer
from cse.bindings.http_message import HttpMessage, Reply
from cse.bindings.http_pipeline import MOST, Pipeline
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from tests.bindings.test_http import Peer, connected, running
from tests.wire.http import message

_PATIENCE_S = 20.0


def asking(number: int, method: str = "DELETE", version: str = "1.1", *fields: str) -> bytes:
    return message(
        *(f"{method} /cse-in HTTP/{version}", "Host: h", "X-M2M-Origin: C", f"X-M2M-RI: {number}", "X-M2M-RVI: 3"),
        *fields,
    )


class Work:
    """What asks others."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Disk:
    """A ``Begin``: RETRIEVE is answered at once, NOTIFY asks others, the rest waits to be told that it is kept."""

    def __init__(self, answer_bytes: int = 0) -> None:
        self.begun: list[str] = []
        self.works: dict[str, Work] = {}
        self._done: dict[str, Callable[[], None]] = {}
        self._content = {"m2m:dbg": "x" * answer_bytes} if answer_bytes else None

    def begin(self, request: Request, done: Callable[[Response], None]) -> Work | None:
        response = Response(Status.OK, request.request_id, self._content)
        self.begun.append(request.request_id)
        if request.operation is Operation.RETRIEVE:
            done(response)
            return None
        self._done[request.request_id] = lambda: done(response)
        if request.operation is Operation.NOTIFY:
            return self.works.setdefault(request.request_id, Work())
        return None

    def kept(self, *numbers: int) -> None:
        for number in numbers:
            self._done.pop(str(number))()

    async def has_begun(self, *numbers: int) -> None:
        """Wait until these and no others are begun."""
        wanted = [str(number) for number in numbers]
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.begun) < len(wanted):  # noqa: ASYNC110 - what is tested has no event to wait for
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.03)  # for one too many
        assert self.begun == wanted


async def identifiers(peer: Peer, count: int) -> list[str]:
    return [(await peer.answer())[1]["x-m2m-ri"] for _ in range(count)]


async def nothing_comes(peer: Peer) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(peer.answer(), 0.05)


@asynccontextmanager
async def serving(answer_bytes: int = 0, **options: Any) -> AsyncIterator[tuple[Disk, HttpServer, Peer]]:
    disk = Disk(answer_bytes)
    async with running(begin=disk.begin, **options) as server, connected(server) as peer:
        yield disk, server, peer


# --- order -------------------------------------------------------------------------------------------------------


async def test_the_next_begin_while_the_first_waits_for_the_disk_and_answers_keep_their_order() -> None:
    async with serving() as (disk, _, peer):
        peer.write(b"".join(asking(number) for number in range(1, 5)) + asking(5, "GET"))
        await disk.has_begun(1, 2, 3, 4, 5)
        disk.kept(3, 2)
        await nothing_comes(peer)
        disk.kept(1)
        assert await identifiers(peer, 3) == ["1", "2", "3"]
        await nothing_comes(peer)
        disk.kept(4)
        assert await identifiers(peer, 2) == ["4", "5"]
        peer.write(asking(6, "GET"))
        assert await identifiers(peer, 1) == ["6"]


async def test_requests_in_pieces_of_their_own_begin_early_too() -> None:
    async with serving() as (disk, _, peer):
        for number in range(1, 4):
            data = asking(number)
            peer.write(data[:20])
            await asyncio.sleep(0.02)
            peer.write(data[20:])
            await disk.has_begun(*range(1, number + 1))
        disk.kept(3, 2, 1)
        assert await identifiers(peer, 3) == ["1", "2", "3"]


async def test_nothing_overtakes_a_request_that_asks_others() -> None:
    async with serving() as (disk, _, peer):
        notify = message(
            *("POST /cse-in HTTP/1.1", "Host: h", "X-M2M-Origin: C", "X-M2M-RI: 2", "X-M2M-RVI: 3"),
            "Content-Type: application/json",
            body=b'{"m2m:sgn":{}}',
        )
        peer.write(asking(1) + notify + asking(3) + asking(4))
        await disk.has_begun(1, 2)
        disk.kept(1)
        assert await identifiers(peer, 1) == ["1"]
        await disk.has_begun(1, 2)
        disk.kept(2)
        assert await identifiers(peer, 1) == ["2"]
        await disk.has_begun(1, 2, 3, 4)
        disk.kept(3, 4)
        assert await identifiers(peer, 2) == ["3", "4"]


async def test_a_page_waits_for_all_before_it_and_all_behind_it_wait_for_the_page() -> None:
    go, asked = asyncio.Event(), asyncio.Event()

    async def page(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"page"})

    async with serving(mounts={"/page": page}) as (disk, _, peer):
        peer.write(asking(1) + asking(2) + message("GET /page HTTP/1.1", "Host: h") + asking(4) + asking(5))
        await disk.has_begun(1, 2)
        disk.kept(1)
        await disk.has_begun(1, 2)
        assert not asked.is_set()
        disk.kept(2)
        async with asyncio.timeout(_PATIENCE_S):
            await asked.wait()
        await disk.has_begun(1, 2)
        go.set()
        await disk.has_begun(1, 2, 4, 5)
        disk.kept(5, 4)
        assert await identifiers(peer, 2) == ["1", "2"]
        assert (await peer.answer())[2] == b"page"
        assert await identifiers(peer, 2) == ["4", "5"]


# --- the end of a connection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [asking(2, "DELETE", "1.1", "Connection: close"), asking(2, "DELETE", "1.0")])
async def test_nothing_behind_a_request_that_closes_is_executed(last: bytes) -> None:
    async with serving() as (disk, _, peer):
        peer.write(asking(1) + last + asking(3) + asking(4))
        await disk.has_begun(1, 2)
        disk.kept(2, 1)
        _, first, _ = await peer.answer()
        _, second, _ = await peer.answer()
        assert (first["x-m2m-ri"], "connection" in first) == ("1", False)
        assert (second["x-m2m-ri"], second["connection"]) == ("2", "close")
        assert await peer.closed() == b""
        assert disk.begun == ["1", "2"]


async def test_nothing_behind_an_answer_that_closed_is_executed() -> None:
    async with serving() as (disk, _, peer):
        peer.write(asking(1, "GET", "1.0", "Connection: keep-alive") + asking(2, "GET") + asking(3))
        assert await identifiers(peer, 1) == ["1"]
        assert await peer.closed() == b""
        assert disk.begun == ["1"]


async def test_all_that_is_begun_is_answered_before_a_bad_request_closes() -> None:
    async with serving() as (disk, _, peer):
        peer.write(asking(1) + asking(2) + b"no request at all\r\n\r\n" + asking(3))
        await disk.has_begun(1, 2)
        disk.kept(2, 1)
        answers = [await peer.answer() for _ in range(2)]
        assert [(headers["x-m2m-ri"], headers.get("connection")) for _, headers, _ in answers] == [
            ("1", None),
            ("2", "close"),
        ]
        assert await peer.closed() == b""


async def test_who_sends_no_more_gets_all_answers() -> None:
    async with serving() as (disk, _, peer):
        peer.write(asking(1) + asking(2) + asking(3))
        peer.write_eof()
        await disk.has_begun(1, 2, 3)
        disk.kept(2, 3, 1)
        assert await identifiers(peer, 3) == ["1", "2", "3"]
        assert await peer.closed() == b""


async def test_a_peer_that_is_gone_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (disk, server, peer):
        peer.write(asking(1) + asking(2) + asking(3) + asking(4, "GET"))
        await disk.has_begun(1, 2, 3, 4)
        peer.reset()
        await _none_connected(server)
        disk.kept(3, 1, 2)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_peer_that_is_gone_while_nothing_is_read_from_it(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (disk, server, peer):
        peer.write(b"".join(asking(number) for number in range(1, 3 * MOST)))
        await disk.has_begun(*range(1, MOST + 2))
        peer.reset()
        await _keep_on(disk, 0, lambda: not server._connections)
        async with connected(server) as another:
            another.write(asking(99, "GET"))
            assert await identifiers(another, 1) == ["99"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def _none_connected(server: HttpServer) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while server._connections:  # noqa: ASYNC110 - what is tested has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_server_that_stops_answers_all_that_is_begun() -> None:
    async with serving() as (disk, server, peer):
        peer.write(b"".join(asking(number) for number in range(1, MOST + 5)))
        await disk.has_begun(*range(1, MOST + 2))
        stopping = asyncio.create_task(server.stop(_PATIENCE_S))
        await asyncio.sleep(0.02)
        disk.kept(*range(MOST + 1, 0, -1))
        assert await identifiers(peer, MOST) == [str(number) for number in range(1, MOST + 1)]
        _, last, _ = await peer.answer()
        assert (last["x-m2m-ri"], last["connection"]) == (str(MOST + 1), "close")
        assert await peer.closed() == b""
        await stopping


async def test_a_server_that_waits_no_longer_answers_each_in_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (disk, server, peer):
        notify = asking(4, "POST", "1.1", "Content-Type: application/json", "Content-Length: 14") + b'{"m2m:sgn":{}}'
        peer.write(asking(1) + asking(2) + asking(3) + notify + asking(5))
        await disk.has_begun(1, 2, 3, 4)
        disk.kept(2)
        await server.stop(0.02)
        answers = [await peer.answer() for _ in range(4)]
        assert [(status, headers["x-m2m-ri"]) for status, headers, _ in answers] == [
            *[(504, "1"), (200, "2"), (504, "3"), (504, "4")]
        ]
        assert answers[-1][1]["connection"] == "close"
        assert await peer.closed() == b""
        assert disk.works["4"].is_cancelled
        disk.kept(1, 3)  # nobody is there any more
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- bounds ------------------------------------------------------------------------------------------------------


async def test_not_more_than_so_many_are_begun_early() -> None:
    async with serving() as (disk, _, peer):
        numbers = range(1, 3 * MOST)
        peer.write(b"".join(asking(number) for number in numbers))
        await disk.has_begun(*range(1, MOST + 2))
        disk.kept(1)
        await disk.has_begun(*range(1, MOST + 3))
        for number in numbers[1:]:
            async with asyncio.timeout(_PATIENCE_S):
                while str(number) not in disk.begun:  # noqa: ASYNC110 - what is tested has no event to wait for
                    await asyncio.sleep(0.01)
            disk.kept(number)
        assert await identifiers(peer, len(numbers)) == [str(number) for number in numbers]


async def test_large_answers_are_not_heaped_up() -> None:
    async with serving(30_000) as (disk, _, peer):
        peer.write(asking(1) + b"".join(asking(number, "GET") for number in range(2, 20)))
        await disk.has_begun(1, 2, 3, 4)
        disk.kept(1)
        assert await identifiers(peer, 19) == [str(number) for number in range(1, 20)]


async def test_a_peer_that_does_not_read_is_not_worked_for() -> None:
    async with serving(200_000) as (disk, _, peer):
        numbers = range(1, 401)
        peer.write(b"".join(asking(number) for number in numbers))
        told = 0
        async with asyncio.timeout(_PATIENCE_S):
            while len(disk.begun) > told or len(disk.begun) < MOST + 1:
                disk.kept(*map(int, disk.begun[told:]))
                told = len(disk.begun)
                await asyncio.sleep(0.2)
        assert told < 300
        keeping = asyncio.create_task(_keep_on(disk, told, lambda: disk.begun[-1] == "400"))
        assert await identifiers(peer, len(numbers)) == [str(number) for number in numbers]
        await keeping


async def _keep_on(disk: Disk, told: int, is_over: Callable[[], bool]) -> None:
    """Keep what is begun, all but the first ``told``, until it is over."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            disk.kept(*map(int, disk.begun[told:]))
            told = len(disk.begun)
            if is_over():
                return
            await asyncio.sleep(0.01)


async def test_a_thousand_requests_are_no_thousand_calls_deep(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as (disk, _, peer):
        gets = b"".join(asking(number, "GET") for number in range(2, 1500))
        peer.write(asking(1) + gets)
        await disk.has_begun(*range(1, MOST + 2))
        disk.kept(1)
        assert await identifiers(peer, 1499) == [str(number) for number in range(1, 1500)]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- a CSE -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def cse_on_disk(folder: Path) -> AsyncIterator[tuple[Cse, Peer]]:
    """A CSE with an AE, and a connection to it."""
    config = CseConfig(http="127.0.0.1:0", store=f"sqlite:///{folder}/a.db", insecure_dev=True, admin=("CAdmin",))
    cse = Cse(config)
    await cse.start()
    try:
        assert cse.endpoints.http is not None
        async with connected(cse.endpoints.http) as peer:
            peer.write(create(0, "cse-in", 2, {"m2m:ae": {"rn": "ae", "api": "Na", "rr": False, "srv": ["3"]}}))
            assert (await peer.answer())[0] == 201
            yield cse, peer
    finally:
        await cse.stop(2.0)


def on(method: str, number: int, path: str, *fields: str, body: bytes = b"") -> bytes:
    heads = ("Host: h", "X-M2M-Origin: Cae", f"X-M2M-RI: {number}", "X-M2M-RVI: 3")
    return message(f"{method} /{path} HTTP/1.1", *heads, *fields, body=body)


def create(number: int, path: str, kind: int, content: Any) -> bytes:
    return on("POST", number, path, f"Content-Type: application/json;ty={kind}", body=orjson.dumps(content))


async def test_effects_keep_the_order_of_the_requests(tmp_path: Path) -> None:
    async with cse_on_disk(tmp_path) as (_, peer):
        peer.write(
            create(1, "cse-in/ae", 3, {"m2m:cnt": {"rn": "c"}})
            + b"".join(create(2 + n, "cse-in/ae/c", 4, {"m2m:cin": {"con": f"{n}"}}) for n in range(5))
            + on("GET", 7, "cse-in/ae/c/la")
            + on("DELETE", 8, "cse-in/ae/c/la")
            + on("GET", 9, "cse-in/ae/c/la")
            + on("DELETE", 10, "cse-in/ae/c")
            + on("GET", 11, "cse-in/ae/c")
            + create(12, "cse-in/ae", 3, {"m2m:cnt": {"rn": "c"}})
        )
        answers = [await peer.answer() for _ in range(12)]
    assert [headers["x-m2m-ri"] for _, headers, _ in answers] == [str(number) for number in range(1, 13)]
    assert [status for status, _, _ in answers] == [201] * 6 + [200] * 4 + [404, 201]
    assert [orjson.loads(answers[at][2])["m2m:cin"]["con"] for at in (6, 8)] == ["4", "3"]


async def test_a_subscription_is_there_before_what_is_behind_it_is_looked_at(tmp_path: Path) -> None:
    """Its target is asked first (TS-0004 clause 7.4.8.2.1), slowly."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    target = await asyncio.start_server(agree, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{target.sockets[0].getsockname()[1]}"
    async with cse_on_disk(tmp_path) as (_, peer):
        peer.write(
            create(1, "cse-in/ae", 3, {"m2m:cnt": {"rn": "c"}})
            + create(2, "cse-in/ae/c", 23, {"m2m:sub": {"rn": "s", "nu": [url]}})
            + on("GET", 3, "cse-in/ae/c/s")
            + on("DELETE", 4, "cse-in/ae/c/s")
            + on("GET", 5, "cse-in/ae/c/s")
        )
        answers = [await peer.answer() for _ in range(5)]
    target.close()
    assert [(headers["x-m2m-ri"], status) for status, headers, _ in answers] == [
        *[("1", 201), ("2", 201), ("3", 200), ("4", 200), ("5", 404)]
    ]


async def test_pipelined_requests_share_commits(tmp_path: Path) -> None:
    async with cse_on_disk(tmp_path) as (cse, peer):
        meter = cse.engine.figures().commits
        assert meter is not None
        peer.write(create(1, "cse-in/ae", 3, {"m2m:cnt": {"rn": "c"}}))
        await peer.answer()
        before = meter.groups
        peer.write(b"".join(create(n, "cse-in/ae/c", 4, {"m2m:cin": {"con": "x"}}) for n in range(2, 26)))
        assert [(await peer.answer())[0] for _ in range(24)] == [201] * 24
        assert meter.groups - before < 12


async def test_a_websocket_begins_when_all_before_it_is_answered(tmp_path: Path) -> None:
    async with cse_on_disk(tmp_path) as (_, peer):
        upgrade = on(
            *("GET", 3, "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
            *("Sec-WebSocket-Protocol: oneM2M.json", f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}"),
        )
        peer.write(
            create(1, "cse-in/ae", 3, {"m2m:cnt": {"rn": "c"}})
            + create(2, "cse-in/ae/c", 4, {"m2m:cin": {"con": "x"}})
            + upgrade
        )
        answers = [await peer.answer() for _ in range(3)]
        assert [status for status, _, _ in answers] == [201, 201, 101]
        primitive = orjson.dumps({"op": 2, "fr": "Cae", "to": "cse-in/ae/c/la", "rqi": "w1", "rvi": "3"})
        mask = bytes(4)
        peer.write(bytes((0x81, 0x80 | 126)) + len(primitive).to_bytes(2, "big") + mask + primitive)
        assert await peer.read_until(b'"rqi":"w1"')


# --- the class that keeps the order ------------------------------------------------------------------------------


def request(number: int, *, keep_alive: bool = True) -> HttpMessage:
    return HttpMessage("GET", b"/%d" % number, b"", [], b"", keep_alive=keep_alive)


class Asked:
    """An application's ``answer``, and a connection that sends."""

    def __init__(self, work: Work | None = None) -> None:
        self.replies: list[Reply] = []
        self.sent: list[tuple[Any, ...]] = []
        self.work = work

    def answer(self, message: HttpMessage, reply: Reply) -> Work | None:
        self.replies.append(reply)
        return self.work

    def send(self, *answer: Any) -> None:
        self.sent.append(answer)


@given(st.permutations(range(8)), st.integers(0, 8))
def test_turns_are_taken_in_order_whenever_answers_come(order: list[int], after: int) -> None:
    """The first is answered when ``after`` of the others are."""
    asked, taken = Asked(), list[int]()
    pipeline = Pipeline(asked.send)
    for number in range(8):
        assert pipeline.may_begin(request(0), None)
        pipeline.begin(request(number), asked.answer)

    def take() -> None:
        while pipeline.begun:
            early = pipeline.take_turn()
            if early.answer is None:
                return
            taken.append(early.answer[0])

    for done, number in enumerate(order):
        if done == after:
            take()
        before = len(asked.sent)
        asked.replies[number](number, iter([(b"a", b"b")]), b"body")
        if len(asked.sent) > before:
            taken.append(asked.sent[-1][0])
            take()
    if after == 8:
        take()
    assert taken == list(range(8))
    assert all(answer[1:] == ([(b"a", b"b")], b"body") for answer in asked.sent)


def test_what_may_begin() -> None:
    work = Work()
    assert not Pipeline(print).may_begin(request(0), work)
    assert not Pipeline(print).may_begin(request(0, keep_alive=False), None)
    asked = Asked(work)
    pipeline = Pipeline(asked.send)
    pipeline.begin(request(1), asked.answer)
    assert not pipeline.may_begin(request(0), None)
    asked.replies[0](200, (), b"")  # it has taken effect
    assert pipeline.may_begin(request(0), None)
    asked.work = None
    pipeline.begin(request(2, keep_alive=False), asked.answer)
    assert not pipeline.may_begin(request(0), None)


def test_an_answer_counts_once_and_nothing_is_held_for_who_is_gone() -> None:
    asked = Asked()
    pipeline = Pipeline(asked.send)
    pipeline.begin(request(1), asked.answer)
    asked.replies[0](200, (), b"x" * 70_000)
    asked.replies[0](500, (), b"")
    assert not pipeline.may_begin(request(0), None)
    early = pipeline.take_turn()
    assert early.answer is not None
    assert early.answer[0] == 200
    assert pipeline.may_begin(request(0), None)
    pipeline.begin(request(2), asked.answer)
    pipeline.clear()
    asked.replies[1](200, (), b"")
    assert not pipeline.begun
    assert asked.sent == []
