"""What every engine does: ``cse.ports.Store`` and ``Engine``, sentence by sentence."""

from __future__ import annotations

import pytest

from cse.onem2m.errors import Conflict, NotFound
from cse.ports import INDEXED_ATTRIBUTES, Engine, Resource
from tests.storage.builders import add, instance, names, put, resource, state


def test_a_plain_resource_is_found_by_ri_and_by_name(store: Engine) -> None:
    store.begin()
    new = add(store, "c", "inner", "r1", internal={"creator": "CAE"}, lbl=["a"])
    store.commit()
    assert state(store.get("r1")) == state(store.child("c", "inner")) == state(new)
    assert store.get("r2") is None
    assert store.child("c", "other") is None
    assert store.child("nowhere", "inner") is None
    assert store.plain_count() == 3


def test_children_come_in_the_order_of_creation_and_by_type(store: Engine) -> None:
    store.begin()
    for number in range(5):
        add(store, "cb", f"n{number}", f"r{number}", ty=2 if number % 2 else 3)
    store.commit()
    assert names(store.children("cb")) == ["cnt", "n0", "n1", "n2", "n3", "n4"]
    assert names(store.children("cb", 2)) == ["n1", "n3"]
    assert names(store.of_type(3)) == ["cnt", "n0", "n2", "n4"]
    assert list(store.children("cb", 99)) == list(store.children("r0")) == list(store.of_type(99)) == []


def test_names_and_ids_are_claimed_once(store: Engine) -> None:
    store.begin()
    add(store, "c", "taken", "r1")
    with pytest.raises(Conflict, match="taken"):
        add(store, "c", "taken", "r2")
    with pytest.raises(Conflict, match="r1"):
        add(store, "c", "free", "r1")
    with pytest.raises(Conflict):
        instance(store, "c", "taken")
    given = instance(store, "c", "named")
    with pytest.raises(Conflict):
        instance(store, "c", "named")
    with pytest.raises(Conflict):
        add(store, "c", "named", "r3")
    with pytest.raises(Conflict):
        add(store, "cb", "elsewhere", given.ri)
    store.commit()
    assert names(store.instances("c")) == ["named"]
    assert state(store.child("c", "named")) == state(given)


def test_a_removed_name_is_free_again(store: Engine) -> None:
    for _ in range(2):
        store.begin()
        add(store, "c", "inner", "r1")
        first = instance(store, "c", "named")
        store.commit()
        store.begin()
        store.remove("r1")
        store.remove(first.ri)
        store.commit()
        assert store.get("r1") is store.child("c", "named") is store.get(first.ri) is None


def test_replace_gives_a_new_state_and_leaves_the_old_one_alone(store: Engine) -> None:
    store.begin()
    add(store, "c", "inner", "r1", internal={"a": 1}, lbl=["x"])
    store.commit()
    before = store.get("r1")
    store.begin()
    store.replace("r1", {"ri": "r1", "pi": "c", "rn": "inner", "ty": 3, "lbl": ["y"]})
    store.commit()
    after = store.get("r1")
    assert before is not None
    assert after is not None
    assert (before.attributes["lbl"], after.attributes["lbl"]) == (["x"], ["y"])
    assert after.internal == {"a": 1}
    store.begin()
    assert store.replace("r1", after.attributes, {"b": 2}) is store.get("r1")
    store.commit()
    assert store.get("r1").internal == {"b": 2}  # type: ignore[union-attr]
    assert names(store.referring("lbl", "x")) == []
    assert names(store.referring("lbl", "y")) == ["inner"]


@pytest.mark.parametrize("attribute", INDEXED_ATTRIBUTES)
def test_every_indexed_attribute_finds_its_holders(store: Engine, attribute: str) -> None:
    store.begin()
    add(store, "c", "list", "r1", 3, **{attribute: ["v", "w", "v", 7]})
    add(store, "c", "one", "r2", 3, **{attribute: "v"})
    add(store, "c", "none", "r3", 3, **{attribute: None})
    add(store, "c", "third", "r4", 3, **{attribute: ["v"]})
    store.commit()
    assert names(store.referring(attribute, "v")) == ["list", "one", "third"]
    assert names(store.referring(attribute, "w")) == ["list"]
    store.begin()
    store.remove("r2")
    store.remove("r4")
    store.commit()
    assert names(store.referring(attribute, "v")) == ["list"]
    assert names(store.referring(attribute, "nobody")) == []


