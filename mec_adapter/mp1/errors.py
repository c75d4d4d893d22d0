"""What can go wrong on Mp1, as exceptions; ProblemDetails become sentences [MEC 009 6.15]."""

from __future__ import annotations

from typing import Any


class Mp1Error(Exception):
    """A request on Mp1 did not succeed."""


class Mp1Unreachable(Mp1Error):
    """No answer: no connection, a broken one, or nothing within the time allowed."""


class Mp1Problem(Mp1Error):
    """The platform answered with an error.

    Attributes:
        status: HTTP status code.
        detail: what the platform said, in words.
        retry_after_s: pause the platform asked for, else None.
    """

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


def problem(status: int, reason: str, body: Any, retry_after: str | None) -> Mp1Problem:
    """An error answer as an exception.

    Args:
        status: HTTP status code.
        reason: HTTP reason phrase.
        body: decoded JSON, or None; ProblemDetails, wrapped or not, or anything else.
        retry_after: the header's value.
    """
    if isinstance(body, dict) and isinstance(body.get("ProblemDetails"), dict):
        body = body["ProblemDetails"]
    detail = ""
    if isinstance(body, dict):
        detail = str(body.get("detail") or body.get("title") or "")
    pause = float(retry_after) if retry_after and retry_after.isdigit() else None
    return Mp1Problem(status, (detail or reason or "no reason given")[:500], pause)
