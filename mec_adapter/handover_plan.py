"""What an AE's move to another edge CSE consists of: pure functions from what the source holds to what is created.

Facts (TS-0001 clauses 9.6.2 to 9.6.8): what the CSE assigns is not carried, names and AE-IDs are; identifiers
that only mean something at the source become SP-relative, so that they keep naming the same entity.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ACP, AE, CONTAINER, CONTENT_INSTANCE, CSE_BASE, SUBSCRIPTION = 1, 2, 3, 4, 5, 23
#: what a move carries over
CARRIED = frozenset({ACP, AE, CONTAINER, CONTENT_INSTANCE, SUBSCRIPTION})

FENCE = "handover-fence"
#: label of a fence: what the acpi of a container was, ``handover:acpi:<path below the AE>=<id>+<id>``
_WAS = "handover:acpi:"
ASSOCIATE_LABEL = "mec:associate="

#: assigned by the CSE, or bound to the source (announcements, node link, statistics)
_NOT_CARRIED = frozenset(
    {"ri", "pi", "ty", "ct", "lt", "st", "cs", "aei", "cni", "cbs", "nsi", "cr", "at", "aa", "ast", "nl", "ch"}
    | {"acpi", "la", "ol", "regs", "trps"}
)
#: RETRIEVE, NOTIFY and DISCOVERY of acop (TS-0004 clause 6.3.4.2.29)
_LOOK = 2 | 16 | 32
_EVERYTHING = 63

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator may choose.

    Attributes:
        concurrency: AEs that are prepared, or removed at the source, at the same time.
        switching: AEs that no CSE serves at the same time; more make each of them wait longer.
        drain_s: how long the source may take to deliver its last notifications before the AE is removed there.
        leave_others: whether resources that cannot be carried over may be lost; else such an AE is not moved.
        tell: container of the AE that gets an instance naming the new CSE, "" for none.
    """

    concurrency: int = 4
    switching: int = 1
    drain_s: float = 5.0
    leave_others: bool = False
    tell: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A resource below the AE.

    Attributes:
        parent: path of its parent below the AE, "" for the AE itself.
        attributes: by short names.
    """

    parent: str
    attributes: Mapping[str, Any]

    @property
    def path(self) -> str:
        """Its own path below the AE."""
        name = str(self.attributes["rn"])
        return f"{self.parent}/{name}" if self.parent else name


@dataclass(frozen=True, slots=True)
class Tree:
    """What a CSE holds for one AE.

    Attributes:
        ae: its attributes.
        policies: accessControlPolicies its resources name, by resource-ID; those below the AE and others.
        containers: parents before children.
        subscriptions: to the AE and its containers.
        acpi: the policies of containers by their path, as they were before any fence.
    """

    ae: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]]
    containers: tuple[Node, ...]
    subscriptions: tuple[Node, ...]
    acpi: Mapping[str, tuple[str, ...]]

    @property
    def ae_id(self) -> str:
        """The stem of the AE-ID."""
        return str(self.ae.get("aei") or self.ae["ri"]).rpartition("/")[2]

    @property
    def name(self) -> str:
        """The resourceName of the AE."""
        return str(self.ae["rn"])


def tree_of(
    ae: Mapping[str, Any],
    policies: Iterable[Mapping[str, Any]],
    containers: Sequence[Node],
    subscriptions: Sequence[Node],
) -> Tree:
    """The tree as it is without a fence that an earlier, broken-off move may have left.

    Args:
        ae: attributes of the AE.
        policies: its accessControlPolicies, and others its resources name.
        containers: parents before children.
        subscriptions: to any of them.
    """
    kept, was = {}, {}
    for policy in policies:
        if policy.get("rn") == FENCE:
            was = _before_fence(policy.get("lbl") or ())
        else:
            kept[str(policy["ri"])] = policy
    acpi = {node.path: was.get(node.path, tuple(node.attributes.get("acpi") or ())) for node in containers}
    acpi[""] = tuple(ae.get("acpi") or ())
    return Tree(ae, kept, tuple(containers), tuple(subscriptions), acpi)


def _before_fence(labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    entries = (label[len(_WAS) :].rpartition("=") for label in labels if label.startswith(_WAS))
    return {path: tuple(one for one in policies.split("+") if one) for path, _, policies in entries}


def foreign(entity: str, ae_id: str, source: str) -> str:
    """An entity identifier of the source as the target has to write it, to mean the same entity.

    Args:
        entity: AE-ID, CSE-ID, URL, ``all``, or a pattern.
        ae_id: the AE that moves, which keeps its identifier.
        source: CSE-ID of the source.
    """
    if entity[:1] != "C" or entity == ae_id or len(entity) < 2 or "*" in entity or "@" in entity or ":" in entity:
        return entity
    return f"{source}/{entity}"


def _body(attributes: Mapping[str, Any]) -> JsonObject:
    return {name: value for name, value in attributes.items() if name not in _NOT_CARRIED and value is not None}


def ae_body(tree: Tree) -> JsonObject:
    """The AE to create at the target; its policies follow when they exist there."""
    return _body(tree.ae)


def policy_body(policy: Mapping[str, Any], ae_id: str, source: str, taken: Iterable[str]) -> JsonObject:
    """An accessControlPolicy to create below the AE at the target.

    Args:
        policy: its attributes.
        ae_id: the AE that moves.
        source: CSE-ID of the source.
        taken: names that other policies have already; one from elsewhere may have to give way.
    """
    body = _body(policy)
    for key in ("pv", "pvs"):
        rules = (policy.get(key) or {}).get("acr") or []
        named = [{**rule, "acor": [foreign(one, ae_id, source) for one in rule.get("acor", ())]} for rule in rules]
        body[key] = {"acr": named} if rules else {}
    name, used = str(policy["rn"]), set(taken)
    while name in used:
        name += "-"
    body["rn"] = name
    return body


def container_body(node: Node, acpi: Sequence[str]) -> JsonObject:
    """A container to create at the target.

    Args:
        node: the container.
        acpi: its policies at the target.
    """
    body = _body(node.attributes)
    if acpi:
        body["acpi"] = list(acpi)
    return body


def subscription_body(node: Node, ae_id: str, source: str, acpi: Sequence[str]) -> JsonObject:
    """A subscription to create at the target, with the same notification targets.

    Args:
        node: the subscription.
        ae_id: the AE that moves.
        source: CSE-ID of the source.
        acpi: its policies at the target.
    """
    body = _body(node.attributes)
    body["nu"] = [foreign(target, ae_id, source) for target in node.attributes.get("nu") or ()]
    if "su" in body:
        body["su"] = foreign(str(body["su"]), ae_id, source)
    if acpi:
        body["acpi"] = list(acpi)
    return body


def instance_body(instance: Mapping[str, Any]) -> JsonObject:
    """A contentInstance to create at the target, under its own name."""
    return _body(instance)


def in_order(instances: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Instances oldest first."""
    return sorted(instances, key=lambda one: (str(one.get("ct", "")), one.get("st") or 0))