def test_what_a_resource_watches_is_indexed_though_it_never_travels(store: Engine) -> None:
    def watching(value: str) -> list[str]:
        return names(store.referring("subject", value))

    assert not store.has_type(65)
    store.begin()
    for number in range(3):
        add(store, "c", f"a{number}", f"r{number}", 65, internal={"subject": "x"})
    store.commit()
    assert store.has_type(65)
    assert watching("x") == ["a0", "a1", "a2"]
    store.begin()
    store.replace("r1", store.get("r1").attributes, {"subject": "y"})  # type: ignore[union-attr]
    store.remove("r2")
    assert (watching("x"), watching("y")) == (["a0"], ["a1"])
    store.rollback()
    assert (watching("x"), watching("y")) == (["a0", "a1", "a2"], [])
    store.begin()
    store.replace("r1", store.get("r1").attributes, {})  # type: ignore[union-attr]
    for ri in ("r0", "r2"):
        store.remove(ri)
    store.commit()
    assert watching("x") == []
    assert store.has_type(65)


def test_an_attribute_without_index_is_refused(store: Engine) -> None:
    with pytest.raises(KeyError):
        store.referring("con", "x")


def test_labels_find_resources_and_instances_in_the_order_of_creation(store: Engine) -> None:
    store.begin()
    add(store, "c", "first", "r1", lbl=["x"])
    second = instance(store, "c", lbl=["x", "y"])
    add(store, "cb", "third", "r3", lbl=["x"])
    add(store, "cb", "late", "r4")
    instance(store, "r4", "fifth", lbl=["x"])
    store.replace("c", {**store.get("c").attributes, "lbl": ["x"]})  # type: ignore[union-attr]
    store.commit()
    assert names(store.referring("lbl", "x")) == ["cnt", "first", second.rn, "third", "fifth"]
    assert names(store.referring("lbl", "y")) == [second.rn]
    store.begin()
    store.remove(second.ri)
    store.commit()
    assert names(store.referring("lbl", "x")) == ["cnt", "first", "third", "fifth"]
    assert names(store.referring("lbl", "y")) == []


def test_instances_keep_the_order_of_their_creation(store: Engine) -> None:
    made = []
    for number in range(600):
        store.begin()
        made.append(instance(store, "c", con=number).ri)
        store.commit()
    assert [one.ri for one in store.instances("c")] == made
    assert [one.ri for one in store.instances("c", newest_first=True)] == made[::-1]
    assert store.newest("c").attributes["con"] == 599  # type: ignore[union-attr]
    assert store.oldest("c").attributes["con"] == 0  # type: ignore[union-attr]
    assert len(set(made)) == 600
    assert store.children("c") == ()


def test_a_container_that_drops_its_oldest(store: Engine) -> None:
    for number in range(100):
        store.begin()
        instance(store, "c", con=number)
        if number >= 7:
            oldest = store.oldest("c")
            assert oldest is not None
            assert oldest.attributes["con"] == number - 7
            store.remove(oldest.ri)
        store.commit()
    assert [one.attributes["con"] for one in store.instances("c")] == list(range(93, 100))


async def test_the_newest_may_be_removed_again_and_again(store: Engine) -> None:
    made = [(await put(store, "c")).ri for _ in range(5)]
    while made:
        newest = store.newest("c")
        assert newest is not None
        assert newest.ri == made.pop()
        store.begin()
        store.remove(newest.ri)
        store.commit()
    assert store.newest("c") is store.oldest("c") is None
    assert list(store.instances("c")) == []


def test_instances_below_nothing(store: Engine) -> None:
    assert store.newest("c") is store.oldest("c") is store.newest("nowhere") is store.oldest("nowhere") is None
    assert list(store.instances("c")) == list(store.instances("nowhere")) == []
    assert store.get("i1-1") is store.child("c", "i1-1") is None


def test_an_instance_keeps_everything_it_was_given(store: Engine) -> None:
    wire = {"con": {"deep": [1, 2.5, None, True, "ü\u0000€"]}, "lbl": ["l"], "et": "20300101T000000", "cs": 12}
    store.begin()
    new = instance(store, "c", "named", {"originator": "CAE"}, **wire)
    store.commit()
    assert state(store.get(new.ri)) == state(new)
    store.begin()
    store.replace_instance(new.ri, {"deletionCount": 3})
    store.commit()
    found = store.get(new.ri)
    assert found is not None
    assert found.internal == {"deletionCount": 3}
    assert found.attributes == new.attributes
    assert new.internal == {"originator": "CAE"}
    assert [one.internal for one in store.instances("c")] == [{"deletionCount": 3}]
    assert store.newest("c").internal == store.oldest("c").internal == found.internal  # type: ignore[union-attr]


def test_an_id_is_never_given_twice(store: Engine) -> None:
    seen = set()
    for _ in range(4):
        store.begin()
        seen.add(instance(store, "c").ri)
        store.commit()
        store.begin()
        store.remove_instances("c")
        store.commit()
    assert len(seen) == 4


