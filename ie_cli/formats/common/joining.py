"""Joining of tokens to a text, without spaces next to Chinese and Japanese characters."""

from __future__ import annotations

import re
from collections.abc import Sequence

CJK_RANGES = r"\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
"""The characters that are written without spaces, for a regular expression."""
_CJK = re.compile(f"[{CJK_RANGES}]")


def is_cjk(char: str) -> bool:
    """Return whether a character is written without spaces: Chinese, Japanese and their punctuation."""
    return _CJK.match(char) is not None


def join_tokens(tokens: Sequence[str], joiner: str | None) -> tuple[str, list[int]]:
    """Join tokens to a text, and return it with their offsets; by default, no space is put next to CJK characters."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for number, token in enumerate(tokens):
        if number:
            adjacent = joiner is None and (is_cjk(tokens[number - 1][-1]) or is_cjk(token[0]))
            gap = "" if adjacent else " " if joiner is None else joiner
            parts.append(gap)
            at += len(gap)
        starts.append(at)
        parts.append(token)
        at += len(token)
    return "".join(parts), starts
