"""The hosting CSE: what outlives a request (TS-0001 clause 6.2)."""

from __future__ import annotations

from collections import OrderedDict

from cse.core.numbers import CSE_BASE
from cse.core.temporary_rules import TemporaryRules
from cse.core.timer_queue import TimerQueue
from cse.onem2m.errors import InternalServerError
from cse.ports import Env, Resource, Settings, Store
from cse.resources.registry import Registry

#: how many group request identifiers are remembered against loops
_REMEMBERED_GROUP_IDS = 10_000


class HostingCse:
    """One CSE: its settings, its types and its tree. Several may live in one process.

    Args:
        settings: who this CSE is.
        registry: the resource types it supports.
        store: where its tree is.
    """

    __slots__ = (
        "_group_ids",
        "announcing",
        "base_ri",
        "blocked",
        "in_transit",
        "registry",
        "retry_pauses",
        "settings",
        "store",
        "temporary",
        "timers",
        "unannounced",
        "watched",
    )

    def __init__(self, settings: Settings, registry: Registry, store: Store) -> None:
        self.settings = settings
        self.registry = registry
        self.store = store
        self.base_ri = settings.cse_id.lstrip("/")
        self._group_ids: OrderedDict[str, float] = OrderedDict()
        self.timers = TimerQueue()
        #: access granted for a while
        self.temporary = TemporaryRules()
        #: resource-IDs whose blocking update waits for a notification target to agree
        self.blocked: set[str] = set()
        #: resource-IDs whose changes the shell wants to hear of, besides what is subscribed to
        self.watched: set[str] = set()
        #: creations that may be asked for once more
        #: requests passed on and not answered yet: originator, request identifier, address
        self.in_transit: set[tuple[str, str, str]] = set()
        #: resources whose announced variants are being brought up to date just now
        self.announcing: set[str] = set()
        #: resources to announce when a CSE (by CSE-ID) can be reached, in order; found again at every start
        self.unannounced: dict[str, dict[str, None]] = {}
        #: by remoteCSE behind which some are, the pause before they are tried again, in seconds
        self.retry_pauses: dict[str, float] = {}

    def base(self) -> Resource:
        """The CSEBase.

        Raises:
            InternalServerError: the CSE was never set up (see ``setup.prepare``).
        """
        base = self.store.get(self.base_ri)
        if base is None or base.ty != CSE_BASE:
            raise InternalServerError("this CSE has no CSEBase: start it with onemec cse")
        return base

    def group_id_is_new(self, group_id: str, env: Env) -> bool:
        """Remember a group request identifier; False when it was seen before (TS-0001 clause 10.2.7.2)."""
        if group_id in self._group_ids:
            return False
        self._group_ids[group_id] = env.now
        while len(self._group_ids) > _REMEMBERED_GROUP_IDS:
            self._group_ids.popitem(last=False)
        return True
