"""The files of the page: read once from the package, sent with headers that let nothing else in (trust.md R19)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

Header = tuple[bytes, bytes]

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
#: on every answer: the page loads its own files and talks to its own origin, and nobody may frame it
HEADERS: tuple[Header, ...] = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Attributes:
        media_type: of HTTP.
        body: its bytes.
        tag: an entity tag, with quotes.
    """

    media_type: bytes
    body: bytes
    tag: bytes


def read_assets(folder: Path = _FOLDER) -> dict[str, Asset]:
    """Every file of the page by its path below it; ``index.html`` under "" too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        media_type = _TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            body = path.read_bytes()
            tag = b'"' + hashlib.sha256(body).hexdigest()[:24].encode() + b'"'
            found[path.relative_to(folder).as_posix()] = Asset(media_type, body, tag)
    found[""] = found["index.html"]
    return found


__all__ = ["HEADERS", "Asset", "read_assets"]
