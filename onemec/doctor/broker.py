"""The MQTT broker: is it there, does it take our credentials, does its ACL let us work, is our client id our own?"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onemec.doctor.findings import Finding, ok, problem, skipped

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

    from cse.bindings.mqtt_codec import BrokerUrl
    from cse.config import CseConfig

_WAIT_S = 5.0
#: a rival with our client id that was thrown out comes back within so long (clients wait a second or two)
_RIVAL_S = 4.0
_BAD_CREDENTIALS, _NOT_ALLOWED = 134, 135
_REFUSED = 0x80


def look_at_broker(config: CseConfig, *, cse_runs: bool) -> Iterator[Finding]:
    """All of it.

    Args:
        config: of the CSE.
        cse_runs: the CSE is running, so that its client id is in use rightly.
    """
    from cse.bindings.mqtt_codec import parse_url
    from cse.onem2m.errors import BadRequest

    if not config.mqtt:
        yield skipped("broker", "no --mqtt is configured")
        return
    try:
        broker = parse_url(config.mqtt)
    except BadRequest as error:
        yield problem("broker", error.debug, "give --mqtt mqtt://host:1883")
        return
    unreachable = _reach(broker)
    if unreachable is not None:
        yield unreachable
        return
    yield from _look_inside(config, broker, cse_runs)


def _reach(broker: BrokerUrl) -> Finding | None:
    try:
        with socket.create_connection((broker.host, broker.port), timeout=_WAIT_S):
            return None
    except socket.gaierror as error:
        return problem("broker", f"{broker.host} is no host name that is known here: {error.strerror}", "mend --mqtt")
    except OSError as error:
        words = f"nothing answers at {broker.address}: {error.strerror or error}"
        return problem("broker", words, "start the broker, or give another with --mqtt")


def _look_inside(config: CseConfig, broker: BrokerUrl, cse_runs: bool) -> Iterator[Finding]:
    own = config.id.removeprefix("/")
    try:
        with _session(broker, config) as session:
            yield ok("broker", f"{broker.address} answers, and takes " + (broker.user or "clients without a name"))
            yield from _look_at_rights(session, broker, own)
    except _NoSession as error:
        yield problem("broker", f"{broker.address}: {error}", error.advice)
        return
    if config.mqtt_acl:
        yield _strangers(broker, config)
    yield (
        _rival(config, broker, own)
        if not cse_runs
        else skipped(
            "client id", f"C::{own} is used by the CSE that runs; whether somebody else has it too, /ready tells"
        )
    )


def _look_at_rights(session: _Session, broker: BrokerUrl, own: str) -> Iterator[Finding]:
    """Whether the CSE may subscribe to requests, and get and send responses: tried with topics of its own."""
    prefix = f"{broker.prefix}/oneM2M" if broker.prefix else "/oneM2M"
    advice = "allow it in the ACL of the broker; onemec device mosquitto writes one"
    refused = [
        text
        for text in (f"{prefix}/req/+/{own}/#", f"{prefix}/reg_req/+/{own}/#", f"{prefix}/resp/{own}/#")
        if session.subscribe(text) >= _REFUSED
    ]
    if refused:
        who = broker.user or "clients without a name"
        yield problem("broker ACL", f"{who} may not subscribe to {', '.join(refused)}", advice)
        return
    # A response to a request nobody made: a CSE that runs ignores it.
    to, said = f"{prefix}/resp/{own}/{own}/json", json.dumps({"rsc": 2000, "rqi": f"doctor-{secrets.token_hex(8)}"})
    if session.comes_back(to, said):
        yield ok("broker ACL", f"requests to {own} can be received, and answered")
    else:
        yield problem("broker ACL", f"what is published to {to} does not arrive, though it is subscribed to", advice)


def _strangers(broker: BrokerUrl, config: CseConfig) -> Finding:
    """With --mqtt-acl the broker must not let in whoever comes."""
    from dataclasses import replace

    try:
        with _session(replace(broker, user="", password=""), config) as session:
            if session.subscribe("/oneM2M/#") < _REFUSED and session.comes_back(
                f"/oneM2M/req/doctor-{secrets.token_hex(4)}/nobody/json", "{}"
            ):
                return problem(
                    "broker strangers",
                    f"--mqtt-acl says that {broker.address} binds topics to users, but anybody may use any topic there",
                    "allow_anonymous false and an acl_file (onemec device mosquitto), or drop --mqtt-acl",
                )
    except _NoSession:
        return ok("broker strangers", f"{broker.address} lets nobody in without a name")
    return ok("broker strangers", f"{broker.address} lets strangers in, but not to topics of oneM2M")


def _rival(config: CseConfig, broker: BrokerUrl, own: str) -> Finding:
    """Whether another client has our client id: whoever we throw out comes back and throws us out."""
    check, client_id = "client id", f"C::{own}"
    try:
        with _session(broker, config, client_id) as session:
            thrown_out = session.ended.wait(_RIVAL_S)
    except _NoSession as error:
        return problem(check, f"{broker.address} does not take the client id {client_id}: {error}", error.advice)
    if thrown_out:
        return problem(
            check,
            f"another client of {broker.address} uses {client_id} too: each throws the other out",
            f"stop it, or give this CSE another --id than {config.id}",
        )
    return ok(check, f"nobody else uses {client_id}")


class _NoSession(Exception):
    """The broker does not let us in; with what to do."""

    def __init__(self, words: str, advice: str) -> None:
        super().__init__(words)
        self.advice = advice


@dataclass(slots=True)
class _Session:
    """A connection to a broker, in a thread of paho's."""

    client: mqtt.Client
    connected: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    code: int = 0
    granted: int = _REFUSED
    awaited: bytes = b""

    def on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """CONNACK came."""
        self.code = reason.value
        self.connected.set()

    def on_disconnect(self, *_: Any) -> None:
        """The connection ended."""
        self.ended.set()
        self.connected.set()

    def on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        """SUBACK came."""
        self.granted = reasons[0].value if reasons else _REFUSED
        self.answered.set()

    def on_message(self, _client: Any, _data: Any, message: Any) -> None:
        """PUBLISH came; it is not acknowledged, so that what waits for the CSE goes on waiting."""
        if message.payload == self.awaited:
            self.arrived.set()

    def subscribe(self, text: str) -> int:
        """The granted QoS, or a code of refusal."""
        self.answered.clear()
        self.granted = _REFUSED
        self.client.subscribe(text, 0)
        self.answered.wait(_WAIT_S)
        return self.granted

    def comes_back(self, topic: str, said: str) -> bool:
        """Whether what is published arrives again, over a subscription made before."""
        self.awaited = said.encode()
        self.arrived.clear()
        self.client.publish(topic, said, qos=0)
        return self.arrived.wait(_WAIT_S)


