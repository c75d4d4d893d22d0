"""The request inspector: the primitives of every binding with their answers, while somebody watches (ADR 0023).

Nobody watching costs a request one look at ``on``. What is kept is bounded in number and in size.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cse.bindings.primitive_codec import encode_request, encode_response
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Request, Response, error_response
from cse.onem2m.serialisation import dump_json
from cse.ports import Begin, Cancellable, Done, Serve

_log = logging.getLogger("cse.console")

#: requests kept; beyond, the oldest go
KEPT = 1000
#: larger contents are left out, and such a request cannot be sent again
CONTENT_BYTES = 16 * 1024
#: parameters that prove something: never shown
_SECRETS = ("tkns", "aus")


@dataclass(frozen=True, slots=True)
class Inspected:
    """A request that was served.

    Attributes:
        number: counts up from 1.
        at_s: when it came, seconds since the epoch.
        binding: over which it came.
        credential: what its connection proved, "" for nothing.
        address: of the peer, "" when there is none.
        primitive: what was asked, by short names, without secrets.
        answer: the response primitive.
        duration_s: from decoding to the answer, commit included, in seconds.
        whole: nothing was left out of ``primitive``: it can be sent again.
    """

    number: int
    at_s: float
    binding: str
    credential: str
    address: str
    primitive: dict[str, Any]
    answer: dict[str, Any]
    duration_s: float
    whole: bool

    @property
    def originator(self) -> str:
        """Who asked."""
        return str(self.primitive.get("fr", ""))

    def as_json(self) -> dict[str, Any]:
        """The record for people and programs."""
        return {
            "number": self.number,
            "at": round(self.at_s, 3),
            "binding": self.binding,
            "credential": self.credential,
            "address": self.address,
            "request": self.primitive,
            "response": self.answer,
            "milliseconds": round(self.duration_s * 1000, 2),
            "whole": self.whole,
        }


class Inspector:
    """The newest requests of one CSE.

    Args:
        kept: how many are kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        #: told of each
        self.tell: Callable[[Inspected], None] = lambda record: None
        self._records: deque[Inspected] = deque(maxlen=kept)
        self._number = 0
        #: whether requests are to be shown to ``serve``
        self.on = False

    async def serve(self, request: Request, serve: Serve, binding: str = "") -> Response:
        """Have a request served, and keep what was asked and answered.

        Args:
            request: as it came.
            serve: serves it.
            binding: its name when the request does not say it.

        Raises:
            CseError: as ``serve`` does.
        """
        at_s, begin_s = time.time(), time.perf_counter()
        try:
            response = await serve(request)
        except CseError as error:
            self._keep(request, error_response(request, error.status, error.debug), binding, at_s, begin_s)
            raise
        self._keep(request, response, binding, at_s, begin_s)
        return response

    def begin(self, request: Request, done: Done, begin: Begin) -> Cancellable | None:
        """As ``serve``, for those who answer without a task (port ``Begin``).

        Raises:
            CseError: as ``begin`` does.
        """
        at_s, begin_s = time.time(), time.perf_counter()

        def answered(response: Response) -> None:
            self._keep(request, response, "", at_s, begin_s)
            done(response)

        try:
            return begin(request, answered)
        except CseError as error:
            self._keep(request, error_response(request, error.status, error.debug), "", at_s, begin_s)
            raise

    def _keep(self, request: Request, response: Response, binding: str, at_s: float, begin_s: float) -> None:
        duration_s = time.perf_counter() - begin_s
        try:
            record = self._record(request, response, binding, at_s, duration_s)
            self._records.append(record)
            self.tell(record)
        except Exception:  # whoever looks must not harm who is looked at
            _log.exception("request %s cannot be shown", request.request_id)

    def _record(self, request: Request, response: Response, binding: str, at_s: float, duration_s: float) -> Inspected:
        self._number += 1
        primitive = encode_request(request)
        for name in _SECRETS:
            primitive.pop(name, None)
        if ":" in request.originator:  # "<AE-ID>:<token>" of older clients
            primitive["fr"] = request.originator.partition(":")[0]
        whole = _bounded(primitive)
        answer = encode_response(response)
        answer.pop("ati", None)
        _bounded(answer)
        return Inspected(
            self._number,
            at_s,
            request.binding or binding or "internal",
            request.credential,
            request.peer_address,
            primitive,
            answer,
            duration_s,
            whole,
        )

    def since(self, number: int, sees: Callable[[Inspected], bool] = lambda record: True) -> list[Inspected]:
        """The records after ``number``, oldest first: those that one may see."""
        found = []
        for record in reversed(self._records):
            if record.number <= number:
                break
            if sees(record):
                found.append(record)
        found.reverse()
        return found

    def find(self, number: int) -> Inspected | None:
        """The record with this number; None when it is kept no longer."""
        return next((record for record in self._records if record.number == number), None)


def _bounded(primitive: dict[str, Any]) -> bool:
    """Leave a content out that is too large to keep; returns whether it was not."""
    content = primitive.get("pc")
    if content is None:
        return True
    size_bytes = len(dump_json(content))
    if size_bytes <= CONTENT_BYTES:
        return True
    primitive["pc"] = {"leftOut": f"{size_bytes} bytes: too large to keep"}
    return False


__all__ = ["CONTENT_BYTES", "KEPT", "Inspected", "Inspector"]
