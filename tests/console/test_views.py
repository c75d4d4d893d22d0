"""Every view of the CSE itself: for those who do not see or use a mouse, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from cse.credentials import ADMIN, DEVICE, CredentialFile, new_credential
from tests.console.conftest import OpenView, RunningCse, check_accessible, check_fits, picture, running_cse

VIEWS = ("tree?to=cse-in/room/temperature", "charts", "requests", "deliveries")
LOOKS = [("light", 1280), ("dark", 360)]


@pytest.fixture(scope="module", autouse=True)
def _resources(house: RunningCse) -> None:
    house.create("cse-in", 3, "m2m:cnt", {"rn": "room", "lbl": ["floor:2", "kind:lab"]})
    for name, values in (("temperature", (20.5, 21.0, 21.4, 21.2)), ("humidity", (51, 52, 54, 53))):
        house.create("cse-in/room", 3, "m2m:cnt", {"rn": name})
        for value in values:
            house.create(f"cse-in/room/{name}", 4, "m2m:cin", {"con": str(value)})
    house.create("cse-in/room", 3, "m2m:cnt", {"rn": "air"})
    for value in ({"co2_ppm": 470, "pm10": 14.6}, {"co2_ppm": 476, "pm10": 14.9}, {"co2_ppm": 473, "pm10": 14.2}):
        house.create("cse-in/room/air", 4, "m2m:cin", {"con": value})
    series = house.create("cse-in/room", 29, "m2m:ts", {"rn": "power"})
    for second in range(4):
        house.create(
            "cse-in/room/power", 30, "m2m:tsi", {"dgt": f"20261123T06000{second}", "con": str(230 + second % 3)}
        )
    assert series["ty"] == 29
    subscription = {"rn": "sub", "nu": ["http://127.0.0.1:1/nobody"], "enc": {"net": [3]}, "nct": 1}
    house.ask(1, "cse-in/room", "CAdmin", ty=23, pc={"m2m:sub": subscription})


def _settled(page: Page, view: str, house: RunningCse) -> None:
    """Wait until a view shows what it is for."""
    expect(page.locator("#live-word")).to_have_text("live")
    if view.startswith("tree"):
        expect(page.locator("#newest")).to_be_visible()
        page.get_by_text("Values as a table").click()
    elif view == "charts":
        page.get_by_label("The last").select_option("everything")
        expect(page.locator(".chart path.line")).to_have_count(5)
    elif view == "requests":
        assert house.ask(2, "cse-in/nothing", "CAdmin")["rsc"] == 4004
        page.locator("tr.selectable").first.get_by_role("button").click()
        page.locator("#why").click()
        page.locator("#copy").click()
        expect(page.get_by_role("region", name="curl")).to_be_visible()
    else:
        expect(page.locator("table.log tbody tr").first).to_contain_text("http://127.0.0.1:1/nobody")


@pytest.mark.parametrize(("scheme", "width"), LOOKS, ids=[f"{scheme} {width}" for scheme, width in LOOKS])
def test_views_are_accessible_and_fit(house: RunningCse, open_view: OpenView, scheme: str, width: int) -> None:
    page = open_view(house.url, VIEWS[0], scheme=scheme, width=width).page
    for view in VIEWS:
        name = view.partition("?")[0]
        page.goto(f"{house.url}/console/#/{view}")
        expect(page.locator(f".view-{name}")).to_be_visible()
        _settled(page, view, house)
        check_accessible(page)
        check_fits(page)
        picture(page, f"{name}-{scheme}-{width}")


def test_dialogs_are_accessible(house: RunningCse, open_view: OpenView) -> None:
    page = open_view(house.url, "tree?to=cse-in/room").page
    page.get_by_role("button", name="Create below").click()
    check_accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Create below")).to_be_focused()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningCse, dict[str, str]]]:
    """A CSE that believes nobody, and the tokens of admin, operator and viewer."""
    path = tmp_path_factory.mktemp("console") / "credentials.json"
    tokens = {}
    for name, role, console in (("admin", ADMIN, ""), ("viewer", DEVICE, ""), ("operator", DEVICE, "operator")):
        made, tokens[name] = new_credential(name, f"C{name}", role, console)
        CredentialFile(path).add(made)
    with running_cse(insecure_dev=False, admin=(), credentials=str(path)) as house:
        yield house, tokens


def test_roles(guarded: tuple[RunningCse, dict[str, str]], open_view: OpenView) -> None:
    house, tokens = guarded

    def ask(op: int, to: str, who: str, **more: object) -> dict[str, object]:
        return house.ask(op, to, who, credential=who, **more)

    everybody = {"acr": [{"acor": ["all"], "acop": 63}]}
    acp = ask(1, "cse-in", "Cadmin", ty=1, pc={"m2m:acp": {"rn": "open", "pv": everybody, "pvs": everybody}})
    policies = [acp["pc"]["m2m:acp"]["ri"]]  # type: ignore[index]
    for name in ("Cviewer", "Coperator"):
        ae = {"rn": name, "api": "Nx", "rr": False, "srv": ["3"]}
        assert ask(1, "cse-in", name, ty=2, pc={"m2m:ae": ae})["rsc"] == 2001
    for name, given in (("shared", {"acpi": policies}), ("secret", {})):
        assert ask(1, "cse-in", "Cadmin", ty=3, pc={"m2m:cnt": {"rn": name, **given}})["rsc"] == 2001

    # nobody gets anything but the form
    watched = open_view(house.url)
    watched.expected = ["error: Failed to load resource"]  # the wrong token
    page = watched.page
    expect(page.get_by_label("Token of your credential")).to_be_focused()
    check_accessible(page)
    page.keyboard.type("0" * 48)
    page.keyboard.press("Enter")
    expect(page.locator("#login-problem")).to_contain_text("not known here")
    page.get_by_label("Token of your credential").fill(tokens["viewer"])
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("Cviewer · viewer")
    expect(page.locator('[data-to="cse-in/shared"]')).to_be_visible()
    assert page.locator('[data-to="cse-in/secret"]').count() == 0, "a viewer sees what he may RETRIEVE"
    page.locator('[data-to="cse-in/shared"] > .node').click()
    expect(page.locator("#details h2")).to_have_text("shared")
    assert page.locator("#details .actions").count() == 0, "a viewer changes nothing"

    # a viewer sees requests about what he may see, and cannot send them again
    page.get_by_role("link", name="Requests").click()
    expect(page.locator("#live-word")).to_have_text("live")
    ask(2, "cse-in/secret", "Cadmin")
    ask(2, "cse-in/shared", "Cadmin")
    expect(page.locator("tr.selectable", has_text="cse-in/shared")).to_have_count(1)
    assert page.locator("tr.selectable", has_text="cse-in/secret").count() == 0
    page.locator("tr.selectable").first.click()
    expect(page.locator("#copy")).to_be_visible()
    assert page.locator("#replay").count() == 0
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token of your credential")).to_be_visible()
    assert page.evaluate("sessionStorage.length + document.cookie.length") == 0

    page = open_view(house.url, "tree?to=cse-in/shared", token=tokens["operator"]).page
    expect(page.locator("#who")).to_have_text("Coperator · operator")
    page.get_by_role("button", name="Add a value").click()
    page.get_by_label("Content (con)").fill("1")
    page.keyboard.press("Enter")
    expect(page.locator("#newest")).to_have_text("1")
    assert page.get_by_role("button", name="Delete").count() == 0

    page = open_view(house.url, "tree?to=cse-in/secret", token=tokens["admin"]).page
    expect(page.locator("#who")).to_have_text("Cadmin · admin")
    expect(page.locator("#details h2")).to_have_text("secret")
