"""Chromium, as Debian has it: a page of another origin registers, stores, reads back and is notified, three ways."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cse.app import Cse
from cse.config import CseConfig
from cse.credentials import DEVICE, CredentialFile, new_credential
from tests.brokers import free_port, require_tool

START_TIMEOUT_S = 90
#: what the page does; CSE, WS, ORIGIN, TOKEN and HOW are put in front of it
SCRIPT = """
const headers = extra => ({"X-M2M-Origin": ORIGIN, "X-M2M-RI": String(Math.random()), "X-M2M-RVI": "3",
                           ...(TOKEN ? {"Authorization": "Bearer " + TOKEN} : {}), ...extra});
const done = {};
async function ask(method, path, ty, content) {
  const type = "application/json" + (ty ? ";ty=" + ty : "");
  const answer = await fetch(CSE + path, {method, headers: headers(content ? {"Content-Type": type} : {}),
                                          body: content && JSON.stringify(content)});
  return [answer.headers.get("X-M2M-RSC"), await answer.json()];
}
function eventSource(path, told, ready) {
  const source = new EventSource(CSE + path + "?watch&originator=" + ORIGIN);
  source.onopen = ready;
  source.onmessage = event => { source.close(); told(JSON.parse(event.data)); };
}
async function stream(path, told, ready) {
  const answer = await fetch(CSE + path + "?watch", {headers: headers({})});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  ready();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    text += value || "";
    const event = /^data: (.*)$/m.exec(text);
    if (event) { reader.cancel(); return told(JSON.parse(event[1])); }
    if (done) throw new Error("the stream ended");
  }
}
function webSocket(path, told, ready) {
  const socket = new WebSocket(WS, ["oneM2M.json", ...(TOKEN ? ["bearer." + TOKEN] : [])]);
  const sub = {"m2m:sub": {"rn": "sub", "nu": ["/id-in/" + ORIGIN], "enc": {"net": [3]}, "nct": 1}};
  socket.onopen = () => socket.send(JSON.stringify(
    {"op": 1, "ty": 23, "to": path.slice(1), "fr": ORIGIN, "rqi": "s", "rvi": "3", "pc": sub}));
  socket.onmessage = message => {
    const primitive = JSON.parse(message.data);
    if (primitive.rqi === "s") return ready(done.subscribed = primitive.rsc);
    socket.send(JSON.stringify({"rsc": 2000, "rqi": primitive.rqi, "rvi": "3"}));
    told(primitive.pc);
  };
}
(async () => {
  try {
    const ae = {"m2m:ae": {"rn": "page", "api": "Npage", "rr": false, "srv": ["3"]}};
    done.ae = (await ask("POST", "/cse-in", 2, ae))[0];
    done.container = (await ask("POST", "/cse-in/page", 3, {"m2m:cnt": {"rn": "data"}}))[0];
    let ready; const listening = new Promise(r => ready = r);
    const notified = new Promise((told, failed) => {
      Promise.resolve({eventSource, stream, webSocket}[HOW]("/cse-in/page/data", told, ready)).catch(failed);
    });
    await listening;
    done.instance = (await ask("POST", "/cse-in/page/data", 4, {"m2m:cin": {"con": "21.5"}}))[0];
    const [rsc, latest] = await ask("GET", "/cse-in/page/data/la");
    done.latest = [rsc, latest["m2m:cin"].con];
    done.notified = (await notified)["m2m:sgn"].nev.rep["m2m:cin"].con;
  } catch (error) { done.error = String(error); }
  await fetch("/result", {method: "POST", body: JSON.stringify(done)});
})();
"""


@asynccontextmanager
async def page(variables: dict[str, str], port: int) -> AsyncIterator[asyncio.Future[dict[str, Any]]]:
    """A web server with the page, and what the page reports."""
    report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    names = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in variables.items())

    async def give(_request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><script>{names}{SCRIPT}</script>", content_type="text/html")

    async def take(request: web.Request) -> web.Response:
        if not report.done():
            report.set_result(await request.json())
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/", give), web.post("/result", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield report
    finally:
        await runner.cleanup()


async def browse(url: str, report: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
    """Open the page in a browser of its own and wait for its report."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            require_tool("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--no-proxy-server", "--disable-background-networking", "--disable-component-update",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return await asyncio.wait_for(report, START_TIMEOUT_S)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@pytest.mark.parametrize(
    ("how", "secure"),
    [("eventSource", False), ("stream", True), ("webSocket", True)],
    ids=["EventSource, insecure-dev", "fetch with a token", "WebSocket with a token"],
)
async def test_a_page_is_an_application_entity(tmp_path: Path, how: str, secure: bool) -> None:
    port = free_port()
    path, token = tmp_path / "devices.json", ""
    if secure:
        made, token = new_credential("page", "Cpage", DEVICE)
        CredentialFile(path).add(made)
    origin = f"http://127.0.0.1:{port}"
    cse = Cse(
        CseConfig(http="127.0.0.1:0", insecure_dev=not secure, credentials=str(path), cors_origins=(origin,))
    )  # fmt: skip
    await cse.start()
    try:
        addresses = cse.addresses()
        variables = {"CSE": addresses["http"], "WS": addresses["ws"], "ORIGIN": "Cpage", "TOKEN": token, "HOW": how}
        async with page(variables, port) as report:
            done = await browse(f"{origin}/", report)
    finally:
        await cse.stop(1.0)
    expected = {"ae": "2001", "container": "2001", "instance": "2001", "latest": ["2000", "21.5"], "notified": "21.5"}
    if how == "webSocket":
        expected["subscribed"] = 2001  # type: ignore[assignment]
    assert done == expected
