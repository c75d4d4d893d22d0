"""Where subscribers open the WebSockets that `websockNotifConfig` named to them [MEC 009 6.12a]."""

from fastapi import APIRouter, WebSocket

from mec_adapter.platform.http import problem_response
from mec_adapter.platform.problems import Forbidden, Problem
from mec_adapter.platform.shell import Platform

router = APIRouter()


@router.websocket("/notifications/{key}")
async def notifications(socket: WebSocket, key: str) -> None:
    """Send the notifications of one subscription as JSON text frames; refused handshakes are ProblemDetails."""
    platform: Platform = socket.app.state.platform
    try:
        scope, record = platform.socket_subscription(key)
        platform.admit(socket, scope)
        client = platform.client_of(socket)
        if client is not None and record["owner"] != client:
            raise Forbidden("this WebSocket belongs to a subscription of another client")
    except Problem as problem:
        refusal = problem_response(socket, problem)
        if "websocket.http.response" in socket.scope.get("extensions", {}):
            await socket.send_denial_response(refusal)
        else:
            await socket.close()
        return
    await platform.sockets.serve(record["id"], socket)
