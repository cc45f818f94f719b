"""Count the characters of some texts that an encoder does not know, and those that it would know after normalization."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ie_cli.document import Document
from ie_cli.document.trimming import is_invisible
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.formats.common.base import quoted

_PIECES = 10_000
_SHOWN = 8
_SAMPLE = 10_000


@dataclass(slots=True)
class UnknownCharacters:
    """Counts of characters, without whitespace and invisible ones; also a part of `DatasetStatistics`.

    Attributes:
        characters: number of all characters.
        unknown: number of characters in unknown tokens.
        pieces: the texts of the unknown tokens, at most `_PIECES` different ones.
    """

    tokenizer: TextTokenizer
    characters: int = 0
    unknown: int = 0
    pieces: Counter[str] = field(default_factory=Counter)
    _documents: int = 0

    def add(self, document: Document) -> None:
        """Tokenise and count one of the first documents."""
        self._documents += 1
        if self._documents <= _SAMPLE:
            self.add_tokens(document.text, self.tokenizer.encode([document.text])[0])

    def add_tokens(self, text: str, tokens: Tokens) -> None:
        """Count the characters of a text, given its tokens."""
        self.characters += sum(not is_invisible(char) for char in text)
        if (unknown := self.tokenizer.unknown_id) is None:
            return
        for token in np.flatnonzero(tokens.ids == unknown).tolist():
            piece = text[tokens.starts[token] : tokens.ends[token]]
            if (visible := sum(not is_invisible(char) for char in piece)) > 0:
                self.unknown += visible
                if piece in self.pieces or len(self.pieces) < _PIECES:
                    self.pieces[piece] += 1

    @property
    def share(self) -> float:
        """The share of unknown characters."""
        return self.unknown / max(1, self.characters)

    def known_with_nfkc(self) -> int:
        """Return how many of the unknown characters are known if the tokenizer normalises them."""
        tokenizer = self.tokenizer
        if tokenizer.normalization == "nfkc":
            return 0
        other = TextTokenizer(tokenizer.tokenizer, mode=tokenizer.mode, normalization="nfkc")
        pieces = list(self.pieces)
        return sum(
            len(piece) * self.pieces[piece]
            for piece, tokens in zip(pieces, other.encode(pieces), strict=True)
            if not (tokens.ids == other.unknown_id).any()
        )

    def helped_by_nfkc(self) -> bool:
        """Return whether normalization makes at least half of the unknown characters known."""
        return self.unknown > 0 and 2 * self.known_with_nfkc() >= self.unknown

    def describe(self) -> str:
        """Return the counts, the most frequent unknown pieces, and what normalization changes."""
        shown = ", ".join(f"{quoted(piece)} {count:,}" for piece, count in self.pieces.most_common(_SHOWN))
        known = self.known_with_nfkc()
        remedy = f"; encoder.normalization: nfkc makes {known:,} of them known" if known else ""
        return (
            f"{self.unknown:,} of {self.characters:,} characters ({self.share:.2%}) are in tokens that the encoder does not "
            f"know and cannot tell apart: {shown}{remedy}"
        )
