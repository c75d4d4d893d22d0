"""Request handling, addressing, result content and discovery as independent suites check them (TS-0004 clause 7.3)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.bindings import http_codec
from cse.onem2m.primitives import Operation
from cse.onem2m.serialisation import dump_json
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from tests.core.world import World

CNT = "cse-in/ae/cnt"


@pytest.fixture(autouse=True)
def _tree(world: World) -> None:
    world.ae()
    world.container(mni=10, lbl=["tag:cnt"])


# --- 1 general request handling -----------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-1.01", "EB-1.03")
@pytest.mark.parametrize("release", ["2a", "3", "4", "5"])
def test_every_answer_carries_release_request_id_time_and_vendor(world: World, release: str) -> None:
    for answer in (
        world.create("cse-in/ae", 3, {"m2m:cnt": {}}, "Cae", release=release, vendor="v"),
        world.retrieve(CNT, "Cae", release=release, vendor="v"),
        world.update(CNT, {"m2m:cnt": {"lbl": ["x"]}}, "Cae", release=release, vendor="v"),
        world.retrieve("cse-in/none", "Cae", release=release, vendor="v"),
        world.delete(CNT, "Cae", release=release, vendor="v"),
    ):
        assert (answer.release, answer.vendor) == (release, "v")
        assert answer.request_id
        assert answer.originating_time
        assert abs(int(answer.originating_time[9:13]) - int(format_timestamp(world.now)[9:13])) <= 1


@pytest.mark.behaviour("EB-1.05")
def test_create_needs_a_type_that_is_a_known_number(world: World) -> None:
    body: dict[str, Any] = {"m2m:cnt": {}}
    assert world.ask(Operation.CREATE, "cse-in/ae", "Cae", content=body).status is Status.BAD_REQUEST
    for unknown in (999, 0):
        assert world.create("cse-in/ae", unknown, body, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-1.06")
@pytest.mark.parametrize("operation", [Operation.RETRIEVE, Operation.UPDATE, Operation.DELETE])
def test_a_type_goes_with_create_only(world: World, operation: Operation) -> None:
    content = {"m2m:cnt": {"lbl": ["x"]}} if operation is Operation.UPDATE else None
    if world.codec != "http":
        assert world.ask(operation, CNT, "Cae", resource_type=3, content=content).status is Status.BAD_REQUEST
        return
    # What this CSE sends never has a type there: a stranger's message.
    method = {Operation.RETRIEVE: "GET", Operation.UPDATE: "PUT", Operation.DELETE: "DELETE"}[operation]
    fields = {"x-m2m-origin": "Cae", "x-m2m-ri": "1", "x-m2m-rvi": "3", "content-type": "application/json;ty=3"}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    body = dump_json(content) if content else b""
    request = http_codec.decode_request(method, f"/{CNT}".encode(), b"", headers, body, lenient=False)
    assert world.serve(request).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-1.07")
def test_create_and_update_need_a_content(world: World) -> None:
    assert world.ask(Operation.CREATE, "cse-in/ae", "Cae", resource_type=3).status is Status.BAD_REQUEST
    assert world.ask(Operation.UPDATE, CNT, "Cae").status is Status.BAD_REQUEST
    assert world.update(CNT, {}, "Cae").status is Status.BAD_REQUEST
    before = world.retrieve(CNT, "Cae").content["m2m:cnt"]
    assert world.update(CNT, {"m2m:cnt": {}}, "Cae").status is Status.UPDATED
    assert world.retrieve(CNT, "Cae").content["m2m:cnt"]["mni"] == before["mni"]


@pytest.mark.behaviour("EB-1.10")
@pytest.mark.parametrize(
    "attributes",
    [{"lbl": "scalar"}, {"lbl": {"a": 1}}, {"mni": "5"}, {"mni": [5]}, {"disr": "true"}, {"rn": 5}, {"lbl": [5]}],
)
def test_values_of_another_json_type_are_4000(world: World, attributes: dict[str, Any]) -> None:
    assert world.create("cse-in/ae", 3, {"m2m:cnt": attributes}, "Cae").status is Status.BAD_REQUEST
    if "rn" not in attributes:
        assert world.update(CNT, {"m2m:cnt": attributes}, "Cae").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-1.22")
def test_creator_is_not_an_attribute_of_an_ae(world: World) -> None:
    body = {"m2m:ae": {"api": "Nx", "rr": True, "srv": ["3"], "cr": None}}
    assert world.create("cse-in", 2, body, "Cnew").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-1.23")
@pytest.mark.parametrize("content", [{"m2m:sgn": {}}, {"any": "thing"}, {"m2m:sgn": {"nev": {"net": 1}}}])
@pytest.mark.parametrize("to", ["cse-in", "/id-in", "-"])
def test_a_notification_for_the_cse_itself_is_4000(world: World, to: str, content: Any) -> None:
    assert world.notify(to, content, "CAdmin").status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-1.26")
def test_a_notification_is_of_a_release_its_target_supports(world: World) -> None:
    for name, releases, expected in (("two", ["2a"], "2a"), ("four", ["2a", "4"], "4"), ("odd", ["3", "99"], "3")):
        world.ae(f"C{name}", name, srv=releases, poa=[f"http://127.0.0.1:9/{name}"])
        body = {"m2m:sub": {"nu": [f"C{name}"], "enc": {"net": [3]}}}
        assert world.create(f"cse-in/{name}", 23, body, f"C{name}").status is Status.CREATED
        world.container(f"cse-in/{name}", originator=f"C{name}")
        (send,) = world.outbox
        assert send.request.release == expected
        world.outbox.clear()


# --- 2 addressing ---------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-2.03")
@pytest.mark.parametrize("base", ["", "/id-in/", "//onemec.local/id-in/"])
@pytest.mark.parametrize("path", ["cse-in/ae/", "-/ae/", "cse-in/", "cse-in//ae"])
def test_empty_parts_of_an_address_are_4000(world: World, base: str, path: str) -> None:
    # Over CoAP the path is a list of options: an empty one is an empty part.
    for operation, fields in (
        (Operation.RETRIEVE, {}),
        (Operation.CREATE, {"resource_type": 3, "content": {"m2m:cnt": {}}}),
        (Operation.UPDATE, {"content": {"m2m:ae": {"lbl": ["x"]}}}),
        (Operation.DELETE, {}),
    ):
        assert world.ask(operation, base + path, "Cae", **fields).status is Status.BAD_REQUEST, operation


# --- 3 result content -----------------------------------------------------------------------------------------------


def create(world: World, rcn: int | None, **attributes: Any) -> Any:
    """The content of the answer to a CREATE."""
    fields = {} if rcn is None else {"result_content": rcn}
    answer = world.create("cse-in/ae", 3, {"m2m:cnt": attributes}, "Cae", **fields)
    assert answer.status is Status.CREATED, answer.content
    return answer.content


@pytest.mark.behaviour("EB-3.02")
@pytest.mark.parametrize("rcn", [None, 1])
def test_create_answers_with_the_whole_resource(world: World, rcn: int | None) -> None:
    shown = create(world, rcn, rn="new", lbl=["a"])["m2m:cnt"]
    assert shown == world.retrieve("cse-in/ae/new", "Cae").content["m2m:cnt"]
    assert {"ri", "pi", "ct", "lt", "et", "ty", "rn", "lbl", "cni", "cbs", "st"} <= set(shown)
    assert shown["pi"] == "Cae"
    assert shown["ct"] == shown["lt"]


@pytest.mark.behaviour("EB-3.05")
def test_create_with_rcn_9_shows_only_what_the_cse_added_or_changed(world: World) -> None:
    shown = create(world, 9, rn="new", lbl=["a"], mni=3, et="29990101T000000")["m2m:cnt"]
    assert not {"rn", "lbl", "mni"} & set(shown)
    assert {"ri", "pi", "ct", "lt", "et", "ty", "cni", "cbs", "st"} <= set(shown)


@pytest.mark.behaviour("EB-3.06")
def test_update_with_rcn_9_shows_only_what_was_modified(world: World) -> None:
    answer = world.update(CNT, {"m2m:cnt": {"mni": 5, "mbs": 100}}, "Cae", result_content=9)
    assert set(answer.content["m2m:cnt"]) == {"mni", "mbs", "lt", "st"}
    gone = world.update(CNT, {"m2m:cnt": {"mbs": None}}, "Cae", result_content=9)
    assert gone.content["m2m:cnt"]["mbs"] is None
    assert set(gone.content["m2m:cnt"]) == {"mbs", "lt", "st"}


@pytest.mark.behaviour("EB-3.09")
def test_children_at_every_level(world: World) -> None:
    for outer in ("a", "b"):
        world.container(CNT, outer)
        for inner in ("x", "y", "z"):
            world.container(f"{CNT}/{outer}", inner)
        world.post(f"{CNT}/{outer}/x", "1")
    nested = world.retrieve(CNT, "Cae", result_content=4).content["m2m:cnt"]
    assert nested["rn"] == "cnt"
    assert sorted(child["rn"] for child in nested["m2m:cnt"]) == ["a", "b"]
    assert [len(child["m2m:cnt"]) for child in nested["m2m:cnt"]] == [3, 3]
    assert sum(len(inner.get("m2m:cin", ())) for child in nested["m2m:cnt"] for inner in child["m2m:cnt"]) == 2
    only = world.retrieve(CNT, "Cae", result_content=8).content["m2m:cnt"]
    assert set(only) == {"m2m:cnt"}
    listed = world.retrieve(CNT, "Cae", result_content=5).content["m2m:cnt"]
    assert len(listed["ch"]) == 10
    assert listed["ri"]
    references = world.retrieve(CNT, "Cae", result_content=6).content
    assert set(references) == {"m2m:rrl"}
    assert len(references["m2m:rrl"]["rrf"]) == 10
    assert all({"nm", "typ", "val"} <= set(entry) for entry in references["m2m:rrl"]["rrf"])
    for level, count in ((1, 2), (2, 8), (3, 10)):
        found = world.retrieve(CNT, "Cae", result_content=6, filter={"lvl": level}).content["m2m:rrl"]["rrf"]
        assert len(found) == count
    unstructured = world.retrieve(CNT, "Cae", result_content=6, desired_identifier=2).content["m2m:rrl"]["rrf"]
    assert all("/" not in entry["val"] for entry in unstructured)
    empty = world.retrieve(f"{CNT}/a/z", "Cae", result_content=6).content
    assert empty == {"m2m:rrl": {"rrf": []}}
    assert world.retrieve(f"{CNT}/a/z", "Cae", result_content=8).content == {"m2m:cnt": {}}


@pytest.mark.behaviour("EB-3.10")
@pytest.mark.parametrize("rcn", [1, 4, 5, 6, 8])
def test_delete_shows_what_there_was(world: World, rcn: int) -> None:
    world.container(CNT, "a")
    world.post(CNT, "1")
    before = world.retrieve(CNT, "Cae", result_content=rcn).content
    deleted = world.delete(CNT, "Cae", result_content=rcn)
    assert (deleted.status, deleted.content) == (Status.DELETED, before)


@pytest.mark.behaviour("EB-3.12")
def test_partial_retrieve_of_any_attribute(world: World) -> None:
    ri = world.retrieve(CNT, "Cae").content["m2m:cnt"]["ri"]
    for names in (["ri"], ["cni", "st", "cbs"], ["lbl"], ["mni", "lbl", "ty"]):
        content = world.retrieve(CNT, "Cae", attribute_list=names).content
        assert set(content) == {"m2m:cnt"}
        assert set(content["m2m:cnt"]) == set(names)
    assert world.retrieve(CNT, "Cae", attribute_list=["ri"], result_content=1).content == {"m2m:cnt": {"ri": ri}}
    flex = {"rn": "t", "cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 20.5}
    assert world.create("cse-in/ae", 28, {"cod:tempe": flex}, "Cae").status is Status.CREATED
    assert world.retrieve("cse-in/ae/t", "Cae", attribute_list=["curT0"]).content == {"cod:tempe": {"curT0": 20.5}}
    for wrong in (["nonsense"], ["mni", "nonsense"]):
        assert world.retrieve(CNT, "Cae", attribute_list=wrong).status is Status.BAD_REQUEST
    for rcn in (4, 5, 6, 8):
        answer = world.retrieve(CNT, "Cae", attribute_list=["lbl"], result_content=rcn)
        assert answer.status is Status.BAD_REQUEST
    assert world.ask(Operation.DELETE, CNT, "Cae", attribute_list=["lbl"]).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-3.13")
@pytest.mark.parametrize(
    "fields",
    [
        {"result_content": 99},
        {"result_content": -1},
        {"desired_identifier": 0},
        {"desired_identifier": 3},
        {"filter": {"fo": 4}},
        {"filter": {"fo": 0}},
        {"filter": {"fu": 5}},
        {"filter": {"fu": 0}},
        {"filter": {"wrong": 1}},
        {"filter": {"fu": 1, "wrong": 1}},
    ],
)
def test_parameters_that_mean_nothing_are_4000(world: World, fields: dict[str, Any]) -> None:
    assert world.retrieve(CNT, "Cae", **fields).status is Status.BAD_REQUEST


# --- 4 discovery ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("EB-4.01")
@pytest.mark.parametrize("rcn", [None, 11])
def test_discovery_gives_a_list_of_addresses(world: World, rcn: int | None) -> None:
    fields = {} if rcn is None else {"result_content": rcn}
    answer = world.retrieve("cse-in", "Cae", filter={"fu": 1, "ty": [3]}, **fields)
    assert (answer.status, answer.content) == (Status.OK, {"m2m:uril": [CNT]})


@pytest.mark.behaviour("EB-4.05")
@pytest.mark.parametrize("rcn", [None, 6, 11])
def test_no_match_is_an_empty_list(world: World, rcn: int | None) -> None:
    fields = {} if rcn is None else {"result_content": rcn}
    answer = world.retrieve("cse-in", "Cae", filter={"fu": 1, "lbl": ["none"]}, **fields)
    empty: dict[str, Any] = {"m2m:rrl": {"rrf": []}} if rcn == 6 else {"m2m:uril": []}
    assert (answer.status, answer.content) == (Status.OK, empty)


@pytest.mark.behaviour("EB-4.08")
def test_times_and_sizes_find_all_or_nothing(world: World) -> None:
    world.post(CNT, "12345")
    past, future = format_timestamp(world.now - 60), format_timestamp(world.now + 60)
    far = "20990101T000000"
    for tag, finds_all, finds_nothing in (
        ("cra", past, future),
        ("crb", future, past),
        ("ms", past, future),
        ("us", future, past),
        ("exa", past, far),
        ("exb", far, past),
    ):
        assert world.discover(CNT, "Cae", ty=[4], **{tag: finds_all}), tag
        assert world.discover(CNT, "Cae", ty=[4], **{tag: finds_nothing}) == [], tag
    assert len(world.discover(CNT, "Cae", sza=1)) == 1
    assert world.discover(CNT, "Cae", sza=1000) == []
    assert len(world.discover(CNT, "Cae", szb=1000)) == 1
    assert world.discover(CNT, "Cae", szb=1) == []


@pytest.mark.behaviour("EB-4.10")
@pytest.mark.parametrize(
    ("low", "high"), [("cra", "crb"), ("ms", "us"), ("exa", "exb"), ("sza", "szb"), ("stb", "sts")]
)
def test_contradictory_conditions_find_nothing(world: World, low: str, high: str) -> None:
    world.post(CNT)
    sizes = low in ("sza", "stb")
    more: Any = 100 if sizes else format_timestamp(world.now + 60)
    less: Any = 1 if sizes else format_timestamp(world.now - 60)
    assert world.discover("cse-in", "Cae", **{low: more, high: less}) == []


@pytest.mark.behaviour("EB-4.11")
def test_media_types_attributes_and_contents(world: World) -> None:
    for content, info in (("swath", "text/plain:0"), ("bath", "application/json:0"), ("other", "text/plain:0")):
        assert world.post(CNT, content, cnf=info).status is Status.CREATED
    assert len(world.discover(CNT, "Cae", cty=["text/plain"])) == 2
    assert len(world.discover(CNT, "Cae", cty=["text/plain", "application/json"])) == 3
    assert world.discover(CNT, "Cae", cty=["image/png"]) == []

    def by(name: str, value: Any) -> list[str]:
        return world.discover("cse-in", "Cae", atr=[{"nm": name, "val": value}])

    assert by("cni", "3") == [CNT]
    assert by("cni", "4") == []
    assert (len(by("con", "*ath")), len(by("con", "s*")), len(by("con", "*th*")), len(by("con", "swath"))) == (
        2,
        1,
        3,
        1,
    )
    assert by("rn", "c*") == [CNT]
    assert by("mni", "10") == [CNT]


@pytest.mark.behaviour("EB-4.12")
def test_limit_level_and_offset(world: World) -> None:
    for name in "abcd":
        world.container(CNT, name)
        world.container(f"{CNT}/{name}", "x")
    assert len(world.discover(CNT, "Cae", lvl=1)) == 4
    assert len(world.discover(CNT, "Cae", lvl=2)) == 8
    assert len(world.discover(CNT, "Cae", lim=3)) == 3
    everything = world.discover(CNT, "Cae")
    assert world.discover(CNT, "Cae", ofst=1) == everything
    assert world.discover(CNT, "Cae", ofst=8) == everything[7:]
    assert world.discover(CNT, "Cae", ofst=9) == []
    pages = [world.discover(CNT, "Cae", ofst=start, lim=3) for start in (1, 4, 7)]
    assert [one for page in pages for one in page] == everything
    for criteria in ({"lim": -1}, {"lvl": 0}, {"ofst": 0}):
        assert world.retrieve(CNT, "Cae", filter={"fu": 1, **criteria}).status is Status.BAD_REQUEST


@pytest.mark.behaviour("EB-4.15")
def test_conditional_use_with_children_is_the_default_usage(world: World) -> None:
    world.container(CNT, "a", lbl=["red"])
    world.container(CNT, "b", lbl=["blue"])
    plain = world.retrieve(CNT, "Cae", result_content=4, filter={"lbl": ["red"]})
    explicit = world.retrieve(CNT, "Cae", result_content=4, filter={"lbl": ["red"], "fu": 2})
    assert plain.status is Status.OK
    assert plain.content == explicit.content
    assert [child["rn"] for child in plain.content["m2m:cnt"]["m2m:cnt"]] == ["a"]
    assert (
        world.retrieve(CNT, "Cae", result_content=4).content
        == world.retrieve(CNT, "Cae", result_content=4, filter={"fu": 2}).content
    )


@pytest.mark.behaviour("EB-4.16")
def test_what_another_ae_has_is_found_with_a_policy_only(world: World) -> None:
    world.ae("Cother", "other")
    assert world.discover("cse-in", "Cother", lbl=["tag:cnt"]) == []
    direct = world.retrieve(CNT, "Cother", filter={"fu": 1})
    assert direct.status is Status.ORIGINATOR_HAS_NO_PRIVILEGE
    policy = world.policy("acp", ["Cother", "Cae"], 63)
    assert world.update(CNT, {"m2m:cnt": {"acpi": [policy]}}, "Cae").status is Status.UPDATED
    assert world.discover("cse-in", "Cother", lbl=["tag:cnt"]) == [CNT]
    world.post(CNT, "seen", lbl=["tag:cin"])
    assert len(world.discover("cse-in", "Cother", lbl=["tag:cin"])) == 1
    assert len(world.discover(CNT, "Cother", ty=[4])) == 1


@pytest.mark.behaviour("EB-4.14")
@pytest.mark.parametrize(("desired", "slashes"), [(None, True), (1, True), (2, False)])
def test_the_desired_form_of_addresses(world: World, desired: int | None, slashes: bool) -> None:
    world.post(CNT)
    fields = {} if desired is None else {"desired_identifier": desired}
    found = world.retrieve("cse-in", "Cae", filter={"fu": 1}, **fields).content["m2m:uril"]
    assert len(found) >= 3
    assert all(("/" in address) is slashes for address in found)
    assert all(world.retrieve(address, "Cae").status is Status.OK for address in found)
