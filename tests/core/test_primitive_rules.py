"""Request parameters, result contents and filters that other tests leave open (primitives 2, 5 to 8)."""

from __future__ import annotations

from typing import Any

import pytest

from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import Engine
from tests.core.world import START_S, World

PATH = "cse-in/ae/cnt"
NOW = format_timestamp(START_S)


@pytest.fixture
def world(store: Engine) -> World:
    """An AE with a container; what the codecs make of parameters has tests of its own."""
    made = World(store, "mqtt")
    made.ae(poa=["http://127.0.0.1:9/ae"])
    made.container(lbl=["x"])
    return made


_BODIES: dict[Operation, dict[str, Any]] = {
    Operation.CREATE: {"resource_type": 3, "content": {"m2m:cnt": {}}},
    Operation.UPDATE: {"content": {"m2m:cnt": {"mni": 1}}},
    Operation.NOTIFY: {"content": {"m2m:sgn": {"sur": "x"}}},
}
_ALLOWED = {
    Operation.CREATE: {0, 1, 2, 3, 9},
    Operation.RETRIEVE: {1, 4, 5, 6, 8},
    Operation.UPDATE: {0, 1, 9},
    Operation.DELETE: {0, 1, 4, 5, 6, 8},
    Operation.NOTIFY: {0},
}


# --- result content ---------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PM-05.01", "PM-05.02", "PM-05.03", "PM-05.04", "PM-05.06")
@pytest.mark.parametrize("operation", list(_ALLOWED))
def test_result_contents_of_each_operation(world: World, operation: Operation) -> None:
    unsupported = {10, 12} if operation is Operation.RETRIEVE else set[int]()  # 5001, with tests of their own
    for rcn in sorted(set(range(14)) - unsupported):
        world.container(name=f"c{rcn}")
        to = "cse-in/ae" if operation is Operation.NOTIFY else f"cse-in/ae/c{rcn}"
        answer = world.ask(operation, to, "Cae", result_content=rcn, **_BODIES.get(operation, {}))
        if rcn in _ALLOWED[operation]:
            assert answer.status.is_success, (rcn, answer.content)
        else:
            assert answer.status is Status.BAD_REQUEST, rcn
            assert world.retrieve(f"cse-in/ae/c{rcn}").content["m2m:cnt"]["st"] == 0


@pytest.mark.behaviour("PM-05.05")
@pytest.mark.parametrize("rcn", [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13])
def test_a_discovery_gives_references_only(world: World, rcn: int) -> None:
    refused = world.retrieve("cse-in", filter={"fu": 1}, result_content=rcn)
    assert refused.status is Status.BAD_REQUEST
    for allowed in (None, 11):
        answer = world.retrieve("cse-in", filter={"fu": 1, "ty": [3]}, result_content=allowed)
        assert answer.content == {"m2m:uril": [PATH]}
    listed = world.retrieve("cse-in", filter={"fu": 1, "ty": [3]}, result_content=6)
    assert listed.content["m2m:rrl"]["rrf"][0]["val"] == PATH


@pytest.mark.behaviour("PM-05.11")
def test_an_update_that_changes_nothing_modifies_times_and_tag_only(world: World) -> None:
    world.now += 1
    answer = world.update(PATH, {"m2m:cnt": {"lbl": ["x"]}}, "Cae", result_content=9)
    assert set(answer.content["m2m:cnt"]) == {"lt", "st"}


