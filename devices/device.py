"""A device: registers as an AE, makes its container, posts readings at a rate, and keeps them while the CSE is away.

A reading is sent until the CSE has answered, always under the same resourceName: when the answer to an earlier attempt
was lost, the CSE says CONFLICT and the reading is known to be there. Readings go out one at a time and in order.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from cse.client import Client, RequestFailed, Subscription, Transport, Unreachable
from cse.onem2m.status import Status
from devices.kind import BINDINGS, DeviceKind, as_json
from devices.outbox import DeviceReport, Outbox, Reading

_ACP, _COMMAND = 1, "command"
_KEPT_COMMANDS = 100
_BACKOFF_S = (0.2, 2.0)
_REFUSED_BACKOFF_S = 5.0
#: answers that say that the CSE has forgotten this device: it registers again
_FORGOTTEN = frozenset(
    {
        Status.NOT_FOUND,
        Status.ORIGINATOR_HAS_NO_PRIVILEGE,
        Status.ORIGINATOR_HAS_NOT_REGISTERED,
        Status.SECURITY_ASSOCIATION_REQUIRED,
    }
)
#: refusals that another attempt may overcome
_PASSING = frozenset(
    {
        Status.REQUEST_TIMEOUT,
        Status.INTERNAL_SERVER_ERROR,
        Status.TARGET_NOT_REACHABLE,
        Status.REMOTE_ENTITY_NOT_REACHABLE,
    }
)
#: acop bits (TS-0004 clause 6.3.4.2.29)
_CREATE, _READ, _ALL = 1, 2 | 32, 63


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One device.

    Attributes:
        name: resourceName of its AE; the AE-ID is a C and the name.
        kind: what it is.
        binding: ``http``, ``mqtt`` or ``coap``.
        run_id: unique to this run of this device: beginning of the names of its instances.
        seed: of its signal.
        rate_per_s: readings per second, for kinds with a signal.
        phase_s: how long after the start the first reading is taken, in seconds.
        expose: it becomes a MEC application instance (label ``mec:expose``).
        readers: AE-IDs (or ``all``) that may read its data and subscribe to it.
        commanders: AE-IDs (or ``all``) that may send it commands.
        labels: more labels of its AE.
        max_instances: most instances its container keeps (mni); None for no limit.
        buffer_size: most readings kept while the CSE is away.
        timeout_s: how long the CSE may take to answer.
        grace_s: how long it goes on to deliver what is left when it has to stop; an answer may take ``timeout_s`` more.
    """

    name: str
    kind: DeviceKind
    binding: str
    run_id: str
    seed: int = 0
    rate_per_s: float = 1.0
    phase_s: float = 0.0
    expose: bool = False
    readers: tuple[str, ...] = ()
    commanders: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    max_instances: int | None = None
    buffer_size: int = 1000
    timeout_s: float = 5.0
    grace_s: float = 3.0

    def __post_init__(self) -> None:
        if self.binding not in BINDINGS:
            raise ValueError(f"binding {self.binding!r}: choose one of {', '.join(BINDINGS)}")
        if not self.rate_per_s > 0:
            raise ValueError(f"rate {self.rate_per_s!r} per second: give more than 0")

    @property
    def originator(self) -> str:
        """Its AE-ID."""
        return f"C{self.name}"


