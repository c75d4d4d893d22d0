"""``onemec reference``: write the pages of ``docs/reference`` from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onemec.process import fail


def reference(
    folder: Annotated[Path, typer.Argument(help="Where the pages go, e.g. docs/reference.")],
) -> None:
    """Write the reference: types, settings, command line, capabilities.

    Example: onemec reference docs/reference
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in reference_pages().items():
            (folder / name).write_text(text, "utf-8")
            print(folder / name)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}")


def reference_pages() -> dict[str, str]:
    """The pages by the names of their files."""
    from cse.resources.registry import load_registry
    from onemec.cli import app
    from onemec.reference.commands import command_page, settings_page
    from onemec.reference.resources import capabilities_page, types_page

    registry, root = load_registry(), typer.main.get_command(app)
    return {
        "types.md": types_page(registry),
        "config.md": settings_page(root),
        "cli.md": command_page(root),
        "capabilities.md": capabilities_page(registry),
    }
