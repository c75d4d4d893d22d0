"""semanticDescriptor, type 24: what a resource means, as RDF (TS-0001 clause 9.6.30, TS-0004 clause 7.4.31).

Kept, checked for being well-formed, announced and subscribed to. SPARQL, and so semantic discovery, queries, updates
(soe) and validation against an ontology, is not supported: asked for, it is answered 5001; ``svd`` says false.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.serialisation import load_json
from cse.ports import Resource
from cse.resources.declare import Context, Hooks, declare

_IRI, _JSON_LD = 1, 7
_XML = frozenset({3, 4})


class SemanticDescriptorHooks(Hooks):
    """What a descriptor may be."""

    def check_create(self, ctx: Context, parent: Resource, attributes: dict[str, Any]) -> None:
        """The descriptor must be of the form it claims.

        Raises:
            BadRequest: it is not.
        """
        _check_descriptor(attributes["dcrp"], attributes["dsp"])
        _set_validated(attributes, attributes)

    def check_update(self, ctx: Context, resource: Resource, changes: dict[str, Any]) -> None:
        """The same of what it will be.

        Raises:
            BadRequest: it would not be, or both the descriptor and an operation on it are given.
            NotSupported: a SPARQL update is asked for.
        """
        if "soe" in changes and "dsp" in changes:
            raise BadRequest("attributes 'soe' and 'dsp' exclude each other: send the new descriptor alone")
        if changes.get("soe") is not None:
            raise NotSupported(
                "SPARQL updates (soe) are not supported by this CSE: send the whole new descriptor (dsp)"
            )
        if "dcrp" in changes or "dsp" in changes:
            after = {**resource.attributes, **changes}
            _check_descriptor(after["dcrp"], after["dsp"])
        if "vlde" in changes:
            _set_validated(changes, changes)


def _set_validated(given: Mapping[str, Any], attributes: dict[str, Any]) -> None:
    # Nothing is validated here, and svd says so to whoever asked for validation.
    if given.get("vlde") is not None:
        attributes["svd"] = False
    elif "vlde" in given:
        attributes["svd"] = None


def _check_descriptor(form: int, descriptor: str) -> None:
    if form == _IRI:
        raise BadRequest("attribute 'dcrp' must not be 1 (IRI): send the descriptor itself, e.g. as RDF/XML (4)")
    text = b64decode(descriptor)
    if form == _JSON_LD:
        try:
            load_json(text)
        except BadRequest as error:
            raise BadRequest(f"attribute 'dsp' is no JSON-LD, as 'dcrp' {form} says: {error.debug}") from error
    elif form in _XML:
        try:
            expat.ParserCreate().Parse(text, True)
        except expat.ExpatError as error:
            raise BadRequest(f"attribute 'dsp' is no XML, as 'dcrp' {form} says: {error}") from error


TYPES = (declare("semanticDescriptor", SemanticDescriptorHooks()),)
