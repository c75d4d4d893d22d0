"""The command line as a page: every command with its arguments, options, variables and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from onemec.origins import CSE_NAMES, PARTS, SECRETS, cse_field
from onemec.reference.markdown import code, page, table, text_of

_HIDDEN = frozenset({"help", "install_completion", "show_completion"})
_MARKUP = re.compile(r"\\\[")
_TITLE = {
    "cse": "The CSE",
    "adapter": "The adapter",
    "mep": "The MEC platform",
    "devices": "Simulated devices",
    "up": "The whole stack",
    "handover": "Handover",
}


def command_page(root: Any) -> str:
    """``cli.md``.

    Args:
        root: the command ``onemec``.
    """
    return page(
        "Command line",
        "What `--help` says, in one place. Addresses of resources may begin with `-`, which stands for the CSEBase. "
        "Exit codes: 0 done, 1 not done (stderr says why), 2 not understood; `onemec explain` has 4 for denied.",
        (_command(words, command) for words, command in commands(root)),
    )


def commands(root: Any, words: tuple[str, ...] = ("onemec",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it; groups come before what is below them."""
    for name, command in root.commands.items():
        if command.hidden:
            continue
        yield (*words, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))


def _command(words: tuple[str, ...], command: Any) -> str:
    name = " ".join(words)
    arguments = [parameter for parameter in _shown(command) if not _is_option(parameter)]
    options = [parameter for parameter in _shown(command) if _is_option(parameter)]
    parts = [f"## {name}", _help(command)]
    if arguments or options:
        usage = [name, *(["[options]"] if options else []), *map(_usage, arguments)]
        parts.append(f"`{' '.join(usage)}`")
    rows = [(code(_usage(parameter)), _about(parameter), "", "") for parameter in arguments]
    rows += [_row(command, parameter) for parameter in options]
    if rows:
        parts.append(table(("", "what", "default", "variable"), rows))
    return "\n\n".join(part for part in parts if part)


def _help(command: Any) -> str:
    """The help of a command; its examples, which it indents or leads by a word, as text."""
    text = _MARKUP.sub("[", command.help or "")
    head, _, rest = re.sub(r"Examples?:", "Examples:", text, count=1).partition("Examples:")
    lines = _paragraphs(head)
    examples: list[str] = []
    after: list[str] = []
    for paragraph in _paragraphs(rest):
        if re.match(r"(onemec|seq)\b", paragraph) and not after:
            examples += [part.strip() for part in re.split(r";\s+(?=onemec|seq)", paragraph)]
        else:
            after.append(paragraph)
    shown = ["```text\n" + "\n".join(examples) + "\n```"] if examples else []
    return "\n\n".join([*map(text_of, lines), *shown, *map(text_of, after)])


def _paragraphs(text: str) -> list[str]:
    """Paragraphs, each on a line; three blanks stay where more set a remark apart."""
    found = [re.sub(r"\s*\n\s*", " ", paragraph.strip()) for paragraph in text.split("\n\n")]
    return [re.sub(r" {3,}", "   ", paragraph) for paragraph in found if paragraph]


def _shown(command: Any) -> list[Any]:
    kept = [parameter for parameter in command.params if parameter.name not in _HIDDEN]
    return [parameter for parameter in kept if not getattr(parameter, "hidden", False)]


def _is_option(parameter: Any) -> bool:
    return any(word.startswith("-") for word in parameter.opts)


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name
    name = name.strip("[]{}.").upper()
    several = "..." if argument.nargs == -1 else ""
    return f"{name}{several}" if argument.required else f"[{name}]{several}"


def _option(parameter: Any) -> str:
    words = ", ".join(code(word) for word in parameter.opts)
    return words + "".join(f" / {code(word)}" for word in parameter.secondary_opts)


def _row(command: Any, parameter: Any) -> tuple[str, str, str, str]:
    return _option(parameter), _about(parameter), code(default(parameter)), code(variable(command, parameter))


def _about(parameter: Any) -> str:
    return text_of(_MARKUP.sub("[", parameter.help or ""))


def default(parameter: Any) -> str:
    """The default of an option as somebody would write it; "" for none."""
    value = parameter.default
    if value is None or value is False or callable(value) or value in ("", (), []):
        return ""
    if value is True:
        return str(parameter.opts[0])
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def variable(command: Any, parameter: Any) -> str:
    """The variable that gives an option; "" for none."""
    if parameter.envvar:
        first = parameter.envvar if isinstance(parameter.envvar, str) else parameter.envvar[0]
        return str(first)
    if command.name == "cse" and parameter.name != "config":
        from cse.config import ENVIRONMENT_PREFIX

        return f"{ENVIRONMENT_PREFIX}{cse_field(parameter.name).upper()}"
    prefix = (command.context_settings or {}).get("auto_envvar_prefix")
    return f"{prefix}_{parameter.name.upper()}" if prefix and parameter.name else ""


# --- settings ------------------------------------------------------------------------------------------------------


def settings_page(root: Any) -> str:
    """``config.md``: what can be set about each part, by option, variable and file.

    Args:
        root: the command ``onemec``.
    """
    about = (
        "An option wins over the variable, the variable over the TOML file (`--config`, a table for each part), the "
        "file over the default. Times are seconds, or texts such as `500ms`, `30s`, `5min`, `2h`, `7d`. "
        "`onemec config show` prints what is in force and where it came from."
    )
    parts = [_cse_settings(), *(_part_settings(root, part) for part in PARTS if part != "cse")]
    return page("Settings", about, parts)


def _cse_settings() -> str:
    from cse.config import ENVIRONMENT_PREFIX, CseConfig

    rows = []
    for name, field in CseConfig.model_fields.items():
        value = field.default
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        shown = shown.removesuffix(".0") if isinstance(value, float) else shown
        shown = shown.lower() if isinstance(value, bool) else shown
        rows.append(
            (code(name), text_of(field.description or ""), code(shown), code(f"{ENVIRONMENT_PREFIX}{name.upper()}"))
        )
    others = {option: name for option, name in CSE_NAMES.items() if not option.startswith("cse_")}
    other = ", ".join(f"`--{option.replace('_', '-')}` for `{name}`" for option, name in others.items())
    about = (
        "`onemec cse`, table `[cse]`. The option has the name of the setting with hyphens and without its unit "
        f"(`--max-expiration` for `max_expiration_s`); {other}; lists are options that are repeated."
    )
    return "\n\n".join([f"## {_TITLE['cse']}", about, table(("setting", "what", "default", "variable"), rows)])


def _part_settings(root: Any, part: str) -> str:
    command = root.commands[part]
    command = command.commands["run"] if part == "devices" else command
    rows = [
        _row(command, parameter)
        for parameter in _shown(command)
        if parameter.name != "config" and _is_option(parameter)
    ]
    rows += [("", "a secret: no option, which others can see", "", code(name)) for name in SECRETS.get(part, ())]
    words = f"onemec {part}{' run' if part == 'devices' else ''}"
    has_file = any(parameter.name == "config" for parameter in command.params)
    return "\n\n".join(
        [
            f"## {_TITLE[part]}",
            f"`{words}`" + (f", table `[{part}]`: the names of the options with underscores." if has_file else "."),
            table(("option", "what", "default", "variable"), rows),
        ]
    )
