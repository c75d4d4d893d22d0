"""What must hold for every attribute of every resource type (TS-0004 clause 7.3.3, 7.4; the tables in resources/data).

Each row is created, updated and removed with a valid value, refused with a wrong one, refused where the table says NP,
missed where it says mandatory, and announced or not as its announce class says; on every codec with every store. What
a type's own rules demand beyond its table is in ``tests.core.examples``. One test looks at all rows of a type and names
every one that fails, with the codec and the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cse.onem2m.status import Status
from cse.ports import Engine
from cse.resources.registry import load_registry, read_table
from cse.storage.memory import MemoryStore
from cse.storage.sqlite import SqliteStore
from tests.core.conftest import CODECS
from tests.core.examples import ANNOUNCED, EXAMPLES, NONE, TABLES, Example, prepare_announced, prepare_tree, value_for
from tests.core.world import World

_REGISTRY = load_registry()
_ROWS = {row["ty"]: row for row in TABLES["resourceTypes"]}
#: types whose specialisations have rows of their own
_SPECIALISED = (13, 28)
_TYPES = [
    number for number, one in _REGISTRY.types.items() if number < 10000 and one.creatable and number not in _SPECIALISED
]
#: never null on the wire, or null has a meaning of its own
_NEVER_REMOVED = frozenset({"acpi", "cr"})
#: what an answer shows of them depends on what the other CSEs say
_OF_OTHERS = frozenset({"at", "aa"})
#: what every announcement here gives, and the name, which the CSE of the announced resource chooses
_NOT_ASKED = frozenset({"at", "aa", "rn", "cr", "acpi"})
_NUMBERS = frozenset({"integer", "float", "nonNegInteger", "positiveInteger", "unsignedInt", "unsignedLong", "enum"})


class Batched(World):
    """A world whose writes go to disk when the store is closed: one commit for a type instead of hundreds."""

    def settle(self, ticket: int) -> None:
        """Nobody waits for the disk here."""


@pytest.fixture(params=[f"{store}-{codec}" for store in ("memory", "sqlite") for codec in CODECS])
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world with every codec on every store."""
    kind, codec = request.param.split("-")
    engine: Engine = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "cse.db", ballast_bytes=0)
    world = Batched(engine, codec)
    yield world
    asyncio.run(world.store.close())


def reopened(world: World, path: Path) -> World:
    """The world after a restart; the memory has none."""
    if isinstance(world.store, MemoryStore):
        return world
    asyncio.run(world.store.close())
    world.store = SqliteStore(path / "cse.db", ballast_bytes=0)
    again = Batched(world.store, world.codec)
    again.now = world.now
    return again


