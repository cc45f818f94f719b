"""The tasks that a recipe may name."""

from __future__ import annotations

from ie_cli.tasks.base import ScoringOptions, Task, ThresholdTask, TrainingItems, Words, has_thresholds
from ie_cli.tasks.kinds import Kind
from ie_cli.tasks.learning import Learning, Rate
from ie_cli.tasks.match import MatchTask
from ie_cli.tasks.ner import NerTask
from ie_cli.tasks.proposal import Proposal
from ie_cli.tasks.relation import RelationTask

__all__ = [
    "TASKS",
    "Kind",
    "Learning",
    "Proposal",
    "Rate",
    "ScoringOptions",
    "Task",
    "ThresholdTask",
    "TrainingItems",
    "Words",
    "has_thresholds",
]

TASKS: dict[str, Task] = {
    "ner": NerTask(),
    "relation": RelationTask(),
    "match": MatchTask(),
}
"""A task comes after those whose annotation it builds on: data annotated for several tasks are for the last of them."""
