"""The resource tree in a real browser: values as they come, keys, creating, content that is never markup."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.console.conftest import OpenView, RunningCse, picture

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


@pytest.fixture(scope="module", autouse=True)
def _resources(house: RunningCse) -> None:
    house.create("cse-in", 3, "m2m:cnt", {"rn": "room", "lbl": [HOSTILE]})
    for name in ("temperature", "hostile", "both"):
        house.create("cse-in/room", 3, "m2m:cnt", {"rn": name})
    for value in ("20.5", "21", "21.5"):
        house.create("cse-in/room/temperature", 4, "m2m:cin", {"con": value})
    house.create("cse-in/room/hostile", 4, "m2m:cin", {"con": HOSTILE})
    house.create("cse-in/room/both", 4, "m2m:cin", {"con": {"inside": 21.5, "outside": 4}})


def test_a_value_changes_while_one_looks(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url, "tree?to=cse-in/room/temperature").page
    expect(page.locator("#newest")).to_have_text("21.5")
    expect(page.locator("#live-word")).to_have_text("live")
    with page.expect_response("**/api/watch"):
        page.locator('[data-to="cse-in/room"] > .node .twist').click()  # what is shown changes, so what is watched
    with page.expect_response("**/api/watch"):
        page.locator('[data-to="cse-in/room"] > .node .twist').click()
    house.create("cse-in/room/temperature", 4, "m2m:cin", {"con": "22.25"})
    expect(page.locator("#newest")).to_have_text("22.25")
    expect(page.locator('[data-to="cse-in/room/temperature"] .value')).to_have_text("22.25")
    page.locator(".chart svg").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#announcer")).to_contain_text("21.5")
    page.get_by_text("Values as a table").click()
    expect(page.locator(".chart tbody tr")).to_have_count(4)
    picture(page, "tree")


def test_the_tree_is_walked_with_keys_alone(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url).page
    expect(page.locator('[role="treeitem"][data-to="cse-in/room"]')).to_be_visible()
    page.locator("body").press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator('[data-to="cse-in"]')).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator('[data-to="cse-in/room"]')).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator('[data-to="cse-in/room"]')).to_have_attribute("aria-expanded", "true")
    expect(page.locator('[data-to="cse-in/room/temperature"]')).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#details h2")).to_have_text("temperature")
    page.keyboard.press("ArrowLeft")
    expect(page.locator('[data-to="cse-in/room"]')).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator('[data-to="cse-in/room/temperature"]')).to_be_hidden()
    page.keyboard.press("Home")
    expect(page.locator('[data-to="cse-in"]')).to_be_focused()


def test_what_a_flex_container_says_moves_too(house: RunningCse, open_view: OpenView) -> None:
    sensor = {"rn": "flex", "cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 21.5}
    house.create("cse-in", 28, "cod:tempe", sensor)
    page = open_view(house.url, "tree?to=cse-in/flex").page
    expect(page.locator('[data-to="cse-in/flex"] .value')).to_have_text("curT0 21.5")
    expect(page.locator("#live-word")).to_have_text("live")
    row = page.locator("#details table.pairs tr", has_text="curT0")
    expect(row).to_contain_text("21.5")
    for tenth in range(60):  # until the watch is there
        house.ask(3, "cse-in/flex", pc={"cod:tempe": {"curT0": 22 + tenth / 10}})
        if "21.5" not in row.inner_text():
            break
        page.wait_for_timeout(250)
    expect(row).not_to_contain_text("21.5")
    expect(page.locator('[data-to="cse-in/flex"] .value')).not_to_have_text("curT0 21.5")


def test_markup_in_values_and_labels_is_text(house: RunningCse, open_view: OpenView) -> None:
    watched = open_view(house.url, "tree?to=cse-in/room/hostile")
    page = watched.page
    page.on("dialog", lambda dialog: watched.problems.append(f"dialog: {dialog.message}"))
    expect(page.locator("#newest")).to_have_text(HOSTILE)
    page.locator('[data-to="cse-in/room"] > .node').click()
    expect(page.locator("#details table.pairs")).to_contain_text("<script>alert(2)</script>")
    assert page.locator("main img, main script").count() == 0
    house.create("cse-in/room/both", 4, "m2m:cin", {"con": {HOSTILE: 1, "other": 2}})
    page.goto(f"{house.url}/console/#/tree?to=cse-in/room/both")
    expect(page.locator(".chart .legend")).to_contain_text(HOSTILE)
    page.goto(f"{house.url}/console/#/requests")
    expect(page.locator("#live-word")).to_have_text("live")
    house.create("cse-in/room/hostile", 4, "m2m:cin", {"con": HOSTILE})
    page.locator("tr.selectable", has_text="cin").first.click()
    expect(page.get_by_role("region", name="Request primitive")).to_contain_text("<script>alert(2)</script>")
    assert page.locator("main img, main script").count() == 0


def test_an_operator_creates_changes_and_deletes(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url, "tree?to=cse-in/room").page
    page.get_by_role("button", name="Create below").click()
    page.get_by_label("Name (rn)").fill("humidity")
    picture(page, "create")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator('[data-to="cse-in/room/humidity"]')).to_be_visible()
    page.locator('[data-to="cse-in/room/humidity"] > .node').click()
    page.get_by_role("button", name="Add a value").click()
    page.get_by_label("Content (con)").fill("55")
    page.keyboard.press("Enter")
    expect(page.locator("#newest")).to_have_text("55")
    page.get_by_role("button", name="Change …").click()
    content = page.get_by_label("Attributes")
    content.fill('{"m2m:cnt": {"mni": -1}}')
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("dialog .error")).to_contain_text("4000")
    content.fill('{"m2m:cnt": {"mni": 7}}')
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.locator("#details table.pairs tr", has_text="mni")).to_contain_text("7")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator('[data-to="cse-in/room/humidity"]')).to_have_count(0)
    assert house.ask(2, "cse-in/room/humidity")["rsc"] == 4004


def test_a_thousand_children_come_by_pages(house: RunningCse, open_view: OpenView) -> None:
    house.create("cse-in", 3, "m2m:cnt", {"rn": "many"})
    for number in range(450):
        house.create("cse-in/many", 3, "m2m:cnt", {"rn": f"n{number:04}"})
    page = open_view(house.url, "tree?to=cse-in/many/n0440").page
    expect(page.locator("#details h2")).to_have_text("n0440")  # shown without reading what is before it
    children = page.locator('[data-to="cse-in/many"] > ul > li[data-to]')
    expect(children).to_have_count(201)
    page.get_by_text("Show more children of many").click()
    expect(children).to_have_count(401)
    page.get_by_text("Show more children of many").click()
    expect(children).to_have_count(450)


def test_of_many_values_some_are_drawn_and_the_newest_always(house: RunningCse, open_view: OpenView) -> None:
    house.create("cse-in", 3, "m2m:cnt", {"rn": "busy"})
    for number in range(1200):
        house.create("cse-in/busy", 4, "m2m:cin", {"con": str(number)})
    page = open_view(house.url, "tree?to=cse-in/busy").page
    chart = page.locator(".chart svg")
    page.get_by_label("Chart of the last").select_option("everything")
    expect(chart).to_have_attribute("aria-label", re.compile(r"newest 1199\."))
    shown = re.search(r": (\d+) values", chart.get_attribute("aria-label") or "")
    assert shown is not None
    assert 200 <= int(shown[1]) <= 1201
