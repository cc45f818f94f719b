"""Annotated entities that a head does not learn: those in no relation, and the types of all entities."""

from __future__ import annotations

from ie_cli.data.findings import Finding
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import counted
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.recipe.schema import TaskSection


def unlearned_entities(section: TaskSection, statistics: DatasetStatistics) -> Finding | None:
    """Return what a task does not learn of the annotated entities of the training data, or None if there is nothing.

    Args:
        section: the section of the task.
        statistics: the counts of the training data.
    """
    if not statistics.entities or section.head.has_entity_types(annotated=True):
        return None
    entities, unrelated = statistics.entities, statistics.unrelated
    text = f"the types of {counted(entities, 'annotated entity', 'annotated entities')} are not learned"
    if unrelated:
        are = "is in no relation and is" if unrelated == 1 else "are in no relation and are"
        text = f"{unrelated:,} of {entities:,} annotated entities {are} not learned, nor are entity types"
    return Finding("warning" if unrelated else "note", text + _remedy(section))


def _remedy(section: TaskSection) -> str:
    able = [
        name
        for name in heads_of(section.task)
        if HEADS[name].section.model_validate({"name": name}).has_entity_types(annotated=True)
    ]
    if section.head.name in able:
        return "; head.entity_rows: auto learns both"
    return f"; the head {able[0]} learns both" if able else ""
