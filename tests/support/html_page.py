"""HTML as a browser reads it."""

from __future__ import annotations

from html.parser import HTMLParser

ISOLATED = frozenset({"bdi", "title", "style"})
"""Elements whose bidirectional characters affect nothing outside them; a title and a style sheet are no part of the text."""
VOID = frozenset({"meta", "img", "br", "link", "input", "base"})
"""Elements without an end tag."""


class Page(HTMLParser):
    """Reads a page as a browser would: text by element, tags with their attributes.

    The text of an article is what is in its `p` elements, without the names of labels (`small`).

    Attributes:
        shown: all text outside the style sheet, with the characters that symbols stand for.
        loose: the text outside elements that isolate its direction.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.texts: list[str] = []
        self.marks: list[tuple[int, str]] = []  # open marks: where they begin in the text, and their facts
        self.spans: list[tuple[int, int, str]] = []
        self.code = ""
        self.shown = self.loose = ""
        self.isolating: list[bool] = []  # of each open element
        self.feed(source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.stack.append(tag)
        attributes = dict(attrs)
        self.isolating.append(tag in ISOLATED or "dir" in attributes)
        if tag == "p":
            self.texts.append("")
        if tag == "mark":
            self.marks.append((len(self.texts[-1]), str(attributes.get("title"))))
        if tag == "i":
            self.code = str(attributes["title"])

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        self.isolating.pop()
        if tag == "mark":
            start, facts = self.marks.pop()
            self.spans.append((start, len(self.texts[-1]), facts))

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "i":
            assert len(data) == 1
            data = chr(int(self.code.removeprefix("U+"), 16))
        if "style" not in self.stack:
            self.shown += data
            self.loose += "" if any(self.isolating) else data
        if "p" not in self.stack or "small" in self.stack:  # the name of a label in a fragment
            return
        self.texts[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment


def covered(page: Page) -> dict[str, set[int]]:
    """The characters that the marks of one title cover."""
    found: dict[str, set[int]] = {}
    for start, end, facts in page.spans:
        found.setdefault(facts, set()).update(range(start, end))
    return found
