"""The documentation as a site: `make docs` writes it to docs/_build/html. Building and reading it need no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from pygments.lexers.data import JsonLexer

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))
sys.path.insert(0, str(DOCS.parent))

from site_links import page_source  # noqa: E402

from ie_cli import __version__  # noqa: E402

project = "ie"
author = copyright = "The ie contributors"
release = version = __version__

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"ie {release}"
html_copy_source = html_show_sourcelink = False
# The excerpts of search results are fetched, which browsers refuse for local files.
html_show_search_summary = False
html_math_renderer = "mathml"


def setup(app: Any) -> None:
    """Register the project's extensions: pages that are files elsewhere, and formulas that browsers render."""
    app.connect("source-read", _read_page)
    app.add_lexer("jsonl", JsonLexer)
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))


def _read_page(app: Any, docname: str, source: list[str]) -> None:
    source[0] = page_source(docname, source[0])


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(latex2mathml.tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode
