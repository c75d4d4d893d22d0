"""What descriptions in RDF say, and who may hear it (TS-0034 clause 6, 7; TS-0001 clause 10.2.14; ADR 0013).

Collects the semanticDescriptors a request reaches, and has them evaluated by the shell (``cse.ports.Evaluation``).
Nobody's descriptor takes part without the originator's RETRIEVE privilege on it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from cse.onem2m.errors import (
    BadRequest,
    CseError,
    DiscoveryLimitExceeded,
    InvalidSemantics,
    LinkedSemanticsNotAvailable,
    OntologyNotAvailable,
    error_for,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Operation, Request, Response
from cse.ports import Document, Evaluation, Resource, Send
from cse.resources.declare import Context, Privilege

SEMANTIC_DESCRIPTOR = 24
#: most that one request may cover
MOST_DESCRIPTORS = 500
MOST_BYTES = 2 * 1024 * 1024
_IRI = 1
#: how often an update is tried again because the resource changed meanwhile
_MOST_ROUNDS = 5
_Steps = Generator[Send, Response | None, Any]
Graph = tuple[Document, ...]


def evaluated(ctx: Context, kind: str, texts: Iterable[str], graphs: Iterable[Graph]) -> _Steps:
    """The content of the answer to an evaluation.

    Raises:
        CseError: as ``cse.ports.Evaluation`` says.
    """
    answer = yield Send(ctx.request, evaluation=Evaluation(kind, tuple(texts), tuple(graphs)))
    if answer is None:
        raise NotSupported("this CSE evaluates no SPARQL")
    if not answer.status.is_success:
        raise error_for(answer.status, answer.content["m2m:dbg"])
    return answer.content


def descriptors_of(ctx: Context, target: Resource) -> list[Resource]:
    """The descriptors at and below a resource that the originator may RETRIEVE, in the order of their creation.

    Raises:
        DiscoveryLimitExceeded: there are more than one request may cover.
    """
    if target.ty == SEMANTIC_DESCRIPTOR:
        return [target] if ctx.allowed(target, Privilege.RETRIEVE) else []
    prefix, now = target.path + "/", ctx.env.timestamp
    found = []
    for resource in ctx.store.of_type(SEMANTIC_DESCRIPTOR):
        if not resource.path.startswith(prefix) or resource.attributes.get("et", "9") <= now:
            continue
        if ctx.allowed(resource, Privilege.RETRIEVE):
            found.append(resource)
            check_extent(found)
    return found


def check_extent(descriptors: list[Resource]) -> None:
    """Refuse more descriptors than one request may cover; called as they are collected.

    Raises:
        DiscoveryLimitExceeded: too many.
    """
    if len(descriptors) > MOST_DESCRIPTORS:
        raise DiscoveryLimitExceeded(
            f"the request covers more than {MOST_DESCRIPTORS} semantic descriptors: narrow its target"
        )


def graphs_of(ctx: Context, descriptors: Iterable[Resource]) -> list[Graph]:
    """The documents of each descriptor, those of this CSE that it is related to (``rels``) included.

    Raises:
        DiscoveryLimitExceeded: they are longer than one request may cover.
    """
    graphs, size_bytes = [], 0
    for descriptor in descriptors:
        related = [one for name in descriptor.attributes.get("rels") or () for one in _related(ctx, name)]
        graph = tuple(document_of(one.attributes) for one in [descriptor, *related])
        size_bytes += sum(len(text) for _, text in graph)
        if size_bytes > MOST_BYTES:
            raise DiscoveryLimitExceeded(
                f"the request covers more than {MOST_BYTES} bytes of descriptors: narrow its target"
            )
        graphs.append(graph)
    return graphs


def _related(ctx: Context, name: str) -> list[Resource]:
    resource = ctx.local(name)
    if resource is None:
        return []
    # A link to several is a link to a group of them.
    named = [ctx.local(member) for member in resource.attributes.get("mid", ())] or [resource]
    return [
        one
        for one in named
        if one is not None and one.ty == SEMANTIC_DESCRIPTOR and ctx.allowed(one, Privilege.RETRIEVE)
    ]


def document_of(attributes: Mapping[str, Any]) -> Document:
    """The document that a descriptor or an ontology holds."""
    return (attributes["dcrp"], attributes["dsp"]) if "dsp" in attributes else (attributes["ontf"], attributes["ontc"])


def apply_update(ctx: Context, resource: Resource, changes: dict[str, Any], content: str) -> _Steps:
    """Put the document as a SPARQL update (``soe``) leaves it into ``changes``, as ``content``; soe is taken out.

    Raises:
        CseError: the update is refused or fails (4143, 5001, 5212), or others keep changing the document.
    """
    update = changes.pop("soe")
    current = resource
    for _ in range(_MOST_ROUNDS):
        before = document_of(current.attributes)
        after = yield from evaluated(ctx, "update", [update], [(before,)])
        latest = ctx.store.get(resource.ri)
        if latest is None or document_of(latest.attributes) == before:
            changes[content] = after
            return
        current = latest
    raise DiscoveryLimitExceeded(f"attribute {content!r} of {resource.path!r} changes too often: try again")


def check_readable(ctx: Context, attributes: Mapping[str, Any]) -> _Steps:
    """Refuse a document that is not what its form says, as far as it can be read here.

    Raises:
        BadRequest: it is not.
        DiscoveryLimitExceeded: reading takes too long.
    """
    try:
        yield from evaluated(ctx, "parse", (), [(document_of(attributes),)])
    except NotSupported:
        return  # kept, as the standard allows, and not understood


def validate(ctx: Context, descriptor: Mapping[str, Any], ontologies: Iterable[Mapping[str, Any]] = ()) -> _Steps:
    """Hold a descriptor against its ontology (``or``), or those given: what it uses of it must be declared there.

    Terms of other vocabularies than the ontology's own are not judged.

    Raises:
        OntologyNotAvailable: ``or`` leads to no ontology that can be read.
        LinkedSemanticsNotAvailable: a related descriptor cannot be read.
        InvalidSemantics: a term is not declared.
    """
    known = list(ontologies)
    if not known:
        known = [(yield from _fetch_ontology(ctx, descriptor["or"]))]
    linked = []
    for name in descriptor.get("rels") or ():
        found = yield from _fetch(ctx, name)
        if "dsp" not in found:
            raise LinkedSemanticsNotAvailable(f"the related descriptor {name!r} (rels) cannot be retrieved")
        linked.append(document_of(found))
    graphs = [tuple(document_of(one) for one in known), (document_of(descriptor), *linked)]
    (declared, _), (own, used) = yield from evaluated(ctx, "terms", (), graphs)
    vocabularies = {_vocabulary(term) for term in declared}
    unknown = [term for term in used if _vocabulary(term) in vocabularies and term not in {*declared, *own}]
    if unknown:
        raise InvalidSemantics(f"the descriptor uses {unknown[0]}, which its ontology does not declare")


def _vocabulary(term: str) -> str:
    cut = max(term.rfind("#"), term.rfind("/"))
    return term[: cut + 1]


def _fetch_ontology(ctx: Context, name: str) -> _Steps:
    found = yield from _fetch(ctx, name)
    if "ontc" not in found or found.get("ontf") == _IRI:
        raise OntologyNotAvailable(
            f"the ontology {name!r} (or) cannot be retrieved: name an <ontology> that holds its content and that the "
            "originator may RETRIEVE"
        )
    return found


def _fetch(ctx: Context, name: str) -> _Steps:
    """The attributes of a resource here or elsewhere as the originator may see them; empty when it may not."""
    request = Request(Operation.RETRIEVE, name, ctx.request.originator, ctx.env.new_id(), release=ctx.request.release)
    try:
        answer = yield from ctx.perform(request)
    except CseError:
        return {}
    if not answer.status.is_success or not isinstance(answer.content, dict):
        return {}
    attributes = next(iter(answer.content.values()))
    return attributes if isinstance(attributes, dict) else {}


class Descriptions:
    """Answers semantic filters (see ``cse.resources.declare.Semantics``)."""

    def discover(self, ctx: Context, target: Resource, queries: Iterable[str], types: frozenset[int] | None) -> _Steps:
        """The resources below ``target`` whose descriptors any of the queries finds something in."""
        descriptors = descriptors_of(ctx, target)
        found = yield from evaluated(ctx, "match", queries, graphs_of(ctx, descriptors))
        matches = [one for one, is_match in zip(descriptors, found, strict=True) if is_match]
        described: dict[str, None] = {}
        for match in matches:
            described[match.pi] = None
            if types is not None and SEMANTIC_DESCRIPTOR in types:
                described[match.ri] = None
        return [resource for ri in described if (resource := ctx.store.get(ri)) is not None]

    def answer(self, ctx: Context, target: Resource, query: str) -> _Steps:
        """What a query gives over all descriptors at and below ``target``."""
        graphs = graphs_of(ctx, descriptors_of(ctx, target))
        return (yield from evaluated(ctx, "select", [query], graphs))


def query_of(request: Request) -> str:
    """The one query of a semantic query.

    Raises:
        BadRequest: there is none, or there are several.
    """
    queries = (request.filter or {}).get("smf")
    if not isinstance(queries, list) or len(queries) != 1 or not isinstance(queries[0], str):
        raise BadRequest("a semantic query needs one filter 'smf': a SPARQL query")
    return queries[0]
