"""Count the scripts that texts are written in, and choose an encoder for them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ie_cli.document import Document

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA_HANGUL = r"\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7af"
"""Character ranges for use in regular expressions."""

_SAMPLE = 10_000
_PATTERNS = {
    "han": re.compile(rf"[{HAN}]"),
    "kana_hangul": re.compile(rf"[{KANA_HANGUL}]"),
    "ascii": re.compile(r"[A-Za-z]"),
    "letters": re.compile(r"[^\W\d_]"),
}


@dataclass(slots=True)
class Scripts:
    """A part of `DatasetStatistics` that counts the letters of the first texts by script."""

    letters: Counter[str] = field(default_factory=Counter)
    _documents: int = 0

    def add(self, document: Document) -> None:
        """Count a document."""
        self._documents += 1
        if self._documents <= _SAMPLE:
            for script, pattern in _PATTERNS.items():
                self.letters[script] += len(pattern.findall(document.text))


def choose_encoder(scripts: Counter[str]) -> str:
    """Return a well-known encoder for the scripts of a text."""
    if scripts["han"] > 0.5 * scripts["letters"] and scripts["kana_hangul"] < 0.1 * scripts["han"]:
        return "bert-base-chinese"
    # English has hardly any letters with accents.
    return "bert-base-cased" if scripts["ascii"] > 0.995 * scripts["letters"] else "xlm-roberta-base"
