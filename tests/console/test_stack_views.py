"""Map, MEC registry, cloud sync and handover in a real browser, on a platform, a cloud, an edge CSE and an adapter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.credentials import CredentialFile, new_credential
from cse.storage.sqlite import SqliteStore
from mec_adapter.handover import Handover, edge_of, journal_of
from tests.brokers import free_port
from tests.console.conftest import OpenView, RunningCse, check_accessible, check_fits, picture, running_cse
from tests.mec.adapter_fixtures import ADMIN, ChaosProxy, cse_settings, running_adapter, until
from tests.mec.adapter_fixtures import running_cse as running_cse_here
from tests.mec.conftest import running as running_mep

HOSTILE = "<img src=x onerror=alert(1)>"
#: an AE that posts nothing for so long is INACTIVE
SILENT_AFTER_S = 2.0
SVG = "{http://www.w3.org/2000/svg}"


class Town:
    """A MEC platform, a cloud, an edge CSE with its console, and its adapter.

    Args:
        folder: for the stores.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cloud_port, adapter_port = free_port(), free_port()
        self._stack = contextlib.AsyncExitStack()
        self.proxy = ChaosProxy(adapter_port)
        self._posting: dict[str, asyncio.Event] = {}
        self._cloud: Cse | None = None
        self.tasks: list[asyncio.Task[None]] = []
        proxy_port = free_port()
        self.edge = RunningCse(
            type="MN",
            id="/id-edge",
            name="cse-edge",
            registrar=f"http://127.0.0.1:{self._cloud_port}",
            registration_check_s=0.3,
            console_peers=(f"adapter=http://127.0.0.1:{proxy_port}",),
        )
        self.edge.wait(self._start(adapter_port, proxy_port))

    async def _start(self, adapter_port: int, proxy_port: int) -> None:
        await self._start_cloud()
        self.mep = await self._stack.enter_async_context(running_mep())
        await self._stack.enter_async_context(
            running_adapter(
                cse_url=self.edge.url,
                mep_url=self.mep.url,
                listen=f"127.0.0.1:{adapter_port}",
                ae_silent_after_s=SILENT_AFTER_S,
                sync={
                    "cloud_url": f"http://127.0.0.1:{self._cloud_port}",
                    "paths": ["cse-edge/*/data"],
                    "outbox": str(self._folder / "outbox.db"),
                    "retry_longest_s": 0.5,
                    "audit_s": 1.0,
                },
            )
        )
        server = await asyncio.start_server(self.proxy._serve, "127.0.0.1", proxy_port)
        self._stack.callback(server.close)

    async def _start_cloud(self) -> None:
        store = SqliteStore(self._folder / "cloud.db", ballast_bytes=0)
        self._cloud = Cse(CseConfig(**cse_settings("IN", http=f"127.0.0.1:{self._cloud_port}")), store=store)
        await self._cloud.start()

    def start_cloud(self) -> None:
        """Start the cloud on what it had."""
        self.edge.wait(self._start_cloud())

    def stop_cloud(self) -> None:
        """Stop the cloud."""
        assert self._cloud is not None
        self.edge.wait(self._cloud.stop(0.5))
        self._cloud = None

    def register(self, name: str, *labels: str, posts: bool = True) -> None:
        """Register an AE that is exposed, with a container ``data``; it posts ten times a second until ``silence``."""
        self._posting[name] = asyncio.Event()
        self.edge.wait(self._register(name, [*labels, "mec:expose"]))
        if posts:
            self.speak(name)

    async def _register(self, name: str, labels: list[str]) -> None:
        client = await self._stack.enter_async_context(Client(self.edge.url, originator=f"C{name}"))
        await client.register(f"Norg.example.{name}", name, labels=labels)
        await client.create_container(f"-/{name}", "data")

    def speak(self, name: str) -> None:
        """Have it post."""
        self._posting[name] = silent = asyncio.Event()

        async def post() -> None:
            client = await self._stack.enter_async_context(Client(self.edge.url, originator=f"C{name}"))
            number = 0
            while not silent.is_set():
                number += 1
                await client.post(f"-/{name}/data", number, rcn=0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(silent.wait(), 0.1)

        async def begin() -> None:
            self.tasks.append(asyncio.create_task(post()))

        self.edge.wait(begin())

    def silence(self, name: str) -> None:
        """Have it post no more."""
        self._posting[name].set()

    def move(self, ae_id: str) -> float:
        """Move an AE to another edge CSE, which ends then; returns the measured gap."""
        return self.edge.wait(self._move(ae_id), 60.0)

    async def _move(self, ae_id: str) -> float:
        async with contextlib.AsyncExitStack() as stack:
            other = await stack.enter_async_context(running_cse_here("MN", id="/id-other", name="cse-other"))
            urls = self.edge.url, other.addresses()["http"]
            clients = [await stack.enter_async_context(Client(url, originator=ADMIN)) for url in urls]
            source, target = [await edge_of(client, url) for client, url in zip(clients, urls, strict=True)]
            journal = journal_of(source, target)
            (outcome, failed) = await Handover(source, target, journal=journal).run([ae_id, "Cnobody"])
            await journal.close()
            assert outcome.trouble == ""
            assert failed.trouble
            return outcome.attach_s

    def stop(self) -> None:
        """End everything."""
        for silent in self._posting.values():
            silent.set()

        async def end() -> None:
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await self._stack.aclose()
            if self._cloud is not None:
                await self._cloud.stop(0.5)

        self.edge.wait(end(), 60.0)
        self.edge.stop()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    built = Town(tmp_path_factory.mktemp("town"))
    yield built
    built.stop()


def part(page: Page, name: str) -> Any:
    """The part of the map that is an AE."""
    return page.locator(f'.map-part[data-id="ae:cse-edge/{name}"]')


def test_an_ae_appears_and_when_it_goes_silent_it_becomes_inactive(town: Town, open_view: OpenView) -> None:
    page = open_view(town.edge.url, "map").page
    expect(page.locator('.map-part[data-id="cse"]')).to_have_attribute("aria-label", "CSE /id-edge")
    expect(part(page, "gw")).to_have_count(0)
    town.register("gw", "onemec:device", "kind:gateway")
    expect(part(page, "gw")).to_have_attribute("aria-label", "AE gw, ACTIVE")
    expect(page.locator('.map-part[data-id^="group:gateway"]')).to_have_attribute(
        "aria-label", re.compile("HTTP, 1 ACTIVE")
    )
    expect(page.locator(".map-part[aria-label='Application instance of gw, ACTIVE']")).to_have_count(1)
    page.get_by_text("The map as tables").click()
    link = page.get_by_role("region", name="Connections").get_by_role("row").filter(has_text="gateway http")
    expect(link).to_contain_text(re.compile(r"[1-9]\d*(\.\d)?/s"))
    picture(page, "map-active")

    town.silence("gw")
    expect(part(page, "gw")).to_have_attribute("aria-label", "AE gw, INACTIVE")
    expect(part(page, "gw")).to_contain_text("INACTIVE")
    expect(page.locator("#announcer")).to_have_text("gw is INACTIVE")
    expect(page.locator(".map-part[aria-label='Application instance of gw, INACTIVE']")).to_have_count(1)
    picture(page, "map-inactive")

    registry = open_view(town.edge.url, "mec").page
    row = registry.get_by_role("region", name="Application instances").get_by_role("row").filter(has_text="cse-edge/gw")
    expect(row).to_contain_text("INACTIVE")
    picture(registry, "mec-inactive")
    town.speak("gw")
    expect(row).not_to_contain_text("INACTIVE")
    expect(row).to_contain_text("ACTIVE")
    expect(part(page, "gw")).to_have_attribute("aria-label", "AE gw, ACTIVE")


def test_the_cloud_goes_and_comes_back(town: Town, open_view: OpenView) -> None:
    town.register("buffered", posts=False)
    page = open_view(town.edge.url, "sync").page
    pending, lag = page.locator("#sync-pending .figure"), page.locator("#sync-lag .figure")
    expect(page.locator("#sync-cloud .badge")).to_have_text("up")
    town.stop_cloud()
    town.speak("buffered")
    expect(page.locator("#sync-cloud .badge")).to_have_text("down")
    expect(pending).to_have_text(re.compile(r"^[1-9]\d+$"))
    expect(lag).to_have_text(re.compile(r"^[2-9]\.\d s$"))
    expect(page.locator(".note.bad")).to_contain_text("127.0.0.1")
    row = page.get_by_role("region", name="Containers").get_by_role("row").filter(has_text="cse-edge/buffered/data")
    expect(row).not_to_have_count(0)
    picture(page, "sync-down")
    town.silence("buffered")
    town.start_cloud()
    expect(page.locator("#sync-cloud .badge")).to_have_text("up")
    expect(pending).to_have_text("0")
    expect(lag).to_have_text("0 s")
    expect(page.locator(".note.bad")).to_have_count(0)
    page.get_by_text("Values as a table").first.click()
    waited = page.locator(".chart").first.locator("tbody td.number")
    assert max(int(text) for text in waited.all_text_contents()) >= 10
    picture(page, "sync-up")


def test_the_saved_picture_needs_nothing_of_the_page(town: Town, open_view: OpenView, tmp_path: Path) -> None:
    town.register("saved", "onemec:device", "kind:meter", posts=False)
    page = open_view(town.edge.url, "map", scheme="dark").page
    expect(part(page, "saved")).to_have_count(1)
    with page.expect_download() as begun:
        page.get_by_role("button", name="Export as SVG").click()
    assert begun.value.suggested_filename == "onemec-cse-edge.svg"
    begun.value.save_as(tmp_path / "map.svg")
    root = ElementTree.parse(tmp_path / "map.svg").getroot()
    assert root.tag == f"{SVG}svg"
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"saved", "/id-edge", "/id-in", "MEC platform", "MEC adapter", "meter"} <= texts
    for node in root.iter():
        assert node.tag.removeprefix(SVG) in {
            *("svg", "title", "defs", "linearGradient", "stop", "g", "rect", "path", "circle", "text")
        }
        assert not {"class", "style", "href", "tabindex", "onclick"} & node.attrib.keys()
        if node.tag == f"{SVG}text" and node.text:
            assert node.attrib["fill"].startswith("#")
            assert node.attrib["font-size"]
    assert float(root.attrib["width"]) > 1000
    assert root.attrib["font-family"]


