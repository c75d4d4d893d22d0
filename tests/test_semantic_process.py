"""The process that evaluates RDF: bounded, locked up, replaced when it dies (ADR 0013); and a CSE that uses it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cse.app import Cse
from cse.config import CseConfig
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.ports import Document, Evaluation
from cse.semantic import SemanticProcess

QUERY = "SELECT ?x WHERE { ?x a <http://a.example/Sensor> }"


def document(form: int, text: str) -> Document:
    return form, b64encode(text.encode()).decode()


SENSOR = document(5, "<http://t.example/1> a <http://a.example/Sensor> .")
#: every triple with every other, three times over
ENDLESS = "SELECT * WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l . FILTER(?a = 1) }"
MANY = document(5, " ".join(f"<a:{i}> <a:b> {i} ." for i in range(500)))


@pytest.fixture
async def evaluator() -> AsyncIterator[SemanticProcess]:
    # Generous: only what never ends must run into it.
    process = SemanticProcess(time_limit_s=20.0)
    yield process
    await process.close()


def match(*documents: Document, text: str = QUERY) -> Evaluation:
    return Evaluation("match", (text,), tuple((one,) for one in documents))


async def test_it_starts_with_the_first_evaluation(evaluator: SemanticProcess) -> None:
    assert evaluator.pid is None
    answer = await evaluator.evaluate(match(SENSOR, document(7, "{}")))
    assert answer.content == [True, False]
    first = evaluator.pid
    assert first is not None
    assert (await evaluator.evaluate(match(SENSOR))).content == [True]
    assert evaluator.pid == first


@pytest.mark.behaviour("PR-18.10")
async def test_what_takes_too_long_is_ended_and_the_next_is_served() -> None:
    evaluator = SemanticProcess(time_limit_s=2.0)
    try:
        # On a slow machine even the sound one may be late; the endless one always is.
        answer = await evaluator.evaluate(Evaluation("select", (ENDLESS,), ((MANY,),)))
        assert answer.status is Status.DISCOVERY_LIMIT_EXCEEDED
        assert "longer than 2 s" in answer.content["m2m:dbg"]
        assert evaluator.pid is None
    finally:
        await evaluator.close()


async def test_the_event_loop_goes_on_while_it_evaluates() -> None:
    evaluator = SemanticProcess(time_limit_s=2.0)
    try:
        work = asyncio.create_task(evaluator.evaluate(Evaluation("select", (ENDLESS,), ((MANY,),))))
        turns = 0
        while not work.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 10
    finally:
        await evaluator.close()


async def test_it_is_replaced_when_it_dies(evaluator: SemanticProcess) -> None:
    await evaluator.evaluate(match(SENSOR))
    assert evaluator.pid is not None
    work = asyncio.create_task(evaluator.evaluate(Evaluation("select", (ENDLESS,), ((MANY,),))))
    await asyncio.sleep(0)
    os.kill(evaluator.pid, signal.SIGKILL)
    assert (await work).status is Status.DISCOVERY_LIMIT_EXCEEDED
    assert (await evaluator.evaluate(match(SENSOR))).content == [True]


@pytest.mark.behaviour("PR-18.10")
async def test_a_document_cannot_make_it_read_files_or_ask_others(evaluator: SemanticProcess, tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"@context": {"is": "http://a.example/is"}}')
    asked = asyncio.Event()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    server = await asyncio.start_server(ask, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        for where in (context.as_uri(), str(context), f"http://127.0.0.1:{port}/context"):
            text = json.dumps({"@context": where, "@id": "http://t.example/1", "is": 1})
            answer = await evaluator.evaluate(Evaluation("parse", (), ((document(7, text),),)))
            assert answer.status is Status.BAD_REQUEST, where
        entity = (
            f'<!DOCTYPE r [<!ENTITY e SYSTEM "{context.as_uri()}">]>'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="a:a"><rdf:value>&e;</rdf:value></rdf:Description></rdf:RDF>'
        )
        answer = await evaluator.evaluate(
            Evaluation("select", ("SELECT * WHERE { ?a ?b ?c }",), ((document(4, entity),),))
        )
        assert "a.example" not in str(answer.content)
    finally:
        server.close()
        await server.wait_closed()
    assert not asked.is_set()


async def test_no_more_than_a_few_wait(evaluator: SemanticProcess) -> None:
    answers = await asyncio.gather(*[evaluator.evaluate(match(SENSOR)) for _ in range(40)])
    refused = [answer for answer in answers if not answer.status.is_success]
    assert len(refused) == 8
    assert refused[0].status is Status.DISCOVERY_LIMIT_EXCEEDED


async def test_without_rdflib_it_is_5001(evaluator: SemanticProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = await evaluator.evaluate(match(SENSOR))
    assert answer.status is Status.NOT_IMPLEMENTED
    assert "onemec[semantic]" in answer.content["m2m:dbg"]
    assert evaluator.pid is None


async def test_a_process_that_does_not_start_is_told() -> None:
    evaluator = SemanticProcess(command=[sys.executable, "-c", "print('no')"])
    answer = await evaluator.evaluate(match(SENSOR))
    assert answer.status is Status.INTERNAL_SERVER_ERROR
    assert evaluator.pid is None


async def test_a_process_whose_cse_is_gone_ends_itself() -> None:
    code = "from cse import semantic_worker; semantic_worker.LONGEST_EVALUATION_S = 1; semantic_worker.main()"
    evaluator = SemanticProcess(time_limit_s=60.0, command=[sys.executable, "-c", code])
    try:
        answer = await evaluator.evaluate(Evaluation("select", (ENDLESS,), ((MANY,),)))
        assert "ended" in answer.content["m2m:dbg"]
    finally:
        await evaluator.close()


async def test_a_closed_evaluator_starts_nothing(evaluator: SemanticProcess) -> None:
    await evaluator.evaluate(match(SENSOR))
    await evaluator.close()
    assert (await evaluator.evaluate(match(SENSOR))).status is Status.INTERNAL_SERVER_ERROR
    assert evaluator.pid is None


async def test_a_running_cse_answers_semantic_queries() -> None:
    cse = Cse(CseConfig(http="127.0.0.1:0", coap="", mqtt="", store="memory", insecure_dev=True))
    await cse.start()
    try:
        own = cse.config.id
        body = {"rn": "c"}
        await cse.serve(Request(Operation.CREATE, cse.config.name, own, "1", 3, {"m2m:cnt": body}, "3"))
        form, text = SENSOR
        body = {"rn": "d", "dcrp": form, "dsp": text}  # type: ignore[dict-item]
        made = await cse.serve(Request(Operation.CREATE, f"{cse.config.name}/c", own, "2", 24, {"m2m:smd": body}, "3"))
        assert made.status is Status.CREATED, made.content
        answer = await cse.serve(
            Request(Operation.RETRIEVE, cse.config.name, own, "3", release="3", filter={"fu": 1, "smf": [QUERY]})
        )
        assert answer.content == {"m2m:uril": [f"{own}/{cse.config.name}/c"]}
    finally:
        await cse.stop()
