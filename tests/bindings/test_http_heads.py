"""Heads that come again mean what the parser made of them, and nothing that differs from them is taken for them."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cse.bindings.http_heads import REMEMBERED, Heads
from cse.bindings.http_message import Header, HttpMessage
from tests.bindings.test_http import Recorder, ask, connected, running, with_host
from tests.wire.http import BAD_REQUESTS, REQUESTS, message

POST = message(
    "POST /cse-in/ae/data HTTP/1.1",
    *("Host: h", "X-M2M-Origin: Cme", "X-M2M-RI: 0001", "X-M2M-RVI: 3", "Content-Type: application/json;ty=4"),
    body=b'{"m2m:cin": {"con": "1"}}',
)


class Parsed:
    """What httptools makes of bytes, as ``HttpConnection`` hands it on; ``message`` is None unless they are one."""

    def __init__(self, data: bytes) -> None:
        self._url = self._body = b""
        self._headers: list[Header] = []
        self._complete = 0
        self.message: HttpMessage | None = None
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return
        if self._complete == 1 and self._open == 0:
            self.message = HttpMessage(
                *(self._parser.get_method().decode(), *self._url.split(b"?", 1), b"")[:3],
                *(self._headers, self._body, None, "", self._parser.should_keep_alive()),
            )

    _open = 0

    def on_message_begin(self) -> None:
        self._open += 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete, self._open = self._complete + 1, self._open - 1


def learned(*samples: bytes) -> Heads:
    heads = Heads()
    for data in samples:
        parsed = Parsed(data).message
        assert parsed is not None
        heads.learn(data, parsed)
    return heads


def same(one: HttpMessage, other: HttpMessage) -> bool:
    names = ("method", "path", "query", "headers", "body", "keep_alive", "version")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def test_a_head_that_came_before_is_known_by_another_identifier_and_body() -> None:
    heads = learned(POST)
    again = POST.replace(b"0001", b"x-2.77").replace(b'"1"}', b'"9"}')
    found = heads.message(again, ("127.0.0.1", 5), "Cproved")
    expected = Parsed(again).message
    assert found is not None
    assert expected is not None
    assert same(found, expected)
    assert (found.peer, found.credential) == (("127.0.0.1", 5), "Cproved")
    assert found.head is not None
    assert found.head.request_id(found) == "x-2.77"
    other = heads.message(POST, None, "")
    assert other is not None
    assert found.headers[2] == (b"x-m2m-ri", b"x-2.77")  # each has header fields of its own
    assert (other.peer, other.credential) == (None, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0001", b""),
        (b"0001", b" 1"),
        (b"0001", b"a b"),
        (b"0001", b"\xc3\xa4"),
        (b"0001", b"1\n"),
        (b"0001", b"1\nX-M2M-Origin: Cadmin"),
        (b"0001", b"1\rX"),
        (b"0001", b"1" * 65),
        (b"Cme", b"Cyou"),
        (b"ae/data", b"ae/date"),
        (b"X-M2M-RI", b"x-m2m-ri"),
        (b"X-M2M-RVI: 3", b"X-M2M-RVI: 4"),
        (b'"1"}', b'"11"}'),
        (b'"1"}}', b'"1"}'),
        (b'"1"}}', b'"1"}}GET / HTTP/1.1\r\n'),
        (b"0001\r\n", b"0001\r\nX-M2M-RI: 2\r\n"),
        (b"Host: h\r\n", b"Host: h\r\n\r\n"),
    ],
)
def test_what_differs_is_left_to_the_parser(old: bytes, new: bytes) -> None:
    changed = POST.replace(old, new)
    assert changed != POST
    assert learned(POST).message(changed, None, "") is None


@pytest.mark.parametrize(
    "field",
    ["Expect: 100-continue", "Connection: close", "Connection: Upgrade\r\nUpgrade: h2c", "Transfer-Encoding: chunked"],
)
def test_heads_that_do_more_than_ask_are_not_remembered(field: str) -> None:
    data = message("GET /cse-in HTTP/1.1", "Host: h", "X-M2M-RI: 1", field)
    parsed = HttpMessage(
        "GET", b"/cse-in", b"", [(b"x-m2m-ri", b"1"), (field.split(":")[0].lower().encode(), b"")], b""
    )
    heads = Heads()
    heads.learn(data, parsed)
    assert heads.message(data, None, "") is None


def test_only_so_many_are_remembered() -> None:
    heads = learned(POST)
    for number in range(REMEMBERED):
        other = POST.replace(b"ae/data", b"ae/c%d" % number)
        parsed = Parsed(other).message
        assert parsed is not None
        heads.learn(other, parsed)
    assert heads.message(POST, None, "") is None
    assert heads.message(other, None, "") is not None


_PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b"X-M2M-RI: 7", b"\r\nX-M2M-RI: 7", b"\r\n\r\n", b"\x00", b"a"]
)


@given(at=st.integers(0, len(POST)), cut=st.integers(0, 4), piece=_PIECES, again=st.sampled_from([b"0001", b"0002"]))
@example(at=POST.index(b"0001"), cut=4, piece=b"a", again=b"0001")
def test_whatever_is_known_is_what_the_parser_says(at: int, cut: int, piece: bytes, again: bytes) -> None:
    """Heads learned from what a hostile client sends, too, say of later bytes what the parser says of them."""
    mutant = POST[:at] + piece + POST[at + cut :]
    heads = learned(POST)
    parsed = Parsed(mutant).message
    if parsed is not None:
        heads.learn(mutant, parsed)
    for data in (mutant, mutant.replace(b"0001", again), POST.replace(b"0001", again)):
        found = heads.message(data, None, "")
        if found is not None:
            expected = Parsed(data).message
            assert expected is not None
            assert same(found, expected)


async def test_every_sample_means_the_same_when_it_comes_again() -> None:
    recorder = Recorder()
    async with running(recorder.serve) as server, connected(server) as peer:
        for sample in REQUESTS:
            data = with_host(sample.message)
            if b"connection: close" in data.lower():
                continue
            for number in range(3):
                again = data.replace(b"X-M2M-RI: ", b"X-M2M-RI: %d-" % number)
                peer.write(again)
                status, headers, _ = await peer.answer()
                assert status == 200, sample.name
                received = recorder.requests[-1]
                assert headers["x-m2m-ri"] == received.request_id
                received.request_id = received.request_id.removeprefix(f"{number}-")
                received.binding = received.peer_address = ""
                assert received == sample.request, sample.name


async def test_every_bad_sample_is_refused_again() -> None:
    async with running(lenient=False) as server:
        for sample in BAD_REQUESTS:
            answers = [await ask(server, with_host(sample.message)) for _ in range(3)]
            for status, headers, body in answers:
                assert headers["x-m2m-rsc"] == str(int(sample.status)), sample.name
                assert headers.get("x-m2m-ri", "") == sample.request_id, sample.name
                assert sample.hint in body["m2m:dbg"], sample.name
                assert status == answers[0][0]
