"""What an ASGI application beside oneM2M needs of a connection: a scope, flow control, a request cycle (ASGI 3)."""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from cse.bindings.http_connections import CREDENTIAL
from cse.bindings.http_message import HttpMessage

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_log = logging.getLogger(__name__)


class FlowControl:
    """Whether a connection reads and may write; as uvicorn's request cycle wants to know it.

    Args:
        transport: of the connection.
    """

    __slots__ = ("_may_write", "_transport", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._may_write: asyncio.Event | None = None

    async def drain(self) -> None:
        """Return when the peer has read enough."""
        if self.write_paused:
            self._may_write = self._may_write or asyncio.Event()
            await self._may_write.wait()

    def pause_reading(self) -> None:
        """Read no more."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The peer does not read."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """It reads again, or is gone."""
        self.write_paused = False
        if self._may_write is not None:
            self._may_write.set()
            self._may_write = None


def scope_of(message: HttpMessage, transport: asyncio.Transport) -> dict[str, Any]:
    """The ASGI scope of a request.

    Args:
        message: the request.
        transport: it came over.
    """
    path = message.path.decode("latin-1")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": message.version,
        "server": transport.get_extra_info("sockname")[:2],
        "client": message.peer,
        "scheme": "http" if transport.get_extra_info("ssl_object") is None else "https",
        "root_path": "",
        "method": message.method,
        "path": urllib.parse.unquote(path) if "%" in path else path,
        "raw_path": message.path,
        "query_string": message.query,
        "headers": message.headers,
        "state": {},
    }
    if message.credential:
        scope[CREDENTIAL] = message.credential
    return scope


def cycle_of(
    message: HttpMessage,
    transport: asyncio.Transport,
    flow: FlowControl,
    *,
    keep_alive: bool,
    on_response: Callable[[], None],
) -> RequestResponseCycle:
    """What runs an ASGI application for a request.

    Args:
        message: the request.
        transport: it came over.
        flow: of that transport.
        keep_alive: whether another request may follow.
        on_response: called when it is answered.
    """
    # Loaded when somebody asks for a page: a CSE that is asked for oneM2M only does without uvicorn's 3 MB.
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    cycle = RequestResponseCycle(
        scope=cast(Any, scope_of(message, transport)),
        transport=transport,
        flow=cast(Any, flow),
        logger=_log,
        access_logger=_log,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=on_response,
    )
    cycle.body += message.body
    cycle.more_body = False
    cycle.message_event.set()
    return cycle
