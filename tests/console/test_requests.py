"""The request inspector in a real browser: why a request was denied, sent again, as lines to paste."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.conftest import OpenView, RunningCse, picture

POLICY = {
    "rn": "readers",
    "pv": {"acr": [{"acor": ["CViewer"], "acop": 34}, {"acor": ["COwner"], "acop": 63}]},
    "pvs": {"acr": [{"acor": ["COwner"], "acop": 63}]},
}


@pytest.fixture(scope="module", autouse=True)
def _resources(house: RunningCse) -> None:
    acp = house.create("cse-in", 1, "m2m:acp", POLICY)
    for name in ("CViewer", "COwner"):
        house.create("cse-in", 2, "m2m:ae", {"rn": name, "api": "Nx", "rr": False, "srv": ["3"]}, fr=name)
    house.create("cse-in", 3, "m2m:cnt", {"rn": "lamp", "acpi": [acp["ri"]]})


def test_a_denied_request_is_explained_with_the_rule_that_decides(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url, "requests").page
    expect(page.locator("#live-word")).to_have_text("live")
    answer = house.ask(3, "cse-in/lamp", "CViewer", pc={"m2m:cnt": {"lbl": ["on"]}})
    assert answer["rsc"] == 4103
    row = page.locator("tr.selectable", has_text="CViewer").filter(has_text="UPDATE")
    expect(row).to_contain_text("4103")
    row.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#because")).to_contain_text("rule 1 of cse-in/readers")
    expect(page.locator("#because")).to_contain_text("not UPDATE")
    picture(page, "requests")
    # allowed now, and sent again in the same name
    house.ask(3, "cse-in/readers", pc={"m2m:acp": {"pv": {"acr": [{"acor": ["CViewer"], "acop": 38}]}}})
    page.locator("#replay").click()
    expect(page.locator("#replayed")).to_contain_text("Sent again as CViewer: 2004")
    assert house.ask(2, "cse-in/lamp")["pc"]["m2m:cnt"]["lbl"] == ["on"]
    page.locator("#why").click()
    expect(page.locator(".verdict.good")).to_contain_text("CViewer may UPDATE")
    page.locator("#copy").click()
    expect(page.get_by_role("region", name="curl")).to_contain_text("X-M2M-Origin: CViewer")
    expect(page.get_by_role("region", name="Python")).to_contain_text("Operation.UPDATE")
    picture(page, "replayed")
