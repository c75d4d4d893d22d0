"""Outgoing callbacks: one ordered queue per subscription, retries with backoff, failures remembered."""

import asyncio
import ipaddress
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from mec_adapter.platform.config import NotificationPolicy
from mec_adapter.platform.events import Delivery

_LOG = logging.getLogger(__name__)
_RETRY_STATUS = frozenset({408, 425, 429})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressRule = Callable[[Address], bool]


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """A notification that was given up: who should have had it, why not, and what it said."""

    subscriptionId: str
    callbackReference: str
    notificationType: str
    attempts: int
    reason: str
    seconds: int


class CallbackRefused(Exception):
    """The callback leads to an address that notifications may not go to."""


def address_rule(networks: Sequence[str], loopback: bool) -> AddressRule:
    """Return which addresses callbacks may go to.

    Args:
        networks: allowed networks; empty allows every unicast address that is not link-local.
        loopback: whether loopback is allowed when no networks are given.
    """
    allowed = [ipaddress.ip_network(network) for network in networks]

    def permits(address: Address) -> bool:
        plain: Address = address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            plain = address.ipv4_mapped
        if allowed:
            return any(plain in network for network in allowed if network.version == plain.version)
        if plain.is_multicast or plain.is_unspecified or plain.is_link_local or plain.is_reserved:
            return False
        return loopback or not plain.is_loopback

    return permits


class _GuardedResolver(AbstractResolver):
    """Resolves names, and returns only addresses that the rule permits; the connection then uses exactly these."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results = [
            ResolveResult(hostname=host, host=str(where[0]), port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, where in found
            if self._rule(ipaddress.ip_address(str(where[0]).partition("%")[0]))
        ]
        if not results:
            raise OSError(None, f"{host} has no address that callbacks may go to (callback_networks)")
        return results

    async def close(self) -> None:
        """Nothing is held."""


class Notifier:
    """Delivers notifications; a slow or dead subscriber delays only itself.

    2xx is delivered. Connection errors, timeouts, 5xx, 408, 425 and 429 are tried again after growing pauses;
    any other answer is final. What could not be delivered is kept in `failures`.
    """

    def __init__(self, policy: NotificationPolicy, rule: AddressRule, wall_clock: Callable[[], float]) -> None:
        self._policy = policy
        self._rule = rule
        self._wall_clock = wall_clock
        self._queues: dict[str, deque[Delivery]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self.failures: deque[DeliveryFailure] = deque(maxlen=policy.failures_kept)
        self.delivered = 0

    def enqueue(self, delivery: Delivery) -> None:
        """Put a notification behind those of its subscription; returns at once."""
        queue = self._queues.setdefault(delivery.subscription_id, deque())
        if len(queue) >= self._policy.queue_length:
            self._remember(queue.popleft(), 0, f"more than {self._policy.queue_length} notifications were waiting")
        queue.append(delivery)
        if delivery.subscription_id not in self._workers:
            task = asyncio.get_running_loop().create_task(self._work(delivery.subscription_id))
            self._workers[delivery.subscription_id] = task

    def forget(self, subscription_id: str) -> None:
        """Send nothing more for a subscription."""
        self._queues.pop(subscription_id, None)
        worker = self._workers.pop(subscription_id, None)
        if worker is not None and worker is not asyncio.current_task():
            worker.cancel()

    def waiting(self) -> int:
        """Return how many notifications wait to be sent or to be sent again."""
        return sum(len(queue) for queue in self._queues.values())

    def failure_list(self) -> list[dict[str, object]]:
        """Return the failures, newest first."""
        return [asdict(failure) for failure in reversed(self.failures)]

    async def close(self) -> None:
        """Stop all deliveries and release the connections."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._workers.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _work(self, subscription_id: str) -> None:
        queue = self._queues[subscription_id]
        try:
            while queue:
                await self._deliver(queue.popleft())
        finally:
            if self._queues.get(subscription_id) is queue:
                del self._queues[subscription_id]
                self._workers.pop(subscription_id, None)

    async def _deliver(self, delivery: Delivery) -> None:
        reason = ""
        pause_s = self._policy.first_pause_s
        for attempt in range(1, self._policy.attempts + 1):
            try:
                status = await self._post(delivery)
            except CallbackRefused as refusal:
                return self._remember(delivery, attempt, str(refusal))
            except TimeoutError:
                reason = f"no answer within {self._policy.timeout_s} s"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"[:200]
            else:
                if 200 <= status < 300:
                    self.delivered += 1
                    return None
                reason = f"the subscriber answered {status}"
                if status < 500 and status not in _RETRY_STATUS:
                    return self._remember(delivery, attempt, reason)
            if attempt < self._policy.attempts:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._policy.longest_pause_s)
        return self._remember(delivery, self._policy.attempts, reason)

    async def _post(self, delivery: Delivery) -> int:
        self.check(delivery.callback)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=_GuardedResolver(self._rule), limit=64, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=self._policy.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        async with self._session.post(
            delivery.callback,
            data=orjson.dumps(delivery.body),
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            return response.status

    def check(self, callback: str) -> None:
        """Refuse literal addresses that the rule forbids; names are checked when they are resolved.

        Raises:
            CallbackRefused: the URI leads where callbacks may not go.
        """
        host = urlsplit(callback).hostname or ""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return
        if not self._rule(address):
            raise CallbackRefused(f"callbacks may not go to {host} (callback_networks)")

    def _remember(self, delivery: Delivery, attempts: int, reason: str) -> None:
        kind = str(delivery.body.get("notificationType", ""))
        failure = DeliveryFailure(
            delivery.subscription_id, delivery.callback, kind, attempts, reason, int(self._wall_clock())
        )
        self.failures.append(failure)
        _LOG.warning("notification to %s given up after %d attempts: %s", delivery.callback, attempts, reason)