@pytest.mark.behaviour("PM-05.12")
def test_references_of_specialisations_name_them(world: World) -> None:
    body = {"cod:tempe": {"rn": "t", "cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 1.0}}
    assert world.create("cse-in/ae", 28, body, "Cae").status is Status.CREATED
    listed = world.retrieve("cse-in/ae", "Cae", result_content=5).content["m2m:ae"]["ch"]
    by_name = {entry["nm"]: entry for entry in listed}
    assert by_name["t"] == {
        "nm": "t",
        "typ": 28,
        "val": "cse-in/ae/t",
        "spid": "org.onem2m.common.moduleclass.temperature",
    }
    assert set(by_name["cnt"]) == {"nm", "typ", "val"}


@pytest.mark.behaviour("PM-05.13")
def test_children_that_may_not_be_read_are_left_out(world: World) -> None:
    world.container(name="open", acpi=[world.policy("acp", ["Cother"], 2)])
    world.update("cse-in/ae", {"m2m:ae": {"acpi": ["cse-in/acp"]}}, "Cae")
    for rcn, find in ((4, "m2m:cnt"), (8, "m2m:cnt")):
        shown = world.retrieve("cse-in/ae", "Cother", result_content=rcn).content["m2m:ae"]
        assert [child["rn"] for child in shown[find]] == ["open"]
    assert world.retrieve(PATH, "Cother", result_content=4).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PM-05.14")
def test_levels_and_limits_bound_what_is_shown(world: World) -> None:
    world.container(PATH, "one")
    world.container(f"{PATH}/one", "two")
    shown = world.retrieve(PATH, result_content=4, filter={"lvl": 1}).content["m2m:cnt"]
    assert "m2m:cnt" not in shown["m2m:cnt"][0]
    listed = world.retrieve("cse-in/ae", result_content=6, filter={"lim": 2})
    assert len(listed.content["m2m:rrl"]["rrf"]) == 2
    assert listed.content_status == 1
    assert listed.content_offset is not None


@pytest.mark.behaviour("PM-05.15")
@pytest.mark.parametrize("names", [["mni", "nonsense"], ["maxNrOfInstances"]])
def test_unknown_attributes_cannot_be_asked_for(world: World, names: list[str]) -> None:
    assert world.retrieve(PATH, attribute_list=names).status is Status.BAD_REQUEST
    assert world.retrieve(f"{PATH}#{names[-1]}").status is Status.BAD_REQUEST
    assert world.delete(PATH, attribute_list=["mni"]).status is Status.BAD_REQUEST
    assert world.retrieve(PATH).status is Status.OK


# --- filters ----------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PM-06.13")
@pytest.mark.parametrize(
    "criteria",
    [
        {"crb": NOW, "cra": "20300101T000000"},
        {"us": NOW, "ms": "20300101T000000"},
        {"sts": 1, "stb": 5},
        {"exb": NOW, "exa": "20400101T000000"},
        {"szb": 1, "sza": 5},
    ],
)
def test_criteria_that_contradict_each_other_find_nothing(world: World, criteria: dict[str, Any]) -> None:
    world.post(PATH, "content")
    assert world.discover("cse-in", **criteria) == []


@pytest.mark.behaviour("PM-06.01")
def test_times_are_compared_strictly_before_and_from_on(world: World) -> None:
    moment = world.retrieve(PATH).content["m2m:cnt"]["ct"]
    assert PATH in world.discover("cse-in", cra=moment)
    assert PATH not in world.discover("cse-in", crb=moment)
    assert PATH in world.discover("cse-in", ms=moment)
    assert PATH not in world.discover("cse-in", us=moment)


@pytest.mark.behaviour("PM-06.15")
def test_what_may_not_be_discovered_hides_nothing_below_it(world: World) -> None:
    world.ae("Cother", "other")
    world.container(PATH, "open", acpi=[world.policy("acp", ["Cother"], 32)])
    assert world.discover("cse-in", "Cother", ty=[3]) == [f"{PATH}/open"]
    assert world.retrieve(PATH, "Cother", filter={"fu": 1}).status is Status.ORIGINATOR_HAS_NO_PRIVILEGE


@pytest.mark.behaviour("PM-06.16")
def test_virtual_resources_and_the_target_are_never_found(world: World) -> None:
    world.post(PATH)
    world.create("cse-in/ae", 9, {"m2m:grp": {"rn": "grp", "mnm": 1, "mid": [PATH]}}, "Cae")
    world.create(PATH, 23, {"m2m:sub": {"rn": "sub", "nu": ["Cae"]}}, "Cae")
    found = world.discover("cse-in/ae")
    assert "cse-in/ae" not in found
    assert not {path.rpartition("/")[2] for path in found} & {"la", "ol", "fopt", "ntsr", "pcu"}
    assert len(found) == 4


@pytest.mark.behaviour("PM-06.17")
def test_conditional_operations_without_usage_are_as_with_usage_2(world: World) -> None:
    for filter_ in ({"lbl": ["x"]}, {"lbl": ["x"], "fu": 2}):
        assert world.retrieve(PATH, filter=filter_).status is Status.OK
        assert world.retrieve(PATH, filter={**filter_, "lbl": ["y"]}).status is Status.NOT_FOUND
    both = [
        world.retrieve("cse-in/ae", result_content=4, filter=filter_).content["m2m:ae"]["m2m:cnt"]
        for filter_ in ({"ty": [3]}, {"ty": [3], "fu": 2})
    ]
    assert both[0] == both[1]


@pytest.mark.behaviour("PM-06.18")
@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.DELETE])
def test_a_discovery_is_a_retrieve(world: World, operation: Operation) -> None:
    answer = world.ask(operation, PATH, "Cae", filter={"fu": 1}, **_BODIES.get(operation, {}))
    assert answer.status is Status.BAD_REQUEST
    assert world.retrieve(PATH).content["m2m:cnt"]["st"] == 0


