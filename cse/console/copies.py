"""A request that was seen, as lines to paste: curl, mosquitto_rr, coap-client, Python. They never hold a token."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import quote, urlsplit

from cse.bindings.coap_codec import encode_request as coap_request
from cse.bindings.coap_codec import uri_path
from cse.bindings.coap_message import CONTENT_FORMAT, URI_PATH, URI_QUERY
from cse.bindings.http_codec import encode_request as http_request
from cse.bindings.mqtt_codec import Topic, to_topic_level
from cse.bindings.primitive_codec import encode_request as primitive_of
from cse.onem2m.errors import BadRequest
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.serialisation import dump_json

_METHODS = {
    Operation.CREATE: "post",
    Operation.RETRIEVE: "get",
    Operation.UPDATE: "put",
    Operation.DELETE: "delete",
    Operation.NOTIFY: "post",
}
#: set by the bindings, or filled in by the client
_OWN = frozenset({"operation", "to", "originator", "request_id", "release"})
_NEVER = frozenset({"credential", "credential_id", "peer_address", "binding", "tokens", "authorization_signatures"})
#: options from here on are numbers for coap-client, those of oneM2M among them
_AE = 2


def copies(request: Request, addresses: Mapping[str, str], cse_id: str, *, proves: bool) -> dict[str, str]:
    """The lines by tool; a tool whose binding the CSE has not, or that cannot say this, is left out.

    Args:
        request: what to send.
        addresses: URLs of the CSE by binding.
        cse_id: its CSE-ID.
        proves: originators have to prove who they are: the lines read a token from ``$TOKEN``, a key from ``$PSK``.
    """
    found = {}
    for name, binding, write in (
        ("curl", "http", _curl),
        ("mosquitto_rr", "mqtt", _mosquitto),
        ("coap-client", "coaps" if proves else "coap", _coap),
        ("Python", "http", _python),
    ):
        url = addresses.get(binding)
        if url is None:
            continue
        try:
            found[name] = write(request, url, cse_id, proves)
        except BadRequest:
            continue  # a header or an option cannot hold it
    return found


def _curl(request: Request, url: str, _cse_id: str, proves: bool) -> str:
    method, target, headers, body = http_request(request, url, exact_url=False)
    words = ["curl", *([] if method == "GET" else ["-X", method]), shlex.quote(target)]
    for name, value in headers:
        words += ["-H", shlex.quote(f"{name}: {value}")]
    if proves:
        words += ["-H", '"Authorization: Bearer $TOKEN"']
    if body:
        words += ["-d", shlex.quote(body.decode())]
    return " ".join(words)


def _mosquitto(request: Request, url: str, cse_id: str, proves: bool) -> str:
    broker, user = urlsplit(url), to_topic_level(request.originator)
    registers = request.operation is Operation.CREATE and request.resource_type == _AE
    topic = Topic("reg_req" if registers else "req", user, to_topic_level(cse_id), "json")
    words = ["mosquitto_rr", "-V", "311", "-h", broker.hostname or "127.0.0.1"]
    words += ["-p", str(broker.port or (8883 if broker.scheme == "mqtts" else 1883))]
    words += ["--tls-use-os-certs"] if broker.scheme == "mqtts" else []
    words += ["-u", user, "-P", '"$TOKEN"'] if proves else []
    words += ["-q", "1", "-t", topic.text(), "-e", topic.answer().text()]
    return " ".join([*words, "-m", shlex.quote(dump_json(primitive_of(request)).decode())])


def _coap(request: Request, url: str, _cse_id: str, proves: bool) -> str:
    message = coap_request(request, path=uri_path(request.to.partition("#")[0]))
    path = "/".join(quote(value.decode(), safe="") for number, value in message.options if number == URI_PATH)
    query = "&".join(quote(value.decode(), safe="=:,*+") for number, value in message.options if number == URI_QUERY)
    words = ["coap-client", "-m", _METHODS[request.operation]]
    words += ["-u", request.originator, "-k", '"$PSK"'] if proves else []
    for number, value in message.options:
        if number not in (URI_PATH, URI_QUERY, CONTENT_FORMAT):
            text = value.decode("utf-8", "replace")
            shown = shlex.quote(text) if text.isprintable() and text else f"0x{value.hex() or '00'}"
            words += ["-O", f"{number},{shown}"]
    if message.payload:
        words += ["-t", "50", "-e", shlex.quote(message.payload.decode())]
    return " ".join([*words, shlex.quote(f"{url}/{path}" + (f"?{query}" if query else ""))])


def _python(request: Request, url: str, _cse_id: str, proves: bool) -> str:
    parts = [f"Operation.{request.operation.name}", repr(request.to)]
    defaults = Request(request.operation, request.to)
    for field in fields(Request):
        value = getattr(request, field.name)
        if field.name not in _OWN | _NEVER and value != getattr(defaults, field.name):
            parts.append(f"{field.name}={value!r}")
    where = repr(url)
    if proves:
        scheme, _, rest = url.partition("://")
        where = f"f\"{scheme}://{request.originator}:{{os.environ['TOKEN']}}@{rest}\""
    return "\n".join(
        [
            "import asyncio",
            *(["import os"] if proves else []),
            "",
            "from cse.client import Client",
            "from cse.onem2m.primitives import Operation, Request",
            "",
            "",
            "async def main() -> None:",
            f"    async with Client({where}, originator={request.originator!r}) as client:",
            f"        response = await client.request(Request({', '.join(parts)}))",
            "        print(response.status.name, response.content)",
            "",
            "",
            "asyncio.run(main())",
        ]
    )


__all__ = ["copies"]
