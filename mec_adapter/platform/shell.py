"""The running platform: drives the pure registries, gives them time and ids, stores changes, sends what follows."""

import asyncio
import hmac
import logging
import secrets
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Request
from starlette.requests import HTTPConnection

from cse.onem2m.addressing import is_loopback
from mec_adapter.platform.app_lcm_registry import AppStates
from mec_adapter.platform.authority import OPERATOR_SCOPE, Authority
from mec_adapter.platform.config import PlatformConfig
from mec_adapter.platform.device_app_registry import DeviceApps
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.events import Delivery, Event, SubscriptionEnded, Timed, deliveries
from mec_adapter.platform.federation_registry import Federation
from mec_adapter.platform.iot_registry import IotRegistry
from mec_adapter.platform.location_registry import LocationRegistry
from mec_adapter.platform.mobility_registry import MobilityRegistry
from mec_adapter.platform.notifier import Notifier
from mec_adapter.platform.outbound import CallbackRefused, address_rule
from mec_adapter.platform.peers import Peers
from mec_adapter.platform.problems import BadRequest, Forbidden, NotFound, Problem
from mec_adapter.platform.rate_limit import RateLimit
from mec_adapter.platform.registry import Registry
from mec_adapter.platform.socket_notifier import SocketNotifier
from mec_adapter.platform.storage import Store, open_store

_LOG = logging.getLogger(__name__)


