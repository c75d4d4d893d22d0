"""The platform fuzzed by its own description: no 5xx, no answer outside the schema, nothing leaves this machine.

A longer run: pytest tests/mec/test_platform_fuzzing.py --fuzz-examples 100 --fuzz-seed 7 -o faulthandler_timeout=3600
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import APIOperation, BaseSchema, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ensure_resource_availability,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    use_after_free,
)

from tests.mec.fuzzing import Resources, on_loopback, platform, sink

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
RULES_BEYOND_A_SCHEMA = (
    "is not that of",  # the path, the registration, the AppD
    "but the path names",
    "names two rules",
    "has to lie between",
    "exclude each other",
    "cannot change",
    "is in the past",
    "callbacks may not go to",
    "location=latitude,longitude",
    "query parameter location",
    "send one of platform-rest",  # transportId
    "send one of ap-",  # accessPointId
    "says not where the API is",
    "SUSPENDED, which only the platform sets",
)
"""What only the platform can know to be wrong: rules between attributes, the path and what exists."""

BUDGET_S = 8.0
"""For each of the three kinds: then every operation left gets one request."""

LIMIT_S = 17.0
"""For each of the three kinds: then operations are left out, which only happens to a loaded machine."""


@pytest.fixture(scope="module")
def called() -> Iterator[str]:
    """host:port of what takes all notifications."""
    with sink() as place:
        yield place


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A platform that may call loopback only."""
    with platform() as found:
        yield found


@pytest.fixture(scope="module")
def schema(url: str) -> BaseSchema:
    """The description the platform serves."""
    return schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=60)


@pytest.fixture(scope="module")
def operations(schema: BaseSchema) -> list[APIOperation[Any, Any, Any, Any]]:
    """Every operation of the description."""
    return [result.ok() for result in schema.get_all_operations()]


