"""Diagnose a model that predicts nothing correctly, from its counts, starting with the most certain cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ie_cli.codecs.limits import REMEDIES
from ie_cli.encoding.alignment import APART, INSIDE_TOKEN, INSIDE_WORD, TOO_LONG
from ie_cli.errors import DataError
from ie_cli.metrics.entities import Counts
from ie_cli.metrics.scores import Ceiling
from ie_cli.tasks.base import TrainingItems, Words
from ie_cli.tasks.whole_words import ALLOW_INSIDE_WORDS

_WINDOWS = "raise encoder.max_length and encoder.stride"
_REMEDIES = {
    **REMEDIES,
    INSIDE_TOKEN: "set encoder.tokenization: char, or encoder.vocabulary: characters for `tiny`",
    INSIDE_WORD: ALLOW_INSIDE_WORDS,
    TOO_LONG: _WINDOWS,
    APART: _WINDOWS,
}


def require_learnable(words: Words, items: TrainingItems, sources: Collection[str]) -> None:
    """Check that some item of the training data can be learned.

    Args:
        words: the words for the task.
        items: the items of the training data.
        sources: the files of the training data.

    Raises:
        DataError: all items are unreachable; a model would learn to predict nothing.
    """
    if items.total and sum(items.unreachable.values()) >= items.total:
        causes = ", ".join(f"{count} {reason}" for reason, count in _sorted(items.unreachable))
        raise DataError(
            f"{', '.join(sources)}: none of the {items.total} {words.items} can be learned: {causes}",
            hint=f"{remedy(items.unreachable)}; `ie check` lists examples.",
        )


def remedy(unreachable: Mapping[str, int]) -> str:
    """Return what to do about the most frequent reason."""
    return _REMEDIES.get(_sorted(unreachable)[0][0], "correct the annotation")


def _sorted(unreachable: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons with their counts, the most frequent first."""
    return sorted(unreachable.items(), key=lambda item: (-item[1], item[0]))


def diagnose(
    words: Words,
    items: TrainingItems,
    micro: Counts,
    *,
    boundaries: Counts | None,
    parts: Mapping[str, Counts],
    known: Collection[str],
    ceiling: Ceiling | None = None,
) -> str:
    """Return the most likely cause of an F1 of 0, and what to do.

    Args:
        words: the words for the task.
        items: the items of the training data.
        micro: counts on dev.
        boundaries: counts on dev, ignoring labels.
        parts: counts on dev by label or predicate.
        known: the labels or predicates of the model.
        ceiling: the recall ceiling on dev, if it was counted.
    """
    unreachable = sum(items.unreachable.values())
    if micro.gold == 0:
        return f"The dev data contain no {words.items}: check data.dev."
    if not any(part.gold for name, part in parts.items() if name in known):
        return f"Dev and train have no {words.name} in common: check data.dev."
    if ceiling is not None and ceiling.total and not ceiling.reachable:
        return (
            f"None of the {ceiling.total} dev {words.items} can be predicted ({_sorted(ceiling.reasons)[0][0]}): "
            f"{remedy(ceiling.reasons)}."
        )
    if unreachable > items.total / 2:
        reason = _sorted(items.unreachable)[0][0]
        return (
            f"{unreachable} of {items.total} training {words.items} cannot be learned ({reason}): "
            f"{remedy(items.unreachable)} (`ie check` lists examples)."
        )
    if boundaries is not None and boundaries.correct:
        return "Spans are correct, but every label is wrong: check that train and dev use the labels in the same way."
    advice = items.learning.advise() if items.learning is not None else "Train longer (training.epochs)."
    if micro.predicted == 0:
        return f"The model predicts nothing. {advice}"
    shifted = " The offsets of train or dev may also be shifted (`ie check`)."
    if items.learning is not None and items.learning.explains:
        shifted = ""
    return f"The model predicts {words.items}, but none is correct. {advice}{shifted}"
