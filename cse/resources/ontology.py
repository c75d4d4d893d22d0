"""ontologyRepository, type 38, and ontology, type 39: ontologies to be read by others.

TS-0001 clause 9.6.50, 9.6.51; TS-0004 clause 7.4.38. They are stored, changed by SPARQL updates, and descriptors are
held against them (``smv``); this CSE does not reason.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest, OntologyNotAvailable, OriginatorHasNoPrivilege
from cse.onem2m.primitives import Operation, Response
from cse.onem2m.status import Status
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, Privilege, VirtualChild, declare
from cse.resources.semantics import apply_update, check_readable, validate

_IRI = 1
_ONTOLOGY = 39


class OntologyHooks(Hooks):
    """The content is an address or base64, as its format says."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse content that does not go with its format."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse content that does not go with its format, and content together with a SPARQL update.

        Raises:
            BadRequest: see there.
        """
        if "soe" in changes and "ontc" in changes:
            raise BadRequest("attributes 'soe' and 'ontc' exclude each other: send the new ontology alone")
        if "soe" in changes and changes["soe"] is None:
            del changes["soe"]  # it is never kept, so there is nothing to remove
        _check({**resource.attributes, **changes})

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Apply a SPARQL update.

        Raises:
            CseError: it is refused or fails.
        """
        if "soe" in changes:
            yield from apply_update(ctx, resource, changes, "ontc")


def _check(attributes: Mapping[str, Any]) -> None:
    content = attributes["ontc"]
    if not isinstance(content, str) or not content:
        raise BadRequest("attribute 'ontc' (ontologyContent) must be text: an IRI for ontf 1, else base64")
    if attributes["ontf"] == _IRI:
        if ":" not in content or any(character.isspace() for character in content):
            raise BadRequest("attribute 'ontc' must be an IRI for ontf 1, e.g. http://example.org/ontology")
        return
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"attribute 'ontc' must be base64 for ontf {attributes['ontf']}") from error


def _validate(ctx: Context, resource: Resource, tail: tuple[str, ...]) -> Generator[Send, Response | None, Response]:
    """Hold a descriptor against the ontology it names, or else those of the repository; answers whether it is valid."""
    if not ctx.allowed(resource, Privilege.UPDATE):
        raise OriginatorHasNoPrivilege(f"originator {ctx.originator!r} may not UPDATE {resource.path}/smv")
    content = ctx.request.content
    descriptor = content.get("m2m:smd") if isinstance(content, dict) else None
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("dcrp"), int):
        raise BadRequest("send the descriptor to validate: {'m2m:smd': {'dcrp': 4, 'dsp': '...'}}")
    if not isinstance(descriptor.get("dsp"), str):
        raise BadRequest("attribute 'dsp' (descriptor) must be base64")
    known: list[Mapping[str, Any]] = []
    if descriptor.get("or") is None:
        known = [
            one.attributes
            for one in ctx.store.children(resource.ri, _ONTOLOGY)
            if one.attributes["ontf"] != _IRI and ctx.allowed(one, Privilege.RETRIEVE)
        ]
        if not known:
            raise OntologyNotAvailable(f"{resource.path!r} holds no ontology to hold the descriptor against")
    yield from check_readable(ctx, descriptor)
    yield from validate(ctx, descriptor, known)
    return Response(Status.UPDATED)


TYPES = (
    declare(
        "ontologyRepository",
        virtual=(VirtualChild("smv", frozenset({Operation.UPDATE}), handle=_validate),),
    ),
    declare("ontology", OntologyHooks()),
)
