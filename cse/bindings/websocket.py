"""The WebSocket binding of a CSE: connections others opened, and connections to others (TS-0020).

A server cannot open a connection, so whoever is connected is reached over the connection it opened: ``channel`` names
it, ``send`` takes that name like a URL. Nodes that listen themselves are connected to when something is to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from cse.bindings import websocket_codec as codec
from cse.bindings.media import JSON
from cse.bindings.outbound import Guard, Refused, pinned
from cse.bindings.websocket_connection import Upgrade, WebSocketConnection, WebSocketLimits
from cse.bindings.websocket_link import WebSocketLink, is_deletion
from cse.onem2m.addressing import shorten
from cse.onem2m.errors import CseError, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.ports import Send, Serve, Unreachable

#: scheme of the name of an open connection; never on the wire
CHANNEL = "open-ws"
#: pause between a deletion and the search for connections whose entity is no longer registered, in seconds
_SWEEP_S = 0.1
_CONNECT_S = 2.0


def _nobody(_entity: str) -> bool:
    return False


def _no_relay(_cse_id: str, _originator: str) -> bool:
    return False


class WebSocketBinding:
    """Both sides of the binding (ports ``Sender`` and ``websocket_link.Node``).

    Args:
        serve: executes requests.
        own_id: the own CSE-ID, or AE-ID of an application.
        lenient: dialects are understood and counted; a connection without X-M2M-Origin belongs to its first originator.
        sp_id: the own M2M-SP-ID, ``//...`` or "".
        limits: what a connection may cost.
        allowed_origins: pages that may open connections, besides those of this server.
        may_relay: whether a CSE may send for an originator that is not below it.
        is_registered: whether an entity is registered here.
        believe_originators: a name in a handshake need not be proved (insecure-dev).
        authenticate: gives the entity that the value of an Authorization header proves, "" for none.
        tls: verifies ``wss`` targets; None for the system's certificates.
        guard: decides where connections may go; None lets all pass.
    """

    def __init__(
        self,
        serve: Serve,
        own_id: str,
        *,
        lenient: bool,
        sp_id: str = "",
        limits: WebSocketLimits | None = None,
        allowed_origins: tuple[str, ...] = (),
        may_relay: Callable[[str, str], bool] = _no_relay,
        is_registered: Callable[[str], bool] = _nobody,
        believe_originators: bool = True,
        authenticate: Callable[[str], str] | None = None,
        tls: ssl.SSLContext | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.lenient = lenient
        #: dialects met since the start, by name
        self.dialects: Counter[str] = Counter()
        self._serve = serve
        self._own_id, self._sp_id = own_id, sp_id
        self._limits = limits or WebSocketLimits()
        self._allowed_origins = allowed_origins
        self._may_relay = may_relay
        self._is_registered = is_registered
        self._believe_originators = believe_originators
        self._authenticate = authenticate
        self._tls = tls
        self._guard = guard
        self._links: set[WebSocketLink] = set()
        self._by_entity: dict[str, list[WebSocketLink]] = {}
        self._outward: dict[str, WebSocketLink] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._stopping = False

    # --- the server's side --------------------------------------------------------------------------------------

    def accept(self, upgrade: Upgrade) -> WebSocketConnection:
        """The protocol for a connection whose HTTP request asks for a WebSocket; it answers the handshake."""
        offered = [name.strip() for name in upgrade.field("sec-websocket-protocol").split(",") if name.strip()]
        subprotocol = codec.choose_subprotocol(offered)
        entity = proven = ""
        refusal = (0, "")
        if self._stopping:
            refusal = (503, "this CSE is stopping: try again later")
        elif not codec.origin_allowed(upgrade.field("origin"), upgrade.field("host"), self._allowed_origins):
            refusal = (403, "pages of this origin may not connect: allow it with --cors-origin")
        elif not subprotocol and (offered or not self.lenient):
            refusal = (400, f"Sec-WebSocket-Protocol is {', '.join(offered)!r}: offer oneM2M.json or oneM2M.cbor")
        else:
            try:
                entity = codec.entity_of_handshake(upgrade.field("x-m2m-origin"), self._own_id, self._sp_id)
            except CseError as error:
                refusal = (403 if error.status is Status.ORIGINATOR_HAS_NOT_REGISTERED else 400, error.debug)
            try:
                proven = self._proven(upgrade)
            except CseError as error:
                proven, refusal = "", (401, error.debug)
            if proven:
                if entity and entity != proven:
                    refusal = (403, f"the credential is of {proven!r}: send that as X-M2M-Origin")
                entity = proven
            elif not self._believe_originators and not refusal[0]:
                # The holder of a name gets its notifications: a name alone is not enough.
                refusal = (401, "this CSE believes nobody who has not proved who it is: connect with credentials")
        if refusal[0]:
            return WebSocketConnection.accepted(upgrade, "", self._limits, None, refusal)
        if not subprotocol:
            self.note("no subprotocol")
        link = WebSocketLink(self, subprotocol, self._limits, peer_address=upgrade.peer_address)
        link.credential, link.by_token = proven, bool(proven) and not upgrade.credential
        if entity:
            self._bind(link, entity)
        link.connection = WebSocketConnection.accepted(upgrade, subprotocol, self._limits, link, refusal)
        return link.connection

    def _proven(self, upgrade: Upgrade) -> str:
        """The entity a handshake proves: by its certificate, its Authorization, or what browsers can send instead.

        Raises:
            CseError: the credential is worth nothing.
        """
        if upgrade.credential or self._authenticate is None:
            return upgrade.credential
        for name in upgrade.field("sec-websocket-protocol").split(","):
            if name.strip().startswith(codec.TOKEN_SUBPROTOCOL):
                return self._authenticate(f"Bearer {name.strip().removeprefix(codec.TOKEN_SUBPROTOCOL)}")
        authorization = upgrade.field("authorization")
        return self._authenticate(authorization) if authorization else ""

    def credentials_changed(self, holds: Callable[[str], bool]) -> None:
        """Close the connections of those whose credential was taken away.

        Args:
            holds: whether an entity still has one.
        """
        for link in list(self._links):
            if link.by_token and not holds(link.credential):
                link.close(codec.POLICY_VIOLATION, "the credential was removed")

    def channel(self, entity: str) -> str:
        """What ``send`` takes to reach an entity over a connection it opened; "" when it has none open."""
        return f"{CHANNEL}://{entity}" if self._newest(entity) is not None else ""

    def registrations_changed(self) -> None:
        """Something was deleted: close the connections of entities that are no longer registered, soon."""
        if self._by_entity and self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    # --- websocket_link.Node ------------------------------------------------------------------------------------

    def note(self, dialect: str) -> None:
        """Count a dialect."""
        self.dialects[dialect] += 1

    def admit(self, link: WebSocketLink, request: Request) -> None:
        """Check that the originator is who the connection belongs to.

        Raises:
            CseError: it is not.
        """
        if not link.entity:
            if link.outward:
                raise OriginatorHasNoPrivilege(
                    "this connection is for notifications: open one of your own for requests"
                )
            if self.lenient and request.originator not in codec.UNNAMED and not codec.registers(request):
                entity = codec.entity_of_handshake(request.originator, self._own_id, self._sp_id)
                self.note("connection named by its first request")
                self._bind(link, entity)
        if link.credential and request.originator in codec.UNNAMED and codec.registers(request):
            return  # the core gives it the name its credential is for
        if codec.identify(request, link.entity, self._own_id, self._sp_id):
            return
        if not self._may_relay(link.entity, request.originator):
            raise codec.mismatch(request, link.entity)

    async def serve(self, request: Request) -> Response:
        """Execute a request."""
        return await self._serve(request)

    def answered(self, link: WebSocketLink, request: Request, response: Response) -> None:
        """A registration that succeeded says who the connection belongs to."""
        if codec.registers(request) and response.status is Status.CREATED and not link.outward:
            if not link.entity and not link.why_gone:
                entity = codec.registered_entity(request, response, self._own_id, self._sp_id)
                if entity:
                    self._bind(link, entity)
            link.registered = bool(link.entity)

    def sent(self, link: WebSocketLink, request: Request, response: Response) -> None:
        """An entity that deregistered is let go."""
        if is_deletion(request, response):
            self._release_deregistered(link)

    def opened(self, link: WebSocketLink) -> None:
        """Count an open connection."""
        self._links.add(link)

    def gone(self, link: WebSocketLink, reason: str) -> None:
        """Forget a connection."""
        self._links.discard(link)
        siblings = self._by_entity.get(link.entity, [])
        if link in siblings:
            siblings.remove(link)
            if not siblings:
                del self._by_entity[link.entity]
        for url, known in list(self._outward.items()):
            if known is link:
                del self._outward[url]

    def _bind(self, link: WebSocketLink, entity: str) -> None:
        link.entity = entity
        link.registered = self._is_registered(entity)
        self._by_entity.setdefault(entity, []).append(link)

    def _newest(self, entity: str) -> WebSocketLink | None:
        own = shorten(entity, self._sp_id, self._own_id)
        return next((link for link in reversed(self._by_entity.get(own, ())) if link.is_open), None)

    def _sweep(self) -> None:
        self._sweep_timer = None
        for links in list(self._by_entity.values()):
            for link in list(links):
                self._release_deregistered(link)

    def _release_deregistered(self, link: WebSocketLink) -> None:
        if not link.entity or link.outward:
            return
        now = self._is_registered(link.entity)
        if link.registered and not now:
            link.close(codec.NORMAL, "deregistered")
        link.registered = now

    # --- the client's side (port Sender) ------------------------------------------------------------------------

    async def send(self, url: str, send: Send) -> Response:
        """Send a request over an open connection or to a node that listens, and give the answer.

        A bare URL owes no oneM2M answer: a notification that was taken and not answered counts as delivered.

        Raises:
            Unreachable: no connection, or no answer in ``send.timeout_s``.
        """
        scheme, _, rest = url.partition("://")
        if scheme == CHANNEL:
            link = None if url in send.urls else self._newest(rest)  # nobody may claim it as point of access
            if link is None:
                raise Unreachable(f"{rest} closed its WebSocket")
            return await link.ask(send.request, send.timeout_s)
        link = await self.open(url, send.receiver, send.serialisation, send.timeout_s)
        try:
            return await link.ask(send.request, send.timeout_s)
        except Unreachable:
            if send.receiver or not link.is_open or not send.exact_url or _wants_answer(send.request):
                raise
            return Response(Status.OK, send.request.request_id, release=send.request.release)

    async def close(self, grace_s: float = 1.0) -> None:
        """Let running requests finish, then close every connection (1001)."""
        self._stopping = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        links = self._links | set(self._outward.values())
        await asyncio.gather(*(link.finish(grace_s) for link in links), return_exceptions=True)

    async def open(
        self, url: str, receiver: str = "", serialisation: str = JSON, timeout_s: float = 5.0
    ) -> WebSocketLink:
        """The connection to a node that listens; it is opened when it is not open.

        Args:
            url: ``ws://host[:port][/path][?ct=json|cbor]`` or wss.
            receiver: who is there, "" when only the URL is known, whose owner may send nothing.
            serialisation: ``json`` or ``cbor``, unless the URL says it.
            timeout_s: how long to wait for a connection that somebody else opens at the moment.

        Raises:
            Unreachable: no connection.
        """
        target, serialisation = _split(url, serialisation)
        key = f"{target} {serialisation}"
        entity = shorten(receiver, self._sp_id, self._own_id) if receiver else ""
        link = self._outward.get(key)
        if link is None or (link.settled.is_set() and not link.is_open):
            link = self._outward[key] = WebSocketLink(
                self, codec.NAMES[serialisation], self._limits, entity=entity, outward=True
            )
            origin = "" if self._own_id in codec.UNNAMED else self._own_id
            try:
                await connect(
                    link, target, serialisation, self._limits, origin=origin, tls=self._tls, guard=self._guard
                )
            except BaseException:
                if self._outward.get(key) is link:
                    del self._outward[key]
                raise
        if not link.settled.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(link.settled.wait(), timeout_s)
        if not link.is_open:
            raise Unreachable(f"{_shown(target)}: {link.why_gone or 'no connection'}")
        link.entity = link.entity or entity
        return link

    def rename(self, own_id: str) -> None:
        """This node is called so from now on; open connections stay."""
        self._own_id = own_id


async def connect(
    link: WebSocketLink,
    url: str,
    serialisation: str,
    limits: WebSocketLimits,
    *,
    origin: str,
    tls: ssl.SSLContext | None,
    guard: Guard | None = None,
) -> None:
    """Connect a link to a URL; returns when it is open.

    Args:
        link: not connected yet; given its end when that comes.
        url: ``ws://host[:port][/path]`` or wss.
        serialisation: ``json`` or ``cbor``.
        limits: what the connection may cost.
        origin: who this side is, for X-M2M-Origin; "" before it is known.
        tls: verifies the server; None for the system's certificates.
        guard: decides where it may go; None lets it pass.

    Raises:
        Unreachable: no connection, or no WebSocket of oneM2M there.
    """
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError) as error:
        raise _failed(link, f"{_shown(url)} is no WebSocket URL: give ws://host[:port][/path]") from error
    headers = Headers({"X-M2M-Origin": origin} if origin else {})
    frames = ClientProtocol(uri, subprotocols=[cast(Any, codec.NAMES[serialisation])], max_size=limits.message_bytes)

    def protocol() -> WebSocketConnection:
        link.connection = WebSocketConnection.connecting(frames, headers, limits, link)
        return link.connection

    security = None if not uri.secure else (tls or ssl.create_default_context())
    try:
        async with asyncio.timeout(_CONNECT_S):
            address = await pinned(guard, uri.host, uri.port)
            await asyncio.get_running_loop().create_connection(
                protocol, address, uri.port, ssl=security, server_hostname=uri.host if security else None
            )
    except TimeoutError as error:
        raise _failed(link, f"{_shown(url)}: no connection in {_CONNECT_S:g} s") from error
    except ssl.SSLError as error:
        raise _failed(link, f"{_shown(url)}: the TLS certificate or handshake is refused ({error})") from error
    except Refused as error:
        raise _failed(link, f"{_shown(url)}: {error}") from error
    except OSError as error:
        raise _failed(
            link, f"{_shown(url)}: no connection ({os.strerror(error.errno) if error.errno else error})"
        ) from error
    try:
        async with asyncio.timeout(limits.handshake_s):
            await link.settled.wait()
    except TimeoutError as error:
        link.close(codec.NORMAL, "no handshake")
        raise Unreachable(f"{_shown(url)}: no answer to the handshake in {limits.handshake_s:g} s") from error
    if not link.is_open:
        raise Unreachable(f"{_shown(url)}: {link.why_gone or 'the connection was refused'}")


def _failed(link: WebSocketLink, reason: str) -> Unreachable:
    if not link.why_gone:
        link.closed(reason)
    return Unreachable(reason)


def _wants_answer(request: Request) -> bool:
    content = request.content if isinstance(request.content, dict) else {}
    notification = content.get("m2m:sgn")
    verification = isinstance(notification, dict) and notification.get("vrq") is True
    return request.operation is not Operation.NOTIFY or verification


def _split(url: str, default: str) -> tuple[str, str]:
    """A URL without ``ct``, and the serialisation to use there.

    Raises:
        Unreachable: ``ct`` names a serialisation this CSE does not write.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    serialisation = dict(query).get("ct", default)
    if serialisation not in codec.NAMES:
        raise Unreachable(f"{_shown(url)}: ct={serialisation!r} in a URL: use ct=json or ct=cbor")
    rest = urlencode([(name, value) for name, value in query if name != "ct"])
    return urlunsplit(parts._replace(query=rest, fragment="")), serialisation


def _shown(url: str) -> str:
    """A URL for a log: without user, password and query, which may hold secrets."""
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}".partition("?")[0]
