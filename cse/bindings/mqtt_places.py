"""The topics messages come in on, taken apart once: senders use few topics (TS-0010 clause 6.4). Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from cse.bindings import mqtt_codec as codec
from cse.bindings.mqtt_codec import Topic
from cse.onem2m.errors import BadRequest

_KNOWN_TOPICS = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """A topic of a message, taken apart, with what follows from it for every request on it.

    Attributes:
        text: the topic.
        topic: its levels.
        serialisation: ``json`` or ``cbor``.
        answer: the topic of the response, "" when it is no topic of requests.
        ours: requests on it are for this entity.
        originator: the originator as who the topic names writes it in a request; "" when that depends on more.
    """

    text: str
    topic: Topic
    serialisation: str
    answer: str
    ours: bool
    originator: str


class Places:
    """The topics an entity has heard of, bounded in number.

    Args:
        own: topic level of the entity.
        prefixes: what may stand before ``/oneM2M``; others may be added to the list.
        is_cse: a CSE takes registrations.
        lenient: accept the form of Release 1 without type.
    """

    def __init__(self, own: str, prefixes: list[str], *, is_cse: bool, lenient: bool) -> None:
        self._own, self._prefixes, self._is_cse, self._lenient = own, prefixes, is_cse, lenient
        self._known: dict[bytes, Place] = {}

    def get(self, text: bytes) -> Place | None:
        """A topic taken apart; None when it is not of oneM2M."""
        return self._known.get(text) or self._learn(text)

    def _learn(self, text: bytes) -> Place | None:
        try:
            topic_text = text.decode()
        except UnicodeDecodeError:
            return None
        for prefix in self._prefixes:
            topic = codec.parse_topic(topic_text, prefix, lenient=self._lenient)
            if topic is not None:
                if len(self._known) >= _KNOWN_TOPICS:
                    self._known.clear()
                place = self._known[text] = self._survey(topic_text, topic, prefix)
                return place
        return None

    def _survey(self, text: str, topic: Topic, prefix: str) -> Place:
        answer = topic.answer().text(prefix) if topic.kind in codec.ANSWERS else ""
        ours = topic.receiver == self._own and (topic.kind != codec.REGISTRATION_REQUEST or self._is_cse)
        originator = ""
        if topic.kind == codec.REQUEST and topic.originator != self._own:
            with suppress(BadRequest):
                originator = codec.from_topic_level(topic.originator)
        return Place(text, topic, topic.serialisation, answer, ours, originator)
