"""Runs the embedded MEC platform: listens, says when it does, ends cleanly."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn

from mec_adapter.platform.config import HeartbeatPolicy, NotificationPolicy, PlatformConfig, PlatformStartError, check
from mec_adapter.platform.server import create_app

__all__ = ["HeartbeatPolicy", "NotificationPolicy", "PlatformConfig", "PlatformStartError", "serve"]


async def serve(config: PlatformConfig, ready: Callable[[str], None] | None = None) -> None:
    """Run a platform until this task is cancelled.

    Args:
        config: what to run.
        ready: called once with the URL of the platform when it listens.

    Raises:
        PlatformStartError: the configuration is refused, the port is in use, or a file cannot be used.
    """
    check(config)
    listener = _listen(config)
    try:
        app = create_app(config)
        settings = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ssl_certfile=config.tls_certificate,
            ssl_keyfile=config.tls_key,
            timeout_graceful_shutdown=3,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=16_384,
            ws_max_size=65_536,
            ws_max_queue=4,
        )
        try:
            settings.load()
            if settings.ssl is not None:
                settings.ssl.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever the machine's OpenSSL allows
        except (OSError, ssl.SSLError) as error:
            raise PlatformStartError(
                f"cannot use tls_certificate {config.tls_certificate} with its key: {error}"
            ) from error
        await _run(_Server(settings, lambda: ready and ready(_url(config, listener))), listener)
    finally:
        listener.close()


def _listen(config: PlatformConfig) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PlatformStartError(f"cannot listen on {config.host}:{config.port}: {error.strerror}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise PlatformStartError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; stop what uses it or choose another port"
        ) from error
    listener.setblocking(False)
    return listener


def _url(config: PlatformConfig, listener: socket.socket) -> str:
    scheme = "https" if config.tls_certificate else "http"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}{config.prefix}"


class _Server(uvicorn.Server):
    """A uvicorn server that says when it listens and leaves signals to its caller."""

    def __init__(self, settings: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(settings)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers: whoever runs the task decides what ends it."""
        yield


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until cancelled; then finish the requests under way and return."""
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.wait({serving})
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait({serving})
    await serving
    if not server.started:
        raise PlatformStartError("the platform could not start; its log says why")