def test_clients_may_choose_names_that_look_like_ids(store: Engine) -> None:
    store.begin()
    first = instance(store, "c").ri
    head = first.rsplit("-", 1)[0]
    chosen = instance(store, "c", f"{head}-4")
    add(store, "c", f"{head}-3", "r1")
    later = [instance(store, "c").ri for _ in range(3)]
    store.commit()
    assert f"{head}-3" not in later
    assert f"{head}-4" not in later
    assert store.child("c", f"{head}-4") is not None
    assert store.child("c", f"{head}-4").ri == chosen.ri  # type: ignore[union-attr]
    assert store.child("c", f"{head}-3").ri == "r1"  # type: ignore[union-attr]
    assert store.child("c", chosen.ri) is None
    store.begin()
    with pytest.raises(Conflict):
        instance(store, "c", first)
    store.rollback()


def test_removing_a_parent_removes_its_instances(store: Engine) -> None:
    store.begin()
    add(store, "c", "inner", "r1")
    gone = [instance(store, "r1", lbl=["x"], et="20300101T000000").ri for _ in range(3)]
    store.commit()
    store.begin()
    store.remove("r1")
    store.commit()
    assert [store.get(ri) for ri in gone] == [None] * 3
    assert list(store.instances("r1")) == list(store.referring("lbl", "x")) == []
    assert store.next_expiry() is None


def test_a_parent_with_plain_children_is_not_removed(store: Engine) -> None:
    store.begin()
    with pytest.raises(ValueError, match="children"):
        store.remove("cb")
    store.rollback()


def test_what_does_not_exist_cannot_be_changed(store: Engine) -> None:
    store.begin()
    for call in (
        lambda: store.remove("r9"),
        lambda: store.remove("i7-7"),
        lambda: store.replace("r9", {}),
        lambda: store.replace_instance("i7-7", {}),
        lambda: store.remove_instances("r9"),
        lambda: store.new_instance_id("r9"),
        lambda: store.insert(resource(store, "r9", "orphan", "r10")),
    ):
        with pytest.raises(NotFound):
            call()
    assert store.commit() == 0


def test_expiry_comes_in_order_and_within_the_limit(store: Engine) -> None:
    store.begin()
    add(store, "c", "late", "r1", et="20300103T000000")
    instance(store, "c", "soon", et="20300101T000000")
    add(store, "c", "middle", "r2", et="20300102T000000")
    instance(store, "c", "never")
    store.commit()
    assert store.next_expiry() == "20300101T000000"
    assert names(store.expired("20291231T235959", 10)) == []
    assert names(store.expired("20300102T000000", 10)) == ["soon", "middle"]
    assert names(store.expired("20310101T000000", 2)) == ["soon", "middle"]
    assert names(store.expired("20310101T000000", 10)) == ["soon", "middle", "late"]
    store.begin()
    store.replace("r2", {**store.get("r2").attributes, "et": "20400101T000000"})  # type: ignore[union-attr]
    store.remove(store.child("c", "soon").ri)  # type: ignore[union-attr]
    store.commit()
    assert store.next_expiry() == "20300103T000000"
    assert names(store.expired("20390101T000000", 10)) == ["late"]


def test_an_et_that_comes_back_counts_once(store: Engine) -> None:
    store.begin()
    made = add(store, "c", "inner", "r1", et="20300101T000000")
    for et in ("20400101T000000", "20300101T000000"):
        store.replace("r1", {**made.attributes, "et": et})
    store.commit()
    assert names(store.expired("20310101T000000", 10)) == ["inner"]
    store.begin()
    store.replace("r1", {key: value for key, value in made.attributes.items() if key != "et"})
    store.commit()
    assert store.next_expiry() is None


def test_many_renewals_leave_one_expiry(store: Engine) -> None:
    store.begin()
    made = add(store, "c", "inner", "r1", et="20300101T000000")
    for number in range(5000):
        store.replace("r1", {**made.attributes, "et": f"2031{number:04}T000000"})
    store.commit()
    assert store.next_expiry() == "20314999T000000"
    assert names(store.expired("2032", 10)) == ["inner"]