@dataclass
class Fuzzing:
    """One pass over the operations: what is sent where, until the time is over.

    Attributes:
        url: of the platform.
        called: host:port that every generated URI is turned to.
        examples: requests per operation.
        number: seed.
        ends: monotonic time after which each operation gets one request only.
        accepted: whether the description allows what is sent, so that it may not be 400.
        sent: how many requests each operation got.
        faults: what was found wrong, per operation.
    """

    url: str
    called: str
    examples: int
    number: int
    ends: float
    accepted: bool = False
    sent: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def send(self, label: str, case: schemathesis.Case) -> None:
        """Send one generated request, and check the answer."""
        self.sent[label] += 1
        case.body = on_loopback(case.body, self.called)
        response = case.call(base_url=self.url, timeout=30)
        if response.status_code >= 500:
            # Only who asks for the services of another system may hear that this system does not answer.
            assert "/systems/" in label, response.content
            assert response.status_code in (502, 504), response.content
        if self.accepted and response.status_code == 400:
            detail = response.json()["detail"]
            assert any(rule in detail for rule in RULES_BEYOND_A_SCHEMA), detail
        case.validate_response(response, checks=CHECKS)

    def run(self, label: str, cases: SearchStrategy[schemathesis.Case]) -> None:
        """Send the requests of one operation, and remember what is answered wrongly."""

        @seed(self.number)
        @settings(
            max_examples=self.examples if time.monotonic() < self.ends else 1,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # shrinking takes longer than reading the request, which is shown as curl
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def send(case: schemathesis.Case) -> None:
            self.send(label, case)

        try:
            send()
        except Unsatisfiable:
            return  # nothing wrong can be sent to an operation that takes nothing
        except (Exception, BaseExceptionGroup) as error:
            self.faults[label] = f"{error}"[:2000]


@pytest.fixture
def fuzzing(
    request: pytest.FixtureRequest, url: str, called: str, operations: list[APIOperation[Any, Any, Any, Any]]
) -> Fuzzing:
    """A pass with the options of the command line; more examples get more time than CI gives."""
    examples = int(request.config.getoption("--fuzz-examples"))
    ends = time.monotonic() + BUDGET_S * max(1.0, examples / 5)
    return Fuzzing(url, called, examples, int(request.config.getoption("--fuzz-seed")), ends)


@pytest.mark.parametrize("kind", ["right", "right but for nothing that exists", "wrong"])
@pytest.mark.behaviour("M11-1.09")
def test_every_operation_answers_as_described_whatever_is_sent(
    fuzzing: Fuzzing, operations: list[APIOperation[Any, Any, Any, Any]], kind: str
) -> None:
    resources = Resources(fuzzing.url, f"http://{fuzzing.called}/")
    mode = GenerationMode.NEGATIVE if kind == "wrong" else GenerationMode.POSITIVE
    for operation in random.Random(fuzzing.number).sample(operations, len(operations)):
        if time.monotonic() > fuzzing.ends + LIMIT_S - BUDGET_S:
            break
        if kind == "right but for nothing that exists":
            if "{" in operation.path:
                fuzzing.run(operation.label, operation.as_strategy(generation_mode=mode))
            continue
        fuzzing.accepted = kind == "right"
        known = resources.parameters(operation.path)
        fuzzing.run(operation.label, operation.as_strategy(generation_mode=mode, path_parameters=known))
    assert not fuzzing.faults, "\n\n".join(f"{label}: {fault}" for label, fault in fuzzing.faults.items())
    assert len(fuzzing.sent) > 10
    assert requests.get(f"{fuzzing.url}/health", timeout=30).status_code == 200


def test_chains_of_operations_on_what_earlier_ones_made_answer_as_described(
    request: pytest.FixtureRequest, schema: BaseSchema, called: str
) -> None:
    used: Counter[str] = Counter()

    class Chains(schema.as_state_machine()):  # type: ignore[misc]
        """Operations joined by the links between what is made and who takes its id."""

        def before_call(self, case: schemathesis.Case) -> None:
            case.body = on_loopback(case.body, called)
            used[case.operation.label] += 1

        def validate_response(self, response: Any, case: schemathesis.Case, **_: Any) -> None:
            assert response.status_code < 500 or "/systems/" in case.operation.path, response.content
            case.validate_response(response, checks=[*CHECKS, use_after_free, ensure_resource_availability])

    number = int(request.config.getoption("--fuzz-seed"))
    chains = seed(number)(Chains)
    chains.run(
        settings=settings(
            max_examples=2 * int(request.config.getoption("--fuzz-examples")),
            stateful_step_count=10,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
    assert sum(used.values()) > 20
    assert [label for label in used if label.startswith(("GET", "DELETE", "PUT", "PATCH")) and "{" in label]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("http://example.com/a?b=c", "http://127.0.0.1:1/a?b=c"),
        ("HTTPS://user:pw@203.0.113.9:99", "https://127.0.0.1:1"),
        (" ws://example.com/x", "ws://127.0.0.1:1/x"),
        ("no uri", "no uri"),
        ("mailto:a@example.com", "mailto:a@example.com"),
        ("http:///nowhere", "http:///nowhere"),
        ({"a": ["http://example.com"], "b": 7}, {"a": ["http://127.0.0.1:1"], "b": 7}),
    ],
)
def test_generated_uris_are_turned_to_loopback_before_they_are_sent(value: Any, sent: Any) -> None:
    assert on_loopback(value, "127.0.0.1:1") == sent


def test_the_fuzzed_platform_calls_nothing_but_loopback(url: str, called: str) -> None:
    body = {"subscriptionType": "SystemUpdateNotificationSubscription"}
    for callback, status in (("http://203.0.113.9/", 400), ("http://10.0.0.1/", 400), (f"http://{called}/", 201)):
        sent = {**body, "callbackReference": callback}
        answer = requests.post(f"{url}/fed_enablement/v1/subscriptions", json=sent, timeout=30)
        assert answer.status_code == status
