"""Requests of one originator in terms of resources: create, retrieve, discover, ... (TS-0001 clause 10.1)."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cse.client.errors import RequestFailed, Unreachable
from cse.client.roots import CONTAINER, CONTENT_INSTANCE, content_of
from cse.client.transports import HttpTransport, Transport
from cse.onem2m.instance_pages import InstancePages, instances_in
from cse.onem2m.primitives import FilterUsage, Operation, Request, Response
from cse.onem2m.status import Status


def _no_trace() -> None:
    """No trace."""


class Requester:
    """Sends requests over a transport and gives back resources.

    Args:
        transport: the way to the CSE.
        originator: who the requests are from.
        release: release version indicator; "1" sends none.
        timeout_s: how long an answer may take.
    """

    def __init__(self, transport: Transport, originator: str, release: str, timeout_s: float) -> None:
        self._transport = transport
        #: who the requests are from; ``Client.register`` may change it
        self.originator = originator
        #: gives the W3C Trace Context to send along, None for none; an application that makes traces sets it
        self.trace_parent: Callable[[], str | None] = _no_trace
        self._release = None if release == "1" else release
        self._timeout_s = timeout_s
        self._request_ids = map("{}.{}".format, itertools.repeat(secrets.token_hex(8)), itertools.count(1))
        self._cse_name = ""

    async def request(self, request: Request, *, timeout_s: float | None = None) -> Response:
        """Send a request primitive and return the response, whatever its status.

        What is missing is filled in: the originator, the request identifier and the release.

        Args:
            request: the primitive; it is not changed.
            timeout_s: how long the answer may take, when it is not the client's.

        Raises:
            Unreachable: nobody answered.
        """
        return await self._transport.request(self._complete(request), timeout_s or self._timeout_s)

    @property
    def takes_several(self) -> bool:
        """Whether ``request_several`` sends requests together: over HTTP, once the CSE has kept a connection open."""
        transport = self._transport
        return isinstance(transport, HttpTransport) and transport.takes_several

    async def request_several(
        self, requests: Sequence[Request], *, timeout_s: float | None = None
    ) -> list[Response | Unreachable]:
        """Send request primitives in order; give the responses, whatever their status.

        Where the CSE takes several at once they leave together on one connection, and it executes them in order (RFC
        9112 clause 9.3.2): one that is refused does not stop those behind it. Otherwise each waits for the answer to
        the last, and none is sent after one that nobody answered.

        Args:
            requests: the primitives; they are not changed.
            timeout_s: how long all answers together may take, when it is not the client's.

        Returns:
            What came of each that was sent.
        """
        timeout_s = timeout_s or self._timeout_s
        transport, outcomes = self._transport, list[Response | Unreachable]()
        try:
            if isinstance(transport, HttpTransport) and transport.takes_several:
                return await transport.request_several([self._complete(one) for one in requests], timeout_s)
            for request in requests:
                outcomes.append(await self.request(request, timeout_s=timeout_s))
        except Unreachable as error:
            outcomes.append(error)
        return outcomes

    def _complete(self, request: Request) -> Request:
        return replace(
            request,
            originator=request.originator or self.originator,
            request_id=request.request_id or next(self._request_ids),
            release=request.release or self._release,
            trace_parent=request.trace_parent or self.trace_parent(),
        )

    async def _answer(self, request: Request) -> Response:
        """A successful response.

        Raises:
            RequestFailed: it was an error.
        """
        response = await self.request(request)
        if response.status.is_success or response.status.is_accepted:
            return response
        content = response.content
        debug = content.get("m2m:dbg", "") if isinstance(content, Mapping) else ""
        raise RequestFailed(response.status, str(debug), f"{request.operation.name} {request.to}")

    async def _resource(self, request: Request) -> dict[str, Any]:
        """The representation in a successful response, without its root; what is no object stays under its root."""
        content = (await self._answer(request)).content
        if not isinstance(content, Mapping):
            return {}
        inner = next(iter(content.values())) if len(content) == 1 else content
        return dict(inner) if isinstance(inner, Mapping) else dict(content)

    # --- resources ----------------------------------------------------------------------------------------------

    async def cse_base(self) -> dict[str, Any]:
        """The attributes of the CSEBase.

        Raises:
            RequestFailed: the originator may not read it.
            Unreachable: nobody answered.
        """
        base = await self.retrieve("-")
        self._cse_name = str(base.get("rn", ""))
        return base

    async def cse_name(self) -> str:
        """The resourceName of the CSEBase; asked for once.

        Raises:
            RequestFailed: the originator may not read it.
            Unreachable: nobody answered.
        """
        if not self._cse_name:
            await self.cse_base()
        return self._cse_name

    async def create(
        self,
        parent: str,
        type_or_root: int | str,
        attributes: Mapping[str, Any],
        *,
        rcn: int | None = None,
    ) -> dict[str, Any]:
        """Create a resource below ``parent`` and return it as the CSE stored it.

        Args:
            parent: its address.
            type_or_root: resource type number, or root element such as ``m2m:cnt``; see ``roots.content_of``.
            attributes: by short names, ``rn`` among them to choose the name.
            rcn: result content, e.g. 0 for none; the CSE's default is the whole resource.

        Raises:
            BadRequest: ``type_or_root`` does not say what to create.
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        number, content = content_of(type_or_root, attributes)
        return await self._resource(
            Request(Operation.CREATE, parent, resource_type=number, content=content, result_content=rcn)
        )

    async def create_container(
        self, parent: str, name: str | None = None, *, reuse: bool = False, **attributes: Any
    ) -> dict[str, Any]:
        """Create a container and return it.

        Args:
            parent: address of an AE, a container or the CSEBase.
            name: its resourceName; None lets the CSE choose.
            reuse: when there is a child of this name already, return that.
            **attributes: by short names, e.g. ``mni=100, lbl=["room:1"]``.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        try:
            return await self.create(parent, CONTAINER, named(name, attributes))
        except RequestFailed as error:
            if not reuse or name is None or error.status is not Status.CONFLICT:
                raise
        return await self.retrieve(f"{parent}/{name}")

    async def post(
        self, container: str, content: Any, *, name: str | None = None, rcn: int | None = None, **attributes: Any
    ) -> dict[str, Any]:
        """Add a contentInstance to a container and return it.

        Args:
            container: its address.
            content: the data (``con``).
            name: resourceName of the instance; None lets the CSE choose. With a name of your own a retry after a lost
                answer is refused with CONFLICT instead of stored twice.
            rcn: result content, e.g. 0 for none.
            **attributes: by short names, e.g. ``cnf="application/json:0"``.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        return await self.create(container, CONTENT_INSTANCE, {**named(name, attributes), "con": content}, rcn=rcn)

    async def retrieve(
        self,
        to: str,
        *,
        rcn: int | None = None,
        attributes: Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Retrieve a resource and return its attributes, with children where ``rcn`` asks for them.

        Args:
            to: its address.
            rcn: result content, e.g. 4 for attributes and children, 6 for references to children.
            attributes: short names; only these are returned.
            filter: filter criteria by short names, for ``rcn`` 4, 5, 6 and 8.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        return await self._resource(
            Request(
                Operation.RETRIEVE,
                to,
                result_content=rcn,
                attribute_list=list(attributes) if attributes is not None else None,
                filter=dict(filter) if filter is not None else None,
            )
        )

    async def latest(self, container: str) -> dict[str, Any]:
        """The newest contentInstance of a container.

        Raises:
            RequestFailed: the CSE refused; NOT_FOUND when the container is empty.
            Unreachable: nobody answered.
        """
        return await self.retrieve(f"{container}/la")

    async def instances(
        self, parent: str, *, type: int = 4, since: str = "", until: str = "", page: int = 500
    ) -> AsyncGenerator[dict[str, Any], None]:
        """All instances below a container or another parent of instances, oldest first, asked for in pages.

        None is missed that is there from the beginning to the end, and none comes twice, while others come and go.

        Args:
            parent: address of the container, timeSeries or flexContainer.
            type: of the instances: 4 contentInstance, 30 timeSeriesInstance, 58 flexContainerInstance.
            since: only what was created at this time or later, ``YYYYMMDDThhmmss``, UTC; "" for all.
            until: only what was created before this time; "" for all.
            page: most instances in one answer.

        Yields:
            their attributes by short names.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        bounds = {tag: value for tag, value in (("cra", since), ("crb", until)) if value}
        pages = InstancePages(type, bounds, page)
        while not pages.done:
            response = await self._answer(
                Request(Operation.RETRIEVE, parent, result_content=8, filter=pages.criteria),
            )
            found = instances_in(response.content, type)
            for instance in pages.take(found, partial=response.content_status == 1):
                yield dict(instance)

    async def update(
        self, to: str, type_or_root: int | str, changes: Mapping[str, Any], *, rcn: int | None = None
    ) -> dict[str, Any]:
        """Change attributes of a resource and return it.

        Args:
            to: its address.
            type_or_root: as for ``create``.
            changes: new values by short names; None removes an attribute.
            rcn: result content, e.g. 0 for none.

        Raises:
            BadRequest: ``type_or_root`` does not say what to update.
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        _, content = content_of(type_or_root, changes)
        return await self._resource(Request(Operation.UPDATE, to, content=content, result_content=rcn))

    async def change(self, to: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change attributes of a resource of whatever type, which is asked for first, and return it.

        Args:
            to: its address.
            changes: new values by short names; None removes an attribute.

        Raises:
            RequestFailed: the CSE refused; BAD_REQUEST when the address is of something without a type.
            Unreachable: nobody answered.
        """
        content = (await self._answer(Request(Operation.RETRIEVE, to))).content
        if not isinstance(content, Mapping) or len(content) != 1:
            raise RequestFailed(Status.BAD_REQUEST, "this is no resource that can be updated", f"UPDATE {to}")
        return await self._resource(Request(Operation.UPDATE, to, content={next(iter(content)): dict(changes)}))

    async def delete(self, to: str) -> None:
        """Delete a resource and all below it.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        await self._answer(Request(Operation.DELETE, to))

    async def discover(
        self,
        root: str = "-",
        *,
        types: Sequence[int] | None = None,
        labels: Sequence[str] | None = None,
        limit: int | None = None,
        level: int | None = None,
        unstructured: bool = False,
        filter: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """The addresses of resources below ``root`` that match (TS-0001 clause 10.2.6).

        A CSE that gives its answer in parts is asked until it is complete or ``limit`` is reached.

        Args:
            root: where to search.
            types: type numbers; one of them must fit.
            labels: one of them must be there.
            limit: most addresses.
            level: how deep to go below ``root``.
            unstructured: give resource-IDs instead of paths.
            filter: further filter criteria by short names, e.g. ``{"cra": "20260101T000000"}``.

        Raises:
            RequestFailed: the CSE refused.
            Unreachable: nobody answered.
        """
        criteria: dict[str, Any] = {"fu": int(FilterUsage.DISCOVERY), **(filter or {})}
        for tag, value in (("ty", types), ("lbl", labels)):
            if value is not None:
                criteria[tag] = list(value)
        if level is not None:
            criteria["lvl"] = level
        found: list[str] = []
        while True:
            if limit is not None:
                criteria["lim"] = limit - len(found)
            request = Request(
                Operation.RETRIEVE, root, filter=dict(criteria), desired_identifier=2 if unstructured else None
            )
            response = await self._answer(request)
            part = response.content.get("m2m:uril") if isinstance(response.content, Mapping) else None
            found.extend(part or ())
            offset = response.content_offset
            if response.content_status != 1 or not part or offset is None or offset <= criteria.get("ofst", 0):
                return found
            if limit is not None and len(found) >= limit:
                return found
            criteria["ofst"] = offset


def named(name: str | None, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with the resourceName, when there is one."""
    return dict(attributes) if name is None else {**attributes, "rn": name}
