"""Plain words for a model that finds nothing right: what is known of the counts, from the surest cause to a guess."""

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
    """The likeliest cause of an F1 of 0, and what to do.

    Args:
        items: of the training data.
        micro: counts on dev. boundaries: with labels left aside. parts: by label or predicate.
        known: labels or predicates of the model.
    """
    lost = sum(items.lost.values())
    if micro.gold == 0:
        return f"The dev data hold no {words.item}: check data.dev."
    if not any(part.gold for name, part in parts.items() if name in known):
        return f"Dev and train have no {words.name} in common: check data.dev."
    if lost > items.total / 2:
        reason = max(items.lost, key=lambda key: items.lost[key])
        return (
            f"{lost} of {items.total} training {words.items} cannot be learned ({reason}): "
            "see `ie check`; try encoder.tokenization: char."
        )
    if boundaries is not None and boundaries.correct:
        return "Spans are found but every label is wrong: are the labels of train and dev used alike?"
    if micro.predicted == 0:
        return (
            "The model predicts nothing: raise training.head_learning_rate (1e-3) or training.learning_rate (2e-5 for "
            "a pretrained encoder, 5e-4 for tiny), or train longer."
        )
    return (
        f"The model predicts, but no {words.item} is right: the learning rate may be too high, or the offsets of train and "
        "dev may be shifted (`ie check`)."
    )
