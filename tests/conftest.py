"""Fixtures for every test: real brokers, a real PostgreSQL, free ports, and the rule for tools that are not there."""

import os
from collections.abc import Iterator

import pytest

from tests import brokers, postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fuzzing tests (tests/mec/test_platform_fuzzing.py)."""
    fuzzing = parser.getgroup("fuzzing of the MEC platform")
    fuzzing.addoption("--fuzz-examples", type=int, default=5, help="requests per operation and kind; default: 5")
    fuzzing.addoption("--fuzz-seed", type=int, default=1, help="another number sends other requests; default: 1")


#: files that wait for minutes: they begin first, or the other workers wait for them in the end
LONG = ("tests/trust/test_mec_faults.py", "tests/docs/test_documents.py", "tests/mec/test_cloud_sync.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; within them and among the others the order stays."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_xdist_auto_num_workers() -> int:
    """Workers of ``make test``: several for each processor, for most of what processes do is start and wait."""
    return min(8, 2 * len(os.sched_getaffinity(0)))


@pytest.fixture(scope="session")
def mosquitto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The mqtt:// URL of a real Mosquitto, one for the whole session."""
    with brokers.mosquitto(tmp_path_factory.mktemp("mosquitto")) as url:
        yield url


@pytest.fixture(scope="session")
def embedded_broker_url() -> Iterator[str]:
    """The mqtt:// URL of our embedded broker in its own process, one for the whole session."""
    with brokers.embedded_broker() as url:
        yield url


@pytest.fixture(params=["mosquitto", "embedded"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Each broker in turn: a test that asks for this runs once on Mosquitto and once on the embedded broker."""
    url: str = request.getfixturevalue("mosquitto_url" if request.param == "mosquitto" else "embedded_broker_url")
    return url


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    return brokers.free_port()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A real PostgreSQL, one for the whole session."""
    server = postgres.PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: postgres.PostgresServer) -> Iterator[str]:
    """The URL of an empty database of its own."""
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)
