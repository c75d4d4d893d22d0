"""What a log line says about the request it is for; see ``onemec.logs`` for how it is shown."""

from __future__ import annotations

from cse.onem2m.primitives import Request


def about(request: Request) -> dict[str, str]:
    """The ``extra`` of a log call: the request identifier and the originator. Made only when something is logged."""
    return {"request_id": request.request_id, "originator": request.originator}