class Bench:
    """Creates, updates and deletes resources of one root element and gathers what went otherwise than it must.

    Args:
        world: the CSE.
        number: the resource type.
        root: the root element.
        rows: its attribute rows.
    """

    def __init__(self, world: World, number: int, root: str, rows: list[dict[str, Any]]) -> None:
        self.world, self.number, self.root = world, number, root
        self.where = f"{world.codec} codec, {type(world.store).__name__}"
        self.rows = {row["sname"]: row for row in rows}
        self.example: Example = EXAMPLES.get(_ROWS[number]["long"], ANNOUNCED if number > 10000 else NONE)
        paths = prepare_tree(world)
        parents = [paths[parent] for parent in sorted(_REGISTRY[number].parents) if parent in paths]
        self.parent = self.example.parent or (prepare_announced(world, number) if number > 10000 else parents[0])
        self.count = 0
        self.wrong: list[str] = []
        #: what was last shown of a new resource, and of those that are to be there after a restart
        self.shown: dict[str, Any] = {}
        self.kept: dict[str, tuple[str, dict[str, Any]]] = {}

    def body(self) -> dict[str, Any]:
        """A body with what is mandatory only."""
        self.count += 1
        mandatory = {name: value_for(row) for name, row in self.rows.items() if row["create"] == "M"}
        return {**mandatory, **self.example.body(self.count)}

    def create(self, what: str, body: Mapping[str, Any], expected: Status) -> str:
        """CREATE; gives the address, or "" when it was refused."""
        originator = self.example.originator(self.count)
        response = self.world.create(self.parent, self.number, {self.root: dict(body)}, originator)
        self.expect(f"create {what}", response.status, expected, response.content)
        if response.status is not Status.CREATED:
            return ""
        self.shown = response.content[self.root]
        ri: str = self.shown["ri"]
        return ri

    def keep(self, ri: str) -> None:
        """Leave what ``create`` gave for the look after a restart, unless there can be one only."""
        if self.example.single:
            self.delete(ri)
        elif ri:
            self.kept[ri] = (self.example.originator(self.count), self.shown)

    def update(self, ri: str, what: str, changes: Mapping[str, Any], expected: Status) -> dict[str, Any]:
        """UPDATE; gives the attributes afterwards when it was done."""
        originator = self.example.originator(self.count)
        response = self.world.update(ri, {self.root: dict(changes)}, originator)
        self.expect(f"update {what}", response.status, expected, response.content)
        done = response.status is Status.UPDATED
        return dict(response.content[self.root]) if done else {}

    def delete(self, ri: str) -> None:
        """DELETE what ``create`` gave."""
        if ri:
            self.world.delete(ri, self.example.originator(self.count))

    def expect(self, what: str, status: Status, expected: Status, content: Any) -> None:
        """Note a status other than expected."""
        if status is not expected:
            self.note(f"{what}: {int(status)} instead of {int(expected)}: {content}")

    def note(self, what: str) -> None:
        """Note what is otherwise than the table says, with where it happened."""
        self.wrong.append(f"[{self.where}] {self.root} {what}")

    def all_creates(self, names: list[str]) -> None:
        """Every row in a CREATE."""
        self.delete(self.create("with what is mandatory", self.body(), Status.CREATED))
        for name in names:
            row = self.rows[name]
            if row["create"] == "NP":
                self.delete(self.create(f"with NP {name}", {**self.body(), name: value_for(row)}, Status.BAD_REQUEST))
                continue
            for value in wrong_values(row):
                body = {**self.body(), name: value}
                self.delete(self.create(f"with wrong {name}={value!r}", body, Status.BAD_REQUEST))
            if row["create"] == "M":
                body = {key: value for key, value in self.body().items() if key != name}
                self.delete(self.create(f"without {name}", body, Status.BAD_REQUEST))
            elif name not in self.body():
                extra = self.example.values.get(name) or {name: None if name == "cr" else value_for(row)}
                expected = self.example.refused.get(name, Status.CREATED)
                ri = self.create(f"with {extra}", {**self.body(), **extra}, expected)
                if ri and name not in self.example.fleeting | _OF_OTHERS and name not in self.shown:
                    self.note(f"create with {extra}: the answer lacks {name}")
                self.keep(ri)

    def all_updates(self, names: list[str]) -> None:
        """Every row in an UPDATE, and its removal."""
        for name in names:
            row = self.rows[name]
            ri = self.create("to update", self.body(), Status.CREATED)
            if not ri:
                return
            if row["update"] == "NP":
                self.update(ri, f"of NP {name}", {name: value_for(row)}, Status.BAD_REQUEST)
            else:
                self.one_update(ri, name, row)
            self.delete(ri)

    def one_update(self, ri: str, name: str, row: Mapping[str, Any]) -> None:
        """One row that may be updated."""
        for value in wrong_values(row):
            self.update(ri, f"of wrong {name}={value!r}", {name: value}, Status.BAD_REQUEST)
        changes = self.example.update_values.get(name) or {name: value_for(row)}
        expected = self.example.update_refused.get(name, Status.UPDATED)
        shown = self.update(ri, f"to {changes}", changes, expected)
        if shown and name not in self.example.fleeting | _OF_OTHERS and name not in shown:
            self.note(f"update to {changes}: the answer lacks {name}")
        if name in _NEVER_REMOVED or not shown:
            return
        if row["card"].startswith("1") and row["create"] == "M":
            self.update(ri, f"of mandatory {name} to null", {name: None}, Status.BAD_REQUEST)
        elif row["card"].startswith("0"):
            rest = self.update(ri, f"of {name} to null", {name: None}, Status.UPDATED)
            if name in rest and name not in self.example.kept:
                self.note(f"update of {name} to null: it is still there")

    def all_announced(self, names: list[str]) -> None:
        """Every row of a resource that is announced (here, to its own CSE): always, when ``aa`` names it, or never."""
        if _REGISTRY[self.number].is_instance:  # announced below what is announced only
            root = next(iter(self.world.retrieve(self.parent).content))
            self.world.update(self.parent, {root: {"at": [self.world.settings.cse_id]}})
        for name in names:
            row = self.rows[name]
            if row["create"] == "NP" or name in self.example.refused or name in _NOT_ASKED:
                continue
            extra = {} if name in self.body() else self.example.values.get(name) or {name: value_for(row)}
            for named in (False, True):
                chosen = {"aa": [name]} if named else {}
                body = {**self.body(), **extra, "at": [self.world.settings.cse_id], **chosen}
                ri = self.create(f"announced with {extra}, {chosen}", body, Status.CREATED)
                if not ri:
                    continue
                self.one_announced(name, row["announce"], named=named)
                self.delete(ri)

    def one_announced(self, name: str, announce: str, *, named: bool) -> None:
        """The announced resource of what was just created holds the attribute if it must, and only then."""
        if not self.shown.get("at"):
            self.note(f"with {name} was announced nowhere: {self.shown}")
            return
        answer = self.world.retrieve(self.shown["at"][0])
        announced = next(iter(answer.content.values()))
        must = announce == "MA" or (announce == "OA" and named)
        if (name in announced) is not must:
            self.note(f"announced with {name} ({announce}, named in aa: {named}): {sorted(announced)}")
        if named and (name in self.shown.get("aa", ())) is not (announce != "NA"):
            self.note(f"aa with {name} ({announce}) is shown as {self.shown.get('aa')}")

    def after_restart(self, world: World) -> None:
        """Everything kept is as it was shown when it was created."""
        for ri, (originator, attributes) in self.kept.items():
            answer = world.retrieve(ri, originator)
            if answer.status is not Status.OK or answer.content[self.root] != attributes:
                self.note(f"after a restart: {answer.content} instead of {attributes}")


