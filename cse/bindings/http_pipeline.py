"""Requests of a connection that are begun before their turn, and their answers in order (RFC 9112 clause 9.3.2).

Most of its time a request waits for the disk. Those that a client sends behind it, without waiting for its answer, can
wait for the same group commit: they begin when all before them have taken effect, and are answered in their turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from cse.bindings.http_message import Header, HttpMessage, Reply
from cse.ports import Cancellable

#: as many requests of a connection are begun before their turn; our own senders put no more in one piece
MOST = 32
#: while so much of their answers is held, no more of them are begun: the peer may not be reading
_HELD_BYTES = 64 * 1024

Answer = tuple[int, list[Header], bytes]


class Early:
    """A request that was begun before its turn.

    Attributes:
        message: the request.
        work: what has to end before it takes effect, and may be cancelled; None when there is nothing.
        answer: to be sent in its turn; None when it has not come yet, or came in its turn.
    """

    __slots__ = ("_pipeline", "answer", "message", "work")

    def __init__(self, message: HttpMessage, pipeline: Pipeline) -> None:
        self.message = message
        self.work: Cancellable | None = None
        self.answer: Answer | None = None
        self._pipeline = pipeline

    def reply(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Take its answer (``Reply``)."""
        self.work = None
        self._pipeline.answered(self, (status, list(headers), body))


class Pipeline:
    """The requests behind the one whose turn it is, as far as they are begun.

    Args:
        reply: sends the answer to the request whose turn it is.
    """

    __slots__ = ("_held_bytes", "_reply", "_turn", "begun")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        #: in the order they came
        self.begun: deque[Early] = deque()
        self._held_bytes = 0
        self._turn: Early | None = None

    def may_begin(self, first: HttpMessage, work: Cancellable | None) -> bool:
        """Whether another request may be begun: all before it have taken effect, none is the last, and there is room.

        Args:
            first: the request whose turn it is.
            work: what has to end before that takes effect; None when there is nothing.
        """
        if self.begun:  # they were begun because all before them had taken effect
            last = self.begun[-1]
            first, work = last.message, last.work
        return work is None and first.keep_alive and len(self.begun) < MOST and self._held_bytes < _HELD_BYTES

    def begin(self, message: HttpMessage, answer: Callable[[HttpMessage, Reply], Cancellable | None]) -> None:
        """Begin a request.

        Args:
            message: the request.
            answer: see ``cse.bindings.http_message.Application``.
        """
        early = Early(message, self)
        self.begun.append(early)
        work = answer(message, early.reply)
        if early.answer is None:
            early.work = work

    def answered(self, early: Early, answer: Answer) -> None:
        """The answer to a request is there: it is sent, or held."""
        if early is self._turn:
            self._turn = None
            self._reply(*answer)
        elif early.answer is None:
            early.answer = answer
            self._held_bytes += len(answer[2])

    def take_turn(self) -> Early:
        """The request whose turn is next; an answer it has not yet is sent when it comes. There must be one."""
        early = self.begun.popleft()
        if early.answer is None:
            self._turn = early
        else:
            self._held_bytes -= len(early.answer[2])
        return early

    def clear(self) -> None:
        """Forget them: nobody is there to read their answers."""
        self.begun.clear()
        self._turn, self._held_bytes = None, 0
