"""Output as a self-contained HTML page: one article per record, with its entities highlighted. It cannot be read back.

The articles are made in `document.markup`; the style sheet here displays the label names.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping

from ie_cli.document import Document
from ie_cli.document.markup import STYLES, LabelStyles, article, style_of
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Lines, Reading, Record

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/2 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
article { border-top: 1px solid #8886; padding: .75rem 0; }
article header, article small { font-size: .8rem; opacity: .7; }
article .text { margin: 0; white-space: pre-wrap; overflow-x: auto; }
article ul { margin: .5rem 0 0; padding-left: 1.2rem; line-height: 1.6; }
article i { font-style: normal; opacity: .6; }
mark { border-radius: .25em; padding: .15em .1em; }
mark[data-label]::after {
  content: "\\2060" attr(data-label); white-space: nowrap; unicode-bidi: isolate; font-size: .65em; margin: 0 .3em;
}
"""
STYLE += "".join(f".c{number} {{ {style_of(number)}; }}\n" for number in range(STYLES))


def page_head(style: str, title: str) -> str:
    """Return the head of a page, whose policy forbids scripts, requests and any other style.

    Args:
        style: the CSS of the page.
        title: the title, already escaped.
    """
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
    )


PAGE_END = "</body>\n</html>\n"
FRAME = (page_head(STYLE, "ie"), "", PAGE_END)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Reject reading this format.

    Raises:
        DataError: always.
    """
    raise DataError(f"{path}: format 'html' cannot be read", hint="read the data from which the page was created.")


def write(document: Document) -> str:
    """Return one article."""
    return article(document)


def page_writer(labels: Iterable[str]) -> Callable[[Document], str]:
    """Return a function that writes the articles of one page, in which a label has one style.

    Args:
        labels: the labels that are known before the first article, in the order of their styles.
    """
    styles = LabelStyles(labels)
    return lambda document: article(document, styles=styles)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    return {"other fields of the records cannot be shown on the page": len(document.meta)}
