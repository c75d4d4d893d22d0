"""The state of the platform as JSON documents by kind and key, with a journal of what changed; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One document written (`body` present) or removed (`body` None) since the journal was last taken."""

    kind: str
    key: str
    body: JsonObject | None


class Documents:
    """Documents held in memory; every write is journalled so that a store can follow.

    A document is never changed in place: whoever changes one keeps a new dictionary.
    """

    def __init__(self, loaded: Iterable[tuple[str, str, JsonObject]] = ()) -> None:
        self._kinds: dict[str, dict[str, JsonObject]] = {}
        self._journal: dict[tuple[str, str], Change] = {}
        for kind, key, body in loaded:
            self._kinds.setdefault(kind, {})[key] = body

    def find(self, kind: str, key: str) -> JsonObject | None:
        """Return the document, or None."""
        return self._kinds.get(kind, {}).get(key)

    def every(self, kind: str) -> list[JsonObject]:
        """Return all documents of a kind, oldest first."""
        return list(self._kinds.get(kind, {}).values())

    def count(self, kind: str) -> int:
        """Return how many documents of a kind there are."""
        return len(self._kinds.get(kind, {}))

    def keep(self, kind: str, key: str, body: JsonObject) -> None:
        """Create or replace a document."""
        self._kinds.setdefault(kind, {})[key] = body
        self._journal[(kind, key)] = Change(kind, key, body)

    def drop(self, kind: str, key: str) -> bool:
        """Remove a document and return whether it was there."""
        if self._kinds.get(kind, {}).pop(key, None) is None:
            return False
        self._journal[(kind, key)] = Change(kind, key, None)
        return True

    def take_changes(self) -> list[Change]:
        """Return the last state of every document changed since the last call, and begin a new journal."""
        changes = list(self._journal.values())
        self._journal.clear()
        return changes

    def put_back(self, changes: Iterable[Change]) -> None:
        """Return changes that could not be stored to the journal; newer ones of the same document win."""
        for change in changes:
            self._journal.setdefault((change.kind, change.key), change)
