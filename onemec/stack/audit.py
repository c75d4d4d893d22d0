"""The comparison at the end of a check: devices, edge, cloud, MEC application, MEC platform, one by one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cse.client import Client, RequestFailed, Unreachable
from onemec.stack.observe import COMMANDS, Observer
from onemec.stack.parts import EDGE_ID, EDGE_NAME
from onemec.stack.trees import AE, Instance, Node, read_instances

#: resources read at the same time
_PARALLEL = 8
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was verified: in words, whether it holds, and figures or the reason."""

    what: str
    passed: bool
    words: str


@dataclass(slots=True)
class Row:
    """Figures of one binding."""

    binding: str
    devices: int = 0
    sent: int = 0
    acknowledged: int = 0
    edge: int = 0
    cloud: int = 0


@dataclass(slots=True)
class Verdict:
    """What came of a check: figures by binding, and what was verified."""

    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    def hold(self, what: str, wrong: list[str], right: str) -> None:
        """Note something verified: what is wrong with it (nothing, when it holds), and the words when it holds."""
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        self.findings.append(Finding(what, not wrong, "; ".join(wrong[:_SHOWN]) + more if wrong else right))

    def fail(self, what: str, reason: str) -> None:
        """Note a failure."""
        self.findings.append(Finding(what, False, reason))


