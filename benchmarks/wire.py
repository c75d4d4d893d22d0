"""Pre-encoded requests of the load generator, per binding; ``MARK`` stands where the number of the request goes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from benchmarks.tally import MARK
from cse.bindings import coap_codec, coap_message
from cse.onem2m.primitives import Operation, Request

CONTENT_BYTES = 256
NUMBERED = "bench-" + MARK.decode()
#: the content of every instance: its number, then filled up
CONTENT = NUMBERED.ljust(CONTENT_BYTES, "x")
AE, CONTAINER, INSTANCE, GROUP, SUBSCRIPTION = 2, 3, 4, 9, 23
CREATED = 0x41
_RELEASE = "3"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who asks, and what each of its requests carries.

    Attributes:
        originator: AE-ID.
        token: bearer token, "" for none (HTTP only).
        host: Host header.
    """

    originator: str
    token: str = ""
    host: str = "127.0.0.1"

    def http(self, method: str, path: str, body: Any = None, ty: int = 0, originator: str = "") -> bytes:
        """One HTTP/1.1 request; ``path`` is a hierarchical address without its slash."""
        payload = json.dumps(body, separators=(",", ":")).encode() if body is not None else b""
        lines = [
            f"{method} /{path} HTTP/1.1",
            f"Host: {self.host}",
            f"X-M2M-Origin: {originator or self.originator}",
            f"X-M2M-RI: {NUMBERED}",
            f"X-M2M-RVI: {_RELEASE}",
            "Accept: application/json",
        ]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if payload:
            lines += [f"Content-Type: application/json;ty={ty}", f"Content-Length: {len(payload)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload

    def create_instance(self, container: str, originator: str = "") -> bytes:
        """CREATE of a contentInstance over HTTP."""
        return self.http("POST", container, instance(), INSTANCE, originator)

    def coap_create_instance(self, container: str) -> bytes:
        """CREATE of a contentInstance over CoAP: a CON message with a token of two bytes (TS-0008)."""
        request = Request(
            Operation.CREATE, container, self.originator, NUMBERED, INSTANCE, instance(), release=_RELEASE
        )
        message = coap_codec.encode_request(request, path=coap_codec.uri_path(container))
        message.token = b"\0\0"
        return coap_message.encode(message)

    def mqtt_create_instance(self, container: str) -> bytes:
        """CREATE of a contentInstance as the payload of an MQTT message (TS-0010)."""
        primitive = {
            "op": 1,
            "to": container,
            "fr": self.originator,
            "rqi": NUMBERED,
            "rvi": _RELEASE,
            "ty": INSTANCE,
            "pc": instance(),
        }
        return json.dumps(primitive, separators=(",", ":")).encode()

    def mqtt_topics(self, cse_id: str) -> tuple[str, str]:
        """Topics of its requests to a CSE and of the answers (TS-0010 clause 6.4)."""
        receiver = cse_id.strip("/").replace("/", ":")
        return tuple(f"/oneM2M/{kind}/{self.originator}/{receiver}/json" for kind in ("req", "resp"))  # type: ignore[return-value]


def instance() -> dict[str, Any]:
    """A contentInstance of 256 bytes."""
    return {"m2m:cin": {"con": CONTENT}}