@pytest.mark.behaviour("PM-06.19")
def test_sizes_of_flex_containers_and_instances_are_compared(world: World) -> None:
    body = {"cod:tempe": {"rn": "t", "cnd": "org.onem2m.common.moduleclass.temperature", "curT0": 1.25}}
    world.create("cse-in/ae", 28, body, "Cae")
    world.post(PATH, "12345678")
    assert world.discover("cse-in", sza=8, ty=[4, 28]) != []
    assert "cse-in/ae/t" in world.discover("cse-in", szb=5)
    assert "cse-in/ae/t" not in world.discover("cse-in", sza=5)
    assert world.discover("cse-in", sza=9) == []


# --- request parameters -----------------------------------------------------------------------------------------


@pytest.mark.behaviour("PM-02.04")
@pytest.mark.parametrize("operation", [Operation.RETRIEVE, Operation.UPDATE, Operation.DELETE, Operation.NOTIFY])
def test_a_type_goes_with_a_create_only(world: World, operation: Operation) -> None:
    fields = {**_BODIES.get(operation, {}), "resource_type": 3}
    request = Request(operation, PATH, "Cae", "r", release="3", **fields)
    assert world.serve(request).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PM-02.05")
def test_filters_do_not_go_with_a_create(world: World) -> None:
    request = Request(
        Operation.CREATE, "cse-in/ae", "Cae", "r", release="3", filter={"lbl": ["x"]}, **_BODIES[Operation.CREATE]
    )
    assert world.serve(request).status is Status.BAD_REQUEST


@pytest.mark.behaviour("PM-02.08")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"request_expiration": 2000, "result_expiration": 1000}, Status.BAD_REQUEST),
        ({"request_expiration": 1000, "result_expiration": 2000}, Status.OK),
        ({"request_expiration": "PT5S"}, Status.OK),
        ({"request_expiration": format_timestamp(START_S - 1)}, Status.REQUEST_TIMEOUT),
        ({"result_expiration": format_timestamp(START_S - 1)}, Status.REQUEST_TIMEOUT),
        ({"execution_time": format_timestamp(START_S - 1)}, Status.OK),
        ({"execution_time": 3000, "request_expiration": 3000}, Status.BAD_REQUEST),
        ({"execution_time": 3000, "result_expiration": 3000}, Status.BAD_REQUEST),
        ({"originating_time": "now"}, Status.BAD_REQUEST),
    ],
)
def test_times_of_a_request_fit_each_other(world: World, fields: dict[str, Any], status: Status) -> None:
    assert world.retrieve(PATH, "Cae", **fields).status is status


