"""The metadata of a model card as specified by the Hub, which builds its search, links and result tables from them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.metrics.scores import Scores
from ie_cli.recipe.schema import DataSection, Recipe
from ie_cli.tasks import TASKS

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_METRICS = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "spearman": "Spearman",
    "pearson": "Pearson",
    "accuracy": "Accuracy",
    "average_precision": "Average precision",
}


def front_matter(recipe: Recipe, scores: Mapping[str, Mapping[str, Scores]]) -> str:
    """Return the YAML front matter of a model card.

    Unknown facts are omitted; the language and the license are known only from the recipe.

    Args:
        recipe: the recipe of the model.
        scores: scores by split (``dev``, ``test``) and task.
    """
    from huggingface_hub import ModelCardData

    sections = recipe.instances()
    tags = [
        tag
        for section in sections.values()
        for tag in (*TASKS[section.task].words.tags, section.head.name.replace("_", "-"))
    ]
    sources = [source for section in sections.values() for source in _sources(section.data)]
    results = list(_results(recipe, scores))
    data = ModelCardData(
        language=recipe.card.language,
        license=recipe.card.license,
        library_name="ie-cli",
        pipeline_tag=next(TASKS[section.task].words.pipeline for section in sections.values()),
        tags=list(dict.fromkeys(["information-extraction", *tags])),
        base_model=_repository(recipe.encoder.name) if not recipe.encoder.from_scratch else None,
        datasets=list(dict.fromkeys(found[0] for source in sources if (found := _hub_dataset(source)))) or None,
        model_name=recipe.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml(line_break=chr(10))}\n---\n"


def _results(recipe: Recipe, scores: Mapping[str, Mapping[str, Scores]]) -> Iterator[EvalResult]:
    """Yield the unrounded scores of each split and task."""
    from huggingface_hub import EvalResult

    sections = recipe.instances()
    for split, tasks in scores.items():
        for task, found in tasks.items():
            several, words = len(sections) > 1, TASKS[sections[task].task].words
            local = f"{recipe.name}-{task}" if several else recipe.name
            source = _source_of(split, sections[task].data)
            dataset, config, part = _hub_dataset(source) or (local, None, split)
            for metric, value in found.values().items():
                if not math.isfinite(value):
                    continue
                name = _METRICS.get(metric, metric)
                yield EvalResult(
                    task_type=words.pipeline,
                    task_name=words.title,
                    dataset_type=dataset,
                    dataset_name=dataset,
                    dataset_config=config,
                    dataset_split=part,
                    metric_type=metric,
                    metric_name=f"{name} ({task})" if several else name,
                    metric_value=value,
                )


def _sources(data: DataSection) -> Iterator[str]:
    """Yield all sources of documents of a task."""
    for value in (data.train, data.dev, data.test):
        yield from value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _source_of(split: str, data: DataSection) -> str:
    """Return the source of a split, or its first one; empty for a share of the training data."""
    value: Any = getattr(data, split, None)
    first = value[0] if isinstance(value, list) else value
    return first if isinstance(first, str) else ""


def _hub_dataset(source: str) -> tuple[str, str | None, str] | None:
    """Return id, configuration and split of a Hub dataset, or None for other data."""
    if not source.startswith(PREFIX):
        return None
    name, _, query = source.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query))
    repository = _repository(name)
    return (repository, options.get("config"), options.get("split") or "train") if repository else None


def _repository(name: str) -> str | None:
    """Return the id of a Hub repository, or None if the name is a directory or not a valid id."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if os.path.isdir(name):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name
