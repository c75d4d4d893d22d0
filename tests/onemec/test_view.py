"""The live view: fits the terminal, shows trouble first, says what it does not know."""

import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from onemec.stack.observe import Observer
from onemec.stack.parts import Part, StackConfig, parts_of
from onemec.stack.ports import USES
from onemec.stack.supervisor import Supervisor
from onemec.stack.trees import AE, CONTAINER, Node
from onemec.stack.view import View


@pytest.fixture
def observer(tmp_path: Path) -> Observer:
    ports = {use.name: use.default for use in USES}
    return Observer(StackConfig(tmp_path, ports, "mqtt://127.0.0.1:1883", embedded=True))


def picture(observer: Observer, width: int, height: int) -> str:
    """What the terminal shows."""
    supervisor = Supervisor(parts_of(observer.config), observer.config.folder, observer.line, lambda *_: None)
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(View(observer.config, supervisor, observer).draw(width, height), height=height)
    return console.export_text().rstrip("\n")


def tell(observer: Observer, name: str, line: str) -> None:
    part = next(part for part in parts_of(observer.config) if part.name == name)
    observer.line(part, line)


def fill(observer: Observer, devices: int) -> None:
    """Figures of a stack that runs."""
    for elapsed_s, count in ((1, 10), (2, 14)):
        totals = f'{{"devices": {devices}, "acknowledged": {count}}}'
        states = f'"states": {{"running": {devices}}}, "devices": {devices}, "acknowledged": {count}'
        tell(observer, "devices", f'{{"elapsed_s": {elapsed_s}, {states}, "bindings": {{"mqtt": {totals}}}}}')
    tell(observer, "mec-app", '{"container": "cse-edge/meter-1/data", "rn": "r-1", "con": "21.5"}')
    tell(observer, "mec-app", '{"cse": "http://127.0.0.1:8081", "received": 1}')
    figures = observer.figures
    names = [f"meter-{number}" for number in range(1, devices + 1)]
    figures.edge = [Node(f"cse-edge/{name}", AE, {"lbl": ["onemec:device"]}) for name in names]
    figures.edge += [Node(f"cse-edge/{name}/data", CONTAINER, {"cni": 3}) for name in names]
    figures.cloud = [Node("cse-in/sync/x", CONTAINER, {"cni": 2, "lbl": ["origin:/id-edge/cse-edge/meter-1/data"]})]
    figures.services = [service("onem2m-cse")] + [service("onem2m-ae-org.onemec.meter") for _ in names]
    figures.apps = [{"appInstanceId": "app-9", "appName": "mec-app-example", "ready": True}]
    exposed = [
        {"ae": f"cse-edge/{n}", "app_instance_id": f"app-{n}", "phase": "SERVING", "state": "ACTIVE"} for n in names
    ]
    figures.adapter = {
        "mp1": "SERVING",
        "app_instance_id": "app-cse",
        "services": [{"id": "1", "name": "onem2m-cse", "state": "ACTIVE"}],
        "exposed": exposed,
        "trouble": "",
        "sync": {"pending": 7, "oldest_pending_s": 1.25, "trouble": ""},
    }


def service(name: str, state: str = "ACTIVE") -> dict[str, Any]:
    return {"serName": name, "state": state, "serInstanceId": name, "transportInfo": {"type": "REST_HTTP"}}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
@pytest.mark.parametrize("devices", [0, 1, 12, 500])
def test_it_fills_the_terminal_and_no_more(observer: Observer, width: int, height: int, devices: int) -> None:
    if devices:
        fill(observer, devices)
    lines = picture(observer, width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "Ctrl-C stops everything" in lines[-1]
    assert "http://127.0.0.1:8081/cse-edge" in "\n".join(lines)


def test_it_shows_the_figures(observer: Observer) -> None:
    fill(observer, 12)
    text = picture(observer, 80, 24)
    for shown in (
        r"MQTT +12 +4\.0 +14",
        r"at the edge +36 ",
        r"in the cloud +2 ",
        r"on the way +7, 1\.2 s behind",
        r"MEC app received +1, 0\.0/s",
        r"meter-1/data +21\.5",
        r"MEC services: 13 of 13 ACTIVE",
        r"12 x +ACTIVE",
        r"MEC application instances: 14",
        r"mec-app-example +READY",
        r"AE meter-2 +SERVING +ACTIVE",
        r"and \d+ more",
    ):
        assert re.search(shown, text), f"{shown}\n{text}"
    assert text.index("AE meter-1 ") < text.index("AE meter-2 ")


def test_trouble_comes_first(observer: Observer) -> None:
    fill(observer, 30)
    figures = observer.figures
    assert figures.services is not None
    assert figures.adapter is not None
    figures.services.append(service("onem2m-ae-zebra", "SUSPENDED"))
    figures.adapter["exposed"][29]["state"] = "INACTIVE"
    figures.adapter["sync"]["trouble"] = "no way to the cloud"
    figures.cloud = None
    text = picture(observer, 80, 24)
    assert "31 of 32 ACTIVE" in text
    assert re.search(r"onem2m-ae-zebra +SUSPENDED", text)
    assert re.search(r"AE meter-30 +SERVING +INACTIVE", text)
    assert re.search(r"in the cloud +away", text)
    assert "no way to the cloud" in text


def test_what_does_not_answer_is_said(observer: Observer) -> None:
    text = picture(observer, 80, 24)
    assert "the MEC platform does not answer" in text
    assert "the adapter does not answer" in text
    assert re.search(r"at the edge +no answer", text)


@pytest.mark.parametrize("line", ["", "plain words", "{broken", '{"other": 1}', "[1]", '{"bindings": {}}'])
def test_lines_of_any_kind_are_no_trouble(observer: Observer, line: str) -> None:
    for part in parts_of(observer.config):
        observer.line(part, line)
    observer.line(Part("other", "", "", ()), line)
    assert observer.figures.received.count == 0
