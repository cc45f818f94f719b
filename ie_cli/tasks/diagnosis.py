"""Diagnose a model that predicts nothing correctly, from its counts, starting with the most certain cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ie_cli.metrics.entities import Counts
from ie_cli.tasks.base import TrainingItems, Words


def diagnose(
    words: Words,
    items: TrainingItems,
    micro: Counts,
    *,
    boundaries: Counts | None,
    parts: Mapping[str, Counts],
    known: Collection[str],
) -> str:
    """Return the most likely cause of an F1 of 0, and what to do.

    Args:
        words: the words for the task.
        items: the items of the training data.
        micro: counts on dev.
        boundaries: counts on dev, ignoring labels.
        parts: counts on dev by label or predicate.
        known: the labels or predicates of the model.
    """
    unreachable = sum(items.unreachable.values())
    if micro.gold == 0:
        return f"The dev data contain no {words.items}: check data.dev."
    if not any(part.gold for name, part in parts.items() if name in known):
        return f"Dev and train have no {words.name} in common: check data.dev."
    if unreachable > items.total / 2:
        reason = max(items.unreachable, key=lambda key: items.unreachable[key])
        return (
            f"{unreachable} of {items.total} training {words.items} cannot be learned ({reason}): "
            "run `ie check`, which lists them with the remedy."
        )
    if boundaries is not None and boundaries.correct:
        return "Spans are correct, but every label is wrong: check that train and dev use the labels in the same way."
    if micro.predicted == 0:
        return (
            "The model predicts nothing: raise training.head_learning_rate (1e-3) or training.learning_rate (2e-5 for "
            "a pretrained encoder, 5e-4 for tiny), or train longer."
        )
    return (
        f"The model predicts {words.items}, but none is correct: the learning rate may be too high, or the offsets of train "
        "and dev may be shifted (run `ie check`)."
    )
