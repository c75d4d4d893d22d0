"""URLs of requests and notification targets: addresses as paths, parameters as queries (TS-0009 clause 6.2).

``split_url`` reads the ``ct`` parameter with which a notification target asks for a serialisation.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from cse.bindings.media import MEDIA_TYPES, SERIALISATIONS
from cse.bindings.query_codec import query_pairs
from cse.onem2m.primitives import Request


def path_of(to: str) -> str:
    """The path that addresses ``to`` (TS-0009 clause 6.2.3), percent-encoded; a ``#attribute`` is left out."""
    address = to.partition("#")[0]
    if address.startswith("//"):
        address = "/_" + address[1:]
    elif address.startswith("/"):
        address = "/~" + address
    else:
        address = "/" + address
    return quote(address, safe="/-._~")


def split_url(url: str) -> tuple[str, str | None]:
    """A URL without its ``ct`` parameter, and the serialisation that parameter names (``json`` or ``cbor``) or None."""
    if "ct=" not in url:
        return url, None
    parts = urlsplit(url)
    kept, serialisation = [], None
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name == "ct":
            serialisation = value if value in MEDIA_TYPES else SERIALISATIONS.get(value, serialisation)
        else:
            kept.append(pair)
    return urlunsplit(parts._replace(query="&".join(kept))), serialisation


def request_url(request: Request, url: str) -> str:
    """The URL of a request to an entity: its point of access, the converted ``to``, and the request parameters."""
    parts = urlsplit(url)
    # Peers expect the attributes of a partial retrieve joined; short names hold nothing that needs an escape.
    attributes = [*(request.attribute_list or []), *filter(None, [request.to.partition("#")[2]])]
    pairs = [f"atrl={'+'.join(quote(name, safe='') for name in attributes)}"] if attributes else []
    pairs += [
        f"{quote(name, safe='')}={quote(value, safe=':/,*')}" for name, value in query_pairs(request) if name != "atrl"
    ]
    query = "&".join(pairs)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path_of(request.to), query=query, fragment=""))
