"""Every setting of a part of the product, its value, and where that came from: what ``onemec config show`` prints.

The CSE reads its settings by itself (``cse.config``); the other parts' are options of their commands, which come from
the command line, ``ONEMEC_<PART>_<OPTION>`` or a TOML file (``onemec.settings``).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

if TYPE_CHECKING:
    from cse.config import CseConfig

#: what typer raises for words that are no options, whichever click it brings
UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]
PARTS = ("cse", "adapter", "mep", "devices", "up", "handover")
DEFAULT, FILE, LINE = "default", "file", "command line"
#: secrets that are read from variables only, by part
SECRETS = {
    "adapter": ("ONEMEC_ADAPTER_CLIENT_ID", "ONEMEC_ADAPTER_CLIENT_SECRET"),
    "mep": ("ONEMEC_MEP_ADMIN_TOKEN",),
}
_MASK = "***"
_SECRET_NAMES = re.compile(r"(^|_)(token|secret|password|passwd)($|_)", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
#: options of `onemec cse` whose setting has another name
CSE_NAMES = {
    "cse_type": "type", "cse_id": "id", "max_body": "max_body_bytes",
    "allow": "allowed_originators", "rate": "rate_per_s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as files and variables have it.
        value: as it is used, secrets masked.
        origin: ``default``, ``file``, ``command line`` or ``environment``.
        where: name of the file or the variable, else "".
        about: what it is.
    """

    name: str
    value: Any
    origin: str
    where: str = ""
    about: str = ""


def mask(name: str, value: Any) -> Any:
    """A value that may be shown: passwords in URLs and values of secrets become ``***``."""
    if isinstance(value, list | tuple):
        return [mask(name, entry) for entry in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET_NAMES.search(name) and not urlsplit(value).scheme and not name.lower().endswith("_url"):
        return _MASK
    return _IN_URL.sub(rf"\1:{_MASK}@", value)


def settings_of(root: Any, part: str, words: Sequence[str], file: Path | None) -> list[Setting]:
    """All settings of a part.

    Args:
        root: the command ``onemec``.
        part: one of ``PARTS``.
        words: what would follow ``onemec <part>`` on the command line.
        file: TOML file, as ``--config`` names it.

    Raises:
        ConfigError: the CSE cannot work like this; the message is one line.
        UsageProblem: the words are no options of this part.
    """
    found = list(_of_cse(root, words, file) if part == "cse" else _of_command(root, part, words, file))
    for variable in SECRETS.get(part, ()):
        given = os.environ.get(variable)
        origin = "environment" if given is not None else DEFAULT
        found.append(Setting(variable, _MASK if given else "", origin, variable if given else "", "a secret"))
    return found


def _of_cse(root: Any, words: Sequence[str], file: Path | None) -> Iterator[Setting]:
    from cse.config import ENVIRONMENT_PREFIX, CseConfig, load_config

    ctx = _context(root, "cse", words, None)
    file = file or ctx.params.get("config")
    typed = [name for name in ctx.params if name != "config" and _source(ctx, name) == LINE]
    given = {cse_field(name): ctx.params[name] for name in typed}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    config = load_config(given, file=file)
    in_file = _section(file, "cse")
    variables = {name.upper(): name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX)}
    for name, field in CseConfig.model_fields.items():
        value = mask(name, _plain(getattr(config, name)))
        variable = variables.get(f"{ENVIRONMENT_PREFIX}{name}".upper())
        origin, where = DEFAULT, ""
        if name in given:
            origin = LINE
        elif variable:
            origin, where = "environment", variable
        elif name in in_file:
            origin, where = FILE, str(file)
        yield Setting(name, value, origin, where, field.description or "")


def cse_field(option: str) -> str:
    """The setting that an option of ``onemec cse`` gives."""
    from cse.config import CseConfig

    name = CSE_NAMES.get(option, option)
    return next((form for form in (name, f"{name}_s", f"{name}s") if form in CseConfig.model_fields), name)


def _of_command(root: Any, part: str, words: Sequence[str], file: Path | None) -> Iterator[Setting]:
    ctx = _context(root, part, words, file)
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in ("config", "help", "install_completion", "show_completion"):
            continue
        origin = _source(ctx, name)
        where = _variable(ctx, parameter) if origin == "environment" else ""
        where = str(file or ctx.params.get("config") or "") if origin == FILE else where
        about = getattr(parameter, "help", None) or ""
        yield Setting(_shown_name(parameter), mask(name, _plain(ctx.params.get(name))), origin, where, about)


def _source(ctx: typer.Context, name: str) -> str:
    """Where the value of a parameter came from."""
    source = ctx.get_parameter_source(name)
    kind = source.name if source is not None else "DEFAULT"
    return {"COMMANDLINE": LINE, "ENVIRONMENT": "environment", "DEFAULT_MAP": FILE}.get(kind, DEFAULT)


def _context(root: Any, part: str, words: Sequence[str], file: Path | None) -> typer.Context:
    """The options of a part, read but not acted upon."""
    command, top = root.commands[part], typer.Context(root, info_name="onemec")
    if part == "devices":  # a group whose settings are those of `run`
        top = typer.Context(command, info_name=part, parent=top)
        command = command.commands["run"]
    extra = ["--config", str(file)] if file is not None else []
    context: typer.Context = command.make_context(part, [*extra, *words], parent=top, **dict(command.context_settings))
    return context


def _variable(ctx: typer.Context, parameter: Any) -> str:
    """The variable that gave a parameter its value."""
    names = parameter.envvar if isinstance(parameter.envvar, list | tuple) else [parameter.envvar or ""]
    if ctx.auto_envvar_prefix and parameter.name:
        names = [*names, f"{ctx.auto_envvar_prefix}_{parameter.name.upper()}"]
    return next((str(name) for name in names if name and os.environ.get(name) is not None), "")


def _shown_name(parameter: Any) -> str:
    long = [word for word in parameter.opts if word.startswith("--")]
    return str(long[0].lstrip("-").replace("-", "_") if long else parameter.name)


def _section(file: Path | None, name: str) -> dict[str, Any]:
    if file is None:
        return {}
    table = tomllib.loads(file.read_text("utf-8"))
    return {key.replace("-", "_"): value for key, value in table.get(name, table).items()}


def _plain(value: Any) -> Any:
    """A value as JSON can have it."""
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return str(value) if isinstance(value, str) else value


def known_variables(root: Any) -> set[str]:
    """The names of all variables ``ONEMEC_...`` that something reads."""
    from cse.config import ENVIRONMENT_PREFIX, CseConfig

    names = {f"{ENVIRONMENT_PREFIX}{name}".upper() for name in CseConfig.model_fields}
    names.update(name for secrets in SECRETS.values() for name in secrets)
    for prefix, command in commands(root):
        for parameter in command.params:
            given = parameter.envvar if isinstance(parameter.envvar, list | tuple) else [parameter.envvar]
            names.update(name for name in given if name)
            if prefix and parameter.name:
                names.add(f"{prefix}_{parameter.name}".upper())
    return names


def commands(root: Any) -> Iterator[tuple[str, Any]]:
    """Every command below ``onemec``, each with the prefix of its variables, "" without one."""
    waiting = [root]
    while waiting:
        command = waiting.pop()
        yield str(command.context_settings.get("auto_envvar_prefix") or ""), command
        waiting.extend(getattr(command, "commands", {}).values())


def cse_config(file: Path | None) -> CseConfig:
    """The configuration of the CSE from variables and a file.

    Raises:
        ConfigError: it cannot work.
    """
    from cse.config import load_config

    return load_config({}, file=file)
