"""libcoap's coap-client as the tests use it: one request, and the answer read from its log of messages.

Its own rule makes it drop answers with critical options it has no names for, which all oneM2M answers have; so the log
is read, and the client is ended when the answer is there.
"""

import asyncio
import contextlib
import json
import re
import shutil
from dataclasses import dataclass
from typing import Any

from tests.brokers import require_tool

_ANSWER = re.compile(r"v:1 t:(?:ACK|CON|NON) c:([245]\.\d\d) .*?\[(.*?)\](?: :: '(.*)')?$")
_RSC = re.compile(r"307:((?:\\x[0-9A-Fa-f]{2})+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        code: CoAP code, e.g. ``2.05``; "" when nothing came.
        rsc: oneM2M response status code, 0 without one.
        content: the JSON payload, None without one.
        log: everything the client said.
    """

    code: str
    rsc: int
    content: Any
    log: str


async def coap_client(
    tool: str, url: str, *words: str, originator: str, method: str = "get", ty: int | None = None,
    body: str = "", request_id: str = "r1", wait_s: int = 20, releases: str = "3",
) -> Answer:  # fmt: skip
    """Send one oneM2M request.

    Args:
        tool: which coap-client.
        url: of the target.
        words: further options, e.g. ``-u`` and ``-k``.
        originator: From.
        method: get, post, put or delete.
        ty: resource type of a CREATE.
        body: JSON payload.
        request_id: rqi.
        wait_s: how long the client waits.
        releases: rvi.
    """
    options = ["-m", method, "-O", f"279,{originator}", "-O", f"283,{request_id}", "-O", f"271,{releases}"]
    options += ["-O", f"267,0x{ty:02x}"] if ty is not None else []
    options += ["-t", "50", "-e", body] if body else []
    process = await asyncio.create_subprocess_exec(
        *([shutil.which("stdbuf") or "stdbuf", "-oL", "-eL"]), require_tool(tool), "-B", str(wait_s), "-v", "8",
        *words, *options, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1 << 20,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    try:
        async with asyncio.timeout(wait_s + 15):
            async for raw in process.stdout:
                lines.append(raw.decode(errors="replace").rstrip())
                found = _ANSWER.search(lines[-1])
                if found is not None:
                    rsc = _RSC.search(found[2])
                    number = int(rsc[1].replace("\\x", ""), 16) if rsc else 0
                    content = json.loads(found[3]) if found[3] else None
                    return Answer(found[1], number, content, "\n".join(lines))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await process.wait()
    return Answer("", 0, None, "\n".join(lines))
