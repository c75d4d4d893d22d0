"""Pieces of the Markdown that the reference is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MADE = (
    "Made from the code by `onemec reference docs/reference`; `make docs` makes it again, a test holds it to the code."
)


def page(title: str, about: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: its heading.
        about: a paragraph or two after it.
        parts: what follows, each with a blank line before it.
    """
    return "\n\n".join([f"# {title}", about, *parts, MADE]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; what its cells hold is text, not Markdown of theirs."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(str(cell)) for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Text as code, "" as nothing."""
    shown = str(text)
    return f"`{shown}`" if shown else ""


def text_of(text: str) -> str:
    """Text whose angle brackets and asterisks are no markup; what is between back quotes stays."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "\\<").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