def test_rollback_undoes_everything_in_its_order(store: Engine) -> None:
    store.begin()
    add(store, "cb", "a", "r1", lbl=["x"], et="20300101T000000")
    add(store, "cb", "b", "r2", lbl=["x"])
    add(store, "cb", "d", "r3", lbl=["x"])
    made = [instance(store, "c", lbl=["x"], et=f"2030010{number}T000000").ri for number in range(2, 6)]
    store.commit()

    def everything() -> list[object]:
        return [
            [state(one) for one in store.children("cb")],
            [state(one) for one in store.of_type(3)],
            [state(one) for one in store.referring("lbl", "x")],
            [state(one) for one in store.instances("c")],
            [state(one) for one in store.instances("c", newest_first=True)],
            [state(one) for one in store.expired("20400101T000000", 100)],
            store.next_expiry(),
            state(store.newest("c")),
            state(store.oldest("c")),
            store.plain_count(),
        ]

    before = everything()
    store.begin()
    store.remove("r1")
    store.remove("r2")
    add(store, "cb", "a", "r4", lbl=["y"])
    store.remove(made[1])
    store.remove(made[0])
    store.replace_instance(made[2], {"changed": True})
    instance(store, "c", "extra", lbl=["x"])
    store.replace("r3", {"ri": "r3", "pi": "cb", "rn": "d", "ty": 3, "et": "20200101T000000"})
    store.remove(made[3])
    store.remove_instances("c")
    instance(store, "c", "another")
    everything()
    store.rollback()
    assert everything() == before
    store.begin()
    store.remove("c")
    store.rollback()
    assert everything() == before


def test_transactions_do_not_nest_and_writes_need_one(store: Engine) -> None:
    with pytest.raises(RuntimeError):
        store.commit()
    with pytest.raises(RuntimeError):
        store.rollback()
    with pytest.raises(RuntimeError):
        store.insert(resource(store, "c", "x", "r1"))
    store.begin()
    with pytest.raises(RuntimeError):
        store.begin()
    store.rollback()


def test_an_instance_takes_the_id_it_was_given(store: Engine) -> None:
    store.begin()
    new = instance(store, "c")
    with pytest.raises(ValueError, match="next instance id"):
        store.insert_instance(new)
    store.rollback()


async def test_a_transaction_without_changes_needs_no_disk(store: Engine) -> None:
    store.begin()
    assert store.commit() == 0
    await store.durable(0)
    assert store.health() == "ok"


async def test_removing_while_iterating(store: Engine) -> None:
    for _ in range(40):
        await put(store, "c")
    store.begin()
    seen = 0
    for one in store.instances("c"):
        store.remove(one.ri)
        seen += 1
    assert seen == 40
    assert list(store.instances("c")) == []
    store.rollback()
    store.begin()
    iterator = store.instances("c")
    next(iterator)
    store.remove_instances("c")
    assert list(iterator) == []
    store.commit()


async def test_what_was_removed_from_the_middle_never_becomes_the_oldest(store: Engine) -> None:
    made = [(await put(store, "c")).ri for _ in range(5)]
    assert store.oldest("c").ri == made[0]  # type: ignore[union-attr]
    for gone in (made[2], made[1], made[0]):
        store.begin()
        store.remove(gone)
        await store.durable(store.commit())
        assert store.oldest("c").ri == (made[0] if gone != made[0] else made[3])  # type: ignore[union-attr]
    assert [one.ri for one in store.instances("c")] == made[3:]


def test_instances_are_read_from_a_place_in_their_order(store: Engine) -> None:
    store.begin()
    for number in range(3000):
        instance(store, "c", con=number)
    for one in list(store.instances("c"))[100:2900:2]:
        store.remove(one.ri)
    store.commit()
    asked = 0

    def reached(one: Resource) -> bool:
        nonlocal asked
        asked += 1
        return bool(one.attributes["con"] >= 2000)

    assert next(store.instances_from("c", reached)).attributes["con"] == 2001
    assert asked <= 40
    assert [one.attributes["con"] for one in store.instances_from("c", lambda one: one.attributes["con"] > 2997)] == [
        2998,
        2999,
    ]
    assert list(store.instances_from("c", lambda one: False)) == []
    assert next(store.instances_from("c", lambda one: True)).attributes["con"] == 0
    assert list(store.instances_from("nowhere", lambda one: True)) == []


async def test_an_instance_is_found_by_what_its_type_has_indexed(store: Engine) -> None:
    store.begin()
    new = instance(store, "c", internal={"indexed": "a\nb"}, lbl=["x"])
    instance(store, "c", internal={"other": "a\nb"})
    await store.durable(store.commit())
    assert names(store.referring("lbl", "a\nb")) == names(store.referring("lbl", "x")) == [new.rn]
    store.begin()
    store.remove(new.ri)
    again = instance(store, "c", internal={"indexed": "a\nb"})
    store.rollback()
    assert names(store.referring("lbl", "a\nb")) == [new.rn]
    store.begin()
    store.remove(new.ri)
    again = instance(store, "c", internal={"indexed": "a\nb"})
    await store.durable(store.commit())
    assert names(store.referring("lbl", "a\nb")) == [again.rn]
