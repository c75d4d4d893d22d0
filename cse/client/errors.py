"""What can go wrong for an originator: the CSE says no, or nobody answers."""

from __future__ import annotations

from cse.onem2m.status import Status
from cse.ports import Unreachable

__all__ = ["RequestFailed", "Unreachable"]


class RequestFailed(Exception):
    """A CSE answered with an error (TS-0004 clause 6.6.3).

    Args:
        status: the response status code.
        debug: ``m2m:dbg`` of the answer: what was wrong, "" when the CSE did not say.
        what: the request in words, e.g. ``CREATE -/my-ae``.
    """

    def __init__(self, status: Status, debug: str, what: str) -> None:
        super().__init__(f"{what}: {int(status)} {status.name}" + (f": {debug}" if debug else ""))
        self.status = status
        self.debug = debug
        self.what = what
