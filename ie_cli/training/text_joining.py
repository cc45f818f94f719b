"""Join encoded texts to longer ones while batches are made: the result is that of encoding the joined text.

The joined text is tokenised again, so that its ids are exact with every tokenizer. Gold tokens move with their characters:
joined texts may have other tokens at their beginning, e.g. with the space before the first word. Items of different texts are
not related, so that all spans and pairs of tokens across a boundary are negative examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import TokenSpans
from ie_cli.encoding.alignment import Boundaries
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.errors import RecipeError
from ie_cli.formats.common.joining import join_tokens
from ie_cli.modeling.batch import Numbers, single_numbers
from ie_cli.recipe.context import ContextSection
from ie_cli.training.encoded_dataset import EncodedDataset, Encoding, Rows, StoredText

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Sample:
    """A row, or several that are joined: ids with special tokens, and gold values by column."""

    input_ids: Array
    columns: Mapping[str, Array]
    documents: Numbers


@dataclass(frozen=True, slots=True)
class _Source:
    """A row to join, with its text and its tokens without special tokens."""

    row: _Sample
    stored: StoredText
    tokens: Tokens


class TextJoiner:
    """Joins the rows of a dataset that was encoded with `Encoding.texts`.

    Args:
        encoding: the settings of the dataset.
        token_spans: the columns of its codec that are tokens.
        joiner: the text between two texts; None is a space, or nothing next to a CJK character.
    """

    def __init__(self, encoding: Encoding, token_spans: TokenSpans, joiner: str | None) -> None:
        self._tokenizer, self._capacity = encoding.tokenizer, encoding.plan.capacity
        self._alone = encoding.tokenizer.with_cache()  # in every epoch, the tokens of a single text are the same
        self._spans, self._joiner = token_spans, joiner

    @classmethod
    def of(cls, context: ContextSection | None, encoding: Encoding, *, head: str) -> TextJoiner | None:
        """Build the joiner of a task, or return None if its texts are not joined.

        Raises:
            RecipeError: the codec does not say which of the values that it stores are tokens.
        """
        if context is None:
            return None
        spans: TokenSpans | None = getattr(encoding.codec, "token_spans", None)
        if spans is None:
            raise RecipeError(
                f"data.context: the codec of the head {head} does not say which of its columns are the ends of spans",
                hint="give the codec the attribute `token_spans`, or remove data.context.",
            )
        return cls(encoding, spans, context.joiner)

    @property
    def gap(self) -> int:
        """The largest number of tokens between two texts."""
        return len(self._alone.encode([" " if self._joiner is None else self._joiner])[0])

    @property
    def longest(self) -> int:
        """The number of tokens that a joined text may have, without special tokens."""
        return self._capacity

    def rows(self, dataset: EncodedDataset, samples: Sequence[Numbers]) -> Rows:
        """Return a row for each sample; rows that cannot be joined exactly, or do not fit into a window, stay separate.

        Args:
            dataset: the encoded dataset.
            samples: numbers of rows, or of several rows that are to be joined.
        """
        singles = single_numbers(samples)
        read = iter(_samples(dataset.rows(singles)))
        together = [number for sample in samples if isinstance(sample, tuple) for number in sample]
        stored = dataset.texts(together) if together else []
        sources = zip(stored, self._alone.encode([one.text for one in stored]), strict=True)
        found: list[_Sample] = []
        for sample in samples:
            if isinstance(sample, tuple):
                found += self._joined([_Source(next(read), *next(sources)) for _ in sample])
            else:
                found.append(next(read))
        names = list(found[0].columns) if found else []
        columns = {name: [one.columns[name] for one in found] for name in names}
        return Rows([one.input_ids for one in found], columns, [one.documents for one in found])

    def _joined(self, sources: Sequence[_Source]) -> list[_Sample]:
        """Join sources, in several parts if they cannot be joined to one."""
        if len(sources) == 1:
            return [sources[0].row]
        text, starts = join_tokens([source.stored.text for source in sources], self._joiner)
        [tokens] = self._tokenizer.encode([text])
        boundaries, placed, cut = Boundaries(text, tokens), list[Mapping[str, Array]](), 0
        if len(tokens) > self._capacity:
            cut = len(sources) // 2
        else:
            for number, (source, start) in enumerate(zip(sources, starts, strict=True)):
                columns = self._placed(source, start, boundaries)
                if columns is None:
                    cut = max(1, number)
                    break
                placed.append(columns)
        if cut:
            return self._joined(sources[:cut]) + self._joined(sources[cut:])
        together = {name: np.concatenate([columns[name] for columns in placed]) for name in placed[0]}
        documents = tuple(single_numbers(source.row.documents for source in sources))
        return [_Sample(self._tokenizer.surround(tokens.ids), together, documents)]

    def _placed(self, source: _Source, start: int, boundaries: Boundaries) -> dict[str, Array] | None:
        """Return the gold values of a text that begins at a character of a joined text; None if these would not be exact."""
        own, prefix = source.tokens, len(self._tokenizer.prefix)
        if not source.stored.complete and _has_more(boundaries.tokens, own, start, len(source.stored.text)):
            return None  # an item that the text alone cannot express would become a negative example
        placed: dict[str, Array] = {}
        for name, stored in source.row.columns.items():
            moved = stored.copy()
            for first, last in self._spans.get(name, ()):
                begins = own.starts[stored[:, first] - prefix] + start
                ends = own.ends[stored[:, last] - prefix] + start
                for item, span in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
                    found = boundaries.find(*span)
                    if found is None:
                        return None
                    moved[item, [first, last]] = np.array(found) + prefix
            placed[name] = moved
        return placed


def _samples(rows: Rows) -> Iterator[_Sample]:
    for number, (ids, document) in enumerate(zip(rows.input_ids, rows.documents, strict=True)):
        yield _Sample(ids, {name: values[number] for name, values in rows.columns.items()}, document)


def _has_more(whole: Tokens, alone: Tokens, start: int, length: int) -> bool:
    """Return whether tokens of a joined text begin or end at characters of a text where none of its own does."""
    for every, own, (low, high) in (
        (whole.starts, alone.starts, (start, start + length - 1)),
        (whole.ends, alone.ends, (start + 1, start + length)),
    ):
        there = every[(whole.starts < whole.ends) & (every >= low) & (every <= high)]
        if not np.isin(there, own[alone.starts < alone.ends] + start).all():
            return True
    return False
