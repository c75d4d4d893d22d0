"""semanticDescriptor, type 24: what a resource means, as RDF (TS-0001 clause 9.6.30, TS-0004 clause 7.4.31).

Checked for being what it claims, changed by SPARQL updates (``soe``), held against its ontology (``vlde``, ``or``), and
found by semantic filters (``semantics``). What needs SPARQL is done by the shell; where it cannot (ADR 0013), that is
answered 5001 and ``svd`` says false.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Generator, Mapping
from typing import Any
from xml.parsers import expat

from cse.onem2m.errors import BadRequest
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Response
from cse.onem2m.serialisation import load_json
from cse.ports import Resource, Send
from cse.resources.declare import Context, Hooks, declare
from cse.resources.semantics import Descriptions, apply_update, check_readable, validate

_IRI, _JSON_LD = 1, 7
_XML = frozenset({3, 4})


#: attributes on which the result of a validation depends
_VALIDATED = frozenset({"dcrp", "dsp", "or", "rels", "vlde"})


class SemanticDescriptorHooks(Hooks):
    """What a descriptor may be."""

    semantics = Descriptions()

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
        """
        if "soe" in changes and "dsp" in changes:
            raise BadRequest("attributes 'soe' and 'dsp' exclude each other: send the new descriptor alone")
        if "soe" in changes and changes["soe"] is None:
            del changes["soe"]  # it is never kept, so there is nothing to remove
        if "dcrp" in changes or "dsp" in changes:
            after = {**resource.attributes, **changes}
            _check_descriptor(after["dcrp"], after["dsp"])
        if "vlde" in changes:
            _set_validated(changes, changes)

    def verify_create(
        self, ctx: Context, parent: Resource, attributes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Read the descriptor, and validate it when asked to.

        Raises:
            CseError: it cannot be read, or is not valid.
        """
        yield from check_readable(ctx, attributes)
        yield from _validate(ctx, attributes, attributes)

    def verify_update(
        self, ctx: Context, resource: Resource, changes: dict[str, Any]
    ) -> Generator[Send, Response | None, None]:
        """Apply a SPARQL update; read and validate what comes of it.

        Raises:
            CseError: the update is refused or fails, or its result is not valid.
        """
        if "soe" in changes:
            yield from apply_update(ctx, resource, changes, "dsp")
        elif "dsp" in changes or "dcrp" in changes:
            yield from check_readable(ctx, {**resource.attributes, **changes})
        if not _VALIDATED.isdisjoint(changes):
            yield from _validate(ctx, {**resource.attributes, **changes}, changes)


def _validate(
    ctx: Context, descriptor: Mapping[str, Any], attributes: dict[str, Any]
) -> Generator[Send, Response | None, None]:
    if not descriptor.get("vlde"):
        return
    attributes["svd"] = False
    if descriptor.get("or") is None:
        return  # there is nothing to hold it against
    try:
        yield from validate(ctx, descriptor)
    except NotSupported:
        return
    attributes["svd"] = True


def _set_validated(given: Mapping[str, Any], attributes: dict[str, Any]) -> None:
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
