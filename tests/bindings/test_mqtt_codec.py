"""Topics, identifiers in them, URLs, and who may say what on which topic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cse.bindings import mqtt_codec as codec
from cse.bindings.mqtt_codec import Topic
from cse.bindings.mqtt_duplicates import DuplicateFilter
from cse.onem2m.errors import BadRequest, CseError, OriginatorHasNotRegistered
from cse.onem2m.primitives import Operation, Request
from tests.wire import mqtt as samples


@pytest.mark.parametrize(("text", "prefix", "topic"), samples.TOPICS)
def test_topics_in_both_directions(text: str, prefix: str, topic: Topic) -> None:
    assert codec.parse_topic(text, prefix, lenient=True) == topic
    assert topic.text(prefix) == text
    assert (codec.parse_topic(text, prefix, lenient=False) is None) == (topic.type == "")


@pytest.mark.parametrize("text", samples.BAD_TOPICS)
@pytest.mark.parametrize("lenient", [True, False])
def test_bad_topics_are_ignored(text: str, lenient: bool) -> None:
    assert codec.parse_topic(text, lenient=lenient) is None
    assert codec.parse_topic("p" + text, "p/q", lenient=lenient) is None


@given(st.text(max_size=60))
def test_any_text_is_a_topic_or_none(text: str) -> None:
    for candidate in (text, f"/oneM2M/req/{text}", f"/oneM2M/req/{text}/id-in/json"):
        topic = codec.parse_topic(candidate, lenient=True)
        assert topic is None or topic.text() == candidate


def test_an_answer_keeps_originator_receiver_and_type_in_their_places() -> None:
    assert Topic("req", "Cae", "id-in", "cbor").answer().text() == "/oneM2M/resp/Cae/id-in/cbor"
    assert Topic("reg_req", "cred", "id-in", "").answer().text("p") == "p/oneM2M/reg_resp/cred/id-in"


@pytest.mark.parametrize(("identifier", "level"), samples.IDENTIFIERS)
def test_identifiers_in_both_directions(identifier: str, level: str) -> None:
    assert codec.to_topic_level(identifier) == level
    assert codec.from_topic_level(level) == identifier


@pytest.mark.parametrize("identifier", samples.BAD_IDENTIFIERS)
def test_bad_identifiers_never_reach_a_topic(identifier: str) -> None:
    with pytest.raises(BadRequest):
        codec.to_topic_level(identifier)


@given(st.text(max_size=30))
def test_no_identifier_smuggles_wildcards_or_levels_into_a_topic(text: str) -> None:
    try:
        level = codec.to_topic_level(text)
    except CseError:
        return
    assert not set(level) & set("+#$/\0")
    try:
        codec.from_topic_level(text)
    except CseError:
        return


def _request(originator: str, operation: Operation = Operation.RETRIEVE, ty: int | None = None) -> Request:
    return Request(operation, "cse-in", originator, "1", ty)


def _req(originator: str) -> Topic:
    return Topic("req", originator, "id-in")


@pytest.mark.parametrize(
    ("level", "originator"),
    [
        ("Cae", "Cae"),
        ("Cae", "/id-in/Cae"),
        ("Cae", "//sp.x/id-in/Cae"),
        ("id-in:Cae", "Cae"),
        (":sp.x:id-in:Cae", "Cae"),
        ("Sae", "/Sae"),
        ("id-mn", "/id-mn"),
        ("id-mn", "/id-mn/Cae"),
        (":other:id-x", "//other/id-x/Cae"),
    ],
)
def test_originators_that_are_as_the_topic_says(level: str, originator: str) -> None:
    assert codec.identify(_request(originator), _req(level), "id-in", "//sp.x")


@pytest.mark.parametrize(
    ("level", "originator"),
    [
        ("id-mn:Cae", "/id-mn"),
        ("id-mn:Cae", "/id-mn/Cother"),
        ("id-in", "/id-in"),
        ("id-in", "Cae"),
    ],
)
def test_originators_that_are_not_as_the_topic_says(level: str, originator: str) -> None:
    with pytest.raises(OriginatorHasNotRegistered):
        codec.identify(_request(originator), _req(level), "id-in", "//sp.x")


@pytest.mark.parametrize(
    ("level", "originator"),
    [
        ("id-mn", "/id-far/Cae"),
        ("id-mn", "Cae"),
        ("id-mn", "/id-mnx"),
        ("CSE1", "/CSE1/Cae"),
        ("Cae", "Cother"),
        ("Cae", "/id-in"),
        ("Cae", "/id-mn/Cae"),
        ("Cae", "CAdmin"),
        ("Cae", "//evil/id-in/Cae"),
    ],
)
def test_who_may_be_a_cse_that_relays_is_left_to_the_caller(level: str, originator: str) -> None:
    assert codec.identify(_request(originator), _req(level), "id-in") is False


@pytest.mark.parametrize(
    ("level", "given_", "originator", "credential"),
    [
        ("Cae", "", "Cae", ""),
        ("Cae", "Cae", "Cae", ""),
        ("C", "", "C", ""),
        ("C", "C", "C", ""),
        ("C", "Cnew", "Cnew", ""),
        ("10-AB", "", "", "10-AB"),
        ("10-AB", "C", "C", "10-AB"),
        ("10-AB", "Cae", "Cae", "10-AB"),
    ],
)
def test_registrations_under_an_ae_id_or_a_credential(
    level: str, given_: str, originator: str, credential: str
) -> None:
    request = _request(given_, Operation.CREATE, 2)
    assert codec.identify(request, Topic("reg_req", level, "id-in"), "id-in")
    assert (request.originator, request.credential_id) == (originator, credential)


def test_registration_topics_are_for_registrations_and_no_disguise() -> None:
    topic = Topic("reg_req", "Cae", "id-in")
    with pytest.raises(OriginatorHasNotRegistered):
        codec.identify(_request("Cother", Operation.CREATE, 2), topic, "id-in")
    with pytest.raises(OriginatorHasNotRegistered):
        codec.identify(_request("/id-mn", Operation.CREATE, 16), topic, "id-in")
    assert codec.identify(_request("/id-mn", Operation.CREATE, 16), Topic("reg_req", "id-mn", "id-in"), "id-in")
    for operation, ty in ((Operation.RETRIEVE, None), (Operation.CREATE, 3), (Operation.DELETE, 2)):
        with pytest.raises(BadRequest, match="reg_req"):
            codec.identify(_request("Cae", operation, ty), topic, "id-in")
    with pytest.raises(BadRequest, match="fr"):
        codec.identify(_request(""), _req("Cae"), "id-in")


@pytest.mark.parametrize(
    ("to", "understood"),
    [
        ("/cse-in", "cse-in"),
        ("/cse-in/ae", "cse-in/ae"),
        ("/cse-inx/ae", "/cse-inx/ae"),
        ("/id-in/cse-in/ae", "/id-in/cse-in/ae"),
        ("cse-in/ae", "cse-in/ae"),
        ("//cse-in/x", "//cse-in/x"),
    ],
)
def test_a_slash_before_the_csebase_name_is_understood(to: str, understood: str) -> None:
    assert codec.own_address(to, "cse-in", "/id-in") == understood
    assert codec.own_address("/same/x", "same", "/same") == "/same/x"


def test_urls() -> None:
    url = codec.parse_url("mqtt://u%40x:p@host/a/b?ct=cbor")
    assert (url.host, url.port, url.tls, url.path, url.serialisation) == ("host", 1883, False, "a/b", "cbor")
    assert (url.user, url.password, url.address) == ("u@x", "p", "mqtt://host:1883")
    assert codec.parse_url("mqtts://[::1]").address == "mqtts://[::1]:8883"
    assert codec.parse_url("mqtt://h//oneM2M/req/a/b/json").path == "/oneM2M/req/a/b/json"
    assert codec.parse_url("mqtt://h/p/").prefix == "p"


@pytest.mark.parametrize(
    "url",
    ["http://h", "mqtt://", "mqtt:host", "mqtt://h:x", "mqtt://h:99999", "mqtt://h/a+b", "mqtt://h/a#b",
     "mqtt://h/%23", "mqtt://h/%00", "mqtt://h/x?ct=xml", "", "mqtt://[::1"],
)  # fmt: skip
def test_bad_urls(url: str) -> None:
    with pytest.raises(BadRequest):
        codec.parse_url(url)


def test_duplicates_are_known_by_what_makes_them_unique() -> None:
    known: DuplicateFilter[int] = DuplicateFilter(entries=3, size_bytes=100, age_s=300)
    key = known.key("t", b"payload")
    assert known.find(key, 1, 0, unique=True, redelivered=True) is None
    first = known.add(key, 1, 0)
    assert known.find(key, 2, 1, unique=False, redelivered=False) is None, "a constant rqi is no duplicate"
    assert known.find(key, 2, 1, unique=False, redelivered=True) is None, "another packet"
    assert known.find(key, 1, 1, unique=False, redelivered=True) is first
    assert known.find(key, 2, 299, unique=True, redelivered=False) is first
    assert known.find(key, 2, 301, unique=True, redelivered=False) is None
    first.waiters.append(7)
    assert known.settle(first, b"x" * 60, key) == [7]
    other = known.add(known.key("t", b"2"), 2, 1)
    known.settle(other, b"x" * 60, known.key("t", b"2"))
    known.add(known.key("t", b"3"), 3, 1)
    assert known.find(key, 1, 1, unique=True, redelivered=False) is None, "the oldest goes when there is too much"
    for number in range(10):
        known.add(known.key("t", bytes([number])), number, 2)
    assert len(known) == 3
