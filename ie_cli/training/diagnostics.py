"""Plain words for a training run that looks hopeless."""

from __future__ import annotations

from ie_cli.data.label_schema import LabelSchema
from ie_cli.evaluation.evaluate import Scores
from ie_cli.metrics.entities import EntityScores
from ie_cli.training.encoded_dataset import EncodedDataset

SEEN_ENOUGH = 1000
"""Gold items after which a working run has found something on dev."""


def hopeless(scores: Scores, store: EncodedDataset, epochs: float, schema: LabelSchema) -> str | None:
    """Say why F1 is still 0 although the labels were seen often enough, or None while there is hope."""
    counts = store.counts
    seen = (counts.relations if schema.predicates else counts.entities) * epochs
    if scores.f1 > 0 or seen < SEEN_ENOUGH:
        return None
    what = "relations" if schema.predicates else "annotated entities"
    return f"F1 is still 0 after {seen:.0f} {what}. {_cause(scores, store, schema)}"


def _cause(scores: Scores, store: EncodedDataset, schema: LabelSchema) -> str:
    counts = store.counts
    if isinstance(scores, EntityScores):
        what, total, reasons, known, parts = (
            "entities",
            counts.entities,
            counts.unreachable,
            schema.labels,
            scores.labels,
        )
    else:
        what, total, reasons = "relations", counts.relations, counts.unreachable_relations
        known, parts = schema.predicates, scores.predicates
    lost = sum(reasons.values())
    if scores.micro.gold == 0:
        return f"The dev data hold no {'entity' if what == 'entities' else 'relation'}: check data.dev."
    if not any(part.gold for name, part in parts.items() if name in known):
        return f"Dev and train have no {'label' if what == 'entities' else 'predicate'} in common: check data.dev."
    if lost > total / 2:
        reason = max(reasons, key=lambda key: reasons[key])
        return (
            f"{lost} of {total} training {what} cannot be learned ({reason}): "
            "see `ie check`; try encoder.tokenization: char."
        )
    if scores.boundaries is not None and scores.boundaries.correct:
        return "Spans are found but every label is wrong: are the labels of train and dev used alike?"
    if scores.micro.predicted == 0:
        return (
            "The model predicts nothing: raise training.head_learning_rate (1e-3) or training.learning_rate (2e-5 for "
            "a pretrained encoder, 5e-4 for tiny), or train longer."
        )
    return (
        f"The model predicts, but no {'span' if what == 'entities' else 'triple'} is right: the learning rate may be too "
        "high, or the offsets of train and dev may be shifted (`ie check`)."
    )
