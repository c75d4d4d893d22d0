"""Conditions on an attribute (evalCriteria), for actions, dependencies and processes (TS-0001 clause 9.6.61).

Not a resource type: what the types that evaluate share.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.timestamps import is_timestamp
from cse.ports import Resource
from cse.resources.declare import Context, Privilege

_EQUAL, _NOT_EQUAL = 1, 2
_OPERATORS: dict[int, Callable[[Any, Any], bool]] = {
    _EQUAL: operator.eq,
    _NOT_EQUAL: operator.ne,
    3: operator.gt,
    4: operator.lt,
    5: operator.ge,
    6: operator.le,
}


def subject_for(ctx: Context, identifier: str, attribute: str) -> Resource:
    """The resource whose attribute is to be evaluated.

    Raises:
        BadRequest: it does not exist here, or the originator may not read it.
    """
    subject = ctx.local(identifier)
    if subject is None:
        raise BadRequest(f"attribute {attribute!r} names {identifier!r}, which does not exist at this CSE")
    if not ctx.allowed(subject, Privilege.RETRIEVE):
        raise BadRequest(f"attribute {attribute!r} names {identifier!r}, which {ctx.originator!r} may not RETRIEVE")
    return subject


def check_criteria(ctx: Context, criteria: Mapping[str, Any], subject: Resource) -> None:
    """Refuse criteria that can never be evaluated on a subject.

    Raises:
        BadRequest: the subject has no such attribute, or threshold or operator do not fit its type.
    """
    name, threshold, chosen = criteria["sbjt"], criteria["thld"], criteria["optr"]
    row = ctx.type_of(subject).table(subject.root).attributes.get(name)
    if row is None:
        raise BadRequest(f"evc 'sbjt' names {name!r}, which {subject.root} does not have")
    expected = row.check(threshold)
    if expected is not None:
        raise BadRequest(f"evc 'thld' must be {expected}, as attribute {name!r} is")
    ordered = (isinstance(threshold, int | float) and not isinstance(threshold, bool)) or (
        isinstance(threshold, str) and is_timestamp(threshold)
    )
    if chosen not in (_EQUAL, _NOT_EQUAL) and not ordered:
        raise BadRequest(
            f"evc 'optr' {chosen} needs a number or a time: attribute {name!r} can be compared with 1 or 2"
        )


def holds(ctx: Context, criteria: Mapping[str, Any], subject: Resource | None) -> bool:
    """Whether criteria are met by a subject as it is now; an absent subject or attribute meets nothing."""
    if subject is None:
        return False
    value = ctx.type_of(subject).hooks.representation(ctx, subject).get(criteria["sbjt"])
    if value is None:
        return False
    try:
        return _OPERATORS[criteria["optr"]](value, criteria["thld"])
    except TypeError:
        return False
