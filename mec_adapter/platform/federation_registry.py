"""The MEC systems this one knows, itself among them; pure [MEC 040]."""

import uuid

from mec_adapter.platform.config import PlatformConfig
from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.problems import Forbidden, NotFound

SYSTEM = "mec_system"


class Federation:
    """The known MEC systems: this one, and those registered."""

    def __init__(self, documents: Documents, config: PlatformConfig) -> None:
        self._documents = documents
        self._own = {
            "systemId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:mec:system:{config.mec_host_id}")),
            "systemName": config.platform_name,
            "systemProvider": config.provider,
        }

    def systems(self) -> list[JsonObject]:
        """Return the SystemInfo of every known system, the own one first."""
        return [self._own, *(record["info"] for record in self._documents.every(SYSTEM))]

    def system(self, system_id: str) -> JsonObject:
        """Return one SystemInfo.

        Raises:
            NotFound: not known.
        """
        for info in self.systems():
            if info["systemId"] == system_id:
                return info
        raise NotFound(f"MEC system {system_id[:128]!r} is not known; GET system_info lists those that are")

    def add(self, info: JsonObject, system_id: str, owner: str | None) -> JsonObject:
        """Register a system and return its SystemInfo."""
        info = {"systemId": system_id, **info}
        self._documents.keep(SYSTEM, system_id, {"owner": owner, "info": info})
        return info

    def change(self, system_id: str, update: JsonObject, owner: str | None) -> JsonObject:
        """Change a system; its endpoint is kept, but no part of SystemInfo.

        Raises:
            NotFound: not known.
            Forbidden: this platform itself, or registered by another client.
        """
        record = self._changeable(system_id, owner)
        info = {**record["info"], "systemName": update.get("systemName", record["info"]["systemName"])}
        endpoint = update.get("endpoint", record.get("endpoint"))
        self._documents.keep(SYSTEM, system_id, {**record, "info": info, "endpoint": endpoint})
        return info

    def drop(self, system_id: str, owner: str | None) -> None:
        """Forget a system.

        Raises:
            NotFound: not known.
            Forbidden: this platform itself, or registered by another client.
        """
        self._changeable(system_id, owner)
        self._documents.drop(SYSTEM, system_id)

    def _changeable(self, system_id: str, owner: str | None) -> JsonObject:
        self.system(system_id)
        record = self._documents.find(SYSTEM, system_id)
        if record is None:
            raise Forbidden("this is the system of the platform itself; its configuration says what it is")
        if owner is not None and record["owner"] != owner:
            raise Forbidden(f"MEC system {system_id!r} is registered by another client")
        return record
