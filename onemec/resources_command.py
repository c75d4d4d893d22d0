"""``onemec get | post | put | delete | discover | watch``: an originator at the command line, over any binding."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from onemec.completion import complete_address, complete_type
from onemec.process import fail, tell
from onemec.settings import USAGE

if TYPE_CHECKING:
    from cse.client import Client, Notification

PANEL = "Talk to a CSE"
#: lines that are read at a time when many are posted
_TOGETHER = 32

#: marks an address that starts like an option (``-/lamp``) on its way through the parser of options
_ADDRESS = "\N{SYMBOL FOR SHIFT OUT}"


class ResourceCommand(TyperCommand):
    """A command that takes ``-/lamp`` for what it is in oneM2M: an address below the CSEBase, not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line (typer calls it; ``ctx`` is click's context)."""
        return super().parse_args(ctx, [_ADDRESS + word if word.startswith("-/") else word for word in args])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What the shell offers for a word that begins like an option (typer calls it)."""
        if not incomplete.startswith("-/"):
            return super().shell_complete(ctx, incomplete)
        parameter = next(parameter for parameter in self.params if parameter.name in ("to", "root"))
        return list(parameter.shell_complete(ctx, incomplete))


def address(text: str) -> str:
    """An address as it was typed (a parser of typer's)."""
    return text.removeprefix(_ADDRESS)


Cse = Annotated[
    str,
    typer.Option("--cse", help="URL of the CSE or of its broker: http, https, ws, coap, mqtt.", envvar="ONEMEC_CSE"),
]
CseId = Annotated[str, typer.Option("--cse-id", help="CSE-ID, for MQTT.", envvar="ONEMEC_CSE_ID")]
Originator = Annotated[str, typer.Option("--as", help="Originator: an AE-ID or CSE-ID.", envvar="ONEMEC_ORIGINATOR")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
To = Annotated[
    str,
    typer.Argument(
        help="Address: cse-in/lamp, -/lamp (where - is the CSEBase), /id-in/-/lamp, a resource-ID.",
        parser=address,
        metavar="ADDRESS",
        autocompletion=complete_address,
    ),
]
URL, CSE_ID, ADMIN = "http://127.0.0.1:8080", "/id-in", "CAdmin"


@dataclass(frozen=True, slots=True)
class At:
    """Where requests go, and as whom."""

    url: str
    cse_id: str
    originator: str

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client there, as that originator."""
        from cse.client import Client

        async with Client(self.url, cse_id=self.cse_id, originator=self.originator) as client:
            yield client


def get(
    to: To,
    attributes: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", help="Only these attributes; repeat for more.")
    ] = None,
    rcn: Annotated[int | None, typer.Option(help="Result content: 4 with children, 6 references of children.")] = None,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Retrieve a resource.

    Example: onemec get -/lamp/data/la -a con
    """

    async def work(client: Client) -> None:
        _show(await client.retrieve(to, rcn=rcn, attributes=attributes), json)

    run_at(At(cse, cse_id, originator), work)


def post(
    to: To,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="Content of a new instance (JSON or text; - reads lines), or name=value with --type."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", "-t", help="Create this type: a name or number; see 'onemec types'.", autocompletion=complete_type
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Its resourceName.")] = None,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Post data into a container, or create a resource of any type.

    Examples: onemec post -/lamp/data 21.5;
    onemec post - --type AE --name lamp api=Nlamp rr=true --as Clamp;
    seq 1000 | onemec post -/lamp/data -
    """
    given = values or []
    if kind is None and len(given) != 1:
        fail("give the content as one word, or - for lines from the standard input, or --type", USAGE)
    if kind is None and given == ["-"]:
        run_at(At(cse, cse_id, originator), lambda client: _post_lines(client, to))
        return
    target = None if kind is None else type_of(kind)

    async def work(client: Client) -> None:
        if target is None:
            created = await client.post(to, _content(given[0]), name=name)
        else:
            number, root = target
            attributes = _pairs(given) | ({"rn": name} if name else {})
            if number == _AE:
                attributes = {"rr": False, "srv": ["3"]} | attributes
            created = await client.create(to, number, {root: attributes})
        _show(created, json)

    run_at(At(cse, cse_id, originator), work)


def put(
    to: To,
    changes: Annotated[list[str], typer.Argument(help="name=value, with JSON values; name=null removes it.")],
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Update attributes of a resource.

    Example: onemec put -/lamp/data mni=100 'lbl=["room:1"]'
    """
    attributes = _pairs(changes)

    async def work(client: Client) -> None:
        _show(await client.change(to, attributes), json)

    run_at(At(cse, cse_id, originator), work)


def delete(
    to: To,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Delete a resource and everything below it.

    Example: onemec delete -/lamp --yes
    """
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {to} and everything below it?", abort=True)

    async def work(client: Client) -> None:
        await client.delete(to)
        if json:
            print(_as_json({"deleted": to}))

    run_at(At(cse, cse_id, originator), work)


def discover(
    root: Annotated[
        str, typer.Argument(help="Where to search.", parser=address, metavar="ADDRESS", autocompletion=complete_address)
    ] = "-",
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help="Only this type; repeat for more.", autocompletion=complete_type),
    ] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", "-l", help="Only with this label.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many.", min=1)] = None,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Find resources; prints one address a line.

    Example: onemec discover --type container --label room:1
    """
    numbers = [type_of(name)[0] for name in types] if types else None

    async def work(client: Client) -> None:
        found = await client.discover(root, types=numbers, labels=labels, limit=limit)
        print(_as_json(found) if json else "\n".join(found), end="\n" if json or found else "")

    run_at(At(cse, cse_id, originator), work)


def watch(
    to: To,
    count: Annotated[int | None, typer.Option(help="End after so many changes.", min=1)] = None,
    cse: Cse = URL,
    cse_id: CseId = CSE_ID,
    originator: Originator = ADMIN,
    json: Json = False,
) -> None:
    """Print changes of a resource and its children as they happen, until Ctrl-C.

    Over HTTP nothing is created at the CSE and no port is opened here; over other bindings it is a subscription.

    Example: onemec watch -/lamp/data
    """
    at = At(cse, cse_id, originator)

    async def over_http() -> None:
        from cse.client.watching import watch as watched

        async with watched(at.url, to, at.originator) as events:
            await _print_events(events, count, json)

    async def subscribed(client: Client) -> None:
        async with await client.subscribe(to, events=(1, 2, 3, 4)) as subscription:
            await _print_events(subscription, count, json)

    if at.url.startswith(("http://", "https://")):
        _guarded(over_http)
    else:
        run_at(at, subscribed)


COMMANDS = (get, post, put, delete, discover, watch)
_AE = 2


def run_at(at: At, work: Callable[[Client], Awaitable[None]]) -> None:
    """Run work with a client; what goes wrong is one line: exit code 1 for the CSE's no, 3 when nobody answers."""

    async def main() -> None:
        async with at.client() as client:
            await work(client)

    _guarded(main)


def _guarded(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    from cse.client import RequestFailed, Unreachable
    from cse.onem2m.errors import CseError

    try:
        asyncio.run(main())
    except (RequestFailed, CseError, ValueError) as error:
        fail(str(error))
    except Unreachable as error:
        fail(f"{error}: is the CSE there? Say where with --cse or ONEMEC_CSE", 3)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone


async def _post_lines(client: Client, to: str) -> None:
    """Post the lines of the standard input one after another, in their order."""
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from onemec.process import errors

    columns = SpinnerColumn(), TextColumn("posted"), MofNCompleteColumn()
    loop = asyncio.get_running_loop()
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("posted", total=None)
        done = 0
        while lines := await loop.run_in_executor(None, _some_lines):
            for line in lines:
                await client.post(to, _content(line), rcn=0)
                progress.advance(task)
            done += len(lines)
    tell(f"{done} posted")


def _some_lines() -> list[str]:
    found = []
    for line in sys.stdin:
        if line.strip():
            found.append(line.rstrip("\r\n"))
        if len(found) >= _TOGETHER:
            break
    return found


async def _print_events(events: AsyncIterator[Notification], count: int | None, json: bool) -> None:
    from cse.onem2m.serialisation import dump_json

    seen = 0
    async for event in events:
        if json:
            tell(dump_json({"event": event.event, "type": event.root, "resource": event.resource}).decode())
        else:
            tell(f"{_EVENTS.get(event.event, event.event)}  {event.root}  {_in_short(event.resource)}")
        seen += 1
        if count is not None and seen >= count:
            return


_EVENTS = {1: "updated", 2: "deleted", 3: "created", 4: "child deleted"}


def _in_short(resource: dict[str, Any]) -> str:
    name = str(resource.get("rn", resource.get("uri", "")))
    if "con" in resource:
        return f"{name}  {resource['con']}"
    custom = {key: value for key, value in resource.items() if key not in _UNIVERSAL}
    return f"{name}  {_as_json(custom, indent=False)}"


_UNIVERSAL = {"ty", "ri", "rn", "pi", "ct", "lt", "et", "lbl", "acpi", "cr", "st", "cs"}


def _show(resource: dict[str, Any], json: bool) -> None:
    if json:
        print(_as_json(resource))
        return
    long_names = _long_names(resource.get("ty"))
    width = max((len(name) for name in resource), default=0)
    longest = max((len(long_names.get(name, "")) for name in resource), default=0)
    for name, value in resource.items():
        text = value if isinstance(value, str) else _as_json(value, indent=False)
        print(f"{name:<{width}}  {long_names.get(name, ''):<{longest}}  {text}")


def _long_names(number: object) -> dict[str, str]:
    from cse.resources.registry import load_registry

    kind = load_registry().get(number) if isinstance(number, int) else None
    tables = kind.tables.values() if kind is not None else ()
    return {row.name: row.long_name for table in tables for row in table.attributes.values()}


def type_of(name: str) -> tuple[int, str]:
    """The number and root of a type given by number, name or root.

    Exits the process when there is none of this name.
    """
    from cse.resources.registry import load_registry

    for kind in load_registry():
        if name in kind.tables:
            return kind.number, name
        if name.lower() in (str(kind.number), kind.long_name.lower(), kind.short_name.lower()):
            return kind.number, next(iter(kind.tables))
    return fail(f"no resource type is called {name}: 'onemec types' lists all", USAGE)


def _pairs(words: list[str]) -> dict[str, Any]:
    attributes = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            fail(f"{word!r} is no attribute: give name=value, e.g. mni=100 or 'lbl=[\"room:1\"]'", USAGE)
        attributes[name] = _value(value)
    return attributes


def _content(text: str) -> Any:
    """Objects and lists as JSON; a number or a word stays the text that was typed, as devices send it."""
    value = _value(text)
    return value if isinstance(value, dict | list) else text


def _value(text: str) -> Any:
    """JSON where it is JSON, text otherwise."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _as_json(value: Any, *, indent: bool = True) -> str:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
