"""Every operation, originator, policy and form of address: the decision is that of an independent oracle (TP-13).

9,984 cases in one process, and a part of them over sockets with tokens. What is denied shows nothing of the target.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cse.app import Cse
from cse.bindings.http_codec import decode_response, encode_request
from cse.config import CseConfig
from cse.core.hosting import HostingCse
from cse.core.pipeline import handle
from cse.core.setup import prepare
from cse.credentials import ADMIN, CSE, DEVICE, CredentialFile, new_credential
from cse.onem2m.primitives import Operation, Request, Response
from cse.onem2m.status import Status
from cse.onem2m.timestamps import format_timestamp
from cse.ports import CseType, Env, Settings
from cse.resources.registry import load_registry
from cse.storage import open_store
from tests.trust import authorisation_oracle as oracle

Ask = Callable[[Request], Awaitable[Response]]

START_S = 1795348800.0
BITS = {"create": 1, "retrieve": 2, "update": 4, "delete": 8, "notify": 16, "discover": 32}
OPERATIONS = {
    "create": Operation.CREATE, "retrieve": Operation.RETRIEVE, "update": Operation.UPDATE,
    "delete": Operation.DELETE, "notify": Operation.NOTIFY, "discover": Operation.RETRIEVE,
}  # fmt: skip
#: what comes after access control says yes: it is done, or the type has its own objection
PASSED = {2000, 2001, 2002, 2004}
OBJECTIONS = {"notify": {4000}, "create": {4108}}
SECRET = "for-the-eyes-of-the-granted"


class Direct:
    """The core in this process; what it sends to others is answered with 2000."""

    peer = "192.0.2.7"

    def __init__(self) -> None:
        self.now = START_S
        self._ids = itertools.count(1)
        settings = Settings(
            cse_type=CseType.MN, cse_id="/id-mn", cse_name="cse-mn", registrar="/id-in", admin=("CAdmin",),
            believe_originators=False, open_registration=False, lenient=False,
        )  # fmt: skip
        self.hosting = HostingCse(settings, load_registry(), open_store("memory"))
        prepare(self.hosting, self._env())

    def _env(self) -> Env:
        self.now += 0.000001
        return Env(self.now, lambda: f"id{next(self._ids)}")

    async def ask(self, request: Request) -> Response:
        request.binding, request.peer_address = "http", self.peer
        steps = handle(request, self.hosting, self._env())
        answer = None
        while True:
            try:
                send = steps.send(answer)
            except StopIteration as done:
                response: Response = done.value.response
                return response
            answer = Response(Status.OK, send.request.request_id, {"far": "away"})


class OverHttp:
    """The same over a socket: the credential of a request becomes its token."""

    peer = "127.0.0.1"

    def __init__(self, cse: Cse, tokens: dict[str, str], session: aiohttp.ClientSession) -> None:
        self._url, self._tokens, self._session = cse.addresses()["http"], tokens, session

    async def ask(self, request: Request) -> Response:
        method, url, headers, body = encode_request(request, self._url, exact_url=False)
        if request.credential:
            headers.append(("Authorization", f"Bearer {self._tokens[request.credential]}"))
        async with self._session.request(method, url, headers=headers, data=body or None) as answer:
            return decode_response(answer.status, answer.raw_headers, await answer.read())


class Tree:
    """The resources of a case, made by those who own them.

    Args:
        ask: sends a request.
        peer: the address the requests come from.
        now: the time at the start, in seconds.
    """

    def __init__(self, ask: Ask, peer: str, now: float) -> None:
        self._ask, self._peer, self._now = ask, peer, now
        self._numbers = itertools.count(1)
        self._acps: dict[tuple[str, str], list[str]] = {}

    async def make(self, to: str, ty: int, root: str, who: str, **attributes: Any) -> dict[str, Any]:
        """Create a resource as its owner."""
        request = Request(Operation.CREATE, to, who, f"m{next(self._numbers)}", ty, {root: attributes}, "3")
        request.credential = who
        response = await self._ask(request)
        assert response.status is Status.CREATED, (response.content, attributes)
        made: dict[str, Any] = response.content[root]
        return made

    async def plant(self) -> None:
        """AEs, CSEs, groups and policies that all cases share."""
        for name in ("ae", "other"):
            await self.make("cse-mn", 2, "m2m:ae", f"C{name}", rn=name, api="Nx", rr=False, srv=["3"])
        await self.make("cse-mn", 2, "m2m:ae", "Cold", rn="old", api="Nx", rr=False, srv=["3"],
                        et=format_timestamp(self._now + 3600))  # fmt: skip
        for cse in ("/id-asn", "/id-in"):
            await self.make("cse-mn", 16, "m2m:csr", cse, rn=cse[1:], csi=cse, cb=f"{cse}/x", rr=True,
                            poa=["http://far"], srv=["3"])  # fmt: skip
        await self.make("cse-mn", 9, "m2m:grp", "CAdmin", rn="friends", mnm=3, mid=["cse-mn/other"])
        one = await self.make("cse-mn", 9, "m2m:grp", "CAdmin", rn="round", mnm=3, mid=["cse-mn/friends"])
        two = await self.make("cse-mn", 9, "m2m:grp", "CAdmin", rn="about", mnm=3, mid=[one["ri"]])
        change = Request(Operation.UPDATE, "cse-mn/round", "CAdmin", "circle", release="3", credential="CAdmin")
        change.content = {"m2m:grp": {"mid": [two["ri"]]}}
        assert (await self._ask(change)).status is Status.UPDATED
        self.everybody = await self.policy(["all"], 63)

    async def policy(self, who: list[str], bits: int, **rule: Any) -> str:
        """An accessControlPolicy that the administrator controls; gives its address."""
        name = f"acp{next(self._numbers)}"
        rules = [{"acor": who, "acop": bits, **rule}] if who else []
        own = {"acr": [{"acor": ["CAdmin"], "acop": 63}]}
        await self.make("cse-mn", 1, "m2m:acp", "CAdmin", rn=name, pv={"acr": rules}, pvs=own)
        return f"cse-mn/{name}"

    async def policies(self, kind: str, operation: str) -> list[str]:
        """The acpi of a target; the same for all cases with this policy and operation."""
        key = kind, operation
        if kind == "deleted" or key not in self._acps:
            self._acps[key] = await self._policies(kind, BITS[operation])
        return self._acps[key]

    async def _policies(self, kind: str, bit: int) -> list[str]:
        named = list(oracle.NAMED)
        inside, outside = f"{self._peer}/32", "198.51.100.0/24"
        match kind:
            case "none":
                return []
            case "allows the operation" | "deleted" | "inherited":
                return [await self.policy(named, bit)]
            case "self-privileges only":
                return [await self.policy([], 0)]
            case "allows all but the operation":
                return [await self.policy(named, 63 - bit)]
            case "wildcards":
                return [await self.policy(["Coth*", "/id-asn/*"], bit)]
            case "group":
                return [await self.policy(["cse-mn/friends"], bit)]
            case "address inside" | "address outside":
                network = inside if kind == "address inside" else outside
                return [await self.policy(named, bit, acco=[{"acip": {"ipv4": [network]}}])]
            case "time inside" | "time outside":
                year = "*" if kind == "time inside" else "2020"
                return [await self.policy(named, bit, acco=[{"actw": [f"* * * * * * {year}"]}])]
            case "other child types only":
                return [await self.policy(named, bit, acod=[{"chty": [23]}])]
            case "remote":
                return ["/id-in/cse-in/acp"]
            case "groups in a circle":
                return [await self.policy(["cse-mn/round"], bit)]
            case "several":
                return [await self.policy(["Cnobody-else"], 63), await self.policy(named, bit)]
        raise AssertionError(kind)

    async def target(self, operation: str, policy: str, path: str) -> str:
        """A new target with the policy; gives its address in the wanted form."""
        if path == "transit":
            return "/id-asn/cse-asn/x"
        name = f"t{next(self._numbers)}"
        acpi = await self.policies(policy, operation)
        more: dict[str, Any] = {"acpi": acpi} if acpi else {}
        if path == "announced":
            more |= {"rn": name, "lnk": f"/id-asn/cse-asn/{name}", "lbl": [SECRET]}
            made = await self.make("cse-mn/id-asn", 10003, "m2m:cntA", "/id-asn", **more)
            to = f"cse-mn/id-asn/{name}"
        else:
            made = await self.make("cse-mn/ae", 3, "m2m:cnt", "Cae", rn=name, lbl=[SECRET], **more)
            to = f"cse-mn/ae/{name}"
        if path != "announced" and (policy == "inherited" or path == "la"):
            # The administrator may whatever the policy says.
            instance = await self.make(to, 4, "m2m:cin", "CAdmin", con=SECRET)
            made, to = (made, f"{to}/la") if path == "la" else (instance, f"{to}/{instance['rn']}")
        if policy == "deleted":
            gone = Request(Operation.DELETE, acpi[0], "CAdmin", "gone", release="3", credential="CAdmin")
            assert (await self._ask(gone)).status is Status.DELETED
        return await self._address(to, made["ri"], path, name)

    async def _address(self, to: str, ri: str, path: str, name: str) -> str:
        if path == "unstructured":
            return ri
        if path == "SP-relative":
            return f"/id-mn/{to}"
        if path == "absolute":
            return f"//onemec.local/id-mn/{to}"
        if path == "fopt":
            await self.make("cse-mn", 9, "m2m:grp", "CAdmin", rn=f"g{name}", mnm=1, mid=[to], macp=[self.everybody])
            return f"cse-mn/g{name}/fopt"
        return to


def request(operation: str, who: str, to: str) -> Request:
    """The request of a case."""
    name, credential = oracle.ORIGINATORS[who]
    made = Request(OPERATIONS[operation], to, name, "case", release="3", credential=credential)
    if operation == "create":
        made.resource_type, made.content = 3, {"m2m:cnt": {"rn": "new"}}
    elif operation == "update":
        made.content = {"m2m:cntA" if to.startswith("cse-mn/id-asn/") else "m2m:cnt": {"lbl": ["changed"]}}
    elif operation == "notify":
        made.content = {"m2m:sgn": {"nev": {"rep": {}, "net": 1}, "sur": "x"}}
    elif operation == "discover":
        made.filter = {"fu": 1}
    return made


def outcome(response: Response, path: str) -> tuple[int, Any]:
    """The status that counts and the content: that of the member when there is a group."""
    if path != "fopt" or response.status is not Status.OK:
        return int(response.status), response.content
    members = response.content["m2m:agr"]["m2m:rsp"]
    assert len(members) == 1
    return members[0]["rsc"], members[0].get("pc")


def differs(operation: str, who: str, policy: str, path: str, response: Response) -> str:
    """What is wrong with the answer of a case, "" for nothing."""
    expected = oracle.decision(operation, who, policy, path)
    status, content = outcome(response, path)
    if expected == oracle.GRANTED:
        good = status in PASSED | OBJECTIONS.get(operation, set())
    elif expected == oracle.FORWARDED:
        good = content == {"far": "away"}
    else:
        good = status == expected
        if SECRET in json.dumps(content):
            return f"{operation}, {who}, {policy}, {path}: denied, but shown: {content}"
    return "" if good else f"{operation}, {who}, {policy}, {path}: {expected} expected, not {status}: {content}"


async def test_ten_thousand_cases_are_decided_as_the_oracle_says() -> None:
    direct = Direct()
    tree = Tree(direct.ask, direct.peer, direct.now)
    await tree.plant()
    direct.now += 7200  # the AE of "expired AE" is gone
    wrong = []
    expected: Counter[int | str] = Counter()
    for operation, who, policy, path in oracle.CASES:
        to = await tree.target(operation, policy, path)
        response = await direct.ask(request(operation, who, to))
        wrong.append(differs(operation, who, policy, path, response))
        expected[oracle.decision(operation, who, policy, path)] += 1
    assert len(wrong) == 9984
    found = [line for line in wrong if line]
    assert not found, f"{len(found)} differences, e.g.\n" + "\n".join(found[:20])
    # and the matrix does ask for every answer, many times
    assert min(expected.values()) >= 48, expected


async def test_a_part_of_them_over_sockets(tmp_path: Path) -> None:
    roles = {"CAdmin": ADMIN, "/id-asn": CSE, "/id-in": CSE, "/id-x": CSE}
    entities = {credential for _, credential in oracle.ORIGINATORS.values() if credential}
    tokens = {}
    for entity in sorted(entities):
        made, token = new_credential(entity.strip("/"), entity, roles.get(entity, DEVICE))
        CredentialFile(tmp_path / "c.json").add(made)
        tokens[entity] = token
    config = CseConfig(
        type=CseType.MN, id="/id-mn", name="cse-mn", http="127.0.0.1:0", credentials=str(tmp_path / "c.json")
    )
    cse = Cse(config)
    await cse.start()
    try:
        async with aiohttp.ClientSession() as session:
            over = OverHttp(cse, tokens, session)
            tree = Tree(over.ask, over.peer, cse.env().now)
            await tree.plant()
            cases = [case for case in oracle.CASES if case[3] != "transit"][::17]
            assert len(cases) > 500
            wrong = []
            for operation, who, policy, path in cases:
                to = await tree.target(operation, policy, path)
                response = await over.ask(request(operation, who, to))
                wrong.append(differs(operation, who, policy, path, response))
            found = [line for line in wrong if line]
            assert not found, f"{len(found)} differences, e.g.\n" + "\n".join(found[:20])
    finally:
        await cse.stop(1.0)


@pytest.mark.parametrize("policy", ["none", "remote", "self-privileges only"])
async def test_the_comparison_can_fail(policy: str) -> None:
    """A control: an answer that lets somebody in who is denied is a difference, and so is one that shows something."""
    assert oracle.decision("retrieve", "other AE", policy, "structured") == oracle.DENIED
    let_in = Response(Status.OK, "case", {"m2m:cnt": {"lbl": [SECRET]}})
    assert "shown" in differs("retrieve", "other AE", policy, "structured", let_in)
    assert "expected" in differs("retrieve", "other AE", policy, "structured", Response(Status.OK, "case", {}))