def test_markup_is_text_everywhere(town: Town, open_view: OpenView) -> None:
    town.register("hostile", f"kind:{HOSTILE}", f"mec:service={HOSTILE}", posts=False)
    watched = open_view(town.edge.url, "map")
    page = watched.page
    page.on("dialog", lambda dialog: watched.problems.append(f"dialog: {dialog.message}"))
    expect(part(page, "hostile")).to_have_count(1)
    part(page, "hostile").press("Enter")
    expect(page.get_by_role("complementary", name="Details")).to_contain_text(f"kind:{HOSTILE}")
    page.goto(f"{town.edge.url}/console/#/mec")
    expect(page.get_by_role("region", name="Services")).to_contain_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0


def test_parts_are_reached_and_opened_with_keys(town: Town, open_view: OpenView) -> None:
    page = open_view(town.edge.url, "map").page
    cse = page.locator('.map-part[data-id="cse"]')
    cse.focus()
    page.keyboard.press("Enter")
    details = page.get_by_role("complementary", name="Details")
    expect(details).to_be_focused()
    expect(details).to_contain_text("MN-CSE")
    check_accessible(page)
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(cse).to_be_focused()
    page.get_by_text("The map as tables").click()
    expect(page.get_by_role("region", name="Connections")).to_contain_text("Mp1")


