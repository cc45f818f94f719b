"""Pages that are files outside docs/, and links to them: links that work on GitHub are changed to work on the site."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
INCLUDED = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/RESULTS.md": "project/results.md",
    "data/README.md": "project/data.md",
}
"""Files of the repository that are pages of the site: file -> page, which only refers to the file on GitHub."""
INSTEAD = {"README.md": "index.md", "README.zh-CN.md": "index.md"}
"""Files that are not pages, and the pages that replace them."""
_LINK = re.compile(r"(\]\()([^()\s#]+)((?:#[^()\s]*)?\))")
_ANCHORED = re.compile(r"(?<!!)\[([^\]]*)\]\(([^()\s#]+)(?:#[^()\s]*)?\)")


def page_source(docname: str, text: str) -> str:
    """Return the source of a page: its file or its own text, with the links of the site."""
    page = f"{docname}.md"
    file = next((file for file, included in INCLUDED.items() if included == page), f"docs/{page}")
    if file in INCLUDED:
        text = (ROOT / file).read_text(encoding="utf-8")
    return "\n".join(line if is_code else _site_links(line, file, page) for is_code, line in lines_of(text))


def lines_of(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the lines of a text, each with whether it belongs to a code block."""
    fence = ""
    for line in text.split("\n"):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
            yield True, line
        elif mark and mark[1].startswith(fence) and line.strip() == mark[1]:
            fence = ""
            yield True, line
        else:
            yield bool(fence), line


def prose(text: str) -> list[str]:
    """Return the lines of a text outside code blocks."""
    return [line for is_code, line in lines_of(text) if not is_code]


def _site_links(line: str, file: str, page: str) -> str:
    """Change links relative to a file to links relative to its page; a link to a directory becomes its text."""

    def target_of(link: str) -> str | None:
        """Return the file of the repository to which a link leads."""
        if "://" in link or link.startswith(("mailto:", "/")):
            return None
        return os.path.normpath(PurePosixPath(file).parent / link)

    def without_directories(match: re.Match[str]) -> str:
        target = target_of(match[2])
        return match[1] if target is not None and (ROOT / target).is_dir() else match[0]

    def relative(match: re.Match[str]) -> str:
        target = target_of(match[2])
        if target is None:
            return match[0]
        anchor = match[3]
        if target in INSTEAD:
            target, anchor = f"docs/{INSTEAD[target]}", ")"
        target = f"docs/{INCLUDED[target]}" if target in INCLUDED else target
        return match[1] + os.path.relpath(target, PurePosixPath("docs", page).parent) + anchor

    return _LINK.sub(relative, _ANCHORED.sub(without_directories, line))
