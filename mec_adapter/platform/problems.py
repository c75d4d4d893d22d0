"""Errors of the MEC APIs as ProblemDetails values [MEC 009 6.15]; pure, so registries raise them too."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any


class Problem(Exception):
    """A request that cannot be served; becomes an `application/problem+json` answer.

    Attributes:
        status: HTTP status code.
        detail: a sentence that names the cause and says what to send instead.
        headers: extra response headers.
        members: extra members of the ProblemDetails.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})


class BadRequest(Problem):
    """400: the request is wrong in itself."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, detail)


class Forbidden(Problem):
    """403: not for this requester, or not in the present status."""

    def __init__(self, detail: str) -> None:
        super().__init__(403, detail)


class NotFound(Problem):
    """404: nothing is there."""

    def __init__(self, detail: str) -> None:
        super().__init__(404, detail)


class Conflict(Problem):
    """409: the state of the resource does not allow it now."""

    def __init__(self, detail: str) -> None:
        super().__init__(409, detail)


class PreconditionFailed(Problem):
    """412: If-Match names another version of the resource."""

    def __init__(self, detail: str) -> None:
        super().__init__(412, detail)


def problem_details(status: int, detail: str, instance: str) -> dict[str, Any]:
    """Return the ProblemDetails for one failed request.

    Args:
        status: HTTP status code.
        detail: what went wrong, for a person.
        instance: path of the request.
    """
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
