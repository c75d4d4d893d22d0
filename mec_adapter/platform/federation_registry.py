"""The MEC systems this one knows, itself among them, and who is told when one changes; pure [MEC 040]."""

import uuid
from dataclasses import dataclass, field

from mec_adapter.platform.config import PlatformConfig
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.events import Event
from mec_adapter.platform.pattern_subscriptions import PatternSubscriptions
from mec_adapter.platform.problems import Conflict, Forbidden, NotFound

SYSTEM = "mec_system"


@dataclass(frozen=True, slots=True)
class Peer:
    """Where the APIs of another platform are, and what its token endpoint wants to see; both from the operator."""

    api_root: str
    credentials: JsonObject | None = field(default=None, repr=False)


class Federation:
    """The known MEC systems: this one, and those registered; each one document {owner, info, endpoint, credentials}."""

    def __init__(self, documents: Documents, config: PlatformConfig) -> None:
        self._documents = documents
        self.subscriptions = PatternSubscriptions(documents, "system_subscription")
        self.own = {
            "systemId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:mec:system:{config.mec_host_id}")),
            "systemName": config.platform_name,
            "systemProvider": config.provider,
        }

    def systems(self) -> list[JsonObject]:
        """Return the SystemInfo of every known system, the own one first."""
        return [self.own, *(record["info"] for record in self._documents.every(SYSTEM))]

    def system(self, system_id: str) -> JsonObject:
        """Return one SystemInfo.

        Raises:
            NotFound: not known.
        """
        for info in self.systems():
            if info["systemId"] == system_id:
                return info
        raise NotFound(f"MEC system {system_id[:128]!r} is not known; GET system_info lists those that are")

    def peer(self, system_id: str) -> Peer:
        """Return how another system is reached.

        Raises:
            NotFound: not known, or nobody said where its APIs are.
        """
        self.system(system_id)
        record = self._documents.find(SYSTEM, system_id) or {}
        uris = (record.get("endpoint") or {}).get("uris")
        if not uris:
            raise NotFound(
                f"nobody said where the APIs of MEC system {system_id!r} are; PATCH its system_info with "
                'endpoint {"uris": ["http://..."]}'
            )
        return Peer(str(uris[0]).rstrip("/"), record.get("credentials"))

    def add(self, info: JsonObject, system_id: str, owner: str | None) -> list[Event]:
        """Register a system and return the notifications that follow."""
        info = {"systemId": system_id, **info}
        self._documents.keep(SYSTEM, system_id, {"owner": owner, "info": info})
        return self._updated(info)

    def add_peer(self, system_id: str, info: JsonObject, peer: Peer) -> list[Event]:
        """Make another system known, or replace what is known of it, and return the notifications that follow.

        Raises:
            Conflict: it is this platform itself.
        """
        if system_id == self.own["systemId"]:
            raise Conflict(
                f"{system_id!r} is the system of this platform itself; a peer needs another mec_host_id (--host-id)"
            )
        info = {"systemId": system_id, **info}
        before = self._documents.find(SYSTEM, system_id) or {}
        record = {"owner": None, "info": info, "endpoint": {"uris": [peer.api_root]}, "credentials": peer.credentials}
        self._documents.keep(SYSTEM, system_id, record)
        return self._updated(info) if before.get("info") != info else []

    def change(self, system_id: str, update: JsonObject, owner: str | None) -> tuple[JsonObject, list[Event]]:
        """Change a system; its endpoint is kept, but no part of SystemInfo.

        Returns:
            Its SystemInfo, and the notifications that follow.

        Raises:
            NotFound: not known.
            Forbidden: this platform itself, or registered by another client.
        """
        record = self._changeable(system_id, owner)
        info = {**record["info"], "systemName": update.get("systemName", record["info"]["systemName"])}
        changed = {**record, "info": info, "endpoint": update.get("endpoint", record.get("endpoint"))}
        self._documents.keep(SYSTEM, system_id, changed)
        return info, self._updated(info) if changed != record else []

    def drop(self, system_id: str, owner: str | None) -> None:
        """Forget a system.

        Raises:
            NotFound: not known.
            Forbidden: this platform itself, or registered by another client.
        """
        self._changeable(system_id, owner)
        self._documents.drop(SYSTEM, system_id)

    def tick(self, now: float) -> list[Event]:
        """Remove subscriptions whose time is over."""
        return self.subscriptions.tick(now)

    def next_deadline(self) -> float | None:
        """Return when the next subscription ends, in seconds since 1970."""
        return self.subscriptions.next_deadline()

    def _updated(self, info: JsonObject) -> list[Event]:
        body = {"notificationType": "SystemUpdateNotification", "updatedSystemInfo": [info]}
        return [
            self.subscriptions.notification(record, body)
            for record in self.subscriptions.every()
            if info["systemId"] in (record["body"].get("systemId") or (info["systemId"],))
        ]

    def _changeable(self, system_id: str, owner: str | None) -> JsonObject:
        self.system(system_id)
        record = self._documents.find(SYSTEM, system_id)
        if record is None:
            raise Forbidden("this is the system of the platform itself; its configuration says what it is")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"MEC system {system_id!r} is registered by another client")
        return record
