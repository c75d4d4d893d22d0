"""A CSE without sockets: every request goes through a codec as bytes and back, time is moved by hand.

A test gets a ``World`` (fixture ``world``) and talks to it as originators do. What the CSE sends to others is answered
by ``world.answers`` (by default: 2000) and kept in ``world.sent`` (asked before the response) and ``world.outbox``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from cse.bindings import coap_codec, coap_message, http_codec, primitive_codec, websocket_codec
from cse.core.expiry import expire
from cse.core.hosting import HostingCse
from cse.core.pipeline import handle
from cse.core.setup import prepare
from cse.core.timers import next_due, rebuild, run_due
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.serialisation import dump_json, load_json
from cse.onem2m.status import Status
from cse.ports import Engine, Env, Evaluation, Outcome, Send, Settings, Steps
from cse.resources.registry import load_registry
from cse.semantic_worker import evaluate

#: the first instant of every world: 2026-11-22T12:00:00Z
START_S = 1795348800.0
ADMIN = "CAdmin"


class World:
    """One CSE and the whole network around it.

    Args:
        store: an open engine.
        codec: ``http``, ``mqtt``, ``coap`` or ``ws``.
        settings: overrides of ``Settings``.
    """

    def __init__(self, store: Engine, codec: str, **settings: Any) -> None:
        self.store = store
        self.codec = codec
        self.now = START_S
        self.ids = itertools.count(1)
        self._request_ids = itertools.count(1)
        self.settings = Settings(**{"admin": (ADMIN,), "lenient": False, **settings})
        self.cse = HostingCse(self.settings, load_registry(), store)
        self.sent: list[Send] = []
        self.outbox: list[Send] = []
        self.answers: Callable[[Send], Response | None] = lambda send: Response(
            Status.OK, request_id=send.request.request_id
        )
        self.evaluate: Callable[[Evaluation], Response | None] = evaluate
        prepare(self.cse, self.env())
        rebuild(self.cse, self.env())

    def env(self) -> Env:
        """The environment of one request; each is a microsecond later than the one before."""
        self.now += 0.000001
        return Env(self.now, lambda: f"id{next(self.ids)}")

    def ask(self, operation: Operation, to: str, originator: str = ADMIN, **fields: Any) -> Response:
        """Send a request primitive through the codec and give the response as the originator decodes it."""
        fields.setdefault("release", "3")
        request = Request(operation, to, originator, f"r{next(self._request_ids)}", **fields)
        return {"http": self._over_http, "mqtt": self._over_mqtt, "coap": self._over_coap, "ws": self._over_websocket}[
            self.codec
        ](request)

    def create(self, to: str, ty: int, content: Any, originator: str = ADMIN, **fields: Any) -> Response:
        """CREATE ``{root: attributes}`` of type ``ty`` below ``to``."""
        return self.ask(Operation.CREATE, to, originator, resource_type=ty, content=content, **fields)

    def retrieve(self, to: str, originator: str = ADMIN, **fields: Any) -> Response:
        """RETRIEVE."""
        return self.ask(Operation.RETRIEVE, to, originator, **fields)

    def discover(self, to: str, originator: str = ADMIN, **criteria: Any) -> list[str]:
        """The addresses a discovery gives."""
        response = self.retrieve(to, originator, filter={"fu": 1, **criteria})
        assert response.status is Status.OK, response.content
        found: list[str] = response.content["m2m:uril"]
        return found

    def update(self, to: str, content: Any, originator: str = ADMIN, **fields: Any) -> Response:
        """UPDATE."""
        return self.ask(Operation.UPDATE, to, originator, content=content, **fields)

    def delete(self, to: str, originator: str = ADMIN, **fields: Any) -> Response:
        """DELETE."""
        return self.ask(Operation.DELETE, to, originator, **fields)

    def notify(self, to: str, content: Any, originator: str = ADMIN, **fields: Any) -> Response:
        """NOTIFY."""
        return self.ask(Operation.NOTIFY, to, originator, content=content, **fields)

    def advance(self, seconds: float) -> None:
        """Move time, let every timer on the way run at its instant, and sweep what has expired."""
        end = self.now + seconds
        while (due := next_due(self.cse)) is not None and due <= end:
            self.now = max(self.now, due)
            while (outcome := run_due(self.cse, self.env())) is not None:
                self.outbox.extend(outcome.outbox)
                if outcome.later is not None:
                    self.outbox.extend(self._finish(outcome.later(self.env())).outbox)
        self.now = max(self.now, end)
        while (outcome := expire(self.cse, self.env())) is not None:
            self.outbox.extend(outcome.outbox)
            if outcome.later is not None:
                self.outbox.extend(self._finish(outcome.later(self.env())).outbox)

    def notifications(self) -> list[dict[str, Any]]:
        """The ``m2m:sgn`` of everything queued since the last call."""
        queued = [send.request.content["m2m:sgn"] for send in self.outbox]
        self.outbox.clear()
        return queued

    # --- ready-made pieces --------------------------------------------------------------------------------------

    def ae(self, originator: str = "Cae", name: str = "ae", **attributes: Any) -> Response:
        """Register an AE."""
        body = {"rn": name, "api": "Ntest", "rr": True, "srv": ["3"], **attributes}
        response = self.create("cse-in", 2, {"m2m:ae": body}, originator)
        assert response.status is Status.CREATED, response.content
        return response

    def container(
        self, parent: str = "cse-in/ae", name: str = "cnt", originator: str = "Cae", **attributes: Any
    ) -> str:
        """Create a container; gives its address."""
        response = self.create(parent, 3, {"m2m:cnt": {"rn": name, **attributes}}, originator)
        assert response.status is Status.CREATED, response.content
        return f"{parent}/{name}"

    def post(
        self, container: str = "cse-in/ae/cnt", content: Any = "1", originator: str = "Cae", **more: Any
    ) -> Response:
        """Create a contentInstance."""
        return self.create(container, 4, {"m2m:cin": {"con": content, **more}}, originator)

    def policy(self, name: str, originators: list[str], operations: int, **rule: Any) -> str:
        """Create an accessControlPolicy that the admin alone controls; gives its address."""
        rules = {"acr": [{"acor": originators, "acop": operations, **rule}]}
        own = {"acr": [{"acor": [ADMIN], "acop": 63}]}
        response = self.create("cse-in", 1, {"m2m:acp": {"rn": name, "pv": rules, "pvs": own}})
        assert response.status is Status.CREATED, response.content
        return f"cse-in/{name}"

    # --- the network --------------------------------------------------------------------------------------------

    def serve(self, request: Request) -> Response:
        """What a binding calls."""
        return self._settled(self._drive(request))

    def itself(self, operation: Operation, to: str, **fields: Any) -> Response:
        """What the shell has the CSE do in its own name: over no binding, so nobody can claim to be it."""
        request = Request(operation, to, self.settings.cse_id, f"own{next(self._request_ids)}", release="3", **fields)
        return self._settled(self._finish(handle(request, self.cse, self.env())))

    def _settled(self, outcome: Outcome) -> Response:
        if outcome.ticket:
            self.settle(outcome.ticket)
        self.outbox.extend(outcome.outbox)
        return outcome.response

    def settle(self, ticket: int) -> None:
        """Wait for the disk: what is answered is kept."""
        asyncio.run(self.store.durable(ticket))

    def _drive(self, request: Request) -> Outcome:
        return self._finish(handle(replace(request, binding=self.codec), self.cse, self.env()))

    def _finish(self, steps: Steps) -> Outcome:
        answer: Response | None = None
        while True:
            try:
                send = steps.send(answer)
            except StopIteration as done:
                outcome: Outcome = done.value
                return outcome
            if send.resume_at_s:
                self.advance(max(0.0, send.resume_at_s - self.now))
                answer = None
                continue
            if send.evaluation is not None:
                answer = self.evaluate(send.evaluation)
                continue
            self.sent.append(send)
            answer = self.answers(send)

    def _over_http(self, request: Request) -> Response:
        method, url, headers, body = http_codec.encode_request(request, "http://cse", exact_url=False)
        parts = urlsplit(url)
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        try:
            decoded = http_codec.decode_request(
                method, parts.path.encode(), parts.query.encode(), raw, body, lenient=self.settings.lenient
            )
        except CseError as error:
            status, out, payload = http_codec.encode_error(error, raw, method)
        else:
            answer = self.serve(decoded)
            if answer.silent:
                return Response(Status.OK, request.request_id, silent=True)
            status, out, payload = http_codec.encode_response(answer)
        return http_codec.decode_response(status, [(name.lower(), value) for name, value in out], payload)

    def _over_mqtt(self, request: Request) -> Response:
        wire = dump_json(primitive_codec.encode_request(request))
        try:
            decoded = primitive_codec.decode_request(load_json(wire), lenient=self.settings.lenient)
        except CseError as error:
            response = Response(error.status, error.request_id, {"m2m:dbg": error.debug})
        else:
            response = self.serve(decoded)
            if response.silent:
                return Response(Status.OK, request.request_id, silent=True)
        return primitive_codec.decode_response(load_json(dump_json(primitive_codec.encode_response(response))))

    def _over_websocket(self, request: Request) -> Response:
        """CBOR, because the primitives are those of MQTT, which goes as JSON."""
        wire = websocket_codec.encode_request(request, "cbor")
        decoded = self._read_message(wire)
        if isinstance(decoded, CseError):
            response = Response(decoded.status, decoded.request_id, {"m2m:dbg": decoded.debug})
        else:
            assert isinstance(decoded, Request)
            response = self.serve(decoded)
            if response.silent:
                return Response(Status.OK, request.request_id, silent=True)
        answer = self._read_message(websocket_codec.encode_response(response, "cbor"))
        assert isinstance(answer, Response)
        return answer

    def _read_message(self, wire: bytes) -> Request | Response | CseError:
        lenient = self.settings.lenient
        return websocket_codec.decode(
            wire, text=False, subprotocol="oneM2M.cbor", lenient=lenient, note=lambda dialect: None
        ).primitive

    def _over_coap(self, request: Request) -> Response:
        to, _, attribute = request.to.partition("#")
        query = [f"atrl={attribute}"] if attribute else []
        message = coap_codec.encode_request(request, path=coap_codec.uri_path(to), query=query)
        arrived = coap_message.decode(coap_message.encode(message))
        style = coap_codec.reply_style(arrived, lenient=self.settings.lenient)
        try:
            decoded = coap_codec.decode_request(arrived, style, lenient=self.settings.lenient)
        except CseError as error:
            answer: coap_message.Message | None = coap_codec.encode_error(error, style)
        else:
            answer = coap_codec.encode_response(self.serve(decoded), style, decoded.operation)
        if answer is None:
            return Response(Status.OK, request.request_id, silent=True)
        return coap_codec.decode_response(coap_message.decode(coap_message.encode(answer)))