class SteadyClock:
    """Seconds since 1970 that never step back: the wall clock at start plus monotonic time since then."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return self._offset + time.monotonic()


class Platform:
    """One embedded MEC platform between its routers and its pure registries.

    Args:
        config: checked configuration.
        clock: the time for everything but `/timing`; tests give their own and call `tick`.
    """

    def __init__(self, config: PlatformConfig, clock: Callable[[], float] | None = None) -> None:
        self.config = config
        self.clock = clock or SteadyClock()
        self.started_at = self.clock()
        self.max_body_bytes = config.max_body_bytes
        self._store: Store = open_store(config.store)
        self.documents = Documents(self._store.load())
        self.registry = Registry(self.documents, config.heartbeat)
        self.registry.services.restarted(self.started_at)
        self.authority = Authority(
            self.documents, config.mec_host_id, config.token_lifetime_s, lambda: secrets.token_urlsafe(32)
        )
        self.app_states = AppStates(self.documents)
        self.iot = IotRegistry(self.documents)
        self.federation = Federation(self.documents, config)
        self.mobility = MobilityRegistry(self.documents)
        self.device_apps = DeviceApps(self.documents)
        self.location = LocationRegistry(self.documents, config.zones)
        self._timed: tuple[Timed, ...] = (self.registry, self.mobility, self.location, self.federation)
        rule = address_rule(config.callback_networks, is_loopback(config.host))
        self.notifier = Notifier(config.notifications, rule, time.time)
        self.sockets = SocketNotifier(
            config.notifications.queue_length, lambda delivery, reason: self.notifier.remember(delivery, 0, reason)
        )
        self.peers = Peers(rule, config.notifications.timeout_s)
        self.rate = RateLimit(config.requests_per_s, config.request_burst)
        self.can_store = True
        self._writing = asyncio.Lock()
        self._pending: list[SubscriptionEnded | Delivery] = []
        self._woken = asyncio.Event()

    def env(self, request: Request | None = None) -> Env:
        """Return the moment a request is served in."""
        return Env(self.clock(), lambda: str(uuid.uuid4()), self.base_url(request))

    def base_url(self, request: Request | None = None) -> str:
        """Return scheme, host, port and prefix that links begin with: as configured, or as the client wrote them."""
        if self.config.public_url is not None:
            return self.config.public_url.rstrip("/") + self.config.prefix
        if request is not None:
            return str(request.base_url).rstrip("/")
        scheme = "https" if self.config.tls_certificate else "http"
        return f"{scheme}://{self.config.host}:{self.config.port}{self.config.prefix}"

    def transports(self, request: Request) -> list[JsonObject]:
        """Return the transports the platform offers to services [MEC 011 8.2.5]."""
        base_url = self.base_url(request)
        security: JsonObject = {}
        if not self.config.insecure_dev:
            token_endpoint = f"{base_url}/mep/v1/oauth2/token"
            security = {"oAuth2Info": {"grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"], "tokenEndpoint": token_endpoint}}
        found: list[JsonObject] = [
            {
                "id": "platform-rest",
                "name": f"{self.config.platform_name} REST",
                "description": "The REST transport of the MEC platform itself",
                "type": "REST_HTTP",
                "protocol": "HTTP",
                "version": "1.1",
                "endpoint": {"uris": [f"{base_url}/mec_service_mgmt/v1"]},
                "security": security,
            }
        ]
        if self.config.mqtt is not None:
            broker = self.config.mqtt
            found.append(
                {
                    "id": broker.transport_id,
                    "name": f"{self.config.platform_name} MQTT",
                    "description": "A message broker of the MEC platform",
                    "type": "MB_TOPIC_BASED",
                    "protocol": "MQTT",
                    "version": "3.1.1",
                    "endpoint": {"addresses": [{"host": broker.host, "port": broker.port}]},
                    "security": {},
                }
            )
        return found

    def admit(self, request: HTTPConnection, scope: str) -> None:
        """Let a request in, or raise the Problem that says why not.

        Args:
            request: what was asked; the client it belongs to is noted in its scope.
            scope: the API it is for; empty for what is open to all.

        Raises:
            Problem: 429 its sender asks too much, 401 no valid token, 403 not for this client.
        """
        sender = request.client.host if request.client else ""
        wait_s = self.rate.take(sender, self.clock())
        if wait_s > 0:
            raise Problem(
                429,
                f"more than {self.config.requests_per_s:g} requests per second; wait {wait_s:.1f} s",
                {"Retry-After": str(int(wait_s) + 1)},
            )
        if scope and not self.config.insecure_dev:
            self._authorize(request, scope)

    def _authorize(self, request: HTTPConnection, scope: str) -> None:
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not credential.strip():
            raise Problem(
                401, "an access token is needed; send Authorization: Bearer", {"WWW-Authenticate": 'Bearer realm="mep"'}
            )
        if self.is_operator(credential.strip()):
            if scope != OPERATOR_SCOPE:
                raise Forbidden(f"the operator's token opens /mep/v1 only; use that of a client with scope {scope}")
            return
        token = self.authority.check(credential.strip(), self.clock())
        app_id = request.path_params.get("appInstanceId")
        self.authority.allow(token, scope, self.documents.find("app", app_id) if app_id else None)
        request.scope["mec_client"] = token.client_id

    def is_operator(self, credential: str) -> bool:
        """Whether this is the token of the operator."""
        own = self.config.admin_token
        return own is not None and hmac.compare_digest(credential.encode(), own.encode())

    def client_of(self, request: HTTPConnection) -> str | None:
        """Return the client whose token the request carries, None when no tokens are asked for."""
        client: str | None = request.scope.get("mec_client")
        return client

    def check_callback(self, uri: str | None, attribute: str = "callbackReference") -> None:
        """Refuse a callback that could never be served.

        Args:
            uri: where the platform is to call; None when it is not to.
            attribute: what the request calls it.

        Raises:
            BadRequest: it leads to an address that callbacks may not go to.
        """
        if uri is None:
            return
        try:
            self.notifier.check(uri)
        except CallbackRefused as refusal:
            raise BadRequest(f"attribute {attribute}: {refusal}; send a URI that may be called") from None

    def socket_subscription(self, key: str) -> tuple[str, JsonObject]:
        """Return the subscription whose notifications go over the WebSocket of this key, with the scope it needs.

        Raises:
            NotFound: there is none, or it is over.
        """
        for scope, subscriptions in (("amsi", (self.mobility.subscriptions,)), ("location", self.location.every_kind)):
            for kind in subscriptions:
                if (record := kind.of_socket(key)) is not None:
                    return scope, record
        raise NotFound("no subscription has this WebSocket; its websockNotifConfig names the one it has")

    def wall_clock(self) -> float:
        """Return the time of day in seconds since 1970, as the machine believes it."""
        return time.time()

    def publish(self, events: Iterable[Event]) -> None:
        """Take events of a request; what follows from them goes out when `settle` has stored its changes."""
        events = list(events)
        self._pending += [event for event in events if isinstance(event, SubscriptionEnded)]
        self._pending += deliveries(events, self.documents)

    async def settle(self) -> None:
        """Store what changed, then hand out the notifications. Changes of waiting requests go in one transaction.

        Raises:
            Problem: 503 when nothing can be stored; the changes are tried again with the next request.
        """
        async with self._writing:
            changes = self.documents.take_changes()
            if changes:
                self._woken.set()
                self._pending += self.app_states.changed(changes, self.env())
                try:
                    await asyncio.to_thread(self._store.save, changes)
                    self.can_store = True
                except sqlite3.Error as error:
                    self.can_store = False
                    self.documents.put_back(changes)
                    _LOG.error("cannot store: %s", error)
                    raise Problem(
                        503, "the platform cannot store the change now; try again later", {"Retry-After": "5"}
                    ) from error
            pending, self._pending = self._pending, []
        for event in pending:
            if isinstance(event, SubscriptionEnded):
                self.notifier.forget(event.subscription_id)
                self.sockets.forget(event.subscription_id)
            elif event.callback.startswith("ws"):
                self.sockets.enqueue(event)
            else:
                self.notifier.enqueue(event)

    async def tick(self) -> None:
        """Do what time demands now, store and send what follows."""
        now = self.clock()
        for part in self._timed:
            self.publish(part.tick(now))
        await self.settle()

    async def run(self) -> None:
        """Tick whenever something is due, until cancelled."""
        while True:
            self._woken.clear()
            deadlines = [deadline for part in self._timed if (deadline := part.next_deadline()) is not None]
            wait_s = max(0.0, min(min(deadlines) - self.clock(), 60.0)) if deadlines else None
            try:
                await asyncio.wait_for(self._woken.wait(), wait_s)
            except TimeoutError:
                try:
                    await self.tick()
                except Problem:
                    await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Stop sending and store what is left."""
        self.sockets.close()
        await self.notifier.close()
        await self.peers.close()
        try:
            await self.settle()
        except Problem as problem:
            _LOG.error("state of the last moments is lost: %s", problem.detail)
        self._store.close()

    def summary(self) -> dict[str, Any]:
        """Return figures about the running platform."""
        return {
            "mecHostId": self.config.mec_host_id,
            "name": self.config.platform_name,
            "system": self.federation.own,
            "upForS": round(self.clock() - self.started_at, 1),
            "insecureDev": self.config.insecure_dev,
            "applications": self.documents.count("app"),
            "services": self.documents.count("service"),
            "notificationsDelivered": self.notifier.delivered + self.sockets.delivered,
            "notificationsWaiting": self.notifier.waiting() + self.sockets.waiting(),
            "notificationsFailed": len(self.notifier.failures),
        }
