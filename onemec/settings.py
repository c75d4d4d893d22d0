"""Where a command's settings come from: options win over the environment, the environment over a TOML file.

Options and variables are typer's business (``auto_envvar_prefix``); the file becomes the command's default map.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from onemec.logs import FORMATS
from onemec.process import fail

LOG_LEVELS = ("debug", "info", "warning", "error")

#: an option whose variable the help does not name, because one sentence tells all of them (see ``environment``)
option = functools.partial(typer.Option, show_envvar=False)

#: exit code of a configuration that makes no sense, as for an unknown option
USAGE = 2


def environment(prefix: str) -> dict[str, Any]:
    """Context settings of a command whose options can be given as ``<PREFIX>_<OPTION>``."""
    return {"auto_envvar_prefix": prefix}


def from_file(section: str, tables: Sequence[str] = ()) -> Callable[[typer.Context, Path | None], Path | None]:
    """The callback of a ``--config`` option (which must be eager): the file's table fills in what is not given.

    Args:
        section: the table with the command's settings; without it the top level of the file.
        tables: names in it that are no options; ``ctx.obj`` gets them as a dictionary.
    """

    def load(ctx: typer.Context, file: Path | None) -> Path | None:
        ctx.obj = {}
        if file is None or ctx.resilient_parsing:
            return file
        settings = _section(file, section)
        known = _names(ctx)
        for name in list(settings):
            if name in tables:
                ctx.obj[name] = settings.pop(name)
            elif name not in known:
                fail(f"configuration file {file}: there is no setting {name!r}: see {ctx.command_path} --help", USAGE)
            elif isinstance(settings[name], dict):
                fail(f"configuration file {file}: {name} is a table; give one value", USAGE)
        ctx.default_map = {known[name]: value for name, value in settings.items()}
        return file

    return load


def _section(file: Path, section: str) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        fail(f"configuration file {file}: {reason}", USAGE)
    table = content.get(section, content)
    if not isinstance(table, dict):
        fail(f"configuration file {file}: {section} must be a table, \\[{section}]", USAGE)
    return {name.replace("-", "_"): value for name, value in table.items()}


def _names(ctx: typer.Context) -> dict[str, str]:
    """Parameter names by every name they can have in a file: the parameter's own, and those of its options."""
    names = {}
    for parameter in ctx.command.params:
        if parameter.name != "config":
            for word in (*parameter.opts, parameter.name):
                names[word.lstrip("-").replace("-", "_")] = parameter.name
    return names


def given(ctx: typer.Context, name: str) -> bool:
    """Whether a parameter came from an option or the environment, not from a file or its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def listed(values: Sequence[str] | None) -> tuple[str, ...]:
    """All entries of a repeated option whose values may hold several, separated by commas."""
    return tuple(part.strip() for value in values or () for part in value.split(",") if part.strip())


def seconds(option: str, value: str) -> float:
    """Seconds of ``10``, ``500ms``, ``30s``, ``5min``; anything else ends the process with one line."""
    from cse.config import parse_seconds  # pydantic takes a third of a second to import, --help should not

    try:
        return parse_seconds(value)
    except ValueError as error:
        fail(f"{option}: {error}", USAGE)


def log_level(value: str) -> str:
    """A log level in lower case; anything else ends the process with one line."""
    if value.lower() not in LOG_LEVELS:
        fail(f"--log-level {value!r}: use one of {', '.join(LOG_LEVELS)}", USAGE)
    return value.lower()


def log_format(value: str) -> str:
    """A log format in lower case; anything else ends the process with one line."""
    if value.lower() not in FORMATS:
        fail(f"--log-format {value!r}: use one of {', '.join(FORMATS)}", USAGE)
    return value.lower()


def secret(variable: str) -> str:
    """A secret from the environment, "" when it is not there; secrets are no options, which others can see."""
    return os.environ.get(variable, "")


def without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given."""
    return {name: value for name, value in settings.items() if value is not None}
