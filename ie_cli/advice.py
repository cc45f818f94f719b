"""Plain words for a training run that looks hopeless."""

from __future__ import annotations

from collections.abc import Sequence

from ie_cli.batches import Store
from ie_cli.metrics import EntityScores

SEEN_ENOUGH = 1000
"""Gold entities after which a working run has found something on dev."""


def hopeless(scores: EntityScores, store: Store, epochs: float, labels: Sequence[str]) -> str | None:
    """Say why F1 is still 0 although the labels were seen often enough, or None while there is hope."""
    seen = sum(store.counts.label_counts.values()) * epochs
    if scores.f1 > 0 or seen < SEEN_ENOUGH:
        return None
    return f"F1 is still 0 after {seen:.0f} annotated entities. {_cause(scores, store, labels)}"


def _cause(scores: EntityScores, store: Store, labels: Sequence[str]) -> str:
    lost = sum(store.counts.unreachable.values())
    if scores.micro.gold == 0:
        return "The dev data hold no entity: check data.dev."
    if not any(part.gold for label, part in scores.labels.items() if label in labels):
        return "Dev and train have no label in common: check data.dev."
    if lost > store.counts.entities / 2:
        reason = max(store.counts.unreachable, key=lambda key: store.counts.unreachable[key])
        return (
            f"{lost} of {store.counts.entities} training entities cannot be learned ({reason}): "
            "see `ie check`; try encoder.tokenization: char."
        )
    if scores.boundaries.correct:
        return "Spans are found but every label is wrong: are the labels of train and dev used alike?"
    if scores.micro.predicted == 0:
        return (
            "The model predicts nothing: raise training.head_learning_rate (1e-3) or training.learning_rate (2e-5 for "
            "a pretrained encoder, 5e-4 for tiny), or train longer."
        )
    return (
        "The model predicts, but no span is right: the learning rate may be too high, or the offsets of train and dev "
        "may be shifted (`ie check`)."
    )