def test_an_adapter_that_does_not_answer_is_said(town: Town, open_view: OpenView) -> None:
    page = open_view(town.edge.url, "map").page
    adapter = page.locator('.map-part[data-id="adapter"]')
    expect(adapter).to_have_attribute("aria-label", "Adapter, SERVING")
    town.proxy.mode = "refuse"
    try:
        expect(adapter).to_have_attribute("aria-label", "Adapter, no answer")
        registry = open_view(town.edge.url, "mec").page
        expect(registry.locator(".note.bad")).to_contain_text("does not answer")
    finally:
        town.proxy.mode = "pass"
    expect(adapter).to_have_attribute("aria-label", "Adapter, SERVING")


def test_moves_are_shown_with_their_gap(town: Town, open_view: OpenView) -> None:
    page = open_view(town.edge.url, "handover").page
    expect(page.locator("main")).to_contain_text("No AE has moved")
    town.register("mover", posts=False)
    gap_ms = town.move("Cmover") * 1000
    row = page.get_by_role("region", name="Past moves").get_by_role("row")
    moved = row.filter(has_text="Cmover")
    expect(moved).to_contain_text("MOVED")
    expect(moved).to_contain_text("to /id-other")
    shown = re.search(r"([\d.]+) ms", moved.locator("td.number").first.inner_text())
    assert shown is not None
    assert float(shown[1]) == pytest.approx(gap_ms, abs=1.0)
    expect(moved.locator("svg[role=img]")).to_have_attribute("aria-label", re.compile("SWITCHING .* ms"))
    expect(row.filter(has_text="Cnobody")).to_contain_text("FAILED")
    picture(page, "handover")


