"""Cut texts with more sentences than those that a model was trained on into pieces that are annotated separately."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ie_cli.document import Document
from ie_cli.encoding.sentences import Span, sentence_spans
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.inference.model_directory import SeenTexts, TrainedTask
from ie_cli.recipe.schema import Recipe

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Engine, Pending

Split = Literal["auto", "sentences", "never"]
MUCH_LONGER = 2
"""A text with more than this many times the tokens of 99 % of the trained ones is reported if it is not cut."""


@dataclass(frozen=True, slots=True)
class Splitter:
    """Decides which texts are cut, and where.

    Attributes:
        mode: ``sentences``: every text, after every sentence; ``auto``: a text with more sentences than 99 % of the trained ones,
            into groups of sentences of their usual size; ``never``: no text.
        seen: the size of the trained texts; None if it is unknown, so that ``auto`` cuts no text.
        language: the ISO 639 code of the texts, for abbreviations.
    """

    mode: Split
    seen: SeenTexts | None = None
    language: str = "en"

    @classmethod
    def of(cls, recipe: Recipe, tasks: Mapping[str, TrainedTask], mode: Split) -> Splitter:
        """Return the splitter of a model; if it has several tasks, the size of their trained texts is the largest of each kind.

        Raises:
            ValueError: the mode is unknown.
        """
        if mode not in get_args(Split):
            raise ValueError(f"split must be {', '.join(get_args(Split))}, got {mode!r:.40}")
        windowed = [tasks[name] for name, section in recipe.instances().items() if section.head.reads == "windows"]
        sizes = [task.seen for task in windowed if task.seen is not None]
        seen = None
        if sizes and len(sizes) == len(windowed):
            seen = SeenTexts(*(max(column) for column in zip(*map(astuple, sizes), strict=True)))
        return cls(mode, seen, recipe.card.first_language)

    def is_long(self, tokens: int) -> bool:
        """Return whether a text with this number of tokens is much longer than the trained ones."""
        return self.seen is not None and tokens > MUCH_LONGER * self.seen.tokens

    def cut(self, text: str, tokens: Tokens) -> list[Span]:
        """Return the pieces of a text, without the whitespace between them; an empty list if it is not cut."""
        if self.mode == "never" or (self.mode == "auto" and self.seen is None):
            return []
        spans = sentence_spans(text, self.language)
        if self.mode == "auto" and self.seen is not None:
            spans = _groups(spans, tokens, self.seen) if len(spans) > self.seen.sentences else []
        return [] if spans == [(0, len(text))] else spans


def _groups(spans: Sequence[Span], tokens: Tokens, seen: SeenTexts) -> list[Span]:
    """Return as few groups of consecutive sentences as possible, with about as many sentences each."""
    ends = np.searchsorted(np.maximum.accumulate(tokens.starts), [end for _, end in spans]).tolist()
    groups = _filled(spans, ends, seen.tokens, seen.usual_sentences)
    even = _filled(spans, ends, seen.tokens, -(-len(spans) // len(groups)))
    return even if len(even) == len(groups) else groups


def _filled(spans: Sequence[Span], ends: Sequence[int], tokens: int, sentences: int) -> list[Span]:
    """Return groups of at most these tokens and sentences; a sentence with more tokens is a group of its own.

    Args:
        spans: the sentences.
        ends: number of tokens from the start of the text to the end of each sentence.
        tokens: maximum number of tokens.
        sentences: maximum number of sentences.
    """
    groups: list[Span] = []
    count = first = 0
    for number, (start, end) in enumerate(spans):
        if groups and count < sentences and ends[number] - first <= tokens:
            groups[-1] = (groups[-1][0], end)
            count += 1
        else:
            first, count = ends[number - 1] if number else 0, 1
            groups.append((start, end))
    return groups


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of a text as a document of its own, and the character at which it starts."""

    start: int
    pending: Pending


def cut_texts(engine: Engine, documents: Sequence[Pending]) -> list[Pending]:
    """Return tokenised documents, each with the pieces that its text is cut into; a pair of texts is never cut."""
    splitter = engine.splitter
    if splitter is None or engine.needs_pairs:
        return list(documents)
    cuts: list[list[Span]] = []
    for pending in documents:
        pair = pending.second is not None
        cuts.append([] if pair else splitter.cut(pending.document.text, pending.tokens))
        engine.counts.cut += bool(cuts[-1])
        engine.counts.whole += not pair and not cuts[-1] and splitter.is_long(len(pending.tokens))
    texts = [[p.document.text[start:end] for start, end in spans] for p, spans in zip(documents, cuts, strict=True)]
    distinct = list(dict.fromkeys(text for part in texts for text in part))
    if not distinct:
        return list(documents)
    tokens = engine.encode(distinct)
    return [
        replace(
            pending,
            pieces=tuple(
                Piece(start, replace(pending, document=Document(text), tokens=tokens[text], found={}))
                for (start, _), text in zip(spans, part, strict=True)
            ),
        )
        for pending, spans, part in zip(documents, cuts, texts, strict=True)
    ]


def parts_of(documents: Sequence[Pending]) -> Iterator[Pending]:
    """Yield what is annotated separately: the pieces of each document, or the document."""
    for pending in documents:
        if pending.pieces:
            yield from (piece.pending for piece in pending.pieces)
        else:
            yield pending
