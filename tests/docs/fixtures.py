"""What a document may ask for with ``run: with=...`` because its reader has it already: a running CSE, a broker, ..."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests import brokers
from tests.brokers import LOOPBACK
from tests.docs.places import Place
from tests.docs.sessions import Background
from tests.postgres import PostgresServer

_START_S = 60.0


@contextlib.contextmanager
def broker(place: Place) -> Iterator[None]:
    """A Mosquitto that anybody may use, on 1883."""
    program, port = brokers.require_tool("mosquitto"), place.ports.free(1883)
    config = place.logs / "mosquitto.conf"
    config.write_text(brokers.MOSQUITTO_CONFIG.format(port=port))
    with brokers.running([program, "-c", str(config)], port):
        yield


@contextlib.contextmanager
def cse(place: Place) -> Iterator[None]:
    """An IN-CSE /id-in, cse-in: HTTP and WebSocket on 8080, CoAP on 5683, MQTT by a broker on 1883; lenient."""
    free = place.ports.free
    with contextlib.ExitStack() as stack:
        stack.enter_context(broker(place))
        command = (
            f"onemec cse --http {LOOPBACK}:{free(8080)} --coap {LOOPBACK}:{free(5683)} --profile lenient "
            f"--mqtt mqtt://{LOOPBACK}:{free(1883)} --insecure-dev --admin CAdmin"
        )
        stack.enter_context(_started(place, "cse", command))
        yield


@contextlib.contextmanager
def mep(place: Place) -> Iterator[None]:
    """A MEC platform without tokens on 8090."""
    with _started(place, "mep", f"onemec mep --http {LOOPBACK}:{place.ports.free(8090)} --insecure-dev"):
        yield


@contextlib.contextmanager
def up(place: Place) -> Iterator[None]:
    """What ``make up`` starts, with four devices: the ports of the README."""
    with _started(place, "up", "onemec up --devices 4", until="everything is up"):
        yield


@contextlib.contextmanager
def postgresql(place: Place) -> Iterator[None]:
    """A PostgreSQL that ``psql``, ``createdb`` and ``postgresql:///name`` find without being told where."""
    server = PostgresServer()
    try:
        place.more_environment |= {"PGHOST": LOOPBACK, "PGPORT": str(server.port), "PGUSER": "postgres"}
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def explicit(place: Place) -> Iterator[None]:
    """Nothing from the environment: the document says every address itself, in configuration files for example."""
    place.defaults = False
    yield


@contextlib.contextmanager
def _started(place: Place, name: str, command: str, until: str = "ready") -> Iterator[None]:
    running = Background(place, name, f"exec {command}\n")
    try:
        if not running.wait_until(until, _START_S):
            pytest.fail(f"{command} did not get ready: {running.out[-2000:]}", pytrace=False)
        yield
    finally:
        running.close()


FIXTURES: dict[str, Callable[[Place], contextlib.AbstractContextManager[None]]] = {
    made.__name__: made for made in (broker, cse, explicit, mep, up, postgresql)
}
