"""The page of `ie check` with names and texts that look like markup or control the display."""

from __future__ import annotations

from support.html_page import Page

from ie_cli.data.findings import Finding
from ie_cli.reports.findings import CheckReport

HOSTILE = "</title></style><script>alert(1)</script> \"x' ]]> <!-- <![CDATA[ \u202e \x00\x1b\x07 \ud800 &lt;"


def test_nothing_in_names_and_findings_becomes_markup() -> None:
    findings = [Finding(kind, f"{HOSTILE}\n  {HOSTILE}") for kind in ("error", "warning", "note")]
    source = CheckReport([HOSTILE, "b"], [(HOSTILE, finding) for finding in findings]).html()
    source.encode("utf-8")  # no lone surrogate
    assert not {"\x00", "\x1b", "\x07"} & set(source)
    head = source[source.index("<title>") : source.index("</title>")]
    assert head.count("<") == 1
    assert "\u202e" not in head
    page = Page(source)
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert source.count("\u202e") == source.count("<bdi>&lt;/title&gt;") > 0  # isolated from the rest of the page
