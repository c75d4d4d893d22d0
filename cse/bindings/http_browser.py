"""What web pages of other origins may do with the HTTP binding: Cross-Origin Resource Sharing (trust.md R19).

Pure. Pages are allowed by name. Credentials (cookies, TLS client certificates) are never shared with them: a page names
its originator and its token in header fields of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

Header = tuple[bytes, bytes]

_METHODS = b"GET, POST, PUT, DELETE"
_ASKED = (
    b"Accept, Authorization, Content-Type, X-M2M-Origin, X-M2M-RI, X-M2M-RVI, X-M2M-GID, X-M2M-RTU, X-M2M-OT, "
    b"X-M2M-RST, X-M2M-RET, X-M2M-OET, X-M2M-EC, X-M2M-VSI, X-M2M-AS"
)
_SHOWN = (
    b"Content-Location, X-M2M-RSC, X-M2M-RI, X-M2M-RVI, X-M2M-Origin, X-M2M-OT, X-M2M-RST, X-M2M-EC, X-M2M-VSI, "
    b"X-M2M-CTS, X-M2M-CTO, X-M2M-ATI, X-M2M-ASRI"
)
#: how long a browser may remember what is allowed, in seconds
_MAX_AGE_S = b"600"


class CrossOrigin:
    """The allow list of pages, and the header fields that tell a browser of it.

    Args:
        origins: ``https://app.example`` and the like, or ``*`` for every page.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def fields(self, headers: Sequence[Header]) -> list[Header]:
        """The header fields that let the page read an answer; none when there is no page, or it is not allowed."""
        origin = _field(headers, b"origin")
        if not origin:
            return [] if self._any else [(b"Vary", b"Origin")]
        if self._any:
            return [(b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Expose-Headers", _SHOWN)]
        if origin not in self._origins:
            return [(b"Vary", b"Origin")]
        return [
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Expose-Headers", _SHOWN),
            (b"Vary", b"Origin"),
        ]

    def preflight(self, method: str, headers: Sequence[Header]) -> tuple[int, list[Header], bytes] | None:
        """The answer to a preflight request; None when this is none."""
        if method != "OPTIONS" or not _field(headers, b"access-control-request-method"):
            return None
        allowed = self.fields(headers)
        if not any(name == b"Access-Control-Allow-Origin" for name, _ in allowed):
            words = b"pages of this origin may not use this CSE: allow it with --cors-origin\n"
            fields = [*allowed, (b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(words))]
            return 403, fields, words
        fields = [field for field in allowed if field[0] != b"Access-Control-Expose-Headers"]
        fields += [
            (b"Access-Control-Allow-Methods", _METHODS),
            (b"Access-Control-Allow-Headers", _ASKED),
            (b"Access-Control-Max-Age", _MAX_AGE_S),
        ]
        return 204, fields, b""


def _field(headers: Sequence[Header], wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted), b"")
