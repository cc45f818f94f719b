"""Links between the Markdown files lead to files and headings that are there, as GitHub makes anchors of headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from site_links import INCLUDED, INSTEAD, page_source, prose
from support.pages import ROOT

FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "data/*.md", "benchmarks/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
_LINK = re.compile(r"\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HTML = re.compile(r"""\b(?:href|src)=["']([^"']+)["']""")


def text_of(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text without its blocks of code, and without code in lines."""
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", "\n".join(prose(text)))


def anchors(text: str) -> set[str]:
    """The anchors of a file: those of its headings by GitHub's rule, and those that HTML in it names."""
    kept = prose(text)
    found: set[str] = set(re.findall(r"""\b(?:id|name)=["']([^"']+)["']""", "\n".join(kept)))
    for line in kept:
        if heading := re.match(r"#{1,6}\s+(.*?)\s*#*$", line):
            title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            same = (f"{slug}-{number}" if number else slug for number in range(1000))
            found.add(next(name for name in same if name not in found))
    return found


def targets(text: str) -> list[str]:
    plain = without_code(text)
    return [link for link in _LINK.findall(plain) + _HTML.findall(plain) if not re.match(r"[a-z]+:", link)]


def broken(file: str, text: str) -> list[str]:
    """The links of a file, with this text, that lead nowhere."""
    wrong = []
    for link in targets(text):
        path, _, anchor = link.partition("#")
        target = ROOT.joinpath(file).parent.joinpath(path).resolve() if path else ROOT / file
        if not target.exists() or not target.is_relative_to(ROOT):
            wrong.append(link)
        elif anchor and target.suffix == ".md":
            content = text if target == ROOT / file else target.read_text(encoding="utf-8")
            wrong += [link] * (anchor not in anchors(content))
    return wrong


def test_there_are_links() -> None:
    assert len(FILES) > 10
    assert sum(len(targets(text_of(file))) for file in FILES) > 50


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file: str) -> None:
    assert not broken(file, text_of(file))


def test_links_that_lead_nowhere_are_found() -> None:
    text = (
        "# A title\n## `code` and *more*: 2\n## A title\n[a](#a-title) [b](#code-and-more-2) [c](#a-title-1) [d](LICENSE)\n"
        "[e](#a-title-2) [f](docs/none.md) [g](docs/reference/recipe.md#none) `[h](none)`\n```sh\n[i](none)\n```\n"
        '<img src="none.svg">\n'
    )
    assert broken("README.md", text) == ["#a-title-2", "docs/none.md", "docs/reference/recipe.md#none", "none.svg"]


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("docs/")])
def test_links_of_the_site_stay_on_it(file: str) -> None:
    """No link of a page, as the site has it, leads to a file that is another page there."""
    page = page_source(file.removeprefix("docs/").removesuffix(".md"), text_of(file))
    for link in targets(page):
        path = link.partition("#")[0]
        target = ROOT.joinpath(file).parent.joinpath(path).resolve()
        assert not path or target.exists()
        assert target.relative_to(ROOT).as_posix() not in INCLUDED.keys() | INSTEAD.keys()
        assert not path or target.is_file()


def test_files_outside_docs_become_pages() -> None:
    for file, page in INCLUDED.items():
        own = text_of(f"docs/{page}")
        assert Path(file).name in own
        whole = page_source(page.removesuffix(".md"), own)
        assert len(whole) > len(own)
        assert whole.splitlines()[0] == text_of(file).splitlines()[0]


def test_links_are_rewritten_outside_of_code() -> None:
    text = "[a](../SECURITY.md#x) [b](../README.md#y) [c](../recipes) [d](https://e.org/f.md)\n```\n[a](../SECURITY.md)\n```"
    assert page_source("x", text) == (
        "[a](project/security.md#x) [b](index.md) c [d](https://e.org/f.md)\n```\n[a](../SECURITY.md)\n```"
    )