@pytest.mark.behaviour("PM-02.09")
@pytest.mark.parametrize(("category", "status"), [(2, 2000), (3, 2000), (4, 2000), (100, 2000), (999, 2000), (1, 4000)])
def test_event_categories(world: World, category: int, status: int) -> None:
    assert int(world.retrieve(PATH, "Cae", event_category=category).status) == status


@pytest.mark.behaviour("PM-02.10")
def test_targets_for_a_result_go_with_asynchronous_requests(world: World) -> None:
    for kind, status in ((2, 1002), (3, 4000), (1, 4000)):
        request = Request(
            Operation.RETRIEVE, PATH, "Cae", "r", release="3", response_type=kind, response_targets=["Cae"]
        )
        assert int(world.serve(request).status) == status


# --- releases ---------------------------------------------------------------------------------------------------


@pytest.mark.behaviour("PM-08.03")
@pytest.mark.parametrize(("releases", "expected"), [(["2a"], "2a"), (["3", "4"], "4"), (["9"], "5")])
def test_notifications_use_a_release_that_both_know(world: World, releases: list[str], expected: str) -> None:
    world.ae("Cother", "other", srv=releases, poa=["http://127.0.0.1:9/o"], acpi=[world.policy("acp", ["Cae"], 63)])
    world.create(PATH, 23, {"m2m:sub": {"nu": ["Cother"], "enc": {"net": [3]}}}, "Cae")
    world.post(PATH)
    (send,) = world.outbox
    assert send.request.release == expected


@pytest.mark.behaviour("PM-08.04")
def test_a_request_that_is_passed_on_keeps_its_release_and_identifier(world: World) -> None:
    own = {"rn": "mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}
    assert world.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
    world.sent.clear()
    answer = world.retrieve("/id-mn/cse-mn/x", "Cae", release="2a", request_expiration=5000)
    (send,) = world.sent
    assert (send.request.release, send.request.request_id) == ("2a", answer.request_id)
    assert send.request.request_expiration in (5000, "5000")
    assert answer.release == "2a"


@pytest.mark.behaviour("PM-08.05")
def test_a_cse_of_release_1_is_not_told_a_release(world: World) -> None:
    own = {"rn": "mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["1"], "poa": ["http://mn"]}
    assert world.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
    world.sent.clear()
    answer = world.retrieve("/id-mn/cse-mn/x", "Cae", vendor="v")
    assert (world.sent[0].request.release, world.sent[0].request.vendor) == (None, None)
    assert (answer.release, answer.vendor) == ("3", "v")


@pytest.mark.behaviour("PM-02.12")
@pytest.mark.parametrize(
    ("expiration", "timeout_s", "status"),
    [
        (2000, 2.0, Status.REQUEST_TIMEOUT),
        (None, 10.0, Status.TARGET_NOT_REACHABLE),
        (60_000, 10.0, Status.TARGET_NOT_REACHABLE),
    ],
)
@pytest.mark.parametrize("target", ["/id-mn/cse-mn/x", "cse-in/ae"])
def test_nobody_is_waited_for_beyond_the_expiration(
    world: World, target: str, expiration: int | None, timeout_s: float, status: Status
) -> None:
    own = {"rn": "mn", "cb": "/id-mn/cse-mn", "csi": "/id-mn", "rr": True, "srv": ["3"], "poa": ["http://mn"]}
    assert world.create("cse-in", 16, {"m2m:csr": own}, "/id-mn").status is Status.CREATED
    world.sent.clear()
    world.answers = lambda send: None
    answer = world.notify(target, {"m2m:sgn": {"sur": "x"}}, "Cae", request_expiration=expiration)
    assert answer.status is status
    assert world.sent[0].timeout_s == pytest.approx(timeout_s, abs=0.01)