def test_views_are_accessible_and_fit_a_telephone(town: Town, open_view: OpenView) -> None:
    page = open_view(town.edge.url, scheme="dark", width=360).page
    for view in ("map", "mec", "sync", "handover"):
        page.goto(f"{town.edge.url}/console/#/{view}")
        expect(page.locator(f".view-{view} h1")).to_be_visible()
        expect(page.locator("main table, main .map-picture, main .empty").first).to_be_attached()
        if view == "map":
            page.get_by_text("The map as tables").click()
            expect(page.get_by_role("region", name="AEs")).to_be_visible()
        check_fits(page)
        check_accessible(page)
        picture(page, f"{view}-360-dark")


def test_a_viewer_sees_his_own_ae_and_no_other(open_view: OpenView, tmp_path: Path) -> None:
    file, tokens = tmp_path / "credentials.json", {}
    for name in ("mine", "other"):
        credential, tokens[name] = new_credential(name, f"C{name}", "device")
        CredentialFile(file).add(credential)
    with running_cse(insecure_dev=False, admin=(), credentials=str(file)) as running:
        for name, token in tokens.items():
            register(running.url, name, token)
        page = open_view(running.url, "map", token=tokens["mine"]).page
        expect(page.locator('.map-part[data-id="ae:cse-in/mine"]')).to_have_count(1)
        page.get_by_text("The map as tables").click()
        expect(page.get_by_role("region", name="AEs")).to_contain_text("mine")
        expect(page.locator("main")).not_to_contain_text("other")
        leave(page, running)


def register(url: str, name: str, token: str) -> None:
    """Register an AE over HTTP with its token."""
    headers = {"Authorization": f"Bearer {token}", "X-M2M-Origin": f"C{name}", "X-M2M-RI": name, "X-M2M-RVI": "3"}
    headers["Content-Type"] = "application/json;ty=2"
    body = json.dumps({"m2m:ae": {"rn": name, "api": f"Norg.{name}", "rr": False, "srv": ["3"]}}).encode()
    with urlopen(Request(f"{url}/cse-in", body, headers), timeout=15) as answer:
        assert answer.status == 201


def leave(page: Page, running: RunningCse) -> None:
    """Close a page and wait until its stream of events has ended."""
    page.close()
    console = running.cse.console
    assert console is not None
    running.wait(until(lambda: not console.live.count))


def test_a_single_cse_is_shown_alone(open_view: OpenView) -> None:
    with running_cse() as alone:
        alone.create("cse-in", 2, "m2m:ae", {"rn": "one", "api": "Norg.example.one", "rr": False, "srv": ["3"]}, "Cone")
        page = open_view(alone.url, "map").page
        expect(page.locator('.map-part[data-id="ae:cse-in/one"]')).to_have_attribute(
            "aria-label", "AE one, not exposed to MEC"
        )
        expect(page.locator('.map-part[data-id="platform"]')).to_have_count(0)
        page.goto(f"{alone.url}/console/#/mec")
        expect(page.locator("main")).to_contain_text("--console-peer adapter=")
        leave(page, alone)
