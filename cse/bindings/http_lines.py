"""Connections to HTTP servers that cost little: asyncio protocols on httptools' parser (RFC 9112).

For plain ``http`` only, and without anything a notification does not need: no redirects, cookies, proxies, compression.
A connection takes one request, or several at once whose answers come in order; then it is free for the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httptools

from cse.bindings.outbound import Guard, Refused
from cse.ports import Unreachable

#: more header bytes than this are no answer of anybody
_HEAD_BYTES = 64 * 1024
#: an idle connection is closed after this time; most servers close theirs after five seconds or more
_IDLE_S = 4.0
_CONNECT_S = 2.0
#: how long a server that closed a connection on several requests gets one at a time
_DISTRUST_S = 60.0
_CLOSED = "the connection was closed before an answer came"


class _Closed(Unreachable):
    """The server closed the connection before it answered."""


@dataclass(slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: of HTTP.
        headers: names as they came, and values.
        body: all of it.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class HttpLine(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._answer = Answer()
        self._pieces: list[bytes] = []
        self._size_bytes = self._head_bytes = 0
        self._limit_bytes = 0
        self._is_framed = self._in_head = self._in_body = False
        self.since_s = self._loop.time()
        #: whether another request may follow
        self.is_good = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, and with it the answers that were still to come."""
        self.is_good = False
        if self._in_body and not self._is_framed and exc is None and self._waiting:
            self._complete()  # a body without a length ends with the connection
        self._fail(_Closed(_CLOSED))

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if not self._waiting:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("the answer is no HTTP/1.1")
            return
        if self._in_head:  # still
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._break("the header fields of the answer are too long")

    def send(self, data: bytes, count: int, limit_bytes: int) -> list[asyncio.Future[Answer]]:
        """Send requests; gives the answers to come. Nothing else may be under way.

        Args:
            data: the requests.
            count: how many they are.
            limit_bytes: largest body of an answer.
        """
        self._limit_bytes = limit_bytes
        self._parser = httptools.HttpResponseParser(self)
        futures = [self._loop.create_future() for _ in range(count)]
        self._waiting.extend(futures)
        self.transport.write(data)
        return futures

    def close(self) -> None:
        """Close; what is waited for fails."""
        self.is_good = False
        self.transport.abort()

    def _break(self, reason: str) -> None:
        self._fail(Unreachable(reason))
        self.close()

    def _fail(self, error: Unreachable) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited may have gone: then nobody misses it

    # --- parser callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins."""
        self._answer = Answer()
        self._pieces = []
        self._size_bytes = 0
        self._is_framed = self._in_body = False
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field."""
        self._answer.headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._answer.status = self._parser.get_status_code()
        self._in_body = self._answer.status >= 200
        self._in_head = False
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._size_bytes += len(body)
        if self._size_bytes > self._limit_bytes:
            self._break(f"the answer is larger than {self._limit_bytes} bytes")
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        if self._answer.status < 200:
            return  # 100 Continue, 103 Early Hints: the answer is still to come
        if not self._parser.should_keep_alive():
            self.is_good = False
        self._complete()
        if not self.is_good:
            self._fail(_Closed(_CLOSED))
            self.transport.close()

    def _complete(self) -> None:
        self._in_body = False
        if self._waiting:
            answer = self._answer
            answer.body = b"".join(self._pieces)
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(answer)


class HttpOrigin:
    """The connections to one host and port.

    Args:
        host: name or address.
        port: TCP port.
        limit: most connections.
        guard: decides where connections may go; None lets all pass.
    """

    def __init__(self, host: str, port: int, limit: int, guard: Guard | None) -> None:
        self.host, self.port = host, port
        self._guard = guard
        self._slots = asyncio.Semaphore(limit)
        self._idle: deque[HttpLine] = deque()
        self._is_proved = False
        #: the last time it got several requests at once it answered them all
        self._took_several = False
        self._distrusted_until_s = 0.0
        #: requests that wait or are under way
        self.users = 0

    @property
    def takes_several(self) -> bool:
        """Whether it has kept a connection open, and lately took several requests on one, as far as tried."""
        return self._is_proved and asyncio.get_running_loop().time() >= self._distrusted_until_s

    def sweep(self, now_s: float) -> bool:
        """Close the connections that were idle for long; returns whether nothing is left here."""
        while self._idle and (now_s - self._idle[0].since_s > _IDLE_S or not self._idle[0].is_good):
            self._idle.popleft().close()
        return not self._idle and not self.users

    async def ask(self, requests: Sequence[bytes], limit_bytes: int, timeout_s: float) -> list[Answer | Unreachable]:
        """Send requests on one connection, in order; gives what came of each.

        Args:
            requests: whole messages.
            limit_bytes: largest body of an answer.
            timeout_s: for all of it.

        Raises:
            Unreachable: there is no connection, or it may not be opened.
        """
        answers: list[Answer | Unreachable] = []
        self.users += 1
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                await self._ask(b"".join(requests), len(requests), limit_bytes, answers)
        except TimeoutError:
            pass
        finally:
            self.users -= 1
        answers += [Unreachable(f"no answer in {timeout_s:g} s") for _ in range(len(requests) - len(answers))]
        if len(requests) > 1:
            self._judge([answer for answer in answers if isinstance(answer, Unreachable)])
        return answers

    def _judge(self, failures: Sequence[Unreachable]) -> None:
        """Find out whether it takes several requests at once from how it failed to.

        A host that has taken several may lose a connection once: it was started again, or something between broke.
        """
        is_excused = self._took_several and all(isinstance(failure, _Closed) for failure in failures)
        if failures and not is_excused:
            self._distrusted_until_s = asyncio.get_running_loop().time() + _DISTRUST_S
        self._took_several = not failures

    async def _ask(self, data: bytes, count: int, limit_bytes: int, answers: list[Answer | Unreachable]) -> None:
        line = self._free()
        if line is not None:
            await self._exchange(line, data, count, limit_bytes, answers)
            if not all(isinstance(answer, _Closed) for answer in answers):
                return
            # The server closed an idle connection just when it was used, which tells nothing about the server.
            answers.clear()
        await self._exchange(await self._connect(), data, count, limit_bytes, answers)

    async def _exchange(
        self, line: HttpLine, data: bytes, count: int, limit_bytes: int, answers: list[Answer | Unreachable]
    ) -> None:
        try:
            for future in line.send(data, count, limit_bytes):
                try:
                    answers.append(await future)
                except Unreachable as error:
                    answers.append(error)
        finally:
            if line.is_good and len(answers) == count:
                self._is_proved = True
                line.since_s = asyncio.get_running_loop().time()
                self._idle.append(line)
            else:
                line.close()

    def _free(self) -> HttpLine | None:
        while self._idle:
            line = self._idle.pop()
            if line.is_good and not line.transport.is_closing():
                return line
        return None

    async def _connect(self) -> HttpLine:
        """A new connection, to the first address that takes one.

        Raises:
            Unreachable: there is none.
        """
        loop = asyncio.get_running_loop()
        try:
            found = [self.host] if self._guard is None else await self._guard.addresses(self.host, self.port)
        except Refused:
            raise
        except OSError as error:
            raise Unreachable(f"no connection ({error.strerror or error})") from error
        reason = ""
        for address in found:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    _, line = await loop.create_connection(HttpLine, address, self.port)
            except TimeoutError:
                reason = f"nobody answers in {_CONNECT_S:g} s"
            except OSError as error:
                reason = error.strerror or str(error)
            else:
                return line
        raise Unreachable(f"no connection ({reason})")

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.popleft().close()
