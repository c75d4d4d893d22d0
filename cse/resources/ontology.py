"""ontologyRepository, type 38, and ontology, type 39: ontologies to be read by others.

TS-0001 clause 9.6.50, 9.6.51; TS-0004 clause 7.4.38. They are stored and handed out; this CSE does not reason.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Mapping
from typing import Any

from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Operation, Response
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, VirtualChild, declare

_IRI = 1


class OntologyHooks(Hooks):
    """The content is an address or base64, as its format says."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """Refuse content that does not go with its format."""
        _check(attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """Refuse content that does not go with its format, and SPARQL updates.

        Raises:
            NotImplemented: soe.
        """
        if changes.get("soe") is not None:
            raise NotSupported("SPARQL updates of an ontology (soe) are not supported by this CSE: replace 'ontc'")
        _check({**resource.attributes, **changes})


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
    yield from ()  # a procedure is a generator
    raise NotSupported("semantic validation (smv) is not supported by this CSE")


TYPES = (
    declare(
        "ontologyRepository",
        virtual=(VirtualChild("smv", frozenset({Operation.UPDATE}), handle=_validate),),
    ),
    declare("ontology", OntologyHooks()),
)
