"""The positions of given tokens in their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ie_cli.errors import DataError
from ie_cli.formats.common.base import short

TREEBANK: Mapping[str, tuple[str, ...]] = {
    "``": ('"', "\u201c"),
    "''": ('"', "\u201d"),
    **{f"-{name}-": (char,) for name, char in zip(("LRB", "RRB", "LSB", "RSB", "LCB", "RCB"), "()[]{}", strict=True)},
}
"""What tokens of the Penn Treebank are in the text."""


def spans_in(
    text: str, tokens: Sequence[str], hint: str | None = None, *, spellings: Mapping[str, tuple[str, ...]] | None = None
) -> list[tuple[int, int]]:
    """Return start and end of each token; there may be whitespace before every token.

    Args:
        text: the text.
        tokens: its tokens.
        hint: a hint for the error.
        spellings: other forms that some tokens may have in the text.

    Raises:
        DataError: the text does not consist of the tokens; the message does not include the place.
    """
    spans: list[tuple[int, int]] = []
    end = 0
    for number, token in enumerate(tokens):
        start, forms = end, (token, *(spellings or {}).get(token, ()))
        while not text.startswith(forms, start):
            if start >= len(text) or not text[start].isspace():
                raise DataError(f"'tokens' do not match the text: token {number} is {short(token)}", hint=hint)
            start += 1
        end = start + next(len(form) for form in forms if text.startswith(form, start))
        spans.append((start, end))
    return spans