class Device:
    """One simulated device.

    Args:
        config: what it is.
        transport: the way to the CSE; over HTTP and CoAP devices may share one.
    """

    def __init__(self, config: DeviceConfig, transport: Transport) -> None:
        self._config = config
        self._client = Client(transport, originator=config.originator, timeout_s=config.timeout_s)
        self._outbox = Outbox(config.run_id, config.buffer_size)
        self._state = "starting"
        self._sent = self._acknowledged = self._failed = 0
        self._last_error = ""
        self._home = f"-/{config.name}"
        self._commands: Subscription | None = None
        self._provisioning = asyncio.Lock()
        #: set when there is a new subscription, or none will come any more
        self._renewed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._given_up = asyncio.Event()
        self._delivering: asyncio.Task[None] | None = None
        self._forgotten = False
        self._condition = dict(config.kind.initial)

    def report(self) -> DeviceReport:
        """How far it is."""
        config = self._config
        return DeviceReport(
            config.name,
            config.kind.name,
            config.binding,
            self._state,
            self._sent,
            self._acknowledged,
            self._failed,
            self._outbox.dropped,
            len(self._outbox),
            self._last_error,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop``, then deliver what was taken and end."""
        starting = asyncio.create_task(self._start())
        watch = asyncio.create_task(self._watch(stop, starting))
        try:
            await asyncio.wait((starting,))
            if not starting.cancelled():
                starting.result()
                self._state = "running"
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._measure())
                    if self._config.kind.react is not None:
                        group.create_task(self._obey())
                    self._delivering = group.create_task(self._deliver_all())
        finally:
            watch.cancel()
            starting.cancel()
            self._outbox.drop_rest()
            await self._client.close()
            self._state = "stopped"

    async def _watch(self, stop: asyncio.Event, starting: asyncio.Task[None]) -> None:
        """When the device has to stop: end what can be ended; after ``grace_s`` begin nothing new.

        A request that is on its way then still gets its answer, so that what was sent is known to be there or not.
        """
        await stop.wait()
        self._stopping.set()
        starting.cancel()
        self._outbox.wake()
        self._renewed.set()
        if self._commands is not None:
            self._commands.end()
        await asyncio.sleep(self._config.grace_s)
        self._given_up.set()
        self._outbox.wake()
        await asyncio.sleep(self._config.timeout_s)
        if self._delivering is not None:
            self._delivering.cancel()

    # --- registration -------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Connect and register, as often as it takes."""
        opened, attempt = False, 0
        while True:
            attempt += 1
            try:
                if not opened:
                    await self._client.open()
                    opened = True
                await self._provision()
            except Unreachable as error:
                self._trouble("away", str(error))
                await asyncio.sleep(_backoff_s(attempt))
            except RequestFailed as error:
                self._trouble("refused", str(error))
                await asyncio.sleep(_REFUSED_BACKOFF_S)
            else:
                return

    async def _provision(self) -> None:
        """Register, let others read, make the containers; what is there already is kept.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        async with self._provisioning:
            linked = await self._register()
            await self._make_containers(linked)

    async def _register(self) -> dict[str, list[str]]:
        """The AE, and the policy of its readers; returns the acpi of what is below it."""
        config, client = self._config, self._client
        kind = config.kind
        labels = ["onemec:device", f"kind:{kind.name}", *kind.labels, *config.labels]
        if config.expose:
            labels.append("mec:expose")
        entity = await client.register(kind.app_id, config.name, labels=labels)
        self._home = f"-/{entity['rn']}"
        if not config.readers and not config.commanders:
            return {}
        linked = {"acpi": [await self._policy("readers", ())]}
        if entity.get("acpi") != linked["acpi"]:
            await client.update(self._home, "m2m:ae", linked, rcn=0)
        return linked

    async def _make_containers(self, linked: dict[str, list[str]]) -> None:
        """The containers of data and of commands, and the subscription to commands."""
        config, client = self._config, self._client
        limits = {} if config.max_instances is None else {"mni": config.max_instances}
        await client.create_container(self._home, config.kind.container, reuse=True, **linked, **limits)
        if config.kind.react is None:
            return
        if config.commanders:
            linked = {"acpi": [await self._policy("commanders", config.commanders)]}
        command = f"{self._home}/{_COMMAND}"
        await client.create_container(self._home, _COMMAND, reuse=True, mni=_KEPT_COMMANDS, **linked)
        previous = self._commands
        self._commands = await client.subscribe(command, types=[4], name="device", replace=True)
        self._renewed.set()
        if previous is not None:
            previous.end()

    async def _policy(self, name: str, commanders: tuple[str, ...]) -> str:
        """The resource-ID of a policy: all for this AE, reading for readers, new instances for commanders."""
        config = self._config
        rules: list[dict[str, object]] = [{"acor": [config.originator], "acop": _ALL}]
        if config.readers:
            readers = list(config.readers)
            rules.append({"acor": readers, "acop": _READ})
            rules.append({"acor": readers, "acop": _CREATE, "acod": [{"chty": [23]}]})
        if commanders:
            rules.append({"acor": list(commanders), "acop": _CREATE, "acod": [{"chty": [4]}]})
        own = {"acr": [{"acor": [config.originator], "acop": _ALL}]}
        try:
            policy = await self._client.create(self._home, _ACP, {"rn": name, "pv": {"acr": rules}, "pvs": own})
        except RequestFailed as error:
            if error.status is not Status.CONFLICT:
                raise
            changes = {"pv": {"acr": rules}}
            policy = await self._client.update(f"{self._home}/{name}", _ACP, changes)
        return str(policy["ri"])

    # --- what it does -------------------------------------------------------------------------------------------

    async def _measure(self) -> None:
        """Take a reading whenever one is due."""
        config, sample = self._config, self._config.kind.sample
        if sample is None:
            self._outbox.add(as_json(self._condition))
            return
        loop = asyncio.get_running_loop()
        start_s, count = loop.time() + config.phase_s, 0
        while not await _set_within(self._stopping, start_s + count / config.rate_per_s - loop.time()):
            self._outbox.add(sample(config.seed, count / config.rate_per_s))
            count += 1

    async def _obey(self) -> None:
        """Do what is asked for in the command container, and tell the new state."""
        react = self._config.kind.react
        assert react is not None
        attempt = 0
        while not self._stopping.is_set():
            commands = self._commands
            assert commands is not None  # made by the registration
            self._renewed.clear()
            async for notification in commands:
                attempt = 0
                try:
                    self._condition = react(self._condition, notification.resource.get("con"))
                    self._outbox.add(as_json(self._condition))
                except ValueError as error:
                    self._outbox.add(as_json({**self._condition, "error": str(error)}))
            if commands is self._commands and not self._stopping.is_set():
                # It ended at the CSE: either it is being replaced just now, or somebody deleted it.
                attempt += 1
                if not await _set_within(self._renewed, _backoff_s(attempt)):
                    await self._return("the subscription to commands was deleted")

    async def _deliver_all(self) -> None:
        """Send readings until the device stops and nothing is left."""
        while not self._given_up.is_set():
            reading = self._outbox.take()
            if reading is not None:
                await self._deliver(reading)
            elif self._stopping.is_set():
                return
            else:
                await self._outbox.wait()

    async def _deliver(self, reading: Reading) -> None:
        """Send one reading until the CSE has it, or refuses it for good."""
        self._sent += 1
        attempt, returned = 0, False
        try:
            while not await self._post(reading, first=attempt == 0, returned=returned):
                attempt += 1
                if self._forgotten:
                    returned = await self._return(self._last_error)
                if not returned and await _set_within(self._given_up, _backoff_s(attempt)):
                    self._failed += 1
                    return
        except (RequestFailed, asyncio.CancelledError) as error:
            self._failed += 1
            if isinstance(error, asyncio.CancelledError):
                raise
            self._last_error = str(error)
        else:
            self._acknowledged += 1
            self._state = "running"

    async def _post(self, reading: Reading, *, first: bool, returned: bool) -> bool:
        """Send a reading once; True when the CSE has it, False when it is worth another attempt.

        Args:
            reading: what to send.
            first: it was never sent before, so that a CONFLICT is somebody else's.
            returned: this device has just registered again, so that being unknown is no excuse any more.

        Raises:
            RequestFailed: the CSE will never take it.
        """
        kind = self._config.kind
        container = f"{self._home}/{kind.container}"
        self._forgotten = False
        try:
            await self._client.post(container, reading.content, name=reading.name, rcn=0, cnf=kind.content_info)
        except RequestFailed as error:
            if error.status is Status.CONFLICT and not first:
                return True
            self._forgotten = error.status in _FORGOTTEN and not returned
            if not self._forgotten and error.status not in _PASSING:
                raise
            self._trouble("refused", str(error))
            return False
        except Unreachable as error:
            self._trouble("away", str(error))
            return False
        return True

    async def _return(self, reason: str) -> bool:
        """The CSE does not know this device any more: make everything again. Whether that worked."""
        self._trouble("refused", reason)
        try:
            await self._provision()
        except (RequestFailed, Unreachable) as error:
            self._trouble("refused" if isinstance(error, RequestFailed) else "away", str(error))
            return False
        return True

    def _trouble(self, state: str, words: str) -> None:
        self._state, self._last_error = state, words


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event is set, now or within a time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _backoff_s(attempt: int) -> float:
    """How long to wait after a failed attempt: longer each time, and not the same for every device."""
    shortest, longest = _BACKOFF_S
    return min(longest, shortest * 2.0 ** min(attempt - 1, 16)) * random.uniform(0.7, 1.0)
