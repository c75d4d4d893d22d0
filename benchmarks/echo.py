"""A raw uvicorn ASGI application that answers a JSON body with the same body: what the machine allows.

``python -m benchmarks.echo PORT``
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import uvicorn


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Parse and dump the body, as little as an HTTP JSON service can do."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = orjson.dumps(orjson.loads(body))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")
