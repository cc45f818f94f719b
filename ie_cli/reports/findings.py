"""The findings of `ie check` as JSON values and as a self-contained web page without scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.data.findings import Finding
from ie_cli.document.markup import escape, escape_name
from ie_cli.errors import counted
from ie_cli.formats.html import PAGE_END, STYLE, page_head

_STYLE = (
    STYLE
    + """
h1, h2 { line-height: 1.3; }
article p { margin: 0; line-height: 1.6; }
.error b { color: #c62828; }
.warning b { color: #b26a00; }
"""
)


@dataclass(slots=True)
class CheckReport:
    """The findings about what was checked.

    Attributes:
        names: the recipes or data files.
        findings: the findings, each with the name of its recipe; None if the data were checked without one.
    """

    names: Sequence[str]
    findings: list[tuple[str | None, Finding]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return the number of findings of a kind."""
        return sum(finding.kind == kind for _, finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "checked": list(self.names),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "findings": [
                ({} if recipe is None else {"recipe": recipe}) | finding.to_dict() for recipe, finding in self.findings
            ],
        }

    def html(self) -> str:
        """Return the findings as a web page: errors first, then warnings, then notes."""
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        title = escape(", ".join(self.names))
        counts = Counter(finding.kind for _, finding in self.findings)
        yield page_head(_STYLE, escape_name(", ".join(self.names)))
        yield f"<h1><bdi>{title}</bdi></h1>\n"
        yield (
            f"<p>{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}, "
            f"{counted(counts['note'], 'note')}</p>\n"
        )
        for kind in ("error", "warning", "note"):
            if counts[kind]:
                yield f"<h2>{kind.title()}s</h2>\n"
            for recipe, finding in self.findings:
                if finding.kind == kind:
                    yield _article(recipe if len(self.names) > 1 else None, finding)
        yield PAGE_END


def _article(recipe: str | None, finding: Finding) -> str:
    head = "" if recipe is None else f"<header><bdi>{escape(recipe)}</bdi></header>\n"
    details = "".join(f"<li><bdi>{escape(line)}</bdi></li>\n" for line in finding.details)
    listed = f"<ul>\n{details}</ul>\n" if details else ""
    return (
        f'<article class="{finding.kind}">\n{head}<p><b>{finding.kind}</b> <bdi>{escape(finding.message)}</bdi></p>\n{listed}'
        "</article>\n"
    )