class Audit:
    """Reads everything once the devices have stopped, and compares.

    Args:
        observer: how to ask.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._figures = observer.figures
        self._edge: dict[str, list[Instance]] = {}
        self._cloud: dict[str, list[Instance]] = {}

    # --- reading ---------------------------------------------------------------------------------------------------

    async def read_edge(self) -> None:
        """Read all instances of the devices' containers at the edge."""
        await self._observer.look_at_edge()
        paths = {node.path: node.path for node in self._figures.device_containers()}
        self._edge = await _read(self._observer.edge, paths)

    async def _read_cloud(self) -> None:
        """Read the cloud's copies, by the addresses of their originals."""
        await self._observer.look_at_cloud()
        copies = {_local(node.origin): node.path for node in self._figures.cloud or () if node.type != AE}
        self._cloud = await _read(self._observer.cloud, {path: copies[path] for path in self._edge if path in copies})

    def app_lacks(self) -> list[str]:
        """Instances that the MEC application should have received, but has not (yet)."""
        subscribed, received = set(self._figures.app_containers()), self._figures.received.instances
        return [
            f"{path}/{instance.name}"
            for path, instances in self._edge.items()
            if path in subscribed
            for instance in instances
            if (path, instance.name) not in received
        ]

    # --- comparing -------------------------------------------------------------------------------------------------

    async def verdict(self) -> Verdict:
        """Compare."""
        await asyncio.gather(self._observer.look_at_adapter(), self._observer.look_at_platform(), self._read_cloud())
        verdict = Verdict()
        self._devices(verdict)
        self._edge_has_all(verdict)
        self._cloud_has_all(verdict)
        self._app_has_all(verdict)
        self._services_active(verdict)
        self._apps_present(verdict)
        self._actuator_reacted(verdict)
        return verdict

    def _devices(self, verdict: Verdict) -> None:
        each = self._figures.devices.get("each", [])
        rows: dict[str, Row] = {}
        for device in each:
            row = rows.setdefault(device["binding"], Row(device["binding"]))
            path = self._container_of(device)
            row.devices += 1
            row.sent += device["sent"]
            row.acknowledged += device["acknowledged"]
            row.edge += len(self._edge.get(path, ()))
            row.cloud += len(self._cloud.get(path, ()))
        verdict.rows = [rows[binding] for binding in sorted(rows)]
        sent, acknowledged = sum(row.sent for row in verdict.rows), sum(row.acknowledged for row in verdict.rows)
        wrong = [
            f"{device['name']}: sent {device['sent']}, acknowledged {device['acknowledged']}, "
            f"dropped {device['dropped']} {device['last_error']}".rstrip()
            for device in each
            if device["sent"] != device["acknowledged"] or device["dropped"] or device["failed"]
        ]
        if not each:
            wrong = ["the devices printed no final figures: see logs/devices.log"]
        elif not acknowledged:
            wrong = ["the devices sent nothing"]
        verdict.hold("acknowledged = sent", wrong, f"{acknowledged} of {sent}, {len(each)} devices")

    def _container_of(self, device: dict[str, Any]) -> str:
        return next((path for path in self._edge if path.startswith(f"{EDGE_NAME}/{device['name']}/")), "")

    def _edge_has_all(self, verdict: Verdict) -> None:
        run = str(self._observer.config.run_id)
        wrong = []
        for device in self._figures.devices.get("each", []):
            own = [entry.name for entry in self._edge.get(self._container_of(device), ()) if entry.name.startswith(run)]
            if len(own) != device["acknowledged"]:
                wrong.append(f"{device['name']}: acknowledged {device['acknowledged']}, at the edge {len(own)}")
            elif own != sorted(own):
                wrong.append(f"{device['name']}: readings are out of order at the edge")
        total = sum(map(len, self._edge.values()))
        verdict.hold("edge = acknowledged", wrong or ([] if total else ["the edge is empty"]), f"{total} instances")

    def _cloud_has_all(self, verdict: Verdict) -> None:
        wrong = []
        for path, instances in self._edge.items():
            original = [(instance.name, instance.content) for instance in instances]
            copied = [(instance.origin_name, instance.content) for instance in self._cloud.get(path, ())]
            if len(original) != len(copied):
                wrong.append(f"{path}: edge {len(original)}, cloud {len(copied)}")
            elif original != copied:
                wrong.append(f"{path}: {_first_difference(original, copied)}")
        sync = (self._figures.adapter or {}).get("sync", {})
        if wrong and sync.get("trouble"):
            wrong.insert(0, str(sync["trouble"]))
        total = sum(map(len, self._cloud.values()))
        verdict.hold("cloud = edge", wrong, f"{total} instances in {len(self._edge)} containers, in order")

    def _app_has_all(self, verdict: Verdict) -> None:
        subscribed, received = self._figures.app_containers(), self._figures.received
        wrong = [f"{missing} was not received" for missing in self.app_lacks()]
        if not subscribed:
            wrong = [f"it has no subscription; it said: {received.said or 'nothing'}"]
        wrong += [f"it did not subscribe to {path}" for path in sorted(self._edge.keys() - set(subscribed))]
        verdict.hold("MEC app = edge", wrong, f"{received.count} instances, {len(subscribed)} subscriptions")

    def _services_active(self, verdict: Verdict) -> None:
        adapter, services = self._figures.adapter, self._figures.services
        if adapter is None or services is None:
            verdict.fail("services ACTIVE", f"the {'adapter' if adapter is None else 'platform'} does not answer")
            return
        states = {service.get("serInstanceId"): service.get("state") for service in services}
        own = {service["id"]: service["name"] for service in adapter["services"]}
        wrong = [
            f"{own[number]} is {states.get(number, 'missing')}" for number in own if states.get(number) != "ACTIVE"
        ]
        wrong += [f"{service['serName']} is {service['state']}" for service in services if service["state"] != "ACTIVE"]
        if not own:
            wrong = [f"the CSE has no service: {adapter['trouble'] or adapter['mp1']}"]
        verdict.hold("services ACTIVE", wrong, f"{len(own)} of the CSE, {len(services)} in all")

    def _apps_present(self, verdict: Verdict) -> None:
        flagged = [node for node in self._figures.edge or () if node.type == AE and "mec:expose" in node.labels]
        exposed = {_local(entry["ae"]): entry for entry in (self._figures.adapter or {}).get("exposed", [])}
        known = {app["appInstanceId"] for app in self._figures.apps or ()}
        wrong = []
        for node in flagged:
            entry = _entry_of(node, exposed)
            if entry is None or entry["app_instance_id"] not in known:
                wrong.append(f"{node.path} is no application instance")
            elif entry["state"] != "ACTIVE":
                wrong.append(f"{node.path} is {entry['phase']}, its service {entry['state']}")
        verdict.hold("AEs = app instances", wrong, f"{len(flagged)} exposed, {len(known)} instances in all")

    def _actuator_reacted(self, verdict: Verdict) -> None:
        for target, commands in self._figures.commands.items():
            path = f"{target.removesuffix(COMMANDS)}state"
            run = str(self._observer.config.run_id)
            states = sum(instance.name.startswith(run) for instance in self._edge.get(path, ()))
            wrong = (
                [] if states == commands + 1 else [f"{commands} commands, {states} states instead of {commands + 1}"]
            )
            verdict.hold("actuator obeys", wrong, f"{commands} commands, {commands} reactions")


async def _read(client: Client, paths: dict[str, str]) -> dict[str, list[Instance]]:
    """The instances of containers; one that cannot be read has none."""
    turn = asyncio.Semaphore(_PARALLEL)

    async def one(path: str) -> list[Instance]:
        async with turn:
            try:
                return await read_instances(client, path)
            except (RequestFailed, Unreachable):
                return []

    found = await asyncio.gather(*(one(path) for path in paths.values()))
    return dict(zip(paths, found, strict=True))


def _local(address: str) -> str:
    """An address at the edge without the CSE-ID in front."""
    return address.removeprefix(f"{EDGE_ID}/")


def _entry_of(node: Node, exposed: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """What the adapter says about an AE, whichever of its addresses it uses."""
    for address in (node.path, str(node.attributes.get("aei", "")), str(node.attributes.get("ri", ""))):
        if address in exposed:
            return exposed[address]
    return None


def _first_difference(original: list[tuple[str, Any]], copied: list[tuple[str, Any]]) -> str:
    place = next(number for number, pair in enumerate(zip(original, copied, strict=True)) if pair[0] != pair[1])
    return f"number {place + 1} is {original[place][0]} at the edge and {copied[place][0]} in the cloud"
