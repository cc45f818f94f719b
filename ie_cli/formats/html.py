"""A page to read: one HTML file with nothing beside it, an article a record, its entities marked. It is only written.

What an article holds is in `document.markup`; the style here shows the names of labels.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping

from ie_cli.document import Document
from ie_cli.document.markup import COLOURS, article
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Lines, Reading, Record

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/2 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid #8886; padding: .75rem 0; }
article header, article small { font-size: .8rem; opacity: .7; }
article .text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
article ul { margin: .5rem 0 0; padding-left: 1.2rem; line-height: 1.6; overflow-wrap: anywhere; }
article i { font-style: normal; opacity: .6; }
mark { color: inherit; border-radius: .25em; padding: .15em .1em; background: #8883; }
mark[data-label]::after { content: attr(data-label); unicode-bidi: isolate; font-size: .65em; margin: 0 .3em; opacity: .8; }
"""
STYLE += "".join(f".c{number} {{ background: {colour}; }}\n" for number, colour in enumerate(COLOURS))


def page_head(style: str, title: str) -> str:
    """All that stands above the body's content: no script may run, nothing be fetched, and no style be used but this one.

    Args:
        title: escaped already.
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
    """Refuse: a page is for people.

    Raises:
        DataError: always.
    """
    raise DataError(f"{path}: format 'html' is only written", hint="read the data that the page was made of.")


def write(document: Document) -> str:
    """One article."""
    return article(document)


def lost(document: Document) -> Mapping[str, int]:
    """What `write` cannot express."""
    return {"other fields of the records have no place in a page": len(document.meta)}
