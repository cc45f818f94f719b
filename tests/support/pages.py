"""The Markdown pages of the project and their blocks of code; CONTRIBUTING.md ("Writing documentation") has the conventions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
EXECUTED = frozenset({"sh", "python", "yaml", "json", "jsonl"})
SHOWN = frozenset({"", "text", "console", "py"})
"""Blocks that nobody executes: output, signatures, layouts."""
_COMMENT = re.compile(r"<!--\s*(not executed|file|exit code|printed):\s*(.+?)\s*-->$")
_FENCE = re.compile(r"(`{3,}|~{3,})\s*(\S*)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code.

    Attributes:
        line: of its text's beginning, from 1.
        language: what it is marked with.
        reason: why it is not executed, None if it is.
        file: the name that its text is written to.
        exit_code: of its last command.
        printed: whether the block is the output of the block `sh` before it; a line `…` stands for any number of lines.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None
    file: str | None = None
    exit_code: int = 0
    printed: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """The pages whose blocks are executed: the README and those of the site."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *(page for page in found if not page.startswith(("docs/_build/", "docs/project/")))]


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8").splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        first = number
        while not lines[number].startswith(opening[1]) or lines[number].strip("`~ "):
            number += 1
        comments = _comments_before(lines, first - 1)
        yield Block(
            page=page,
            line=first + 1,
            language=opening[2],
            text="".join(f"{line}\n" for line in lines[first:number]),
            reason=comments.get("not executed"),
            file=comments.get("file"),
            exit_code=int(comments.get("exit code", 0)),
            printed="printed" in comments,
        )
        number += 1


def _comments_before(lines: list[str], number: int) -> dict[str, str]:
    """What the comments on the lines before a block say."""
    said = {}
    while number and (comment := _COMMENT.match(lines[number - 1])):
        said[comment[1]] = comment[2]
        number -= 1
    return said


@dataclass(frozen=True, slots=True)
class Call:
    """A program in a pipeline with its words, and where its streams lead.

    Attributes:
        variables: set for it alone.
        stdin, stdout, stderr: files, None where it has the pipeline's.
        append: stdout is added to what the file holds.
    """

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    append: bool = False


class UnreadableCommand(ValueError):
    """A line of a block `sh` that uses more of the shell than the tests understand."""


def pipelines(text: str) -> Iterator[list[Call]]:
    """The pipelines of a block `sh`."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>;&()")
        lexer.whitespace_split = True
        words = list(lexer)
        calls: list[Call] = []
        start = 0
        for end, word in enumerate([*words, ";"]):
            if word in ("|", ";", "&&", "&"):
                if end > start:
                    calls.append(_call(words[start:end], line))
                if calls and word != "|":
                    yield calls
                    calls = []
                start = end + 1


def _call(words: list[str], line: str) -> Call:
    variables, plain, streams, append = [], [], {}, False
    rest = iter(words)
    for word in rest:
        if word in ("<", ">", ">>"):
            name = "stdin" if word == "<" else "stdout"
            if name == "stdout" and plain and plain[-1] == "2":  # `2> file`; a number before > is no argument
                plain.pop()
                name = "stderr"
            append = append or word == ">>"
            streams[name] = next(rest, "")
        elif re.fullmatch(r"[|<>;&()]+", word):
            raise UnreadableCommand(
                f"{line}: {word} is more of the shell than the tests of the documentation understand"
            )
        elif not plain and (given := re.fullmatch(r"([A-Z_][A-Z0-9_]*)=(.*)", word)):
            variables.append((given[1], given[2]))
        else:
            plain.append(word)
    return Call(tuple(plain), tuple(variables), append=append, **streams)


def ie_words(call: Call) -> list[str] | None:
    """The arguments of `ie`, None where another program is called."""
    if call.words and Path(call.words[0]).name == "ie":
        return list(call.words[1:])
    return list(call.words[3:]) if call.words[:3] == ("python", "-m", "ie_cli") else None
