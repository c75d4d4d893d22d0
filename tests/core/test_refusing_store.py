"""A store that refuses a write makes the request fail, whatever else the request did (trust.md R1, R10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cse.onem2m.errors import InternalServerError
from cse.onem2m.primitives import Operation, Request
from cse.onem2m.status import Status
from cse.ports import Send, Ticket, both
from cse.storage.memory import MemoryStore
from tests.core.world import World

REFUSED = -1


class RefusingStore(MemoryStore):
    """Undoes what it is told to keep and says so by a negative ticket, as a store with a full disk does."""

    refuses = False

    def commit(self, sends: Sequence[Send] = ()) -> Ticket:
        """Keep the changes, or undo them."""
        if not self.refuses:
            return super().commit(sends)
        self.rollback()
        return REFUSED

    async def durable(self, ticket: Ticket) -> None:
        """Fail for what was undone."""
        if ticket == REFUSED:
            raise InternalServerError("storage: full")


@pytest.mark.parametrize(
    ("one", "other", "expected"), [(0, 0, 0), (0, 5, 5), (7, 5, 7), (0, -1, -1), (-1, 9, -1), (9, -1, -1)]
)
def test_a_refusal_is_never_hidden_by_a_later_group(one: Ticket, other: Ticket, expected: Ticket) -> None:
    assert both(one, other) == expected


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        (Operation.UPDATE, {"content": {"m2m:cnt": {"lbl": ["new"]}}}),
        (Operation.CREATE, {"resource_type": 3, "content": {"m2m:cnt": {}}}),
        (Operation.DELETE, {}),
    ],
)
def test_a_refused_write_is_not_acknowledged(operation: Operation, fields: dict[str, Any]) -> None:
    store = RefusingStore()
    world = World(store, "mqtt")
    world.ae()
    path = world.container(lbl=["old"])
    store.refuses = True
    with pytest.raises(InternalServerError):
        world.serve(Request(operation, path, "Cae", "1", release="3", **fields))
    store.refuses = False
    assert world.retrieve(path).content["m2m:cnt"]["lbl"] == ["old"]


def test_a_refused_member_of_a_fan_out_fails_the_whole_request() -> None:
    store = RefusingStore()
    world = World(store, "mqtt")
    world.ae()
    path = world.container()
    members = {"m2m:grp": {"rn": "g", "mnm": 3, "mid": [path]}}
    assert world.create("cse-in", 9, members).status is Status.CREATED
    store.refuses = True
    with pytest.raises(InternalServerError):
        world.create("cse-in/g/fopt", 4, {"m2m:cin": {"con": "x"}})
