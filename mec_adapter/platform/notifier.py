"""Outgoing callbacks: one ordered queue per subscription, retries with backoff, failures remembered."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

import aiohttp
import orjson

from mec_adapter.platform.config import NotificationPolicy
from mec_adapter.platform.events import Delivery, notification_type
from mec_adapter.platform.outbound import AddressRule, CallbackRefused, check_uri, guarded_session

_LOG = logging.getLogger(__name__)
_RETRY_STATUS = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """A notification that was given up: who should have had it, why not, and what it said."""

    subscriptionId: str
    callbackReference: str
    notificationType: str
    attempts: int
    reason: str
    seconds: int


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
            self.remember(queue.popleft(), 0, f"more than {self._policy.queue_length} notifications were waiting")
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
                return self.remember(delivery, attempt, str(refusal))
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
                    return self.remember(delivery, attempt, reason)
            if attempt < self._policy.attempts:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, self._policy.longest_pause_s)
        return self.remember(delivery, self._policy.attempts, reason)

    async def _post(self, delivery: Delivery) -> int:
        self.check(delivery.callback)
        if self._session is None:
            self._session = guarded_session(self._rule, self._policy.timeout_s)
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
        check_uri(callback, self._rule)

    def remember(self, delivery: Delivery, attempts: int, reason: str) -> None:
        """Put a notification that is given up on record."""
        kind = notification_type(delivery.body)
        failure = DeliveryFailure(
            delivery.subscription_id, delivery.callback, kind, attempts, reason, int(self._wall_clock())
        )
        self.failures.append(failure)
        _LOG.warning("notification to %s given up after %d attempts: %s", delivery.callback, attempts, reason)
