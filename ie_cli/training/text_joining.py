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
from ie_cli.encoding.joined_texts import PARAGRAPH, join_texts
from ie_cli.encoding.tokenizer import Tokens
from ie_cli.encoding.word_boundaries import no_boundaries, with_whole_words
from ie_cli.errors import RecipeError
from ie_cli.modeling.batch import Numbers, single_numbers
from ie_cli.recipe.context import ContextSection
from ie_cli.training.encoded_dataset import EncodedDataset, Rows, StoredText
from ie_cli.training.window_encoding import Encoding

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Sample:
    """A row, or several that are joined: ids with special tokens, gold values by column, and limits as in `Rows`."""

    input_ids: Array
    columns: Mapping[str, Array]
    documents: Numbers
    no_boundaries: Array | None = None


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
        joiner: the text between two texts; None is that of a document, as in `join_texts`.
    """

    def __init__(self, encoding: Encoding, token_spans: TokenSpans, joiner: str | None) -> None:
        self._tokenizer, self._capacity = encoding.tokenizer, encoding.plan.capacity
        self._alone = encoding.tokenizer.with_cache()  # in every epoch, the tokens of a single text are the same
        self._spans, self._joiner, self._whole_words = token_spans, joiner, encoding.whole_words

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
        possible = [" ", PARAGRAPH] if self._joiner is None else [self._joiner]
        return max(map(len, self._alone.encode(possible)))

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
        groups: list[list[_Source] | _Sample] = [
            [_Source(next(read), *next(sources)) for _ in sample] if isinstance(sample, tuple) else next(read)
            for sample in samples
        ]
        made = iter(self._joined([group for group in groups if isinstance(group, list)]))
        found = [one for group in groups for one in (next(made) if isinstance(group, list) else [group])]
        names = list(found[0].columns) if found else []
        columns = {name: [one.columns[name] for one in found] for name in names}
        limits = [one.no_boundaries for one in found if one.no_boundaries is not None]
        ids, documents = [one.input_ids for one in found], [one.documents for one in found]
        return Rows(ids, columns, documents, limits if self._whole_words else None)

    def _joined(self, groups: Sequence[Sequence[_Source]]) -> Iterator[list[_Sample]]:
        """Yield the samples of each group: one or, if its sources cannot be joined to one, several."""
        texts = [join_texts([source.stored.text for source in sources], self._joiner) for sources in groups]
        encoded = self._tokenizer.encode([text for text, _ in texts])  # at once, which takes less time
        for sources, (text, starts), found in zip(groups, texts, encoded, strict=True):
            if len(sources) == 1:
                yield [sources[0].row]
                continue
            tokens = with_whole_words(text, found) if self._whole_words else found
            placed = self._all_placed(sources, starts, Boundaries(text, tokens))
            if isinstance(placed, int):
                yield [one for part in self._joined([sources[:placed], sources[placed:]]) for one in part]
                continue
            columns = {name: np.concatenate([values[name] for values in placed]) for name in placed[0]}
            documents = tuple(single_numbers(source.row.documents for source in sources))
            limits = (
                no_boundaries(tokens, 0, self._capacity, len(self._tokenizer.prefix)) if self._whole_words else None
            )
            yield [_Sample(self._tokenizer.surround(tokens.ids), columns, documents, limits)]

    def _all_placed(
        self, sources: Sequence[_Source], starts: Sequence[int], boundaries: Boundaries
    ) -> list[dict[str, Array]] | int:
        """Return the gold values of all sources in their joined text, or where to divide these if it is not possible."""
        if len(boundaries.tokens) > self._capacity:
            return len(sources) // 2
        placed: list[dict[str, Array]] = []
        for number, (source, start) in enumerate(zip(sources, starts, strict=True)):
            values = self._placed(source, start, boundaries)
            if values is None:
                return max(1, number)
            placed.append(values)
        return placed

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
        limits = None if rows.no_boundaries is None else rows.no_boundaries[number]
        yield _Sample(ids, {name: values[number] for name, values in rows.columns.items()}, document, limits)


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
