"""Join texts to a longer one, as they would follow each other in a document."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ie_cli.formats.common.joining import is_cjk, join_tokens

PARAGRAPH = "\n\n"
"""The joint after a text without a punctuation mark at its end, such as a heading: an empty line, which ends every sentence."""
_QUOTATION_MARKS = frozenset("\"'")
_OTHER_MARKS = frozenset("%‰‱٪&@#*/\\§¶†‡※′″")
"""Characters that Unicode calls punctuation, but that do not end a sentence or a part of one."""


def joint_of(left: str, right: str) -> str:
    """Return what separates two texts that follow each other in a document.

    An empty line, if the first one has no punctuation mark at its end, not counting closing brackets and quotation marks: in one
    line, they would be read as one sentence. Otherwise nothing next to a Chinese or Japanese character, and a space elsewhere.
    """
    if not left.strip() or not right.strip():
        return ""
    if not _ends_with_punctuation(left):
        return PARAGRAPH
    return "" if is_cjk(left[-1]) or is_cjk(right[0]) else " "


def join_texts(texts: Sequence[str], joiner: str | None) -> tuple[str, list[int]]:
    """Join texts, and return the result with the offset of each.

    Args:
        texts: the texts.
        joiner: the text between two of them; None is what `joint_of` returns.
    """
    if joiner is not None:
        return join_tokens(texts, joiner)
    joined, starts, before = "", [], ""
    for text in texts:
        joined += joint_of(before, text)
        starts.append(len(joined))
        joined, before = joined + text, text if text.strip() else before
    return joined, starts


def _ends_with_punctuation(text: str) -> bool:
    for char in reversed(text):
        category = unicodedata.category(char)
        forms = {char, unicodedata.normalize("NFKC", char)}  # `％` is a form of `%`
        if char.isspace() or category in ("Pe", "Pf", "Pi", "Mn", "Me", "Cf") or forms & _QUOTATION_MARKS:
            continue
        return category in ("Po", "Pd") and not forms & _OTHER_MARKS
    return False
