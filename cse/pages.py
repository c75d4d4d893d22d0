"""What the HTTP port serves beside oneM2M: ``/_onemec``, ``/health``, ``/ready``, ``/metrics``, ``/console``, ..."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from cse.config import CseConfig
from cse.console.app import PREFIX as CONSOLE
from cse.console.app import Console
from cse.core.explanation import Explanation
from cse.delivery import Delivery
from cse.grafana import PREFIX as GRAFANA
from cse.grafana import Grafana
from cse.observability import Observability, Readings
from cse.onem2m.primitives import Request, Response
from cse.resources.declare import Privilege
from cse.security import Security
from cse.status_page import PREFIX, StatusPage


class Shown(Protocol):
    """The running CSE that the pages tell about; ``cse.app.Cse`` is one."""

    config: CseConfig
    delivery: Delivery
    security: Security
    console: Console | None
    #: process ids of all that are this CSE
    processes: Callable[[], Iterable[int]]

    @property
    def dialect_uses(self) -> Mapping[str, int]:
        """How often each dialect was met."""
        ...

    def readings(self) -> Readings:
        """How it is now."""
        ...

    def enter(self, request: Request) -> Awaitable[Response]:
        """Serve a request that came in over a binding."""
        ...

    def explain(
        self, who: str, privilege: Privilege, to: str, child: int | None, address: str, roles: Sequence[str]
    ) -> Explanation:
        """Why somebody may or may not do something."""
        ...


def prefixes(config: CseConfig) -> tuple[str, ...]:
    """Where the pages are that ``pages`` gives for such a CSE."""
    return (PREFIX, GRAFANA, *Observability.PATHS, *((CONSOLE,) if config.console else ()))


def pages(cse: Shown) -> dict[str, Any]:
    """The ASGI applications of a CSE by path prefix; each sees the whole path."""
    security, config = cse.security, cse.config
    status = StatusPage(
        cse.delivery,
        lambda: cse.dialect_uses,
        security.authenticate,
        lambda entity: entity in security.admins,
        lambda: config.insecure_dev or not security.admins,
        cse.explain,
    )
    seen = Observability(cse.readings, lambda: cse.processes())
    metrics = seen if config.open_metrics else status.guarding(seen)
    shown: dict[str, Any] = {PREFIX: status, "/health": seen, "/ready": seen, "/metrics": metrics}
    shown[GRAFANA] = Grafana(cse.enter, lambda: security.authenticate, believe_originators=config.insecure_dev)
    if cse.console is not None:
        shown[CONSOLE] = cse.console
    return shown


__all__ = ["Shown", "pages", "prefixes"]