def wrong_values(row: Mapping[str, Any]) -> list[Any]:
    """Values that a row must refuse, chosen by its data type and not by the product's own checks."""
    name = row["type"]
    if row["sname"] == "cr":
        return ["Cexample"]
    if name in ("any", "object"):
        return []
    if name == "boolean":
        return ["yes", 1]
    if name == "list":
        return ["text", 5]
    if name == "enum":
        return ["text", 9_999_999]
    if name in _NUMBERS:
        return ["text", True] if name in ("integer", "float") else ["text", True, -1]
    return [5.5, ["text", {}]]


@pytest.mark.behaviour("EB-1.09", "EB-1.18")
@pytest.mark.parametrize("number", _TYPES, ids=[_REGISTRY[number].long_name for number in _TYPES])
@pytest.mark.behaviour("PR-00.2.08")
def test_every_attribute_is_taken_or_refused_as_its_row_says(each: World, number: int, tmp_path: Path) -> None:
    row = _ROWS[number]
    bench = Bench(each, number, row["root"], row["attributes"])
    bench.all_creates(list(bench.rows))
    bench.after_restart(reopened(each, tmp_path))
    assert not bench.wrong, "\n".join(bench.wrong)


_UPDATABLE = [number for number in _TYPES if _REGISTRY[number].updatable and not _REGISTRY[number].is_instance]


@pytest.mark.behaviour("EB-1.09", "EB-1.19")
@pytest.mark.parametrize("number", _UPDATABLE, ids=[_REGISTRY[number].long_name for number in _UPDATABLE])
def test_every_attribute_is_updated_or_left_alone_as_its_row_says(each: World, number: int) -> None:
    row = _ROWS[number]
    bench = Bench(each, number, row["root"], row["attributes"])
    bench.all_updates(list(bench.rows))
    assert not bench.wrong, "\n".join(bench.wrong)


_ANNOUNCED = [number for number in _TYPES if _REGISTRY[number].announced is not None]