def fence_body(tree: Tree, operator: str) -> JsonObject:
    """A policy under which nobody but the operator changes anything and everybody sees what they saw before.

    Args:
        tree: of the AE at the source.
        operator: who carries out the move.
    """
    used = {identifier for policies in tree.acpi.values() for identifier in policies}
    looking = [
        {**rule, "acop": rule.get("acop", 0) & _LOOK}
        for ri, policy in tree.policies.items()
        if ri in used
        for rule in (policy.get("pv") or {}).get("acr") or ()
        if rule.get("acop", 0) & _LOOK
    ]
    own = {"acor": [operator], "acop": _EVERYTHING}
    labels = [f"{_WAS}{path}={'+'.join(policies)}" for path, policies in tree.acpi.items() if path]
    return {
        "rn": FENCE,
        "lbl": labels,
        "pv": {"acr": [*looking, {"acor": [tree.ae_id], "acop": _LOOK}, own]},
        "pvs": {"acr": [own]},
    }


def undelivered(subscription: Mapping[str, Any]) -> int:
    """Notifications of a subscription that were sent and not answered yet (notificationStatsInfo)."""
    rows = subscription.get("nsi") or ()
    return sum(max(0, int(row.get("rqs", 0)) - int(row.get("rsr", 0))) for row in rows)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of the values (0 to 1) do not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(round(len(ordered) * share, 9)) - 1)] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one AE's move went.

    Attributes:
        ae_id: which AE.
        attach_s: from the fence at the source until the target serves the AE, in seconds.
        copied: instances carried over, those of the last moment included.
        late: instances that came between the copy and the fence.
        undelivered: notifications of the source that nobody had answered when it was removed.
        replaced: whether an older registration at the target gave way.
        trouble: why it stayed where it was, "" when it moved.
    """

    ae_id: str
    attach_s: float = 0.0
    copied: int = 0
    late: int = 0
    undelivered: int = 0
    replaced: bool = False
    trouble: str = ""
