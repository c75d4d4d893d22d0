"""What carries an originator's requests and the notifications back to it: one class per binding.

A transport over HTTP or CoAP may serve many originators of one process (``Client(transport, ...)``), which then share
connections and one listener. Over MQTT every originator is a client of its own at the broker (TS-0010 clause 6.2), and
over WebSocket it has a connection of its own, over which notifications come back (TS-0020).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from cse.bindings.coap import BindError as CoapBindError
from cse.bindings.coap import CoapLimits, CoapServer
from cse.bindings.coap_blockwise import BlockLimits
from cse.bindings.coap_client import CoapSender
from cse.bindings.http import BindError as HttpBindError
from cse.bindings.http import HttpLimits, HttpServer
from cse.bindings.http_client import HttpSender
from cse.bindings.http_sender import LeanHttpSender
from cse.bindings.mqtt import MqttBinding, MqttStartError
from cse.bindings.mqtt_codec import Topic, parse_url, to_topic_level
from cse.bindings.mqtt_limits import MqttLimits
from cse.bindings.websocket import WebSocketBinding
from cse.bindings.websocket_connection import WebSocketLimits
from cse.client.notifications import NotificationRouter
from cse.onem2m.primitives import Request, Response
from cse.ports import Send, Sender, Unreachable

#: largest notification taken; a CSE chose to store what is in it
_NOTIFICATION_BYTES = 4 << 20
#: pauses before a lost WebSocket is opened again, the last one for ever, in seconds
_REOPEN_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)


class Transport(Protocol):
    """The way to a CSE."""

    #: sorts what comes in
    router: NotificationRouter
    #: the CSE tells the end of a subscription to its target; not to an AE that is the target itself and ended it
    farewells: bool

    async def open(self, originator: str) -> str:
        """Get ready to send for an originator; returns the From it has to use.

        Raises:
            Unreachable: there is no way to the CSE.
        """

    async def adopt(self, originator: str) -> None:
        """The CSE gave the originator this AE-ID."""

    async def request(self, request: Request, timeout_s: float) -> Response:
        """Send a request and return the answer.

        Raises:
            Unreachable: nobody answered in ``timeout_s``.
        """

    async def target(self, originator: str, token: str) -> str:
        """The notification URL for a subscription; from the first call on notifications are listened for.

        Raises:
            Unreachable: the listener cannot be started.
        """

    async def close(self) -> None:
        """Stop listening and let go of connections."""


def open_transport(
    url: str,
    *,
    cse_id: str = "/id-in",
    listen: str = "127.0.0.1:0",
    public_url: str = "",
    serialisation: str = "json",
) -> Transport:
    """The transport for the URL of a CSE, or for MQTT of its broker; nothing is sent yet.

    Args:
        url: ``http(s)://host:port[/root]``, ``ws(s)://host:port``, ``coap://host:port`` or
            ``mqtt(s)://[user:password@]host:port[/prefix]``.
        cse_id: CSE-ID of the registrar CSE; MQTT topics need it.
        listen: host and port for notifications over HTTP and CoAP; port 0 takes a free one.
        public_url: how the CSE reaches the listener (or, for MQTT, the broker) when that differs from here.
        serialisation: ``json`` or ``cbor``.

    Raises:
        ValueError: a scheme or a serialisation there is no binding for.
    """
    if serialisation not in ("json", "cbor"):
        raise ValueError(f"serialisation {serialisation!r}: use json or cbor")
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("http", "https"):
        return HttpTransport(url, cse_id=cse_id, listen=listen, public_url=public_url, serialisation=serialisation)
    if scheme == "coap":
        return CoapTransport(url, cse_id=cse_id, listen=listen, public_url=public_url, serialisation=serialisation)
    if scheme in ("mqtt", "mqtts"):
        return MqttTransport(url, cse_id=cse_id, public_url=public_url, serialisation=serialisation)
    if scheme in ("ws", "wss"):
        return WebSocketTransport(url, cse_id=cse_id, serialisation=serialisation)
    raise ValueError(f"{url!r}: use http://, https://, ws://, wss://, coap://, mqtt:// or mqtts://")


class _Listener(Protocol):
    @property
    def url(self) -> str: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class _ConnectionlessTransport:
    """What HTTP and CoAP have in common: requests to a URL, notifications to a server of our own.

    Args:
        url: of the CSE.
        cse_id: its CSE-ID.
        sender: the sending side of the binding.
        listener: the server for notifications, not started yet.
        public_url: how the CSE reaches it, "" for the listener's own address.
        serialisation: ``json`` or ``cbor``.
    """

    router: NotificationRouter
    farewells = True

    def __init__(
        self, url: str, cse_id: str, sender: Sender, listener: _Listener, public_url: str, serialisation: str
    ) -> None:
        self._url, self._cse_id, self._sender = url, cse_id, sender
        self._public_url, self._serialisation = public_url, serialisation
        self._listener = listener
        self._listening = False
        self._starting = asyncio.Lock()

    async def open(self, originator: str) -> str:
        """Nothing to do: connections are made when needed."""
        return originator

    async def adopt(self, originator: str) -> None:
        """Nothing to do."""

    async def request(self, request: Request, timeout_s: float) -> Response:
        """Send a request and return the answer.

        Raises:
            Unreachable: nobody answered in ``timeout_s``.
        """
        return await self._sender.send(self._url, self._send(request, timeout_s))

    def _send(self, request: Request, timeout_s: float) -> Send:
        return Send(
            request,
            (self._url,),
            self._cse_id,
            exact_url=False,
            serialisation=self._serialisation,
            timeout_s=timeout_s,
        )

    async def target(self, originator: str, token: str) -> str:
        """The notification URL for a subscription.

        Raises:
            Unreachable: the listener cannot be started.
        """
        async with self._starting:
            if not self._listening:
                try:
                    await self._listener.start()
                except (HttpBindError, CoapBindError) as error:
                    raise Unreachable(f"no notifications can be received: {error}") from error
                self._listening = True
        return f"{(self._public_url or self._listener.url).rstrip('/')}/{token}"

    async def close(self) -> None:
        """Stop listening and let go of connections."""
        if self._listening:
            self._listening = False
            await self._listener.stop()
        await self._sender.close()


class HttpTransport(_ConnectionlessTransport):
    """Requests over HTTP, notifications to an HTTP server of our own; for one originator or many (TS-0009).

    Args:
        url: of the CSE, ``http(s)://host:port[/root]``.
        cse_id: its CSE-ID.
        listen: host and port for notifications; port 0 takes a free one.
        public_url: how the CSE reaches that port when it is not at ``listen``, e.g. ``http://my-host:9000``.
        serialisation: ``json`` or ``cbor``.
        connections: most connections to the CSE.
        tls: verifies an ``https`` CSE; None for the system's certificates.
    """

    def __init__(
        self,
        url: str,
        *,
        cse_id: str = "/id-in",
        listen: str = "127.0.0.1:0",
        public_url: str = "",
        serialisation: str = "json",
        connections: int = 32,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.router = NotificationRouter()
        host, port = _host_and_port(listen)
        secured = HttpSender(tls=tls, connections_per_host=connections, connections=connections)
        self._lean = sender = LeanHttpSender(secured, connections_per_host=connections)
        limits = HttpLimits(body_bytes=_NOTIFICATION_BYTES)
        listener = HttpServer(self.router.serve, host, port, limits=limits, lenient=True)
        super().__init__(url, cse_id, sender, listener, public_url, serialisation)

    @property
    def takes_several(self) -> bool:
        """Whether the CSE has shown that it takes several requests on one connection."""
        return self._lean.takes_several(self._url)

    async def request_several(self, requests: Sequence[Request], timeout_s: float) -> list[Response | Unreachable]:
        """Send requests in order on one connection, the next before the last is answered (RFC 9112 clause 9.3.2).

        Args:
            requests: at least one; ``takes_several``.
            timeout_s: how long all of it may take.

        Returns:
            What came of each.

        Raises:
            Unreachable: nothing was sent.
        """
        return await self._lean.send_several(self._url, [self._send(request, timeout_s) for request in requests])


class CoapTransport(_ConnectionlessTransport):
    """Requests over CoAP, notifications to a CoAP server of our own; for one originator or many (TS-0008).

    Args:
        url: of the CSE, ``coap://host:port``.
        cse_id: its CSE-ID.
        listen: host and port for notifications; port 0 takes a free one.
        public_url: how the CSE reaches that port when it is not at ``listen``, e.g. ``coap://my-host:5700``.
        serialisation: ``json`` or ``cbor``.
    """

    def __init__(
        self,
        url: str,
        *,
        cse_id: str = "/id-in",
        listen: str = "127.0.0.1:0",
        public_url: str = "",
        serialisation: str = "json",
    ) -> None:
        self.router = NotificationRouter()
        host, port = _host_and_port(listen)
        limits = CoapLimits(blocks=BlockLimits(body_bytes=_NOTIFICATION_BYTES))
        listener = CoapServer(self.router.serve, host, port, limits=limits)
        super().__init__(url, cse_id, CoapSender(), listener, public_url, serialisation)


class MqttTransport:
    """Requests and notifications of one originator over an MQTT broker (TS-0010).

    An originator without AE-ID ("" or "C") gets a random AE-ID here, because the topics of its registration must be
    its own; "S" keeps its name until the CSE has chosen.

    Args:
        url: of the broker, ``mqtt(s)://[user:password@]host:port[/prefix]``.
        cse_id: CSE-ID of the registrar CSE.
        public_url: the broker as the CSE reaches it when that is not ``url``.
        serialisation: ``json`` or ``cbor``.
    """

    farewells = True

    def __init__(self, url: str, *, cse_id: str = "/id-in", public_url: str = "", serialisation: str = "json") -> None:
        # The CSE hands notifications to the broker and hears of no refusal, so none is made.
        self.router = NotificationRouter(patience_s=None)
        self._url, self._cse_id = url, cse_id
        self._public_url, self._serialisation = public_url, serialisation
        self._binding: MqttBinding | None = None

    async def open(self, originator: str) -> str:
        """Connect to the broker; returns the From to use.

        Raises:
            Unreachable: the broker cannot be used.
            ValueError: another originator uses this connection.
        """
        if self._binding is not None:
            raise ValueError("over MQTT each originator needs a transport of its own")
        if originator in ("", "C"):
            originator = f"C{secrets.token_hex(6)}"
        await self._connect(originator)
        return originator

    async def _connect(self, originator: str) -> None:
        try:
            limits = MqttLimits(payload_bytes=_NOTIFICATION_BYTES, readable_bytes=_NOTIFICATION_BYTES)
            binding = MqttBinding(self._url, originator, serve=self.router.serve, is_cse=False, limits=limits)
            await binding.start()
        except MqttStartError as error:
            raise Unreachable(str(error)) from error
        self._binding = binding

    async def adopt(self, originator: str) -> None:
        """Come back to the broker under the AE-ID the CSE has chosen.

        Raises:
            Unreachable: the broker does not take us back.
        """
        binding = self._binding
        if binding is not None and binding.entity_id != originator:
            self._binding = None
            await binding.stop()
            await self._connect(originator)

    async def request(self, request: Request, timeout_s: float) -> Response:
        """Send a request and return the answer.

        Raises:
            Unreachable: no broker, or nobody answered in ``timeout_s``.
        """
        if self._binding is None:
            raise Unreachable(f"not connected to {self._url}")
        send = Send(
            request,
            (self._url,),
            self._cse_id,
            exact_url=False,
            serialisation=self._serialisation,
            timeout_s=timeout_s,
        )
        return await self._binding.send(self._url, send)

    async def target(self, originator: str, token: str) -> str:
        """The notification URL: the topic on which this connection takes requests from the CSE."""
        broker = parse_url(self._public_url or self._url)
        # always JSON, which a CSE sends to a URL that does not ask for something else
        topic = Topic("req", to_topic_level(self._cse_id), to_topic_level(originator), "json")
        return f"{broker.address}/{topic.text(broker.prefix)}"

    async def close(self) -> None:
        """Disconnect."""
        if self._binding is not None:
            binding, self._binding = self._binding, None
            await binding.stop()


class WebSocketTransport:
    """Requests and notifications of one originator over one WebSocket, which is opened again when it is lost (TS-0020).

    Notifications need no listener and no address of our own, so this works behind NAT and firewalls. Their target is
    the AE itself: only a registered AE can subscribe.

    Args:
        url: of the CSE, ``ws(s)://host[:port][/path]``.
        cse_id: its CSE-ID.
        serialisation: ``json`` or ``cbor``.
        tls: verifies a ``wss`` CSE; None for the system's certificates.
    """

    farewells = False

    def __init__(
        self, url: str, *, cse_id: str = "/id-in", serialisation: str = "json", tls: ssl.SSLContext | None = None
    ) -> None:
        self.router = NotificationRouter()
        self._url, self._cse_id, self._serialisation, self._tls = url, cse_id, serialisation, tls
        self._binding: WebSocketBinding | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, originator: str) -> str:
        """Connect; an originator without AE-ID gets one when it registers.

        Raises:
            Unreachable: no connection.
            ValueError: another originator uses this connection.
        """
        if self._binding is not None:
            raise ValueError("over WebSocket each originator needs a transport of its own")
        limits = WebSocketLimits(message_bytes=_NOTIFICATION_BYTES)
        # What comes in over the connection to the own registrar comes from it, or through it.
        binding = WebSocketBinding(
            self.router.serve, originator, lenient=True, limits=limits, may_relay=lambda *_: True, tls=self._tls
        )
        await binding.open(self._url, self._cse_id, self._serialisation)
        self._binding = binding
        return originator

    async def adopt(self, originator: str) -> None:
        """Open the connection under this AE-ID when it has to be opened again."""
        if self._binding is not None:
            self._binding.rename(originator)

    async def request(self, request: Request, timeout_s: float) -> Response:
        """Send a request and return the answer.

        Raises:
            Unreachable: no connection, or nobody answered in ``timeout_s``.
        """
        if self._binding is None:
            raise Unreachable(f"not connected to {self._url}")
        send = Send(
            request,
            (self._url,),
            self._cse_id,
            exact_url=False,
            serialisation=self._serialisation,
            timeout_s=timeout_s,
        )
        return await self._binding.send(self._url, send)

    async def target(self, originator: str, token: str) -> str:
        """The notification target for a subscription: the AE, which is connected."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_open(), name=f"websocket of {originator}")
        return originator if originator.startswith("/") else f"{self._cse_id}/{originator}"

    async def close(self) -> None:
        """Close the connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self._binding is not None:
            binding, self._binding = self._binding, None
            await binding.close()

    async def _keep_open(self) -> None:
        """Open the connection again whenever it is lost, because notifications come over it."""
        tries = 0
        while self._binding is not None:
            try:
                link = await self._binding.open(self._url, self._cse_id, self._serialisation)
                tries = 0
                await link.ended.wait()
            except Unreachable:
                tries += 1
            await asyncio.sleep(_REOPEN_PAUSES_S[min(tries, len(_REOPEN_PAUSES_S) - 1)])


def _host_and_port(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"listen={listen!r}: give host:port, e.g. 127.0.0.1:0")
    return host.strip("[]"), int(port)
