"""The bindings of one CSE: what listens, what sends, under which addresses, opened and closed in order."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from cse.bindings.coap import CoapLimits, CoapServer
from cse.bindings.coap_blockwise import BlockLimits
from cse.bindings.coap_client import CoapSender
from cse.bindings.http import HttpServer
from cse.bindings.http_browser import CrossOrigin
from cse.bindings.http_connections import HttpLimits
from cse.bindings.http_sender import LeanHttpSender
from cse.bindings.http_watch import SCHEME, Watches
from cse.bindings.late_sender import LateSender
from cse.bindings.mqtt import MqttBinding
from cse.bindings.mqtt_limits import MqttLimits
from cse.bindings.outbound import OutboundGuard
from cse.bindings.websocket import CHANNEL, WebSocketBinding
from cse.bindings.websocket_connection import WebSocketLimits
from cse.config import CseConfig, split_address
from cse.onem2m.primitives import Request, Response
from cse.ports import Cancellable, Done, Sender
from cse.security import Security

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})


class House(Protocol):
    """What the bindings lead to; ``cse.app.Cse`` is one."""

    def enter(self, request: Request) -> Awaitable[Response]:
        """Serve a request that came in."""
        ...

    def begin(self, request: Request, done: Done) -> Cancellable | None:
        """The same without a task (port ``Begin``)."""
        ...

    def begin_mqtt(self, request: Request, done: Done) -> Cancellable | None:
        """The same for a request over the broker."""
        ...

    def note(self, dialect: str) -> None:
        """Count a dialect that a codec mended."""
        ...

    def may_relay(self, cse_id: str, originator: str) -> bool:
        """Whether a CSE may send for an originator."""
        ...

    def is_registered(self, entity: str) -> bool:
        """Whether an AE or CSE is registered here."""
        ...

    def has(self, ri: str) -> bool:
        """Whether this CSE hosts the resource with this resource-ID."""
        ...


class Endpoints:
    """Where a CSE listens and over what it sends.

    Args:
        config: says which there are.
        house: serves what comes in.
        guard: decides where may be sent.
        front: an HTTP server that runs already, in place of one of its own.
    """

    def __init__(self, config: CseConfig, house: House, guard: OutboundGuard, front: HttpServer | None) -> None:
        self._config, self._house, self._guard = config, house, guard
        self._lenient = config.profile == "lenient"
        self._front = front
        self.http = front
        self.coap: CoapServer | None = None
        self.coaps: CoapServer | None = None
        self.mqtt: MqttBinding | None = None
        self.ws: WebSocketBinding | None = None
        self.watches: Watches | None = None

    def prepare(self, security: Security, watched: set[str]) -> dict[str, Sender]:
        """Make what sends; gives the senders by URL scheme. Nothing listens yet.

        Args:
            security: what is proved and asked for.
            watched: resource-IDs that are watched, for the core to look at.
        """
        config, house = self._config, self._house
        http_sender = LeanHttpSender(
            LateSender(partial(_http_sender, security.client_tls(), self._guard)), guard=self._guard
        )
        coap_sender = CoapSender(guard=self._guard)
        self.ws = WebSocketBinding(
            house.enter,
            config.id,
            lenient=self._lenient,
            sp_id=config.sp_id,
            limits=WebSocketLimits(message_bytes=config.max_body_bytes),
            allowed_origins=config.cors_origins,
            may_relay=house.may_relay,
            is_registered=house.is_registered,
            believe_originators=config.insecure_dev,
            authenticate=security.authenticate,
            tls=security.client_tls(),
            guard=self._guard,
        )
        self.watches = Watches(
            house.enter, watched, house.has, release=config.releases[-1], lenient=self._lenient, note=house.note
        )
        return {
            "http": http_sender,
            "https": http_sender,
            "coap": coap_sender,
            "coaps": coap_sender,
            "ws": self.ws,
            "wss": self.ws,
            CHANNEL: self.ws,
            SCHEME: self.watches,
        }

    async def open(self, security: Security, pages: Mapping[str, Any]) -> dict[str, Sender]:
        """Listen; gives the senders that came with it.

        Args:
            security: what is proved and asked for.
            pages: ASGI applications of the HTTP port, by path prefix.

        Raises:
            BindError: an address cannot be listened on (of HTTP or CoAP).
            MqttStartError: the broker cannot be used.
            SecurityError: a file cannot be used.
        """
        config, house = self._config, self._house
        if config.http and self._front is None:
            self.http = self._http_server(security, pages)
            await self.http.start()
        if config.coap:
            self.coap = self._coap_server(config.coap, security, secured=False)
            await self.coap.start()
        if config.coaps:
            self.coaps = self._coap_server(config.coaps, security, secured=True)
            await self.coaps.start()
        if not config.mqtt:
            return {}
        self.mqtt = MqttBinding(
            config.mqtt,
            config.id,
            serve=house.enter,
            begin=house.begin_mqtt,
            lenient=self._lenient,
            cse_name=config.name,
            limits=MqttLimits(payload_bytes=config.max_body_bytes, readable_bytes=4 * config.max_body_bytes),
            sp_id=config.sp_id,
            may_relay=house.may_relay,
            guard=self._guard.address,
            broker_authenticates=config.mqtt_acl,
            tls=security.mqtt_tls(),
        )
        await self.mqtt.start()
        return {"mqtt": self.mqtt, "mqtts": self.mqtt}

    def _http_server(self, security: Security, pages: Mapping[str, Any]) -> HttpServer:
        config, house = self._config, self._house
        host, port = split_address(config.http)
        return HttpServer(
            house.enter,
            host,
            port,
            limits=HttpLimits(body_bytes=config.max_body_bytes),
            lenient=self._lenient,
            mounts=pages,
            tls=security.server_tls(),
            accept_upgrade=self.ws.accept if self.ws is not None and config.ws else None,
            cross_origin=CrossOrigin(config.cors_origins) if config.cors_origins else None,
            watches=self.watches,
            authenticate=security.authenticate,
            read_certificate=security.entity_of_certificate if config.tls_ca else None,
            note=house.note,
            begin=house.begin,
        )

    def _coap_server(self, address: str, security: Security, *, secured: bool) -> CoapServer:
        house = self._house
        host, port = split_address(address)
        return CoapServer(
            house.enter,
            host,
            port,
            limits=CoapLimits(blocks=BlockLimits(body_bytes=self._config.max_body_bytes)),
            lenient=self._lenient,
            dtls=security.dtls() if secured else None,
            note=house.note,
            begin=house.begin,
        )

    async def close(self, deadline_s: float) -> None:
        """Take nothing more, finish what was taken.

        Args:
            deadline_s: when it should be over, on the clock of ``time.monotonic``.
        """
        for server in (self.mqtt, self.coap, self.coaps):
            if server is not None:
                await server.stop()
        if self.watches is not None:
            await self.watches.close()
        if self.ws is not None:
            await self.ws.close(max(0.2, min(2.0, deadline_s - time.monotonic())))
        if self.http is not None and self._front is None:
            await self.http.stop(grace_s=max(0.5, (deadline_s - time.monotonic()) / 2))

    def listening(self) -> list[tuple[str, int]]:
        """Host and port of everything that listens."""
        return [server.listening for server in (self.http, self.coap, self.coaps) if server is not None]

    def addresses(self) -> dict[str, str]:
        """Where the CSE can be reached, by binding: URLs with the ports they really have."""
        found = {}
        if self.http is not None:
            found["http"] = self.http.url
            if self._config.ws:
                found["ws"] = self.http.url.replace("http", "ws", 1)
        if self.mqtt is not None:
            found["mqtt"] = _without_secrets(self._config.mqtt)
        if self.coap is not None:
            found["coap"] = self.coap.url
        if self.coaps is not None:
            found["coaps"] = self.coaps.url
        return found

    def points_of_access(self) -> tuple[str, ...]:
        """The same as others can use them, for ``poa``."""
        return tuple(_reachable(url) for url in self.addresses().values())

    def dialects(self) -> Counter[str]:
        """How often each dialect was met by the bindings that count their own."""
        uses: Counter[str] = Counter()
        if self.mqtt is not None:
            uses.update(self.mqtt.counters.dialects)
        if self.ws is not None:
            uses.update(self.ws.dialects)
        return uses


def _http_sender(tls: ssl.SSLContext | None, guard: OutboundGuard) -> Sender:
    from cse.bindings.http_client import HttpSender

    return HttpSender(tls=tls, guard=guard)


def _reachable(url: str) -> str:
    """A listening URL as others can use it: a wildcard address becomes the loopback one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in _WILDCARDS:
        return url
    return urlunsplit(parts._replace(netloc=f"127.0.0.1:{parts.port}"))


def _without_secrets(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


__all__ = ["Endpoints", "House"]
