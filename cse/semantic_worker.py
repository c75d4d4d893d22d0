"""Reads RDF and runs SPARQL (TS-0034), as a process of its own: ``python -m cse.semantic_worker``.

It reads one JSON line per evaluation from standard input and writes one per answer. A query can take for ever and all
memory, so its process has bounds and is killed by ``cse.semantic`` when it is late. A document or query may also ask
for other documents (FROM, SERVICE, LOAD, contexts of JSON-LD, external entities): once its libraries are loaded the
process can open neither sockets nor files.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import signal
import sys
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import orjson
from rdflib import OWL, RDF, RDFS, Graph
from rdflib.plugins.sparql.algebra import translateQuery, translateUpdate, traverse
from rdflib.plugins.sparql.parser import parseQuery, parseUpdate
from rdflib.plugins.sparql.parserutils import CompValue
from rdflib.plugins.sparql.sparql import Query
from rdflib.term import BNode, URIRef

from cse.onem2m.errors import (
    BadRequest,
    CseError,
    DiscoveryLimitExceeded,
    InvalidSparqlQuery,
    SparqlUpdateError,
)
from cse.onem2m.errors import NotImplemented as NotSupported
from cse.onem2m.primitives import Response
from cse.onem2m.status import Status
from cse.ports import Document, Evaluation

#: m2m:semanticFormat and the parser for it; OWL functional style, OWL/XML and Manchester syntax have none
FORMATS = {4: "xml", 5: "turtle", 7: "json-ld"}
MOST_TRIPLES = 100_000
LONGEST_QUERY = 20_000
LONGEST_RESULT = 4 * 1024 * 1024
#: the process ends itself when an evaluation takes longer, in seconds: the CSE that would have ended it may be gone
LONGEST_EVALUATION_S = 60
_MEMORY_BYTES = 1024 * 1024 * 1024
_CHANGES = frozenset({"InsertData", "DeleteData", "DeleteWhere", "Modify"})
_SAMPLES = {"xml": '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>', "turtle": "", "json-ld": "{}"}


def evaluate(work: Evaluation) -> Response:
    """The answer to an evaluation (see ``cse.ports.Evaluation``)."""
    try:
        return Response(Status.OK, content=_KINDS[work.kind](work))
    except CseError as error:
        return Response(error.status, content={"m2m:dbg": error.debug})
    except (MemoryError, RecursionError):
        return Response(
            Status.DISCOVERY_LIMIT_EXCEEDED, content={"m2m:dbg": "the SPARQL text or the RDF is nested too deeply"}
        )


def _parse(work: Evaluation) -> bool:
    for documents in work.graphs:
        _read(documents)
    return True


def _match(work: Evaluation) -> list[bool]:
    queries = [_query(text) for text in work.texts]
    graphs = (_read(documents, lenient=True) for documents in work.graphs)
    return [any(_finds(graph, query) for query in queries) for graph in graphs]


def _select(work: Evaluation) -> str:
    query = _query(work.texts[0])
    together = Graph()
    for documents in work.graphs:
        together += _read(documents, lenient=True)
        _bound(together)
    try:
        result = together.query(query)
        text = (result.graph if result.graph is not None else result).serialize(format="xml")
    except CseError:
        raise
    except Exception as error:
        raise InvalidSparqlQuery(f"the SPARQL query cannot be evaluated: {_words(error)}") from error
    shown = text.decode() if isinstance(text, bytes) else str(text)
    if len(shown) > LONGEST_RESULT:
        raise DiscoveryLimitExceeded(f"the result is longer than {LONGEST_RESULT} characters: ask for less (LIMIT)")
    return shown


def _update(work: Evaluation) -> str:
    form = work.graphs[0][0][0]
    graph = _read(work.graphs[0])
    text = work.texts[0]
    _check_length(text)
    try:
        update = translateUpdate(parseUpdate(text))
    except Exception as error:
        raise InvalidSparqlQuery(f"attribute 'soe' is no SPARQL update: {_words(error)}") from error
    steps = getattr(update, "algebra", ())  # of an empty update rdflib gives a bare list
    if not steps:
        raise InvalidSparqlQuery("attribute 'soe' is no SPARQL update: it changes nothing")
    for step in steps:
        if step.name not in _CHANGES or step.using or step.withClause:
            raise NotSupported("a SPARQL update may use INSERT, DELETE and WHERE on the descriptor itself only")
        _refuse_services(step)
    try:
        graph.update(update)
    except Exception as error:
        raise SparqlUpdateError(f"the SPARQL update failed: {_words(error)}") from error
    _bound(graph)
    return b64encode(graph.serialize(format=FORMATS[form], encoding="utf-8")).decode()


def _terms(work: Evaluation) -> list[tuple[list[str], list[str]]]:
    found = []
    for documents in work.graphs:
        graph = _read(documents)
        declared = {str(one) for one in graph.subjects(RDF.type) if isinstance(one, URIRef)}
        used = {str(predicate) for predicate in graph.predicates()}
        used |= {str(kind) for kind in graph.objects(None, RDF.type) if not isinstance(kind, BNode)}
        common = tuple(str(namespace) for namespace in (RDF, RDFS, OWL))
        found.append((sorted(declared), sorted(term for term in used if not term.startswith(common))))
    return found


_KINDS = {"parse": _parse, "match": _match, "select": _select, "update": _update, "terms": _terms}


def _read(documents: tuple[Document, ...], *, lenient: bool = False) -> Graph:
    """The graph of some documents; those that cannot be read are left out when ``lenient``."""
    graph = Graph()
    for form, text in documents:
        if form not in FORMATS:
            if lenient:
                continue
            raise NotSupported(
                f"RDF in form {form} (dcrp, ontf) cannot be read here: send 4 (RDF/XML), 5 (Turtle), 7 (JSON-LD)"
            )
        part = Graph()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the reader of JSON-LD warns of its own parts
                part.parse(data=b64decode(text, validate=True), format=FORMATS[form])
        except (binascii.Error, MemoryError):
            raise
        except Exception as error:
            if lenient:
                continue
            raise BadRequest(f"the content is no {FORMATS[form]}, as form {form} says: {_words(error)}") from error
        graph += part
        _bound(graph)
    return graph


def _bound(graph: Graph) -> None:
    if len(graph) > MOST_TRIPLES:
        raise DiscoveryLimitExceeded(f"there are more than {MOST_TRIPLES} triples: narrow the target or the descriptor")


def _check_length(text: str) -> None:
    if len(text) > LONGEST_QUERY:
        raise InvalidSparqlQuery(f"the SPARQL text is longer than {LONGEST_QUERY} characters")


def _query(text: str) -> Query:
    _check_length(text)
    try:
        query = translateQuery(parseQuery(text))
    except Exception as error:
        raise InvalidSparqlQuery(f"filter 'smf' is no SPARQL query: {_words(error)}") from error
    if query.algebra.datasetClause:
        raise NotSupported("FROM in a SPARQL query is not supported: the descriptors in reach are what is asked")
    _refuse_services(query.algebra)
    return query


def _refuse_services(algebra: Any) -> None:
    def look(node: Any) -> None:
        if isinstance(node, CompValue) and node.name == "ServiceGraphPattern":
            raise NotSupported("SERVICE in SPARQL is not supported: this CSE asks no other endpoints")

    traverse(algebra, visitPre=look)


def _finds(graph: Graph, query: Query) -> bool:
    try:
        result = graph.query(query)
        if result.type == "ASK":
            return bool(result.askAnswer)
        return next(iter(result), None) is not None
    except Exception as error:
        raise InvalidSparqlQuery(f"the SPARQL query cannot be evaluated: {_words(error)}") from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _lock_up() -> None:
    """Give up files, sockets, processes and more than a share of memory and time, for good."""
    for name in FORMATS.values():
        graph = Graph().parse(data=_SAMPLES[name], format=name)
        graph.serialize(format=name)
        graph.query("SELECT ?a WHERE { ?a ?b ?c }").serialize(format="xml")
        graph.query("ASK { ?a ?b ?c }").serialize(format="xml")
        graph.update("INSERT DATA { <http://a/a> <http://a/b> 1 }")
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.nice(10)
    forbidden = ("open", "socket.", "subprocess.", "os.", "urllib.", "ftplib.", "http.", "shutil.", "ctypes.")

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(forbidden):
            raise PermissionError(f"the evaluation of RDF may not use {event}")

    sys.addaudithook(refuse)


def _lines() -> Iterator[bytes]:
    while line := sys.stdin.buffer.readline():
        yield line


def main() -> None:
    """Answer evaluations until standard input ends."""
    _lock_up()
    out = sys.stdout.buffer
    out.write(b"ready\n")
    out.flush()
    for line in _lines():
        asked = orjson.loads(line)
        graphs = tuple(tuple((form, text) for form, text in documents) for documents in asked["graphs"])
        signal.alarm(LONGEST_EVALUATION_S)
        answer = evaluate(Evaluation(asked["kind"], tuple(asked["texts"]), graphs))
        signal.alarm(0)
        out.write(orjson.dumps({"rsc": int(answer.status), "pc": answer.content}) + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
