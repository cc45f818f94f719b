"""HTML as a browser reads it."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Reads a page as a browser would: text by element, tags with their attributes.

    The text of an article is what is in its `p` elements, without the names of labels (`small`).
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.texts: list[str] = []
        self.marks: list[tuple[int, str]] = []  # open marks: where they begin in the text, and their facts
        self.spans: list[tuple[int, int, str]] = []
        self.code = ""
        self.feed(source)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "meta":
            return
        self.stack.append(tag)
        attributes = dict(attrs)
        if tag == "p":
            self.texts.append("")
        if tag == "mark":
            self.marks.append((len(self.texts[-1]), str(attributes["title"])))
        if tag == "i":
            self.code = str(attributes["title"])

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag == "mark":
            start, facts = self.marks.pop()
            self.spans.append((start, len(self.texts[-1]), facts))

    def handle_data(self, data: str) -> None:
        if "p" not in self.stack or "small" in self.stack:  # the name of a label in a fragment
            return
        if self.stack[-1] == "i":
            assert len(data) == 1
            data = chr(int(self.code.removeprefix("U+"), 16))
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