@contextmanager
def _session(broker: BrokerUrl, config: CseConfig, client_id: str = "") -> Iterator[_Session]:
    """A session with a client id of its own, or with one whose session is not disturbed.

    Raises:
        _NoSession: the broker does not let us in.
    """
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id or f"doctor-{secrets.token_hex(6)}",
        clean_session=not client_id,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    session = _Session(client)
    client.on_connect, client.on_disconnect = session.on_connect, session.on_disconnect
    client.on_subscribe, client.on_message = session.on_subscribe, session.on_message
    if broker.user:
        client.username_pw_set(broker.user, broker.password)
    try:
        if broker.tls:
            client.tls_set(config.mqtt_ca or None, config.mqtt_cert or None, config.mqtt_key or None)
        client.connect(broker.host, broker.port, keepalive=30)
    except ssl.SSLError as error:
        raise _NoSession(f"TLS fails: {error.reason or error}", "mend --mqtt-ca, --mqtt-cert and --mqtt-key") from error
    except (OSError, ValueError) as error:
        raise _NoSession(str(error), "is this the port of an MQTT broker?") from error
    client.loop_start()
    try:
        if not session.connected.wait(_WAIT_S) or (session.ended.is_set() and not session.code):
            raise _NoSession("it takes connections, but does not speak MQTT 3.1.1", "is this the port of a broker?")
        if session.code:
            raise _refused(session.code, broker)
        yield session
    finally:
        client.disconnect()
        client.loop_stop()


def _refused(code: int, broker: BrokerUrl) -> _NoSession:
    if code in (_BAD_CREDENTIALS, _NOT_ALLOWED):
        who = f"the user {broker.user} with this password" if broker.user else "clients without user and password"
        return _NoSession(
            f"it refuses {who}",
            "give a user it knows: --mqtt mqtt://user:password@host (ONEMEC_CSE_MQTT), see onemec device mosquitto",
        )
    return _NoSession(f"it refuses the connection with code {code}", "look into the log of the broker")
