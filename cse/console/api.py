"""What the views of the console ask for: primitives, the inspector, explanations, deliveries, changes of resources."""

from __future__ import annotations

import logging
import secrets
from dataclasses import asdict
from typing import Any

from cse.bindings.primitive_codec import decode_request, encode_response
from cse.console.changes import Changes
from cse.console.copies import copies
from cse.console.house import House, environment, may_see
from cse.console.inspector import Inspected, Inspector
from cse.console.live import Live
from cse.console.people import Person, Refused, Role
from cse.console.routes import Call, Handler
from cse.console.sight import sees, sees_contents, shown
from cse.core.explanation import explain
from cse.core.numbers import ACCESS_CONTROL_POLICY
from cse.onem2m.errors import CseError
from cse.onem2m.primitives import FilterUsage, Operation, Request, Response, error_response
from cse.resources.declare import Privilege

_log = logging.getLogger("cse.console")

#: the binding under which requests of the console are counted and shown
BINDING = "console"
#: attributes that say who may do what
_POLICY_ATTRIBUTES = frozenset({"acpi", "pv", "pvs", "daci"})


class Api:
    """The API of the console's own views.

    Args:
        house: the CSE.
        inspector: its requests.
        live: who listens.
    """

    def __init__(self, house: House, inspector: Inspector, live: Live) -> None:
        self._house, self._inspector, self._live = house, inspector, live
        self._changes = Changes(house)

    def routes(self) -> dict[str, tuple[str, Role, Handler]]:
        """Method, least role and handler of each name."""
        return {
            "primitive": ("POST", Role.VIEWER, self.primitive),
            "watch": ("POST", Role.VIEWER, self.watch),
            "requests": ("GET", Role.VIEWER, self.requests),
            "explain": ("GET", Role.VIEWER, self.explain),
            "copies": ("GET", Role.VIEWER, self.copies),
            "replay": ("POST", Role.OPERATOR, self.replay),
            "deliveries": ("GET", Role.VIEWER, self.deliveries),
            "types": ("GET", Role.VIEWER, self.types),
        }

    # --- oneM2M ---------------------------------------------------------------------------------------------------

    async def primitive(self, call: Call) -> dict[str, Any]:
        """Serve a request primitive in the name of the person; gives the response primitive.

        Raises:
            Refused: it is none, or the role is too low for it.
        """
        if not isinstance(call.body, dict):
            raise Refused(400, 'send a request primitive, e.g. {"op": 2, "to": "cse-in"}')
        request = decode_request(self._of(call.person, call.body), lenient=False)
        least = least_role(request)
        if call.person.role < least:
            raise Refused(403, f"this needs the role {least.word}, and {request.originator} is {call.person.role.word}")
        return encode_response(await self._serve(call.person, request))

    def _of(self, person: Person, primitive: dict[str, Any]) -> dict[str, Any]:
        """A primitive as a person may send it: in his name, with an identifier of its own."""
        release = self._house.config.releases[-1]
        return {**primitive, "fr": person.originator, "rqi": f"console-{secrets.token_hex(6)}", "rvi": release}

    async def _serve(self, person: Person, request: Request, by: str = "") -> Response:
        request.credential, request.peer_address = person.credential, person.address
        if not person.inside:
            request.binding = BINDING
        try:
            with self._house.admission.admit(request):
                if request.operation is Operation.RETRIEVE:
                    return await self._house.serve(request)
                response = await self._inspected(request)
        except CseError as error:
            return error_response(request, error.status, error.debug)
        _log.info(
            "%s of %s by %s from the console: %d",
            request.operation.name,
            request.to,
            by or person.originator,
            response.status,
        )
        return response

    async def _inspected(self, request: Request) -> Response:
        if not self._inspector.on:
            return await self._house.serve(request)
        return await self._inspector.serve(request, self._house.serve, BINDING)

    async def watch(self, call: Call) -> dict[str, Any]:
        """Have this browser, and no others, told of changes of some resources and their children.

        Raises:
            Refused: nobody listens under this number, or the list is none.
        """
        body = call.body if isinstance(call.body, dict) else {}
        number, wanted = body.get("client"), body.get("to")
        if not isinstance(number, int) or not isinstance(wanted, list):
            raise Refused(400, 'send {"client": <number of the hello event>, "to": [<addresses>]}')
        client = self._live.client(number, call.person)
        return {"watching": self._changes.watch(client, [to for to in wanted if isinstance(to, str)])}

    async def types(self, call: Call) -> dict[str, Any]:
        """The resource types by number: name, and what may be created below."""
        found = {}
        for number, one in self._house.hosting.registry.types.items():
            found[str(number)] = {
                "name": one.long_name,
                "root": one.root,
                "children": sorted(one.children),
                "instance": one.is_instance,
                "creatable": one.creatable,
                "updatable": one.updatable,
            }
        return {"types": found}

    # --- inspector ------------------------------------------------------------------------------------------------

    async def requests(self, call: Call) -> dict[str, Any]:
        """The requests after ``since`` that the person may see."""
        found = self._inspector.since(call.number("since"), lambda record: sees(self._house, call.person, record))
        records = [shown(self._house, call.person, record) for record in found]
        return {"records": records, "recording": self._inspector.on}

    def _record(self, person: Person, number: int) -> Inspected:
        record = self._inspector.find(number)
        if record is None or not sees(self._house, person, record):
            raise Refused(404, f"request {number} is kept no longer")
        return record

    def _whole(self, person: Person, number: int) -> Inspected:
        """A record whose content the person may see and send."""
        record = self._record(person, number)
        if not record.whole:
            raise Refused(409, "its content was too large to keep: it cannot be sent again or written out")
        if not sees_contents(self._house, person, record):
            raise Refused(403, "its content is about more than you may RETRIEVE: ask an administrator")
        return record

    async def explain(self, call: Call) -> dict[str, Any]:
        """Why a request that was seen was granted or denied, as the rules are now.

        Raises:
            Refused: it is kept no longer, or it was somebody else's and the person is no administrator.
        """
        record = self._record(call.person, call.number("number"))
        if call.person.role is not Role.ADMIN and record.originator != call.person.originator:
            raise Refused(403, "the rules for others are shown to administrators only")
        primitive = record.primitive
        privilege = _privilege(primitive)
        child = primitive.get("ty") if privilege is Privilege.CREATE else None
        about = {"privilege": privilege.name, "originator": record.originator}
        try:
            found = explain(
                self._house.hosting,
                environment(),
                record.originator,
                privilege,
                str(primitive["to"]),
                child_type=child,
                peer_address=record.address,
                content=primitive.get("pc") if record.whole else None,
            )
        except CseError as error:  # nothing was decided: there is nothing to decide about
            return {"granted": None, "because": error.debug, "ruledBy": "", "rules": [], **about}
        rules = [asdict(rule) for rule in found.rules if rule.concerns or call.person.role is Role.ADMIN]
        return {
            "granted": found.granted,
            "because": found.because,
            "ruledBy": found.ruled_by,
            "rules": rules,
            **about,
        }

    async def copies(self, call: Call) -> dict[str, str]:
        """A request that was seen as lines to paste, by tool.

        Raises:
            Refused: it is kept no longer, or not whole.
        """
        record = self._whole(call.person, call.number("number"))
        config = self._house.config
        request = decode_request({"fr": "", **record.primitive}, lenient=True)
        return copies(request, self._house.addresses(), config.id, proves=not config.insecure_dev)

    async def replay(self, call: Call) -> dict[str, Any]:
        """Send a request that was seen once more.

        Everybody sends in his own name. Where originators are believed anyway (insecure-dev), an administrator may
        send in the name of the one who sent it first.

        Raises:
            Refused: it is kept no longer or not whole, or the role is too low for it.
        """
        body = call.body if isinstance(call.body, dict) else {}
        number = body.get("number")
        record = self._whole(call.person, number if isinstance(number, int) else 0)
        primitive = self._of(call.person, record.primitive)
        person = call.person
        if body.get("as") == "original":
            if not (self._house.config.insecure_dev and person.role is Role.ADMIN and not person.credential):
                raise Refused(403, "in the name of others only with --insecure-dev and without a credential")
            primitive["fr"] = record.originator
            person = Person(record.originator, "", person.role, address=person.address)
        for name in ("ot", "rqet", "rset", "oet"):
            primitive.pop(name, None)
        request = decode_request(primitive, lenient=True)
        least = least_role(request)
        if call.person.role < least:
            raise Refused(403, f"this needs the role {least.word}, and you are {call.person.role.word}")
        response = await self._replayed(person, request, call.person.originator)
        return {"request": primitive, "response": encode_response(response)}

    async def _replayed(self, person: Person, request: Request, by: str) -> Response:
        if request.operation is not Operation.RETRIEVE:
            return await self._serve(person, request, by)
        request.credential, request.peer_address = person.credential, person.address
        request.binding = "" if person.inside else BINDING
        try:
            return await self._inspected(request)
        except CseError as error:
            return error_response(request, error.status, error.debug)

    # --- deliveries -----------------------------------------------------------------------------------------------

    async def deliveries(self, call: Call) -> dict[str, Any]:
        """The delivery log after ``since``, or what was given up (``dead=1``), as far as the person may see it."""
        log, counts = self._house.delivery.log, self._house.delivery.counts

        def knows(subject: str) -> bool:
            return may_see(self._house, call.person, Privilege.RETRIEVE, subject)

        if call.number("dead"):
            letters = [letter for letter in log.dead_letters() if knows(letter.record.subject)]
            # what a notification held can be about children that have rights of their own
            whole = call.person.role is Role.ADMIN
            records = [letter.as_json() if whole else letter.record.as_json() for letter in letters]
        else:
            records = [record.as_json() for record in log.since(call.number("since")) if knows(record.subject)]
        return {
            "records": records,
            "counts": {
                "sent": counts.sent,
                "failed": counts.failed,
                "dropped": counts.dropped,
                "waiting": counts.waiting,
            },
            "results": {str(result): number for result, number in log.totals.items()},
        }


def least_role(request: Request) -> Role:
    """The least role that may send a request from the console."""
    if request.operation is Operation.RETRIEVE:
        return Role.VIEWER
    content = request.content if isinstance(request.content, dict) else {}
    touched = {name for inner in content.values() if isinstance(inner, dict) for name in inner}
    rules = request.resource_type == ACCESS_CONTROL_POLICY or bool(touched & _POLICY_ATTRIBUTES)
    return Role.ADMIN if rules or request.operation is Operation.DELETE else Role.OPERATOR


def _privilege(primitive: dict[str, Any]) -> Privilege:
    operation = Operation(primitive["op"])
    criteria = primitive.get("fc") or {}
    if operation is Operation.RETRIEVE and criteria.get("fu") == FilterUsage.DISCOVERY:
        return Privilege.DISCOVERY
    return Privilege[operation.name]


__all__ = ["BINDING", "Api", "least_role"]
