"""A CSE with its console, and a browser that fails a test on errors, foreign requests and violations of WCAG.

The browser is Playwright's synchronous one: a module of tests that uses it has no ``async def`` tests.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from cse.app import Cse
from cse.bindings.primitive_codec import decode_request, encode_response
from cse.config import load_config
from tests.brokers import require_tool

T = TypeVar("T")

#: a loaded machine is several times slower
PATIENCE_MS = 30_000
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
]
#: what axe may not find in any view
SERIOUS = ("serious", "critical")


class RunningCse:
    """A CSE in a thread of its own, for tests that cannot await."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cse", daemon=True)
        self._thread.start()
        self._numbers = itertools.count(1)
        self.cse = Cse(load_config({"http": "127.0.0.1:0", "insecure_dev": True, "admin": ("CAdmin",), **options}))
        self.wait(self.cse.start())

    @property
    def url(self) -> str:
        """Of its HTTP port."""
        return self.cse.addresses()["http"]

    def wait(self, work: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
        """Run something in the thread of the CSE, and return what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def ask(
        self, op: int, to: str, fr: str = "CAdmin", *, binding: str = "http", credential: str = "", **more: Any
    ) -> dict[str, Any]:
        """Have a request served as if it had come over a binding; gives the response primitive."""
        primitive = {"op": op, "to": to, "fr": fr, "rqi": f"t{next(self._numbers)}", "rvi": "3", **more}
        request = decode_request(primitive, lenient=False)
        request.binding, request.peer_address, request.credential = binding, "127.0.0.1", credential
        return encode_response(self.wait(self.cse.enter(request)))

    def create(self, to: str, ty: int, root: str, attributes: dict[str, Any], fr: str = "CAdmin") -> dict[str, Any]:
        """Create a resource; gives its attributes."""
        answer = self.ask(1, to, fr, ty=ty, pc={root: attributes})
        assert answer["rsc"] == 2001, answer
        made: dict[str, Any] = answer["pc"][root]
        return made

    def stop(self) -> None:
        """Stop it."""
        self.wait(self.cse.stop(1.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def running_cse(**options: Any) -> Iterator[RunningCse]:
    """A CSE for the length of a block."""
    running = RunningCse(**options)
    try:
        yield running
    finally:
        running.stop()


class Watched:
    """A page, and what went wrong in it.

    Args:
        context: of the browser, with one page to come.
        url: of the CSE; whatever else the page asks for is foreign.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.problems: list[str] = []
        #: beginnings of problems that a test expects
        self.expected: list[str] = []
        self._home = urlsplit(url).netloc
        context.on("request", lambda request: self._asked(request.url))
        context.on(
            "console", lambda message: self._said(message.type, f"{message.text} {message.location.get('url', '')}")
        )
        context.on("weberror", lambda error: self.problems.append(f"error: {error.error}"))
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme != "data" and urlsplit(url).netloc != self._home:
            self.problems.append(f"foreign request: {url}")

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(f"{kind}: {text}")

    def check(self) -> None:
        """Fail when something went wrong that was not expected."""
        left = [one for one in self.problems if not any(one.startswith(words) for words in self.expected)]
        assert left == []


#: opens a view: ``open_view(url, "tree?to=cse-in", scheme="dark", width=360, token="...")``
OpenView = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, one for a module."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        running = playwright.chromium.launch(executable_path=require_tool("chromium"), args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def house() -> Iterator[RunningCse]:
    """A CSE that believes originators, with the administrator CAdmin; one for a module."""
    with running_cse() as running:
        yield running


@pytest.fixture
def open_view(browser: Browser) -> Iterator[OpenView]:
    """Opens views of a console; at the end of the test each page must be without errors and foreign requests."""
    opened: list[tuple[BrowserContext, Watched]] = []

    def open_it(
        url: str, view: str = "", *, scheme: Any = "light", width: int = 1280, height: int = 800, token: str = ""
    ) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        watched = Watched(context, url)
        opened.append((context, watched))
        if token:
            context.add_init_script(f"sessionStorage.setItem('onemec.token', {token!r})")
        watched.page.goto(f"{url}/console/" + (f"#/{view}" if view else ""))
        return watched

    yield open_it
    for context, watched in opened:
        context.close()
        watched.check()


def check_accessible(page: Page) -> None:
    """Fail when axe finds a serious or critical violation in what is shown."""
    found = Axe().run(page).response["violations"]
    serious = [
        f"{one['id']}: {one['help']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]
    assert serious == []


def check_fits(page: Page) -> None:
    """Fail when the page is wider than its window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels too wide"


def picture(page: Page, name: str) -> None:
    """Keep a picture of a view for people to look at, where ONEMEC_PICTURES names a folder."""
    import os

    folder = os.environ.get("ONEMEC_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
