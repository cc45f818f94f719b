"""Put a file of predictions beside its gold data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from ie_cli.document import Document
from ie_cli.errors import DataError


def pair_documents(gold: Iterable[Document], predicted: Iterable[Document]) -> Iterator[tuple[Document, Document]]:
    """Pair by order, checking that the texts (and the ids, where both have one) are the same; in a stream.

    A prediction without a text (CLUENER's submission form) must have the gold example's id.

    Raises:
        DataError: the two do not belong together, with both places.
    """
    for number, (truth, guess) in enumerate(zip_longest(gold, predicted), 1):
        if truth is None or guess is None:
            longer, shorter = ("gold data", "predictions") if guess is None else ("predictions", "gold data")
            raise DataError(
                f"the {shorter} end after {number - 1} examples, the {longer} go on",
                hint="score the file that was predicted from; `ie predict --on-error skip` leaves lines out.",
            )
        _check(truth, guess, number)
        yield truth, guess


def _check(truth: Document, guess: Document, number: int) -> None:
    where = f"{guess.where or f'prediction {number}'} and {truth.where or f'gold example {number}'}"
    if truth.id is not None and guess.id is not None and truth.id != guess.id:
        raise DataError(
            f"{where}: id {guess.id!r} stands beside id {truth.id!r}",
            hint="predictions and gold data must be in one order, without missing lines.",
        )
    if not guess.text and truth.text and guess.id is not None:
        end = max((entity.end for entity in guess.entities), default=0)
        if end > len(truth.text):
            raise DataError(
                f"{where}: an entity ends at {end}, but the text has {len(truth.text)} characters",
                hint="are these predictions of the same data, and the ids unique?",
            )
    elif guess.text != truth.text:
        raise DataError(
            f"{where}: the texts differ: {guess.text[:40]!r} beside {truth.text[:40]!r}",
            hint="predictions and gold data must hold the same texts in one order, without missing lines.",
        )
