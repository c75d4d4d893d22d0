"""The resource tree in a real browser: values as they come, keys, creating, content that is never markup."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.conftest import OpenView, RunningCse, check_accessible, check_fits, picture

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


@pytest.fixture(scope="module", autouse=True)
def _resources(house: RunningCse) -> None:
    house.create("cse-in", 3, "m2m:cnt", {"rn": "room", "lbl": [HOSTILE]})
    house.create("cse-in/room", 3, "m2m:cnt", {"rn": "temperature"})
    for value in ("20.5", "21", "21.5"):
        house.create("cse-in/room/temperature", 4, "m2m:cin", {"con": value})


def test_a_value_changes_while_one_looks(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url, "tree?to=cse-in/room/temperature").page
    expect(page.locator("#newest")).to_have_text("21.5")
    expect(page.locator("#live-word")).to_have_text("live")
    page.wait_for_timeout(300)  # the watch is asked for
    house.create("cse-in/room/temperature", 4, "m2m:cin", {"con": "22.25"})
    expect(page.locator("#newest")).to_have_text("22.25")
    item = page.locator('[data-to="cse-in/room/temperature"] .value')
    expect(item).to_have_text("22.25")
    picture(page, "tree")
