"""The dashboard and alerts of deploy/: every metric and label they name is in what a running CSE and adapter show."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cse.app import Cse
from cse.client import Client
from cse.config import CseConfig
from cse.storage.sqlite import SqliteStore
from tests.brokers import embedded_broker
from tests.mec.adapter_fixtures import ADMIN, cse_settings, running_adapter, running_cse, until
from tests.mec.conftest import running

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY.parent / "compose.yaml").read_text())

#: what PromQL itself knows, of what is used here
WORDS = {
    *("by", "histogram_quantile", "increase", "max", "or", "rate", "sum", "topk"),
    *("__rate_interval", "instance", "h", "m"),
}
#: labels that Prometheus adds
ADDED = {"instance", "job"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression, with what its labels are shown in."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], rule["annotations"]["summary"]


def names_in(expression: str) -> set[str]:
    """The metrics an expression names."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\bby \([^)]*\)|\$\w+", "", bare)
    return {word for word in re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*", bare) if word not in WORDS}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """What a CSE with SQLite and MQTT and an adapter with platform and cloud show."""
    return asyncio.run(shown(tmp_path_factory.mktemp("dashboard")))


@pytest.fixture(scope="module")
def labels(families: list[Metric]) -> dict[str, set[str]]:
    """Label names by sample name."""
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def shown(folder: Path) -> list[Metric]:
    """Run them all, let something happen, and read what they show."""
    with embedded_broker() as broker:
        settings = cse_settings("MN", mqtt=broker, profile="lenient")
        store = SqliteStore(folder / "e.db", ballast_bytes=1 << 20)
        edge = Cse(CseConfig(**settings), store=store)
        await edge.start()
        url = edge.addresses()["http"]
        sync = {"outbox": str(folder / "o.db"), "audit_s": 1.0}
        try:
            async with (
                running() as mep,
                running_cse("IN") as cloud,
                running_adapter(
                    cse_url=url, mep_url=mep.url, sync={**sync, "cloud_url": cloud.addresses()["http"]}
                ) as adapter,
                Client(url, cse_id="/id-edge", originator="Cdev") as device,
                aiohttp.ClientSession() as session,
            ):
                await device.register("Ndev", "dev")
                await device.create_container("-/dev", "data", lbl=["sync:cloud"], mni="5")  # "5": a dialect
                await device.post("-/dev/data", "1")
                await until(lambda: adapter.status().mp1 == "SERVING" and adapter.status().sync.forwarded == 1)
                for originator, path in ((ADMIN, "cse-edge/none"), ("Cnobody", "cse-edge/dev")):
                    headers = {"X-M2M-Origin": originator, "X-M2M-RI": "1", "X-M2M-RVI": "3"}
                    assert (await session.get(f"{url}/{path}", headers=headers)).status >= 400
                pages = [await (await session.get(f"{page}/metrics")).text() for page in (url, adapter.url)]
                return [family for page in pages for family in text_string_to_metric_families(page)]
        finally:
            await edge.stop(grace_s=1.0)


def test_every_metric_and_label_is_one_that_is_really_shown(labels: dict[str, set[str]]) -> None:
    # Counters of what never happens here have no sample yet; what they would look like is in test_observability.
    known = {**labels, "onemec_mqtt_ignored_total": {"reason"}}
    for expression, legend in expressions():
        names = names_in(expression)
        assert names, expression
        assert names <= set(known), f"{expression}: nothing shows {names - set(known)}"
        have = ADDED.union(*(known[name] for name in names))
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)\s*[=!]~?=?", matchers))
            assert used <= known[name] | ADDED, f"{name} has no label {used - known[name] - ADDED}"
        for group in re.findall(r"by \(([^)]*)\)", expression):
            used = {label.strip() for label in group.split(",")}
            assert used <= have, f"{expression}: no label {used - have}"
        used = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", legend))
        assert used <= have, f"{legend}: no label {used - have} in {expression}"


def test_most_of_what_is_shown_is_on_the_dashboard(labels: dict[str, set[str]]) -> None:
    drawn = set().union(*(names_in(expression) for expression, _ in expressions()))
    bare = {re.sub(r"_(total|bucket|sum|count|info|created)$", "", name) for name in labels}
    missing = {name for name in bare if name.startswith("onemec_") and not any(one.startswith(name) for one in drawn)}
    assert missing <= {"onemec_cse", "onemec_adapter", "onemec_mqtt_taken", "onemec_mqtt_acknowledged_early"}


def described(family: Metric) -> tuple[str, str]:
    """The name and the labels of a family as the table in docs/operating.md has them."""
    name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
    found = {label for sample in family.samples for label in sample.labels} - {"le"}
    kind = " (histogram)" if family.type == "histogram" else ""
    return f"`{name}`{kind}", ", ".join(sorted(found)) or "reason" * (name == "onemec_mqtt_ignored_total")


def test_the_table_of_metrics_is_what_is_really_shown(families: list[Metric]) -> None:
    text = (DEPLOY.parent / "docs/operating.md").read_text()
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `onemec_")]
    documented = {(name.strip(), found.strip()) for name, found, _ in rows}
    assert len(documented) == len(rows)
    real = {described(family) for family in families if family.name.startswith("onemec_")}
    assert documented == real, f"to be added: {sorted(real - documented)}, to go: {sorted(documented - real)}"
    for rule in (rule for group in ALERTS["groups"] for rule in group["rules"]):
        assert f"`{rule['alert']}`" in text


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
    (variable,) = DASHBOARD["templating"]["list"]
    assert names_in(variable["query"]["query"].partition("(")[2].partition(",")[0]) == {"onemec_build_info"}
    datasource = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    (source,) = datasource["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}


def test_prometheus_watches_services_of_the_compose_file_on_their_ports() -> None:
    for job in PROMETHEUS["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            host, port = target.split(":")
            command = COMPOSE["services"][host]["command"]
            assert f"0.0.0.0:{port}" in command
            assert job["job_name"] == "adapter" or "--open-metrics" in command, f"{host} would answer 403"
    grafana, prometheus = COMPOSE["services"]["grafana"], COMPOSE["services"]["prometheus"]
    assert grafana["profiles"] == prometheus["profiles"] == ["observability"]
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_the_files_that_are_mounted_are_where_they_are_looked_for() -> None:
    mounts = dict(mount.split(":")[:2] for mount in COMPOSE["services"]["grafana"]["volumes"])
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/onemec.yml").read_text())["providers"][0]
    inside = mounts["./deploy/grafana/dashboard.json"]
    assert Path(inside).parent == Path(provider["options"]["path"])
    environment = COMPOSE["services"]["grafana"]["environment"]
    assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == inside
    (rules,) = PROMETHEUS["rule_files"]
    assert (DEPLOY / "prometheus" / rules).is_file()


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_every_foreign_image_is_pinned(name: str) -> None:
    image = COMPOSE["services"][name]["image"]
    _, _, tag = image.partition(":")
    assert tag == "local" or re.search(r"\d", tag), f"{image} changes under us"
