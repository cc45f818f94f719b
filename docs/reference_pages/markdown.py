"""Parts of Markdown that look alike on GitHub and on the site."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty one is omitted."""
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    rule = "|" + "---|" * len(head)
    return "\n".join([f"| {' | '.join(head)} |", rule, *lines]) + "\n\n" if lines else ""


def _cell(text: str) -> str:
    """The text of a cell in one line; its bars are escaped, in code, too."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip() or " "


def code(text: str) -> str:
    """Text as code in a line."""
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}"


def fence(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n\n"


def one_line(text: str | None) -> str:
    """Text without line ends."""
    return re.sub(r"\s+", " ", text or "").strip()


def from_docstring(text: str) -> str:
    """A docstring as Markdown: double backquotes become single ones, a block after `::` becomes a code block."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    lines: list[str] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if block is not None and line.strip() and not line.startswith("    "):
            lines += ["```text", *_trimmed(block), "```", ""]
            block = None
        if block is not None:
            block.append(line[4:])
        elif line.rstrip().endswith("::"):
            lines += filter(None, [line.rstrip().removesuffix("::").strip()])
            block = []
        else:
            lines.append(line)
    if block is not None:
        lines += ["```text", *_trimmed(block), "```"]
    return "\n".join(lines).strip()


def _trimmed(block: Sequence[str]) -> list[str]:
    return "\n".join(block).strip("\n").splitlines()
