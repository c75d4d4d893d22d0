"""The client for code without ``async``: the same calls, made on an event loop in a thread of its own.

Example::

    with BlockingClient("http://127.0.0.1:8080", originator="Cmy-ae") as client:
        client.register("Nmy-app", "my-ae")
        client.create_container("-/my-ae", "data")
        client.post("-/my-ae/data", "21.5")
        with client.subscribe("-/my-ae/data") as subscription:
            for notification in subscription:
                print(notification.resource["con"])
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from cse.client.client import Client
from cse.client.notifications import Notification, Subscription
from cse.client.transports import Transport
from cse.client.watching import Watch

Result = TypeVar("Result")


class BlockingNotifications(Iterator[Notification]):
    """Notifications as an iterator that waits for the next one, and ends when no more can come.

    Args:
        source: where they come from, on the client's loop.
        client: whose loop that is.
    """

    def __init__(self, source: Subscription | Watch, client: BlockingClient) -> None:
        self._source, self._client = source, client

    def next(self, timeout_s: float | None = None) -> Notification | None:
        """The next notification; None when there will be none.

        Args:
            timeout_s: how long to wait; None waits for ever.

        Raises:
            TimeoutError: none came in that time.
            Unreachable: the connection that was watched over broke.
        """
        return self._client.run(self._next(timeout_s))

    async def _next(self, timeout_s: float | None) -> Notification | None:
        async with asyncio.timeout(timeout_s):
            return await anext(self._source, None)

    def __next__(self) -> Notification:
        found = self.next()
        if found is None:
            raise StopIteration
        return found

    def close(self) -> None:
        """End it, and delete the subscription at the CSE where there is one. Does nothing the second time."""
        self._client.run(self._source.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlockingSubscription(BlockingNotifications):
    """Notifications of one subscription."""

    def __init__(self, subscription: Subscription, client: BlockingClient) -> None:
        super().__init__(subscription, client)
        self._id = subscription.id

    @property
    def id(self) -> str:
        """Its resource-ID."""
        return self._id


class BlockingClient:
    """An originator at a CSE, for scripts and notebooks. Use it with ``with``; any thread may call it.

    The calls are those of ``Client``, with the same arguments, results and errors.

    Args:
        cse: URL of the CSE or of its broker; see ``Client``.
        cse_id: CSE-ID of the CSE; MQTT topics need it.
        originator: AE-ID or CSE-ID to send as.
        **options: more of ``Client``: ``release``, ``timeout_s``, ``listen``, ``public_url``, ``serialisation``.

    Raises:
        ValueError: the URL or an option makes no sense.
    """

    def __init__(self, cse: str | Transport, *, cse_id: str = "/id-in", originator: str = "", **options: Any) -> None:
        self._options: dict[str, Any] = {"cse_id": cse_id, "originator": originator, **options}
        self._cse = cse
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Client | None = None
        self._watches: list[Watch] = []

    # --- life ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Get ready to send; ``with`` does it.

        Raises:
            ValueError: the URL or an option makes no sense.
            Unreachable: the broker cannot be used. Over HTTP and CoAP nothing is sent yet.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="onemec client", daemon=True)
        self._thread.start()
        try:
            self._client = self.run(self._opened())
        except BaseException:
            self._end()
            raise

    async def _opened(self) -> Client:
        client = Client(self._cse, **self._options)
        await client.open()
        return client

    def close(self) -> None:
        """Delete the subscriptions that are left and let go of the connection. Does nothing the second time."""
        if self._client is None:
            return
        try:
            for watching in self._watches:
                self.run(watching.close())
            self.run(self._client.close())
        finally:
            self._client = None
            self._watches.clear()
            self._end()

    def _end(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the client's loop and return what it returns.

        Raises:
            RuntimeError: the client is not open.
        """
        if self._loop is None:
            work.close()
            raise RuntimeError("the client is not open: use it with 'with', or call open()")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: what was asked is not waited for any more
            raise

    def _at(self) -> Client:
        if self._client is None:
            raise RuntimeError("the client is not open: use it with 'with', or call open()")
        return self._client

    # --- calls --------------------------------------------------------------------------------------------------

    @property
    def originator(self) -> str:
        """The AE-ID or CSE-ID requests are sent as."""
        return self._at().originator

    def register(self, app_id: str, name: str | None = None, **attributes: Any) -> dict[str, Any]:
        """Register as an AE and return it; see ``Client.register``."""
        return self.run(self._at().register(app_id, name, **attributes))

    def deregister(self) -> None:
        """Delete the AE of this originator; see ``Client.deregister``."""
        self.run(self._at().deregister())

    def create(self, parent: str, type_or_root: int | str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Create a resource and return it; see ``Client.create``."""
        return self.run(self._at().create(parent, type_or_root, attributes))

    def create_container(self, parent: str, name: str | None = None, **attributes: Any) -> dict[str, Any]:
        """Create a container and return it; see ``Client.create_container``."""
        return self.run(self._at().create_container(parent, name, **attributes))

    def post(self, container: str, content: Any, **options: Any) -> dict[str, Any]:
        """Add a contentInstance and return it; see ``Client.post``."""
        return self.run(self._at().post(container, content, **options))

    def retrieve(self, to: str, **options: Any) -> dict[str, Any]:
        """Retrieve a resource; see ``Client.retrieve``."""
        return self.run(self._at().retrieve(to, **options))

    def latest(self, container: str) -> dict[str, Any]:
        """The newest contentInstance of a container; see ``Client.latest``."""
        return self.run(self._at().latest(container))

    def change(self, to: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change attributes of a resource and return it; see ``Client.change``."""
        return self.run(self._at().change(to, changes))

    def delete(self, to: str) -> None:
        """Delete a resource and all below it; see ``Client.delete``."""
        self.run(self._at().delete(to))

    def discover(self, root: str = "-", **criteria: Any) -> list[str]:
        """The addresses of resources that match; see ``Client.discover``."""
        return self.run(self._at().discover(root, **criteria))

    def subscribe(self, to: str, *, events: Sequence[int] = (3,), **options: Any) -> BlockingSubscription:
        """Subscribe to a resource; see ``Client.subscribe``."""
        return BlockingSubscription(self.run(self._at().subscribe(to, events=events, **options)), self)

    def watch(self, to: str) -> BlockingNotifications:
        """Watch a resource and its children over HTTP, without a subscription; see ``cse.client.watch``.

        Raises:
            ValueError: the client does not speak HTTP.
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        if not isinstance(self._cse, str) or not self._cse.startswith(("http://", "https://")):
            raise ValueError("only over HTTP a resource is watched without a subscription: use subscribe()")
        watching = self.run(Watch().begin(self._cse, to, self.originator))
        self._watches.append(watching)
        return BlockingNotifications(watching, self)

    def instances(self, parent: str, **options: Any) -> Iterator[dict[str, Any]]:
        """All instances below a container, oldest first, asked for in pages; see ``Client.instances``."""
        instances = self._at().instances(parent, **options)
        try:
            while (found := self.run(_next_of(instances))) is not None:
                yield found
        finally:
            self.run(instances.aclose())


async def _next_of(instances: AsyncIterator[dict[str, Any]]) -> dict[str, Any] | None:
    return await anext(instances, None)