@pytest.mark.behaviour("EB-17.02")
@pytest.mark.parametrize("number", _ANNOUNCED, ids=[_REGISTRY[number].long_name for number in _ANNOUNCED])
def test_every_attribute_is_announced_as_its_row_says(each: World, number: int) -> None:
    row = _ROWS[number]
    bench = Bench(each, number, row["root"], row["attributes"])
    bench.all_announced(list(bench.rows))
    assert not bench.wrong, "\n".join(bench.wrong)


#: the announced variants of single types; specialisations are announced with the rows of their originals
_VARIANTS = [number for number in sorted(_REGISTRY.types) if number > 10000 and len(_REGISTRY[number].tables) == 1]


@pytest.mark.parametrize("number", _VARIANTS, ids=[_REGISTRY[number].long_name for number in _VARIANTS])
def test_every_attribute_of_an_announced_resource_is_taken_or_refused_as_its_row_says(
    each: World, number: int, tmp_path: Path
) -> None:
    row = _ROWS[number]
    known = _REGISTRY[number].table(row["root"]).attributes
    bench = Bench(each, number, row["root"], [one for one in row["attributes"] if one["sname"] in known])
    bench.all_creates(list(bench.rows))
    bench.all_updates(list(bench.rows))
    bench.after_restart(reopened(each, tmp_path))
    assert not bench.wrong, "\n".join(bench.wrong)


_FLEX = read_table("flexcontainers.json")["flexContainers"]


@pytest.mark.parametrize("domain", sorted({one["root"].partition(":")[0] for one in _FLEX}))
@pytest.mark.behaviour("PR-05.02")
def test_every_flex_container_takes_its_custom_attributes(each: World, domain: str) -> None:
    bench = Bench(each, 28, "", [])
    common = {row["sname"]: row for row in _ROWS[28]["attributes"]}
    for index, one in enumerate(one for one in _FLEX if one["root"].startswith(domain + ":")):
        definition = {**common["cnd"], "type": "constant", "value": one["cnd"] or "org.example"}
        custom = {row["sname"]: row for row in one["attributes"]}
        bench.root, bench.rows = one["root"], {**common, "cnd": definition, **custom}
        # The rows all have in common are looked at once.
        names = list(custom) if index else list(bench.rows)
        bench.all_creates(names)
        bench.all_updates(names)
    assert not bench.wrong, "\n".join(bench.wrong)


_OBJECTS = [one for one in read_table("mgmtobjs.json")["mgmtObjs"] if "root" in one]


@pytest.mark.behaviour("EB-16.03", "EB-16.04")
@pytest.mark.parametrize("one", _OBJECTS, ids=[one["long"] for one in _OBJECTS])
def test_every_management_object_takes_its_attributes(each: World, one: dict[str, Any]) -> None:
    rows = [
        {**row, "type": "constant", "value": one["mgd"]} if row["sname"] == "mgd" else row for row in one["attributes"]
    ]
    bench = Bench(each, 13, one["root"], rows)
    bench.all_creates(list(bench.rows))
    bench.all_updates(list(bench.rows))
    if one["root"] in _REGISTRY[13].counterparts:
        bench.all_announced(list(bench.rows))
    assert not bench.wrong, "\n".join(bench.wrong)


@pytest.mark.parametrize("root", ["m2m:cb", "m2m:req", "m2m:alst", "m2m:alpc", "cod:tempeInst"])
def test_some_types_are_never_created_by_request(each: World, root: str) -> None:
    resource_type = _REGISTRY.by_root[root]
    created = each.create("cse-in", resource_type.number, {root: {}})
    assert created.status is Status.OPERATION_NOT_ALLOWED


def test_what_is_not_supported_says_so(each: World) -> None:
    supported = set(_REGISTRY.types)
    assert each.retrieve("cse-in").content["m2m:cb"]["srt"] == sorted(supported)
    for number in sorted(_REGISTRY.known_numbers - supported):
        row = _ROWS.get(number)
        if row is None or number >= 10000:
            continue
        status = each.create("cse-in", number, {row["root"]: {}}).status
        assert status is Status.NOT_IMPLEMENTED, row["long"]
